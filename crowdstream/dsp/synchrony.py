"""How much all move in phase, from everyone's sines once a beat and twice (`phases.py`).

Synchrony is the resultant R of the people's phases with the level of chance taken out, which is
the root of the mean cosine between all pairs: sqrt((N R^2 - 1) / (N - 1)) (pairwise phase
consistency: Vinck and others, NeuroImage 51, 2010). Two things stand between it and the sines.

Who goes down twice a beat shows very well where half a beat is and hardly where the beat is: their
phase is one of two. How the sine once a beat lies between both tells the odds; where that leaves
a doubt, the beat that the others have in common does (expectation and maximisation, the phases
spread as von Mises has it).

And a root makes much of little: near 0 a mean cosine that is wrong by a hundredth is a synchrony
that is wrong by a tenth. How far the mean cosine may be wrong is therefore carried along, and what
is told is the median of the synchronies that it leaves possible, or nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BEAT_COLUMNS: Final = 9
"""Of the table that `in_phase` works in: one row for each body."""

_ASKEW: Final = 0.1
# Who bounces twice a beat does not quite the same both times: as much of that shows once a beat,
# and tells nothing of where their beat is.

_SHARP: Final = 0.25
# Who leaps once a beat does not move like a sine: as much of that shows twice a beat.

_DOUBTFUL: Final = 0.1
# Whose beat could as well be half a beat later still counts so much.

_LEAST_CLEAR: Final = 0.1
# Where the beat is clear in a smaller share of all pairs, what all show twice a beat comes first.

_ROUNDS: Final = 5
# In which the doubts are settled; the first two do nearly all.

_LEAST_VARIANCE: Final = 1e-6
# Of the mean cosine: a thousandth is always in doubt.

_UNKNOWN: Final = 0.35
# With a larger doubt about the mean cosine nothing is told.

_STEPS: Final = 60
# In which the synchronies are tried that are likely at all,

_REACH: Final = 5.0
# which lie within so many standard deviations.

# The columns of the table.
_COUNTS: Final = 0
_WIDTH: Final = 1
_ODDS: Final = 2
_NEAR: Final = 3
_FAR: Final = 5
_UNIT: Final = 7


@njit("float64(float64, float64)", cache=True, nogil=True)
def _width(power: float, noise: float) -> float:
    """Variance (radians squared) of a phase that noise turned; from the power of both together."""
    clean = power - noise
    return 0.5 * noise / clean if clean > 1e-12 else np.inf


@njit("float64(float64)", cache=True, nogil=True)
def _concentration(cosine: float) -> float:
    """Of von Mises, from the square of its resultant (Banerjee and others, JMLR 6, 2005)."""
    square = min(0.98, max(0.0, cosine))
    return math.sqrt(square) * (2.0 - square) / (1.0 - square)


@njit("float64(float64[::1], float64, float64, float64)", cache=True, nogil=True)
def _expect(beat: Floats, concentration: float, x: float, y: float) -> float:
    """Set the mean of both beats, where all lie around (x, y) like that; the odds of the near."""
    apart_x, apart_y = beat[_NEAR] - beat[_FAR], beat[_NEAR + 1] - beat[_FAR + 1]
    lean = concentration * (x * apart_x + y * apart_y)
    odds = beat[_ODDS]
    odds = odds / (odds + (1.0 - odds) * math.exp(-lean))
    beat[_UNIT] = beat[_FAR] + odds * apart_x
    beat[_UNIT + 1] = beat[_FAR + 1] + odds * apart_y
    return float(odds)


@njit("void(float64, float64, float64, float64, float64, float64[::1])", cache=True, nogil=True)
def _two_beats(
    phase: float, wide: float, double: float, narrow: float, there: float, beat: Floats
) -> None:
    """Where one body's beat can be: the phase once a beat and twice, each with its variance.

    `narrow` is that of half the double phase. Both together lie between, nearer to the surer.
    """
    if narrow == np.inf:
        near = far = phase
        odds, width = 1.0, wide
    else:
        near = 0.5 * double
        far = near + math.pi
        odds, width = 0.5, narrow
        if wide < np.inf:
            turned = phase - near
            certainty = min(50.0, 2.0 / (wide + narrow + 1e-9))
            odds = 1.0 / (1.0 + math.exp(-certainty * math.cos(turned)))
            share = narrow / (wide + narrow + 1e-9)
            near += share * math.atan2(math.sin(turned), math.cos(turned))
            far += share * math.atan2(-math.sin(turned), -math.cos(turned))
            width = wide * share
    beat[_NEAR], beat[_NEAR + 1] = math.cos(near), math.sin(near)
    beat[_FAR], beat[_FAR + 1] = math.cos(far), math.sin(far)
    beat[_ODDS], beat[_WIDTH] = odds, width
    _expect(beat, 0.0, 1.0, 0.0)
    clear = math.hypot(beat[_UNIT], beat[_UNIT + 1])
    # What chance takes from each cosine on average is given back where the pairs are counted.
    beat[_COUNTS] = there * (_DOUBTFUL + (1.0 - _DOUBTFUL) * clear) / math.sqrt(1.0 + width)


@njit("float64(float64, float64)", cache=True, nogil=True)
def median_of(cosine: float, variance: float) -> float:
    """Synchrony of which as many are likelier above as below, from its square and that's variance.

    As if, before anything was seen, each from 0 to 1 had been as likely.
    """
    deviation = math.sqrt(variance)
    low = math.sqrt(max(0.0, min(cosine - _REACH * deviation, 1.0 - deviation)))
    high = math.sqrt(min(1.0, max(cosine + _REACH * deviation, deviation)))
    # What lies nearest to what was measured is as likely as can be: the rest relates to that.
    best = (min(1.0, max(0.0, cosine)) - cosine) ** 2
    step = (high - low) / _STEPS
    total = 0.0
    for number in range(_STEPS):
        square = (low + (number + 0.5) * step) ** 2
        total += math.exp((best - (square - cosine) ** 2) / (2.0 * variance))
    below = 0.0
    for number in range(_STEPS):
        square = (low + (number + 0.5) * step) ** 2
        part = math.exp((best - (square - cosine) ** 2) / (2.0 * variance))
        if below + part >= 0.5 * total:
            return low + (number + (0.5 * total - below) / part) * step
        below += part
    return high


@njit("float64(float64[:,::1], int64, float64, float64[::1])", cache=True, nogil=True)
def _settle(beats: Floats, known: int, pairs: float, total: Floats) -> float:
    """Settle who is where, from what all have in common so far; the mean cosine of all pairs."""
    cosine = 0.0
    for turn in range(_ROUNDS + 1):
        length = math.hypot(total[0], total[1])
        concentration = _concentration(total[2]) if length > 1e-9 else 0.0
        x, y = (total[0] / length, total[1] / length) if length > 1e-9 else (1.0, 0.0)
        total[:2] = 0.0
        own = 0.0
        for i in range(known):
            beat = beats[i]
            _expect(beat, concentration, x, y)
            u, v = beat[_COUNTS] * beat[_UNIT], beat[_COUNTS] * beat[_UNIT + 1]
            total[0] += u
            total[1] += v
            own += u * u + v * v
        cosine = (total[0] ** 2 + total[1] ** 2 - own) / pairs
        total[2] = cosine
        if turn > 0 and concentration == 0.0:
            break
    return cosine


@njit("float64(float64[:,::1], int64, float64, float64[::1])", cache=True, nogil=True)
def _doubt(beats: Floats, known: int, pairs: float, total: Floats) -> float:
    """Variance of the mean cosine: each phase can be a little off, or at the other beat."""
    variance = 0.0
    for i in range(known):
        beat = beats[i]
        counts, c, s = beat[_COUNTS], beat[_UNIT], beat[_UNIT + 1]
        others_x, others_y = total[0] - counts * c, total[1] - counts * s
        aside = 2.0 * counts * (others_y * c - others_x * s)
        variance += aside * aside * beat[_WIDTH]
        apart_x, apart_y = beat[_NEAR] - beat[_FAR], beat[_NEAR + 1] - beat[_FAR + 1]
        size = apart_x * apart_x + apart_y * apart_y
        if size > 1e-12:
            odds = ((c - beat[_FAR]) * apart_x + (s - beat[_FAR + 1]) * apart_y) / size
            across = 2.0 * counts * (others_x * apart_x + others_y * apart_y)
            variance += across * across * odds * (1.0 - odds)
    return variance / (pairs * pairs)


@njit(
    "float64(float64[:,::1], float64[:,::1], float64[::1], float64[:,::1])",
    cache=True,
    nogil=True,
)
def in_phase(amplitudes: Floats, noise: Floats, presence: Floats, beats: Floats) -> float:
    """How much everyone moves in phase, 0 to 1; NaN where that cannot be told.

    `amplitudes` (bodies, 4): real and imaginary part once a beat, and twice; `noise` (bodies, 2):
    the power that chance has added to each of both; `presence` (bodies): how much of the time each
    was there, 0 for nobody; `beats` (bodies, BEAT_COLUMNS): room to work in.
    """
    known = 0
    people, everyone, same, alone, clear, clear2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    double_x, double_y, double_own = 0.0, 0.0, 0.0
    for row in range(presence.shape[0]):
        there = presence[row]
        if there <= 0.0:
            continue
        people += there
        everyone += there * there
        a, b, c, d = amplitudes[row]
        once, twice = a * a + b * b, c * c + d * d
        first, second = max(0.0, once - noise[row, 0]), max(0.0, twice - noise[row, 1])
        wide = _width(once, noise[row, 0] + _ASKEW**2 * second)
        narrow = _width(twice, noise[row, 1] + _SHARP**2 * first) / 4.0
        if wide == np.inf and narrow == np.inf:
            continue
        beat = beats[known]
        _two_beats(math.atan2(b, a), wide, math.atan2(d, c), narrow, there, beat)
        known += 1
        counts = beat[_COUNTS]
        one = counts / math.sqrt(1.0 + beat[_WIDTH])
        same += one
        alone += one * one
        shown = there * math.hypot(beat[_UNIT], beat[_UNIT + 1])
        clear += shown
        clear2 += shown * shown
        x, y = beat[_NEAR], beat[_NEAR + 1]
        double_x += counts * (x * x - y * y)
        double_y += counts * 2.0 * x * y
        double_own += counts * counts
    pairs, of_all = same * same - alone, people * people - everyone
    if pairs <= 1e-9 or of_all <= 1e-9:
        return np.nan
    seen = (clear * clear - clear2) / of_all
    total = np.zeros(3)
    if seen < _LEAST_CLEAR:
        # Of phases that are spread normally with the resultant R, that of twice them is R^4.
        turn = 0.5 * math.atan2(double_y, double_x)
        total[0], total[1] = math.cos(turn), math.sin(turn)
        cosine = (double_x**2 + double_y**2 - double_own) / pairs
        total[2] = min(1.0, max(0.0, cosine)) ** 0.25
    cosine = _settle(beats, known, pairs, total)
    variance = _doubt(beats, known, pairs, total) + _LEAST_VARIANCE
    if clear > 1e-9:
        # Those whose beat does not show may be anywhere: the others speak for them.
        variance += max(0.0, 1.0 - seen) * (clear2 / (clear * clear)) ** 2
    if variance > _UNKNOWN**2:
        return np.nan
    return median_of(cosine, variance)
