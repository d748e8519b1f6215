"""The beat grid of a track: one tempo, one first beat, and how far both can be trusted.

The tempo is the period at which the rises of the sound repeat, asked at once over a beat, two, a
bar, two bars and four: a period of three sixteenths or of two beats' thirds is strong at one of
these and weak at the others. It is then made exact over the length of the track, and every two
bars are asked whether they agree: a drummer who drifts does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.music.doubt import Evidence, first_stroke, tempo_wander, trust
from crowdstream.music.onsets import (
    FINE_HOP,
    FINE_RATE,
    FINE_WINDOW,
    FRAME_RATE,
    Onsets,
    band_power,
)
from crowdstream.music.repeats import at_lag, autocorrelation, repetition, top_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]
    Floats = NDArray[np.floating[Any]]

SLOWEST_BPM: Final = 80.0
FASTEST_BPM: Final = 160.0
"""Tempo is told within one octave."""

EDGE: Final = 0.006
"""So far beyond its ends, relatively, both octaves are weighed by what is heard."""

UNSURE: Final = 0.45
"""The confidence of what is one of two."""

PLAIN_LOOK: Final = 1.4
"""Drums that look so much like bars, with a kick on every beat, tell where the beat is."""

BAR: Final = 4
LOUDNESS: Final = 0.3

FINE_HZ: Final = (0.0, 280.0, 1200.0, 4500.0, 11500.0)
"""Edges of the fine bands: the body of a kick; bass and chords; the crack of a snare; hats."""

ATTACK_SECONDS: Final = 0.0
"""From where the rise is greatest to where the stroke begins."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Beats on a straight line."""

    bpm: float
    first_beat_seconds: float
    """The first beat that lies in the sound, 0 to one beat; not yet the first of a bar."""

    confidence: float
    """0 to 1; below 0.5 somebody should look at it."""

    drift_seconds: float
    """How far the music strays from the line: 95 % of it lies closer."""

    reason: str
    """Why the confidence is low; empty when it is not."""

    octave_is_clear: bool
    """A kick on every beat and not on every half: nobody would count half or twice as fast."""

    bars: tuple[float, ...]
    """How much the drums look like bars that begin at the first, second… beat: -2 to 2."""

    @property
    def beat_seconds(self) -> float:
        """Length of a beat."""
        return 60.0 / self.bpm


@dataclass(frozen=True, slots=True)
class Strokes:
    """Loudness of four bands (FINE_HZ) at FINE_RATE, seen in two ways; shape (4, frames)."""

    rises: Floats
    """How much it rises within 3 ms: when a stroke begins."""

    accents: Floats
    """How much louder the next 60 ms are than the last 30: how much weight a stroke has."""


def strokes_of(mono: Sound) -> Strokes:
    """The strokes of one channel at RATE.

    Loudness grows with the 0.3rd power of power (Stevens 1957): a ghost note stays a ghost, and
    the hardest stroke does not drown all others.
    """
    level = band_power(mono, FINE_WINDOW, FINE_HOP, FINE_HZ) ** LOUDNESS
    rises = np.zeros_like(level)
    rises[:, 3:] = np.maximum(level[:, 3:] - level[:, :-3], 0.0)
    total = np.cumsum(np.pad(level, ((0, 0), (33, 64))), axis=1, dtype=np.float64)
    count = level.shape[1]
    before = (total[:, 30 : 30 + count] - total[:, :count]) / 30.0
    after = (total[:, 96 : 96 + count] - total[:, 36 : 36 + count]) / 60.0
    return Strokes(rises, np.maximum(after - before, 0.0).astype(np.float32))


def measure_grid(onsets: Onsets, strokes: Strokes) -> Grid:
    """The grid that explains the rises best."""
    repeats = autocorrelation(onsets.coarse)
    period, scores = _best_period(repeats)
    period = _longer(repeats, period)
    period, drift, share = straighten(strokes.rises, period / FRAME_RATE)
    period, clear = _octave(strokes, period)
    phase, phase_margin = _phase(strokes, period)
    looks = drum_bars(strokes, period)
    on_beats = kicks_on_beats(strokes, period, phase)
    begins = (first_stroke(strokes.accents, strokes.rises) - phase) / period
    confidence, reason = trust(Evidence(
        repeats=repeats, period=period * FRAME_RATE, score=scores[0], rival=scores[1],
        wander=tempo_wander(onsets.coarse, period * FRAME_RATE), share=share, drift=drift,
        phase_margin=phase_margin, begins_off=abs(begins - round(begins)),
        is_plain=on_beats and float(looks.max()) > PLAIN_LOOK, beats=onsets.seconds / period,
    ))  # fmt: skip
    if not clear and confidence >= UNSURE:
        confidence, reason = UNSURE, "it may be twice as fast or half as fast"
    starts = np.rint((phase / period + np.arange(BAR)) * len(looks) / BAR).astype(int)
    near = starts[:, np.newaxis] + np.arange(-30, 31)
    likely = tuple(float(look) for look in looks[near % len(looks)].max(axis=1))
    return Grid(
        float(60.0 / period), float(phase), confidence, drift, reason,
        on_beats, likely,
    )  # fmt: skip


