// Excerpts with their waveform, the grid of beats and bars, and who plays what.

const data = JSON.parse(document.getElementById("data").textContent);
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue("--" + name).trim();
const PLAY = "M7 4v16l13-8z", PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";
const WAVE = 0.42, LANE_TOP = 0.5;      // shares of the canvas: the wave above, the lanes below

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const excerpts = data.excerpts.map((told, number) => {
  const text = document.getElementById("sound-" + number);
  const sound = new Audio(URL.createObjectURL(new Blob([bytesOf(text.textContent)], { type: "audio/mpeg" })));
  text.remove();
  const box = make("section", undefined, "excerpt"), head = make("div");
  const button = make("button"), canvas = make("canvas"), clock = make("time");
  button.type = "button";
  button.setAttribute("aria-label", "Play: " + told.title);
  button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${PLAY}"/></svg>`;
  head.append(button, make("h2", told.title), clock, make("p", told.listen, "listen"));
  const why = make("p", undefined, "why");
  why.append(make("b", "Why then: "), told.why || "by the rules");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Waveform, beats and stems of ${told.title}`);
  box.append(head, canvas, why);
  document.getElementById("excerpts").append(box);
  const one = { told, sound, box, button, canvas, clock, peaks: bytesOf(told.peaks), gains: bytesOf(told.gains) };
  button.addEventListener("click", () => (sound.paused ? play(one) : sound.pause()));
  canvas.addEventListener("pointerdown", (event) => {
    const place = (event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth;
    sound.currentTime = Math.max(0, Math.min(told.seconds - 0.05, place * told.seconds));
    play(one);
  });
  for (const name of ["play", "pause", "ended"]) sound.addEventListener(name, () => show(one));
  return one;
});
let current = 0;

function play(one) {
  for (const other of excerpts) if (other !== one) other.sound.pause();
  current = excerpts.indexOf(one);
  const started = one.sound.play();
  if (started) started.catch(() => {});
}

function show(one) {
  one.button.querySelector("path").setAttribute("d", one.sound.paused ? PLAY : PAUSE);
  excerpts.forEach((other) => other.box.classList.toggle("current", !other.sound.paused));
}

function draw(one) {
  const { told, canvas, peaks, gains, sound } = one, pen = canvas.getContext("2d");
  const ratio = Math.min(devicePixelRatio || 1, 2), width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const x = (t) => (t / told.seconds) * width;
  pen.font = "11px system-ui, sans-serif";
  for (const [t, beat] of told.beats) {
    const whole = Math.round(beat), bar = whole % 4 === 0, phrase = whole % 32 === 0;
    pen.fillStyle = phrase ? colour("soft") : colour("line");
    pen.fillRect(x(t), bar ? 0 : height * (WAVE / 2 - 0.05), phrase ? 1.5 : 1, bar ? height : height * 0.1);
    if (phrase) {
      pen.fillStyle = colour("soft");
      pen.fillText(`bar ${whole / 4}`, x(t) + 4, 10);
    }
  }
  // The wave is mirrored about its middle; a column is a hundredth of a second.
  const middle = (height * WAVE) / 2 + 6, step = width / peaks.length;
  pen.fillStyle = colour("text");
  for (let i = 0; i < peaks.length; i++) {
    const half = Math.max(0.5, (peaks[i] / 255) * height * WAVE * 0.46);
    pen.fillRect(i * step, middle - half, Math.max(0.6, step * 0.8), 2 * half);
  }
  const stems = data.stems, top = height * LANE_TOP, lane = (height - top) / (told.decks * (stems.length + 1.3));
  for (let deck = 0; deck < told.decks; deck++) {
    const first = top + (deck * (stems.length + 1.3) + 1) * lane;
    for (const [a, b, title] of told.tracks[deck]) {
      pen.fillStyle = colour("soft");
      pen.save();
      pen.beginPath();
      pen.rect(x(a), first - 1.3 * lane, x(b) - x(a), lane * 1.3);
      pen.clip();
      pen.fillText(title, x(Math.max(0, a)) + 4, first - 3);
      pen.restore();
    }
    stems.forEach((stem, k) => {
      pen.fillStyle = colour(stem);
      for (let i = 0; i + 1 < told.t.length; i++) {
        const gain = gains[(i * told.decks + deck) * stems.length + k] / 255;
        if (gain < 0.02) continue;
        pen.globalAlpha = 0.25 + 0.75 * gain;
        const left = Math.round(x(told.t[i]) * ratio) / ratio, right = Math.round(x(told.t[i + 1]) * ratio) / ratio;
        pen.fillRect(left, first + k * lane + 1, right - left, lane - 2);
      }
      pen.globalAlpha = 1;
    });
  }
  pen.fillStyle = colour("alarm");
  pen.fillRect(x(told.moment) - 1, 0, 2, height);
  const place = Math.min(sound.currentTime, told.seconds);
  pen.fillStyle = colour("other");
  pen.fillRect(x(place) - 1, 0, 2, height);
  const pad = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  one.clock.textContent = `${pad(place)} / ${pad(told.seconds)}`;
}

document.addEventListener("keydown", (event) => {
  if (event.key === " ") {
    event.preventDefault();
    const one = excerpts[current];
    if (one.sound.paused) play(one); else one.sound.pause();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const next = current + (event.key === "ArrowDown" ? 1 : -1);
    if (excerpts[next]) {
      excerpts[next].sound.currentTime = 0;
      play(excerpts[next]);
      excerpts[next].box.scrollIntoView({ block: "nearest" });
    }
  }
});

function turn() {
  for (const one of excerpts) {
    const box = one.canvas.getBoundingClientRect();
    if (box.bottom > 0 && box.top < innerHeight && (!one.drawn || !one.sound.paused || one.seenAt !== one.sound.currentTime || one.seenWidth !== innerWidth)) {
      draw(one);
      one.drawn = true;
      one.seenAt = one.sound.currentTime;
      one.seenWidth = innerWidth;
    }
  }
  requestAnimationFrame(turn);
}
turn();
