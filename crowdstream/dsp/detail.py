"""The detail of a small grey picture, with its light taken out.

Light adds to a picture, or multiplies it, smoothly; what is there has edges. So the local mean is
taken away and the local contrast evened out: what is left of a wall, a dancer or a sleeve looks
alike under a spot, beside it, behind a beam in haze and in half the light. Flow is measured on
this `texture`.

The edge of a beam is left in it too, but a soft one, where the edges of bodies are as sharp as the
picture can show. So beside it stands what is `fine`: detail of a pixel or two, as a share of the
contrast around it. What moves takes its fine detail along; over what is only lit it stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH: Final = 4
"""The local mean and contrast are those of so many pixels to each side."""

PLAIN: Final = 6.0
"""Contrast (deviation of grey levels) that is added to the local one: less is mostly noise."""

CONTRAST: Final = 24.0
"""Deviation that the texture has where the picture is rich in contrast, in grey levels."""

FINE: Final = 64.0
"""Grey levels of `fine` for detail as large as the contrast around it."""


@njit("UniTuple(uint8[:,::1], 2)(uint8[:,::1])", cache=True, nogil=True, error_model="numpy")
def detail_of(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Texture and fine detail of a picture; both of its shape, 128 where there is none."""
    rows, cols = picture.shape
    texture = np.empty((rows, cols), np.uint8)
    fine = np.empty((rows, cols), np.uint8)
    # Sums over the rows within reach, of each column; then over the columns within reach. Plain
    # loops over a row each, which the compiler does many at a time.
    sums = np.zeros(cols, np.int32)
    squares = np.zeros(cols, np.int32)
    near = np.zeros(cols, np.int32)
    wide = np.zeros(cols, np.int32)
    wide_squares = np.zeros(cols, np.int32)
    close = np.zeros(cols, np.int32)
    wide_count = np.zeros(cols, np.float32)
    close_count = np.zeros(cols, np.float32)
    for col in range(cols):
        wide_count[col] = min(cols, col + REACH + 1) - max(0, col - REACH)
        close_count[col] = min(cols, col + 2) - max(0, col - 1)
    for row in range(rows):
        top = max(0, row - REACH)
        bottom = min(rows, row + REACH + 1)
        sums[:] = 0
        squares[:] = 0
        near[:] = 0
        for y in range(top, bottom):
            for col in range(cols):
                value = np.int32(picture[y, col])
                sums[col] += value
                squares[col] += value * value
        close_top = max(0, row - 1)
        close_bottom = min(rows, row + 2)
        for y in range(close_top, close_bottom):
            for col in range(cols):
                near[col] += np.int32(picture[y, col])
        wide[:] = sums
        wide_squares[:] = squares
        close[:] = near
        for aside in range(1, REACH + 1):
            for col in range(cols - aside):
                wide[col] += sums[col + aside]
                wide_squares[col] += squares[col + aside]
            for col in range(aside, cols):
                wide[col] += sums[col - aside]
                wide_squares[col] += squares[col - aside]
        for col in range(cols - 1):
            close[col] += near[col + 1]
        for col in range(1, cols):
            close[col] += near[col - 1]
        height = np.float32(bottom - top)
        close_height = np.float32(close_bottom - close_top)
        for col in range(cols):
            level = np.float32(picture[row, col])
            each = np.float32(1.0) / (height * wide_count[col])
            mean = np.float32(wide[col]) * each
            spread = np.sqrt(
                max(np.float32(0.0), np.float32(wide_squares[col]) * each - mean * mean)
            ) + np.float32(PLAIN)
            around = np.float32(close[col]) / (close_height * close_count[col])
            smooth = np.float32(128.5) + np.float32(CONTRAST) * (level - mean) / spread
            sharp = np.float32(128.5) + np.float32(FINE) * (level - around) / spread
            texture[row, col] = np.uint8(min(np.float32(255.0), max(np.float32(0.0), smooth)))
            fine[row, col] = np.uint8(min(np.float32(255.0), max(np.float32(0.0), sharp)))
    return texture, fine
