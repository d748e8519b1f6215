"""Who merely travels: the part of a body's movement that carries it along is not danced.

A walker's torso goes on steadily, and legs and arms swing in proportion to that; a dancer's torso
goes to and fro and comes back. So the steady part of the torso's way, with the camera's own taken
out, is measured over a second, and what a walk at that speed takes of limbs and bounce is
deducted. Who dances while they travel keeps what is more than walking.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN
from crowdstream.dsp.middles import fill_unknown
from crowdstream.dsp.ring import ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_SECONDS: Final = 1.0
"""A way is steady if both halves of this go the same way: longer than a sway to one side."""

LEAST_SECONDS: Final = 0.4
"""Of whoever is seen for less nobody knows whether they travel."""

GAIT: Final = 0.6
"""Mean speed of head, wrists, elbows, knees and ankles against the torso of somebody who walks,
over the speed of the walk: ankles swing at about 1, knees and wrists at half, elbows at a third
of it, the head hardly; seen from the side, where it is most, and a tenth for what trembles."""

GAIT_BOUNCE: Final = 0.2
"""Vertical speed of a walker's torso over the speed of the walk (2 to 3 cm twice a stride)."""

STROLL: Final = 0.1
"""Travel below this, in body lengths per second, is shifting one's weight."""

SLOTS: Final = 24
_GAP_SECONDS: Final = 0.05
# Samples of the torso kept for each person, no nearer than this: 1.2 s, whatever the frame rate.


@njit(
    "void(int64[::1], float64[:,:,::1], int64[::1], int64[::1], int64[::1], float32[:,:,::1],"
    " float64, float64, float64, float64, float64, float64[:,::1])",
    cache=True,
    nogil=True,
)
def _see(
    heads: NDArray[np.int64],
    past: NDArray[np.float64],
    owners: NDArray[np.int64],
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    keypoints: NDArray[np.float32],
    at: float,
    camera_x: float,
    camera_y: float,
    window: float,
    least: float,
    out: NDArray[np.float64],
) -> None:
    """Speed of the steady way and signed vertical drift of each person; NaN where not known."""
    for person in range(rows.shape[0]):
        out[person, 0] = np.nan
        out[person, 1] = np.nan
        row = rows[person]
        if row < 0:
            continue
        if owners[row] != ids[person]:
            owners[row] = ids[person]
            heads[row] = 0
        x = 0.0
        y = 0.0
        parts = 0
        for first in (5, 11):
            seen = 0
            part_x = 0.0
            part_y = 0.0
            for joint in (first, first + 1):
                if keypoints[person, joint, 2] >= SEEN:
                    part_x += keypoints[person, joint, 0]
                    part_y += keypoints[person, joint, 1]
                    seen += 1
            if seen > 0:
                x += 0.5 * part_x / seen
                y += 0.5 * part_y / seen
                parts += 1
        if parts < 2:
            continue
        x -= camera_x
        y -= camera_y
        count = min(heads[row], SLOTS)
        oldest = -1
        for back in range(count):
            slot = (heads[row] - 1 - back) % SLOTS
            if at - past[row, slot, 0] > window + 1e-6:
                break
            oldest = back
        if oldest >= 0:
            begin = (heads[row] - 1 - oldest) % SLOTS
            age = at - past[row, begin, 0]
            if age >= least:
                half = begin
                nearest = age
                for back in range(oldest):
                    slot = (heads[row] - 1 - back) % SLOTS
                    miss = abs(at - past[row, slot, 0] - 0.5 * age)
                    if miss < nearest:
                        nearest = miss
                        half = slot
                late = at - past[row, half, 0]
                early = age - late
                if late > 0.0 and early > 0.0:
                    late_x = (x - past[row, half, 1]) / late
                    late_y = (y - past[row, half, 2]) / late
                    early_x = (past[row, half, 1] - past[row, begin, 1]) / early
                    early_y = (past[row, half, 2] - past[row, begin, 2]) / early
                    out[person, 0] = math.sqrt(max(0.0, late_x * early_x + late_y * early_y))
                    out[person, 1] = (y - past[row, begin, 2]) / age
        newest = (heads[row] - 1) % SLOTS
        if heads[row] == 0 or at - past[row, newest, 0] >= _GAP_SECONDS - 1e-6:
            slot = heads[row] % SLOTS
            past[row, slot, 0] = at
            past[row, slot, 1] = x
            past[row, slot, 2] = y
            heads[row] += 1


