"""Where in the beat each body is, once the tempo is known, and how much all move in phase.

At a known tempo a body's height is a sine once a beat, another twice a beat, and a straight line.
Least squares over the slots in which it was seen find them: gaps, which would leak one sine into
the other, cost nothing but certainty, and what is left over tells how sure a phase is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.spectrum import BODIES_A_PACKET, LEAST_PRESENCE, LEAST_SLOTS, STILL, weigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.dsp.bounce import BounceRing, SpeedRing, Window

    Floats = NDArray[np.float64]

_COLUMNS: Final = 6
# A constant, a straight line, and a sine and a cosine once a beat and twice.

_ASKEW: Final = 0.1
# Who bounces twice a beat does not quite the same both times: as much of that shows once a beat,
# and tells nothing of where their beat is.

_SHARP: Final = 0.25
# Who leaps once a beat does not move like a sine: as much of that shows twice a beat.

_TURNED: Final = 0.5
# A phase that noise of this share of its power has turned by chance has a mean cosine of about
# sqrt(1 / (1 + share / 2)).

_TWICE: Final = 0.25
# What the phases twice a beat say of the beat counts so much less.

_LEAST_TOLD: Final = 0.1
# Of fewer of all pairs nothing is said.


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
        self._flat = np.ones(slots)
        self._work = np.zeros((3, slots))
        self._gram = np.zeros((_COLUMNS, _COLUMNS))
        self._window: Window | None = None
        self._columns = _COLUMNS
        self._row = bodies

    def begin(self, window: Window, hertz: float) -> None:
        """Look at these slots at so many beats a second, from the first row on."""
        self._window = window
        self._row = 0
        self.presence[:] = 0.0
        since = window.times - window.middle
        basis = self._basis[: since.size]
        basis[:, 0] = 1.0
        basis[:, 1] = since / max(1e-9, float(np.ptp(since)))
        for place, times in ((2, 1.0), (4, 2.0)):
            angle = math.tau * times * hertz * since
            basis[:, place], basis[:, place + 1] = np.cos(angle), -np.sin(angle)
        # What is faster than half the rate of the pictures only mirrors what is slower.
        self._columns = _COLUMNS if 2.0 * hertz < 0.49 * window.rate else _COLUMNS - 2

    def go_on(self, ring: BounceRing | SpeedRing) -> bool:
        """Look at some more bodies; whether there are others left."""
        window = self._window
        if window is None:
            return False
        self._row = _fit(
            ring.sums, ring.seen_at, window.origin + window.times[0], window.order, window.times,
            self._flat[: window.order.size], self._basis, self._columns, self._row,
            BODIES_A_PACKET, self._work, self._gram, self.amplitudes, self.noise, self.presence,
            self.scale,
        )  # fmt: skip
        return self._row < self.presence.size

    def together(self, out: Floats) -> None:
        """Fill `out` with synchrony and everyone's movement, as `in_phase` does."""
        in_phase(self.amplitudes, self.noise, self.presence, self.scale, out)


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
    " float64[:,::1], int64, int64, int64, float64[:,::1], float64[:,::1], float64[:,::1],"
    " float64[:,::1], float64[::1], float64[::1])",
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
    columns: int,
    row: int,
    bodies: int,
    work: Floats,
    gram: Floats,
    amplitudes: Floats,
    noise: Floats,
    presence: Floats,
    scale: Floats,
) -> int:
    """Fit up to so many bodies from a row on; the row to go on from."""
    slots = order.shape[0]
    heights, aside, weights = work[0], work[1], work[2]
    right = np.empty(columns)
    found = np.empty(columns)
    looked = 0
    while row < sums.shape[0] and looked < bodies:
        if seen_at[row] < since:
            row += 1
            continue
        looked += 1
        weigh(sums[row], order, times, flat, heights, aside, weights)
        there, total = 0, 0.0
        gram[:columns, :columns] = 0.0
        right[:] = 0.0
        for k in range(slots):
            if weights[k] == 0.0:
                continue
            there += 1
            # A slot of two pictures is twice as sure.
            weights[k] = sums[row, order[k], 2]
            total += weights[k]
            for i in range(columns):
                part = weights[k] * basis[k, i]
                right[i] += part * heights[k]
                for j in range(i + 1):
                    gram[i, j] += part * basis[k, j]
        if there < LEAST_SLOTS or there < LEAST_PRESENCE * slots:
            row += 1
            continue
        for i in range(columns):
            for j in range(i + 1):
                gram[i, j] /= total
                gram[j, i] = gram[i, j]
        if not _invert(gram, columns):
            row += 1
            continue
        for i in range(columns):
            found[i] = 0.0
            for j in range(columns):
                found[i] += gram[i, j] * right[j] / total
        square = 0.0
        for k in range(slots):
            if weights[k] > 0.0:
                left = heights[k]
                for i in range(columns):
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


