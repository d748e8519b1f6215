"""How loud each bar of each stem is, in the three bands of a deck's equalizer.

What two decks will be together, whatever their faders and knobs do, can be told from this before
it is heard. Loudness is K-weighted power (BS.1770), which adds up for what is unrelated.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.dsp.eq import HIGH_HZ, LOW_HZ
from crowdstream.dsp.loudness import k_weighting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BANDS: Final = 3
"""Low, mid, high."""

BEATS: Final = 4

_EVERY: Final = 2
# So many samples are one: what then folds down from above 11 kHz lands in the same band.


def bar_powers(
    stems: NDArray[np.int16], rate: int, first_seconds: float, bpm: float
) -> NDArray[np.float32]:
    """K-weighted power of both channels together, full scale 1: shape (bars, stems, BANDS).

    Args:
        stems: shape (stems, samples, 2).
        rate: samples a second.
        first_seconds: where bar 0 begins.
        bpm: of the grid.
    """
    long = round(BEATS * 60.0 / bpm * rate) // _EVERY
    bars = max(0, int((stems.shape[1] / rate - first_seconds) * bpm / 60.0 / BEATS))
    powers = np.zeros((bars, len(stems), BANDS), np.float32)
    if bars == 0 or long < 2:
        return powers
    lines = _quick(long)
    weights = _weights(long, lines, rate)
    for bar in range(bars):
        begin = max(0, round((first_seconds + bar * BEATS * 60.0 / bpm) * rate))
        for stem in range(len(stems)):
            sound = stems[stem, begin : begin + long * _EVERY : _EVERY]
            if len(sound) < long or not sound.any():
                continue
            spectrum = np.fft.rfft(sound.T.astype(np.float32), lines, axis=1)
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            powers[bar, stem] = weights @ power.sum(axis=0)
    return powers


def _quick(long: int) -> int:
    """A length not much longer whose spectrum is quickly found: bars have any length."""
    return min(
        odd << max(0, math.ceil(math.log2(long / odd))) for odd in (1, 3, 5, 9, 15)
    )  # fmt: skip


def _weights(long: int, lines: int, rate: int) -> NDArray[np.float32]:
    """What each line of a spectrum adds to each band's power, shape (BANDS, lines // 2 + 1)."""
    hertz = np.fft.rfftfreq(lines, _EVERY / rate)
    z = np.exp(-2j * np.pi * hertz / rate)
    response = np.ones(len(hertz))
    for b0, b1, b2, a1, a2 in k_weighting(rate):
        response *= np.abs((b0 + b1 * z + b2 * z * z) / (1.0 + a1 * z + a2 * z * z)) ** 2
    # Both halves of the spectrum; Parseval; whole numbers of 16 bits.
    response *= 2.0 / (float(long) * lines * 32768.0**2)
    edges = (0.0, LOW_HZ, HIGH_HZ, np.inf)
    told = [
        np.where((hertz >= low) & (hertz < high), response, 0.0) for low, high in pairwise(edges)
    ]
    return np.array(told, np.float32)
