"""A Preview as a small picture in memory: stick figures on black. Nothing is written to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import cv2 as _cv2
import numpy as np

from crowdstream.packets import PREVIEW_STEPS, UNSEEN, Preview
from crowdstream.vision.legend import Legend
from crowdstream.vision.overlay import Scene, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

cv2: Any = _cv2

FLOW_STEPS: Final = 50.0
QUALITY: Final = 80


def picture_of(preview: Preview, height: int = 360, form: Literal["jpeg", "png"] = "jpeg") -> bytes:
    """The preview drawn as a JPEG or PNG of that many rows (90 to 1080), on black."""
    height = min(1080, max(90, height))
    aspect = min(4.0, max(0.25, preview.aspect))
    scene = Scene(
        aspect=aspect,
        keypoints=_keypoints(preview),
        ids=preview.ids,
        flow=preview.flow.astype(np.float32) / np.float32(FLOW_STEPS),
        legend=Legend(
            level=preview.level,
            drive=preview.drive,
            confidence=preview.confidence,
            people=preview.people,
            groove_bpm=preview.groove_bpm,
            bpm=preview.bpm,
            eyes=preview.eyes,
            state=preview.state,
        ),
    )
    drawn = draw(scene, (max(90, round(height * aspect)), height))
    how = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if form == "jpeg" else []
    _, data = cv2.imencode(".jpg" if form == "jpeg" else ".png", drawn, how)
    return bytes(data)


def _keypoints(preview: Preview) -> NDArray[np.float32]:
    """Back to picture heights, shape (people, 17, 3)."""
    seen = (preview.joints != UNSEEN).all(axis=2)
    places = preview.joints.astype(np.float32) / np.float32(PREVIEW_STEPS)
    return np.dstack([places, seen.astype(np.float32)]).astype(np.float32)