@njit("float64(float64, float64)", cache=True, nogil=True)
def _sure(power: float, noise: float) -> float:
    """Mean cosine between a phase and what noise makes of it, from the power of both together."""
    clean = max(0.0, power - noise)
    return math.sqrt(clean / (clean + _TURNED * noise)) if clean > 0.0 else 0.0


@njit("float64(float64, float64, float64)", cache=True, nogil=True)
def _of_pairs(x: float, y: float, own: float) -> float:
    """Sum over all pairs of two, from the sum of all, and of everyone with themselves."""
    return x * x + y * y - own


@njit(
    "void(float64[:,::1], float64[:,::1], float64[::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def in_phase(
    amplitudes: Floats, noise: Floats, presence: Floats, scale: Floats, out: Floats
) -> None:
    """How much everyone moves in phase.

    A phase that noise has turned by chance draws the mean cosine of a pair towards 0 by a known
    factor, which is taken out; who is mostly noise counts little. Two whose beat shows are
    compared once a beat. Who moves only twice a beat can be compared with anybody there, where
    phases count double: of phases that are spread normally with the resultant R once a beat, the
    resultant twice a beat is R^4, and that of those tells of the beat as well.

    Fills `out` with synchrony (NaN where fewer than two people can be compared), then the sum of
    everyone's movement, each as one: real and imaginary part once a beat, and twice.
    """
    out[:] = 0.0
    out[0] = np.nan
    people, everyone = 0.0, 0.0
    # Sums of the phases once a beat, and twice a beat of all, and of those whose beat shows;
    # with each what it would be if they were all the same, and the part of everyone alone.
    x1, y1, own1, same1, alone1 = 0.0, 0.0, 0.0, 0.0, 0.0
    x2, y2, own2, same2, alone2 = 0.0, 0.0, 0.0, 0.0, 0.0
    x3, y3, own3, same3, alone3 = 0.0, 0.0, 0.0, 0.0, 0.0
    for row in range(presence.shape[0]):
        there = presence[row]
        if there <= 0.0:
            continue
        a, b, c, d = amplitudes[row]
        root = there * math.sqrt(scale[row])
        out[1] += root * a
        out[2] += root * b
        out[3] += root * c
        out[4] += root * d
        people += there
        everyone += there * there
        once, twice = a * a + b * b, c * c + d * d
        first, second = max(0.0, once - noise[row, 0]), max(0.0, twice - noise[row, 1])
        sure = _sure(once, noise[row, 0] + _ASKEW**2 * second)
        other = _sure(twice, noise[row, 1] + _SHARP**2 * first)
        shows = sure * sure
        u, v, cos2, sin2 = 0.0, 0.0, 0.0, 0.0
        if shows > 0.0:
            u, v = a / math.sqrt(once), b / math.sqrt(once)
            counts = there * sure
            x1 += counts * u
            y1 += counts * v
            own1 += counts * counts
            same1 += counts * sure
            alone1 += (counts * sure) ** 2
            # Twice a phase is turned by chance twice as far.
            cos2, sin2 = there * shows * (u * u - v * v), there * shows * 2.0 * u * v
            expected = there * shows * shows * shows
            x3 += cos2
            y3 += sin2
            own3 += cos2 * cos2 + sin2 * sin2
            same3 += expected
            alone3 += expected * expected
        else:
            expected = 0.0
        if other > 0.0:
            counts = there * (1.0 - shows) * other
            cos2 += counts * c / math.sqrt(twice)
            sin2 += counts * d / math.sqrt(twice)
            expected += counts * other
        x2 += cos2
        y2 += sin2
        own2 += cos2 * cos2 + sin2 * sin2
        same2 += expected
        alone2 += expected * expected
    pairs = same1 * same1 - alone1
    mean, weight = 0.0, 0.0
    if pairs > 1e-9:
        cosine = _of_pairs(x1, y1, own1) / pairs
        mean = pairs * math.sqrt(min(1.0, max(0.0, cosine)))
        weight = pairs
    # Without the pairs that are compared once a beat.
    pairs = same2 * same2 - alone2 - (same3 * same3 - alone3)
    if pairs > 1e-9:
        cosine = (_of_pairs(x2, y2, own2) - _of_pairs(x3, y3, own3)) / pairs
        resultant = math.sqrt(min(1.0, max(0.0, cosine)))
        # Where it is small, its fourth root is mostly chance.
        pairs *= _TWICE * resultant
        mean += pairs * resultant**0.25
        weight += pairs
    if weight > _LEAST_TOLD * (people * people - everyone) and weight > 1e-9:
        out[0] = mean / weight
