"""What a pose model is, and the arithmetic around every one of them.

A picture is scaled into the model's input (`Letterbox`), the network answers with one column per
anchor, the columns that hold a person become `Detections` (`decode_heads`, `decode_whole`), and
of several columns that saw the same person the surest stays (`keep_best`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np

from crowdstream.errors import ConfigError, MediaError
from crowdstream.vision.skeleton import SEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crowdstream.models import LoadedModel

Precision = Literal["auto", "f32", "bf16"]
"""`bf16` computes with fewer bits where the processor can: about twice as fast, key points move
by half a pixel. `auto` takes it where the processor lists it."""

STRIDES: Final = (8, 16, 32)
"""Pixels of the input per cell of the three grids that the network looks at."""

LONG_SIDE: Final = 640
"""Pixels of the longer side of the input, when the model leaves the choice to us."""

CHANNELS: Final = 56
"""Numbers per anchor of a whole export: box (4), score (1), 17 key points of three."""

MAX_ASPECT: Final = 4.0
"""A picture longer than this is padded: a sliver would leave the coarsest grid without cells."""

GREY: Final = 114
"""Colour of the padding; the networks were trained with it."""

MAX_PEOPLE: Final = 300
"""More people than this in one picture are not reported: the surest stay."""

_MAX_CANDIDATES: Final = 4096
# Anchors that are looked at for one picture: a picture that fools the network everywhere costs
# a bounded time.

_SAME_PERSON_IOU: Final = 0.7
# Two boxes that share more than this are one person. The value that these networks are
# published with; lower, and people who dance close together become one.

_SAME_POSE: Final = 0.1
# Two poses whose joints lie closer than this, in lengths of the longer box, are one person twice:
# somebody half hidden is often found once with and once without what hides. Two people cannot
# stand so close.

_JOINTS_OF_A_POSE: Final = 5

_BINS: Final = 16
# Each side of a box is the mean of a distribution over so many distances.


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """The people in one picture, surest first."""

    keypoints: NDArray[np.float32]
    """Shape (people, 17, 3): x and y in picture heights, then confidence 0..1. Always finite."""

    scores: NDArray[np.float32]
    """Shape (people,): how sure the model is that this is a person, 0..1."""

    boxes: NDArray[np.float32]
    """Shape (people, 4): left, top, right, bottom, in picture heights."""


class PoseModel(Protocol):
    """An opened network. One picture at a time, from one thread."""

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Backend, device, precision and input size, for the log and `doctor`."""

    def prepare(self, width: int, height: int) -> None:
        """Get ready for pictures of this size: compiles if need be, and runs once."""

    def infer(self, picture: NDArray[np.uint8]) -> Detections:
        """Find the people in a picture, shape (height, width, 3), BGR."""

    def close(self) -> None:
        """Let go of the network's memory."""