class Travellers:
    """Remembers a second of everybody's torso. Memory never grows."""

    def __init__(self) -> None:
        """Nobody was seen yet."""
        self._heads = np.zeros(ROWS, np.int64)
        self._past = np.zeros((ROWS, SLOTS, 3))
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
        camera: tuple[float, float] = (0.0, 0.0),
    ) -> NDArray[np.float64]:
        """Speed of each person's steady way, and their vertical drift, in picture heights a second.

        `rows` are those of the `PeopleRing`, `ids` the people in them, `keypoints` has the shape
        (people, 17, 3); `camera` is how far the camera's own movement has shifted the picture by
        now. Returns shape (people, 2). Who is new travels like the middle of the others.
        """
        out = np.empty((rows.shape[0], 2))
        _see(
            self._heads, self._past, self._owners, rows, np.ascontiguousarray(ids, np.int64),
            keypoints, at, camera[0], camera[1], WINDOW_SECONDS, LEAST_SECONDS, out,
        )  # fmt: skip
        fill_unknown(out[:, 0], 0.0)
        fill_unknown(out[:, 1], 0.0)
        return out


@njit(
    "void(float64[:,::1], float32[:,:,::1], float32[:,:,::1], float64[::1], float64[:,::1],"
    " float64, float64, float64[::1])",
    cache=True,
    nogil=True,
)
def _deduct(
    speeds: NDArray[np.float64],
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    body_lengths: NDArray[np.float64],
    travel: NDArray[np.float64],
    camera_y: float,
    seconds: float,
    jitter: NDArray[np.float64],
) -> None:
    for person in range(speeds.shape[0]):
        v = speeds[person, 4]
        length = body_lengths[person]
        if not np.isfinite(v) or not (length > 0.0):
            continue
        moved = 0.0
        seen = 0
        for joint in (5, 6, 11, 12):
            if now[person, joint, 2] >= SEEN and then[person, joint, 2] >= SEEN:
                moved += now[person, joint, 1] - then[person, joint, 1]
                seen += 1
        if seen == 0:
            continue
        # What the torso goes up and down beside the way it travels and the camera's shaking.
        up = (moved / seen - camera_y - travel[person, 1] * seconds) / length
        square = up * up - 0.5 * jitter[person] * jitter[person]
        bounce = math.sqrt(square) / seconds if square > 0.0 else 0.0
        walk = max(0.0, travel[person, 0] / length - STROLL)
        limbs = max(0.0, v - speeds[person, 3])
        danced = max(0.0, limbs - GAIT * walk)
        bounce = max(0.0, bounce - GAIT_BOUNCE * walk)
        share = danced / limbs if limbs > 0.0 else 0.0
        for part in range(3):
            speeds[person, part] *= share
        speeds[person, 3] = bounce
        speeds[person, 4] = danced + bounce


def without_travel(
    speeds: NDArray[np.float64],
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    body_lengths: NDArray[np.float64],
    travel: NDArray[np.float64],
    *,
    seconds: float,
    jitter: NDArray[np.float64],
    camera_y: float = 0.0,
) -> NDArray[np.float64]:
    """The speeds of `body_speeds`, shape (people, 5), less what a walk takes of them.

    `now` and `then` are the joints they were measured from, `seconds` apart; `travel` is from
    `Travellers.see`, `camera_y` how far the camera shifted the picture between the two, in picture
    heights; `jitter` is that of each person, in body lengths.
    """
    danced = np.ascontiguousarray(speeds)
    _deduct(danced, now, then, body_lengths, travel, camera_y, seconds, jitter)
    return danced
