// The dance floor: recorded joints, moved smoothly between the lines of the show.

const BONES = [[11, 13], [13, 15], [12, 14], [14, 16], [5, 7], [7, 9], [6, 8], [8, 10]];
const MOVERS = [0, 7, 8, 9, 10, 13, 14, 15, 16];   // the joints that energy is made of
const BODY_PER_TORSO = 3.45;                       // body length over shoulders to hips
const APART = 0.5;                                 // picture heights in one line: not the same move
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// From still to lively: blue, rose, amber.
const PALETTE = Array.from({ length: 33 }, (_, k) => {
  const stops = [[92, 130, 255], [255, 96, 160], [255, 214, 110]];
  const place = (k / 32) * 2, i = Math.min(1, Math.floor(place)), u = place - i;
  return stops[i].map((low, c) => Math.round(low + (stops[i + 1][c] - low) * u));
});

const dancers = (() => {
  const canvas = document.getElementById("dancers"), pen = canvas.getContext("2d");
  const drawn = show.joints && unpack(show.joints);
  const horizon = drawn ? horizonOf(drawn) : 0.5;
  const known = new Map();     // line -> {index by id, speeds}; a few lines around the cursor
  let drawnAt = -1, fineness = 1;

  function unpack(joints) {
    const counts = new Uint16Array(bytesOf(joints.counts).buffer);
    const first = new Uint32Array(counts.length + 1);
    counts.forEach((count, i) => { first[i + 1] = first[i] + count; });
    return {
      first, counts, steps: joints.steps,
      ids: new Int32Array(bytesOf(joints.ids).buffer),
      xy: new Int16Array(bytesOf(joints.xy).buffer),
    };
  }

  // The floor begins a little above the farthest feet.
  function horizonOf({ xy, steps }) {
    let top = 1;
    for (let k = 31; k < xy.length; k += 34) top = Math.min(top, xy[k] / steps);
    return Math.max(0.2, Math.min(0.75, top - 0.09));
  }

  function line(i) {
    if (!known.has(i)) {
      if (known.size > 16) known.clear();
      const index = new Map();
      for (let k = drawn.first[i]; k < drawn.first[i + 1]; k++) index.set(drawn.ids[k], k);
      known.set(i, index);
    }
    return known.get(i);
  }

  const x = (k, joint) => drawn.xy[k * 34 + joint * 2] / drawn.steps;
  const y = (k, joint) => drawn.xy[k * 34 + joint * 2 + 1] / drawn.steps;

  // Mean speed of a person's movers between two lines, in body lengths per second.
  function speed(a, b, seconds) {
    const torso = Math.hypot(x(a, 5) + x(a, 6) - x(a, 11) - x(a, 12), y(a, 5) + y(a, 6) - y(a, 11) - y(a, 12)) / 2;
    let sum = 0;
    for (const joint of MOVERS) sum += Math.hypot(x(b, joint) - x(a, joint), y(b, joint) - y(a, joint));
    return sum / MOVERS.length / Math.max(0.02, torso * BODY_PER_TORSO) / Math.max(0.02, seconds);
  }

  // A curve through four places, or a straight line where one of the outer two is missing.
  function between(p, a, b, q, u) {
    if (p === null) p = a - (b - a);
    if (q === null) q = b + (b - a);
    return a + 0.5 * u * (b - p + u * (2 * p - 5 * a + 4 * b - q + u * (3 * (a - b) + q - p)));
  }

  // Everyone at t: 17 places each, how much they are there (0..1), how lively they are.
  function peopleAt(t) {
    if (!drawn) return [];
    const i = lineAt(t), j = Math.min(i + 1, show.lines - 1), gap = show.t[j] - show.t[i];
    const u = gap > 0 ? Math.min(1, Math.max(0, (t - show.t[i]) / gap)) : 0;
    const before = line(Math.max(0, i - 1)), here = line(i), there = line(j), after = line(Math.min(j + 1, show.lines - 1));
    const people = [];
    for (const [id, a] of here) {
      const b = there.get(id);
      if (b === undefined || Math.hypot(x(b, 11) - x(a, 11), y(b, 11) - y(a, 11)) > APART) {
        people.push({ at: placesOf(a), there: 1 - u, lively: 0 });
        continue;
      }
      const p = before.get(id), q = after.get(id), at = new Float64Array(34);
      for (let c = 0; c < 34; c++) {
        const value = (k) => (k === undefined ? null : drawn.xy[k * 34 + c] / drawn.steps);
        at[c] = between(value(p), value(a), value(b), value(q), u);
      }
      const now = speed(a, b, gap), last = p === undefined ? now : speed(p, a, gap), next = q === undefined ? now : speed(b, q, gap);
      people.push({ at, there: 1, lively: (last * (1 - u) + now + next * u) / 2 });
    }
    for (const [id, b] of there) if (!here.has(id)) people.push({ at: placesOf(b), there: u, lively: 0 });
    return people.sort((one, other) => feet(one.at) - feet(other.at));
  }

  const placesOf = (k) => Float64Array.from({ length: 34 }, (_, c) => drawn.xy[k * 34 + c] / drawn.steps);
  const feet = (at) => Math.max(at[31], at[33]);

  function draw(t) {
    const ratio = Math.min(devicePixelRatio || 1, 2) * fineness, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scale = Math.min(width / show.aspect, height), left = (width - scale * show.aspect) / 2, top = height - scale;
    const light = lightAt(t), floor = top + horizon * scale;
    drawRoom(width, height, floor, t, light);
    drawLights(width, height, floor, t, light);
    if (drawn) for (const person of peopleAt(t)) drawPerson(person, scale, left, top, light);
    else drawGlow(width, height, valueAt("energy", t) || 0);
    if (light.flash) {
      pen.fillStyle = `rgba(255,255,255,${light.flash})`;
      pen.fillRect(0, 0, width, height);
    }
    drawnAt = t;
  }

  // What the light of the room does. The strobe is only hinted at, far below three flashes a
  // second of full contrast: real ones harm some people.
  function lightAt(t) {
    const words = (wordAt(show.scenes, t) + " " + wordAt(show.states, t)).toLowerCase();
    const strobe = /strobe|flash/.test(words), dark = /blackout|dark/.test(words);
    const beat = valueAt("beat", t) || 0;
    const flash = !strobe ? 0 : calm.matches ? 0.05 : 0.11 * Math.exp(-5 * ((t * 2.2) % 1));
    return { beat, flash, level: dark ? (strobe ? 0.65 : 0.4) : 1 };
  }

  function drawRoom(width, height, floor, t, light) {
    const wall = pen.createLinearGradient(0, 0, 0, floor);
    wall.addColorStop(0, "#07080d");
    wall.addColorStop(1, "#0f121c");
    pen.fillStyle = wall;
    pen.fillRect(0, 0, width, floor);
    const ground = pen.createLinearGradient(0, floor, 0, height);
    ground.addColorStop(0, "#10131e");
    ground.addColorStop(1, "#1c2132");
    pen.fillStyle = ground;
    pen.fillRect(0, floor, width, height - floor);
    const beat = light.beat % 1, pulse = Math.exp(-4 * beat) * light.level;
    pen.strokeStyle = `rgba(150,170,230,${0.07 + 0.06 * pulse})`;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let k = -14; k <= 14; k++) {
      pen.moveTo(width / 2 + k * width * 0.045, floor);
      pen.lineTo(width / 2 + k * width * 0.16, height);
    }
    for (let k = 0; k < 9; k++) {
      const depth = floor + (height - floor) * (1 / (1 + 0.45 * (8 - k)) - 0.217) / 0.783;
      pen.moveTo(0, depth);
      pen.lineTo(width, depth);
    }
    pen.stroke();
  }

  // One beam for each stem, as bright as the stem is loud; the drums' beam follows the beat.
  function drawLights(width, height, floor, t, light) {
    const decks = decksAt(t), swing = calm.matches ? 0 : Math.sin((light.beat / 16) * 2 * Math.PI);
    pen.globalCompositeOperation = "lighter";
    show.stems.forEach((stem, k) => {
      const gain = Math.min(1, Math.max(...decks.map((deck) => deck.gains[stem])));
      const pulse = k === 0 ? 0.55 + 0.45 * Math.exp(-4 * (light.beat % 1)) : 1;
      const strength = gain * pulse * light.level;
      if (strength < 0.01) return;
      const from = width * (0.17 + 0.22 * k), to = from + width * 0.05 * swing * (k % 2 ? -1 : 1);
      const wide = width * 0.11, end = floor + (height - floor) * 0.55;
      const beam = pen.createLinearGradient(0, 0, 0, end);
      pen.globalAlpha = 0.34 * strength;
      beam.addColorStop(0, stemColours[k]);
      beam.addColorStop(1, stemColours[k] + "00");
      pen.fillStyle = beam;
      pen.beginPath();
      pen.moveTo(from - width * 0.006, 0);
      pen.lineTo(from + width * 0.006, 0);
      pen.lineTo(to + wide, end);
      pen.lineTo(to - wide, end);
      pen.fill();
      pen.save();
      pen.translate(to, floor + (height - floor) * 0.4);
      pen.scale(1, 0.22);
      const pool = pen.createRadialGradient(0, 0, 0, 0, 0, wide * 1.5);
      pool.addColorStop(0, stemColours[k]);
      pool.addColorStop(1, stemColours[k] + "00");
      pen.fillStyle = pool;
      pen.beginPath();
      pen.arc(0, 0, wide * 1.5, 0, 7);
      pen.fill();
      pen.restore();
    });
    pen.globalAlpha = 1;
    pen.globalCompositeOperation = "source-over";
  }

  // A dancer in the light from above: bright at the head, dark at the feet, in the colour of
  // the own energy, with a dark rim that keeps bodies apart.
  function drawPerson({ at, there, lively }, scale, left, top, light) {
    const px = (joint) => left + at[joint * 2] * scale, py = (joint) => top + at[joint * 2 + 1] * scale;
    const mid = (a, b) => [(px(a) + px(b)) / 2, (py(a) + py(b)) / 2];
    const neck = mid(5, 6), hip = mid(11, 12), ankles = mid(15, 16), head = mid(3, 4), ground = Math.max(py(15), py(16));
    const body = Math.max(20, Math.hypot(neck[0] - hip[0], neck[1] - hip[1]) * BODY_PER_TORSO);
    const rgb = PALETTE[Math.round(32 * energyOf(lively))];
    const near = 0.62 + 0.38 * Math.min(1, (feet(at) - horizon) / Math.max(0.1, 1 - horizon));
    const shade = (k) => `rgb(${rgb.map((c) => Math.round(c * k * near * light.level)).join(",")})`;
    const skin = pen.createLinearGradient(0, head[1] - 0.1 * body, 0, ground);
    skin.addColorStop(0, shade(1.08));
    skin.addColorStop(0.45, shade(0.8));
    skin.addColorStop(1, shade(0.38));
    const waist = (joint) => [0.55 * px(joint) + 0.45 * px(joint - 6), 0.55 * py(joint) + 0.45 * py(joint - 6)];
    const torso = new Path2D(), legs = limbs(BONES.slice(0, 4), px, py), arms = limbs(BONES.slice(4), px, py);
    const inward = (point) => [point[0] + 0.22 * (neck[0] + hip[0] - 2 * point[0]) / 2, point[1]];
    torso.moveTo(px(5), py(5));
    torso.lineTo(px(6), py(6));
    torso.quadraticCurveTo(...inward(waist(12)), px(12), py(12));
    torso.lineTo(px(11), py(11));
    torso.quadraticCurveTo(...inward(waist(11)), px(5), py(5));
    torso.closePath();
    const throat = new Path2D(), skull = new Path2D();
    throat.moveTo(neck[0], neck[1]);
    throat.lineTo(head[0], head[1]);
    skull.ellipse(head[0], head[1] - 0.006 * body, 0.044 * body, 0.056 * body, 0, 0, 7);

    pen.globalAlpha = there;
    pen.fillStyle = "rgba(0,0,0,.5)";
    pen.beginPath();
    pen.ellipse(ankles[0], ground + 0.012 * body, 0.15 * body, 0.03 * body, 0, 0, 7);
    pen.fill();
    pen.lineCap = pen.lineJoin = "round";
    const parts = [[legs, 0.052], [torso, 0.05], [throat, 0.04], [arms, 0.036], [skull, 0.01]];
    for (const rim of [true, false]) {
      pen.strokeStyle = pen.fillStyle = rim ? "rgba(6,7,12,.8)" : skin;
      for (const [path, wide] of parts) {
        if (path === arms && !rim) {       // arms before the chest are seen by their own rim
          pen.strokeStyle = "rgba(6,7,12,.55)";
          pen.lineWidth = (wide + 0.014) * body;
          pen.stroke(path);
          pen.strokeStyle = skin;
        }
        pen.lineWidth = (wide + (rim ? 0.018 : 0)) * body;
        pen.stroke(path);
        if (path === torso || path === skull) pen.fill(path);
      }
    }
    pen.globalAlpha = 1;
  }

  function limbs(bones, px, py) {
    const path = new Path2D();
    for (const [a, b] of bones) {
      path.moveTo(px(a), py(a));
      path.lineTo(px(b), py(b));
    }
    return path;
  }

  // The measure of energy: the same curve of the speed that the camera chain uses.
  function energyOf(v) {
    const place = Math.min(show.energy_of.length - 1.001, Math.max(0, v / show.energy_step)), i = Math.floor(place);
    return show.energy_of[i] + (show.energy_of[i + 1] - show.energy_of[i]) * (place - i);
  }

  // A recording of real people has no joints: their energy is all there is to show.
  function drawGlow(width, height, energy) {
    const [r, g, b] = PALETTE[Math.round(32 * Math.min(1, energy))];
    const wide = height * (0.15 + 0.45 * energy);
    const glow = pen.createRadialGradient(width / 2, height * 0.6, 0, width / 2, height * 0.6, wide);
    glow.addColorStop(0, `rgba(${r},${g},${b},.85)`);
    glow.addColorStop(1, `rgba(${r},${g},${b},0)`);
    pen.fillStyle = glow;
    pen.fillRect(0, 0, width, height);
  }

  // Coarser pixels for a machine that draws too slowly, down to half.
  function coarser() {
    fineness = Math.max(0.5, fineness * 0.8);
  }

  return { draw, coarser, time: () => drawnAt };
})();
