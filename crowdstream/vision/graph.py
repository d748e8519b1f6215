"""Changes to the graph of a pose network: what is cut off, what is taken out, what it forgets.

Everything here works on OpenVINO's own representation, in place or on a copy, before anything is
compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import openvino
from openvino import opset13

from crowdstream.vision.heads import Branch, SparseHead, layer_of
from crowdstream.vision.letterbox import STRIDES, grids_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.vision.letterbox import Letterbox

HEADS: Final = (64, 1, 51)
# Channels of the three heads: distributions of four sides, score, key points.


def sizes_of(port: Any) -> tuple[int | str, ...]:
    """The shape of an input or output; "" for a size that is free, () for no rank at all."""
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(size.get_length() if size.is_static else "" for size in shape)


def find_heads(model: Any, width: int, height: int) -> list[Any] | None:
    """Outputs of shape (1, 64, N), (1, 1, N) and (1, 51, N) before the last part, or None.

    Each is the concatenation of three grids; it is built anew, without sizes in it.
    """
    if width % STRIDES[-1] or height % STRIDES[-1]:
        return None
    grids = grids_of(width, height)
    found: dict[int, list[Any]] = {channels: [] for channels in HEADS}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Concat" or len(node.inputs()) != len(STRIDES):
            continue
        maps = [_map_before(node.input_value(i)) for i in range(len(STRIDES))]
        for channels in HEADS:
            wanted = [(1, channels, rows, cells) for rows, cells in grids]
            if [sizes_of(each) if each is not None else () for each in maps] == wanted:
                found[channels].append(maps)
    if any(len(heads) != 1 for heads in found.values()):
        return None
    outputs = []
    for channels in HEADS:
        target = opset13.constant(np.array([1, channels, -1], np.int64))
        rows = [opset13.reshape(each, target, False) for each in found[channels][0]]
        outputs.append(opset13.concat(rows, 2).output(0))
    return outputs


def _map_before(value: Any) -> Any | None:
    """The grid of shape (1, C, rows, cells) that a reshape laid out in a row."""
    node = value.get_node()
    return node.input_value(0) if node.get_type_name() == "Reshape" else None


def forget_size(model: Any, cells: tuple[int, int]) -> None:
    """Let every reshape that names the coarsest grid ask for its size instead, in place.

    Attention works on that grid as one row, and exports write its 20 by 20 cells and the 400 of
    the row as numbers. The network computes the same as before, and bends to other sizes.
    """
    grid = None
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Reshape":
            continue
        target = node.input_value(1).get_node()
        if target.get_type_name() != "Constant":
            continue
        sizes = [int(size) for size in target.data.ravel()]
        source = node.input_value(0)
        if len(sizes) == 4 and sizes[-1] == cells[0] * cells[1] and sizes_of(source)[2:] == cells:
            grid = source
            row = opset13.constant(np.array([*sizes[:-1], -1], np.int64))
            node.input(1).replace_source_output(row.output(0))
        elif len(sizes) == 4 and tuple(sizes[2:]) == cells and grid is not None:
            asked = opset13.gather(
                opset13.shape_of(grid, "i64"),
                opset13.constant(np.array([2, 3], np.int64)),
                opset13.constant(np.array(0, np.int64)),
            )
            fixed = opset13.constant(np.array(sizes[:2], np.int64))
            node.input(1).replace_source_output(opset13.concat([fixed, asked], 0).output(0))


class Split(NamedTuple):
    """A cut graph in two: the heads for boxes and joints, and what comes before them."""

    trunk: Any
    """From the picture to the scores and to the grids that the heads begin with."""
    heads: Any
    """From these grids to boxes and joints."""
    boxes: list[Branch]
    """The first of these heads, for each grid, as products of matrices."""
    joints: list[Branch]


def split_heads(cut: Any) -> Split | None:
    """The graph split before its heads for boxes and joints, or None where they are others.

    That the products mean the same as the graph is for the caller to find out.
    """
    model = cut.clone()
    boxes, scores, joints = (output.get_node().input_value(0) for output in model.outputs)
    walked = []
    for head in (boxes, joints):
        ends = [_map_before(head.get_node().input_value(i)) for i in range(len(STRIDES))]
        ways = [way for end in ends if (way := _walk_branch(end)) is not None]
        if len(ways) < len(ends):
            return None
        walked.append(ways)
    grids = [grid for grid, _ in walked[0]]
    if any(grid != other for grid, (other, _) in zip(grids, walked[1], strict=True)):
        return None
    constants = [each for head in walked for _, layers in head for each in layers]
    values = iter(_constants(constants, model.get_parameters()))
    of_boxes, of_joints = (
        [Branch(*(layer_of(next(values), next(values)) for _ in Branch._fields)) for _ in head]
        for head in walked
    )
    trunk = openvino.Model([scores, *grids], model.get_parameters(), "trunk").clone()
    given = [opset13.parameter(grid.get_partial_shape(), np.float32) for grid in grids]
    for grid, parameter in zip(grids, given, strict=True):
        grid.replace(parameter.output(0))
    return Split(trunk, openvino.Model([boxes, joints], given, "heads"), of_boxes, of_joints)


def sparse_heads(split: Split, width: int, height: int) -> tuple[SparseHead, SparseHead]:
    """The heads for boxes and for joints over an input of this size."""
    sizes = grids_of(width, height)
    return SparseHead(split.boxes, sizes), SparseHead(split.joints, sizes)


def _walk_branch(value: Any) -> tuple[Any, list[Any]] | None:
    """From the end of a head on one grid back to the grid: it, and kernel, bias, kernel, bias…"""
    found: list[Any] = []
    for position in range(len(Branch._fields)):
        value = value if position == 0 else _before_swish(_before_rounding(value))
        added = value.get_node() if value is not None else None
        if added is None or added.get_type_name() != "Add":
            return None
        product = added.input_value(0).get_node()
        if product.get_type_name() != "Convolution":
            return None
        found[:0] = [product.input_value(1), added.input_value(1)]
        value = product.input_value(0)
    return _before_rounding(value), found


def _before_rounding(value: Any) -> Any:
    while value.get_node().get_type_name() == "FakeQuantize":
        value = value.get_node().input_value(0)
    return value


def _before_swish(value: Any) -> Any | None:
    """What goes into a x * sigmoid(x), which exports write as one node or as two."""
    node = value.get_node()
    if node.get_type_name() == "Swish":
        return node.input_value(0)
    if node.get_type_name() == "Multiply":
        one, other = node.input_value(0), node.input_value(1)
        for given, share in ((one, other), (other, one)):
            after = share.get_node()
            if after.get_type_name() == "Sigmoid" and after.input_value(0) == given:
                return given
    return None


def _constants(outputs: list[Any], parameters: list[Any]) -> list[NDArray[np.float32]]:
    """What these parts of a graph amount to. Some ask for the shape of what flows by, no more."""
    settings = {openvino.properties.hint.inference_precision: openvino.Type.f32}
    model = openvino.Model(outputs, parameters, "constants")
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    nothing = [np.zeros(tuple(port.shape), np.float32) for port in model.inputs]
    return [np.array(each, np.float32) for each in compiled(nothing).values()]


def reshaped(model: Any, box: Letterbox) -> Any:
    """A copy of a cut graph, or of its trunk, for this input.

    Raises RuntimeError if the graph does not bend.
    """
    model = model.clone()
    channels = [sizes_of(output)[1] for output in model.outputs]
    model.reshape([1, 3, box.input_height, box.input_width])
    grids = grids_of(box.input_width, box.input_height)
    in_a_row = sum(rows * cells for rows, cells in grids)
    for output, wide in zip(model.outputs, channels, strict=True):
        if sizes_of(output) not in ((1, wide, in_a_row), *((1, wide, *grid) for grid in grids)):
            raise RuntimeError(f"an output became {sizes_of(output)}")
    return model


def wave_picture(width: int, height: int) -> NDArray[np.uint8]:
    """A picture with edges of every direction and colour: every anchor has something to say."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / 9.0 + y / 31.0), np.sin(y / 13.0 - x / 47.0), np.sin((x * y) / 4096.0)]
    picture: NDArray[np.uint8] = (127.5 + 127.5 * np.stack(waves, axis=-1)).astype(np.uint8)
    return picture


def is_quantised(model: Any) -> bool:
    """Whether the network computes with 8-bit numbers: it rounds what flows through it."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ordered_ops())


def take_out_rounding(model: Any) -> bool:
    """Let a quantised network compute with all the digits it can have, in place.

    Its weights stay the rounded numbers that they are; what flows between its layers is rounded
    no longer. So the same network in full precision is there to compare with, though only its
    8-bit form was given. False where the rounding is of a kind that cannot be taken out.
    """
    rounding = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "FakeQuantize" and not _is_of_weights(node)
    ]
    # Looked at before anything is changed: a graph that is half rounded is neither of the two.
    for node in rounding:
        after = [each.get_node() for each in node.output(0).get_target_inputs()]
        if any(each.get_type_name() == "Convert" for each in after):
            return False  # whole numbers flow on from here, and mean something else
    for node in rounding:
        node.output(0).replace(node.input_value(0))
    return True


def _is_of_weights(node: Any) -> bool:
    """Whether what is rounded is a constant, maybe through a conversion and a scale."""
    for _ in range(4):
        if node.get_type_name() == "Constant":
            return True
        if not node.inputs():
            return False
        node = node.input_value(0).get_node()
    return False
