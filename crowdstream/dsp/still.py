"""What keeps a statue still: joints that go astray for a moment, and trembling that is left.

A network sometimes puts a wrist elsewhere for one picture and back in the next. A jump that a
joint has not been heading for is believed at the second look; until then it is not seen. And what
is left of the trembling of a whole person, once it is taken out of each joint, is no dance unless
it stands out of it over half a second.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN, TIME_BASE_SECONDS, TORSO_TO_BODY
from crowdstream.dsp.ring import ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

JUMP: Final = 0.12
"""Body lengths that a limb may come within one picture from rest, and be believed at once."""

PACES: Final = 5.0
"""A step that is so many times a joint's usual one is a jump."""

PACE_SECONDS: Final = 0.5
FORGET_SECONDS: Final = 0.2
"""After so long without a look at a joint, wherever it is now is believed."""

QUIET_SECONDS: Final = 0.6
QUIET: Final = (1.15, 2.3)
"""A person whose mean speed is below the first, in deviations of their trembling over the time
base, is still; from the second on all of it is movement. A statue comes to 0.7 to 1."""

_LIMBS: Final = np.array([7, 8, 9, 10, 13, 14, 15, 16])


@njit(
    "void(int64[::1], float64[:,::1], float64[:,:,::1], float64[:,::1], boolean[:,::1], int64[::1],"
    " int64[::1], float32[:,:,::1], float64[::1], float64)",
    cache=True,
    nogil=True,
)
def _doubt(
    owners: NDArray[np.int64],
    times: NDArray[np.float64],
    places: NDArray[np.float64],
    paces: NDArray[np.float64],
    doubted: NDArray[np.bool_],
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    keypoints: NDArray[np.float32],
    torsos: NDArray[np.float64],
    at: float,
) -> None:
    for person in range(rows.shape[0]):
        for joint in range(17):
            # Some networks put what they have not found into the corner, and are sure of it.
            if keypoints[person, joint, 0] == 0.0 and keypoints[person, joint, 1] == 0.0:
                keypoints[person, joint, 2] = 0.0
        row = rows[person]
        length = torsos[person] * TORSO_TO_BODY
        if row < 0 or not length > 0.0:
            continue
        if owners[row] != ids[person]:
            owners[row] = ids[person]
            times[row, :] = -np.inf
            paces[row, :] = 0.0
            doubted[row, :] = False
        x = 0.0
        y = 0.0
        seen = 0
        for joint in (5, 6, 11, 12):
            if keypoints[person, joint, 2] >= SEEN:
                x += keypoints[person, joint, 0]
                y += keypoints[person, joint, 1]
                seen += 1
        if seen == 0:
            continue
        for number in range(8):
            joint = _LIMBS[number]
            if keypoints[person, joint, 2] < SEEN:
                continue
            dx = (keypoints[person, joint, 0] - x / seen) / length
            dy = (keypoints[person, joint, 1] - y / seen) / length
            since = at - times[row, number]
            if since <= 0.0:
                continue
            if since <= FORGET_SECONDS:
                step = math.sqrt(
                    (dx - places[row, number, 0]) ** 2 + (dy - places[row, number, 1]) ** 2
                )
                if step > max(JUMP, PACES * paces[row, number]):
                    if not doubted[row, number]:
                        doubted[row, number] = True
                        keypoints[person, joint, 2] = 0.0
                        continue
                    # Away again, so it was no slip: from now on such steps are expected.
                    paces[row, number] = max(paces[row, number], step / 3.0)
                share = min(1.0, since / PACE_SECONDS)
                paces[row, number] += share * (step - paces[row, number])
            doubted[row, number] = False
            times[row, number] = at
            places[row, number, 0] = dx
            places[row, number, 1] = dy


@njit(
    "void(int64[::1], float64[:,::1], int64[::1], int64[::1], float64[:,::1], float64[::1],"
    " float64)",
    cache=True,
    nogil=True,
)
def _quieten(
    owners: NDArray[np.int64],
    memory: NDArray[np.float64],
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    speeds: NDArray[np.float64],
    trembles: NDArray[np.float64],
    at: float,
) -> None:
    for person in range(rows.shape[0]):
        row = rows[person]
        v = speeds[person, 4]
        noise = trembles[person] / TIME_BASE_SECONDS
        if row < 0 or not math.isfinite(v) or not noise > 0.0:
            continue
        if owners[row] != ids[person] or not 0.0 < at - memory[row, 1] <= 1.0:
            owners[row] = ids[person]
            memory[row, 0] = v
        else:
            share = 1.0 - math.exp(-(at - memory[row, 1]) / QUIET_SECONDS)
            memory[row, 0] += share * (v - memory[row, 0])
        memory[row, 1] = at
        # Who starts to move at once is heard at once: the mean of memory and moment counts.
        told = max(memory[row, 0], 0.5 * v) / noise
        moves = min(1.0, max(0.0, (told - QUIET[0]) / (QUIET[1] - QUIET[0])))
        for part in range(5):
            speeds[person, part] *= moves


class Still:
    """Knows of everybody where their limbs were and how quiet they are. Memory never grows."""

    def __init__(self) -> None:
        """Nobody was seen yet."""
        self._owners = np.full((2, ROWS), -1, np.int64)
        self._times = np.full((ROWS, 8), -math.inf)
        self._places = np.zeros((ROWS, 8, 2))
        self._paces = np.zeros((ROWS, 8))
        self._doubted = np.zeros((ROWS, 8), np.bool_)
        self._memory = np.zeros((ROWS, 2))

    def clear(self) -> None:
        """Forget everyone: the source has jumped."""
        self._owners[:] = -1

    def doubt(
        self,
        rows: NDArray[np.int64],
        ids: NDArray[np.int64],
        keypoints: NDArray[np.float32],
        torsos: NDArray[np.float64],
        at: float,
    ) -> None:
        """Take the confidence from limbs that have jumped and are not yet believed, in place.

        `rows` are those of the `PeopleRing`, `keypoints` has the shape (people, 17, 3), `torsos`
        (people,) is the length of each torso in their unit.
        """
        _doubt(
            self._owners[0], self._times, self._places, self._paces, self._doubted, rows, ids,
            keypoints, torsos, at,
        )  # fmt: skip

    def quieten(
        self,
        rows: NDArray[np.int64],
        ids: NDArray[np.int64],
        speeds: NDArray[np.float64],
        trembles: NDArray[np.float64],
        at: float,
    ) -> None:
        """Take from `speeds`, shape (people, 5), what is not more than trembling, in place.

        `trembles` is its deviation for each person, in body lengths.
        """
        _quieten(self._owners[1], self._memory, rows, ids, speeds, trembles, at)
