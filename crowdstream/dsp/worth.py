"""What one eye's figure is worth in the terms of another that sees the same people."""

from __future__ import annotations

import math
from typing import Final

LEAST_SECONDS: Final = 0.3
"""The first comparison counts like this much of watching."""

MOST: Final = 4.0
"""A figure is never taken for more than so many times itself, nor for less than that share."""

NOTHING: Final = 0.1
"""Added to both, in body lengths per second: two figures near nothing say nothing of each other."""


class Worth:
    """The ratio of two means over the last seconds; of all that was seen, where that is less."""

    def __init__(self, seconds: float) -> None:
        """`seconds` is how long a comparison is remembered."""
        self._seconds = seconds
        self._watched = LEAST_SECONDS
        self._one = self._other = 0.0
        self._at = math.nan

    @property
    def factor(self) -> float:
        """What to multiply the other eye's figure by; 1 before anything was compared."""
        ratio = (self._one + NOTHING) / (self._other + NOTHING)
        return min(MOST, max(1.0 / MOST, ratio))

    def compare(self, one: float, other: float, at: float) -> None:
        """At `at` seconds the eye that knows said `one`, and the other `other`."""
        if math.isnan(self._at):
            self._one, self._other, self._at = one, other, at
            return
        passed = at - self._at
        if not passed > 0.0:
            return
        self._watched = min(self._seconds, self._watched + passed)
        share = -math.expm1(-passed / self._watched)
        self._one += share * (one - self._one)
        self._other += share * (other - self._other)
        self._at = at
