"""The small grey picture."""

from __future__ import annotations

import numpy as np
import pytest

from crowdstream.packets import GREY_HEIGHT
from crowdstream.vision.grey import small_grey


@pytest.mark.parametrize(
    ("size", "width"),
    [((1280, 720), 320), ((1920, 1080), 320), ((960, 540), 320), ((640, 480), 240),
     ((320, 180), 320), ((160, 90), 320), ((405, 720), 101), ((1, 1000), 1)],
)  # fmt: skip
def test_the_shape_keeps_the_aspect(size: tuple[int, int], width: int) -> None:
    """Whatever the picture's size, rows are GREY_HEIGHT and columns follow the aspect."""
    grey = small_grey(np.zeros((size[1], size[0], 3), np.uint8))
    assert grey.shape == (GREY_HEIGHT, width)
    assert grey.dtype == np.uint8


@pytest.mark.parametrize("size", [(1280, 720), (960, 540), (1000, 700)])
def test_every_pixel_counts(size: tuple[int, int]) -> None:
    """Stripes one pixel wide become their mean, not one of their colours."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[:, ::2] = 200
    picture[::2, :] ^= 200
    grey = small_grey(picture).astype(int)
    assert abs(grey.mean() - 100.0) < 2.0
    assert grey[2:-2, 2:-2].std() < 45.0


def test_the_result_is_its_own_memory() -> None:
    """The grey picture outlives the slot that the picture lies in."""
    picture = np.full((180, 320, 3), 90, np.uint8)
    grey = small_grey(picture)
    picture[:] = 0
    assert (grey == 90).all()
