"""ONNX: what may be read of such a file before an engine sees it, and ONNX Runtime as an engine.

A file from a stranger is looked through before the C++ of an engine parses it: only that can say
that its weights lie in other files, whose bytes nobody has hashed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.errors import MediaError
from crowdstream.vision.model import (
    Detections,
    Letterbox,
    check_output_shape,
    decode_whole,
    detections_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from crowdstream.models import LoadedModel

Shape = tuple[int | str, ...]
"""Sizes of a tensor; a size that is free has a name, or an empty one."""

# Numbers of fields in onnx.proto, which never change: (message, field) -> message inside.
_INSIDE: Final = {
    ("model", 7): "graph",
    ("model", 20): "training",
    ("model", 25): "function",
    ("training", 1): "graph",
    ("training", 2): "graph",
    ("function", 7): "node",
    ("function", 11): "attribute",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 6): "graph",
    ("attribute", 10): "tensor",
    ("attribute", 11): "graph",
    ("attribute", 22): "sparse",
    ("attribute", 23): "sparse",
    ("sparse", 1): "tensor",
    ("sparse", 2): "tensor",
}
_TENSOR_EXTERNAL_DATA: Final = 13
_TENSOR_DATA_LOCATION: Final = 14

_MAX_DEPTH: Final = 32
# Graphs lie within nodes of graphs; real models go three deep.


class OnnxOutline(NamedTuple):
    """What goes in and what comes out."""

    inputs: list[Shape]
    outputs: list[Shape]


def read_outline(name: str, content: bytes) -> OnnxOutline:
    """Shapes of the inputs and outputs of an ONNX file, read without an engine.

    Raises MediaError if the bytes are no ONNX file, or keep weights in other files.
    """
    view = memoryview(content)
    try:
        if _keeps_weights_elsewhere(view, "model", 0):
            raise MediaError(
                f"{name} keeps its weights in other files (external data), which are not"
                " checked: save it as one file"
            )
        graph = next((body for field, body in _fields(view) if field == 7), None)
        if not isinstance(graph, memoryview):
            raise MediaError(f"{name} is not an ONNX model: it has no graph")
        return _outline(graph)
    except (IndexError, ValueError):
        # Both come from bytes that end early or say nonsense: UnicodeDecodeError is a ValueError.
        raise MediaError(f"{name} is not a whole ONNX file: copy or export it again") from None


def _outline(graph: memoryview) -> OnnxOutline:
    weights = set()
    inputs: list[tuple[bytes, Shape]] = []
    outputs: list[Shape] = []
    for field, body in _fields(graph):
        if not isinstance(body, memoryview):
            continue
        if field == 5:  # a weight; old files list those among the inputs as well
            weights.add(_bytes_at(body, 8))
        elif field == 11:
            inputs.append(_value(body))
        elif field == 12:
            outputs.append(_value(body)[1])
    return OnnxOutline([shape for name, shape in inputs if name not in weights], outputs)


def _value(body: memoryview) -> tuple[bytes, Shape]:
    """Name and shape of a ValueInfoProto: type (2), tensor (1), shape (2), dimensions (1)."""
    name = _bytes_at(body, 1)
    for field in (2, 1, 2):
        found = next((inner for at, inner in _fields(body) if at == field), None)
        if not isinstance(found, memoryview):
            return name, ()
        body = found
    sizes: list[int | str] = []
    for field, dimension in _fields(body):
        if field == 1 and isinstance(dimension, memoryview):
            size = next((value for at, value in _fields(dimension) if at == 1), None)
            known = isinstance(size, int) and 0 < size < 1 << 31
            sizes.append(size if known and isinstance(size, int) else "")
    return name, tuple(sizes)


def _bytes_at(body: memoryview, wanted: int) -> bytes:
    found = next((inner for field, inner in _fields(body) if field == wanted), b"")
    return bytes(found) if isinstance(found, memoryview) else b""


def _keeps_weights_elsewhere(view: memoryview, message: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError
    for field, body in _fields(view):
        if message == "tensor":
            if field == _TENSOR_EXTERNAL_DATA or (field == _TENSOR_DATA_LOCATION and body == 1):
                return True
            continue
        inside = _INSIDE.get((message, field))
        if (
            inside is not None
            and isinstance(body, memoryview)
            and _keeps_weights_elsewhere(body, inside, depth + 1)
        ):
            return True
    return False


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Every field of a protobuf message: its number, then its bytes or its number value.

    Raises IndexError or ValueError where the bytes are no such message.
    """
    at = 0
    while at < len(view):
        key, at = _varint(view, at)
        field, kind = key >> 3, key & 7
        if field == 0:
            raise ValueError
        if kind == 0:
            value, at = _varint(view, at)
            yield field, value
            continue
        if kind == 2:
            length, at = _varint(view, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError
        if at + length > len(view):
            raise ValueError
        yield field, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError


class OnnxPose:
    """A pose model in ONNX Runtime: the engine where OpenVINO is not installed."""

    def __init__(self, loaded: LoadedModel, *, threads: int, min_score: float) -> None:
        """Open the model. Raises MediaError, or ImportError without the package onnxruntime."""
        import onnxruntime

        outline = read_outline(loaded.name, loaded.model)
        check_output_shape(loaded.name, outline.inputs, outline.outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads would spin between pictures, on cores that the sound needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                loaded.model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the engine's own exceptions share no base class
            raise MediaError(
                f"{loaded.name} cannot be opened by ONNX Runtime: {first_line(error)}"
            ) from error
        self._input = self._session.get_inputs()[0].name
        height, width = outline.inputs[0][2:]
        self._fixed = (
            (width, height) if isinstance(width, int) and isinstance(height, int) else None
        )
        self._threads = threads
        self._min_score = min_score
        self._letterbox: Letterbox | None = None
        self._canvas: NDArray[np.uint8] = np.zeros((1, 0, 0, 3), np.uint8)

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Backend, precision and input size, for the log and `doctor`."""
        box = self._letterbox
        return {
            "backend": "onnxruntime",
            "precision": "f32",
            "threads": self._threads,
            "input": f"{box.input_width}x{box.input_height}" if box else "",
            "path": "whole",
        }

    def prepare(self, width: int, height: int) -> None:
        """Get ready for pictures of this size, and run once."""
        self._fit(width, height)
        self._run()

    def infer(self, picture: NDArray[np.uint8]) -> Detections:
        """Find the people in a picture, shape (height, width, 3), BGR."""
        letterbox = self._fit(picture.shape[1], picture.shape[0])
        letterbox.paint(picture, self._canvas)
        return detections_of(decode_whole(self._run(), self._min_score), letterbox)

    def close(self) -> None:
        """Let go of the session."""
        del self._session

    def _fit(self, width: int, height: int) -> Letterbox:
        box = self._letterbox
        if box is None or (box.width, box.height) != (width, height):
            box = (
                Letterbox(width, height, *self._fixed)
                if self._fixed
                else Letterbox.rectangle(width, height)
            )
            self._letterbox = box
            self._canvas = box.canvas()
        return box

    def _run(self) -> NDArray[np.float32]:
        pixels = self._canvas[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        pixels *= np.float32(1.0 / 255.0)
        output: NDArray[np.float32] = self._session.run(None, {self._input: pixels})[0][0]
        return output


def first_line(error: BaseException) -> str:
    """What an engine says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
