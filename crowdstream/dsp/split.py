"""Drums, bass, vocals and other of a mix, without a model (placeholder)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.dsp.medians import running_medians

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

VERSION: Final = 1


class Splitter:
    def __init__(self, rate: int) -> None:
        self.size = 1 << round(math.log2(0.0929 * rate))
        self.hop = self.size // 4
        self.context = 8 * self.size

    def split(self, sound: Floats) -> Floats:
        n = len(sound)
        window = np.sqrt(np.hanning(self.size + 1)[:-1]).astype(np.float32)
        frames = 1 + (n - self.size) // self.hop
        spectra = np.empty((2, frames, self.size // 2 + 1), np.complex64)
        for k in range(frames):
            piece = sound[k * self.hop : k * self.hop + self.size] * window[:, None]
            spectra[:, k] = np.fft.rfft(piece.T)
        power = np.abs(spectra[0]) + np.abs(spectra[1])
        along = np.empty_like(power)
        running_medians(power, 8, along)
        power_t = np.ascontiguousarray(power.T)
        lasting = np.empty_like(power_t)
        running_medians(power_t, 8, lasting)
        h, p = lasting.T**2, along**2
        f = np.arange(power.shape[1])
        low = (f < 250 / 44100 * self.size)[None, :]
        tiny = 1e-20
        drums = p / (p + h + tiny)
        rest = 1 - drums
        masks = np.stack([drums, rest * low, rest * 0.5 * ~low, rest * 0.5 * ~low])
        out = np.zeros((4, n, 2), np.float32)
        norm = window * (2.0 / 4.0)
        for stem in range(4):
            for k in range(frames):
                back = np.fft.irfft(spectra[:, k] * masks[stem, k])
                out[stem, k * self.hop : k * self.hop + self.size] += (back * norm).T
        return out
