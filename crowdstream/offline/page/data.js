// The recorded show: columns of numbers, and what they are at a moment.

const show = JSON.parse(document.getElementById("data").textContent);

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// Where the time axis ends: the sound may ring on after the last line.
show.end = Math.max(show.seconds, ...Object.values(show.sounds));

const gains = bytesOf(show.gains);

// Last line at or before t; the first one for anything earlier.
function lineAt(t) {
  let low = 0, high = show.lines - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (show.t[middle] <= t) low = middle; else high = middle - 1;
  }
  return low;
}

// Value of a curve between two lines; null where either is not known.
function valueAt(name, t) {
  const column = show.curves[name], i = lineAt(t), j = Math.min(i + 1, show.lines - 1);
  const a = column[i], b = column[j], gap = show.t[j] - show.t[i];
  if (a === null || b === null || gap <= 0) return a;
  return a + (b - a) * Math.min(1, Math.max(0, (t - show.t[i]) / gap));
}

function gainAt(deck, stem, line) {
  return gains[(line * show.tracks.length + deck) * show.stems.length + stem] / show.gain_steps;
}

// The word of a list of [begin, end, word] at t, or "".
function wordAt(runs, t) {
  for (const [begin, end, word] of runs) if (begin <= t && t < end) return word;
  const last = runs[runs.length - 1];
  return last && t >= last[1] && last[1] >= show.seconds - 0.001 ? last[2] : "";
}

// What each deck plays at t.
function decksAt(t) {
  const line = lineAt(t);
  return show.tracks.map((tracks, deck) => ({
    track: wordAt(tracks, t),
    section: wordAt(show.sections[deck], t),
    gains: Object.fromEntries(show.stems.map((stem, k) => [stem, gainAt(deck, k, line)])),
  }));
}

function loudest(deck) {
  return Math.max(...Object.values(deck.gains));
}

// Moments of every eighth bar, for the grid: [seconds, bar].
function gridOf(bars) {
  const grid = [], beats = show.curves.beat;
  for (let i = 1; i < show.lines; i++) {
    const a = beats[i - 1], b = beats[i];
    if (a === null || b === null || b <= a) continue;
    const line = Math.ceil(a / (4 * bars)) * 4 * bars;
    if (line < b) grid.push([show.t[i - 1] + (show.t[i] - show.t[i - 1]) * (line - a) / (b - a), line / 4]);
  }
  return grid;
}

function clockText(seconds) {
  const whole = Math.max(0, Math.floor(seconds)), pad = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${pad(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(whole % 60)}`;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

const stemColours = show.stems.map(colour);
