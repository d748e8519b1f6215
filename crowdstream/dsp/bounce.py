"""How everyone goes up and down: a ring of heights for each body, and what frequencies are in it.

A row belongs to a body, not to a number: a number that jumps to another place is taken for what
it is, a number that was given to somebody else, and the row goes on with whoever stands there.
Heights are sums of small changes of joints that were seen both times, so a joint that flickers
makes no step. Time is cut into slots; the pictures that fall into one are averaged. Memory is
taken once and never grows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS: Final = 256
"""Bodies that are followed at once, those of the last seconds that have gone included."""

WINDOW_SECONDS: Final = 7.0
"""So much of the past is looked at: fourteen beats of 120 BPM."""

SLOT_SECONDS: Final = 0.045
"""Shortest slot. What people do up to 6 Hz can be told from 12 slots a second on."""

SLOTS: Final = 176
"""Enough for the window at the shortest slots, and some to spare."""

LOST_SECONDS: Final = 0.6
"""Who is hidden for longer begins a new row."""

NEAR: Final = 0.2
FASTEST: Final = 2.0
"""A body is so near to where it was, in body lengths, and so much more for each second since."""

UNKNOWN_SIZE: Final = 0.4
"""Body length in picture heights of those who show none, where nobody does."""

SETTLES: Final = 0.03
"""How much of the way to where a joint is its place on the body goes with each picture."""

SEEN: Final = 0.3
"""Joints with less confidence than this are left out."""


HEAD_JOINT: Final = 0.4
"""Weight of one of the five joints of a head beside the four of a torso: it nods with the same
beat, and it is seen over others."""


@njit(
    "UniTuple(float64, 3)(float32[:,::1], float64[:,::1], float64, float64, float64)",
    cache=True,
    nogil=True,
)
def _step(
    joints: NDArray[np.float32], anchors: Floats, size: float, x: float, y: float
) -> tuple[float, float, float]:
    """How far somebody is from a row's path (x, y), in body lengths, and 1 if it can be said.

    `anchors` are where the joints of the row are when its path is at 0.
    """
    aside, down, weight = 0.0, 0.0, 0.0
    for joint in range(13):
        if 6 < joint < 11 or joints[joint, 2] < SEEN:
            continue
        dx, dy = joints[joint, 0] - anchors[joint, 0], joints[joint, 1] - anchors[joint, 1]
        if math.isfinite(dx + dy):
            share = HEAD_JOINT if joint < 5 else 1.0
            aside += share * dx
            down += share * dy
            weight += share
    if weight == 0.0:
        return 0.0, 0.0, 0.0
    return aside / weight / size - x, down / weight / size - y, 1.0


@njit(
    "void(int64[::1], float64[::1], float64[:,::1], float64[::1], float64[:,:,::1],"
    " float64[:,::1], float64[:,:,::1], int64, float32[:,:,::1], int64[::1], float64[::1],"
    " float64, int64[::1])",
    cache=True,
    nogil=True,
)
def _take(
    owners: NDArray[np.int64],
    seen_at: Floats,
    places: Floats,
    sizes: Floats,
    anchors: Floats,
    paths: Floats,
    sums: Floats,
    slot: int,
    keypoints: NDArray[np.float32],
    ids: NDArray[np.int64],
    bodies: Floats,
    at: float,
    rows: NDArray[np.int64],
) -> None:
    """Find the row of each body and add its height to the slot; `rows` is scratch, one a person."""
    people = keypoints.shape[0]
    count = owners.shape[0]
    here = np.empty((people, 2))
    usual, known = 0.0, 0
    for person in range(people):
        if bodies[person] > 0.0 and math.isfinite(bodies[person]):
            usual += bodies[person]
            known += 1
    hint = 0
    for person in range(people):
        rows[person] = -2
        x, y, seen = 0.0, 0.0, 0
        for joint in range(13):
            if (
                (joint < 7 or joint > 10)
                and keypoints[person, joint, 2] >= SEEN
                and math.isfinite(keypoints[person, joint, 0] + keypoints[person, joint, 1])
            ):
                x += keypoints[person, joint, 0]
                y += keypoints[person, joint, 1]
                seen += 1
        if seen == 0:
            continue
        here[person, 0], here[person, 1] = x / seen, y / seen
        rows[person] = -1
        for step in range(count):
            row = (hint + step) % count
            if owners[row] != ids[person]:
                continue
            hint = row + 1
            gone = at - seen_at[row]
            if 0.0 < gone <= LOST_SECONDS:
                x, y, _ = _step(
                    keypoints[person], anchors[row], sizes[row], paths[row, 0], paths[row, 1]
                )
                if math.sqrt(x * x + y * y) <= NEAR + FASTEST * gone:
                    rows[person] = row
                    seen_at[row] = at
            break
    for person in range(people):
        if rows[person] != -1:
            continue
        # A new number, or one that has jumped: whose row has nobody, close by?
        best, nearest = -1, np.inf
        oldest, eldest = -1, at
        for row in range(count):
            gone = at - seen_at[row]
            if gone <= 0.0:
                continue
            if seen_at[row] < eldest:
                oldest, eldest = row, seen_at[row]
            if gone > LOST_SECONDS or abs(here[person, 0] - places[row, 0]) > sizes[row]:
                continue
            x, y, can_be_said = _step(
                keypoints[person], anchors[row], sizes[row], paths[row, 0], paths[row, 1]
            )
            apart = math.sqrt(x * x + y * y)
            if can_be_said > 0.0 and apart <= NEAR + FASTEST * gone and apart < nearest:
                best, nearest = row, apart
        if best < 0:
            best = oldest
            if best < 0:
                continue
            paths[best, :] = 0.0
            sums[best, :, :] = 0.0
            anchors[best, :, :] = np.nan
            sizes[best] = usual / known if known > 0 else UNKNOWN_SIZE
        for row in range(count):
            if owners[row] == ids[person]:
                owners[row] = -1
        owners[best] = ids[person]
        seen_at[best] = at
        rows[person] = best
    for person in range(people):
        row = rows[person]
        if row < 0:
            continue
        if bodies[person] > 0.0 and math.isfinite(bodies[person]):
            sizes[row] = bodies[person]
        places[row, 0], places[row, 1] = here[person, 0], here[person, 1]
        x, y, _ = _step(keypoints[person], anchors[row], sizes[row], paths[row, 0], paths[row, 1])
        paths[row, 0] += x
        paths[row, 1] += y
        for joint in range(13):
            if 6 < joint < 11 or keypoints[person, joint, 2] < SEEN:
                continue
            for axis in range(2):
                there = keypoints[person, joint, axis] - paths[row, axis] * sizes[row]
                if not math.isfinite(there):
                    continue
                if math.isfinite(anchors[row, joint, axis]):
                    # Bodies turn and bend: slowly, or there would be no dance left.
                    anchors[row, joint, axis] += SETTLES * (there - anchors[row, joint, axis])
                else:
                    anchors[row, joint, axis] = there
        sums[row, slot, 0] += paths[row, 0]
        sums[row, slot, 1] += paths[row, 1]
        sums[row, slot, 2] += 1.0


class BounceRing:
    """Everyone's height over the last seconds."""

    def __init__(self, hertz: Floats) -> None:
        """Empty, for transforms at `hertz`; all memory it will ever use is taken here."""
        self.slots = SlotClock(hertz)
        self.sums = np.zeros((ROWS, SLOTS, 3))
        """Of each row in each slot: x and y (down; in body lengths, from anywhere), and of how
        many pictures these are the sums."""
        self.seen_at = np.full(ROWS, -math.inf)
        self._owners = np.full(ROWS, -1, np.int64)
        self._places = np.zeros((ROWS, 2))
        self._sizes = np.full(ROWS, np.nan)
        self._anchors = np.full((ROWS, 13, 2), np.nan)
        self._paths = np.zeros((ROWS, 2))
        self._rows = np.empty(ROWS, np.int64)

    def clear(self) -> None:
        """Forget everyone: the source has jumped."""
        self._owners[:] = -1
        self.seen_at[:] = -math.inf
        self.sums[:] = 0.0
        self.slots.clear()

    def write(
        self,
        ids: NDArray[np.int64],
        keypoints: NDArray[np.float32],
        bodies: Floats,
        at: float,
    ) -> bool:
        """Add everyone's height. `bodies` are body lengths, NaN where unknown.

        A time that is not later than the last, or no number, adds nothing: False.
        """
        if not self.slots.newest < at < math.inf:
            return False
        if self.slots.add(at):
            self.sums[:, self.slots.slot] = 0.0
        people = min(len(ids), ROWS)
        _take(
            self._owners, self.seen_at, self._places, self._sizes, self._anchors, self._paths,
            self.sums, self.slots.slot, np.ascontiguousarray(keypoints[:people], np.float32),
            np.ascontiguousarray(ids[:people], np.int64),
            np.ascontiguousarray(bodies[:people], np.float64), at, self._rows,
        )  # fmt: skip
        return True


