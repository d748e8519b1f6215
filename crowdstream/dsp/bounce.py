"""How everyone goes up and down: a ring of heights for each body, and what frequencies are in it.

A row belongs to a body, not to a number: a number that jumps to another place is taken for what
it is, a number that was given to somebody else, and the row goes on with whoever stands there.
Heights are sums of small changes of joints that were seen both times, so a joint that flickers
makes no step. Time is cut into slots; the pictures that fall into one are averaged. Memory is
taken once and never grows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

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

FARTHEST: Final = 0.35
"""Body lengths that a torso moves from one sample to the next at the very most."""

WALKS: Final = 0.6
"""Body lengths in two seconds: who gets so far crosses the floor and does not dance."""

SEEN: Final = 0.3
"""Joints with less confidence than this are left out."""

LEAST_PRESENCE: Final = 0.3
"""Who was there for a smaller part of the window tells nothing of their tempo."""

LEAST_SLOTS: Final = 14
LEAST_SECONDS: Final = 4.0
"""Of the past, before anything can be said: five beats of the slowest tempo."""

HEAD_SHARE: Final = 0.35
"""Weight of the head beside the torso: it nods with the same beat, and it is seen over others."""


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
    last: Floats,
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
    hint = 0
    for person in range(people):
        rows[person] = -2
        x, y, seen = 0.0, 0.0, 0
        for joint in (5, 6, 11, 12):
            if keypoints[person, joint, 2] >= SEEN and math.isfinite(
                keypoints[person, joint, 0] + keypoints[person, joint, 1]
            ):
                x += keypoints[person, joint, 0]
                y += keypoints[person, joint, 1]
                seen += 1
        if seen < 2:
            continue
        here[person, 0], here[person, 1] = x / seen, y / seen
        rows[person] = -1
        for step in range(count):
            row = (hint + step) % count
            if owners[row] != ids[person]:
                continue
            hint = row + 1
            if at - seen_at[row] > LOST_SECONDS or seen_at[row] >= at:
                break
            # Half a torso more where other joints of it are seen than before.
            far = (FARTHEST + 0.15) * sizes[row]
            dx, dy = here[person, 0] - places[row, 0], here[person, 1] - places[row, 1]
            if dx * dx + dy * dy <= far * far:
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
            if seen_at[row] >= at:
                continue
            if seen_at[row] < eldest:
                oldest, eldest = row, seen_at[row]
            if at - seen_at[row] > LOST_SECONDS:
                continue
            dx, dy = here[person, 0] - places[row, 0], here[person, 1] - places[row, 1]
            apart = math.sqrt(dx * dx + dy * dy) / sizes[row]
            if apart <= FARTHEST and apart < nearest:
                best, nearest = row, apart
        if best < 0:
            best = oldest
            if best < 0:
                continue
            paths[best, :] = 0.0
            sums[best, :, :] = 0.0
            last[best, :, :] = np.nan
            sizes[best] = np.nan
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
        moved = np.zeros((2, 2))
        seen_both = np.zeros(2)
        for joint in range(13):
            if 6 < joint < 11:
                continue
            part = 1 if joint < 5 else 0
            x, y = float(keypoints[person, joint, 0]), float(keypoints[person, joint, 1])
            if keypoints[person, joint, 2] < SEEN or not math.isfinite(x + y):
                x, y = np.nan, np.nan
            dx, dy = x - last[row, joint, 0], y - last[row, joint, 1]
            if math.isfinite(dx + dy):
                moved[part, 0] += dx
                moved[part, 1] += dy
                seen_both[part] += 1.0
            last[row, joint, 0], last[row, joint, 1] = x, y
        if not (sizes[row] > 0.0):
            continue
        if seen_both[0] > 0.0:
            head = HEAD_SHARE if seen_both[1] > 0.0 else 0.0
            for axis in range(2):
                step = (1.0 - head) * moved[0, axis] / seen_both[0]
                if head > 0.0:
                    step += head * moved[1, axis] / seen_both[1]
                paths[row, axis] += step / sizes[row]
        sums[row, slot, 0] += paths[row, 0]
        sums[row, slot, 1] += paths[row, 1]
        sums[row, slot, 2] += 1.0


@njit(
    "int64(float64[:,:,::1], float64[::1], float64[::1], int64[::1], float32[:,::1], float64[::1],"
    " float64[::1])",
    cache=True,
    nogil=True,
)
def _settle(
    sums: Floats,
    times: Floats,
    window: Floats,
    order: NDArray[np.int64],
    series: NDArray[np.float32],
    power: Floats,
    presence: Floats,
) -> int:
    """Heights without their mean and slow drift, times the window, for every body that was there.

    `order` holds the slots of the window, oldest first; `times` and `window` go with it. Fills
    the first rows of `series` (scaled so that a sine of amplitude A has a transform of size A),
    their mean square and how much of the window they were there; returns how many.
    """
    slots = order.shape[0]
    heights = np.empty(slots)
    aside = np.empty(slots)
    weights = np.empty(slots)
    total = window.sum()
    found = 0
    for row in range(sums.shape[0]):
        present = 0
        for k in range(slots):
            n = sums[row, order[k], 2]
            weights[k] = 0.0
            if n > 0.0:
                heights[k] = sums[row, order[k], 1] / n
                aside[k] = sums[row, order[k], 0] / n
                weights[k] = window[k]
                present += 1
        if present < LEAST_SLOTS:
            continue
        # Who crosses the floor does not dance meanwhile.
        early, late = 0, 0
        for k in range(slots):
            while early < k and times[k] - times[early] > 1.0:
                early += 1
            while late < slots - 1 and times[late] - times[k] < 1.0:
                late += 1
            if weights[k] == 0.0:
                continue
            first, final = early, late
            while sums[row, order[first], 2] == 0.0:
                first += 1
            while sums[row, order[final], 2] == 0.0:
                final -= 1
            far = abs(aside[final] - aside[first])
            # At the ends of the past less than two seconds are known.
            if times[final] - times[first] > 0.3 and far > 0.5 * WALKS * max(
                0.6, times[final] - times[first]
            ):
                weights[k] = 0.0
        weight = weights.sum()
        if weight < LEAST_PRESENCE * total:
            continue
        # The straight line through them, by weighted least squares.
        t = (weights * times).sum() / weight
        h, tt, th = 0.0, 0.0, 0.0
        for k in range(slots):
            if weights[k] > 0.0:
                h += weights[k] * heights[k]
                tt += weights[k] * (times[k] - t) ** 2
                th += weights[k] * (times[k] - t) * heights[k]
        h /= weight
        slope = th / tt if tt > 0.0 else 0.0
        square = 0.0
        for k in range(slots):
            series[found, k] = 0.0
            if weights[k] > 0.0:
                value = heights[k] - h - slope * (times[k] - t)
                square += weights[k] * value * value
                series[found, k] = weights[k] * value * 2.0 / weight
        power[found] = square / weight
        presence[found] = weight / total
        found += 1
    return found


@njit("void(float32[:,::1], float32[:,::1], float32[:,::1])", cache=True, nogil=True)
def transform(
    series: NDArray[np.float32], turns: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """out = series @ turns, as far as `turns` has rows.

    Written out: the threads of a library would take the processor of the sound.
    """
    out[:, :] = 0.0
    columns = turns.shape[1]
    for row in range(series.shape[0]):
        for k in range(turns.shape[0]):
            value = series[row, k]
            if value != 0.0:
                for column in range(columns):
                    out[row, column] += value * turns[k, column]


class BounceRing:
    """Everyone's height over the last seconds."""

    def __init__(self) -> None:
        """Empty; all memory it will ever use is taken here."""
        self._owners = np.full(ROWS, -1, np.int64)
        self._seen_at = np.full(ROWS, -math.inf)
        self._places = np.zeros((ROWS, 2))
        self._sizes = np.full(ROWS, np.nan)
        self._last = np.full((ROWS, 13, 2), np.nan)
        self._paths = np.zeros((ROWS, 2))
        self._sums = np.zeros((ROWS, SLOTS, 3))
        self._rows = np.empty(ROWS, np.int64)
        self._series = np.zeros((ROWS, SLOTS), np.float32)
        self._power = np.zeros(ROWS)
        self._presence = np.zeros(ROWS)
        self._slots = SlotClock()

    def clear(self) -> None:
        """Forget everyone: the source has jumped."""
        self._owners[:] = -1
        self._seen_at[:] = -math.inf
        self._sums[:] = 0.0
        self._slots.clear()

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
        if not self._slots.newest < at < math.inf:
            return False
        if self._slots.add(at):
            self._sums[:, self._slots.slot] = 0.0
        people = min(len(ids), ROWS)
        _take(
            self._owners, self._seen_at, self._places, self._sizes, self._last, self._paths,
            self._sums, self._slots.slot, np.ascontiguousarray(keypoints[:people], np.float32),
            np.ascontiguousarray(ids[:people], np.int64),
            np.ascontiguousarray(bodies[:people], np.float64), at, self._rows,
        )  # fmt: skip
        return True

    def settled(self) -> tuple[NDArray[np.float32], Floats, Floats, Floats]:
        """Series of everyone who was there, their mean squares and presence, and the times.

        A series has the window on it, and SLOTS places of which the first are used: as many as
        there are times. 0 is the time of the newest sample.
        """
        order, times, window = self._slots.window()
        if order.size < LEAST_SLOTS:
            none = np.zeros(0)
            return self._series[:0], none, none, times
        found = _settle(self._sums, times, window, order, self._series, self._power, self._presence)
        return self._series[:found], self._power[:found], self._presence[:found], times


