"""Medians along the rows of a picture: what is wide in it, with what is narrow left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Kernels are compiled where they stand, so what is called stands above its caller.


@njit("int64(float32[::1], int64, float32)", cache=True, nogil=True)
def _put(window: NDArray[np.float32], size: int, value: float) -> int:
    """Insert a value into the first `size` values, which ascend. Returns how many there are."""
    place = size
    while place > 0 and window[place - 1] > value:
        window[place] = window[place - 1]
        place -= 1
    window[place] = value
    return size + 1


@njit("int64(float32[::1], int64, float32)", cache=True, nogil=True)
def _take(window: NDArray[np.float32], size: int, value: float) -> int:
    """Take a value out that is in there. Returns how many are left."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    for place in range(low, size - 1):
        window[place] = window[place + 1]
    return size - 1


@njit("void(float32[:,::1], int64[::1], float32[:,::1])", cache=True, nogil=True)
def running_medians(
    rows: NDArray[np.float32], halves: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """The median of each value and of `halves[k]` neighbours on either side of it in its row.

    `halves` has one number for each column k, and none may differ from the next by more than one.
    Near an end there are fewer neighbours; of an even number of values it is the lower of the two
    in the middle. `out` is as large as `rows`, and another array. NaN is not for here.
    """
    count = rows.shape[1]
    # The neighbours in ascending order: some are put in and some taken out for each step.
    window = np.empty(count + 1, np.float32)
    for row in range(rows.shape[0]):
        size, begin, end = 0, 0, 0
        for k in range(count):
            while end < min(count, k + halves[k] + 1):
                size = _put(window, size, rows[row, end])
                end += 1
            while begin < k - halves[k]:
                size = _take(window, size, rows[row, begin])
                begin += 1
            out[row, k] = window[(size - 1) // 2]
