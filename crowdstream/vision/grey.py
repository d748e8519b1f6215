"""The small grey picture that motion is measured on: the same from every source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crowdstream.packets import GREY_HEIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray


def small_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole picture, small and grey: shape (GREY_HEIGHT, about GREY_HEIGHT * width / height).

    `picture` has the shape (height, width, 3), BGR. Every pixel counts alike, so that sensor
    noise is averaged away and nothing flickers between the samples. The result is new memory.
    """
    import cv2  # only whoever looks at pictures needs it

    height, width = picture.shape[:2]
    small = (max(1, round(GREY_HEIGHT * width / height)), GREY_HEIGHT)
    # Halving first is three times as fast as the whole way at once, and gives the same means.
    while height >= 2 * GREY_HEIGHT and min(height, width) > 1:
        height, width = height // 2, width // 2
        halved = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        picture = np.asarray(halved, np.uint8)
    if (width, height) != small:
        way = cv2.INTER_AREA if height > GREY_HEIGHT else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, small, interpolation=way), np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
