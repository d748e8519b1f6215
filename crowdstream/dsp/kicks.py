"""Where the kicks of a track sound, beside the lines of its beat grid.

A grid is a straight line; drummers, old machines and measuring are some milliseconds beside it, and
a few milliseconds between two kicks are heard as one that has lost its punch. So the kick's own
band is looked at: its envelope, and when that has risen to half of each kick. What that half means
differs little from kick to kick, and the difference between two tracks is all that is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Stem = NDArray[np.int16]

RATE: Final = 2000
"""Samples a second of the envelope; between them it is taken as straight."""

LOW_HZ: Final = 35.0
HIGH_HZ: Final = 150.0
_EDGE_HZ: Final = 25.0
# Width of the slopes of the band: narrow ones would ring.

BEFORE_SECONDS: Final = 0.06
AFTER_SECONDS: Final = 0.1
"""Around a beat, in which its kick is looked for."""

_LEAST: Final = 0.25
# Of the strong kicks of the track: what is weaker is something else.

_RISES: Final = 0.4
# Before a kick there is at most so much of it, or it is a tone that goes on.

_FEW: Final = 4
_SPREAD_SECONDS: Final = 0.012
# Kicks that lie so far apart say nothing.

_PIECE_SECONDS: Final = 30
_MARGIN_SECONDS: Final = 1


def kick_lags(drums: Stem, rate: int, first_seconds: float, bpm: float) -> Floats:
    """How many seconds after each beat its kick has risen to half; NaN where there is none.

    Args:
        drums: what has the kicks, shape (samples, 2).
        rate: samples a second.
        first_seconds: where beat 0 lies.
        bpm: of the grid.
    """
    envelope = _envelope(drums, rate)
    beat = 60.0 / bpm
    count = max(0, int((len(drums) / rate - first_seconds) / beat) + 1)
    lags = np.full(count, np.nan)
    before, after = round(BEFORE_SECONDS * RATE), round(min(AFTER_SECONDS, 0.4 * beat) * RATE)
    heights = np.zeros(count)
    for number in range(count):
        at = (first_seconds + number * beat) * RATE
        begin = round(at) - before
        around = envelope[max(0, begin) : max(0, round(at) + after)]
        if begin < 0 or len(around) < before + after:
            continue
        top = int(around.argmax())
        half = 0.5 * around[top]
        below = np.flatnonzero(around[:top] < half)
        if not len(below) or around[: max(1, before // 3)].mean() > _RISES * around[top]:
            continue
        last = int(below[-1])
        within = (half - around[last]) / (around[last + 1] - around[last])
        heights[number] = around[top]
        lags[number] = (begin + last + within - at) / RATE
    strong = heights[heights > 0.0]
    if len(strong):
        lags[heights < _LEAST * np.quantile(strong, 0.9)] = np.nan
    return lags


def usual_lag(lags: Floats, begin: int, beats: int) -> float | None:
    """The median in so many beats from `begin` on; None where the kicks do not agree."""
    some = lags[max(0, begin) : max(0, begin + beats)]
    some = some[np.isfinite(some)]
    if len(some) < _FEW:
        return None
    middle = float(np.median(some))
    return middle if float(np.median(np.abs(some - middle))) <= _SPREAD_SECONDS else None


def _envelope(drums: Stem, rate: int) -> Floats:
    """Of the kick's band, at RATE, as loud as it is: piece by piece, so that memory is bounded."""
    piece, margin = _PIECE_SECONDS * rate, _MARGIN_SECONDS * rate
    parts = []
    for begin in range(0, len(drums), piece):
        # Whole seconds, so that both rates fit; silence where the track has not begun or is over.
        around = np.zeros(piece + 2 * margin)
        low, high = max(0, begin - margin), min(len(drums), begin + piece + margin)
        there = drums[low:high].mean(axis=1, dtype=np.float32)
        around[low - (begin - margin) :][: len(there)] = there
        keep = round((min(begin + piece, len(drums)) - begin) / rate * RATE)
        parts.append(size_of_band(around, rate)[_MARGIN_SECONDS * RATE :][:keep])
    return np.concatenate(parts) if parts else np.zeros(0)


def size_of_band(sound: Floats, rate: int) -> Floats:
    """The analytic signal's size, of what lies between LOW_HZ and HIGH_HZ, at RATE.

    No phase is turned. `sound` is whole seconds long.
    """
    seconds = len(sound) // rate
    spectrum = np.fft.rfft(sound)[: RATE * seconds]
    hertz = np.arange(len(spectrum)) / seconds
    up = np.clip((hertz - LOW_HZ) / _EDGE_HZ + 0.5, 0.0, 1.0)
    down = np.clip((HIGH_HZ - hertz) / _EDGE_HZ + 0.5, 0.0, 1.0)
    band = np.sin(0.5 * np.pi * up) ** 2 * np.sin(0.5 * np.pi * down) ** 2
    analytic = np.zeros(RATE * seconds, np.complex128)
    analytic[: len(spectrum)] = 2.0 * spectrum * band * (RATE / rate)
    size: Floats = np.abs(np.fft.ifft(analytic))
    return size