class SpeedRing:
    """The speed of everything that moves over the last seconds, like one body's height."""

    def __init__(self, hertz: Floats) -> None:
        """Empty, for transforms at `hertz`; all memory it will ever use is taken here."""
        self.slots = SlotClock(hertz)
        self.sums = np.zeros((1, SLOTS, 3))
        self.seen_at = np.full(1, -math.inf)

    def clear(self) -> None:
        """Forget all: the source has jumped."""
        self.sums[:] = 0.0
        self.slots.clear()

    def write(self, speed: float, at: float) -> bool:
        """Add one speed; False where the time or the speed cannot be taken."""
        if not self.slots.newest < at < math.inf or not math.isfinite(speed):
            return False
        if self.slots.add(at):
            self.sums[:, self.slots.slot] = 0.0
        self.sums[0, self.slots.slot, 1] += speed
        self.sums[0, self.slots.slot, 2] += 1.0
        self.seen_at[0] = at
        return True


class Window(NamedTuple):
    """The slots that a look looks at, oldest first, without the one that is being filled."""

    order: NDArray[np.int64]
    times: Floats
    """Seconds against the first sample there was."""

    weights: Floats
    """Hann's window."""

    middle: float
    """Of the window, on the same clock as `times`."""

    origin: float
    """The time of the first sample."""

    rate: float
    """Slots a second, those that are missing not counted."""


