"""What tempo is in the heights of a crowd: kernels that read a ring a few bodies at a time.

A look at two hundred bodies is half a thousand small sums for each; done at once it would make
one picture in ten late. So it goes on for some packets, a few bodies with each, over the same
slots from the first to the last.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.bounce import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.dsp.bounce import BounceRing, SpeedRing

    Floats = NDArray[np.float64]

LEAST_BODIES: Final = 16
PACKETS: Final = 6
PACKET_SECONDS: Final = 0.4
"""Of a small crowd so many bodies are looked at with one packet; of a large one so many that all
have been looked at after so many packets, or where these are rare after so long."""

LEAST_PRESENCE: Final = 0.25
"""Who was there for a smaller part of the window tells nothing of their tempo."""

LEAST_SLOTS: Final = 14

WALKS: Final = 0.3
"""Body lengths a second, over about two: who gets so far crosses the floor and does not dance."""

STILL: Final = 0.002**2
"""Mean square of a height, in body lengths, of which one cannot say that it is movement."""


class Look:
    """One look at everyone's heights, in steps. Its arrays are taken once and used again."""

    def __init__(self, bodies: int, slots: int, frequencies: int) -> None:
        """For rings of so many rows and slots."""
        self.window = Window(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), 0.0, 0.0, 0.0)
        self._series = np.zeros(slots, np.float32)
        self._heights = np.zeros(slots)
        self._aside = np.zeros(slots)
        self._weights = np.zeros(slots)
        self._amplitudes = np.zeros(2 * frequencies, np.float32)
        self._each = np.zeros(frequencies)
        self._together = np.zeros(2 * frequencies)
        self._totals = np.zeros(2)
        self._bodies = self._row = bodies

    @property
    def is_done(self) -> bool:
        """Everyone has been looked at."""
        return self._row >= self._bodies

    def begin(self, window: Window) -> None:
        """Look at these slots from the first row on."""
        self.window = window
        self._each[:] = 0.0
        self._together[:] = 0.0
        self._totals[:] = 0.0
        self._row = 0 if window.order.size >= LEAST_SLOTS else self._bodies

    def go_on(self, ring: BounceRing | SpeedRing) -> None:
        """Look at some more bodies."""
        window = self.window
        since = window.origin + window.times[0]
        self._row = _look(
            ring.sums, ring.seen_at, since, window.order, window.times, window.weights,
            ring.slots.turns, self._row, bodies_a_packet(ring.seen_at, since, window.rate),
            self._heights, self._aside, self._weights, self._series, self._amplitudes, self._each,
            self._together, self._totals,
        )  # fmt: skip

    def shares(self, together: float) -> Floats:
        """Share of a body's movement that each frequency explains, mean of all.

        What all do in phase counts `together` times more.
        """
        shares = np.empty(self._each.size)
        _shares(self._each, self._together, self._totals, together, shares)
        return shares


@njit(
    "void(float64[::1], float64[::1], float64[::1], float64, float64[::1])", cache=True, nogil=True
)
def _shares(each: Floats, together: Floats, totals: Floats, counts: float, out: Floats) -> None:
    weight, roots = totals
    pairs = roots * roots - weight
    frequencies = each.shape[0]
    for k in range(frequencies):
        out[k] = each[k] / weight if weight > 0.0 else 0.0
        if weight > 0.0 and pairs > 1e-9:
            both = together[k] ** 2 + together[frequencies + k] ** 2
            # Everyone paired with themselves is as much in phase as can be, and means nothing.
            out[k] += counts * max(0.0, both - each[k]) / pairs


def bodies_a_packet(seen_at: Floats, since: float, rate: float) -> int:
    """How many to look at with each of `rate` packets a second, of those who were seen since."""
    packets = max(1, round(min(PACKETS, rate * PACKET_SECONDS)))
    return max(LEAST_BODIES, math.ceil(np.count_nonzero(seen_at >= since) / packets))