def _best_period(repeats: Floats) -> tuple[float, tuple[float, float]]:
    """The best period in frames, its score, and that of the best that is no octave of it."""
    low, high = SLOWEST_BPM * (1 - EDGE), FASTEST_BPM * (1 + EDGE)
    bpm = np.exp(np.linspace(math.log(low), math.log(high), 1400))
    score = repetition(repeats, 60.0 * FRAME_RATE / bpm)
    best = int(score.argmax())
    octaves = np.log2(bpm / bpm[best])
    other = np.abs(octaves - np.rint(octaves)) > 0.06
    return 60.0 * FRAME_RATE / bpm[best], (float(score[best]), float(score[other].max(initial=0.0)))


def _longer(repeats: Floats, period: float) -> float:
    """The period made exact at ever longer lags, as far as the music repeats."""
    beats, good = 4, float(at_lag(repeats, 4 * period))
    while beats * period < 0.7 * len(repeats):
        around = beats * period + np.arange(-2.5, 2.51, 0.25)
        values = at_lag(repeats, around)
        if np.isnan(values).any():
            break
        best = int(values.argmax())
        if values[best] > 0.4 * good and 0 < best < len(values) - 1:
            period = top_of(values, best, around[0], 0.25) / beats
        beats *= 2
    return period


def fold(rows: Floats, period: float, bins: int, start: float = 0.0) -> Floats:
    """Rows at FINE_RATE laid over each other every `period` seconds: their mean, (rows, bins)."""
    seconds = start + np.arange(rows.shape[1]) / FINE_RATE
    index = ((seconds / period) % 1.0 * bins).astype(np.int64) % bins
    count = np.bincount(index, minlength=bins)
    return np.stack(
        [np.bincount(index, row, minlength=bins) / np.maximum(count, 1) for row in rows]
    )


SEGMENT_BEATS: Final = 8
REACH_SECONDS: Final = 0.05


def straighten(fine: Floats, period: float) -> tuple[float, float, float]:
    """(period, drift, share): the period (seconds) on which all parts of the track agree best.

    `drift` is how far its parts stray from the line, in seconds; `share` is how much of the
    music's rises lies in parts that agree within 15 ms.
    """
    drift, share = 0.0, 1.0
    for _ in range(4):
        middles, lags, weights = _lags(fine, period)
        if len(lags) < 3:
            return period, 0.0, 0.0
        slope, level = _line(middles, lags, weights)
        away = np.abs(lags - level - slope * middles)
        share = float(weights[away < 0.015].sum() / weights.sum())
        order = np.argsort(away)
        passed = np.cumsum(weights[order]) / weights.sum()
        most = min(int(np.searchsorted(passed, 0.95)), len(order) - 1)
        drift = float(away[order[most]])
        period *= 1.0 + slope
        if abs(slope) < 1e-7:
            break
    return period, drift, share


def _lags(fine: Floats, period: float) -> tuple[Floats, Floats, Floats]:
    """How late each two bars are (middle of each, lag, weight), against all of them together."""
    bins = round(BAR * period * FINE_RATE)
    whole = _blurred(fold(fine, BAR * period, bins))
    length = SEGMENT_BEATS * period * FINE_RATE
    count = int(fine.shape[1] / length)
    template = np.conj(np.fft.rfft(whole - whole.mean(axis=1, keepdims=True), axis=1))
    reach = round(REACH_SECONDS * FINE_RATE)
    middles, lags, weights = [], [], []
    for part in range(count):
        begin = round(part * length)
        piece = fine[:, begin : round((part + 1) * length)]
        here = _blurred(fold(piece, BAR * period, bins, begin / FINE_RATE))
        here -= here.mean(axis=1, keepdims=True)
        same = np.fft.irfft((np.fft.rfft(here, axis=1) * template).sum(axis=0), bins)
        near = np.concatenate((same[-reach:], same[: reach + 1]))
        best = int(near.argmax())
        middles.append((part + 0.5) * length / FINE_RATE)
        lags.append(top_of(near, best, -reach, 1.0) / FINE_RATE)
        weights.append(max(float(near[best]), 0.0) + 1e-12)
    return np.array(middles), np.array(lags), np.array(weights)


