"""What goes into a model and what comes out, told before an engine sees the file.

A file from a stranger is looked through before the C++ of an engine parses it: only that can say
that its weights lie in other files, whose bytes nobody has hashed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from crowdstream.errors import MediaError

CHANNELS: Final = 56
"""Numbers per anchor of a whole export: box (4), score (1), 17 key points of three."""

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
_KINDS: Final = {1: "f32", 2: "u8", 3: "i8", 6: "i32", 7: "i64", 10: "f16", 11: "f64", 16: "bf16"}
# Of TensorProto.DataType: what numbers a network may take.

_TENSOR_EXTERNAL_DATA: Final = 13
_TENSOR_DATA_LOCATION: Final = 14

_MAX_DEPTH: Final = 32
# Graphs lie within nodes of graphs; real models go three deep.


class Outline(NamedTuple):
    """What goes in and what comes out."""

    inputs: list[Shape]
    outputs: list[Shape]
    kinds: list[str]
    """Of numbers that each input takes: `f32` is what we give."""


def read_outline(name: str, content: bytes) -> Outline:
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


def _outline(graph: memoryview) -> Outline:
    weights = set()
    inputs: list[tuple[bytes, Shape, str]] = []
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
    given = [each for each in inputs if each[0] not in weights]
    return Outline([shape for _, shape, _ in given], outputs, [kind for *_, kind in given])


def _value(body: memoryview) -> tuple[bytes, Shape, str]:
    """Name, shape and kind of a ValueInfoProto: type (2), tensor (1), shape (2), dimensions (1)."""
    name, kind = _bytes_at(body, 1), ""
    for field in (2, 1, 2):
        found = next((inner for at, inner in _fields(body) if at == field), None)
        if not isinstance(found, memoryview):
            return name, (), kind
        body = found
        if field == 1:
            number = next((inner for at, inner in _fields(body) if at == 1), 0)
            kind = _KINDS.get(number, "other numbers") if isinstance(number, int) else ""
    sizes: list[int | str] = []
    for field, dimension in _fields(body):
        if field == 1 and isinstance(dimension, memoryview):
            size = next((value for at, value in _fields(dimension) if at == 1), None)
            known = isinstance(size, int) and 0 < size < 1 << 31
            sizes.append(size if known and isinstance(size, int) else "")
    return name, tuple(sizes), kind


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


def check_outline(name: str, outline: Outline) -> None:
    """Refuse what is no pose model of 17 key points that takes 32-bit floats. Raises MediaError."""
    check_output_shape(name, outline.inputs, outline.outputs)
    if outline.kinds != ["f32"]:
        raise MediaError(
            f"{name} takes {' and '.join(outline.kinds)}: export it with 32-bit float inputs"
        )


def check_output_shape(name: str, inputs: Sequence[object], outputs: Sequence[object]) -> None:
    """Refuse what is no pose model of 17 key points. A size that is not an int is free.

    `inputs` and `outputs` are shapes, each a sequence of sizes. Raises MediaError.
    """
    wanted = (
        "a pose model takes one picture 1x3xHxW and gives 1x56xN"
        " (box, score and 17 key points for each of N anchors)"
    )
    if len(inputs) != 1 or not _fits(inputs[0], (1, 3, None, None)):
        raise MediaError(f"{name} takes {_shapes(inputs)}: {wanted}")
    if len(outputs) != 1 or not _fits(outputs[0], (1, CHANNELS, None)):
        raise MediaError(f"{name} gives {_shapes(outputs)}: {wanted}")


def _fits(shape: object, wanted: tuple[int | None, ...]) -> bool:
    if not isinstance(shape, tuple | list) or len(shape) != len(wanted):
        return False
    return all(
        size == want or want is None or not isinstance(size, int)
        for size, want in zip(shape, wanted, strict=True)
    )


def _shapes(shapes: Sequence[object]) -> str:
    def one(shape: object) -> str:
        if not isinstance(shape, tuple | list):
            return str(shape)
        return (
            "x".join(str(size) if isinstance(size, int) else "?" for size in shape) or "one number"
        )

    return " and ".join(one(shape) for shape in shapes) or "nothing"


def first_line(error: BaseException) -> str:
    """What an engine says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
