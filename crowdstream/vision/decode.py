"""From what a network answers to the people in a picture.

The network answers with one column per anchor. The columns that may hold a person are decoded
(`decode_boxes`, `decode_joints`), and of several that saw the same person the surest stays
(`keep_best`). Joints are only decoded for who stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.errors import MediaError
from crowdstream.models.outline import CHANNELS
from crowdstream.vision.letterbox import STRIDES, grids_of
from crowdstream.vision.skeleton import SEEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from crowdstream.vision.letterbox import Letterbox

    Head = Callable[[NDArray[np.intp]], NDArray[np.float32]]
    """What a head says at some anchors: from n of their indices to an array (channels, n)."""

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

_AT_A_TIME: Final = 32
# Of the surest, compared in one go: many enough to be worth the call, few enough for the cache.

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


def anchors(input_width: int, input_height: int) -> NDArray[np.float32]:
    """Left upper corner (in cells) and stride of every anchor: shape (3, anchors)."""
    columns = []
    sizes = grids_of(input_width, input_height)
    for stride, (rows, cells) in zip(STRIDES, sizes, strict=True):
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
) -> NDArray[np.float32]:
    """Columns of a whole export (see CHANNELS), computed from the three heads before them.

    `boxes` (64, n), `scores` (n,) and `keypoints` (51, n) are as the last convolutions leave
    them; `cells` is what `anchors` gives for these n. Returns shape (56, n), pixels of the input.
    """
    return _columns(_decode_boxes(boxes, cells), scores, keypoints, cells)


def _columns(
    placed_boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    keypoints: NDArray[np.float32],
    cells: NDArray[np.float32],
) -> NDArray[np.float32]:
    corner_x, corner_y, stride = cells
    columns = np.empty((CHANNELS, scores.size), np.float32)
    columns[:4] = placed_boxes
    columns[4] = _sigmoid(scores)
    joints = keypoints.reshape(17, 3, scores.size)
    placed = columns[5:].reshape(17, 3, scores.size)
    placed[:, 0] = (joints[:, 0] * 2.0 + corner_x) * stride
    placed[:, 1] = (joints[:, 1] * 2.0 + corner_y) * stride
    placed[:, 2] = _sigmoid(joints[:, 2])
    return columns


def _decode_boxes(boxes: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Middle x and y, width and height, shape (4, n): each side is a distribution's mean."""
    corner_x, corner_y, stride = cells
    bins = boxes.reshape(4, _BINS, -1)
    bins = bins - bins.max(axis=1, keepdims=True)
    np.exp(bins, out=bins)
    distances = np.arange(_BINS, dtype=np.float32)[None, :, None]
    total = bins.sum(axis=1)
    left, top, right, bottom = (bins * distances).sum(axis=1) / total
    return np.stack(
        [
            (corner_x + 0.5 + 0.5 * (right - left)) * stride,
            (corner_y + 0.5 + 0.5 * (bottom - top)) * stride,
            (left + right) * stride,
            (top + bottom) * stride,
        ]
    )


def people_of_heads(
    boxes: Head,
    scores: NDArray[np.float32],
    keypoints: Head,
    cells: NDArray[np.float32],
    min_score: float,
    letterbox: Letterbox,
) -> Detections:
    """People from the three heads (see `decode_heads`), surest first.

    `scores` and `cells` are of all anchors. Boxes tell who is who, so the head for joints is only
    asked about one anchor of each person.
    """
    # Compared before the sigmoid: of thousands of anchors a handful is decoded.
    found = surest(scores, logit(min_score))
    placed = _decode_boxes(boxes(found), cells[:, found])
    finite = np.isfinite(placed).all(axis=0)
    found, placed = found[finite], placed[:, finite]
    kept = keep_best(_corners(*placed), scores[found])
    found = found[kept]
    columns = _columns(placed[:, kept], scores[found], keypoints(found), cells[:, found])
    return _people(columns[:, np.isfinite(columns).all(axis=0)], letterbox)


def decode_whole(output: NDArray[np.float32], min_score: float) -> NDArray[np.float32]:
    """The columns of a whole export, shape (56, anchors), that may hold a person."""
    return np.ascontiguousarray(output[:, surest(output[4], min_score)], dtype=np.float32)


