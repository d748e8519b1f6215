"""How often a slow eye looks: less and less while it cannot keep up, and again as soon as it can.

A network that takes every picture it can keeps a whole core busy for little: twice as many looks
tell nothing that the other eye has not told, and each is late by the one before it. So it begins
with every other picture of a camera, and looks oftener only where much of a core is free. Where the
processor is short, of whatever reason, even these come late. So the rate goes down step by step
while looks are late or leave the core no rest, and up again when there is room; a step up that
fails is tried again later and later, so that the rate does not swing.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Final, NamedTuple

STEPS_HZ: Final = (60.0, 30.0, 15.0, 10.0, 7.5, 5.0, 3.0, 2.0)
"""Looks a second; on the first nothing is held back. Down to 10 nothing is lost: energy is the
same within 5 %. At 5 a quarter of what a fast dance does goes unseen; 2 still count people."""

ENOUGH_HZ: Final = 15.0
"""So often it looks at first. What is seen beyond that is smoother and no truer."""

LATE_SECONDS: Final = 0.15
"""A look that is done so long after its picture was taken is late: what follows needs some of the
0.2 s that a picture may be old when its energy is sent."""

HELPS_SHARE: Final = 0.85
"""If what is seen is not younger by this after the rate fell, the machine is slow and not short:
looking even less often would only tell less."""

BUSY_SHARE: Final = 0.85
"""An eye that looks for more than this share of the time leaves its core no rest."""

ROOM_SHARE: Final = 0.78
"""A step up is tried only if looks would take less than this share of the time."""

BUSY_SHARE_BEYOND: Final = 0.6
ROOM_SHARE_BEYOND: Final = 0.5
"""The same for more looks than are enough."""

BEYOND: Final = 1.2
"""By so much the rate that is counted may be above the one that is asked for: cameras tremble."""

REACHED_SHARE: Final = 0.8
"""A rate of which not even so much is reached is not raised: nothing would come of it."""

JUDGED_SECONDS: Final = 1.5
"""So much is judged at once: a single late look is a hiccup."""

FEWEST_LOOKS: Final = 3

FIRST_PATIENCE_SECONDS: Final = 5.0
LONGEST_PATIENCE_SECONDS: Final = 160.0
"""How long all must have been well before a step up: doubled for the step that fails."""

FAILED_WITHIN_SECONDS: Final = 30.0
"""A step up has failed if the rate must fall again so soon."""


class _Look(NamedTuple):
    done_at: float
    age: float
    work: float


class Pace:
    """Chooses the rate of one eye. Time is handed in; what it remembers is bounded."""

    def __init__(self) -> None:
        """As often as is enough."""
        self._step = STEPS_HZ.index(ENOUGH_HZ)
        self._looks: deque[_Look] = deque(maxlen=64)
        self._since = -math.inf
        self._rose_at = -math.inf
        self._age_before = math.inf
        """How old it was what was seen when the rate last fell; infinite since it last rose."""
        self._patience = [FIRST_PATIENCE_SECONDS] * len(STEPS_HZ)

    @property
    def rate_hz(self) -> float | None:
        """Looks a second at most; None where nothing holds the eye back."""
        return STEPS_HZ[self._step] if self._step else None

    def looked(self, *, captured_at: float, began_at: float, done_at: float) -> str:
        """Tell of one look, times in seconds of one clock; why the rate changed, or empty."""
        if self._since == -math.inf:
            self._since = began_at
        self._looks.append(_Look(done_at, done_at - captured_at, done_at - began_at))
        # Of looks that take longer still, the last few are judged.
        while done_at - self._looks[0].done_at > JUDGED_SECONDS and len(self._looks) > FEWEST_LOOKS:
            self._looks.popleft()
        if done_at - self._since < JUDGED_SECONDS or len(self._looks) < FEWEST_LOOKS:
            return ""
        age = median(look.age for look in self._looks)
        work = median(look.work for look in self._looks)
        rate = (len(self._looks) - 1) / max(1e-3, done_at - self._looks[0].done_at)
        beyond = rate > BEYOND * ENOUGH_HZ
        if rate * work > (BUSY_SHARE_BEYOND if beyond else BUSY_SHARE):
            why = f"a look takes {work * 1e3:.0f} ms"
        elif LATE_SECONDS < age <= HELPS_SHARE * self._age_before:
            why = f"what it sees is {age * 1e3:.0f} ms old"
        else:
            return self._faster(done_at, rate, age, work)
        self._age_before = age
        return self._slower(done_at, rate, why)

    def _slower(self, now: float, rate: float, why: str) -> str:
        if now - self._rose_at <= FAILED_WITHIN_SECONDS:
            longer = 2.0 * self._patience[self._step]
            self._patience[self._step] = min(LONGEST_PATIENCE_SECONDS, longer)
        self._rose_at = -math.inf
        self._restart(now)
        last = len(STEPS_HZ) - 1
        if self._step == last:
            return ""
        self._step += 1
        # A step that is not reached anyway would change nothing.
        while self._step < last and STEPS_HZ[self._step] > 0.9 * rate:
            self._step += 1
        return why

    def _faster(self, now: float, rate: float, age: float, work: float) -> str:
        if now - self._rose_at > FAILED_WITHIN_SECONDS:
            self._patience[self._step] = FIRST_PATIENCE_SECONDS
        higher = self._step - 1
        if higher < 0 or now - self._since < self._patience[higher]:
            return ""
        if rate < REACHED_SHARE * STEPS_HZ[self._step]:
            return ""  # the source has no more, or no more are wanted
        # How often the source has a picture is not known while few are looked at: that is tried.
        room = ROOM_SHARE_BEYOND if STEPS_HZ[higher] > ENOUGH_HZ else ROOM_SHARE
        no_room = higher > 0 and STEPS_HZ[higher] * work > room
        if age > 0.7 * LATE_SECONDS or no_room:
            return ""
        self._step = higher
        self._rose_at = now
        self._age_before = math.inf
        self._restart(now)
        return f"a look takes {work * 1e3:.0f} ms"

    def _restart(self, now: float) -> None:
        self._looks.clear()
        self._since = now
