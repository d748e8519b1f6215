"""The heads for boxes and joints, computed only where somebody may be.

The scores say at which of the thousands of anchors somebody may be: at a few dozen. What the
other two heads say there depends on the five by five cells around: two convolutions over three by
three cells and one over a single cell, on the grids that all heads begin with. Computing only
those is exact, and with all digits (the idea of sparse convolution: Graham, Engelcke and van der
Maaten, "3D Semantic Segmentation with Submanifold Sparse Convolutional Networks", 2018; here what
goes in is dense and what comes out is sparse).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grid = NDArray[np.float32] | NDArray[np.uint16]
    """What the heads begin with, shape (rows, cells, inputs); in 16 bits it is bfloat16."""

_REACH: Final = 3
# Cells to a side of what a convolution looks at.


class Layer(NamedTuple):
    """One convolution, as a product of matrices."""

    weights: NDArray[np.float32]
    """Shape (cells x inputs, outputs): cells row by row, and of each cell its inputs."""
    bias: NDArray[np.float32]
    """Shape (outputs,)."""


class Branch(NamedTuple):
    """One head on one grid: what looks around twice, and what sums up."""

    around: Layer
    around_again: Layer
    summed_up: Layer

    @property
    def outputs(self) -> int:
        """Channels of the head."""
        return len(self.summed_up.bias)


def layer_of(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> Layer:
    """From a kernel of shape (outputs, inputs, rows, cells)."""
    outputs = kernel.shape[0]
    columns = kernel.transpose(2, 3, 1, 0).reshape(-1, outputs)
    return Layer(np.ascontiguousarray(columns, np.float32), bias.astype(np.float32).reshape(-1))


class SparseHead:
    """One head over grids of given sizes, from the finest to the coarsest."""

    def __init__(self, branches: Sequence[Branch], sizes: Sequence[tuple[int, int]]) -> None:
        """`sizes` are rows and cells of the grids; anchors are counted through all of them."""
        self._branches = tuple(branches)
        self._places = [_Places(*size) for size in sizes]

    def at(self, grids: Sequence[Grid], found: NDArray[np.intp]) -> NDArray[np.float32]:
        """What the head says at the anchors `found`, in their order: shape (outputs, found)."""
        said = np.empty((found.size, self._branches[0].outputs), np.float32)
        first = 0
        for branch, places, grid in zip(self._branches, self._places, grids, strict=True):
            here = np.flatnonzero((found >= first) & (found < first + places.count))
            if here.size:
                said[here] = places.compute(branch, grid, found[here] - first)
            first += places.count
        return said.T


class _Places:
    """Which cells of a grid lie around which, with a border of cells that are zero."""

    def __init__(self, rows: int, cells: int) -> None:
        self.count = rows * cells
        wide = cells + 2
        inside = np.zeros((rows + 2, wide), bool)
        inside[1:-1, 1:-1] = True
        self._inside = inside.ravel()
        # From a cell to its place with the border, and back.
        self._bordered = np.flatnonzero(self._inside)
        self._cell = np.zeros(inside.size, np.intp)
        self._cell[self._bordered] = np.arange(self.count)
        steps = np.arange(_REACH) - _REACH // 2
        self._around = (steps[:, None] * wide + steps).ravel()

    def compute(self, branch: Branch, grid: Grid, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """What the branch says at some cells of its grid: shape (cells, outputs)."""
        wanted = self._bordered.take(cells)
        near, around_near = self._those_around(wanted)
        far, around_far = self._those_around(near)

        seen = _with_a_border(len(far), grid.shape[2])
        seen[:-1] = _numbers(grid.reshape(self.count, -1).take(self._cell.take(far), axis=0))
        around = _with_a_border(len(near), len(branch.around.bias))
        _apply(branch.around, seen.take(around_far, axis=0), around[:-1])
        _swish(around[:-1])
        again = np.empty((len(wanted), len(branch.around_again.bias)), np.float32)
        _apply(branch.around_again, around.take(around_near, axis=0), again)
        _swish(again)
        said = np.empty((len(wanted), branch.outputs), np.float32)
        _apply(branch.summed_up, again, said)
        return said

    def _those_around(self, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """All places around some, each once, and for each of the some which of all lie around it.

        Beyond the border there is one more, the last: a row of zeros stands for it.
        """
        around = places[:, np.newaxis] + self._around
        there = np.zeros(self._inside.size, bool)
        there[around] = True
        there &= self._inside
        all_of_them = np.flatnonzero(there)
        number = np.full(self._inside.size, all_of_them.size, np.intp)
        number[all_of_them] = np.arange(all_of_them.size)
        return all_of_them, number.take(around)


def _with_a_border(rows: int, columns: int) -> NDArray[np.float32]:
    """Room for so many rows, and after them one of zeros."""
    room = np.empty((rows + 1, columns), np.float32)
    room[-1] = 0.0
    return room


def _numbers(values: Grid) -> NDArray[np.float32]:
    """With all digits: a bfloat16 is the upper half of a float32."""
    if values.dtype == np.float32:
        return values.view(np.float32)
    wide = values.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def _apply(layer: Layer, patches: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    np.matmul(patches.reshape(len(patches), -1), layer.weights, out=out)
    out += layer.bias


def _swish(values: NDArray[np.float32]) -> None:
    """x times its sigmoid, in place: what these networks have between their convolutions."""
    shares = np.tanh(np.float32(0.5) * values)
    shares += 1.0
    shares *= np.float32(0.5)
    values *= shares
