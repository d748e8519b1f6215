"""What light and cameras do to a picture, for tests of whether it is taken for dancing.

Each trick is a function of a picture, shape (height, width, 3), BGR, and of the time in seconds;
it gives a new picture. None of them moves anybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.vision.drawn_story import strobe

if TYPE_CHECKING:
    from numpy.typing import NDArray

Trick = Callable[["NDArray[np.uint8]", float], "NDArray[np.uint8]"]

BEGINS_AT: Final = 2.0
"""Seconds of ordinary light before each trick."""


def trick_of(name: str) -> Trick:
    """The trick of that name: `none`, `strobe HZ`, or one of TRICKS.

    Raises:
        ValueError: there is no such trick.
    """
    if name.startswith("strobe "):
        return flashes(float(name.split()[1]))
    if name not in TRICKS:
        raise ValueError(f"light: there is no trick called {name}; one of {', '.join(TRICKS)}")
    return TRICKS[name]


def flashes(hz: float) -> Trick:
    """A strobe, on for half of each turn, and next to nothing between."""
    return lambda picture, t: _times(picture, strobe(t - BEGINS_AT, hz) if t >= BEGINS_AT else 1.0)


def _none(picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    del t
    return picture


def _blackout(picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    """All lights go out for two seconds; the sensor's noise stays."""
    return _times(picture, 0.02 if BEGINS_AT <= t < BEGINS_AT + 2.0 else 1.0)


def _exposure(picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    """The camera corrects its exposure by a half, and back, every second and a half."""
    return _times(picture, 0.6 if t >= BEGINS_AT and (t - BEGINS_AT) % 3.0 < 1.5 else 1.0)


def _spots(picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    """Four soft beams that wander over a half-lit floor."""
    if t < BEGINS_AT:
        return picture
    height, width = picture.shape[:2]
    down, across = np.mgrid[0 : height // 4, 0 : width // 4].astype(np.float32) * 4.0 / height
    light = np.full(down.shape, 0.5, np.float32)
    for k in range(4):
        x = width / height * (0.5 + 0.4 * math.sin(2 * math.pi * (0.35 + 0.12 * k) * t + 2 * k))
        y = 0.6 + 0.25 * math.sin(2 * math.pi * (0.5 - 0.06 * k) * t + k)
        light += np.exp(-((across - x) ** 2 + (down - y) ** 2) / 0.18**2)
    return _lit(picture, light)


def _beams(picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    """Moving heads in haze: bright cones from above, which shine themselves."""
    if t < BEGINS_AT:
        return picture
    import cv2  # only whoever makes pictures needs it

    height, width = picture.shape[:2]
    glow = np.zeros((height // 4, width // 4), np.uint8)
    for k in range(5):
        angle = 0.7 * math.sin(2 * math.pi * (0.25 + 0.05 * k) * t + k)
        top = (k + 0.5) / 5 * width / 4
        foot = top + math.tan(angle) * height / 4
        corners = np.array(
            [(top - 2, 0), (top + 2, 0), (foot + 14, height / 4), (foot - 14, height / 4)]
        )
        cone = np.zeros_like(glow)
        cv2.fillConvexPoly(cone, corners.astype(np.int32), 60)
        glow = cv2.add(glow, cone)
    glow = cv2.resize(cv2.blur(glow, (5, 5)), (width, height))
    return np.asarray(cv2.add(_times(picture, 0.7), cv2.merge([glow] * 3)), np.uint8)


def _haze(picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    """A machine blows haze, which takes the contrast away and drifts in clouds."""
    if t < BEGINS_AT:
        return picture
    height, width = picture.shape[:2]
    down, across = np.mgrid[0 : height // 4, 0 : width // 4].astype(np.float32) * 4.0 / height
    clouds = np.sin(5.0 * across - 1.1 * t) * np.sin(4.0 * down + 0.7 * t) + 0.6 * np.sin(
        9.0 * across + 1.7 * t + 3.0 * down
    )
    thick = min(1.0, (t - BEGINS_AT) / 1.0) * (0.45 + 0.08 * clouds)
    import cv2  # only whoever makes pictures needs it

    thick = cv2.resize(np.asarray(thick, np.float32), (width, height))[..., None]
    hazy = picture * (1.0 - thick) + 150.0 * thick
    return np.asarray(np.clip(hazy, 0, 255), np.uint8)


def _torches(picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    """A dozen torches of telephones that twinkle, and now and then a camera's flash."""
    if t < BEGINS_AT:
        return picture
    import cv2  # only whoever makes pictures needs it

    height, width = picture.shape[:2]
    lit = picture.copy()
    for k in range(12):
        if math.sin(2 * math.pi * (0.7 + 0.13 * k) * t + k) > 0.0:
            place = (int(width * ((k * 0.37 + 0.1) % 1.0)), int(height * (0.25 + 0.04 * (k % 5))))
            cv2.circle(lit, place, max(2, height // 120), (255, 255, 255), -1)
    if (t - BEGINS_AT) % 0.8 < 0.04:
        lit = np.asarray(cv2.convertScaleAbs(lit, alpha=1.8, beta=20.0), np.uint8)
    return lit


TRICKS: Final[dict[str, Trick]] = {
    "none": _none,
    "blackout": _blackout,
    "exposure": _exposure,
    "spots": _spots,
    "beams": _beams,
    "haze": _haze,
    "torches": _torches,
}


def _times(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    if factor == 1.0:
        return picture
    import cv2  # only whoever makes pictures needs it

    return np.asarray(cv2.convertScaleAbs(picture, alpha=factor), np.uint8)


def _lit(picture: NDArray[np.uint8], light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture under a light, a factor for each place, given at any size."""
    import cv2  # only whoever makes pictures needs it

    height, width = picture.shape[:2]
    factor = cv2.resize(light, (width, height))[..., None]
    return np.asarray(np.clip(picture * factor, 0, 255), np.uint8)
