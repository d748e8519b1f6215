"""How well music repeats after a time: what tells a tempo from its rivals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

REPEATS: Final = {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.5, 5: 1.0, 6: 1.0, 7: 1.0, 8: 1.5, 16: 1.0}
"""Beats after which music in four repeats, and their weight. The odd ones tell a beat from what
only fits into the bar: a dotted rhythm, a bar of three in which somebody counts four."""

LOUDNESS_OF_BANDS: Final = (1.2, 1.0, 0.7)
"""Weight of low, mid and high: the beat is the kick's before it is the hat's."""


def autocorrelation(rows: Floats) -> Floats:
    """How well the rows agree with themselves a lag later (in frames), 1 at lag 0."""
    count = rows.shape[1]
    size = 1 << (2 * count - 1).bit_length()
    total = np.zeros(count)
    for row, weight in zip(rows, LOUDNESS_OF_BANDS, strict=True):
        row = np.convolve(row, (0.1, 0.25, 0.3, 0.25, 0.1), "same")  # no loss between frames
        spectrum = np.fft.rfft(row, size)
        same = np.fft.irfft(np.square(spectrum.real) + np.square(spectrum.imag), size)[:count]
        total += weight * same / (same[0] + 1e-9)
    # Late lags compare less sound; what is left of less than a quarter says nothing sure.
    repeats: Floats = (
        total / sum(LOUDNESS_OF_BANDS) / np.maximum(1.0 - np.arange(count) / count, 0.25)
    )
    return repeats


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


def near_lags(repeats: Floats, lags: Floats) -> float:
    """Mean of the best agreements within a frame and a half; 0 where the sound is too short."""
    best = at_lag(repeats, lags[:, np.newaxis] + np.linspace(-1.5, 1.5, 7)).max(axis=1)
    there = best[~np.isnan(best)]
    return float(there.mean()) if len(there) else 0.0


def top_of(values: Floats, best: int, first: float, step: float) -> float:
    """Where a parabola through a maximum and its neighbours is highest."""
    if not 0 < best < len(values) - 1:
        return first + step * best
    left, middle, right = (float(v) for v in values[best - 1 : best + 2])
    bend = left - 2 * middle + right
    aside = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return first + step * (best + aside)