@njit("void(float32[::1], int64[::1], float32[:,::1], float32[::1])", cache=True, nogil=True)
def _transform(
    series: NDArray[np.float32],
    order: NDArray[np.int64],
    turns: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Sum of the series times the turns of its slots.

    Written out, four slots at a time: the threads of a library would take the sound's processor.
    """
    columns = out.shape[0]
    out[:] = 0.0
    slots = series.shape[0]
    whole = slots - slots % 4
    for k in range(0, whole, 4):
        one, two, three, four = series[k], series[k + 1], series[k + 2], series[k + 3]
        a, b, c, d = order[k], order[k + 1], order[k + 2], order[k + 3]
        for column in range(columns):
            out[column] += (one * turns[a, column] + two * turns[b, column]) + (
                three * turns[c, column] + four * turns[d, column]
            )
    for k in range(whole, slots):
        for column in range(columns):
            out[column] += series[k] * turns[order[k], column]


@njit(
    "int64(float64[:,::1], int64[::1], float64[::1], float64[::1], float64[::1], float64[::1],"
    " float64[::1])",
    cache=True,
    nogil=True,
)
def weigh(
    sums: Floats,
    order: NDArray[np.int64],
    times: Floats,
    window: Floats,
    heights: Floats,
    aside: Floats,
    weights: Floats,
) -> int:
    """Heights of one row in each slot, and what they weigh; in how many slots it was seen.

    Nothing weighs where the row was not seen, nor while it crosses the floor: who does that does
    not dance meanwhile.
    """
    slots = order.shape[0]
    present = 0
    for k in range(slots):
        n = sums[order[k], 2]
        weights[k] = 0.0
        if n > 0.0:
            heights[k] = sums[order[k], 1] / n
            aside[k] = sums[order[k], 0] / n
            weights[k] = window[k]
            present += 1
    early, late, ahead = 0, 0, 0
    for k in range(slots):
        if sums[order[k], 2] == 0.0:
            continue
        while times[k] - times[early] > 1.0 or sums[order[early], 2] == 0.0:
            early += 1
        while ahead < slots and times[ahead] - times[k] <= 1.0:
            if sums[order[ahead], 2] > 0.0:
                late = ahead
            ahead += 1
        seconds = times[late] - times[early]
        if seconds > 0.5 and abs(aside[late] - aside[early]) > WALKS * max(1.0, seconds):
            weights[k] = 0.0
    return present


@njit(
    "int64(float64[:,:,::1], float64[::1], float64, int64[::1], float64[::1], float64[::1],"
    " float32[:,::1], int64, int64, float64[::1], float64[::1], float64[::1], float32[::1],"
    " float32[::1], float64[::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def _look(
    sums: Floats,
    seen_at: Floats,
    since: float,
    order: NDArray[np.int64],
    times: Floats,
    window: Floats,
    turns: NDArray[np.float32],
    row: int,
    bodies: int,
    heights: Floats,
    aside: Floats,
    weights: Floats,
    series: NDArray[np.float32],
    amplitudes: NDArray[np.float32],
    each: Floats,
    together: Floats,
    totals: Floats,
) -> int:
    """Look at up to so many bodies from a row on; the row to go on from."""
    slots = order.shape[0]
    count = each.shape[0]
    total = window.sum()
    looked = 0
    while row < sums.shape[0] and looked < bodies:
        if seen_at[row] < since:
            row += 1
            continue
        looked += 1
        present = weigh(sums[row], order, times, window, heights, aside, weights)
        if present < LEAST_SLOTS:
            row += 1
            continue
        weight = 0.0
        t = 0.0
        for k in range(slots):
            weight += weights[k]
            t += weights[k] * times[k]
        if weight < LEAST_PRESENCE * total:
            row += 1
            continue
        # Without their mean and the straight line through them, by weighted least squares.
        t /= weight
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
            series[k] = 0.0
            if weights[k] > 0.0:
                value = heights[k] - h - slope * (times[k] - t)
                square += weights[k] * value * value
                # So that a sine of amplitude A has a transform of size A.
                series[k] = weights[k] * value * 2.0 / weight
        there = weight / total
        own = 0.5 * there / (square / weight + STILL)
        _transform(series[:slots], order, turns, amplitudes)
        root = math.sqrt(own)
        for k in range(count):
            real, imaginary = amplitudes[k], amplitudes[count + k]
            each[k] += own * (real * real + imaginary * imaginary)
            together[k] += root * real
            together[count + k] += root * imaginary
        totals[0] += there
        totals[1] += math.sqrt(there)
        row += 1
    return row


@njit("int64(float64[::1], float64[::1], float64, float64[::1])", cache=True, nogil=True)
def peak(votes: Floats, logs: Floats, rival: float, out: Floats) -> int:
    """The highest top of the votes that is no edge; -1 where there is none.

    `logs` are the logarithms of the tempi, `rival` how far apart those of two tempi are that are
    not the same; octaves are. Fills `out` with how far aside of its place the top is (-0.5 to
    0.5), its height, the highest vote of another tempo, and the median of all votes.
    """
    top = -1
    count = votes.shape[0]
    for k in range(1, count - 1):
        is_top = votes[k] > votes[k - 1] and votes[k] >= votes[k + 1]
        if is_top and (top < 0 or votes[k] > votes[top]):
            top = k
    if top < 0 or not votes[top] > 0.0:
        return -1
    other = 0.0
    for k in range(count):
        apart = abs(logs[k] - logs[top])
        if min(apart, abs(apart - math.log(2.0))) > rival:
            other = max(other, votes[k])
    before = math.log(max(votes[top - 1], 1e-12))
    here = math.log(votes[top])
    after = math.log(max(votes[top + 1], 1e-12))
    bend = before - 2.0 * here + after
    aside = 0.5 * (before - after) / bend if bend < 0.0 else 0.0
    out[0] = min(0.5, max(-0.5, aside))
    out[1] = votes[top]
    out[2] = other
    out[3] = np.median(votes)
    return top
