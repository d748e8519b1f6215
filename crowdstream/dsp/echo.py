"""An echo on the beat, whose tail rings on when what it repeats is gone.

Three quarters of a beat, the distance that dub and dance music use: the repeats fall between the
beats, on its sixteenths, and on every third beat. Each is thinner than the one before: below
200 Hz nothing is repeated, so an echo never gives a mix a second bass, nor above 6 kHz.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEATS: Final = 0.75
FEEDBACK: Final = 0.55
"""Factor from one repeat to the next: 5 dB down."""

REPEATS: Final = 18
"""After so many nothing is left to hear: 90 dB below."""

THIN_HZ: Final = (200.0, 6000.0)

_RING: Final = 131_072
_MASK: Final = _RING - 1
"""Almost three seconds, three quarters of a beat at 16 BPM."""

_BEND: Final = 0.01
"""The distance moves by at most so much from sample to sample: a step of the tempo glides."""


@njit(
    "int64(float32[:,::1], float32[:,::1], float32[:,::1], int64, float64, float64, float64,"
    " float64, float64[:,::1], float64, float64)",
    cache=True,
    nogil=True,
)
def _echo(
    sound: NDArray[np.float32],
    out: NDArray[np.float32],
    ring: NDArray[np.float32],
    head: int,
    send: float,
    send_after: float,
    delay: float,
    delay_after: float,
    memory: NDArray[np.float64],
    low: float,
    high: float,
) -> int:
    """Add the repeats of `sound` to `out`; returns the new head of the ring. Realtime-safe: yes"""
    samples = sound.shape[0]
    for i in range(samples):
        share = (i + 1) / samples
        into = send + (send_after - send) * share
        at = head - (delay + (delay_after - delay) * share)
        whole = math.floor(at)
        part = at - whole
        for channel in range(2):
            x = (
                ring[whole & _MASK, channel] * (1.0 - part)
                + ring[(whole + 1) & _MASK, channel] * part
            )
            memory[channel, 0] += low * (x - memory[channel, 0])
            memory[channel, 1] += high * (x - memory[channel, 0] - memory[channel, 1])
            x = memory[channel, 1]
            out[i, channel] += np.float32(x)
            ring[head & _MASK, channel] = np.float32(into * sound[i, channel] + FEEDBACK * x)
        head += 1
    for channel in range(2):
        for place in range(2):
            if abs(memory[channel, place]) < 1.0e-30:
                memory[channel, place] = 0.0
    return head


class Echo:
    """The echo of one deck, with its memory."""

    def __init__(self, rate: int) -> None:
        """Silent. All memory is taken here: a megabyte."""
        self._rate = rate
        self._ring = np.zeros((_RING, 2), np.float32)
        self._memory = np.zeros((2, 2))
        self._low, self._high = (1.0 - math.exp(-2.0 * math.pi * hz / rate) for hz in THIN_HZ)
        self._head = _RING
        self._delay = 0.0
        self._left = 0.0
        """Samples until the tail has gone."""

    @property
    def rings(self) -> bool:
        """Something is still to be heard."""
        return self._left > 0.0

    def repeat(
        self, sound: NDArray[np.float32], send: float, send_after: float, per_beat: float,
        out: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Send so much of `sound` into the echo, and add what comes back to `out`.

        Both have the shape (samples, 2); `per_beat` is the length of a beat in samples.
        Realtime-safe: yes
        """
        samples = len(sound)
        wanted = min(max(BEATS * per_beat, 2.0), float(_RING - samples - 2))
        if send > 0.0 or send_after > 0.0:
            self._left = REPEATS * wanted
        elif self._left <= 0.0:
            return
        delay = self._delay if self._delay > 0.0 else wanted
        most = _BEND * samples
        self._delay = delay + min(max(wanted - delay, -most), most)
        self._head = _echo(
            sound, out, self._ring, self._head, send, send_after, delay, self._delay,
            self._memory, self._low, self._high,
        )  # fmt: skip
        self._left -= samples
        if self._left <= 0.0:
            self._ring.fill(0.0)
            self._memory.fill(0.0)
            self._delay = 0.0
