"""Where in the beat each body is, once the tempo is known.

At a known tempo a body's height is a sine once a beat, another twice a beat, and a straight line.
Least squares over the slots in which it was seen find them: gaps, which would leak one sine into
the other, cost nothing but certainty, and what is left over tells how sure a phase is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.spectrum import LEAST_PRESENCE, LEAST_SLOTS, STILL, bodies_a_packet, weigh
from crowdstream.dsp.synchrony import BEAT_COLUMNS, in_phase

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.dsp.bounce import BounceRing, SpeedRing, Window

    Floats = NDArray[np.float64]

_COLUMNS: Final = 6
# A constant, a straight line, and a sine and a cosine once a beat and twice.

_PAIRS: Final = _COLUMNS * (_COLUMNS + 1) // 2
# Of columns, each with itself too: (0, 0), (1, 0), (1, 1), (2, 0) and so on.


class Phases:
    """Everyone's sines at one tempo, found a few bodies with each packet."""

    def __init__(self, bodies: int, slots: int) -> None:
        """For rings of so many rows and slots; all memory it will ever use is taken here."""
        self.amplitudes = np.zeros((bodies, 4))
        """Once a beat and twice, real and imaginary part, in body lengths; where presence is."""
        self.noise = np.zeros((bodies, 2))
        """Power of what chance has added to each of both."""
        self.presence = np.zeros(bodies)
        """How much of the window each row was there; 0 where it tells nothing."""
        self.scale = np.zeros(bodies)
        """1 over each row's own mean square."""
        self._basis = np.zeros((slots, _COLUMNS))
        self._products = np.zeros((slots, _PAIRS))
        self._flat = np.ones(slots)
        self._work = np.zeros((3, slots))
        self._sums = np.zeros(_PAIRS)
        self._gram = np.zeros((_COLUMNS, _COLUMNS))
        self._beats = np.zeros((bodies, BEAT_COLUMNS))
        self._window: Window | None = None
        self._columns = _COLUMNS
        self._row = bodies

    def begin(self, window: Window, hertz: float) -> None:
        """Look at these slots at so many beats a second, from the first row on."""
        self._window = window
        self._row = 0
        self.presence[:] = 0.0
        _lay_out(window.times, window.middle, hertz, self._basis, self._products)
        # What is faster than half the rate of the pictures only mirrors what is slower.
        self._columns = _COLUMNS if 2.0 * hertz < 0.45 * window.rate else _COLUMNS - 2

    def go_on(self, ring: BounceRing | SpeedRing) -> bool:
        """Look at some more bodies; whether there are others left."""
        window = self._window
        if window is None:
            return False
        since = window.origin + window.times[0]
        self._row = _fit(
            ring.sums, ring.seen_at, since, window.order, window.times,
            self._flat[: window.order.size], self._basis, self._products, self._columns, self._row,
            bodies_a_packet(ring.seen_at, since, window.rate), self._work, self._sums, self._gram,
            self.amplitudes, self.noise, self.presence, self.scale,
        )  # fmt: skip
        return self._row < self.presence.size

    def together(self, sums: Floats) -> float:
        """Synchrony, NaN where unknown; fills `sums` with the sum of everyone's movement."""
        add_up(self.amplitudes, self.presence, self.scale, sums)
        return float(in_phase(self.amplitudes, self.noise, self.presence, self._beats))


@njit(
    "void(float64[::1], float64, float64, float64[:,::1], float64[:,::1])", cache=True, nogil=True
)
def _lay_out(times: Floats, middle: float, hertz: float, basis: Floats, products: Floats) -> None:
    """The columns at each time, and the products of all pairs of them."""
    slots = times.shape[0]
    length = max(1e-9, times[-1] - times[0]) if slots > 0 else 1.0
    for k in range(slots):
        since = times[k] - middle
        once = 2.0 * math.pi * hertz * since
        basis[k, 0], basis[k, 1] = 1.0, since / length
        basis[k, 2], basis[k, 3] = math.cos(once), -math.sin(once)
        basis[k, 4], basis[k, 5] = math.cos(2.0 * once), -math.sin(2.0 * once)
        pair = 0
        for i in range(basis.shape[1]):
            for j in range(i + 1):
                products[k, pair] = basis[k, i] * basis[k, j]
                pair += 1


