"""What else joints tell of how a crowd moves: contraction, smoothness, density and common flow.

All of it in own body lengths and seconds, in one pass over the people of a picture; nothing that
is missing, flickers, enters or leaves makes a movement, for only what is seen counts.

contraction  1 less the mean distance of the limbs' joints from the middle of the torso, each as
             a share of how far it can reach: the "points density" of EyesWeb (Camurri et al.
             2003), against a body's proportions (Drillis & Contini 1966).
smoothness   spectral arc length, SPARC (Balasubramanian et al. 2015, J NeuroEng Rehab 12:112), of
             the arms' speed over the last 1.6 s in steps of 0.1 s.
density      people per square body length, from the mean distance r to the nearest neighbour as
             1 / (4 r^2) (Clark & Evans 1954), in the plane of the picture.
flow         mean drift of the torsos, the camera's own taken out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN, TIME_BASE_SECONDS
from crowdstream.dsp.follow import Follower
from crowdstream.dsp.ring import ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SHARE: Final = 1.0 / 8.0
"""Of the movement of all, no single body moves the music by more than this."""

STEPS: Final = 16
STEP_SECONDS: Final = 0.1
"""Smoothness is that of so many samples of speed, so far apart, at any rate of pictures."""

LONGEST_GAP_SECONDS: Final = 0.35
"""Speeds further apart than this are not of one movement."""

MOVES_SPEED: Final = 0.15
"""Arms that are slower than this on the mean, in body lengths a second, have no smoothness."""

NEAREST: Final = 0.1
"""Closer neighbours than this, in body lengths, are counted as so close: density is 25 at most."""

_REACH: Final = np.array([0.38, 0.38, 0.53, 0.53, 0.0, 0.0, 0.42, 0.42, 0.66, 0.66])
# How far elbows, wrists, (hips,) knees and ankles come from the middle of the torso, in body
# lengths: half the breadth of shoulders and hips 0.13 and 0.1, half the torso 0.144, upper arm
# 0.186, forearm 0.146, thigh and shank 0.245 each.

_FREQUENCIES: Final = np.arange(21) * 0.25
_ANGLES: Final = 2.0 * np.pi * np.outer(_FREQUENCIES, np.arange(STEPS)) * STEP_SECONDS
_COS: Final = np.cos(_ANGLES)
_SIN: Final = np.sin(_ANGLES)
_LEAST_MAGNITUDE: Final = 0.05
# SPARC ends at the last frequency whose magnitude is this share of that at 0 Hz.


@njit("float64(float64[::1])", cache=True, nogil=True)
def fair_mean(speeds: NDArray[np.float64]) -> float:
    """The mean, no one counting more than an eighth of the sum; of few, than twice the mean.

    Twice, because within one swing a limb's speed comes to 1.6 times its mean: people who dance
    alike, each at their own moment, all count whole. The sum is that of all as they are: taking
    it again of what was capped would leave, step by step, nothing of seven who dance where one
    stands.
    """
    if speeds.shape[0] == 0:
        return 0.0
    limit = speeds.sum() * max(LARGEST_SHARE, 2.0 / speeds.shape[0])
    total = 0.0
    for one in speeds:
        total += min(one, limit)
    return float(total / speeds.shape[0])


@njit("UniTuple(float64, 6)(float64[:,::1])", cache=True, nogil=True)
def means_of(speeds: NDArray[np.float64]) -> tuple[float, ...]:
    """Means over those of whom each is known, NaN of nobody: head, arms, legs, bounce, v; fair v.

    `speeds` is what `dsp.energy.body_speeds` says, shape (people, 5).
    """
    people = speeds.shape[0]
    sums = np.zeros(5)
    counts = np.zeros(5)
    known = np.empty(people)
    found = 0
    for person in range(people):
        for part in range(5):
            if math.isfinite(speeds[person, part]):
                sums[part] += speeds[person, part]
                counts[part] += 1.0
        if math.isfinite(speeds[person, 4]):
            known[found] = speeds[person, 4]
            found += 1
    for part in range(5):
        sums[part] = sums[part] / counts[part] if counts[part] > 0.0 else np.nan
    fair = fair_mean(known[:found]) if found > 0 else np.nan
    return sums[0], sums[1], sums[2], sums[3], sums[4], fair


@njit("float64(float64[::1])", cache=True, nogil=True)
def spectral_arc_length(speeds: NDArray[np.float64]) -> float:
    """SPARC of STEPS samples of speed, STEP_SECONDS apart: below -1, smoother is nearer to it.

    NaN where nothing moves.
    """
    magnitudes = np.empty(21)
    last = 0
    for number in range(21):
        real = 0.0
        imaginary = 0.0
        for step in range(STEPS):
            real += _COS[number, step] * speeds[step]
            imaginary += _SIN[number, step] * speeds[step]
        magnitudes[number] = math.sqrt(real * real + imaginary * imaginary)
    if not magnitudes[0] > 0.0:
        return np.nan
    for number in range(21):
        magnitudes[number] /= magnitudes[0] if number > 0 else 1.0
        if number > 0 and magnitudes[number] >= _LEAST_MAGNITUDE:
            last = number
    magnitudes[0] = 1.0
    last = max(1, last)
    arc = 0.0
    for number in range(last):
        up = magnitudes[number + 1] - magnitudes[number]
        arc -= math.sqrt(1.0 / (last * last) + up * up)
    return arc


@njit("float64(float64[:,::1], int64)", cache=True, nogil=True)
def _density(places: NDArray[np.float64], people: int) -> float:
    if people == 0:
        return np.nan
    if people == 1:
        return 0.0
    # From left to right, so that whoever is too far aside to be nearer need not be looked at.
    order = np.argsort(places[:people, 0])
    longest = places[:people, 2].max()
    nearest = np.full(people, np.inf)
    for first in range(people):
        one = order[first]
        for second in range(first + 1, people):
            other = order[second]
            dx = places[other, 0] - places[one, 0]
            if dx * dx > nearest[one] * longest * longest:
                break
            dy = places[one, 1] - places[other, 1]
            length = 0.5 * (places[one, 2] + places[other, 2])
            square = (dx * dx + dy * dy) / (length * length)
            nearest[one] = min(nearest[one], square)
            nearest[other] = min(nearest[other], square)
        for back in range(1, first + 1):
            other = order[first - back]
            dx = places[one, 0] - places[other, 0]
            if dx * dx > nearest[one] * longest * longest:
                break
            dy = places[one, 1] - places[other, 1]
            length = 0.5 * (places[one, 2] + places[other, 2])
            square = (dx * dx + dy * dy) / (length * length)
            nearest[one] = min(nearest[one], square)
    total = 0.0
    for one in range(people):
        total += max(NEAREST, math.sqrt(nearest[one]))
    mean = total / people
    return 1.0 / (4.0 * mean * mean)


@njit(
    "UniTuple(float64, 5)(int64[::1], float64[:,::1], float64[:,::1], int64[::1], int64[::1],"
    " float32[:,:,::1], float32[:,:,::1], float64[::1], float64[:,::1], float64, float64, float64,"
    " float64[:,::1])",
    cache=True,
    nogil=True,
)
def _read(
    owners: NDArray[np.int64],
    state: NDArray[np.float64],
    profiles: NDArray[np.float64],
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    body_lengths: NDArray[np.float64],
    speeds: NDArray[np.float64],
    at: float,
    camera_x: float,
    camera_y: float,
    out: NDArray[np.float64],
) -> tuple[float, float, float, float, float]:
    people = rows.shape[0]
    places = np.empty((people, 3))
    ordered = np.empty(STEPS)
    own = np.zeros(2)
    counts = np.zeros(2)
    open_sum = np.zeros(2)
    open_count = np.zeros(2)
    smooth = 0.0
    smooth_count = 0.0
    drift_x = 0.0
    drift_y = 0.0
    drifting = 0.0
    standing = 0
    for person in range(people):
        out[person] = np.nan
        length = body_lengths[person]
        if not length > 0.0:
            continue
        x = 0.0
        y = 0.0
        seen = 0
        moved_x = 0.0
        moved_y = 0.0
        moved = 0
        shoulders = 0
        for joint in (5, 6, 11, 12):
            if now[person, joint, 2] >= SEEN:
                x += now[person, joint, 0]
                y += now[person, joint, 1]
                seen += 1
                shoulders += 1 if joint < 7 else 0
                if then[person, joint, 2] >= SEEN:
                    moved_x += now[person, joint, 0] - then[person, joint, 0]
                    moved_y += now[person, joint, 1] - then[person, joint, 1]
                    moved += 1
        if shoulders in (0, seen):
            continue
        x /= seen
        y /= seen
        places[standing, 0] = x
        places[standing, 1] = y
        places[standing, 2] = length
        standing += 1
        if moved >= 2 and math.isfinite(speeds[person, 3]):
            drift_x += (moved_x / moved / TIME_BASE_SECONDS - camera_x) / length
            drift_y += (moved_y / moved / TIME_BASE_SECONDS - camera_y) / length
            drifting += 1.0
        # How far the limbs are stretched out: arms and legs apart, for legs are often hidden.
        own[:] = 0.0
        counts[:] = 0.0
        for joint in (7, 8, 9, 10, 13, 14, 15, 16):
            if now[person, joint, 2] >= SEEN:
                dx = (now[person, joint, 0] - x) / length
                dy = (now[person, joint, 1] - y) / length
                part = 0 if joint < 11 else 1
                own[part] += min(1.0, math.sqrt(dx * dx + dy * dy) / _REACH[joint - 7])
                counts[part] += 1.0
        total = 0.0
        parts = 0
        for part in range(2):
            if counts[part] > 0.0:
                open_sum[part] += own[part] / counts[part]
                open_count[part] += 1.0
                total += own[part] / counts[part]
                parts += 1
        if parts > 0:
            out[person, 0] = 1.0 - total / parts
        # The speed of the arms goes into a ring of even steps; of it, now and then, the arc.
        row = rows[person]
        if row < 0:
            continue
        if owners[row] != ids[person]:
            owners[row] = ids[person]
            state[row, 0] = -np.inf
            state[row, 4] = np.nan
        speed = speeds[person, 1] if math.isfinite(speeds[person, 1]) else speeds[person, 2]
        since = at - state[row, 0]
        if not math.isfinite(speed):
            continue
        if since <= 0.0:
            pass
        elif since > LONGEST_GAP_SECONDS:
            state[row, 2] = at
            state[row, 3] = 0.0
            state[row, 4] = np.nan
            state[row, 0] = at
        else:
            due = False
            while state[row, 2] <= at:
                share = (state[row, 2] - state[row, 0]) / since
                value = state[row, 1] + share * (speed - state[row, 1])
                profiles[row, int(state[row, 3]) % STEPS] = value
                state[row, 3] += 1.0
                state[row, 2] += STEP_SECONDS
                # Half of the people each time, so that no packet bears the work of two.
                due = due or (int(state[row, 3]) + ids[person]) % 2 == 0
            if due and state[row, 3] >= STEPS:
                mean = 0.0
                for step in range(STEPS):
                    ordered[step] = profiles[row, (int(state[row, 3]) + step) % STEPS]
                    mean += ordered[step] / STEPS
                state[row, 4] = spectral_arc_length(ordered) if mean > MOVES_SPEED else np.nan
            state[row, 0] = at
        state[row, 1] = speed
        out[person, 1] = state[row, 4]
        if math.isfinite(state[row, 4]):
            smooth += state[row, 4]
            smooth_count += 1.0

    contraction = 0.0
    parts = 0
    for part in range(2):
        if open_count[part] > 0.0:
            contraction += 1.0 - open_sum[part] / open_count[part]
            parts += 1
    return (
        contraction / parts if parts > 0 else np.nan,
        smooth / smooth_count if smooth_count > 0.0 else np.nan,
        _density(places, standing),
        drift_x / drifting if drifting > 0.0 else np.nan,
        drift_y / drifting if drifting > 0.0 else np.nan,
    )


class Shape(NamedTuple):
    """The crowd's shape at one moment; what is not known is None."""

    contraction: float | None = None
    smoothness: float | None = None
    density: float | None = None
    flow: tuple[float, float] | None = None


