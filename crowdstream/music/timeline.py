"""Musical time: which beat is heard at which sample, and the other way round.

Time goes in quanta of 256 samples counted from sample 0, with one tempo each. The tempo lies on
straight lines from bar line to bar line; whoever steers says what it shall be at the end of the
bar to come. Everything that must be on the beat asks here; nobody counts for himself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.music.quantum import QUANTUM

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BEATS_PER_BAR", "QUANTUM", "Timeline"]

BEATS_PER_BAR: Final = 4

_HISTORY: Final = 32_768
"""Stretches of even tempo that are kept: three minutes and more of the steadiest change."""


class Timeline:
    """A mapping between samples and beats that grows at its end."""

    def __init__(
        self, rate: int, bpm: float, *, first_sample: int = 0, first_beat: float = 0.0
    ) -> None:
        """`first_beat`, not below 0, is heard at `first_sample`, at `bpm`."""
        if not (math.isfinite(bpm) and bpm > 0):
            raise ValueError(f"a tempo of {bpm} BPM is no tempo")
        self.rate = rate
        self.beat = first_beat
        """Beat at the end of what has been laid down."""

        self.bpm = bpm
        """Tempo of the last quantum."""

        self._position = first_sample
        self._bar = int(first_beat // BEATS_PER_BAR)
        self._from = self._to = self._after = bpm
        self._step: float | None = None
        self._samples = np.zeros(_HISTORY)
        self._beats = np.zeros(_HISTORY)
        self._bpms = np.zeros(_HISTORY)
        self._samples[0], self._beats[0], self._bpms[0] = first_sample, first_beat, bpm
        self._count = 1
        self._forgotten = 0

    @property
    def position(self) -> int:
        """Sample at the end of what has been laid down."""
        return self._position

    @property
    def bpm_at_bar_end(self) -> float:
        """Tempo that will be reached at the next bar line."""
        return self._to

    def steer(self, bpm: float, *, at_once: bool = False) -> None:
        """From the next bar line on go to `bpm`, reached one bar later.

        With `at_once` the tempo steps at the bar line; only music that stops there may do so.
        """
        self._after = bpm
        self._step = bpm if at_once else None

    def advance(self) -> None:
        """Lay down one more quantum. Realtime-safe: yes"""
        bar = int(self.beat // BEATS_PER_BAR)
        if bar > self._bar:
            self._bar = bar
            self._from = self._to if self._step is None else self._step
            self._to = self._after
            self._step = None
        share = self.beat / BEATS_PER_BAR - self._bar
        bpm = self._from + (self._to - self._from) * share
        if bpm != self._bpms[self._count - 1]:
            if self._count == _HISTORY:
                self._forget()
            self._samples[self._count] = self._position
            self._beats[self._count] = self.beat
            self._bpms[self._count] = bpm
            self._count += 1
        self.bpm = bpm
        self._position += QUANTUM
        last = self._count - 1
        self.beat = float(
            self._beats[last] + (self._position - self._samples[last]) * (bpm / (60.0 * self.rate))
        )

    def look_ahead(self, beats: NDArray[np.float64]) -> None:
        """The beats at the ends of the next quanta, as many as there is room for.

        True as long as nobody steers anew in time for the bar line that they may lie behind.
        Realtime-safe: yes
        """
        beat, bar, start, to = self.beat, self._bar, self._from, self._to
        per_bpm = QUANTUM / (60.0 * self.rate)
        for quantum in range(len(beats)):
            if int(beat // BEATS_PER_BAR) > bar:
                bar += 1
                start, to = (to if self._step is None else self._step), self._after
            beat += (start + (to - start) * (beat / BEATS_PER_BAR - bar)) * per_bpm
            beats[quantum] = beat

    def _forget(self) -> None:
        """Drop the older half of the past."""
        half = _HISTORY // 2
        self._forgotten += 1
        for column in (self._samples, self._beats, self._bpms):
            column[:half] = column[half:]
        self._count = half
        self._forgotten += 1

    def beat_at(self, sample: float) -> float:
        """The beat heard at `sample`; beyond what is laid down at the newest tempo."""
        at, beat, bpm = self._stretch(self._samples, sample)
        return beat + (sample - at) * (bpm / (60.0 * self.rate))

    def sample_at(self, beat: float) -> float:
        """The sample at which `beat` is heard, not a whole number."""
        sample, at, bpm = self._stretch(self._beats, beat)
        return sample + (beat - at) * (60.0 * self.rate / bpm)

    def bpm_at(self, sample: float) -> float:
        """The tempo at `sample`."""
        return self._stretch(self._samples, sample)[2]

    def _stretch(self, column: NDArray[np.float64], value: float) -> tuple[float, float, float]:
        """Beginning of the stretch of even tempo that `value` lies in: sample, beat, and its BPM.

        May be asked by any thread: an answer during which the past moved is thrown away.
        """
        while True:
            before = self._forgotten
            place = max(int(np.searchsorted(column[: self._count], value, "right")) - 1, 0)
            found = (
                float(self._samples[place]), float(self._beats[place]), float(self._bpms[place])
            )  # fmt: skip
            if before == self._forgotten and before % 2 == 0:
                return found
