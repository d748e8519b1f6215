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


@njit("void(float64[:], float64)", cache=True, nogil=True)
def fill_unknown(values: NDArray[np.float64], without: float) -> None:
    """Give each NaN the median of the others, or `without` where there are none; in place."""
    known = values[~np.isnan(values)]
    middle = np.median(known) if known.shape[0] > 0 else without
    for person in range(values.shape[0]):
        if np.isnan(values[person]):
            values[person] = middle
