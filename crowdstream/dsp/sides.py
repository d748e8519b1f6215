"""Left stays left: a network that sees somebody from behind or above takes one for the other.

Then both arms leap across the body and back, which is a great dance of nobody. Nobody turns round
between two pictures: where the line of the shoulders (or hips) suddenly points the other way, the
sides are exchanged again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN
from crowdstream.dsp.ring import ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_GAP_SECONDS: Final = 0.25
"""In more time than this people do turn round."""

LEAST_WIDTH: Final = 0.15
"""Shoulders nearer together than this share of the torso are seen from the side: no telling."""


@njit(
    "void(float64[:,:,::1], float64[:,::1], int64[::1], int64[::1], int64[::1],"
    " float32[:,:,::1], float64[::1], float64, float64, float64)",
    cache=True,
    nogil=True,
)
def _keep(
    lines: NDArray[np.float64],
    seen_at: NDArray[np.float64],
    owners: NDArray[np.int64],
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    keypoints: NDArray[np.float32],
    torsos: NDArray[np.float64],
    at: float,
    longest_gap: float,
    least_width: float,
) -> None:
    for person in range(rows.shape[0]):
        row = rows[person]
        if row < 0 or not (torsos[person] > 0.0):
            continue
        if owners[row] != ids[person]:
            owners[row] = ids[person]
            seen_at[row, 0] = -1e18
            seen_at[row, 1] = -1e18
        least = (least_width * torsos[person]) ** 2
        for half in range(2):
            first = 5 + 6 * half
            if keypoints[person, first, 2] < SEEN or keypoints[person, first + 1, 2] < SEEN:
                continue
            x = float(keypoints[person, first, 0] - keypoints[person, first + 1, 0])
            y = float(keypoints[person, first, 1] - keypoints[person, first + 1, 1])
            known = 0.0 < at - seen_at[row, half] <= longest_gap
            along = x * lines[row, half, 0] + y * lines[row, half, 1]
            if known and along < -least:
                for left in (first, first + 2, first + 4):
                    for axis in range(3):
                        kept = keypoints[person, left, axis]
                        keypoints[person, left, axis] = keypoints[person, left + 1, axis]
                        keypoints[person, left + 1, axis] = kept
                x = -x
                y = -y
            lines[row, half, 0] = x
            lines[row, half, 1] = y
            seen_at[row, half] = at


class Sides:
    """Remembers which way everybody's shoulders and hips pointed. Memory never grows."""

    def __init__(self) -> None:
        """Nobody was seen yet."""
        self._lines = np.zeros((ROWS, 2, 2))
        self._seen_at = np.full((ROWS, 2), -1e18)
        self._owners = np.full(ROWS, -1, np.int64)

    def clear(self) -> None:
        """Forget everyone: the source has jumped."""
        self._owners[:] = -1

    def keep(
        self,
        rows: NDArray[np.int64],
        ids: NDArray[np.int64],
        keypoints: NDArray[np.float32],
        torsos: NDArray[np.float64],
        at: float,
    ) -> None:
        """Exchange, in place, the sides of those that the network has just exchanged.

        `rows` are those of the `PeopleRing`, `ids` the people in them; `keypoints` has the shape
        (people, 17, 3), `torsos` one length each, in the same unit.
        """
        _keep(
            self._lines, self._seen_at, self._owners, rows, np.ascontiguousarray(ids, np.int64),
            keypoints, torsos, at, LONGEST_GAP_SECONDS, LEAST_WIDTH,
        )  # fmt: skip
