"""Bodies for tests: the joints of people whose movement is known."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

# x and y of the 17 joints of somebody who stands, in lengths of their torso, hips at 0.
STANDING: Final = np.array(
    [
        (0.0, -1.5), (0.1, -1.6), (-0.1, -1.6), (0.2, -1.5), (-0.2, -1.5),
        (0.4, -1.0), (-0.4, -1.0), (0.6, -0.5), (-0.6, -0.5), (0.6, 0.0), (-0.6, 0.0),
        (0.25, 0.0), (-0.25, 0.0), (0.25, 0.8), (-0.25, 0.8), (0.25, 1.6), (-0.25, 1.6),
    ]
)  # fmt: skip

TORSO: Final = 0.12
"""Length of a torso, in picture heights."""

LIMBS: Final = [7, 8, 9, 10, 13, 14, 15, 16]


def bodies(
    count: int,
    at: float,
    *,
    speed: float | NDArray[np.float64] = 0.0,
    hz: float = 1.0,
    bounce: float = 0.0,
    torso: float = TORSO,
    apart: float = 0.0,
) -> NDArray[np.float32]:
    """Shape (count, 17, 3): people side by side, whose arms and legs swing from side to side.

    `speed` is the mean speed of a limb over a whole swing, `bounce` that of the torso up and
    down, both in body lengths a second; one speed for all, or one for each. Neighbours are so
    many swings `apart`: 0 is everybody in phase.
    """
    joints = np.zeros((count, 17, 3))
    joints[:, :, :2] = STANDING * torso
    joints[:, :, 0] += 0.3 + 0.4 * np.arange(count)[:, np.newaxis]
    joints[:, :, 1] += 0.5
    # A swing of amplitude A covers 4 A a period.
    body = 3.45 * torso
    turns = 2 * math.pi * (hz * at + apart * np.arange(count))
    swing = body * np.sin(turns) / (4 * hz)
    joints[:, LIMBS, 0] += (np.broadcast_to(speed, count) * swing)[:, np.newaxis]
    joints[:, :, 1] += (bounce * swing)[:, np.newaxis]
    joints[:, :, 2] = 0.9
    return joints.astype(np.float32)
