"""What energy means: speeds against one's own body, and one published curve from speed to 0..1.

    v = mean over the people of ( mean speed of head, wrists, elbows, knees and ankles
                                  against the person's own torso
                                + vertical speed of the torso )      in body lengths per second

The speeds are taken over one fixed time base, so the same dance gives the same v at any frame
rate that can show it. A person who stands still has v = 0, wherever the camera is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIME_BASE_SECONDS: Final = 0.1
"""Speeds are measured over this long: short enough for 3 Hz of dancing (0.96 of the truth),
long enough that the jitter of key points does not look like a dance."""

TORSO_TO_BODY: Final = 3.45
"""Body length over the distance from the middle of the shoulders to the middle of the hips."""

SEEN: Final = 0.3
"""Joints with less confidence than this are left out."""


class Anchors(NamedTuple):
    """The three published points of the curve from v to energy; `calibrate` may move them."""

    still: float = 0.06
    """v at or below which energy is 0: breathing, and the trembling of key points."""

    half: float = 0.9
    """v of energy 0.5."""

    full: float = 2.4
    """v at or above which energy is 1."""


def energy_of(speed: float, anchors: Anchors = Anchors()) -> float:  # noqa: B008
    """Energy 0..1 of a v in body lengths per second: monotone, through the three anchors.

    Between `still` and `full` it is a power of the distance above `still`, which is the one
    smooth monotone curve through three such points. Not finite counts as still.
    """
    if not math.isfinite(speed) or speed <= anchors.still:
        return 0.0
    if speed >= anchors.full:
        return 1.0
    span = anchors.full - anchors.still
    exponent = math.log(0.5) / math.log((anchors.half - anchors.still) / span)
    return float(((speed - anchors.still) / span) ** exponent)


@njit("void(float32[:,:,::1])", cache=True, nogil=True)
def hide_nowhere(keypoints: NDArray[np.float32]) -> None:
    """Make joints that are nowhere (NaN, infinite) joints that are not seen, in place.

    `keypoints` has the shape (people, 17, 3).
    """
    for person in range(keypoints.shape[0]):
        for joint in range(keypoints.shape[1]):
            for axis in range(3):
                if not math.isfinite(keypoints[person, joint, axis]):
                    keypoints[person, joint] = 0.0


@njit(
    "float64[:](float32[:,:,::1])",
    cache=True,
    nogil=True,
)
def torso_lengths(keypoints: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distance from the middle of the shoulders to the middle of the hips, per person.

    `keypoints` has the shape (people, 17, 3). NaN where no shoulder or no hip is seen.
    """
    people = keypoints.shape[0]
    lengths = np.empty(people)
    middles = np.empty((2, 2))
    seen = np.empty(2)
    for person in range(people):
        middles[:] = 0.0
        seen[:] = 0.0
        for joint, part in ((5, 0), (6, 0), (11, 1), (12, 1)):
            if keypoints[person, joint, 2] >= SEEN:
                middles[part, 0] += keypoints[person, joint, 0]
                middles[part, 1] += keypoints[person, joint, 1]
                seen[part] += 1.0
        if seen[0] == 0.0 or seen[1] == 0.0:
            lengths[person] = np.nan
            continue
        dx = middles[0, 0] / seen[0] - middles[1, 0] / seen[1]
        dy = middles[0, 1] / seen[0] - middles[1, 1] / seen[1]
        lengths[person] = math.sqrt(dx * dx + dy * dy)
    return lengths


@njit("float64(float64, float64)", cache=True, nogil=True)
def _beyond(square: float, floor: float) -> float:
    """Distance, of its square and the expected square of what trembles.

    Noise along a way adds and takes; only what lies across makes it longer. So of a clear
    movement half of the noise is taken, of one that is hardly more than noise all.
    """
    if square <= floor:
        return 0.0
    return math.sqrt(square - floor * (0.5 + 0.5 * min(1.0, 4.0 * floor / square)))


