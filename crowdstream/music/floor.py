"""What the floor has been doing, bar by bar: is it rising, steady, weary, cooling, leaving?"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from crowdstream.music.rules import PHRASE

if TYPE_CHECKING:
    from crowdstream.packets import Mix

HIGH: Final = 0.8
"""Above this the floor is at its peak."""

HIGH_BARS: Final = 128
"""After so long at its peak a floor needs a rest, even if it does not ask for one."""

DIP_BARS: Final = 8
"""A peak that was left for less goes on."""

COOLING_BARS: Final = 32
"""A floor that has fallen for so long is no longer followed down."""

FALL: Final = 0.1
"""So much less drive is a fall, and so much more than at its lowest its end."""

NEAR: Final = 0.02
"""Drives that differ by less are the same."""

STEADY: Final = 0.25
"""Between the highest and the lowest drive of a floor that is steady."""

REMEMBERED_BARS: Final = 32
LEAST_PEOPLE: Final = 4
"""Of fewer, one who fetches a drink is not a floor that leaves."""


class Floor:
    """Takes one wish a bar. Knows nothing of the music."""

    def __init__(self, programme_drive: float, bar: int = 0) -> None:
        """Nobody has been seen yet; `programme_drive` is what a floor without a crowd has.

        Its first wish will be that of `bar` of the timeline.
        """
        self.programme = programme_drive
        self.drive = programme_drive
        """The newest."""

        self.high_bars = 0
        """Bars at the peak since the last rest."""

        self.cooled = False
        """It has fallen for so long, or is so empty, that it is not followed any further."""

        self.cooled_at = 0
        """Bars that had been counted when it cooled."""

        self.why_cooled = ""
        self._bars = bar - 1
        self._drives: deque[float] = deque(maxlen=REMEMBERED_BARS)
        self._people: deque[int | None] = deque(maxlen=REMEMBERED_BARS)
        self._not_high = 0
        self._top = programme_drive
        self._low = 1.0
        self._falling = 0

    def follow(self, wish: Mix, programme_drive: float) -> None:
        """The floor at the next bar line."""
        self._bars += 1
        self.programme = programme_drive
        self.drive = wish.drive
        self._drives.append(wish.drive)
        self._people.append(wish.people)
        self._follow_peak()
        self._follow_fall()

    def ago(self, bars: int) -> float:
        """The drive so many bars ago, or at the beginning."""
        drives = self._drives
        return drives[max(0, len(drives) - 1 - bars)] if drives else self.drive

    def last(self, bars: int) -> list[float]:
        """The drives of so many bars, the newest last; fewer at the beginning."""
        return list(islice(self._drives, max(0, len(self._drives) - bars), None))

    def mean(self, bars: int = PHRASE) -> float:
        """The mean drive of so many bars."""
        drives = self.last(bars)
        return sum(drives) / len(drives) if drives else self.drive

    def rise(self, bars: int = PHRASE) -> float:
        """How much more drive there is than so many bars ago; negative for a fall."""
        return self.drive - self.ago(bars)

    def heading(self) -> float:
        """Where the drive will be: as far on as it has come in eight bars, by half."""
        return min(max(self.drive + 0.5 * self.rise(), 0.0), 1.0)

    def steady(self, bars: int = 2 * PHRASE) -> bool:
        """Whether it has been much the same for so many bars."""
        drives = self.last(bars)
        return len(drives) == bars and max(drives) - min(drives) <= STEADY

    def changed_since(self, drive: float, by: float, bars: int = 2 * PHRASE) -> bool:
        """Whether it has been that much above, or that much below, `drive` for so many bars."""
        drives = self.last(bars)
        if len(drives) < bars:
            return False
        return min(drives) - drive > by or max(drives) - drive < -by

    @property
    def empty(self) -> bool:
        """Nobody is there, now and a bar ago."""
        return len(self._people) >= 2 and self._people[-1] == self._people[-2] == 0

    def people_left(self) -> bool:
        """Whether half of those who were there are gone, now and a bar ago."""
        seen = [people for people in self._people if people is not None]
        if len(seen) < 2:
            return False
        most = max(seen)
        return most >= LEAST_PEOPLE and max(seen[-2:]) * 2 <= most

    def needs_rest(self) -> bool:
        """Whether it has been at its peak for too long."""
        return self.high_bars >= HIGH_BARS

    def rested(self) -> None:
        """It has had its rest: the peak is counted anew."""
        self.high_bars = 0

    def _follow_peak(self) -> None:
        if self.drive > HIGH:
            self.high_bars += 1
            self._not_high = 0
            return
        self._not_high += 1
        if self._not_high > DIP_BARS:
            self.high_bars = 0

    def _follow_fall(self) -> None:
        level = self.mean()
        below = level < self.programme - NEAR
        self._low = min(self._low, level)
        if self.cooled and not below:
            self._top, self._low, self.cooled = level, level, False
        elif not self.cooled and level > self._low + FALL:
            self._top, self._low, self._falling = level, level, 0  # it comes up again
        self._top = max(self._top, level)
        self._falling = self._falling + 1 if below or level < self._top - FALL else 0
        if below and not self.cooled and (self.empty or self._falling >= COOLING_BARS):
            self.cooled, self.cooled_at = True, self._bars
            self.why_cooled = "the floor is empty" if self.empty else (
                f"energy has been falling for {COOLING_BARS} bars"
            )  # fmt: skip