def open_model(
    loaded: LoadedModel, *, threads: int, precision: Precision, min_score: float
) -> PoseModel:
    """Open a model from bytes whose hash was checked, with OpenVINO or else ONNX Runtime.

    Raises MediaError if the bytes are no pose model, ConfigError if neither engine is installed.
    """
    # Imported here: whoever only wants the arithmetic, or lists models, loads no engine.
    try:
        from crowdstream.vision.openvino import OpenVinoPose
    except ImportError:
        if loaded.form != "onnx":
            raise ConfigError(
                f"{loaded.name} is an OpenVINO model and the package openvino cannot be imported:"
                " install it, or give the model as .onnx"
            ) from None
    else:
        return OpenVinoPose(loaded, threads=threads, precision=precision, min_score=min_score)
    try:
        from crowdstream.vision.onnx import OnnxPose
    except ImportError:
        raise ConfigError(
            f"{loaded.name} cannot be opened: install the package openvino, or onnxruntime"
        ) from None
    return OnnxPose(loaded, threads=threads, min_score=min_score)


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


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies in the model's input: scaled as a whole, centred, padded with grey."""

    width: int
    """Of the picture, pixels."""

    height: int
    input_width: int
    input_height: int

    @classmethod
    def rectangle(cls, width: int, height: int) -> Letterbox:
        """The smallest input that holds the picture with its longer side at LONG_SIDE."""
        aspect = min(max(width / height, 1.0 / MAX_ASPECT), MAX_ASPECT)
        long, coarsest = LONG_SIDE, STRIDES[-1]
        # A hair is taken off, so that 359.9999 and 360.0001 do not become different inputs.
        short = math.ceil(long / max(aspect, 1.0 / aspect) / coarsest - 1e-6) * coarsest
        return cls(width, height, *((long, short) if aspect >= 1.0 else (short, long)))

    @property
    def scale(self) -> float:
        """Pixels of the input per pixel of the picture."""
        return min(self.input_width / self.width, self.input_height / self.height)

    @property
    def scaled(self) -> tuple[int, int]:
        """Width and height of the picture within the input, in its pixels."""
        return max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale))

    @property
    def corner(self) -> tuple[int, int]:
        """Where the picture's left upper corner lies in the input: x, y."""
        width, height = self.scaled
        return (self.input_width - width) // 2, (self.input_height - height) // 2

    def canvas(self) -> NDArray[np.uint8]:
        """An input full of grey, shape (1, input_height, input_width, 3), to `paint` on."""
        return np.full((1, self.input_height, self.input_width, 3), GREY, np.uint8)

    def paint(self, picture: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> None:
        """Scale `picture` into its place on `canvas`, in place."""
        import cv2  # only whoever looks at pictures needs it

        width, height = self.scaled
        left, top = self.corner
        place = canvas[0, top : top + height, left : left + width]
        if (width, height) == (self.width, self.height):
            place[:] = picture
        else:
            cv2.resize(picture, (width, height), dst=place, interpolation=cv2.INTER_LINEAR)

    def to_heights(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
        """Turn pixels of the input into picture heights, in place.

        Pixel edges, not centres: the picture's corner is (0, 0), as it is for every eye.
        """
        width, height = self.scaled
        left, top = self.corner
        x -= left
        # The picture was rounded to whole pixels; both axes are scaled by what became of them.
        x *= self.width / (width * self.height)
        y -= top
        y *= 1.0 / height


def anchors(input_width: int, input_height: int) -> NDArray[np.float32]:
    """Left upper corner (in cells) and stride of every anchor: shape (3, anchors)."""
    columns = []
    for stride in STRIDES:
        rows, cells = input_height // stride, input_width // stride
        y, x = np.mgrid[0:rows, 0:cells].astype(np.float32)
        columns.append(np.stack([x.ravel(), y.ravel(), np.full(rows * cells, stride, np.float32)]))
    return np.concatenate(columns, axis=1)


def logit(share: float) -> float:
    """What the sigmoid turns into `share`, which lies between 0 and 1."""
    return math.log(share / (1.0 - share))


def surest(scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Indices of the scores that reach the threshold, in order; never too many."""
    found = np.flatnonzero(scores >= threshold)
    if found.size > _MAX_CANDIDATES:
        first = np.argsort(-scores[found], kind="stable")[:_MAX_CANDIDATES]
        found = np.sort(found[first])
    return found


def decode_heads(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    keypoints: NDArray[np.float32],
    cells: NDArray[np.float32],
    found: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Columns of a whole export (see CHANNELS), computed from the three heads before them.

    `boxes` (64, anchors), `scores` (anchors,) and `keypoints` (51, anchors) are as the last
    convolutions leave them; `cells` is what `anchors` gives. Only the anchors `found` are
    decoded. Returns shape (56, found), pixels of the input.
    """
    corner_x, corner_y, stride = cells[:, found]
    columns = np.empty((CHANNELS, found.size), np.float32)

    bins = boxes[:, found].reshape(4, _BINS, found.size)
    bins = np.exp(bins - bins.max(axis=1, keepdims=True))
    distances = np.arange(_BINS, dtype=np.float32)[None, :, None]
    left, top, right, bottom = (bins * distances).sum(axis=1) / bins.sum(axis=1)
    columns[0] = (corner_x + 0.5 + 0.5 * (right - left)) * stride
    columns[1] = (corner_y + 0.5 + 0.5 * (bottom - top)) * stride
    columns[2] = (left + right) * stride
    columns[3] = (top + bottom) * stride

    columns[4] = _sigmoid(scores[found])

    joints = keypoints[:, found].reshape(17, 3, found.size)
    placed = columns[5:].reshape(17, 3, found.size)
    placed[:, 0] = (joints[:, 0] * 2.0 + corner_x) * stride
    placed[:, 1] = (joints[:, 1] * 2.0 + corner_y) * stride
    placed[:, 2] = _sigmoid(joints[:, 2])
    return columns


def decode_whole(output: NDArray[np.float32], min_score: float) -> NDArray[np.float32]:
    """The columns of a whole export, shape (56, anchors), that may hold a person."""
    return np.ascontiguousarray(output[:, surest(output[4], min_score)], dtype=np.float32)


def detections_of(columns: NDArray[np.float32], letterbox: Letterbox) -> Detections:
    """People from columns of shape (56, found) in pixels of the input, surest first."""
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    middle_x, middle_y, width, height = columns[:4]
    boxes = np.stack(
        [
            middle_x - 0.5 * width,
            middle_y - 0.5 * height,
            middle_x + 0.5 * width,
            middle_y + 0.5 * height,
        ],
        axis=1,
    )
    kept = keep_best(boxes, columns[4])
    boxes = np.ascontiguousarray(boxes[kept])
    keypoints = np.ascontiguousarray(columns[5:, kept].T).reshape(-1, 17, 3)
    np.clip(keypoints[:, :, 2], 0.0, 1.0, out=keypoints[:, :, 2])
    once = _not_twice(boxes, keypoints)
    boxes, keypoints, kept = boxes[once], keypoints[once], kept[once]
    letterbox.to_heights(boxes[:, 0::2], boxes[:, 1::2])
    letterbox.to_heights(keypoints[:, :, 0], keypoints[:, :, 1])
    return Detections(
        keypoints=keypoints, scores=np.ascontiguousarray(columns[4, kept]), boxes=boxes
    )


def keep_best(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which boxes stay when each person is to have one: indices, surest first.

    `boxes` has the shape (n, 4): left, top, right, bottom. Of equal scores the earlier wins. At
    most MAX_PEOPLE stay.
    """
    order = np.argsort(-scores, kind="stable")
    left, top, right, bottom = boxes[order].T
    areas = np.maximum(right - left, 0.0) * np.maximum(bottom - top, 0.0)
    kept: list[int] = []
    rest = np.arange(order.size)
    while rest.size and len(kept) < MAX_PEOPLE:
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        shared = np.maximum(
            np.minimum(right[rest], right[best]) - np.maximum(left[rest], left[best]), 0.0
        )
        shared *= np.maximum(
            np.minimum(bottom[rest], bottom[best]) - np.maximum(top[rest], top[best]), 0.0
        )
        rest = rest[shared <= _SAME_PERSON_IOU * (areas[rest] + areas[best] - shared)]
    return order[kept]


def _not_twice(boxes: NDArray[np.float32], keypoints: NDArray[np.float32]) -> NDArray[np.bool_]:
    """False for whoever has the pose of somebody before them: surest first, any unit."""
    middles = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    length = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
    longer = np.maximum(length[:, None], length[None, :])
    # Only pairs whose middles are near are looked at joint by joint.
    near = np.abs(middles[:, None] - middles[None, :]).max(axis=2) < 0.5 * longer
    first, second = np.nonzero(np.triu(near, 1))
    these, those = keypoints[first], keypoints[second]
    apart = np.hypot(these[:, :, 0] - those[:, :, 0], these[:, :, 1] - those[:, :, 1])
    seen = (these[:, :, 2] >= SEEN) & (those[:, :, 2] >= SEEN)
    close = seen & (apart < _SAME_POSE * longer[first, second][:, None])
    # More than half of what both show, and enough of it to be a pose.
    same = (seen.sum(axis=1) >= _JOINTS_OF_A_POSE) & (2 * close.sum(axis=1) > seen.sum(axis=1))
    once = np.ones(len(boxes), bool)
    for one, other in zip(first[same].tolist(), second[same].tolist(), strict=True):
        if once[one]:
            once[other] = False
    return once


def nobody() -> Detections:
    """An empty floor."""
    return Detections(
        keypoints=np.zeros((0, 17, 3), np.float32),
        scores=np.zeros(0, np.float32),
        boxes=np.zeros((0, 4), np.float32),
    )


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # The tangent does not overflow where the exponential does.
    shares: NDArray[np.float32] = np.float32(0.5) * (1.0 + np.tanh(np.float32(0.5) * values))
    return shares
