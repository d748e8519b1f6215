"""Which pictures joints can be taken from while the light flashes, fails or jumps.

A network sees other joints in a dark picture than in a bright one of the same people, or phantoms;
between two pictures of like brightness it is itself. So only pictures about as bright as the last
ones taken are compared, those between flashes are left out, and a new brightness that stays is
taken as the new one, from which everything begins anew.
"""

from __future__ import annotations

import math
from typing import Final, Literal

LIKE: Final = 0.3
"""Brightnesses that differ by less than this (natural logarithm) are alike."""

STAYS_SECONDS: Final = 0.35
"""A darkness that has lasted for so long is no gap between two flashes."""

BLACK: Final = 0.04
"""Below this brightness, of 1, after it was lighter, the lights are out: nothing is taken."""

LONGEST_SECONDS: Final = 6.0
"""What is black for longer is a dark room."""


class LightGate:
    """Lets pictures through by their brightness."""

    def __init__(self) -> None:
        """Nothing was taken yet."""
        self._taken: float | None = None
        self._last_at = -math.inf

    def clear(self) -> None:
        """The source has jumped."""
        self._taken, self._last_at = None, -math.inf

    def judge(self, brightness: float | None, at: float) -> Literal["take", "anew", "leave"]:
        """`take` it; take it, but compare it with nothing before (`anew`); or `leave` it out.

        `brightness` is the mean grey level, 0 to 1; None where nobody knows.
        """
        if brightness is None:
            return "take"
        if self._taken is None:
            self._taken, self._last_at = brightness, at
            return "take"
        # 4 levels of 255 above black: in the dark a ratio says nothing.
        step = math.log((brightness + 0.016) / (self._taken + 0.016))
        waited = at - self._last_at
        if abs(step) < LIKE:
            # The reference follows a light that is faded slowly.
            self._taken, self._last_at = brightness, at
            return "take"
        if step < 0.0 and waited < (LONGEST_SECONDS if brightness < BLACK else STAYS_SECONDS):
            return "leave"
        self._taken, self._last_at = brightness, at
        return "anew"
