// The show over time: chapters, stem lanes of both decks, curves, and the cursor over them.

const CURVE_COLOURS = { measured: "#e9ebf2", true: "#98a0b5", drive: "#ff6fb1", wanted: "#ffd166", groove: "#7f8aa8" };
const MARKS = {      // event -> [shape, colour]
  transition: ["diamond", "#3fd8c7"], drop: ["down", "#ffd166"], hold: ["bars", "#98a0b5"],
  fault: ["cross", "#ff5470"], restart: ["cross", "#ff5470"], override: ["ring", "#ff9f5c"],
  stem_in: ["up", null], stem_out: ["low", null],
};

const MANY_EVENTS = 120;     // more in view than this, and lines through the curves would hide them

const score = (() => {
  const lines = document.getElementById("lines"), cursor = document.getElementById("cursor");
  const pen = lines.getContext("2d"), over = cursor.getContext("2d");
  const view = { from: 0, to: show.end };
  let width = 0, height = 0, unit = 1, left = 60, right = 12, rows = {}, cursorX = 0, drawnAt = -1;

  const xOf = (t) => left + ((t - view.from) / (view.to - view.from)) * (width - left - right);
  const timeOf = (x) => view.from + ((x - left) / (width - left - right)) * (view.to - view.from);
  const yOf = (row, value) => row.top + row.height * (1 - (value - row.low) / (row.high - row.low));

  function rangeOf(names, least, pad) {
    let low = Infinity, high = -Infinity;
    for (const name of names) for (const value of show.curves[name]) {
      if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    }
    if (low > high) [low, high] = [0, 1];
    const more = Math.max(0, least - (high - low)) / 2 + pad;
    return { low: low - more, high: high + more };
  }

  // Places of all rows, from the top down; known before anything is drawn.
  function measure() {
    unit = parseFloat(getComputedStyle(document.documentElement).fontSize) / 15;
    width = lines.parentElement.clientWidth;
    left = Math.round((width < 600 ? 50 : 66) * unit);
    right = 12 * unit;
    let y = 6 * unit;
    const take = (size, gap = 0) => { const row = { top: y, height: size * unit }; y += (size + gap) * unit; return row; };
    rows = { ruler: take(22), marks: take(18, 4) };
    if (show.scenes.length) rows.chapters = take(20, 8);
    // Where nothing was played the movement has the room, as in the picture.
    const played = show.tracks.some((tracks) => tracks.length);
    rows.decks = (played ? show.tracks : []).map(() => ({ title: take(18), sections: take(16, 2), lanes: show.stems.map((_, k) => take(13, k === 3 ? 10 : 1)) }));
    rows.energy = { title: take(20, 4), ...take(96, 14), low: 0, high: 1 };
    rows.tempo = { title: take(20, 4), ...take(88, 14), ...rangeOf(["bpm", "bpm_wanted"], 16, 3) };
    if (played) rows.loudness = { title: take(20, 4), ...take(52, 14), ...rangeOf(["lufs"], 9, 1) };
    const most = rangeOf(["people"], 0, 0).high;
    rows.people = { title: take(20, 4), ...take(38, 12), low: 0, high: Math.max(1, most) };
    height = y;
    const ratio = Math.min(devicePixelRatio || 1, 3);
    for (const canvas of [lines, cursor]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.height = height + "px";
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    over.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  function text(to, words, x, y, { size = 12, weight = 400, fill = "#98a0b5", align = "left", most = Infinity } = {}) {
    to.font = `${weight} ${size * unit}px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif`;
    to.fillStyle = fill;
    to.textAlign = align;
    to.textBaseline = "middle";
    let shown = String(words);
    if (to.measureText(shown).width > most) {
      while (shown && to.measureText(shown + "…").width > most) shown = shown.slice(0, -1);
      if (shown.length < 2) return 0;
      shown += "…";
    }
    to.fillText(shown, x, y);
    return to.measureText(shown).width;
  }

  function draw() {
    measure();
    pen.clearRect(0, 0, width, height);
    drawGrid();
    if (rows.chapters) drawChapters();
    rows.decks.forEach(drawDeck);
    drawPlot(rows.energy, "energy", "", [0, 0.5, 1], [
      ["energy_true", "true", CURVE_COLOURS.true, [5, 4]], ["drive", "drive", CURVE_COLOURS.drive, []],
      ["energy", "measured", CURVE_COLOURS.measured, []]]);
    drawPlot(rows.tempo, "tempo", "BPM", ticks(rows.tempo, 3), [
      ["groove", "groove", CURVE_COLOURS.groove, "dots"], ["bpm_wanted", "wanted", CURVE_COLOURS.wanted, [5, 4]],
      ["bpm", "played", CURVE_COLOURS.measured, []]]);
    if (rows.loudness) drawPlot(rows.loudness, "loudness", "LUFS", ticks(rows.loudness, 3), [["lufs", "", CURVE_COLOURS.measured, []]]);
    drawPlot(rows.people, "people", "", [0, rows.people.high], [["people", "", colour("other"), []]]);
    drawMarks();
    drawCursor(drawnAt < 0 ? 0 : drawnAt);
  }

  function ticks({ low, high }, count) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((k) => k * power >= rough) * power, found = [];
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Math.round(value * 1000) / 1000);
    return found;
  }

  // Lines each 8 bars (wider apart where they would crowd), and the time above them.
  function drawGrid() {
    const room = (width - left - right) / (46 * unit), span = view.to - view.from;
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find((s) => span / s <= room) || 14400;
    for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
      if (xOf(t) < width - 84 * unit) text(pen, clockText(t), xOf(t), rows.ruler.top + 9 * unit, { align: t ? "center" : "left" });
    }
    let bars = 8;
    const far = (width - left - right) * 8 * 2 / span;       // pixels of 8 bars at 120 BPM
    while (far * bars / 8 < 18 * unit) bars *= 2;
    pen.lineWidth = 1;
    for (const [t, bar] of gridOf(bars)) {
      if (t < view.from || t > view.to) continue;
      pen.strokeStyle = bar % (bars * 4) ? "rgba(150,165,210,.13)" : "rgba(150,165,210,.26)";
      pen.beginPath();
      pen.moveTo(Math.round(xOf(t)) + 0.5, (rows.decks[0] || rows.energy).title.top);
      pen.lineTo(Math.round(xOf(t)) + 0.5, height);
      pen.stroke();
    }
    text(pen, `${bars}-bar`, 10 * unit, rows.ruler.top + 5 * unit, { size: 10 });
    text(pen, "grid", 10 * unit, rows.ruler.top + 16 * unit, { size: 10 });
  }

  function inView(begin, end) {
    const a = Math.max(left, xOf(begin)), b = Math.min(width - right, xOf(end));
    return b > a ? [a, b] : null;
  }

  function drawChapters() {
    show.scenes.forEach(([begin, end, name], k) => {
      const seen = inView(begin, end);
      if (!seen) return;
      pen.fillStyle = k % 2 ? "rgba(120,140,200,.16)" : "rgba(120,140,200,.28)";
      pen.fillRect(seen[0], rows.chapters.top, seen[1] - seen[0], rows.chapters.height);
      text(pen, name, seen[0] + 6 * unit, rows.chapters.top + rows.chapters.height / 2, { fill: "#e9ebf2", most: seen[1] - seen[0] - 10 * unit });
    });
  }

  function drawDeck(row, deck) {
    text(pen, (width < 600 ? "" : "deck ") + ("AB"[deck] || deck + 1), 10 * unit, row.title.top + 9 * unit, { weight: 600, fill: "#e9ebf2" });
    for (const [begin, end, title] of show.tracks[deck]) {
      const seen = inView(begin, end);
      if (seen) text(pen, title, seen[0] + 4 * unit, row.title.top + 9 * unit, { weight: 600, size: 13, fill: "#e9ebf2", most: seen[1] - seen[0] - 8 * unit });
    }
    for (const [begin, end, name] of show.sections[deck]) {
      const seen = inView(begin, end);
      if (!seen) continue;
      pen.fillStyle = name === "drop" ? "rgba(255,209,102,.24)" : "rgba(150,165,210,.10)";
      pen.fillRect(seen[0] + 0.5, row.sections.top, seen[1] - seen[0] - 1, row.sections.height);
      text(pen, name, seen[0] + 4 * unit, row.sections.top + row.sections.height / 2 + 0.5, { size: 11, most: seen[1] - seen[0] - 6 * unit });
    }
    row.lanes.forEach((lane, stem) => drawLane(lane, deck, stem));
  }

  // One stem: as high and as bright as it is loud. Each pixel shows the loudest line in it.
  function drawLane(lane, deck, stem) {
    text(pen, show.stems[stem], 10 * unit, lane.top + lane.height / 2 + 0.5, { size: 11, fill: stemColours[stem] });
    pen.fillStyle = "rgba(150,165,210,.05)";
    pen.fillRect(left, lane.top, width - left - right, lane.height);
    pen.fillStyle = stemColours[stem];
    for (let x = left; x < width - right; x++) {
      const first = lineAt(timeOf(x)), last = Math.max(first + 1, lineAt(timeOf(x + 1)));
      let gain = 0;
      for (let i = first; i < Math.min(last, show.lines); i++) gain = Math.max(gain, gainAt(deck, stem, i));
      gain = Math.min(1, gain);
      if (gain < 0.01 || timeOf(x) > show.seconds + 0.2) continue;
      pen.globalAlpha = 0.25 + 0.75 * gain;
      const high = Math.max(1, gain * lane.height);
      pen.fillRect(x, lane.top + (lane.height - high) / 2, 1, high);
    }
    pen.globalAlpha = 1;
  }

  function drawPlot(row, title, unitName, marks, curves) {
    let x = left;
    const y = row.title.top + row.title.height / 2;
    x += text(pen, title, x, y, { weight: 600, size: 13, fill: "#e9ebf2" }) + 6 * unit;
    if (unitName) x += text(pen, unitName, x, y) + 6 * unit;
    x += 8 * unit;
    for (const mark of marks) {
      const at = Math.round(yOf(row, mark)) + 0.5;
      pen.strokeStyle = "rgba(150,165,210,.18)";
      pen.beginPath();
      pen.moveTo(left, at);
      pen.lineTo(width - right, at);
      pen.stroke();
      text(pen, mark, left - 7 * unit, at, { align: "right" });
    }
    pen.save();
    pen.beginPath();
    pen.rect(left, row.top - 3, width - left - right, row.height + 6);
    pen.clip();
    for (const [name, , style, dash] of curves) drawCurve(row, show.curves[name], style, dash);
    pen.restore();
    for (const [name, label, style, dash] of [...curves].reverse()) {
      if (!label || !show.curves[name].some((value) => value !== null)) continue;
      stroke(style, dash === "dots" ? [1.5, 3] : dash);
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x + 18 * unit, y);
      pen.stroke();
      pen.setLineDash([]);
      x += 23 * unit;
      x += text(pen, label, x, y) + (width < 600 ? 8 : 14) * unit;
    }
  }

  function stroke(style, dash) {
    pen.strokeStyle = style;
    pen.lineWidth = (dash.length ? 1.4 : 1.8) * unit;
    pen.setLineDash(dash.map((d) => d * unit));
    pen.lineJoin = "round";
  }

  function drawCurve(row, column, style, dash) {
    const first = Math.max(0, lineAt(view.from) - 1), last = Math.min(show.lines - 1, lineAt(view.to) + 1);
    const step = Math.max(1, Math.floor((last - first) / (2 * (width - left - right))));
    if (dash === "dots") return drawDots(row, column, style, first, last, step);
    stroke(style, dash);
    pen.beginPath();
    let open = false;
    for (let i = first; i <= last; i += step) {
      if (column[i] === null) { open = false; continue; }
      const x = xOf(show.t[i]), y = yOf(row, column[i]);
      if (open) pen.lineTo(x, y); else pen.moveTo(x, y);
      open = true;
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  // For what is measured anew each time and need not be smooth.
  function drawDots(row, column, style, first, last, step) {
    pen.fillStyle = style;
    for (let i = first; i <= last; i += step) {
      if (column[i] !== null) pen.fillRect(xOf(show.t[i]) - 0.75 * unit, yOf(row, column[i]) - 0.75 * unit, 1.5 * unit, 1.5 * unit);
    }
  }

  function drawMarks() {
    const y = rows.marks.top + rows.marks.height / 2, r = 5 * unit;
    text(pen, "events", 10 * unit, y, { size: 11 });
    const seen = show.events.filter(({ t }) => t >= view.from && t <= view.to);
    const through = seen.length < MANY_EVENTS;
    for (const event of seen) {
      const x = xOf(event.t), stem = show.stems.indexOf(event.stem);
      if (x < left || x > width - right) continue;
      const [shape, style] = MARKS[event.event] || ["dot", "#98a0b5"];
      pen.strokeStyle = pen.fillStyle = style || stemColours[stem] || "#98a0b5";
      if (through && (shape === "cross" || shape === "ring" || shape === "diamond")) {
        pen.globalAlpha = 0.5;
        pen.fillRect(x - 0.5, y, 1, height - y);
        pen.globalAlpha = 1;
      }
      pen.lineWidth = 2 * unit;
      pen.beginPath();
      shapes[shape](x, y, r);
    }
  }

  const shapes = {
    diamond: (x, y, r) => { pen.moveTo(x, y - r); pen.lineTo(x + r, y); pen.lineTo(x, y + r); pen.lineTo(x - r, y); pen.fill(); },
    down: (x, y, r) => { pen.moveTo(x - r, y - r); pen.lineTo(x + r, y - r); pen.lineTo(x, y + r); pen.fill(); },
    up: (x, y, r) => { pen.moveTo(x - r * 0.7, y); pen.lineTo(x + r * 0.7, y); pen.lineTo(x, y - r); pen.fill(); },
    low: (x, y, r) => { pen.moveTo(x - r * 0.7, y); pen.lineTo(x + r * 0.7, y); pen.lineTo(x, y + r); pen.fill(); },
    bars: (x, y, r) => { pen.fillRect(x - r * 0.8, y - r, r * 0.6, 2 * r); pen.fillRect(x + r * 0.2, y - r, r * 0.6, 2 * r); },
    cross: (x, y, r) => { pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x - r, y + r); pen.lineTo(x + r, y - r); pen.stroke(); },
    ring: (x, y, r) => { pen.arc(x, y, r * 0.85, 0, 7); pen.stroke(); },
    dot: (x, y, r) => { pen.arc(x, y, r * 0.6, 0, 7); pen.fill(); },
  };

  function drawCursor(t) {
    cursorX = xOf(t);
    drawnAt = t;
    over.clearRect(0, 0, width, height);
    if (cursorX < left - 1 || cursorX > width - right + 1) return;
    over.fillStyle = "#fff";
    over.fillRect(cursorX - unit * 0.75, rows.ruler.top + 18 * unit, 1.5 * unit, height);
    const words = clockText(t), wide = (words.length > 5 ? 70 : 52) * unit, x = Math.min(width - right - wide / 2, Math.max(left + wide / 2 - 8, cursorX));
    over.beginPath();
    over.roundRect(x - wide / 2, rows.ruler.top, wide, 18 * unit, 9 * unit);
    over.fill();
    text(over, words, x, rows.ruler.top + 9.5 * unit, { weight: 600, fill: "#0a0c12", align: "center" });
    dot(rows.energy, "energy", t, (v) => v.toFixed(2));
    dot(rows.tempo, "bpm", t, (v) => v.toFixed(1));
    if (rows.loudness) dot(rows.loudness, "lufs", t, (v) => v.toFixed(1));
    dot(rows.people, "people", t, (v) => String(Math.round(v)));
  }

  function dot(row, name, t, say) {
    const value = valueAt(name, t);
    if (value === null) return;
    const y = yOf(row, value), flip = cursorX > width - right - 60 * unit;
    over.fillStyle = "#fff";
    over.beginPath();
    over.arc(cursorX, y, 4 * unit, 0, 7);
    over.fill();
    over.strokeStyle = "#12151e";
    over.lineWidth = 4 * unit;
    over.lineJoin = "round";
    over.font = `600 ${12 * unit}px system-ui, sans-serif`;
    over.textAlign = flip ? "right" : "left";
    over.textBaseline = "middle";
    const x = cursorX + (flip ? -9 : 9) * unit;
    over.strokeText(say(value), x, y - 8 * unit);
    over.fillText(say(value), x, y - 8 * unit);
  }

  // Show a part of the night, around t.
  function zoom(factor, t) {
    const span = Math.min(show.end, Math.max(8, (view.to - view.from) * factor));
    const share = (t - view.from) / (view.to - view.from);
    showFrom(t - Math.min(1, Math.max(0, share)) * span, span);
  }

  function showFrom(from, span) {
    view.from = Math.max(0, Math.min(show.end - span, from));
    view.to = view.from + span;
    draw();
  }

  // Turns the page when the cursor leaves what is shown.
  function follow(t) {
    const span = view.to - view.from;
    if (t < view.from || t > view.to) showFrom(t - 0.1 * span, span);
  }

  return {
    element: cursor, draw, drawCursor, zoom, follow, timeOf,
    // From the pixel where the cursor stands, so that what is told is what is seen.
    time: () => timeOf(cursorX),
  };
})();