class SpeedRing:
    """The speed of everything that moves over the last seconds, as flow tells it."""

    def __init__(self) -> None:
        """Empty; all memory it will ever use is taken here."""
        self._sums = np.zeros((1, SLOTS, 3))
        self._trust = np.zeros(SLOTS)
        self._series = np.zeros((1, SLOTS), np.float32)
        self._power = np.zeros(1)
        self._presence = np.zeros(1)
        self._slots = SlotClock()

    def clear(self) -> None:
        """Forget all: the source has jumped."""
        self._sums[:] = 0.0
        self._slots.clear()

    def write(self, speed: float, confidence: float, at: float) -> bool:
        """Add one speed; False where the time or a value cannot be taken."""
        if not self._slots.newest < at < math.inf:
            return False
        if not math.isfinite(speed) or not math.isfinite(confidence):
            return False
        if self._slots.add(at):
            self._sums[:, self._slots.slot] = 0.0
            self._trust[self._slots.slot] = 0.0
        slot = self._slots.slot
        self._sums[0, slot, 1] += speed
        self._sums[0, slot, 2] += 1.0
        self._trust[slot] += confidence
        return True

    def settled(self) -> tuple[NDArray[np.float32], Floats, Floats, float]:
        """The series as of a body that was there all the time, and the mean confidence."""
        order, times, window = self._slots.window()
        found = 0
        if order.size >= LEAST_SLOTS:
            found = _settle(
                self._sums, times, window, order, self._series, self._power, self._presence
            )
        if not found:
            return self._series[:0], self._power[:0], times[:0], 0.0
        trust = float((self._trust[order] / np.maximum(1.0, self._sums[0, order, 2])).mean())
        return self._series, self._power, times, min(1.0, max(0.0, trust))


