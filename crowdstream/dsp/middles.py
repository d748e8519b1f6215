"""The middle of what is known of a crowd, and the unknown filled up with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit("float64(float64[::1])", cache=True, nogil=True)
def middle_of(values: NDArray[np.float64]) -> float:
    """The median of the finite ones of some values; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.shape[0] > 0 else np.nan


@njit("float64(float64[::1], int64)", cache=True, nogil=True)
def middle_in_place(values: NDArray[np.float64], count: int) -> float:
    """The median of the first `count` values (at least one, none NaN), which change places.

    Hoare's selection (Communications of the ACM 4, 1961), without a copy.
    """
    half = count // 2
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                kept = values[i]
                values[i] = values[j]
                values[j] = kept
                i += 1
                j -= 1
        if half <= j:
            high = j
        elif half >= i:
            low = i
        else:
            break
    upper = values[half]
    if count % 2 == 1:
        return float(upper)
    # All before it are no larger: the other of the two in the middle is the largest of these.
    lower = values[0]
    for k in range(1, half):
        lower = max(lower, values[k])
    return float(0.5 * (lower + upper))


@njit("void(float64[:], float64)", cache=True, nogil=True)
def fill_unknown(values: NDArray[np.float64], without: float) -> None:
    """Give each NaN the median of the others, or `without` where there are none; in place."""
    known = values[~np.isnan(values)]
    middle = np.median(known) if known.shape[0] > 0 else without
    for person in range(values.shape[0]):
        if np.isnan(values[person]):
            values[person] = middle
