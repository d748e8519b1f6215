"""Which sample is heard when: the card's own clock against the machine's.

A card takes whole blocks, and its callback is noticed a little late. What is true is that it
takes `rate` samples a second; the moments at which it was seen to take them are only smoothed.
"""

from __future__ import annotations

from typing import Final

SMOOTHING: Final = 0.05
"""Share of each new observation: with blocks of 512 samples a quarter of a second is remembered."""

JUMP_SECONDS: Final = 0.06
"""What is off by more is no trembling: blocks were lost, or the machine slept."""


class HeardClock:
    """Samples taken, as a straight line over time. Goes on by itself while nothing is observed."""

    def __init__(self, rate: int, now: float) -> None:
        """Sample 0 is taken at `now`."""
        self._rate = rate
        self._zero_at = now
        self.latency = 0.0
        """Seconds from taken to heard."""

    def observe(self, taken: int, now: float) -> None:
        """At `now` a block was just taken; `taken` samples altogether."""
        off = now - taken / self._rate - self._zero_at
        self._zero_at += off if abs(off) > JUMP_SECONDS else SMOOTHING * off

    def taken_at(self, now: float) -> float:
        """Samples taken at `now`; a fraction."""
        return (now - self._zero_at) * self._rate

    def heard_at(self, now: float) -> float:
        """The sample that is heard at `now`; negative before the first one is."""
        return self.taken_at(now) - self.latency * self._rate

    def when_heard(self, sample: float) -> float:
        """When a sample is heard."""
        return self._zero_at + sample / self._rate + self.latency