class Signals:
    """Reads the shape of a crowd, picture by picture. Memory never grows."""

    def __init__(self) -> None:
        """Nobody was seen yet."""
        self._owners = np.full(ROWS, -1, np.int64)
        # Time and speed of the newest sample, when the next step is due, steps so far, the arc.
        self._state = np.zeros((ROWS, 5))
        self._profiles = np.zeros((ROWS, STEPS))
        self._followers = tuple(Follower(s, s) for s in (0.5, 1.0, 1.0, 1.0, 1.0))
        self.shape = Shape()
        """The newest; nothing is known before the first picture."""
        self.each: NDArray[np.float64] = np.zeros((0, 2))
        """Contraction and smoothness of each person of the newest picture; NaN is unknown."""

    def clear(self) -> None:
        """Forget everyone: the source has jumped."""
        self._owners[:] = -1
        for follower in self._followers:
            follower.reset()
        self.shape = Shape()

    def see(
        self,
        rows: NDArray[np.int64],
        ids: NDArray[np.int64],
        keypoints: NDArray[np.float32],
        then: NDArray[np.float32],
        body_lengths: NDArray[np.float64],
        speeds: NDArray[np.float64],
        at: float,
        *,
        camera: tuple[float, float] = (0.0, 0.0),
    ) -> Shape:
        """The people of one picture.

        `rows` are those of the `PeopleRing`, `keypoints` and `then` shape (people, 17, 3), as for
        `body_speeds`, whose answer `speeds` is; `body_lengths` in the unit of the key points (NaN
        where unknown); `camera` in picture heights a second.
        """
        self.each = np.empty((rows.shape[0], 2))
        seen = _read(
            self._owners, self._state, self._profiles, rows, ids, keypoints, then, body_lengths,
            speeds, at, camera[0], camera[1], self.each,
        )  # fmt: skip
        values: list[float | None] = []
        for follower, value in zip(self._followers, seen, strict=True):
            if math.isfinite(value):
                values.append(follower.follow(value, at))
            else:
                follower.reset()
                values.append(None)
        contraction, smoothness, density, x, y = values
        flow = (x, y) if x is not None and y is not None else None
        self.shape = Shape(contraction, smoothness, density, flow)
        return self.shape
