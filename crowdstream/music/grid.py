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

from crowdstream.music.onsets import (
    FINE_HOP,
    FINE_RATE,
    FINE_WINDOW,
    FRAME_RATE,
    Onsets,
    band_power,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]
    Floats = NDArray[np.floating[Any]]

SLOWEST_BPM: Final = 80.0
FASTEST_BPM: Final = 160.0
"""Tempo is told within one octave."""

EDGE: Final = 0.006
"""So far beyond its ends, relatively, both octaves are weighed by what is heard."""

BAR: Final = 4
REPEATS: Final = {1: 1.0, 2: 1.0, 4: 1.5, 8: 1.0, 16: 1.0}
"""Beats after which music in four repeats, and their weight."""

LOUDNESS_OF_BANDS: Final = (1.2, 1.0, 0.7)
"""Weight of low, mid and high: the beat is the kick's before it is the hat's."""

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

    @property
    def beat_seconds(self) -> float:
        """Length of a beat."""
        return 60.0 / self.bpm


def fine_rises(mono: Sound) -> Floats:
    """Rises at FINE_RATE, shape (3, frames): low, mid, high."""
    power = band_power(mono, FINE_WINDOW, FINE_HOP, (0.0, 280.0, 2500.0, 11500.0))
    loud = np.quantile(power[:, ::10], 0.98, axis=1)
    floor = np.maximum(1e-4 * loud, 1e-7 * loud.max() + 1e-14)
    level = np.log10(power + floor[:, np.newaxis])
    rise = np.zeros_like(level)
    rise[:, 3:] = np.maximum(level[:, 3:] - level[:, :-3], 0.0)
    return rise


def measure_grid(onsets: Onsets, fine: Floats) -> Grid:
    """The grid that explains the rises best."""
    repeats = autocorrelation(onsets.coarse)
    period, scores = _best_period(repeats)
    period = _longer(repeats, period)
    period, drift, share = straighten(fine, period / FRAME_RATE)
    period = _octave(fine, period)
    phase, phase_margin = _phase(fine, period)
    confidence, reason = _trust(repeats, period * FRAME_RATE, scores, drift, share, phase_margin)
    return Grid(float(60.0 / period), float(phase), confidence, drift, reason)


def autocorrelation(rows: Floats) -> Floats:
    """How well the rows agree with themselves a lag later (in frames), 1 at lag 0."""
    count = rows.shape[1]
    size = 1 << (2 * count - 1).bit_length()
    total = np.zeros(count)
    for row, weight in zip(rows, LOUDNESS_OF_BANDS, strict=True):
        spectrum = np.fft.rfft(row, size)
        same = np.fft.irfft(np.square(spectrum.real) + np.square(spectrum.imag), size)[:count]
        total += weight * same / (same[0] + 1e-9)
    # Late lags compare less sound; what is left of less than a quarter says nothing sure.
    return total / sum(LOUDNESS_OF_BANDS) / np.maximum(1.0 - np.arange(count) / count, 0.25)


def at_lag(repeats: Floats, lag: Floats | float) -> Floats:
    """Agreement at lags between frames; NaN where less than a fifth of the sound is left."""
    lags = np.asarray(lag, np.float64)
    index = np.clip(lags.astype(np.int64), 0, len(repeats) - 2)
    part = lags - index
    value = repeats[index] * (1.0 - part) + repeats[index + 1] * part
    return np.where(lags < 0.8 * len(repeats), value, np.nan)


def repetition(repeats: Floats, period: Floats) -> Floats:
    """How well music repeats after 1, 2, 4, 8 and 16 beats of this period (frames)."""
    total, weights = np.zeros_like(period), np.zeros_like(period)
    for beats, weight in REPEATS.items():
        value = at_lag(repeats, beats * period)
        there = ~np.isnan(value)
        total += np.where(there, weight * np.nan_to_num(value), 0.0)
        weights += weight * there
    return total / np.maximum(weights, 1e-9)


def _best_period(repeats: Floats) -> tuple[float, tuple[float, float]]:
    """The period in frames with the best score, that score, and the best that is no octave of it."""
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
            period = _top(values, best, around[0], 0.25) / beats
        beats *= 2
    return period


