"""The seventeen joints of COCO, which every pose packet uses, and how they hang together."""

from __future__ import annotations

from typing import Final

JOINTS: Final = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""Names in the order of every array of key points."""

NOSE: Final = 0
SHOULDERS: Final = (5, 6)
ELBOWS: Final = (7, 8)
WRISTS: Final = (9, 10)
HIPS: Final = (11, 12)
KNEES: Final = (13, 14)
ANKLES: Final = (15, 16)

BONES: Final = (
    (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16), (0, 5), (0, 6),
)  # fmt: skip
"""Pairs of joints that are drawn as a line."""

SEEN: Final = 0.3
"""A joint whose confidence is at least this is taken as seen."""
