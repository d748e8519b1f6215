"""Pose models in OpenVINO, in the shape of the picture.

A whole export has its square input baked into the last part of its graph, so a wide picture would
be computed with two fifths of grey. Where that part is recognised it is cut off: the network then
takes the picture's own rectangle and the last part is computed here, for the few anchors that
hold a person. Before the cut is trusted, cut and whole are run on the same picture and compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import openvino
import openvino.properties
import openvino.properties.device
import openvino.properties.hint
from openvino import opset13

from crowdstream.errors import MediaError
from crowdstream.vision.model import (
    CHANNELS,
    STRIDES,
    Detections,
    Letterbox,
    Precision,
    anchors,
    check_output_shape,
    decode_heads,
    decode_whole,
    detections_of,
    logit,
    surest,
)
from crowdstream.vision.onnx import first_line, read_outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.models import LoadedModel

_HEADS: Final = (64, 1, 51)
# Channels of the three heads: distributions of four sides, score, key points.

_SAME_PIXELS: Final = 0.05
_SAME_SHARE: Final = 1e-3
# How far cut and whole may lie apart: what rounding does, a tenth of what bf16 does.

_SAME_BOX_CELLS: Final = 0.4
# Boxes are only used to tell people apart, and 8-bit exports round the last step of theirs.

_KEPT_SIZES: Final = 2
# Compiled inputs that are kept: a source that alternates between two sizes compiles each once.


class _Compiled(NamedTuple):
    letterbox: Letterbox
    canvas: NDArray[np.uint8]
    request: Any
    cells: NDArray[np.float32]


class OpenVinoPose:
    """A pose model compiled by OpenVINO for this processor."""

    def __init__(
        self, loaded: LoadedModel, *, threads: int, precision: Precision, min_score: float
    ) -> None:
        """Read and check the graph; compiling waits for `prepare`. Raises MediaError."""
        self._name = loaded.name
        self._min_score = min_score
        self._threads = threads
        self._core = openvino.Core()
        self._precision = self._choose(precision)
        if loaded.form == "onnx":
            read_outline(loaded.name, loaded.model)  # refuses weights in other files
        self._whole = self._read(loaded)
        self._make_static()
        self._height, self._width = (int(size) for size in self._whole.inputs[0].shape[2:])
        self._why_whole = ""
        self._cut = self._try_cut()
        self._compiled: dict[tuple[int, int], _Compiled] = {}
        self._newest: _Compiled | None = None

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Backend, precision, input size and path, for the log and `doctor`."""
        box = self._newest.letterbox if self._newest else None
        return {
            "backend": f"openvino {openvino.__version__.split('-')[0]}",
            "precision": self._precision,
            "threads": self._threads,
            "input": f"{box.input_width}x{box.input_height}" if box else "",
            "path": "cut" if self._cut else f"whole ({self._why_whole})",
        }

    def prepare(self, width: int, height: int) -> None:
        """Get ready for pictures of this size: compiles if need be, and runs once."""
        self._fit(width, height).request.infer()

    def infer(self, picture: NDArray[np.uint8]) -> Detections:
        """Find the people in a picture, shape (height, width, 3), BGR."""
        compiled = self._fit(picture.shape[1], picture.shape[0])
        compiled.letterbox.paint(picture, compiled.canvas)
        request = compiled.request
        request.infer()
        if self._cut:
            boxes, scores, keypoints = (request.get_output_tensor(i).data[0] for i in range(3))
            # Compared before the sigmoid: of thousands of anchors a handful is decoded.
            found = surest(scores[0], logit(self._min_score))
            columns = decode_heads(boxes, scores[0], keypoints, compiled.cells, found)
        else:
            columns = decode_whole(request.get_output_tensor(0).data[0], self._min_score)
        return detections_of(columns, compiled.letterbox)

    def close(self) -> None:
        """Let go of the network."""
        self._compiled.clear()
        self._newest = None

    # --- opening -----------------------------------------------------------------------------

    def _choose(self, precision: Precision) -> str:
        capabilities = self._core.get_property("CPU", openvino.properties.device.capabilities)
        wanted = precision != "f32" and "BF16" in capabilities
        # Always said: left alone, OpenVINO takes bf16 on one machine and f32 on the next.
        return "bf16" if wanted else "f32"

    def _read(self, loaded: LoadedModel) -> Any:
        try:
            if loaded.form == "onnx":
                model = self._core.read_model(model=loaded.model, weights=b"")
            else:
                model = self._core.read_model(model=loaded.model, weights=loaded.weights)
        except Exception as error:  # the engine raises bare RuntimeError and more
            raise MediaError(
                f"{loaded.name} cannot be opened by OpenVINO: {first_line(error)}"
            ) from error
        check_output_shape(
            loaded.name,
            [_sizes(port) for port in model.inputs],
            [_sizes(port) for port in model.outputs],
        )
        if model.inputs[0].element_type != openvino.Type.f32:
            raise MediaError(
                f"{loaded.name} takes {model.inputs[0].element_type}: export it with 32-bit"
                " float inputs"
            )
        return model

    def _make_static(self) -> None:
        """Give a model whose size is free the square that every such network knows."""
        shape = self._whole.inputs[0].partial_shape
        if shape.is_dynamic:
            sizes = [
                size.get_length() if size.is_static else default
                for size, default in zip(shape, (1, 3, 640, 640), strict=True)
            ]
            try:
                self._whole.reshape(openvino.PartialShape(sizes))
            except RuntimeError as error:
                raise MediaError(
                    f"{self._name} does not take a picture of {sizes[3]}x{sizes[2]}:"
                    f" {first_line(error)}"
                ) from error

    def _try_cut(self) -> Any | None:
        """The graph up to its heads, or None where that is not surely the same network."""
        heads = _find_heads(self._whole, self._width, self._height)
        if heads is None:
            self._why_whole = "its last part is not one we know"
            return None
        _forget_size(self._whole, (self._height // STRIDES[-1], self._width // STRIDES[-1]))
        try:
            difference = self._compare(heads)
        except (RuntimeError, ValueError) as error:
            self._why_whole = first_line(error)
            return None
        if not difference <= 1.0:
            self._why_whole = f"cut and whole differ by {difference:.3g} times what they may"
            return None
        return openvino.Model(heads, self._whole.get_parameters(), "pose").clone()

    def _compare(self, heads: list[Any]) -> float:
        """Largest difference between cut and whole, as a share of what is allowed."""
        whole = self._whole.outputs[0].get_node().input_value(0)
        both = openvino.Model([whole, *heads], self._whole.get_parameters(), "both")
        letterbox = Letterbox(self._width, self._height, self._width, self._height)
        canvas = letterbox.canvas()
        letterbox.paint(_test_picture(self._width, self._height), canvas)
        # Compared in f32: it is the arithmetic that is in question, not the rounding of bf16.
        request = self._compile(both, canvas, "f32")
        request.infer()
        wanted = request.get_output_tensor(0).data[0]
        boxes, scores, keypoints = (request.get_output_tensor(i).data[0] for i in (1, 2, 3))
        cells = anchors(self._width, self._height)
        found = decode_heads(boxes, scores[0], keypoints, cells, np.arange(cells.shape[1]))
        if found.shape != wanted.shape or not np.isfinite(wanted).all():
            raise ValueError("cut and whole have different anchors")
        allowed = np.full((CHANNELS, 1), _SAME_PIXELS, np.float32)
        allowed[4] = allowed[7::3] = _SAME_SHARE
        apart = np.abs(found - wanted)
        apart[4:] /= allowed[4:]
        apart[:4] /= _SAME_BOX_CELLS * cells[2]
        return float(apart.max())

    # --- compiling ---------------------------------------------------------------------------

    def _fit(self, width: int, height: int) -> _Compiled:
        if (compiled := self._compiled.get((width, height))) is None:
            if len(self._compiled) >= _KEPT_SIZES:
                self._compiled.pop(next(iter(self._compiled)))
            compiled = self._compile_for(width, height)
            self._compiled[width, height] = compiled
        self._newest = compiled
        return compiled

    def _compile_for(self, width: int, height: int) -> _Compiled:
        if self._cut is not None:
            box = Letterbox.rectangle(width, height)
            try:
                model = _reshaped(self._cut, box)
                return self._finish(model, box)
            except RuntimeError as error:
                self._why_whole = first_line(error)
                self._cut = None
        box = Letterbox(width, height, self._width, self._height)
        return self._finish(self._whole, box)

    def _finish(self, model: Any, box: Letterbox) -> _Compiled:
        canvas = box.canvas()
        request = self._compile(model, canvas, self._precision)
        return _Compiled(box, canvas, request, anchors(box.input_width, box.input_height))

    def _compile(self, model: Any, canvas: NDArray[np.uint8], precision: str) -> Any:
        """An inference request that reads `canvas`: bytes, as the picture has them.

        Swapping colours, dividing by 255 and turning the axes become part of the network, which
        does them in one pass.
        """
        steps = openvino.preprocess.PrePostProcessor(model.clone())
        given = steps.input()
        given.tensor().set_element_type(openvino.Type.u8)
        given.tensor().set_layout(openvino.Layout("NHWC"))
        given.tensor().set_color_format(openvino.preprocess.ColorFormat.BGR)
        given.model().set_layout(openvino.Layout("NCHW"))
        given.preprocess().convert_element_type(openvino.Type.f32)
        given.preprocess().convert_color(openvino.preprocess.ColorFormat.RGB)
        given.preprocess().scale(255.0)
        hint = openvino.properties.hint
        compiled = self._core.compile_model(
            steps.build(),
            "CPU",
            {
                hint.performance_mode: hint.PerformanceMode.LATENCY,
                hint.inference_precision: (
                    openvino.Type.bf16 if precision == "bf16" else openvino.Type.f32
                ),
                openvino.properties.inference_num_threads: self._threads,
            },
        )
        request = compiled.create_infer_request()
        request.set_input_tensor(openvino.Tensor(canvas, shared_memory=True))
        return request


def _sizes(port: Any) -> tuple[int | str, ...]:
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(size.get_length() if size.is_static else "" for size in shape)


def _find_heads(model: Any, width: int, height: int) -> list[Any] | None:
    """Outputs of shape (1, 64, N), (1, 1, N) and (1, 51, N) before the last part, or None.

    Each is the concatenation of three grids; it is built anew, without sizes in it.
    """
    if width % STRIDES[-1] or height % STRIDES[-1]:
        return None
    grids = [(height // stride, width // stride) for stride in STRIDES]
    found: dict[int, list[Any]] = {channels: [] for channels in _HEADS}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Concat" or len(node.inputs()) != len(STRIDES):
            continue
        maps = [_map_before(node.input_value(i)) for i in range(len(STRIDES))]
        for channels in _HEADS:
            wanted = [(1, channels, rows, cells) for rows, cells in grids]
            if [_sizes(each) if each is not None else () for each in maps] == wanted:
                found[channels].append(maps)
    if any(len(heads) != 1 for heads in found.values()):
        return None
    outputs = []
    for channels in _HEADS:
        target = opset13.constant(np.array([1, channels, -1], np.int64))
        rows = [opset13.reshape(each, target, False) for each in found[channels][0]]
        outputs.append(opset13.concat(rows, 2).output(0))
    return outputs


def _map_before(value: Any) -> Any | None:
    """The grid of shape (1, C, rows, cells) that a reshape laid out in a row."""
    node = value.get_node()
    return node.input_value(0) if node.get_type_name() == "Reshape" else None


def _forget_size(model: Any, cells: tuple[int, int]) -> None:
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
        if len(sizes) == 4 and sizes[-1] == cells[0] * cells[1] and _sizes(source)[2:] == cells:
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


def _reshaped(cut: Any, box: Letterbox) -> Any:
    """A copy of the cut graph for this input. Raises RuntimeError if the graph does not bend."""
    model = cut.clone()
    model.reshape([1, 3, box.input_height, box.input_width])
    wanted = sum((box.input_height // s) * (box.input_width // s) for s in STRIDES)
    for output, channels in zip(model.outputs, _HEADS, strict=True):
        if _sizes(output) != (1, channels, wanted):
            raise RuntimeError(f"a head became {_sizes(output)}")
    return model


def _test_picture(width: int, height: int) -> NDArray[np.uint8]:
    """A picture with edges of every direction and colour: every anchor has something to say."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / 9.0 + y / 31.0), np.sin(y / 13.0 - x / 47.0), np.sin((x * y) / 4096.0)]
    picture: NDArray[np.uint8] = (127.5 + 127.5 * np.stack(waves, axis=-1)).astype(np.uint8)
    return picture