def _top(values: Floats, best: int, first: float, step: float) -> float:
    """Where a parabola through a maximum and its neighbours is highest."""
    if not 0 < best < len(values) - 1:
        return first + step * best
    left, middle, right = (float(v) for v in values[best - 1 : best + 2])
    bend = left - 2 * middle + right
    aside = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return first + step * (best + aside)


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
        drift = float(away[order][min(np.searchsorted(passed, 0.95), len(order) - 1)])
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
        lags.append(_top(near, best, -reach, 1.0) / FINE_RATE)
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


def _octave(fine: Floats, period: float) -> float:
    """Into the octave; at its very ends, where both would do, by what is struck between beats."""
    while 60.0 / period < SLOWEST_BPM * (1 - EDGE):
        period /= 2
    while 60.0 / period > FASTEST_BPM * (1 + EDGE):
        period *= 2
    slow = period if 60.0 / period < 1.5 * SLOWEST_BPM else 2 * period
    if not SLOWEST_BPM * (1 - EDGE) <= 60.0 / slow <= SLOWEST_BPM * (1 + EDGE):
        return period
    bins = round(slow * FINE_RATE)
    profile = _blurred(fold(fine, slow, bins), 21)
    phase, _ = _phase(fine, slow)
    here = round(phase * FINE_RATE) % bins
    half = (here + bins // 2) % bins
    strokes = profile - np.median(profile, axis=1, keepdims=True)
    on, between = strokes[:2, here], strokes[:2, half]
    return slow / 2 if float(np.max(between / np.maximum(on, 1e-9))) > 0.5 else slow


STROKES: Final = (1.0, 0.8, 0.35)


def _phase(fine: Floats, period: float) -> tuple[float, float]:
    """(first beat in seconds, margin): where in the period the beat is struck."""
    bins = round(period * FINE_RATE)
    profile = _blurred(fold(fine, period, bins), 9)
    profile -= np.median(profile, axis=1, keepdims=True)
    wide = np.stack([_largest(row, 12) for row in np.maximum(profile, 0.0)])
    strength = np.array(STROKES) @ (wide / (wide.max(axis=1, keepdims=True) + 1e-9))
    best = int(strength.argmax())
    total = np.array(STROKES) @ (profile / (profile.max(axis=1, keepdims=True) + 1e-9))
    near = (best + np.arange(-14, 15)) % bins
    top = int(total[near].argmax())
    at = _top(total[near], top, best - 14, 1.0)
    distance = np.abs((np.arange(bins) - at + bins / 2) % bins - bins / 2)
    rival = float(strength[distance > 0.12 * bins].max(initial=0.0))
    seconds = (at + 0.5) / bins * period + ATTACK_SECONDS
    return seconds % period, 1.0 - rival / float(strength[best] + 1e-9)


def _largest(row: Floats, reach: int) -> Floats:
    """The largest within so many bins to either side, around a circle."""
    return np.max([np.roll(row, shift) for shift in range(-reach, reach + 1)], axis=0)


def _trust(
    repeats: Floats, period: float, scores: tuple[float, float], drift: float, share: float,
    phase_margin: float,
) -> tuple[float, str]:  # fmt: skip
    """Confidence, and what keeps it low."""
    parts = {
        "no steady beat is heard": _steps(scores[0], 0.06, 0.2),
        "another tempo fits nearly as well": _steps(1.0 - scores[1] / (scores[0] + 1e-9), 0.0, 0.12),
        "the music is not in four": _steps(_fourness(repeats, period), -0.06, 0.02),
        "the tempo drifts": _steps(share, 0.3, 0.75),
        "beat and off-beat sound alike": _steps(phase_margin, -0.1, 0.1),
    }
    worst = min(parts, key=lambda name: parts[name])
    confidence = float(np.prod(list(parts.values())))
    return confidence, worst if confidence < 0.5 else ""


def _fourness(repeats: Floats, period: float) -> float:
    """How much better the music repeats after four beats than after three or five or seven."""
    def mean(beats: int) -> float:
        values = at_lag(repeats, np.array([beats, 2 * beats]) * period)
        return float(np.nanmean(values)) if not np.isnan(values).all() else 0.0
    four = mean(4)
    bar = 4 * period
    halves = float(np.nanmean(at_lag(repeats, np.array([bar / 4, bar / 2, bar / 2, bar * 3 / 4]))))
    thirds = float(np.nanmean(at_lag(repeats, np.array([bar / 3, 2 * bar / 3]))))
    return min(four - max(mean(3), mean(5), mean(7)), halves - thirds)


def _steps(value: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`, smooth between."""
    x = min(1.0, max(0.0, (value - low) / (high - low)))
    return x * x * (3.0 - 2.0 * x)
