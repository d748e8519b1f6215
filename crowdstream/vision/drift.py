"""How far two forms of one network lie apart in what they see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.vision.skeleton import SEEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.models import ModelFile
    from crowdstream.vision.decode import Detections

PICTURE_HEIGHT: Final = 720
"""Distances are told in pixels of a picture of 1280x720, whatever the picture's size was."""

SAME_IOU: Final = 0.5
"""Boxes that share so much are the same person, seen twice. COCO's first threshold."""


class Drift(NamedTuple):
    """What changed from the exact network to another form of it."""

    people: int
    """That the exact one found."""

    lost: float
    """Share of these that the other did not find."""

    pixels: float
    """Mean distance of key points that both see, of people whom both found. Never NaN."""


def drift_of(pairs: Iterable[tuple[Detections, Detections]]) -> Drift:
    """Compare pictures: each pair is what the exact form saw and what the other saw in it."""
    people = found = 0
    distances: list[NDArray[np.float32]] = []
    for exact, other in pairs:
        mine, theirs = match(exact, other)
        people += len(exact.scores)
        found += len(mine)
        first, second = exact.keypoints[mine], other.keypoints[theirs]
        both = (first[:, :, 2] >= SEEN) & (second[:, :, 2] >= SEEN)
        apart = np.hypot(first[:, :, 0] - second[:, :, 0], first[:, :, 1] - second[:, :, 1])
        distances.append(apart[both])
    apart = np.concatenate(distances) if distances else np.zeros(0, np.float32)
    return Drift(
        people=people,
        lost=1.0 - found / people if people else 0.0,
        pixels=float(apart.mean()) * PICTURE_HEIGHT if apart.size else 0.0,
    )


def reference_of(file: ModelFile, facts: Mapping[str, object]) -> str:
    """What others are compared with, in words; `facts` are those of the opened network."""
    rounding = f", its rounding {facts['rounding']}" if "rounding" in facts else ""
    return f"{facts['precision']} of {file.described}{rounding}"


def match(exact: Detections, other: Detections) -> tuple[list[int], list[int]]:
    """Who is who: indices into both, each person at most once, the best overlap first."""
    shared = _overlap(exact.boxes, other.boxes)
    mine: list[int] = []
    theirs: list[int] = []
    for at in np.argsort(-shared, axis=None, kind="stable").tolist():
        one, two = divmod(at, max(1, shared.shape[1]))
        if shared[one, two] <= SAME_IOU:
            break
        if one not in mine and two not in theirs:
            mine.append(one)
            theirs.append(two)
    return mine, theirs


def _overlap(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union, shape (some, others)."""
    corner = np.maximum(some[:, None, :2], others[None, :, :2])
    end = np.minimum(some[:, None, 2:], others[None, :, 2:])
    common = np.maximum(end - corner, 0.0).prod(axis=2)

    def areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(axis=1)
        return found

    either = areas(some)[:, None] + areas(others)[None] - common
    share: NDArray[np.float32] = common / np.maximum(either, 1e-12)
    return share
