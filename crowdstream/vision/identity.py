"""The same number for the same person, from picture to picture.

People are told apart by where they are: each person of the last half second is carried on along
their own movement, and the nearest pairs of one remembered and one seen are joined first. All
distances are in lengths of the person's own body, all speeds per second, so it works alike at any
distance from the camera and any rate of pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.vision.skeleton import HIPS, SEEN, SHOULDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.vision.decode import Detections

MEMORY_SECONDS: Final = 0.5
"""A person who is not seen for longer gets a new number when they come back."""

MOST_REMEMBERED: Final = 600
"""More people than this are not remembered; who was seen longest ago is forgotten first."""

_REACH: Final = 0.25
_REACH_PER_SECOND: Final = 2.5
_REACH_AT_MOST: Final = 1.0
# How far from where they are expected a person may turn up, in body lengths: a share for the
# network's own trembling and for hips that jump, then a run, and never past the next body.

_CARRIED_SECONDS: Final = 0.15
# A dancer's movement is carried on for no longer than this: then they have turned round.

_NEWEST_SHARE: Final = 0.5
# How much of a person's speed and size is taken from the newest picture.

_APART_WEIGHT: Final = 0.5
_SIZE_WEIGHT: Final = 0.3
# What boxes that do not meet, and a size that is e times another, cost beside a body length.

_SIZE_AT_MOST: Final = 2.5
# Nobody becomes so many times larger within the memory.

_TORSO_TO_BODY: Final = 3.45  # as in crowdstream.dsp.energy


@dataclass(slots=True)
class _Places:
    """Where people are: one row each, in picture heights."""

    torso: NDArray[np.float64]
    """(n, 2), NaN where no shoulder or no hip is seen."""

    box: NDArray[np.float64]
    """(n, 4): left, top, right, bottom."""

    length: NDArray[np.float64]
    """(n,): of the body."""

    @property
    def centre(self) -> NDArray[np.float64]:
        """(n, 2): middle of the box."""
        return 0.5 * (self.box[:, :2] + self.box[:, 2:])

    def rows(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> _Places:
        """Some of the people."""
        return _Places(self.torso[which], self.box[which], self.length[which])


class Identities:
    """Remembers people for half a second and gives the same number to the same person.

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
        self._places = _Places(np.zeros((0, 2)), np.zeros((0, 4)), np.zeros(0))

    @property
    def remembered(self) -> int:
        """How many people are remembered now."""
        return int(self._ids.size)

    def follow(self, people: Detections, captured_at: float, epoch: int) -> NDArray[np.int64]:
        """A number for each person of a picture, in their order.

        A new epoch, or a picture older than the last, begins with new numbers.
        """
        if epoch != self._epoch or captured_at < self._now:
            self._forget_all()
        self._epoch, self._now = epoch, captured_at
        self._keep(captured_at - self._seen_at <= MEMORY_SECONDS)

        found = _places_of(people)
        ages = captured_at - self._seen_at
        ids = np.zeros(len(people.scores), np.int64)
        match = self._match(found, ages)
        known = np.flatnonzero(match >= 0)
        ids[known] = self._ids[match[known]]
        unknown = np.flatnonzero(match < 0)
        ids[unknown] = np.arange(self._next, self._next + unknown.size)
        self._next += int(unknown.size)

        self._update(found, known, match[known], ages, captured_at)
        self._remember(found.rows(unknown), ids[unknown], captured_at)
        return ids

    def _match(self, found: _Places, ages: NDArray[np.float64]) -> NDArray[np.intp]:
        """For each person found the row of the one remembered, or -1."""
        match = np.full(found.length.size, -1, np.intp)
        if not match.size or not self._ids.size:
            return match
        carried = self._speed * np.minimum(ages, _CARRIED_SECONDS)[:, None]
        reach = np.minimum(_REACH + _REACH_PER_SECOND * ages, _REACH_AT_MOST)[:, None]
        reach = reach * 0.5 * (self._places.length[:, None] + found.length[None, :])

        apart = _squares(self._places.torso + carried, found.torso)
        # Where a torso is hidden the box must do; both times, or it would jump between the two.
        boxes_apart = _squares(self._places.centre + carried, found.centre)
        apart = np.where(np.isnan(apart), boxes_apart, apart)
        # In a crowd few pairs are near enough; only those are looked at closely.
        rows, columns = np.nonzero(apart <= reach * reach)
        length, new_length = self._places.length[rows], found.length[columns]
        grown = np.abs(np.log(length / new_length))
        overlap = _overlap((self._places.box + np.tile(carried, 2))[rows], found.box[columns])
        cost = np.sqrt(apart[rows, columns]) / (0.5 * (length + new_length))
        cost += _APART_WEIGHT * (1.0 - overlap) + _SIZE_WEIGHT * grown
        likely = grown <= math.log(_SIZE_AT_MOST)
        rows, columns, cost = rows[likely], columns[likely], cost[likely]

        # The nearest pair first; of equals the person who was first numbered.
        order = np.lexsort((columns, self._ids[rows], cost))
        taken = np.zeros(self._ids.size, bool)
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
            if not taken[row] and match[column] < 0:
                taken[row] = True
                match[column] = row
        return match

    def _update(
        self,
        found: _Places,
        columns: NDArray[np.intp],
        rows: NDArray[np.intp],
        ages: NDArray[np.float64],
        now: float,
    ) -> None:
        """Move the people who were found again to where they are now."""
        places, seen = self._places, found.rows(columns)
        moved = seen.torso - places.torso[rows]
        moved = np.where(np.isnan(moved), seen.centre - places.centre[rows], moved)
        age = ages[rows][:, None]
        speed = np.divide(moved, age, out=np.zeros_like(moved), where=age > 1e-6)
        self._speed[rows] += _NEWEST_SHARE * (speed - self._speed[rows])
        places.length[rows] += _NEWEST_SHARE * (seen.length - places.length[rows])
        places.torso[rows] = seen.torso
        places.box[rows] = seen.box
        self._seen_at[rows] = now

    def _remember(self, places: _Places, ids: NDArray[np.int64], now: float) -> None:
        self._ids = np.concatenate([self._ids, ids])
        self._seen_at = np.concatenate([self._seen_at, np.full(ids.size, now)])
        self._speed = np.concatenate([self._speed, np.zeros((ids.size, 2))])
        mine = self._places
        self._places = _Places(
            np.concatenate([mine.torso, places.torso]),
            np.concatenate([mine.box, places.box]),
            np.concatenate([mine.length, places.length]),
        )
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
            self._places = self._places.rows(which)

    def _forget_all(self) -> None:
        self._keep(np.zeros(self._ids.size, bool))


