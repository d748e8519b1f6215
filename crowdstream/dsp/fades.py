"""Gains that move in time: crossfades by beat, and levels that never hurry.

Two laws for two opposed fades, both with `s = sin(pi/2 x) ** 2`:

    POWER   a*a + b*b == 1   for sounds that have nothing to do with each other
    GAIN    a + b == 1       for sounds that rise and fall together, like two kick drums on one beat
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

POWER: Final = 0
GAIN: Final = 1

START, END, FROM, TO, LAW = range(5)
"""Columns of a table of fades: beat, beat, factor, factor, POWER or GAIN."""

NEVER: Final = -1.0e18
"""A beat before all music: a fade that ended there is a constant."""


@njit("float64(float64, float64, float64, float64, float64, float64)", cache=True, nogil=True)
def fade(beat: float, start: float, end: float, before: float, after: float, law: float) -> float:
    """The factor at `beat` of a fade from `before` at `start` to `after` at `end`.

    Constant outside. `end` must not lie before `start`; where they are equal it is a step.
    Realtime-safe: yes
    """
    if beat >= end:
        return after
    if beat <= start:
        return before
    s = math.sin(0.5 * math.pi * (beat - start) / (end - start)) ** 2
    if law == 1.0:
        return before + (after - before) * s
    return math.sqrt(before * before + (after * after - before * before) * s)


@njit(
    "void(float64, float64[:,::1], float64[::1], float64[::1], float64, float64, float64[::1])",
    cache=True,
    nogil=True,
)
def follow(
    beat: float,
    fades: NDArray[np.float64],
    levels: NDArray[np.float64],
    wanted: NDArray[np.float64],
    most_db: float,
    scale: float,
    gains: NDArray[np.float64],
) -> None:
    """Move `levels` towards `wanted` by at most `most_db`, and write what is heard into `gains`.

    A gain is fade at `beat` times level times `scale`. The level of what is not heard moves at
    once. Shapes: fades (stems, 5), all others (stems,); levels and wanted are above 0.
    Realtime-safe: yes
    """
    most = 10.0 ** (most_db / 20.0)
    for stem in range(fades.shape[0]):
        switch = fade(
            beat, fades[stem, 0], fades[stem, 1], fades[stem, 2], fades[stem, 3], fades[stem, 4]
        )
        if switch == 0.0:
            levels[stem] = wanted[stem]
        else:
            levels[stem] = min(max(wanted[stem], levels[stem] / most), levels[stem] * most)
        gains[stem] = switch * levels[stem] * scale


@njit("void(float64, float64[:,::1], float64[::1])", cache=True, nogil=True)
def fade_all(beat: float, fades: NDArray[np.float64], factors: NDArray[np.float64]) -> None:
    """The factor of every row of a table of fades at `beat`. Realtime-safe: yes"""
    for row in range(fades.shape[0]):
        factors[row] = fade(
            beat, fades[row, 0], fades[row, 1], fades[row, 2], fades[row, 3], fades[row, 4]
        )


def constant_fades(stems: int, factor: float = 0.0) -> NDArray[np.float64]:
    """A table of fades that hold still."""
    table = np.zeros((stems, 5))
    table[:, START] = table[:, END] = NEVER
    table[:, FROM] = table[:, TO] = factor
    return table
