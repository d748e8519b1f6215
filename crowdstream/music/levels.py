"""How loud a track is, and how high it peaks between its samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

SILENCE_LUFS: Final = -70.0
"""Nothing is said to be quieter; the gate of BS.1770 is here."""

LEAST_SECONDS: Final = 0.4
"""Loudness is measured in blocks of this length."""

OVERSAMPLING: Final = 4
"""As BS.1770, annex 2, asks for at 48 kHz."""

BLOCK: Final = 1 << 15
MARGIN: Final = 512
"""Samples beside a block that its filter needs to see."""

HIDDEN_AT_MOST: Final = 2.0
"""No peak between samples is expected to stand more than 6 dB above the samples around it."""


def loudness_lufs(sound: Sound, rate: int) -> float:
    """Integrated loudness by ITU-R BS.1770 of (samples,) or (samples, channels); at least -70.

    Of more than five channels the first five are heard: the standard knows no others.
    """
    import pyloudnorm

    if len(sound) < LEAST_SECONDS * rate or not sound.any():
        return SILENCE_LUFS
    told = float(pyloudnorm.Meter(rate).integrated_loudness(sound.reshape(len(sound), -1)[:, :5]))
    return max(told, SILENCE_LUFS) if math.isfinite(told) else SILENCE_LUFS


def true_peak_db(sound: Sound, rate: int) -> float:
    """Highest peak of the wave through the samples, in dBTP: four times oversampled."""
    import soxr

    wide = sound.reshape(len(sound), -1)
    best = float(np.abs(wide).max(initial=0.0))
    if best == 0.0:
        return -math.inf
    for begin in range(0, len(wide), BLOCK):
        padded = wide[max(0, begin - MARGIN) : begin + BLOCK + MARGIN]
        if float(np.abs(padded).max()) * HIDDEN_AT_MOST <= best:
            continue
        ends = np.zeros((MARGIN, wide.shape[1]), np.float32)
        between = soxr.resample(np.concatenate((ends, padded, ends)), rate, OVERSAMPLING * rate)
        # What lies beside the block belongs to its neighbours; their cut edges ring.
        first = OVERSAMPLING * (MARGIN + min(begin, MARGIN))
        best = max(best, float(np.abs(between[first : first + OVERSAMPLING * BLOCK]).max()))
    return 20.0 * math.log10(best)
