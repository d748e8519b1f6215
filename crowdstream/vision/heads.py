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

    def at(
        self, grids: Sequence[NDArray[np.float32]], found: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """What the head says at the anchors `found`, in their order: shape (outputs, found).

        `grids` have the shape (rows, cells, inputs).
        """
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
        # From a cell to its place with the border, and back; the border has no way back.
        self._bordered = np.flatnonzero(self._inside)
        self._cell = np.full(inside.size, -1, np.intp)
        self._cell[self._bordered] = np.arange(self.count)
        steps = np.arange(_REACH) - _REACH // 2
        self._around = (steps[:, None] * wide + steps).ravel()

    def compute(
        self, branch: Branch, grid: NDArray[np.float32], cells: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """What the branch says at some cells of its grid: shape (cells, outputs)."""
        near = self._bordered[cells][:, None] + self._around
        wanted = np.zeros(self._inside.size, bool)
        wanted[near] = True
        wanted &= self._inside
        first = np.flatnonzero(wanted)

        seen = self._cell[first[:, None] + self._around]
        patches = grid.reshape(-1, grid.shape[2])[seen]
        patches[seen < 0] = 0.0
        # A row of zeros at the end stands for all that lies outside: its index is -1.
        around = np.zeros((first.size + 1, len(branch.around.bias)), np.float32)
        _apply(branch.around, patches, around[:-1])
        _swish(around[:-1])

        order = np.full(self._inside.size, -1, np.intp)
        order[first] = np.arange(first.size)
        again = np.empty((cells.size, len(branch.around_again.bias)), np.float32)
        _apply(branch.around_again, around[order[near]], again)
        _swish(again)

        said = np.empty((cells.size, branch.outputs), np.float32)
        _apply(branch.summed_up, again, said)
        return said


def _apply(layer: Layer, patches: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    np.matmul(patches.reshape(len(patches), -1), layer.weights, out=out)
    out += layer.bias


def _swish(values: NDArray[np.float32]) -> None:
    """x times its sigmoid, in place: what these networks have between their convolutions."""
    shares = np.tanh(np.float32(0.5) * values)
    shares += 1.0
    shares *= np.float32(0.5)
    values *= shares
