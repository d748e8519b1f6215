// One clock for everything that is drawn: the place in the sound, made smooth.

const FADE_SECONDS = 0.15;
const DRIFT_SECONDS = 0.03;   // farther apart than this, the silent sound is put back in step,
const STEP_SECONDS = 2;       // but not more often than this: a slow machine would only seek
const JUMP_SECONDS = 0.08;    // farther off than this, the smooth clock jumps

function elementOf(name) {
  const text = document.getElementById("sound-" + name);
  const sound = new Audio();
  sound.preload = "auto";
  sound.src = URL.createObjectURL(new Blob([bytesOf(text.textContent)], { type: "audio/mpeg" }));
  text.remove();
  return sound;
}

// Without a sound, the same few things an audio element has.
function silence() {
  let from = 0, since = null;
  const now = () => from + (since === null ? 0 : (performance.now() - since) / 1000);
  return {
    volume: 1, muted: false, duration: show.end,
    get currentTime() {
      if (since !== null && now() >= show.end) { from = show.end; since = null; }
      return now();
    },
    set currentTime(t) { from = t; if (since !== null) since = performance.now(); },
    get paused() { return this.currentTime >= show.end || since === null; },
    play() { if (since === null) since = performance.now(); return Promise.resolve(); },
    pause() { from = now(); since = null; },
    addEventListener() {},
  };
}

const sound = (() => {
  const names = Object.keys(show.sounds);
  const elements = Object.fromEntries(names.map((name) => [name, elementOf(name)]));
  if (!names.length) elements.crowd = silence();
  let mode = "crowd", fade = null, stepped = 0, smooth = 0, seen = performance.now();
  const leader = () => elements[mode];
  const others = () => Object.values(elements).filter((element) => element !== leader());

  function setLevel(element, level) {
    element.volume = level;
    element.muted = level === 0;    // where volume is the system's alone (iOS), mute still works
  }
  setLevel(leader(), 1);
  others().forEach((element) => setLevel(element, 0));

  function step(element) {
    if (Math.abs(element.currentTime - leader().currentTime) > DRIFT_SECONDS) {
      element.currentTime = leader().currentTime;
    }
  }

  // An element that is asked to pause while it starts rejects its promise: that is no error.
  function start(element) {
    const started = element.play();
    if (started) started.catch(() => {});
  }

  function play() {
    if (leader().currentTime >= end() - 0.05) seek(0);
    others().forEach((element) => { element.currentTime = leader().currentTime; });
    Object.values(elements).forEach(start);
  }

  function pause() {
    Object.values(elements).forEach((element) => element.pause());
    others().forEach(step);
  }

  function end() {
    const length = leader().duration;
    return Number.isFinite(length) ? length : show.end;
  }

  function seek(t) {
    const place = Math.max(0, Math.min(end(), t));
    Object.values(elements).forEach((element) => { element.currentTime = place; });
    smooth = place;
    seen = performance.now();
  }

  function switchTo(wanted) {
    if (!elements[wanted] || wanted === mode) return;
    const playing = !leader().paused, place = leader().currentTime;
    mode = wanted;
    if (Math.abs(leader().currentTime - place) > 0.01) leader().currentTime = place;
    if (playing && leader().paused) start(leader());
    fade = { began: performance.now(), from: Object.values(elements).map((e) => (e.muted ? 0 : e.volume)) };
  }

  // Called once for each picture: moves the fade, and keeps the silent sound in step.
  function turn() {
    const now = performance.now();
    if (fade) {
      const share = Math.min(1, (now - fade.began) / 1000 / FADE_SECONDS);
      Object.values(elements).forEach((element, i) => {
        setLevel(element, fade.from[i] + ((element === leader() ? 1 : 0) - fade.from[i]) * share);
      });
      if (share === 1) fade = null;
    } else if (!leader().paused && !leader().seeking && now - stepped > 1000 * STEP_SECONDS) {
      stepped = now;
      others().filter((element) => !element.seeking && !element.paused).forEach(step);
    }
    const told = leader().currentTime;
    const guess = smooth + (leader().paused || leader().seeking ? 0 : (now - seen) / 1000);
    const off = told - guess;
    // Players tell their place in steps of some milliseconds; a tenth of the difference for each
    // picture follows them within half a second without a tremble.
    smooth = leader().paused || Math.abs(off) > JUMP_SECONDS ? told : guess + 0.1 * off;
    seen = now;
    return Math.max(0, Math.min(smooth, show.end));
  }

  return {
    elements, play, pause, seek, switchTo, turn, end,
    mode: () => mode,
    playing: () => !leader().paused,
    place: () => leader().currentTime,
  };
})();
