"""When something begins in the music: how much the sound rises, by band, a hundred times a second.

What measures tracks starts here. The sound is brought to one rate, so that all times below are the
same whatever the file was recorded at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]
    Floats = NDArray[np.float32]

RATE: Final = 24_000
"""Samples a second at which everything is measured; up to 12 kHz hats are well heard."""

HOP: Final = 240
FRAME_RATE: Final = RATE / HOP
WINDOW: Final = 1024
"""43 ms: long enough to see a kick apart from a bass note."""

FINE_HOP: Final = 24
FINE_RATE: Final = RATE / FINE_HOP
FINE_WINDOW: Final = 128

LOW_HZ: Final = (30.0, 60.0, 100.0, 160.0)
MID_HZ: Final = (160.0, 250.0, 350.0, 500.0, 700.0, 1000.0, 1400.0, 1900.0, 2600.0)
HIGH_HZ: Final = (2600.0, 3500.0, 4600.0, 6000.0, 7700.0, 9500.0, 11500.0)
"""Edges of the bands: kick and bass; voices, chords, snares; hats and the edge of everything."""

FLOOR: Final = 1e-4
"""What is 40 dB below a band's loud moments is its silence."""

FLOOR_OF_ALL: Final = 1e-7
"""And no band is heard that is 70 dB below the loudest one."""

BLOCK: Final = 2048
"""Frames that are transformed at once: they stay in the processor's cache."""


def heard(sound: Sound, rate: int) -> Sound:
    """One channel at RATE of sound with the shape (samples,) or (samples, channels).

    Left and right are added; where they nearly cancel out, the louder of them is heard alone.
    """
    import soxr

    if sound.ndim == 2:
        power = np.einsum("ij,ij->j", sound, sound, dtype=np.float64)
        mono: Sound = sound.mean(axis=1, dtype=np.float32)
        if float(np.dot(mono, mono)) < 0.02 * float(power.mean()):
            mono = np.ascontiguousarray(sound[:, int(power.argmax())], np.float32)
    else:
        mono = sound
    if rate == RATE:
        return mono
    resampled: Sound = soxr.resample(mono, rate, RATE)
    return resampled


@dataclass(frozen=True, slots=True)
class Onsets:
    """How much the sound rises."""

    coarse: Floats
    """Shape (3, frames) at FRAME_RATE: low, mid and high; log power, rises only, levelled."""

    power: Floats
    """Shape (bands, frames) at FRAME_RATE: power in each band."""

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return float(self.coarse.shape[1] / FRAME_RATE)


EDGES: Final = (*LOW_HZ, *MID_HZ[1:], *HIGH_HZ[1:])
GROUPS: Final = (
    slice(0, len(LOW_HZ) - 1),
    slice(len(LOW_HZ) - 1, len(LOW_HZ) + len(MID_HZ) - 2),
    slice(len(LOW_HZ) + len(MID_HZ) - 2, len(EDGES) - 1),
)


def onsets(mono: Sound) -> Onsets:
    """The rises of one channel at RATE."""
    power = band_power(mono, WINDOW, HOP, EDGES)
    loud = np.quantile(power, 0.98, axis=1)
    floor = np.maximum(FLOOR * loud, FLOOR_OF_ALL * loud.max() + 1e-14)
    level = np.log10(power + floor[:, np.newaxis])
    rise = np.zeros_like(level)
    # Over two frames: a window sees an attack in about that time.
    rise[:, 2:] = np.maximum(level[:, 2:] - level[:, :-2], 0.0)
    coarse = np.stack([rise[group].mean(axis=0) for group in GROUPS])
    return Onsets(np.stack([_levelled(row) for row in coarse]), power)


def band_power(mono: Sound, window: int, hop: int, edges: tuple[float, ...]) -> Floats:
    """Power between neighbouring edges (Hz), shape (bands, frames).

    Frame i is centred on sample i * hop.
    """
    half = window // 2
    padded = np.concatenate((np.zeros(half, np.float32), mono, np.zeros(half, np.float32)))
    frames = sliding_window_view(padded, window)[::hop]
    shape = np.hanning(window + 1)[:-1].astype(np.float32)
    shape *= np.float32(1.0 / np.sqrt(np.square(shape).sum() * window))
    bins = np.arange(half + 1) * (RATE / window)
    into = np.zeros((half + 1, len(edges) - 1), np.float32)
    for band in range(len(edges) - 1):
        inside = (bins >= edges[band]) & (bins < edges[band + 1])
        if not inside.any():  # a band narrower than a bin takes the nearest
            inside[np.abs(bins - 0.5 * (edges[band] + edges[band + 1])).argmin()] = True
        into[inside, band] = 1.0
    power = np.empty((len(edges) - 1, len(frames)), np.float32)
    for at in range(0, len(frames), BLOCK):
        spectrum = np.fft.rfft(frames[at : at + BLOCK] * shape, axis=1)
        square = np.square(spectrum.real) + np.square(spectrum.imag)
        power[:, at : at + BLOCK] = (square @ into).T
    return power


def smooth(row: Floats, frames: int) -> Floats:
    """Mean over so many frames around each; at the ends, over those that are there."""
    total = np.concatenate(([0.0], np.cumsum(row, dtype=np.float64)))
    count = len(row)
    low = np.maximum(np.arange(count) - frames // 2, 0)
    high = np.minimum(np.arange(count) + frames // 2 + 1, count)
    mean: Floats = ((total[high] - total[low]) / (high - low)).astype(np.float32)
    return mean


def _levelled(row: Floats) -> Floats:
    """Around zero and equally strong all along: a break counts as much as a drop."""
    away = row - smooth(row, round(0.8 * FRAME_RATE))
    strength = np.sqrt(smooth(np.square(away), round(8.0 * FRAME_RATE)))
    level: Floats = away / np.maximum(strength, 0.25 * strength.max() + 1e-9)
    return level
