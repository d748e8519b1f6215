"""Rings of time-stamped joints: where everyone was a moment ago, in memory that never grows.

One row per person, a fixed number of samples per row. A row is found by the person's id, taken
over by a new person when its own has not been seen for `FORGET_SECONDS`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN
from crowdstream.dsp.middles import middle_in_place

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS: Final = 256
"""People that can be followed at once; of more, the first in the picture are."""

SAMPLES: Final = 128
"""Joints kept per person: 2 s at 60 pictures a second. A power of two: see `_AROUND`."""

_AROUND: Final = SAMPLES - 1
# `number & _AROUND` is the slot of a sample: a remainder without a division.

FORGET_SECONDS: Final = 1.0
LONGEST_GAP_SECONDS: Final = 0.35
"""Between two samples further apart than this nobody knows where a joint was."""

CURVED_GAP_SECONDS: Final = 0.1
"""Between samples no further apart than this a joint's way is a curve through four of them; a
straight line would cut short whatever turns round, and more so at 15 pictures a second."""

CUT_SHORT: Final = 0.3
"""The longer nothing is seen, the more of a swing to and fro is cut short: its mean speed falls
with about this power of the time, which is made good across longer gaps (at 5 pictures a second,
or between two flashes)."""

LENGTH_SECONDS: Final = 2.0
"""A person's body length is the median of their torso over this long."""


@njit(
    "void(int64[::1], float64[:,::1], float32[:,:,:,::1], float64[:,::1], int64[::1],"
    " float64, float32[:,:,::1], float64[::1])",
    cache=True,
    nogil=True,
)
def _write(
    heads: NDArray[np.int64],
    times: NDArray[np.float64],
    joints: NDArray[np.float32],
    torsos: NDArray[np.float64],
    rows: NDArray[np.int64],
    at: float,
    keypoints: NDArray[np.float32],
    lengths: NDArray[np.float64],
) -> None:
    """Append one sample to each of `rows`."""
    for person in range(rows.shape[0]):
        row = rows[person]
        if row < 0:
            continue
        slot = heads[row] & _AROUND
        times[row, slot] = at
        torsos[row, slot] = lengths[person]
        for joint in range(17):
            for axis in range(3):
                joints[row, slot, joint, axis] = keypoints[person, joint, axis]
        heads[row] += 1


@njit(
    "float64(int64[::1], float64[:,::1], float32[:,:,:,::1], float64[:,::1], int64[::1],"
    " float64, float64, float64, float32[:,:,::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def _look_back(
    heads: NDArray[np.int64],
    times: NDArray[np.float64],
    joints: NDArray[np.float32],
    torsos: NDArray[np.float64],
    rows: NDArray[np.int64],
    then: float,
    since: float,
    longest_gap: float,
    out: NDArray[np.float32],
    known: NDArray[np.float64],
    lengths: NDArray[np.float64],
) -> float:
    """Joints at `then`, interpolated; `known` is 1 where they are; median torsos since `since`."""
    scratch = np.empty(SAMPLES)
    weights = np.empty(4)
    for person in range(rows.shape[0]):
        known[person] = 0.0
        lengths[person] = np.nan
        row = rows[person]
        if row < 0:
            continue
        head = heads[row]
        count = min(head, SAMPLES)
        later = -1
        found = 0
        for back in range(count):
            slot = (head - 1 - back) & _AROUND
            if times[row, slot] < since:
                break
            if torsos[row, slot] > 0.0:
                scratch[found] = torsos[row, slot]
                found += 1
        if found > 0:
            lengths[person] = middle_in_place(scratch, found)
        for back in range(count):
            slot = (head - 1 - back) & _AROUND
            if times[row, slot] > then:
                later = slot
                continue
            earlier = slot
            if times[row, earlier] == then or later < 0:
                for joint in range(17):
                    for axis in range(3):
                        out[person, joint, axis] = joints[row, earlier, joint, axis]
                known[person] = 1.0 if times[row, earlier] == then else 0.0
                break
            gap = times[row, later] - times[row, earlier]
            if gap > longest_gap:
                break
            share = np.float32((then - times[row, earlier]) / gap)
            if gap > CURVED_GAP_SECONDS:
                share = np.float32(1.0 - ((times[row, later] - then) / gap) ** (1.0 - CUT_SHORT))
            before = (earlier - 1) & _AROUND
            after = (later + 1) & _AROUND
            curved = (
                back + 1 < count
                and back >= 2
                and gap <= CURVED_GAP_SECONDS
                and 0.0 < times[row, earlier] - times[row, before] <= CURVED_GAP_SECONDS
                and 0.0 < times[row, after] - times[row, later] <= CURVED_GAP_SECONDS
            )
            if curved:
                for one in range(4):
                    mine = times[row, (before + one) & _AROUND]
                    weights[one] = 1.0
                    for other in range(4):
                        if other != one:
                            at = times[row, (before + other) & _AROUND]
                            weights[one] *= (then - at) / (mine - at)
            for joint in range(17):
                bent = (
                    curved
                    and joints[row, before, joint, 2] >= SEEN
                    and joints[row, after, joint, 2] >= SEEN
                )
                for axis in range(2):
                    a = joints[row, earlier, joint, axis]
                    b = joints[row, later, joint, axis]
                    if bent:
                        out[person, joint, axis] = (
                            weights[0] * joints[row, before, joint, axis]
                            + weights[1] * a
                            + weights[2] * b
                            + weights[3] * joints[row, after, joint, axis]
                        )
                    else:
                        out[person, joint, axis] = a + share * (b - a)
                out[person, joint, 2] = min(
                    joints[row, earlier, joint, 2], joints[row, later, joint, 2]
                )
            known[person] = 1.0
            break
    return then