class SlotClock:
    """Cuts time into slots that hold one picture or a few, and keeps their times in a ring."""

    def __init__(self, hertz: Floats) -> None:
        """No slot yet. For each slot the turns of all `hertz` at its time are kept as well."""
        self._hertz = np.ascontiguousarray(hertz, np.float64)
        self.turns = np.zeros((SLOTS, 2 * hertz.size), np.float32)
        """cos and -sin of each frequency at the time of a slot: (slots, 2 * hertz)."""
        self._sums = np.zeros(SLOTS)
        self._counts = np.ones(SLOTS)
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._made = 0
        self._began = -math.inf
        self.newest = -math.inf
        self.oldest = -math.inf

    @property
    def slot(self) -> int:
        """The slot that is being filled."""
        return (self._made - 1) % SLOTS

    @property
    def seconds(self) -> float:
        """How much past there is."""
        return self.newest - self.oldest if self._made else 0.0

    def add(self, at: float) -> bool:
        """A sample comes at `at`, later than all before; True where a new slot begins with it."""
        began = at - self._began >= SLOT_SECONDS - 1e-6
        if began:
            if self._made == 0:
                self.oldest = at
            else:
                time = self._sums[self.slot] / self._counts[self.slot]
                _turn(self.turns[self.slot], self._hertz, time)
            self._made += 1
            self._began = at
            self._sums[self.slot] = 0.0
            self._counts[self.slot] = 0.0
        self._sums[self.slot] += at - self.oldest
        self._counts[self.slot] += 1.0
        self.newest = at
        return began

    def window(self) -> Window:
        """The last seconds, or what there is of them."""
        order, times, weights = np.empty(SLOTS, np.int64), np.empty(SLOTS), np.empty(SLOTS)
        count, middle, rate = _window(self._sums, self._counts, self._made, order, times, weights)
        return Window(order[:count], times[:count], weights[:count], middle, self.oldest, rate)


@njit(
    "Tuple((int64, float64, float64))(float64[::1], float64[::1], int64, int64[::1],"
    " float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def _window(
    sums: Floats,
    counts: Floats,
    made: int,
    order: NDArray[np.int64],
    times: Floats,
    weights: Floats,
) -> tuple[int, float, float]:
    """Fill the three arrays of a `Window`; how many slots there are, its middle and its rate."""
    slots = sums.shape[0]
    whole = min(made, slots) - 1
    if whole <= 0:
        return 0, 0.0, 0.0
    last, first = (made - 2) % slots, (made - 1 - whole) % slots
    newest, oldest = sums[last] / counts[last], sums[first] / counts[first]
    length = min(WINDOW_SECONDS, newest - oldest + SLOT_SECONDS)
    middle = newest + 0.5 * SLOT_SECONDS - 0.5 * length
    count = 0
    for number in range(made - 1 - whole, made - 1):
        slot = number % slots
        time = sums[slot] / counts[slot]
        if time > newest - length:
            order[count], times[count] = slot, time
            turn = 2.0 * math.pi * (time - middle) / length
            weights[count] = max(0.0, 0.5 + 0.5 * math.cos(turn))
            count += 1
    rate = 1.0 / np.median(times[1:count] - times[: count - 1]) if count > 1 else 0.0
    return count, middle, rate


@njit("void(float32[::1], float64[::1], float64)", cache=True, nogil=True)
def _turn(turns: NDArray[np.float32], hertz: Floats, time: float) -> None:
    """One row of `SlotClock.turns`."""
    count = hertz.shape[0]
    for k in range(count):
        angle = 2.0 * math.pi * ((hertz[k] * time) % 1.0)
        turns[k] = math.cos(angle)
        turns[count + k] = -math.sin(angle)
