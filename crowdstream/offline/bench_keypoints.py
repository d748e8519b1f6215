"""How well a network finds people and their joints: COCO's average precision, for a few pictures.

Of COCO's key point protocol this is kept: object keypoint similarity with its deviations per joint,
`area` as the size of a body, ten thresholds from 0.50 to 0.95, at most 20 people a picture, each
person found at most once by the surest who is near enough, people without marked joints neither
asked for nor counted against who finds them, precision made monotone and read at 101 recalls.
Left out are its crowds (`iscrowd`) and the figures for small and large bodies. Where labels give
no area (the YOLO form), 0.53 of the box is taken, as those who publish these networks do.

https://cocodataset.org/#keypoints-eval
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.vision.decode import Detections

DEVIATIONS: Final = np.array(
    [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float64
) / 1000.0  # fmt: skip
"""How far people who mark joints differ, per joint, in square roots of a body's area."""

THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
MOST_FOUND: Final = 20
AREA_OF_BOX: Final = 0.53

_RECALLS: Final = np.linspace(0.0, 1.0, 101)


class Marked(NamedTuple):
    """The people whom somebody has marked in one picture; lengths in pixels."""

    joints: NDArray[np.float64]
    """(people, 17, 3): x, y, and 0 where the joint is not marked."""

    areas: NDArray[np.float64]
    """(people,)."""

    boxes: NDArray[np.float64]
    """(people, 4): left, top, width, height."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which joints are marked, (people, 17)."""
        return np.asarray(self.joints[:, :, 2] > 0.0, np.bool_)

    @property
    def idle(self) -> NDArray[np.bool_]:
        """Who has no marked joint at all, and so is not asked for: (people,)."""
        return np.asarray(~self.known.any(axis=1), np.bool_)


class Seen(NamedTuple):
    """The people whom a network has found in one picture; lengths in pixels."""

    joints: NDArray[np.float64]
    """(people, 17, 2)."""

    scores: NDArray[np.float64]
    """(people,)."""


def seen_of(people: Detections, height: int) -> Seen:
    """What a network found in a picture of this height."""
    return Seen(
        people.keypoints[:, :, :2].astype(np.float64) * height, people.scores.astype(np.float64)
    )


def similarity(marked: Marked, seen: Seen) -> NDArray[np.float64]:
    """Object keypoint similarity, 0..1, shape (seen, marked).

    To a person without a marked joint whoever lies within twice their box is similar.
    """
    apart = seen.joints[:, None] - marked.joints[None, :, :, :2]
    known = marked.known
    for person in np.flatnonzero(marked.idle).tolist():
        left, top, width, height = marked.boxes[person]
        first = np.array([left - width, top - height])
        last = np.array([left + 2.0 * width, top + 2.0 * height])
        outside = np.maximum(first - seen.joints, 0.0) + np.maximum(seen.joints - last, 0.0)
        apart[:, person] = outside
    counted = known | marked.idle[:, None]
    spread = 2.0 * (2.0 * DEVIATIONS) ** 2 * (marked.areas[:, None] + np.spacing(1.0))
    near = np.exp(-(apart**2).sum(axis=3) / spread) * counted
    shares: NDArray[np.float64] = near.sum(axis=2) / counted.sum(axis=1)
    return shares


def average_precision(pictures: Iterable[tuple[Marked, Seen]]) -> float:
    """Mean over the thresholds and recalls, 0..1; 0 where nobody is marked."""
    scores: list[NDArray[np.float64]] = []
    right: list[NDArray[np.bool_]] = []
    counted: list[NDArray[np.bool_]] = []
    people = 0
    for marked, seen in pictures:
        surest = np.argsort(-seen.scores, kind="stable")[:MOST_FOUND]
        best = Seen(seen.joints[surest], seen.scores[surest])
        idle = marked.idle
        people += int((~idle).sum())
        whom = _given_out(similarity(marked, best), idle)
        scores.append(best.scores)
        found = whom >= 0
        right.append(found & ~idle[whom] if idle.size else found)
        counted.append(~(found & idle[whom]) if idle.size else ~found)
    if not people or not scores:
        return 0.0
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.concatenate(right, axis=1)[:, order]
    valid = np.concatenate(counted, axis=1)[:, order]
    each = [_area(h[v], people) for h, v in zip(hits, valid, strict=True)]
    return float(np.mean(each))


def _given_out(shares: NDArray[np.float64], idle: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Whom each one seen is, or -1: shape (thresholds, seen). The surest come first."""
    whom = np.full((len(THRESHOLDS), shares.shape[0]), -1, np.intp)
    for level, threshold in enumerate(THRESHOLDS.tolist()):
        free = np.ones(idle.size, bool)
        for one in range(shares.shape[0]):
            # Somebody who is asked for, if one is near enough; else who is not.
            for group in (free & ~idle, free & idle):
                near = np.flatnonzero(group & (shares[one] >= threshold))
                if near.size:
                    taken = near[np.argmax(shares[one, near])]
                    whom[level, one] = taken
                    free[taken] = False
                    break
    return whom


def _area(right: NDArray[np.bool_], people: int) -> float:
    """Mean of the precision at the 101 recalls; `right` is in order of falling score."""
    hits = np.cumsum(right)
    recall = hits / people
    precision = hits / np.arange(1, right.size + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    inside = at < precision.size
    return float(precision[at[inside]].sum() / _RECALLS.size) if precision.size else 0.0


# --- pictures that somebody has marked ----------------------------------------------------------


def marked_pictures(folder: Path) -> list[tuple[Path, Marked]]:
    """The pictures of `coco` and `coco8-pose` in a folder; none where it has neither."""
    return [*_of_coco(folder / "coco"), *_of_yolo(folder / "coco8-pose")]


def _of_coco(folder: Path) -> list[tuple[Path, Marked]]:
    told = next(iter(sorted(folder.glob("*.json"))), None)
    if told is None:
        return []
    content: dict[str, list[dict[str, Any]]] = json.loads(told.read_text("utf-8"))
    made = []
    for image in content["images"]:
        people = [
            each
            for each in content["annotations"]
            if each["image_id"] == image["id"] and not each.get("iscrowd")
        ]
        path = folder / image["file_name"]
        if path.exists():
            joints = [each["keypoints"] for each in people]
            areas = [each["area"] for each in people]
            made.append((path, _marked(joints, areas, [each["bbox"] for each in people])))
    return made


def _of_yolo(folder: Path) -> list[tuple[Path, Marked]]:
    import cv2

    made = []
    for path in sorted(folder.glob("images/*/*.jpg")):
        labels = folder / "labels" / path.parent.name / f"{path.stem}.txt"
        picture = cv2.imread(str(path))
        if picture is None or not labels.exists():
            continue
        height, width = picture.shape[:2]
        rows = [[float(word) for word in line.split()] for line in labels.read_text().splitlines()]
        lines = np.array([row for row in rows if row], np.float64).reshape(-1, 56)
        x, y, w, h = (lines[:, 1:5] * (width, height, width, height)).T
        joints = lines[:, 5:].reshape(-1, 17, 3) * (width, height, 1.0)
        boxes = np.stack([x - 0.5 * w, y - 0.5 * h, w, h], axis=1)
        made.append((path, Marked(joints, AREA_OF_BOX * w * h, boxes)))
    return made


def _marked(
    joints: Sequence[Sequence[float]], areas: Sequence[float], boxes: Sequence[Sequence[float]]
) -> Marked:
    return Marked(
        np.array(joints, np.float64).reshape(-1, 17, 3),
        np.array(areas, np.float64),
        np.array(boxes, np.float64).reshape(-1, 4),
    )
