"""A look-ahead limiter: nothing above the ceiling, and not a touch below it.

The gain that a peak needs is found before the peak is heard and reached along a straight line, so
there is no click; afterwards it comes back within about `RELEASE_SECONDS`. Both channels share one
gain: the picture of the room stands still. Peaks between samples are estimated at four times the
rate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW: Final = 64
"""Samples over which the gain moves down before a peak."""

PHASES: Final = 3
TAPS: Final = 12
"""Three points between each pair of samples, each from the twelve samples around it."""

DELAY: Final = WINDOW - 1 + TAPS // 2
"""Samples from input to output."""

RELEASE_SECONDS: Final = 0.1

_NO_GAINS: Final = np.zeros(0)

_RING: Final = 256
_MASK: Final = _RING - 1


@njit(
    "int64(float32[:,::1], float32[:,::1], float64[::1], float32[:,::1], float64[::1],"
    " float64[::1], float64[:,::1], float64[::1], int64, float64, float64)",
    cache=True,
    nogil=True,
)
def _limit(
    sound: NDArray[np.float32],
    out: NDArray[np.float32],
    gains: NDArray[np.float64],
    past: NDArray[np.float32],
    needed: NDArray[np.float64],
    held: NDArray[np.float64],
    between: NDArray[np.float64],
    state: NDArray[np.float64],
    head: int,
    ceiling: float,
    release: float,
) -> int:
    """Limit `sound` into `out`; returns the new head of the rings. Realtime-safe: yes

    gains: as many of the gains as there is room for, one for each sample of `out`.
    state: gain before smoothing, samples since any gain was not 1, lowest gain of this call.
    """
    state[2] = 1.0
    for i in range(sound.shape[0]):
        for channel in range(2):
            past[head & _MASK, channel] = sound[i, channel]
        # The points between the samples `middle` and `middle + 1`, and the sample itself.
        middle = head - TAPS // 2
        peak = 0.0
        near = 0.0
        for channel in range(2):
            peak = max(peak, abs(np.float64(past[middle & _MASK, channel])))
            near = max(near, abs(np.float64(past[(middle + 1) & _MASK, channel])))
        near = max(near, peak)
        # Far below the ceiling no point between two samples comes near it either.
        if near > 0.6 * ceiling:
            for channel in range(2):
                for phase in range(PHASES):
                    value = 0.0
                    for tap in range(TAPS):
                        place = (middle - TAPS // 2 + 1 + tap) & _MASK
                        value += between[phase, tap] * past[place, channel]
                    peak = max(peak, abs(value))
        need = 1.0 if peak <= ceiling else ceiling / peak
        needed[head & _MASK] = need
        if need < 1.0:
            state[1] = 0.0
        else:
            state[1] += 1.0
        if state[1] > 2 * WINDOW and state[0] == 1.0:
            gain = 1.0
            held[head & _MASK] = 1.0
        else:
            lowest = 1.0
            for back in range(WINDOW):
                lowest = min(lowest, needed[(head - back) & _MASK])
            state[0] = min(lowest, 1.0 - (1.0 - state[0]) * release)
            if state[0] > 0.99999:
                state[0] = min(lowest, 1.0)
            held[head & _MASK] = state[0]
            gain = 0.0
            for back in range(WINDOW):
                gain += held[(head - back) & _MASK]
            gain /= WINDOW
        state[2] = min(state[2], gain)
        if i < gains.shape[0]:
            gains[i] = gain
        for channel in range(2):
            value = gain * past[(head - WINDOW + 1 - TAPS // 2) & _MASK, channel]
            out[i, channel] = min(max(value, -ceiling), ceiling)
        head += 1
    return head


class Limiter:
    """One stereo limiter with its memory."""

    def __init__(self, rate: int, ceiling_db: float) -> None:
        """`ceiling_db` in dB of full scale, true peak."""
        # One float32 step below, so that rounding never lands above.
        self.ceiling = float(np.nextafter(np.float32(10.0 ** (ceiling_db / 20.0)), np.float32(0)))
        self._release = math.exp(-1.0 / (RELEASE_SECONDS * rate))
        self._past = np.zeros((_RING, 2), np.float32)
        self._needed = np.ones(_RING)
        self._held = np.ones(_RING)
        self._between = points_between()
        self._state = np.array([1.0, 1.0e9, 1.0])
        self._head = _RING

    @property
    def lowest(self) -> float:
        """The smallest gain of the last call; 1 when the limiter did nothing."""
        return float(self._state[2])

    def limit(
        self, sound: NDArray[np.float32], out: NDArray[np.float32],
        gains: NDArray[np.float64] = _NO_GAINS,
    ) -> None:  # fmt: skip
        """Write `sound`, DELAY samples late, into `out`; both (samples, 2).

        `gains`, if it has room, gets what each sample of `out` was multiplied by.
        Realtime-safe: yes
        """
        self._head = _limit(
            sound, out, gains, self._past, self._needed, self._held, self._between, self._state,
            self._head, self.ceiling, self._release,
        )  # fmt: skip


@njit(
    "int64(float32[:,:,::1], float64[::1], float32[:,:,::1], int64, float32[:,:], int64)",
    cache=True,
    nogil=True,
)
def _follow(
    sounds: NDArray[np.float32],
    gains: NDArray[np.float64],
    past: NDArray[np.float32],
    head: int,
    out: NDArray[np.float32],
    column: int,
) -> int:
    """What the limiter did to a sum, done to its parts. Realtime-safe: yes"""
    for i in range(sounds.shape[1]):
        heard = (head - WINDOW + 1 - TAPS // 2) & _MASK
        for part in range(sounds.shape[0]):
            for channel in range(2):
                past[part, head & _MASK, channel] = sounds[part, i, channel]
                value = np.float32(gains[i] * past[part, heard, channel])
                out[i, column + 2 * part + channel] = value
        head += 1
    return head


class Parts:
    """The parts of a sum that is limited: with its gain they still add up to it."""

    def __init__(self, count: int) -> None:
        """So many stereo parts, silent up to now."""
        self._past = np.zeros((count, _RING, 2), np.float32)
        self._head = _RING

    def follow(
        self, sounds: NDArray[np.float32], gains: NDArray[np.float64],
        out: NDArray[np.float32], column: int,
    ) -> None:  # fmt: skip
        """Write the parts, DELAY samples late and times `gains`, into `out` from `column` on.

        `sounds` has the shape (parts, samples, 2), `gains` is what `Limiter.limit` gave for these
        samples. Realtime-safe: yes
        """
        self._head = _follow(sounds, gains, self._past, self._head, out, column)


def points_between() -> NDArray[np.float64]:
    """Windowed sinc for the points a quarter, a half and three quarters past a sample."""
    taps = np.arange(TAPS) - (TAPS // 2 - 1)
    table = np.empty((PHASES, TAPS))
    for phase in range(PHASES):
        x = taps - (phase + 1) / (PHASES + 1)
        window = 0.5 + 0.5 * np.cos(np.pi * x / (TAPS // 2 + 0.5))
        table[phase] = np.sinc(x) * window
        table[phase] /= table[phase].sum()
    return table
