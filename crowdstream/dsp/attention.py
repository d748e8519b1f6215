"""A crowd that listens: everybody holds up a phone, and nobody dances.

Movement falls although nobody has left and nobody is bored. The music must not take it for a
floor that cools: while attention is high, energy may rise but not fall, for up to sixteen bars.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN
from crowdstream.dsp.follow import Follower

if TYPE_CHECKING:
    from numpy.typing import NDArray

RAISED_TORSOS: Final = -0.15
"""A hand is up from so far above the shoulders on, in lengths of the torso: a phone is held
before the face or over the head, crossed arms and drinks are lower."""

STILL_SPEED: Final = 0.45
"""Arms and body slower than this, in body lengths a second, are held still: half of what a
moderate dance does."""

HELD_STILL_SECONDS: Final = 0.8
"""Still is who is so for so long: dancers in phase all turn round at once, twice a beat."""

STEADY_SECONDS: Final = 8.0
"""The number of people is steady if it is the same now and up to so long ago."""

STEADY_SHARE: Final = 0.2
LEFT_SHARE: Final = 0.5
"""Up to a fifth fewer people is steady, half of them gone is not."""

RISE_SECONDS: Final = 0.7
"""How fast attention follows what is seen."""

HOLDS_FROM: Final = 0.5
LETS_GO_BELOW: Final = 0.3
"""Attention from which on energy is held, and below which it is let go."""

HELD_BARS: Final = 16
"""Nothing is held for longer: then the music goes on without the crowd's leave."""

RECENT_SECONDS: Final = 4.0
"""What is held is the energy from before the arms went up, at most so long ago."""


@njit("UniTuple(int64, 2)(float32[:,:,::1], float64[:,::1])", cache=True, nogil=True)
def _count_raised(keypoints: NDArray[np.float32], speeds: NDArray[np.float64]) -> tuple[int, int]:
    attending = 0
    known = 0
    middles = np.empty((2, 2))
    seen = np.empty(2)
    for person in range(keypoints.shape[0]):
        middles[:] = 0.0
        seen[:] = 0.0
        for joint, part in ((5, 0), (6, 0), (11, 1), (12, 1)):
            if keypoints[person, joint, 2] >= SEEN:
                middles[part, 0] += keypoints[person, joint, 0]
                middles[part, 1] += keypoints[person, joint, 1]
                seen[part] += 1.0
        v = speeds[person, 4]
        if seen[0] == 0.0 or seen[1] == 0.0 or not math.isfinite(v):
            continue
        shoulder_x = middles[0, 0] / seen[0]
        shoulder_y = middles[0, 1] / seen[0]
        # Up is from the hips to the shoulders: cameras hang askew, and people lean.
        up_x = shoulder_x - middles[1, 0] / seen[1]
        up_y = shoulder_y - middles[1, 1] / seen[1]
        square = up_x * up_x + up_y * up_y
        if square <= 0.0:
            continue
        hands = 0
        raised = False
        for joint in (9, 10):
            if keypoints[person, joint, 2] >= SEEN:
                hands += 1
                x = keypoints[person, joint, 0] - shoulder_x
                y = keypoints[person, joint, 1] - shoulder_y
                if (x * up_x + y * up_y) / square >= RAISED_TORSOS:
                    raised = True
        if hands == 0:
            continue
        known += 1
        arms = speeds[person, 1]
        if raised and v < STILL_SPEED and not arms >= STILL_SPEED:
            attending += 1
    return attending, known


def raised_share(keypoints: NDArray[np.float32], speeds: NDArray[np.float64]) -> float | None:
    """Share of the people who hold a hand up and themselves still, 0 to 1.

    `keypoints` has the shape (people, 17, 3), `speeds` is what `dsp.energy.body_speeds` says of
    them, shape (people, 5). None where of nobody both a hand and the speed is known.
    """
    attending, known = _count_raised(keypoints, speeds)
    return attending / known if known else None


class Attention:
    """Knows whether the crowd listens, and what energy to hold while it does."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._share = Follower(RISE_SECONDS, RISE_SECONDS)
        self._shares: deque[tuple[float, float]] = deque(maxlen=128)
        self._counts: deque[tuple[float, int]] = deque(maxlen=256)
        self._levels: deque[tuple[float, float, float]] = deque(maxlen=256)
        self._held: tuple[float, float] | None = None
        """Energy and drive that must not be undercut; None while nothing is held."""
        self._floors = (Follower(0.4, 1.2), Follower(1.0, 1.5))
        self._until = -math.inf
        self._spent = False
        self.level = 0.0
        """Attention, 0 to 1."""

    @property
    def holds(self) -> bool:
        """Whether energy is held now."""
        return self._held is not None

    def see(self, share: float | None, count: int, at: float) -> None:
        """Pose saw so many people; `share` of them hold a hand up and are still."""
        # Only what may yet be the most is kept: falling from left to right.
        while self._counts and self._counts[-1][1] <= count:
            self._counts.pop()
        self._counts.append((at, count))
        while at - self._counts[0][0] > STEADY_SECONDS:
            self._counts.popleft()
        most = self._counts[0][1]
        left = 1.0 - count / most if most else 1.0
        steady = min(1.0, max(0.0, (LEFT_SHARE - left) / (LEFT_SHARE - STEADY_SHARE)))
        if share is None and count:
            return
        self._shares.append((at, share or 0.0))
        while at - self._shares[0][0] > HELD_STILL_SECONDS:
            self._shares.popleft()
        self.level = self._share.follow(min(seen for _, seen in self._shares) * steady, at)

    def lift(
        self, level: float, drive: float, at: float, *, bar_seconds: float
    ) -> tuple[float, float]:
        """Energy and drive, not below what is held; once let go they fall at their own pace."""
        if self.level < LETS_GO_BELOW:
            self._held, self._spent = None, False
            self._levels.append((at, level, drive))
            while at - self._levels[0][0] > RECENT_SECONDS:
                self._levels.popleft()
        elif self._held is not None and at > self._until:
            self._held, self._spent = None, True
        elif self._held is None and self.level >= HOLDS_FROM and not self._spent:
            self._held = self._before()
            self._until = at + HELD_BARS * bar_seconds
        held = self._held or (0.0, 0.0)
        floors = [floor.follow(one, at) for floor, one in zip(self._floors, held, strict=True)]
        return max(level, floors[0]), max(drive, floors[1])

    def blind(self) -> None:
        """The eye that sees arms is gone: nothing is known, nothing is held."""
        self._share.reset()
        self._shares.clear()
        self._counts.clear()
        self.level, self._held, self._spent = 0.0, None, False

    def _before(self) -> tuple[float, float] | None:
        """The middle of energy and drive over the last seconds in which nobody listened."""
        if not self._levels:
            return None
        _, levels, drives = zip(*self._levels, strict=True)
        return float(np.median(levels)), float(np.median(drives))
