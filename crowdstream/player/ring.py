"""Sound on its way to the card: one thread writes, the card's callback reads, nobody waits.

Two counters that only grow, one per side; each is written by one thread and read by the other.
A quantum is whole before the counter says so, and under CPython's lock a counter is never torn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SoundRing:
    """Stereo samples between the render thread and the callback."""

    def __init__(self, samples: int, quantum: int) -> None:
        """Holds `samples`, rounded up to whole quanta (at least two)."""
        quanta = max(2, -(-samples // quantum))
        self.capacity = quanta * quantum
        self._quantum = quantum
        self._sound = np.zeros((self.capacity, 2), np.float32)
        self._quanta = [self._sound[i * quantum : (i + 1) * quantum] for i in range(quanta)]
        self.written = 0
        """Samples that the writer has finished."""
        self.read = 0
        """Samples that the reader has taken, missing ones not counted."""
        self.missing = 0
        """Samples of silence that the reader put in because nothing was there."""
        self.underruns = 0
        """How many times that happened."""

    def room(self) -> NDArray[np.float32] | None:
        """Where the next quantum goes, or None while the ring is full. Realtime-safe: yes"""
        if self.written - self.read > self.capacity - self._quantum:
            return None
        return self._quanta[(self.written // self._quantum) % len(self._quanta)]

    def commit(self) -> None:
        """The quantum from `room` is whole. Realtime-safe: yes"""
        self.written += self._quantum

    @property
    def filled(self) -> int:
        """Samples that wait to be read."""
        return self.written - self.read

    def take(self, out: NDArray[np.float32]) -> None:
        """Fill `out`, shape (n, 2 or more), from channel 0 on. Realtime-safe: yes

        What is not there is silence, and counted.
        """
        wanted = out.shape[0]
        there = min(wanted, self.written - self.read)
        done = 0
        while done < there:
            begin = (self.read + done) % self.capacity
            count = min(there - done, self.capacity - begin)
            out[done : done + count, :2] = self._sound[begin : begin + count]
            done += count
        self.read += there
        if there < wanted:
            out[there:, :2] = 0.0
            self.missing += wanted - there
            self.underruns += 1