def _line(x: Floats, y: Floats, weights: Floats) -> tuple[float, float]:
    """Slope and level of a straight line; what lies far from it counts little (Huber 1964)."""
    trust = weights.copy()
    slope = level = 0.0
    for _ in range(8):
        total = trust.sum()
        middle, mean = (trust * x).sum() / total, (trust * y).sum() / total
        slope = float((trust * (x - middle) * (y - mean)).sum())
        slope /= float((trust * np.square(x - middle)).sum()) + 1e-12
        level = float(mean - slope * middle)
        away = np.abs(y - level - slope * x)
        trust = weights * np.minimum(1.0, 0.004 / np.maximum(away, 1e-6))
    return slope, level


def _blurred(rows: Floats, bins: int = 7) -> Floats:
    """Around a circle, by a few milliseconds."""
    shape = np.hanning(bins + 2)[1:-1]
    total = np.zeros_like(rows)
    for shift, weight in enumerate(shape / shape.sum()):
        total += weight * np.roll(rows, shift - bins // 2, axis=1)
    return total


def _octave(strokes: Strokes, period: float) -> tuple[float, bool]:
    """Into the octave; at its ends, where both would do, by what is struck between the beats.

    Says whether it is clear.
    """
    while 60.0 / period < SLOWEST_BPM * (1 - EDGE):
        period /= 2
    while 60.0 / period > FASTEST_BPM * (1 + EDGE):
        period *= 2
    slow = period if 60.0 / period < 1.5 * SLOWEST_BPM else 2 * period
    if not SLOWEST_BPM * (1 - EDGE) <= 60.0 / slow <= SLOWEST_BPM * (1 + EDGE):
        return period, True
    bins = round(slow * FINE_RATE)
    kick, snare = _drums(strokes, slow, bins)
    here = round(_phase(strokes, slow)[0] * FINE_RATE)
    around = np.arange(-20, 21)
    kicks, snares = (
        [float(row[(here + half + around) % bins].max()) for half in (0, bins // 2)]
        for row in (kick, snare)
    )
    # Between the beats there are as many kicks as on them, or kick and snare take turns.
    even = min(kicks) > 0.6 * max(kicks)
    in_turn = min(kicks) < 0.3 * max(kicks) and min(snares) < 0.3 * max(snares)
    in_turn = in_turn and (kicks[0] > kicks[1]) != (snares[0] > snares[1])
    # Who plays half time is as right at half the tempo; only a kick on each beat settles it.
    twice, _ = _drums(strokes, 2 * slow, 2 * bins)
    each = [float(twice[(here + late + around) % (2 * bins)].max()) for late in (0, bins)]
    steady = min(each) > 0.6 * float(twice.max())
    clear = steady and not 0.3 < min(kicks) / (max(kicks) + 1e-9) < 0.75
    return slow / 2 if even or in_turn else slow, clear


def kicks_on_beats(strokes: Strokes, period: float, phase: float) -> bool:
    """Whether a kick is struck on each beat, and not on each of the halves between.

    `period` and `phase` are the length of a beat and when one is, in seconds.
    """
    # Laid over each other every four beats a waltz has a kick on each; every three it has not.
    for beats in (3, 5, 7, BAR):
        bins = round(beats * period * FINE_RATE)
        kick, _ = _drums(strokes, beats * period, bins)
        places = phase * FINE_RATE + np.arange(2 * beats) * bins / (2 * beats)
        around = np.rint(places).astype(int)[:, np.newaxis] + np.arange(-20, 21)
        near = kick[around % bins].max(axis=1)
        # Weights of a bar differ more: a clap lies on two of its kicks.
        if near[::2].min() < (0.3 if beats == BAR else 0.4) * near.max():
            return False
    return bool(near[1::2].min() < 0.4 * near.max())


def _drums(strokes: Strokes, length: float, bins: int) -> tuple[Floats, Floats]:
    """(kick, snare): their weight over a length in seconds, laid over each other; from 0."""
    weight = fold(strokes.accents, length, bins)
    sharp = _largest(_blurred(fold(strokes.rises, length, bins), 9), 8)
    weight -= weight.min(axis=1, keepdims=True)
    # A kick begins with a click, which a bass note of the same weight does not.
    clicks = sharp[1:3] / (sharp[1:3].max(axis=1, keepdims=True) + 1e-9)
    return weight[0] * (0.1 + clicks.mean(axis=0)), weight[2]


KICKS: Final = (1.0, 0, 0.2, 0.2, 0.5, 0, 0.25, 0.2, 0.7, 0.1, 0.4, 0.1, 0.5, 0, 0.2, 0.1)
BACKBEAT: Final = (0, 0, 0, 0.1, 1.0, 0, 0, 0.2, 0.3, 0.2, 0, 0, 1.0, 0, 0.1, 0.2)
HALF_TIME: Final = (0, 0, 0, 0.1, 0.1, 0, 0, 0.2, 1.0, 0.1, 0, 0, 0.1, 0, 0.1, 0.2)
DEMBOW: Final = (0, 0, 0, 1.0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0, 0, 1.0, 0)
"""How often drummers strike on each sixteenth of a bar: bass drum; snare or clap."""


SNARES: Final = ((BACKBEAT, 1.0), (HALF_TIME, 1.0), (DEMBOW, 0.8))
"""Patterns of the snare, and how much each tells: what avoids the beats may be other things."""


def drum_bars(strokes: Strokes, period: float) -> Floats:
    """How much the strokes look like bars that begin at each millisecond of a bar, -2 to 2."""
    bins = round(BAR * period * FINE_RATE)
    kick, snare = _drums(strokes, BAR * period, bins)
    kicks = _likeness(kick, KICKS)
    backs = [trust * _likeness(snare, pattern) for pattern, trust in SNARES]
    bars: Floats = kicks + np.max(backs, axis=0)
    return bars


def _likeness(profile: Floats, pattern: tuple[float, ...]) -> Floats:
    """Correlation of a profile with a pattern of sixteenths that begins at each of its bins."""
    bins = len(profile)
    away = np.abs((np.arange(bins) + bins / 2) % bins - bins / 2)
    width = bins / 16 * 0.2
    hit = np.exp(-0.5 * np.square(away / width))
    wanted = np.zeros(bins)
    for step, weight in enumerate(pattern):
        wanted += weight * np.roll(hit, round(step * bins / 16))
    wanted -= wanted.mean()
    here = np.fft.irfft(np.fft.rfft(profile - profile.mean()) * np.fft.rfft(hit), bins)
    same = np.fft.irfft(np.fft.rfft(here) * np.conj(np.fft.rfft(wanted)), bins)
    size = math.sqrt(float(here @ here) * float(wanted @ wanted))
    return same / (size + 1e-12)


WEIGHTS: Final = (1.0, 0.6, 0.8, 0.35)
"""Of the fine bands, in how much a stroke tells of the beat."""


def _phase(strokes: Strokes, period: float) -> tuple[float, float]:
    """(first beat in seconds, margin): where in the period the beat is struck."""
    bars = drum_bars(strokes, period)
    first = int(bars.argmax())
    quarter = len(bars) / BAR
    distance = np.abs((np.arange(len(bars)) - first + quarter / 2) % quarter - quarter / 2)
    rival = float(bars[distance > 0.12 * quarter].max(initial=-1.0))
    bins = round(period * FINE_RATE)
    sharp = _blurred(fold(strokes.rises, period, bins), 9)
    sharp -= np.median(sharp, axis=1, keepdims=True)
    total = np.array(WEIGHTS) @ (sharp / (sharp.max(axis=1, keepdims=True) + 1e-9))
    # Accents begin some milliseconds before the stroke: they look ahead.
    best = round(first * bins * BAR / len(bars))
    near = (best + np.arange(-30, 31)) % bins
    top = int((total[near] * np.hanning(71)[5:-5]).argmax())
    at = top_of(total[near], top, best - 30, 1.0)
    seconds = (at + 0.5) / bins * period + ATTACK_SECONDS
    return seconds % period, float(bars[first]) - rival


def _largest(row: Floats, reach: int) -> Floats:
    """The largest within so many bins to either side, around a circle."""
    largest: Floats = np.max(
        [np.roll(row, shift, axis=-1) for shift in range(-reach, reach + 1)], axis=0
    )
    return largest
