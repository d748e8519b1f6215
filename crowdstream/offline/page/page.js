// The page: what a person presses, and the loop that draws by the clock of the sound.

const at = (id) => document.getElementById(id);
const KINDS = { stem_in: "in", stem_out: "out" };
const ALARMS = ["fault", "override", "restart"];
const SLOW_SECONDS = 0.028;
const MAX_DECISIONS = 1500;     // more than anybody reads; all of them are on the time line

let drawn = null, said = "", dirty = true, resized = false;
let paced = performance.now(), between = 1 / 60, slowed = paced;

function line(tag, parent, words, attributes = {}) {
  const element = document.createElement(tag);
  if (words !== undefined) element.textContent = words;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

function seek(t) {
  sound.seek(t);
  dirty = true;
}

function toggle() {
  if (sound.playing()) sound.pause(); else sound.play();
  dirty = true;
}

function switchTo(mode) {
  sound.switchTo(mode);
  for (const button of at("switch").children) button.setAttribute("aria-pressed", String(button.dataset.mode === sound.mode()));
  at("plain-note").hidden = sound.mode() === "crowd";
  at("score").classList.toggle("dimmed", sound.mode() !== "crowd");
  dirty = true;
}

// Chapters: the scenes of a story, or else the tracks of a night.
const chapters = (show.scenes.length ? show.scenes : show.tracks.flat().sort((a, b) => a[0] - b[0])).slice(0, 200)
  .map(([begin, end, name]) => {
    const button = line("button", at("chapters"), undefined, { type: "button" });
    line("small", button, clockText(begin));
    button.append(name);
    button.addEventListener("click", () => seek(begin));
    return { begin, end, button };
  });

const decisions = show.events.slice(0, MAX_DECISIONS).map((event) => {
  const button = line("button", line("li", at("decisions")), undefined, { type: "button" });
  line("time", button, clockText(event.t));
  const stem = show.stems.indexOf(event.stem), kind = KINDS[event.event] || event.event.replaceAll("_", " ");
  const name = line("b", button, stem < 0 ? kind : `${event.stem} ${KINDS[event.event] ? kind : ""}`);
  if (stem >= 0) name.style.color = stemColours[stem];
  line("span", button, event.why);
  if (ALARMS.includes(event.event)) button.classList.add("alarm");
  button.addEventListener("click", () => seek(event.t));
  return { t: event.t, button };
});
if (!show.events.length) line("p", at("decisions"), "Nothing was decided in this recording.");
if (show.events.length > MAX_DECISIONS) {
  line("p", line("li", at("decisions")), `${show.events.length - MAX_DECISIONS} more are in show.jsonl and on the time line above.`);
}

for (const [what, value] of show.facts) {
  line("dt", at("facts"), what);
  line("dd", at("facts"), value);
}

function current(elements, chosen) {
  for (const { button } of elements) {
    if (button === chosen) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
  }
}

// Words beside the pictures; written only when they change.
function say(t) {
  const number = (name, digits) => {
    const value = valueAt(name, t);
    return value === null ? "–" : value.toFixed(digits);
  };
  const i = lineAt(t), people = show.curves.people[i], bar = show.curves.bar[i];
  const loud = decksAt(t).filter((deck) => deck.track && loudest(deck) > 0.05).map((deck) => deck.section ? `${deck.track}, ${deck.section}` : deck.track);
  const words = {
    "time": clockText(t), "now-people": people === null ? "–" : people, "now-energy": number("energy", 2),
    "now-tempo": number("bpm", 1), "now-bar": bar === null ? "–" : bar, "scene": wordAt(show.scenes, t), "track": loud.join("  +  "),
  };
  const playing = sound.playing(), all = JSON.stringify(words) + playing;
  if (all === said) return;
  said = all;
  for (const [id, value] of Object.entries(words)) at(id).textContent = value;
  at("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  at("play-shape").setAttribute("d", playing ? "M6 4h4.5v16H6zM13.5 4H18v16h-4.5z" : "M7 4v16l13-8z");
  score.element.setAttribute("aria-valuenow", t.toFixed(1));
  score.element.setAttribute("aria-valuetext", clockText(t));
  const chapter = chapters.findLast(({ begin }) => begin <= t + 0.05), decision = decisions.findLast((one) => one.t <= t + 0.05);
  if (!chapter || chapter.button.getAttribute("aria-current") === null) {
    current(chapters, chapter && chapter.button);
    if (chapter) at("chapters").scrollLeft = chapter.button.offsetLeft - at("chapters").offsetLeft - 60;
  }
  if (!decision || decision.button.getAttribute("aria-current") === null) {
    current(decisions, decision && decision.button);
    const list = at("decisions");
    if (decision) list.scrollTop = decision.button.offsetTop - list.clientHeight / 2;
  }
}

// Seconds from picture to picture, in the mean; a machine that is too slow draws coarser ones.
function pace(now) {
  const interval = Math.min(0.1, (now - paced) / 1000);
  paced = now;
  if (!sound.playing()) return;
  between += 0.1 * (interval - between);
  if (between > SLOW_SECONDS && now - slowed > 1000) {
    dancers.coarser();
    slowed = now;
  }
}

function picture(now) {
  pace(now);
  const heard = sound.turn();
  // A picture is seen half a picture later and then stands for one: drawn for its middle, it is
  // never far off.
  const t = sound.playing() ? Math.min(show.end, heard + between) : heard;
  if (resized) {
    score.draw();
    dirty = true;
    resized = false;
  }
  if (dirty || t !== drawn) {
    if (sound.playing()) score.follow(t);
    dancers.draw(t);
    score.drawCursor(t);
    drawn = t;
    dirty = false;
  }
  say(t);
  requestAnimationFrame(picture);
}

at("play").addEventListener("click", toggle);
for (const button of at("switch").children) button.addEventListener("click", () => switchTo(button.dataset.mode));
for (const button of at("zoom").children) button.addEventListener("click", () => score.zoom(button.dataset.zoom === "in" ? 0.5 : 2, drawn));

score.element.addEventListener("pointerdown", (event) => {
  score.element.setPointerCapture(event.pointerId);
  seek(score.timeOf(event.offsetX));
});
score.element.addEventListener("pointermove", (event) => {
  if (score.element.hasPointerCapture(event.pointerId)) seek(score.timeOf(event.offsetX));
});
score.element.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  score.zoom(Math.exp(event.deltaY / 300), score.timeOf(event.offsetX));
  dirty = true;
}, { passive: false });

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const onButton = event.target instanceof HTMLButtonElement;
  const bar = 240 / (valueAt("bpm", drawn) || 120), far = event.shiftKey ? bar : 5;
  const keys = {
    " ": () => toggle(), ArrowLeft: () => seek(sound.place() - far), ArrowRight: () => seek(sound.place() + far),
    Home: () => seek(0), End: () => seek(show.end), "+": () => score.zoom(0.5, drawn), "-": () => score.zoom(2, drawn),
    c: () => switchTo(sound.mode() === "crowd" ? "plain" : "crowd"),
  };
  if (!keys[event.key] || (onButton && event.key === " ")) return;
  event.preventDefault();
  keys[event.key]();
  dirty = true;
});

// Drawn with the next picture: a redraw inside the observer would change what it observes.
new ResizeObserver(() => { resized = true; }).observe(at("score"));

at("length").textContent = `/ ${clockText(show.end)}`;
at("switch").hidden = !("plain" in show.sounds);
score.element.setAttribute("aria-valuemax", show.end.toFixed(1));
at("floor").classList.toggle("bare", !show.joints);
at("show").hidden = false;
score.draw();
picture(performance.now());

// For tests, and for the curious: what is heard and what is drawn, in seconds of the show.
window.crowdstream = {
  time: () => sound.place(), cursor: () => score.time(), dancersTime: () => dancers.time(),
  lanes: () => ({ t: score.time(), decks: decksAt(score.time()) }),
  mode: () => sound.mode(), playing: () => sound.playing(), length: () => sound.end(),
  sounds: sound.elements,
  seek, switchTo,
  play: () => { sound.play(); dirty = true; }, pause: () => { sound.pause(); dirty = true; },
};
