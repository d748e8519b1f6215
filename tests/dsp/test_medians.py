"""Running medians: the same as sorting each neighbourhood anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from crowdstream.dsp.medians import running_medians

ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 30)),
    elements=st.integers(-5, 5).map(float),  # few values, so that many are equal
)


def medians(rows: NDArray[np.float32], halves: NDArray[np.int64]) -> NDArray[np.float32]:
    out = np.full_like(rows, np.nan)
    running_medians(rows, halves, out)
    return out


@given(ROWS, st.integers(1, 12), st.integers(0, 3))
def test_each_is_the_median_of_its_neighbours(
    rows: NDArray[np.float32], widest: int, steps: int
) -> None:
    """Also where the neighbourhood grows from column to column, and of an even number the lower."""
    count = rows.shape[1]
    halves = np.minimum(widest, np.arange(count) // (steps + 1)).astype(np.int64)
    expected = [
        [
            np.sort(row[max(0, k - halves[k]) : k + halves[k] + 1])[
                (min(count, k + halves[k] + 1) - max(0, k - halves[k]) - 1) // 2
            ]
            for k in range(count)
        ]
        for row in rows
    ]
    assert medians(rows, halves).tolist() == expected


def test_what_is_narrow_is_left_out_and_what_is_wide_stays() -> None:
    row = np.zeros((1, 40), np.float32)
    row[0, 5:8] = 9.0
    row[0, 20:28] = 7.0
    found = medians(row, np.full(40, 3, np.int64))
    assert found[0, :15].max() == 0.0
    assert found[0, 20:28].tolist() == [7.0] * 8
