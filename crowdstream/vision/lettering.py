"""Words in a picture, smooth at any size: OpenCV's own letters are drawn with a blunt pen."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Blue, green, red."""

MOST_LETTERS: Final = 60
"""A longer word is cut: what is drawn is names and numbers."""


def write(
    picture: NDArray[np.uint8],
    text: str,
    at: tuple[float, float],
    *,
    size: float,
    colour: Colour,
    anchor: str = "ls",
    share: float = 1.0,
) -> None:
    """Write into `picture`, shape (rows, cols, 3), in place; what lies outside is left out.

    `size` is the height of a line in pixels; `anchor` says what of the word stands at `at`: l, m
    or r (left, middle, right), then s, m or a (the base line, the middle, the top). `share` 0 to 1
    is how much of the colour covers what was there.
    """
    cover, above = _letters(text[:MOST_LETTERS], max(6, round(size)))
    rows, cols = cover.shape
    left = round(at[0] - {"l": 0.0, "m": cols / 2.0, "r": float(cols)}[anchor[0]])
    top = round(at[1] - {"s": float(above), "m": rows / 2.0, "a": 0.0}[anchor[1]])
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + cols), min(height, top + rows)
    if x0 >= x1 or y0 >= y1:
        return
    part = picture[y0:y1, x0:x1]
    alpha = cover[y0 - top : y1 - top, x0 - left : x1 - left, None] * np.float32(share)
    mixed = part * (1.0 - alpha) + np.array(colour, np.float32) * alpha
    part[:] = (mixed + 0.5).astype(np.uint8)


def width_of(text: str, size: float) -> int:
    """How wide the word is, in pixels."""
    return int(_letters(text[:MOST_LETTERS], max(6, round(size)))[0].shape[1])


@lru_cache(maxsize=1024)
def _letters(text: str, size: int) -> tuple[NDArray[np.float32], int]:
    """How much each pixel is covered, 0 to 1, and how many rows lie above the base line."""
    from PIL import Image, ImageDraw

    font = _font(size, text.isascii())
    ascent, descent = font.getmetrics()
    image = Image.new("L", (max(1, round(font.getlength(text))), max(1, ascent + descent)), 0)
    ImageDraw.Draw(image).text((0, ascent), text, fill=255, font=font, anchor="ls")
    return np.asarray(image, np.float32) / np.float32(255.0), int(ascent)


@lru_cache(maxsize=32)
def _font(size: int, ascii_only: bool) -> Any:  # noqa: FBT001
    """The one that comes with the library: no file is looked for, the same on every machine.

    It has the letters of English only; a zone may be called Tanzfläche.
    """
    from PIL import ImageFont

    spec = None if ascii_only else find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        wide = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if wide.is_file():
            return ImageFont.truetype(str(wide), round(0.92 * size))
    return ImageFont.load_default(size)