class SlotClock:
    """Cuts time into slots that hold one picture or a few, and keeps their times in a ring."""

    def __init__(self) -> None:
        """No slot yet."""
        self._sums = np.zeros(SLOTS)
        self._counts = np.zeros(SLOTS)
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._counts[:] = 0.0
        self._sums[:] = 0.0
        self._made = 0
        self._began = -math.inf
        self.newest = -math.inf
        self.oldest = -math.inf
        """When the first sample came."""

    @property
    def slot(self) -> int:
        """The slot that is being filled."""
        return (self._made - 1) % SLOTS

    def add(self, at: float) -> bool:
        """A sample comes at `at`, later than all before; True where a new slot begins with it."""
        began = at - self._began >= SLOT_SECONDS - 1e-9
        if began:
            if self._made == 0:
                self.oldest = at
            self._made += 1
            self._began = at
            # Times against the first sample: of a long show, no digits are lost.
            self._sums[self.slot] = 0.0
            self._counts[self.slot] = 0.0
        self._sums[self.slot] += at - self.oldest
        self._counts[self.slot] += 1.0
        self.newest = at
        return began

    def window(self) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Slots of the window, oldest first, their times, and Hann's window over them.

        0 is the time of the newest sample; the window is shorter while the past is.
        """
        count = min(self._made, SLOTS)
        order = (self._made - count + np.arange(count, dtype=np.int64)) % SLOTS
        times = self._sums[order] / np.maximum(self._counts[order], 1.0)
        times -= self.newest - self.oldest
        length = min(WINDOW_SECONDS, self.newest - self.oldest + SLOT_SECONDS)
        inside = times > -length
        order, times = order[inside], times[inside]
        window = 0.5 + 0.5 * np.cos(2.0 * np.pi * (times / length + 0.5))
        return order, times, np.ascontiguousarray(window)
