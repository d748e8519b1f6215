"""Two small grey pictures compared, cell by cell: what changed there, and how sure that is.

The picture is cut into cells of CELL x CELL pixels. What moves, and what is only lit, is for
`crowdstream.dsp.motion` to judge.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from crowdstream.dsp.detail import CONTRAST, PLAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL: Final = 3
"""Side of a cell in pixels of the picture that flow is measured in (90 rows)."""


class Levels(NamedTuple):
    """How bright each cell is; every array has the shape (rows, cols)."""

    now: NDArray[np.float32]
    then: NDArray[np.float32]
    """Mean grey level now and, brightness matched, then."""

    change: NDArray[np.float32]
    """Mean absolute change of grey level at the same place."""

    spread: NDArray[np.float32]
    """Standard deviation of grey levels now, over the cell and its eight neighbours."""


class Cells(NamedTuple):
    """What happened to the texture in each cell, in grey levels of the picture; (rows, cols)."""

    change: NDArray[np.float32]
    """Mean absolute change at the same place."""

    rest: NDArray[np.float32]
    """The same after following the flow: what the flow does not explain."""


class Moved(NamedTuple):
    """What changed of each cell, with the camera's movement taken out; shape (rows, cols)."""

    change: NDArray[np.float32]
    """Of the texture."""

    fine: NDArray[np.float32]
    """Of the fine detail."""


@njit("Tuple((float32[:,::1], float32[:,::1]))(float32[:,:,::1])", cache=True, nogil=True)
def cell_flow(
    flow: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean flow of each cell, x and y apart; `flow` has the shape (height, width, 2)."""
    rows = flow.shape[0] // CELL
    cols = flow.shape[1] // CELL
    flow_x = np.empty((rows, cols), np.float32)
    flow_y = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            x_sum = np.float32(0.0)
            y_sum = np.float32(0.0)
            for y in range(row * CELL, row * CELL + CELL):
                for x in range(col * CELL, col * CELL + CELL):
                    x_sum += flow[y, x, 0]
                    y_sum += flow[y, x, 1]
            flow_x[row, col] = x_sum / np.float32(CELL * CELL)
            flow_y[row, col] = y_sum / np.float32(CELL * CELL)
    return flow_x, flow_y


@njit("float32[:,::1](uint8[:,::1], uint8[:,::1])", cache=True, nogil=True)
def cell_change(now: NDArray[np.uint8], then: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean absolute difference of the two pictures in each cell, in grey levels."""
    rows = now.shape[0] // CELL
    cols = now.shape[1] // CELL
    change = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            total = 0.0
            for y in range(row * CELL, row * CELL + CELL):
                for x in range(col * CELL, col * CELL + CELL):
                    total += abs(float(now[y, x]) - float(then[y, x]))
            change[row, col] = total / (CELL * CELL)
    return change


@njit("UniTuple(float32[:,::1], 4)(uint8[:,::1], uint8[:,::1])", cache=True, nogil=True)
def _levels(now: NDArray[np.uint8], then: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    rows = now.shape[0] // CELL
    cols = now.shape[1] // CELL
    n = np.float32(CELL * CELL)
    mean_now = np.empty((rows, cols), np.float32)
    mean_then = np.empty((rows, cols), np.float32)
    change = np.empty((rows, cols), np.float32)
    square = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            a = np.int64(0)
            b = np.int64(0)
            squares = np.int64(0)
            changed = np.int64(0)
            for y in range(row * CELL, row * CELL + CELL):
                for x in range(col * CELL, col * CELL + CELL):
                    p = np.int64(now[y, x])
                    q = np.int64(then[y, x])
                    a += p
                    b += q
                    squares += p * p
                    changed += abs(p - q)
            mean_now[row, col] = a / n
            mean_then[row, col] = b / n
            change[row, col] = changed / n
            square[row, col] = squares / n
    spread = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            total = 0.0
            squared = 0.0
            count = 0
            for y in range(max(0, row - 1), min(rows, row + 2)):
                for x in range(max(0, col - 1), min(cols, col + 2)):
                    total += mean_now[y, x]
                    squared += square[y, x]
                    count += 1
            spread[row, col] = math.sqrt(max(0.0, squared / count - (total / count) ** 2))
    return mean_now, mean_then, change, spread


def levels_of(now: NDArray[np.uint8], then: NDArray[np.uint8]) -> Levels:
    """Compare how bright the picture is with an older one, made as bright; of the same shape."""
    return Levels(*_levels(now, then))


@njit(
    "float32[:,::1](uint8[:,::1], uint8[:,::1], float32[:,::1])",
    cache=True,
    nogil=True,
)
def texture_change(
    now: NDArray[np.uint8], then: NDArray[np.uint8], spread: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean absolute difference of two textures in each cell, in grey levels of the picture.

    `spread` is the contrast there, which the texture was evened out by: so noise is the same
    everywhere, on a plain wall and on a pattern.
    """
    change = cell_change(now, then)
    for row in range(change.shape[0]):
        for col in range(change.shape[1]):
            change[row, col] *= (spread[row, col] + np.float32(PLAIN)) / np.float32(CONTRAST)
    return change


def compare(
    now: NDArray[np.uint8],
    then: NDArray[np.uint8],
    followed: NDArray[np.uint8],
    spread: NDArray[np.float32],
) -> Cells:
    """Compare the texture with an older one, cell by cell; all of the same shape.

    `followed` is the older one again with every pixel moved along the flow, `spread` the contrast
    of each cell (`Levels`).
    """
    return Cells(texture_change(now, then, spread), texture_change(now, followed, spread))


@njit("float64(float64)", cache=True, nogil=True)
def pattern_level(noise: float) -> float:
    """Spread of grey levels above which there is a pattern to follow, and not only noise."""
    return 2.0 + 2.0 * noise


@njit("float64(float32[:,::1], float64)", cache=True, nogil=True)
def _quantile(values: NDArray[np.float32], share: float) -> float:
    place = min(values.size - 1, int(share * values.size))
    return float(np.partition(values.ravel(), place)[place])


def noise_of(cells: Cells, labels: NDArray[np.uint32] | None = None) -> float:
    """Standard deviation of the sensor's noise, in grey levels.

    From the quarter of the picture that is explained best, which is at rest or followed well.
    What is ignored (`labels` as in `read_signs`) tells nothing.
    """
    return _lowest(cells.rest, labels)


def _lowest(values: NDArray[np.float32], labels: NDArray[np.uint32] | None) -> float:
    """What a quarter of the cells that have a label lies below."""
    if labels is not None and labels.any():
        values = np.ascontiguousarray(values[labels != 0])[np.newaxis]
    return _quantile(values, 0.25)
