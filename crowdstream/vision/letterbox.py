"""How a picture lies in a model's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRIDES: Final = (8, 16, 32)
"""Pixels of the input per cell of the three grids that the network looks at."""

LONG_SIDE: Final = 640
"""Pixels of the longer side of the input, when the model leaves the choice to us."""

MAX_ASPECT: Final = 4.0
"""A picture longer than this is padded: a sliver would leave the coarsest grid without cells."""

GREY: Final = 114
"""Colour of the padding; the networks were trained with it."""


def grids_of(input_width: int, input_height: int) -> list[tuple[int, int]]:
    """Rows and cells of the three grids over such an input, the finest first."""
    return [(input_height // stride, input_width // stride) for stride in STRIDES]


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies in the model's input: scaled as a whole, centred, padded with grey."""

    width: int
    """Of the picture, pixels."""

    height: int
    input_width: int
    input_height: int

    @classmethod
    def rectangle(cls, width: int, height: int) -> Letterbox:
        """The smallest input that holds the picture with its longer side at LONG_SIDE."""
        aspect = min(max(width / height, 1.0 / MAX_ASPECT), MAX_ASPECT)
        long, coarsest = LONG_SIDE, STRIDES[-1]
        # A hair is taken off, so that 359.9999 and 360.0001 do not become different inputs.
        short = math.ceil(long / max(aspect, 1.0 / aspect) / coarsest - 1e-6) * coarsest
        return cls(width, height, *((long, short) if aspect >= 1.0 else (short, long)))

    @property
    def scale(self) -> float:
        """Pixels of the input per pixel of the picture."""
        return min(self.input_width / self.width, self.input_height / self.height)

    @property
    def scaled(self) -> tuple[int, int]:
        """Width and height of the picture within the input, in its pixels."""
        return max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale))

    @property
    def corner(self) -> tuple[int, int]:
        """Where the picture's left upper corner lies in the input: x, y."""
        width, height = self.scaled
        return (self.input_width - width) // 2, (self.input_height - height) // 2

    def canvas(self) -> NDArray[np.uint8]:
        """An input full of grey, shape (1, input_height, input_width, 3), to `paint` on."""
        return np.full((1, self.input_height, self.input_width, 3), GREY, np.uint8)

    def paint(self, picture: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> None:
        """Scale `picture` into its place on `canvas`, in place."""
        import cv2  # only whoever looks at pictures needs it

        width, height = self.scaled
        left, top = self.corner
        place = canvas[0, top : top + height, left : left + width]
        if (width, height) == (self.width, self.height):
            place[:] = picture
        else:
            cv2.resize(picture, (width, height), dst=place, interpolation=cv2.INTER_LINEAR)

    def to_heights(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
        """Turn pixels of the input into picture heights, in place.

        Pixel edges, not centres: the picture's corner is (0, 0), as it is for every eye.
        """
        width, height = self.scaled
        left, top = self.corner
        x -= left
        # The picture was rounded to whole pixels; both axes are scaled by what became of them.
        x *= self.width / (width * self.height)
        y -= top
        y *= 1.0 / height