@njit("boolean(float64[:,::1], int64)", cache=True, nogil=True)
def _invert(matrix: Floats, count: int) -> bool:
    """Turn the first `count` rows and columns into their inverse; False where there is none."""
    for k in range(count):
        pivot = matrix[k, k]
        if not pivot > 1e-9:
            return False
        matrix[k, k] = 1.0
        for column in range(count):
            matrix[k, column] /= pivot
        for row in range(count):
            if row != k:
                share = matrix[row, k]
                matrix[row, k] = 0.0
                for column in range(count):
                    matrix[row, column] -= share * matrix[k, column]
    return True


@njit(
    "int64(float64[:,:,::1], float64[::1], float64, int64[::1], float64[::1], float64[::1],"
    " float64[:,::1], float64[:,::1], int64, int64, int64, float64[:,::1], float64[::1],"
    " float64[:,::1], float64[:,::1], float64[:,::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def _fit(
    sums: Floats,
    seen_at: Floats,
    since: float,
    order: NDArray[np.int64],
    times: Floats,
    flat: Floats,
    basis: Floats,
    products: Floats,
    columns: int,
    row: int,
    bodies: int,
    work: Floats,
    pairs: Floats,
    gram: Floats,
    amplitudes: Floats,
    noise: Floats,
    presence: Floats,
    scale: Floats,
) -> int:
    """Fit up to so many bodies from a row on; the row to go on from."""
    slots = order.shape[0]
    heights, aside, weights = work[0], work[1], work[2]
    right = np.empty(_COLUMNS)
    found = np.empty(_COLUMNS)
    looked = 0
    while row < sums.shape[0] and looked < bodies:
        if seen_at[row] < since:
            row += 1
            continue
        looked += 1
        weigh(sums[row], order, times, flat, heights, aside, weights)
        there, total = 0, 0.0
        pairs[:] = 0.0
        right[:] = 0.0
        for k in range(slots):
            if weights[k] == 0.0:
                continue
            there += 1
            # A slot of two pictures is twice as sure.
            weight = sums[row, order[k], 2]
            weights[k] = weight
            total += weight
            moved = weight * heights[k]
            for i in range(_COLUMNS):
                right[i] += moved * basis[k, i]
            for pair in range(_PAIRS):
                pairs[pair] += weight * products[k, pair]
        if there < LEAST_SLOTS or there < LEAST_PRESENCE * slots:
            row += 1
            continue
        pair = 0
        for i in range(columns):
            for j in range(i + 1):
                gram[i, j] = gram[j, i] = pairs[pair] / total
                pair += 1
        if not _invert(gram, columns):
            row += 1
            continue
        found[:] = 0.0
        for i in range(columns):
            for j in range(columns):
                found[i] += gram[i, j] * right[j] / total
        square = 0.0
        for k in range(slots):
            if weights[k] > 0.0:
                left = heights[k]
                for i in range(_COLUMNS):
                    left -= found[i] * basis[k, i]
                square += weights[k] * left * left
        amplitudes[row, :] = 0.0
        noise[row, :] = np.inf
        power = 0.0
        for number in range((columns - 2) // 2):
            place = 2 + 2 * number
            amplitudes[row, 2 * number] = found[place]
            amplitudes[row, 2 * number + 1] = found[place + 1]
            power += 0.5 * (found[place] ** 2 + found[place + 1] ** 2)
            # Of one picture, at least what one cannot say that it is movement.
            one = max(square / (there - columns), STILL)
            noise[row, number] = one / total * (gram[place, place] + gram[place + 1, place + 1])
        scale[row] = 1.0 / (power + square / total + STILL)
        presence[row] = there / slots
        row += 1
    return row


@njit(
    "void(float64[:,::1], float64[::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def add_up(amplitudes: Floats, presence: Floats, scale: Floats, out: Floats) -> None:
    """The sum of everyone's movement, each as one: real and imaginary once a beat, and twice."""
    out[:] = 0.0
    for row in range(presence.shape[0]):
        if presence[row] > 0.0:
            weight = presence[row] * math.sqrt(scale[row])
            for place in range(4):
                out[place] += weight * amplitudes[row, place]
