"""Loudness of what is going by, by BS.1770: the last three seconds, cheap enough to run always."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOPS: Final = 30
"""A short-term loudness is thirty tenths of a second."""

SILENCE_LUFS: Final = -70.0
"""Nothing is said to be quieter; BS.1770 gates here too."""


@njit(
    "void(float32[:,::1], float64[:,::1], float64[:,:,::1], float64[::1], int64[::1], int64)",
    cache=True,
    nogil=True,
)
def _measure(
    sound: NDArray[np.float32],
    filters: NDArray[np.float64],
    memory: NDArray[np.float64],
    energies: NDArray[np.float64],
    count: NDArray[np.int64],
    hop: int,
) -> None:
    """Add the K-weighted energy of `sound` to the ring of tenths. Realtime-safe: yes

    count: samples in the tenth at hand, tenths that are complete. The tenth at hand is summed in
    the last place of `energies`.
    """
    for i in range(sound.shape[0]):
        for channel in range(2):
            x = np.float64(sound[i, channel])
            for stage in range(2):
                y = filters[stage, 0] * x + memory[channel, stage, 0]
                memory[channel, stage, 0] = (
                    filters[stage, 1] * x - filters[stage, 3] * y + memory[channel, stage, 1]
                )
                memory[channel, stage, 1] = filters[stage, 2] * x - filters[stage, 4] * y
                x = y
            energies[HOPS] += x * x
        count[0] += 1
        if count[0] == hop:
            energies[count[1] % HOPS] = energies[HOPS] / hop
            energies[HOPS] = 0.0
            count[0] = 0
            count[1] += 1
            # A filter that decays into denormal numbers costs a hundred times as much.
            for channel in range(2):
                for stage in range(2):
                    for place in range(2):
                        if abs(memory[channel, stage, place]) < 1.0e-30:
                            memory[channel, stage, place] = 0.0


class ShortTerm:
    """Short-term loudness of a stereo signal."""

    def __init__(self, rate: int) -> None:
        """For sound at `rate` samples a second."""
        self._filters = k_weighting(rate)
        self._memory = np.zeros((2, 2, 2))
        self._energies = np.zeros(HOPS + 1)
        self._count = np.zeros(2, np.int64)
        self._hop = round(rate / 10)

    def measure(self, sound: NDArray[np.float32]) -> None:
        """Take the next samples, shape (samples, 2). Realtime-safe: yes"""
        _measure(sound, self._filters, self._memory, self._energies, self._count, self._hop)

    @property
    def lufs(self) -> float | None:
        """Loudness of the last three seconds; None before three seconds have gone by."""
        if self._count[1] < HOPS:
            return None
        energy = float(self._energies[:HOPS].sum()) / HOPS
        if energy <= 10.0 ** ((SILENCE_LUFS + 0.691) / 10.0):
            return SILENCE_LUFS
        return -0.691 + 10.0 * math.log10(energy)


def k_weighting(rate: int) -> NDArray[np.float64]:
    """The two filters of BS.1770 at any rate, as rows b0 b1 b2 a1 a2: a shelf and a high pass."""
    shelf = math.tan(math.pi * 1681.974450955533 / rate)
    q, high = 0.7071752369554196, 10.0 ** (3.999843853973347 / 20.0)
    band = high**0.4996667741545416
    a0 = 1.0 + shelf / q + shelf * shelf
    first = (
        (high + band * shelf / q + shelf * shelf) / a0,
        2.0 * (shelf * shelf - high) / a0,
        (high - band * shelf / q + shelf * shelf) / a0,
        2.0 * (shelf * shelf - 1.0) / a0,
        (1.0 - shelf / q + shelf * shelf) / a0,
    )
    low = math.tan(math.pi * 38.13547087602444 / rate)
    q = 0.5003270373238773
    a0 = 1.0 + low / q + low * low
    second = (
        1.0, -2.0, 1.0, 2.0 * (low * low - 1.0) / a0, (1.0 - low / q + low * low) / a0,
    )  # fmt: skip
    return np.array([first, second])