def detections_of(columns: NDArray[np.float32], letterbox: Letterbox) -> Detections:
    """People from columns of shape (56, found) in pixels of the input, surest first."""
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    return _people(columns[:, keep_best(_corners(*columns[:4]), columns[4])], letterbox)


def _people(columns: NDArray[np.float32], letterbox: Letterbox) -> Detections:
    """From finite columns, one for each person, surest first."""
    boxes = _corners(*columns[:4])
    keypoints = np.ascontiguousarray(columns[5:].T).reshape(-1, 17, 3)
    np.clip(keypoints[:, :, 2], 0.0, 1.0, out=keypoints[:, :, 2])
    once = not_twice(boxes, keypoints)
    boxes, keypoints = boxes[once], keypoints[once]
    letterbox.to_heights(boxes[:, 0::2], boxes[:, 1::2])
    letterbox.to_heights(keypoints[:, :, 0], keypoints[:, :, 1])
    return Detections(keypoints=keypoints, scores=columns[4, once], boxes=boxes)


def _corners(
    middle_x: NDArray[np.float32],
    middle_y: NDArray[np.float32],
    width: NDArray[np.float32],
    height: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Left, top, right, bottom: shape (n, 4)."""
    return np.stack(
        [
            middle_x - 0.5 * width,
            middle_y - 0.5 * height,
            middle_x + 0.5 * width,
            middle_y + 0.5 * height,
        ],
        axis=1,
    )


def keep_best(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which boxes stay when each person is to have one: indices, surest first.

    `boxes` has the shape (n, 4): left, top, right, bottom. Of equal scores the earlier wins. At
    most MAX_PEOPLE stay. It is the greedy choice of the surest, made for a few of them at a time:
    these are compared with one another, and then all the others with those that stay.
    """
    order = np.argsort(-scores, kind="stable")
    sides = np.empty((5, order.size), np.float32)
    sides[:4] = boxes[order].T
    np.multiply(
        np.maximum(sides[2] - sides[0], 0.0), np.maximum(sides[3] - sides[1], 0.0), out=sides[4]
    )
    kept: list[int] = []
    while order.size and len(kept) < MAX_PEOPLE:
        surest_few = sides[:, :_AT_A_TIME]
        alike = _same_person(surest_few, surest_few)
        alive = np.ones(len(alike), bool)
        staying = []
        for at in range(len(alike)):
            if alive[at]:
                staying.append(at)
                alive &= ~alike[at]
        kept += order[staying].tolist()
        order, others = order[_AT_A_TIME:], sides[:, _AT_A_TIME:]
        free = ~_same_person(surest_few[:, staying], others).any(axis=0)
        order, sides = order[free], others[:, free]
    return np.array(kept[:MAX_PEOPLE], np.intp)


def _same_person(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Who shares more than _SAME_PERSON_IOU with whom: (some, others), from sides and areas."""
    shared = np.minimum(some[2, :, None], others[2])
    shared -= np.maximum(some[0, :, None], others[0])
    np.maximum(shared, 0.0, out=shared)
    high = np.minimum(some[3, :, None], others[3])
    high -= np.maximum(some[1, :, None], others[1])
    shared *= np.maximum(high, 0.0, out=high)
    either = np.add(some[4, :, None], others[4], out=high)
    either -= shared
    either *= np.float32(_SAME_PERSON_IOU)
    same: NDArray[np.bool_] = shared > either
    return same


def not_twice(boxes: NDArray[np.float32], keypoints: NDArray[np.float32]) -> NDArray[np.bool_]:
    """False for whoever has the pose of somebody before them: surest first, any unit.

    `boxes` has the shape (people, 4), `keypoints` (people, 17, 3). Returns shape (people,).
    """
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


def refuse_nonsense(name: str, answers: Iterable[NDArray[np.float32]]) -> None:
    """Raises MediaError if a network answers a plain picture with what are no numbers."""
    if not all(np.isfinite(answer).all() for answer in answers):
        raise MediaError(f"{name} answers with values that are no numbers: export it again")


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