@njit(
    "float64[:,::1](float32[:,:,::1], float32[:,:,::1], float64[::1], float64, float64[::1])",
    cache=True,
    nogil=True,
)
def _body_speeds(
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    body_lengths: NDArray[np.float64],
    seconds: float,
    jitter: NDArray[np.float64],
) -> NDArray[np.float64]:
    people = now.shape[0]
    speeds = np.full((people, 5), np.nan)
    sums = np.empty(3)
    counts = np.empty(3)
    for person in range(people):
        # Two ends of a distance tremble, in two axes: twice the variance, for the joint and
        # (a quarter as much, being a mean of four) for the torso it is held against.
        floor = 4.0 * jitter[person] * jitter[person]
        length = body_lengths[person]
        if not (length > 0.0) or not (seconds > 0.0):
            continue
        # The torso's movement is that of the shoulders and hips seen both times.
        torso_x = 0.0
        torso_y = 0.0
        torso_seen = 0
        for joint in (5, 6, 11, 12):
            if now[person, joint, 2] >= SEEN and then[person, joint, 2] >= SEEN:
                torso_x += now[person, joint, 0] - then[person, joint, 0]
                torso_y += now[person, joint, 1] - then[person, joint, 1]
                torso_seen += 1
        if torso_seen < 2:
            continue
        torso_x /= torso_seen
        torso_y /= torso_seen
        up = (torso_y / length) ** 2 - floor / 8.0
        bounce = math.sqrt(up) / seconds if up > 0.0 else 0.0

        # The head is the mean of whatever of the face is seen both times: one joint of nine.
        sums[:] = 0.0
        counts[:] = 0.0
        head_x = 0.0
        head_y = 0.0
        head_seen = 0
        for joint in range(5):
            if now[person, joint, 2] >= SEEN and then[person, joint, 2] >= SEEN:
                head_x += now[person, joint, 0] - then[person, joint, 0]
                head_y += now[person, joint, 1] - then[person, joint, 1]
                head_seen += 1
        if head_seen > 0:
            dx = (head_x / head_seen - torso_x) / length
            dy = (head_y / head_seen - torso_y) / length
            sums[0] += _beyond(dx * dx + dy * dy, floor / head_seen) / seconds
            counts[0] += 1.0
        for joint in (7, 8, 9, 10, 13, 14, 15, 16):
            if now[person, joint, 2] >= SEEN and then[person, joint, 2] >= SEEN:
                dx = (now[person, joint, 0] - then[person, joint, 0] - torso_x) / length
                dy = (now[person, joint, 1] - then[person, joint, 1] - torso_y) / length
                part = 1 if joint < 11 else 2
                sums[part] += _beyond(dx * dx + dy * dy, floor) / seconds
                counts[part] += 1.0
        for part in range(3):
            if counts[part] > 0.0:
                speeds[person, part] = sums[part] / counts[part]
        total = counts.sum()
        if total > 0.0:
            speeds[person, 3] = bounce
            speeds[person, 4] = sums.sum() / total + bounce
    return speeds


def body_speeds(
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    body_lengths: NDArray[np.float64],
    seconds: float,
    jitter: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Speeds of each person against their own torso, in body lengths per second.

    `now` and `then` are the same people, shape (people, 17, 3), `seconds` apart (above 0);
    `body_lengths` has one length per person in the unit of the key points; `jitter` is the
    standard deviation of a joint's own trembling, in body lengths (0 for drawn joints), one for
    all or one for each, and is taken out of each distance in the square. Joints not seen in both
    are left out.

    Returns shape (people, 5): head, arms, legs, bounce, v. NaN where nothing of a part is seen;
    v is NaN where no torso or no joint is.
    """
    each = np.empty(now.shape[0])
    each[:] = jitter
    return _body_speeds(now, then, body_lengths, seconds, each)


def crowd_speed(speeds: NDArray[np.float64]) -> float:
    """v of the crowd: the mean over the people whose v is known; 0 where nobody's is."""
    known = speeds[:, 4][np.isfinite(speeds[:, 4])]
    return float(known.mean()) if known.size else 0.0
