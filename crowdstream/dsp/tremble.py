"""How much a network's key points tremble: what no body does within a tenth of a second.

Third differences of four pictures in a row leave next to nothing of a dance and twenty times the
variance of noise. The middle of a person's limbs tells how far to trust all of them: a network
that sees somebody small, dark or half hidden trembles in every joint, a dancer's fast wrist is
one of eight.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN
from crowdstream.dsp.middles import fill_unknown, middle_in_place
from crowdstream.dsp.ring import ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_GAP_SECONDS: Final = 0.11
"""Over longer a body turns round and back, and differences tell nothing."""

MEMORY_SECONDS: Final = 0.5
"""How long trembling is remembered."""

TURNS: Final = 2.0 * math.pi * 2.1
"""A limb that swings to the beat, at about 2 Hz, has a third difference too: its speed times the
square of this times the cube of the time between pictures."""

_LIMBS: Final = np.array([7, 8, 9, 10, 13, 14, 15, 16])
_MEDIAN_TO_DEVIATION: Final = 1.0 / math.sqrt(2.0 * math.log(2.0) * 20.0)
# The median length of a third difference of noise, in two axes, is sqrt(2 ln 2) times sqrt(20)
# of the deviation in each.


@njit(
    "void(int64[::1], float64[:,::1], float64[:,:,:,::1], float64[::1], int64[::1], int64[::1],"
    " int64[::1], float32[:,:,::1], float64, float64, float64, float64, float64[::1])",
    cache=True,
    nogil=True,
)
def _see(
    counts: NDArray[np.int64],
    times: NDArray[np.float64],
    past: NDArray[np.float64],
    levels: NDArray[np.float64],
    owners: NDArray[np.int64],
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    keypoints: NDArray[np.float32],
    at: float,
    most: float,
    longest_gap: float,
    memory: float,
    out: NDArray[np.float64],
) -> None:
    lengths = np.empty(8)
    chords = np.empty(8)
    for person in range(rows.shape[0]):
        out[person] = np.nan
        row = rows[person]
        if row < 0:
            continue
        if owners[row] != ids[person]:
            owners[row] = ids[person]
            counts[row] = 0
            levels[row] = np.nan
        newest = times[row, 2]
        if counts[row] > 0 and not (0.0 < at - newest <= longest_gap):
            counts[row] = 0
        torso_x = 0.0
        torso_y = 0.0
        seen = 0
        for joint in (5, 6, 11, 12):
            if keypoints[person, joint, 2] >= SEEN:
                torso_x += keypoints[person, joint, 0]
                torso_y += keypoints[person, joint, 1]
                seen += 1
        if seen < 4:
            # The middle of three is another place than that of four.
            counts[row] = 0
            out[person] = levels[row]
            continue
        found = 0
        for number in range(8):
            joint = _LIMBS[number]
            x = np.nan
            y = np.nan
            if keypoints[person, joint, 2] >= SEEN:
                x = keypoints[person, joint, 0] - torso_x / 4
                y = keypoints[person, joint, 1] - torso_y / 4
            if counts[row] >= 3:
                dx = (
                    x
                    - past[row, 0, number, 0]
                    + 3.0 * (past[row, 1, number, 0] - past[row, 2, number, 0])
                )
                dy = (
                    y
                    - past[row, 0, number, 1]
                    + 3.0 * (past[row, 1, number, 1] - past[row, 2, number, 1])
                )
                length = math.sqrt(dx * dx + dy * dy)
                if not np.isnan(length):
                    lengths[found] = length
                    chords[found] = math.sqrt(
                        (past[row, 2, number, 0] - past[row, 0, number, 0]) ** 2
                        + (past[row, 2, number, 1] - past[row, 0, number, 1]) ** 2
                    )
                    found += 1
            for back in range(2):
                past[row, back, number, 0] = past[row, back + 1, number, 0]
                past[row, back, number, 1] = past[row, back + 1, number, 1]
            past[row, 2, number, 0] = x
            past[row, 2, number, 1] = y
        if found >= 3:
            pace = middle_in_place(chords, found) / (times[row, 2] - times[row, 0])
            swing = pace * TURNS**2 * ((at - times[row, 0]) / 3.0) ** 3
            square = middle_in_place(lengths, found) ** 2 - swing * swing
            level = min(most, math.sqrt(max(0.0, square)) * _MEDIAN_TO_DEVIATION)
            if np.isnan(levels[row]):
                levels[row] = level
            else:
                share = 1.0 - math.exp(-(at - newest) / memory)
                levels[row] += share * (level - levels[row])
        times[row, 0] = times[row, 1]
        times[row, 1] = times[row, 2]
        times[row, 2] = at
        counts[row] += 1
        out[person] = levels[row]


class Tremble:
    """Knows how much everybody's joints tremble. Memory never grows."""

    def __init__(self) -> None:
        """Nobody was seen yet."""
        self._counts = np.zeros(ROWS, np.int64)
        self._times = np.zeros((ROWS, 3))
        self._past = np.zeros((ROWS, 3, 8, 2))
        self._levels = np.full(ROWS, np.nan)
        self._owners = np.full(ROWS, -1, np.int64)

    def clear(self) -> None:
        """Forget everyone: the source has jumped."""
        self._owners[:] = -1

    def see(
        self,
        rows: NDArray[np.int64],
        ids: NDArray[np.int64],
        keypoints: NDArray[np.float32],
        at: float,
        *,
        least: float,
        most: float,
    ) -> NDArray[np.float64]:
        """Deviation of a joint's trembling, of each person, in the unit of the key points.

        `rows` are those of the `PeopleRing`, `ids` the people in them, `keypoints` has the shape
        (people, 17, 3). Shape (people,), within `least` and `most`; who is new, or cannot be told
        at this rate of pictures, trembles like the middle of the others.
        """
        out = np.empty(rows.shape[0])
        _see(
            self._counts, self._times, self._past, self._levels, self._owners, rows,
            np.ascontiguousarray(ids, np.int64), keypoints, at, most, LONGEST_GAP_SECONDS,
            MEMORY_SECONDS, out,
        )  # fmt: skip
        fill_unknown(out, least)
        np.maximum(out, least, out=out)
        return out