@njit(
    "int64[::1](int64[::1], float64[::1], int64[::1], int64[::1], float64, float64)",
    cache=True,
    nogil=True,
)
def _rows_of(
    owners: NDArray[np.int64],
    seen_at: NDArray[np.float64],
    heads: NDArray[np.int64],
    ids: NDArray[np.int64],
    at: float,
    forget: float,
) -> NDArray[np.int64]:
    """The row of each id, found through a table of hashes; new people take the oldest rows."""
    out = np.full(ids.shape[0], -1, np.int64)
    # Made anew for each picture, four places to a row: nothing has to be taken out of it.
    places = 4 * owners.shape[0]
    table = np.full(places, -1, np.int64)
    for row in range(owners.shape[0]):
        if owners[row] >= 0:
            place = (owners[row] * 2654435761 >> 8) % places
            while table[place] >= 0:
                place = (place + 1) % places
            table[place] = row
    given = np.zeros(owners.shape[0], np.bool_)
    news = 0
    for person in range(ids.shape[0]):
        place = (ids[person] * 2654435761 >> 8) % places
        while table[place] >= 0 and owners[table[place]] != ids[person]:
            place = (place + 1) % places
        row = table[place]
        if row < 0:
            news += 1
        elif not given[row]:
            given[row] = True
            seen_at[row] = at
            out[person] = row
    if news == 0:
        return out
    for person in range(ids.shape[0]):
        if out[person] >= 0:
            continue
        twice = False
        for row in range(owners.shape[0]):
            twice = twice or (given[row] and owners[row] == ids[person])
        if twice:
            continue
        row = int(np.argmin(seen_at))
        if at - seen_at[row] < forget:
            break
        owners[row] = ids[person]
        seen_at[row] = at
        heads[row] = 0
        given[row] = True
        out[person] = row
    return out


class PeopleRing:
    """Everyone's joints over the last two seconds."""

    def __init__(self) -> None:
        """Empty; all memory it will ever use is taken here."""
        self._times = np.full((ROWS, SAMPLES), -math.inf)
        self._joints = np.zeros((ROWS, SAMPLES, 17, 3), np.float32)
        self._torsos = np.full((ROWS, SAMPLES), np.nan)
        self._heads = np.zeros(ROWS, np.int64)
        self._seen_at = np.full(ROWS, -math.inf)
        self._owner = np.full(ROWS, -1, np.int64)

    def clear(self) -> None:
        """Forget everyone: the source has jumped."""
        self._owner[:] = -1
        self._seen_at[:] = -math.inf
        self._heads[:] = 0

    def write(
        self,
        ids: NDArray[np.int64],
        keypoints: NDArray[np.float32],
        torsos: NDArray[np.float64],
        at: float,
        rows: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Add one sample for each person; returns their rows, -1 where there is no row left.

        `rows` are those of `rows_of`, where somebody has asked already.
        """
        if rows is None:
            rows = self.rows_of(ids, at)
        _write(self._heads, self._times, self._joints, self._torsos, rows, at, keypoints, torsos)
        return rows

    def rows_of(self, ids: NDArray[np.int64], at: float) -> NDArray[np.int64]:
        """The row of each person, from now on; -1 where there is no row left.

        Of a number that stands there twice, the second has none.
        """
        ids = np.ascontiguousarray(ids, np.int64)
        return _rows_of(self._owner, self._seen_at, self._heads, ids, at, FORGET_SECONDS)

    def look_back(
        self, rows: NDArray[np.int64], now: float, seconds: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
        """Joints `seconds` ago, which of them are known, and the median torso lengths.

        Shapes (people, 17, 3), (people,), (people,).
        """
        people = rows.shape[0]
        joints = np.zeros((people, 17, 3), np.float32)
        known = np.zeros(people)
        lengths = np.zeros(people)
        _look_back(
            self._heads, self._times, self._joints, self._torsos, rows, now - seconds,
            now - LENGTH_SECONDS, LONGEST_GAP_SECONDS, joints, known, lengths,
        )  # fmt: skip
        return joints, known > 0.5, lengths
