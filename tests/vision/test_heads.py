"""Heads computed only where somebody may be say what whole heads say."""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
import openvino
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from openvino import opset13

from crowdstream.vision.graph import sparse_heads, split_heads
from crowdstream.vision.heads import Branch, SparseHead, layer_of

SIZES: Final = [(8, 12), (4, 6), (2, 3)]
ANCHORS: Final = sum(rows * cells for rows, cells in SIZES)
INPUTS: Final = (3, 5, 4)


def chance() -> np.random.Generator:
    """The same each time."""
    return np.random.default_rng(3)


def a_kernel(
    rng: np.random.Generator, outputs: int, inputs: int, reach: int
) -> NDArray[np.float32]:
    """Of a convolution: (outputs, inputs, rows, cells)."""
    return rng.normal(0.0, 0.3, (outputs, inputs, reach, reach)).astype(np.float32)


def plain(
    grid: NDArray[np.float32], kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A convolution by its definition, on (rows, cells, inputs), with zeros around."""
    reach = kernel.shape[2]
    edge = reach // 2
    rows, cells, _ = grid.shape
    wide = np.pad(grid, ((edge, edge), (edge, edge), (0, 0)))
    made = np.zeros((rows, cells, kernel.shape[0]), np.float32)
    for row, cell in itertools.product(range(rows), range(cells)):
        patch = wide[row : row + reach, cell : cell + reach]
        made[row, cell] = np.einsum("rci,oirc->o", patch, kernel) + bias
    return made


def swish(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """x times its sigmoid."""
    return np.asarray(values / (1.0 + np.exp(-values)), np.float32)


def a_head() -> tuple[SparseHead, list[NDArray[np.float32]], NDArray[np.float32]]:
    """A head, grids, and what it says at every anchor by definition: (outputs, anchors)."""
    rng = chance()
    branches, grids, said = [], [], []
    for (rows, cells), inputs in zip(SIZES, INPUTS, strict=True):
        kernels = [a_kernel(rng, *each) for each in ((6, inputs, 3), (6, 6, 3), (2, 6, 1))]
        biases = [rng.normal(0.0, 1.0, len(each)).astype(np.float32) for each in kernels]
        branches.append(Branch(*map(layer_of, kernels, biases)))
        grid = rng.normal(0.0, 1.0, (rows, cells, inputs)).astype(np.float32)
        grids.append(grid)
        around = swish(plain(grid, kernels[0], biases[0]))
        again = swish(plain(around, kernels[1], biases[1]))
        said.append(plain(again, kernels[2], biases[2]).reshape(-1, 2))
    return SparseHead(branches, SIZES), grids, np.concatenate(said).T


HEAD, GRIDS, SAID = a_head()


@given(st.lists(st.integers(0, ANCHORS - 1), max_size=ANCHORS, unique=True))
def test_at_any_anchors_it_says_what_the_whole_head_says(anchors: list[int]) -> None:
    """In any order, on any grid, in its corners too: beyond the border is nothing."""
    found = np.array(anchors, np.intp)
    assert HEAD.at(GRIDS, found) == pytest.approx(SAID[:, found], abs=1e-5)


def test_grids_in_bfloat16_are_read_with_the_digits_that_they_have() -> None:
    """The upper half of each number is all there is of it."""
    short = [(grid.view(np.uint32) >> 16).astype(np.uint16) for grid in GRIDS]
    cut_off = [(grid.view(np.uint32) & 0xFFFF0000).view(np.float32) for grid in GRIDS]
    everywhere = np.arange(ANCHORS)
    assert np.array_equal(HEAD.at(short, everywhere), HEAD.at(cut_off, everywhere))


def test_nobody_costs_nothing() -> None:
    """No anchor, no row."""
    assert HEAD.at(GRIDS, np.zeros(0, np.intp)).shape == (2, 0)


# --- split off a graph ---------------------------------------------------------------------------


def two_nodes(value: Any) -> Any:
    """As exports to ONNX write it."""
    return opset13.multiply(opset13.sigmoid(value), value)


def a_network(act: Any = opset13.swish, *, rounded: bool = False, other_grid: bool = False) -> Any:
    """A picture, three grids, and three heads of three convolutions each, cut as ours are."""
    rng = chance()
    picture = opset13.parameter([1, 3, 64, 96], np.float32, name="picture")

    def convolved(value: Any, outputs: int, reach: int, stride: int = 1) -> Any:
        inputs = value.get_output_partial_shape(0)[1].get_length()
        edge = [reach // 2] * 2 if stride == 1 else [0, 0]
        made = opset13.convolution(
            value, opset13.constant(a_kernel(rng, outputs, inputs, reach)),
            [stride, stride], edge, edge, [1, 1],
        )  # fmt: skip
        return opset13.add(made, rng.normal(0, 1, (1, outputs, 1, 1)).astype(np.float32))

    def rounding(value: Any) -> Any:
        ends = [opset13.constant(np.array(end, np.float32)) for end in (-8.0, 8.0)]
        return opset13.fake_quantize(value, *ends, *ends, 256) if rounded else value

    grids = [
        opset13.swish(convolved(picture, inputs, stride, stride))
        for inputs, stride in zip(INPUTS, (8, 16, 32), strict=True)
    ]

    def head(channels: int) -> Any:
        rows = []
        for grid in grids:
            given = opset13.relu(grid) if other_grid and channels == 51 else grid
            around = rounding(act(convolved(rounding(given), 6, 3)))
            again = rounding(act(convolved(around, 6, 3)))
            last = convolved(again, channels, 1)
            shape = opset13.constant(np.array([1, channels, -1], np.int64))
            rows.append(opset13.reshape(last, shape, False))
        return opset13.concat(rows, 2)

    return openvino.Model([head(64), head(1), head(51)], [picture], "cut")


def answers(model: Any, *given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """What it computes with all digits."""
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(each[0]) for each in compiled(list(given)).values()]


@pytest.mark.parametrize("act", [opset13.swish, two_nodes])
def test_a_split_graph_says_what_it_said(act: Any) -> None:
    """Scores and grids of the trunk, and the two heads computed from these."""
    cut = a_network(act)
    split = split_heads(cut)
    assert split is not None
    picture = chance().uniform(0, 1, (1, 3, 64, 96)).astype(np.float32)
    boxes, scores, joints = answers(cut, picture)
    ours, *grids = answers(split.trunk, picture)
    assert ours == pytest.approx(scores, abs=1e-5)
    rows = [grid.transpose(1, 2, 0) for grid in grids]
    everywhere = np.arange(ANCHORS)
    for head, wanted in zip(sparse_heads(split, 96, 64), (boxes, joints), strict=True):
        assert head.at(rows, everywhere) == pytest.approx(wanted, abs=1e-4)


def test_a_quantised_graph_is_split_before_its_rounding() -> None:
    """What our heads begin with has all its digits; the graph's own heads round it themselves."""
    split = split_heads(a_network(rounded=True))
    assert split is not None
    rounding = [each.get_type_name() == "FakeQuantize" for each in split.trunk.get_ordered_ops()]
    assert sum(rounding) == 3 * 3  # those of the scores
    assert sum(e.get_type_name() == "FakeQuantize" for e in split.heads.get_ordered_ops()) == 18


def test_heads_of_another_kind_are_left_whole() -> None:
    """Another function between the convolutions; heads that begin with different grids."""
    assert split_heads(a_network(opset13.relu)) is None
    assert split_heads(a_network(other_grid=True)) is None
