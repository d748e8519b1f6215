"""The same number for the same person, from picture to picture.

People are told apart by where their joints are: each person of the last second is carried on along
their own movement, and the nearest pairs of one remembered and one seen are joined first. Only
joints that were seen both times are compared, so a body that is half hidden is still the same body;
and a joint that is hidden is carried along with its body. All distances are in lengths of the
person's own body, all speeds per second, so it works alike at any distance from the camera and any
rate of pictures. Faces and clothes play no part: nobody can be known again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from crowdstream.vision.skeleton import HIPS, SEEN, SHOULDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.vision.decode import Detections

MEMORY_SECONDS: Final = 1.0
"""A person who is not seen for longer gets a new number when they come back."""

MOST_REMEMBERED: Final = 600
"""More people than this are not remembered; who was seen longest ago is forgotten first."""

_REACH: Final = 0.25
_REACH_PER_SECOND: Final = 2.5
_REACH_AT_MOST: Final = 0.8
# How far from where they are expected a person may turn up, in body lengths: a share for the
# network's own trembling and for hips that jump, then a run, and never past the next body.

_HIDDEN_REACH: Final = 0.5
# So much farther the middle of a box may lie, of which a half is hidden.

_CARRIED_SECONDS: Final = 0.15
# A dancer's movement is carried on for no longer than this: then they have turned round.

_NEWEST_SHARE: Final = 0.5
# How much of a person's speed and size is taken from the newest picture.

_SIZE_WEIGHT: Final = 0.3
# What a size that is e times another costs beside a body length.

_AGE_WEIGHT: Final = 0.2
# What a second of absence costs: of two who could be meant, who was there a moment ago.

_SIZE_AT_MOST: Final = 2.5
# Nobody becomes so many times larger within the memory.

_FEWEST_SHARED: Final = 1.5
_UNSHARED: Final = 0.15
# With less weight of joints seen both times the boxes are compared, which costs so much more.

_WEIGHTS: Final = np.array([0.5] * 5 + [1.0, 1.0, 0.5, 0.5, 0.2, 0.2, 1.0, 1.0, 0.6, 0.6, 0.4, 0.4])
# Of the joints: shoulders and hips stay with the body, hands are everywhere.

_TORSO_TO_BODY: Final = 3.45  # as in crowdstream.dsp.energy


class _Bodies(NamedTuple):
    """Where people are: one row each, in picture heights."""

    joints: NDArray[np.float64]
    """(n, 17, 2)."""

    known: NDArray[np.bool_]
    """(n, 17): whether the joint's place is known."""

    centre: NDArray[np.float64]
    """(n, 2): middle of the box."""

    length: NDArray[np.float64]
    """(n,): of the body."""

    whole: NDArray[np.bool_]
    """(n,): whether the torso is seen, on which the length rests."""

    def rows(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> _Bodies:
        """Some of the people."""
        return _Bodies(
            self.joints[which], self.known[which], self.centre[which], self.length[which],
            self.whole[which],
        )  # fmt: skip

    def and_also(self, others: _Bodies) -> _Bodies:
        """These people, then those."""
        return _Bodies(
            np.concatenate([self.joints, others.joints]),
            np.concatenate([self.known, others.known]),
            np.concatenate([self.centre, others.centre]),
            np.concatenate([self.length, others.length]),
            np.concatenate([self.whole, others.whole]),
        )


class Identities:
    """Remembers people for a second and gives the same number to the same person.

    A number is never used twice. The same pictures give the same numbers.
    """

    def __init__(self, first: int = 1) -> None:
        """`first` is the first number that is given."""
        self._next = first
        self._epoch: int | None = None
        self._now = -math.inf
        # One row for each person remembered, in the order in which they were numbered.
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._seen_at: NDArray[np.float64] = np.zeros(0)
        self._speed: NDArray[np.float64] = np.zeros((0, 2))
        self._bodies = _bodies_of(np.zeros((0, 17, 3), np.float32), np.zeros((0, 4), np.float32))

    @property
    def remembered(self) -> int:
        """How many people are remembered now."""
        return int(self._ids.size)

    def follow(self, people: Detections, captured_at: float, epoch: int) -> NDArray[np.int64]:
        """A number for each person of a picture, in their order.

        A new epoch, or a picture older than the last, begins with new numbers.
        """
        if epoch != self._epoch or captured_at < self._now:
            self._keep(np.zeros(self._ids.size, bool))
        self._epoch, self._now = epoch, captured_at
        self._keep(captured_at - self._seen_at <= MEMORY_SECONDS)

        found = _bodies_of(people.keypoints, people.boxes)
        ages = captured_at - self._seen_at
        carried = self._speed * np.minimum(ages, _CARRIED_SECONDS)[:, None]
        ids = np.zeros(len(people.scores), np.int64)
        match = self._match(found, carried, ages)
        known = np.flatnonzero(match >= 0)
        ids[known] = self._ids[match[known]]
        unknown = np.flatnonzero(match < 0)
        ids[unknown] = np.arange(self._next, self._next + unknown.size)
        self._next += int(unknown.size)

        self._update(found.rows(known), match[known], ages, captured_at)
        self._remember(found.rows(unknown), ids[unknown], captured_at)
        return ids

    def _match(
        self, found: _Bodies, carried: NDArray[np.float64], ages: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """For each person found the row of the one remembered, or -1."""
        match = np.full(found.length.size, -1, np.intp)
        if not match.size or not self._ids.size:
            return match
        mine = self._bodies
        cost = _costs(
            mine.joints, mine.known, mine.centre, mine.length, mine.whole, carried, ages,
            found.joints, found.known, found.centre, found.length, found.whole,
        )  # fmt: skip
        rows, columns = np.nonzero(np.isfinite(cost))
        # The nearest pair first; of equals the person who was first numbered.
        order = np.lexsort((columns, self._ids[rows], cost[rows, columns]))
        taken = np.zeros(self._ids.size, bool)
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
            if not taken[row] and match[column] < 0:
                taken[row] = True
                match[column] = row
        return match

    def _update(
        self, seen: _Bodies, rows: NDArray[np.intp], ages: NDArray[np.float64], now: float
    ) -> None:
        """Move the people who were found again to where they are now."""
        mine = self._bodies
        moved = _moved(mine.rows(rows), seen)
        age = ages[rows][:, None]
        speed = np.divide(moved, age, out=np.zeros_like(moved), where=age > 1e-6)
        self._speed[rows] += _NEWEST_SHARE * (speed - self._speed[rows])
        # A joint that is hidden goes where its body goes.
        shown = seen.known[:, :, None]
        mine.joints[rows] = np.where(shown, seen.joints, mine.joints[rows] + moved[:, None])
        mine.known[rows] |= seen.known
        mine.centre[rows] = seen.centre
        # Of a body that is half hidden nobody knows the length: it keeps the one it had.
        share = np.where(seen.whole | ~mine.whole[rows], _NEWEST_SHARE, 0.0)
        mine.length[rows] += share * (seen.length - mine.length[rows])
        mine.whole[rows] |= seen.whole
        self._seen_at[rows] = now

    def _remember(self, bodies: _Bodies, ids: NDArray[np.int64], now: float) -> None:
        if not ids.size:
            return
        self._ids = np.concatenate([self._ids, ids])
        self._seen_at = np.concatenate([self._seen_at, np.full(ids.size, now)])
        self._speed = np.concatenate([self._speed, np.zeros((ids.size, 2))])
        self._bodies = self._bodies.and_also(bodies)
        if self._ids.size > MOST_REMEMBERED:
            newest = np.argsort(-self._seen_at, kind="stable")[:MOST_REMEMBERED]
            kept = np.zeros(self._ids.size, bool)
            kept[newest] = True
            self._keep(kept)

    def _keep(self, which: NDArray[np.bool_]) -> None:
        if not which.all():
            self._ids = self._ids[which]
            self._seen_at = self._seen_at[which]
            self._speed = self._speed[which]
            self._bodies = self._bodies.rows(which)


@njit(
    "float64[:,::1](float64[:,:,::1], boolean[:,::1], float64[:,::1], float64[::1], boolean[::1],"
    " float64[:,::1], float64[::1], float64[:,:,::1], boolean[:,::1], float64[:,::1],"
    " float64[::1], boolean[::1])",
    cache=True,
    nogil=True,
)
def _costs(
    joints: NDArray[np.float64],
    known: NDArray[np.bool_],
    centre: NDArray[np.float64],
    length: NDArray[np.float64],
    whole: NDArray[np.bool_],
    carried: NDArray[np.float64],
    ages: NDArray[np.float64],
    new_joints: NDArray[np.float64],
    new_known: NDArray[np.bool_],
    new_centre: NDArray[np.float64],
    new_length: NDArray[np.float64],
    new_whole: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """What it costs to take each one seen (columns) for each remembered (rows); infinite: never.

    The weighted mean distance of the joints that are known both times, in body lengths, none
    counted for more than one; and what differs in size and time.
    """
    rows = joints.shape[0]
    columns = new_joints.shape[0]
    cost = np.full((rows, columns), np.inf)
    for row in range(rows):
        reach = min(_REACH + _REACH_PER_SECOND * ages[row], _REACH_AT_MOST)
        for column in range(columns):
            body = length[row]
            if new_whole[column] or not whole[row]:
                body = 0.5 * (length[row] + new_length[column])
            dx = new_centre[column, 0] - centre[row, 0] - carried[row, 0]
            dy = new_centre[column, 1] - centre[row, 1] - carried[row, 1]
            # In a crowd few pairs are near enough; only those are looked at closely.
            if dx * dx + dy * dy > ((reach + _HIDDEN_REACH) * body) ** 2:
                continue
            apart = math.sqrt(dx * dx + dy * dy) / body
            grown = 0.0
            if whole[row] and new_whole[column]:
                grown = abs(math.log(length[row] / new_length[column]))
                if grown > math.log(_SIZE_AT_MOST):
                    continue
            total = 0.0
            shared = 0.0
            for joint in range(17):
                if known[row, joint] and new_known[column, joint]:
                    dx = new_joints[column, joint, 0] - joints[row, joint, 0] - carried[row, 0]
                    dy = new_joints[column, joint, 1] - joints[row, joint, 1] - carried[row, 1]
                    weight = _WEIGHTS[joint]
                    shared += weight
                    total += weight * min(1.0, math.sqrt(dx * dx + dy * dy) / body)
            apart = total / shared if shared >= _FEWEST_SHARED else apart + _UNSHARED
            if apart <= reach:
                cost[row, column] = apart + _SIZE_WEIGHT * grown + _AGE_WEIGHT * ages[row]
    return cost


def _bodies_of(keypoints: NDArray[np.float32], boxes: NDArray[np.float32]) -> _Bodies:
    joints = np.ascontiguousarray(keypoints[:, :, :2], np.float64)
    known = np.ascontiguousarray(keypoints[:, :, 2] >= SEEN)
    torso = _middle(joints, known, SHOULDERS) - _middle(joints, known, HIPS)
    box = boxes.astype(np.float64)
    longer = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    body = np.hypot(*torso.T) * _TORSO_TO_BODY
    # Seen from above, or bent forward, a torso is short while the body is as long as ever.
    length = np.maximum(np.fmax(body, 0.5 * longer), 1e-3)
    centre = np.ascontiguousarray(0.5 * (box[:, :2] + box[:, 2:]))
    return _Bodies(joints, known, centre, length, np.isfinite(body))


def _middle(
    joints: NDArray[np.float64], known: NDArray[np.bool_], which: tuple[int, ...]
) -> NDArray[np.float64]:
    """Mean of those of the joints that are known, (people, 2); NaN where none is."""
    seen = known[:, which]
    total = (joints[:, which] * seen[:, :, None]).sum(axis=1)
    count = seen.sum(axis=1)[:, None]
    middle = np.full(total.shape, np.nan)
    np.divide(total, count, out=middle, where=count > 0)
    return middle


def _moved(then: _Bodies, now: _Bodies) -> NDArray[np.float64]:
    """How far each body went, (people, 2): its joints that are known both times, or its box."""
    weights = _WEIGHTS * (then.known & now.known)
    shared = weights.sum(axis=1)[:, None]
    total = ((now.joints - then.joints) * weights[:, :, None]).sum(axis=1)
    moved = now.centre - then.centre
    np.divide(total, shared, out=moved, where=shared >= _FEWEST_SHARED)
    return moved