def _places_of(people: Detections) -> _Places:
    keypoints = people.keypoints.astype(np.float64)
    shoulders = _middle(keypoints[:, SHOULDERS])
    hips = _middle(keypoints[:, HIPS])
    box = people.boxes.astype(np.float64)
    longer = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    torso = np.hypot(*(shoulders - hips).T) * _TORSO_TO_BODY
    # Seen from above, or bent forward, a torso is short while the body is as long as ever.
    length = np.fmax(torso, 0.5 * longer)
    return _Places(0.5 * (shoulders + hips), box, np.maximum(length, 1e-3))


def _middle(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the joints that are seen, (people, 2); NaN where none is."""
    seen = joints[:, :, 2] >= SEEN
    count = seen.sum(axis=1)
    total = (joints[:, :, :2] * seen[:, :, None]).sum(axis=1)
    middle = np.full(total.shape, np.nan)
    np.divide(total, count[:, None], out=middle, where=count[:, None] > 0)
    return middle


def _squares(these: NDArray[np.float64], those: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square of the distance from each of these to each of those."""
    x = these[:, None, 0] - those[None, :, 0]
    y = these[:, None, 1] - those[None, :, 1]
    x *= x
    y *= y
    x += y
    return x


def _overlap(these: NDArray[np.float64], those: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shared area over joint area, 0 to 1, of each of these boxes with the one in its row."""
    shared = _area(np.maximum(these[:, :2], those[:, :2]), np.minimum(these[:, 2:], those[:, 2:]))
    joint = _area(these[:, :2], these[:, 2:]) + _area(those[:, :2], those[:, 2:]) - shared
    return np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0.0)


def _area(left_top: NDArray[np.float64], right_bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.maximum(right_bottom - left_top, 0.0)
    area: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return area
