"""The small grey picture that motion is measured on: the same from every source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crowdstream.packets import GREY_HEIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray


def small_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole picture, small and grey: shape (GREY_HEIGHT, about GREY_HEIGHT * width / height).

    `picture` has the shape (height, width, 3), BGR, or is one that `as_bgr` understands. Every
    pixel counts alike, so that sensor noise is averaged away and nothing flickers between the
    samples. The result is new memory.
    """
    import cv2  # only whoever looks at pictures needs it

    picture = as_bgr(picture)
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


def as_bgr(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """The same picture with three channels of 8 bits; one that has them is returned as it is.

    Takes grey pictures (two axes, or one channel), those with alpha (which is left out), 16 bits
    (the upper eight count) and shares of 1 (floating point; what is no number is black).

    Raises:
        ValueError: it is no picture.
    """
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.size == 0 or picture.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"picture: its shape is {picture.shape}; a picture has rows, columns and 1, 3 or 4"
            " channels"
        )
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    elif picture.dtype == np.bool_:
        picture = picture.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(picture.dtype, np.floating):
        shares = np.nan_to_num(picture, nan=0.0, posinf=1.0, neginf=0.0)
        picture = np.asarray(np.clip(shares, 0.0, 1.0) * 255.0 + 0.5, np.uint8)
    elif picture.dtype != np.uint8:
        picture = np.clip(picture, 0, 255).astype(np.uint8)
    if picture.shape[2] == 1:
        picture = np.repeat(picture, 3, axis=2)
    elif picture.shape[2] == 4:
        picture = np.ascontiguousarray(picture[:, :, :3])
    return picture
