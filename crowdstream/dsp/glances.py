"""What flow saw of camera and light when a picture was taken, for joints that come later.

Live a network needs its time: when its joints are there flow has seen the next pictures already.
Whatever belongs to the picture itself must then be looked up by the moment it was taken.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

NEAREST_SECONDS: Final = 0.1
"""What flow saw further from the picture than this does not belong to it."""

LONGEST_GAP_SECONDS: Final = 0.6
"""Over a longer gap nobody knows how far the camera went."""

KEPT: Final = 128
"""Pictures: 2 s at 60 a second."""


class Glance(NamedTuple):
    """One picture, as flow saw it."""

    at: float
    brightness: float | None
    """Mean grey level, 0 to 1."""

    camera: tuple[float, float]
    """How fast the camera's movement shifts the picture: picture heights per second, y down."""

    shifted: tuple[float, float]
    """How far it has shifted it since the beginning, in picture heights."""


UNSEEN: Final = Glance(-math.inf, None, (0.0, 0.0), (0.0, 0.0))


class Glances:
    """The newest glances, by their time."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._kept: deque[Glance] = deque(maxlen=KEPT)

    def add(self, at: float, brightness: float | None, camera: tuple[float, float]) -> None:
        """Flow has looked at the picture taken at `at`; a time that goes back begins anew."""
        if not (math.isfinite(camera[0]) and math.isfinite(camera[1])):
            camera = (0.0, 0.0)
        last = self._kept[-1] if self._kept else UNSEEN
        if at <= last.at:
            self._kept.clear()
        x, y = last.shifted
        if 0.0 < at - last.at <= LONGEST_GAP_SECONDS:
            x, y = x + camera[0] * (at - last.at), y + camera[1] * (at - last.at)
        self._kept.append(Glance(at, brightness, camera, (x, y)))

    def of(self, at: float) -> Glance:
        """The glance at the picture of that time; without one only the way of the camera."""
        for glance in reversed(self._kept):
            if glance.at <= at + 1e-6:
                break
        else:
            return UNSEEN
        if at - glance.at <= NEAREST_SECONDS:
            return glance
        return UNSEEN._replace(shifted=glance.shifted)
