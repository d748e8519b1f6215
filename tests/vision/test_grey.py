"""The small grey picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.packets import GREY_HEIGHT
from crowdstream.vision.grey import as_bgr, small_grey


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


def a_picture() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_an_ordinary_picture_is_not_copied() -> None:
    picture = a_picture()
    assert as_bgr(picture) is picture


@pytest.mark.parametrize(
    "kind",
    [
        lambda p: p[:, :, 0],
        lambda p: p[:, :, :1],
        lambda p: np.dstack([p, p[:, :, :1]]),
        lambda p: p.astype(np.uint16) * 257,
        lambda p: p.astype(np.float32) / 255.0,
        lambda p: p[:, :, 0] > 99,
        lambda p: p.astype(np.int32) * 3 - 200,
        lambda p: np.full_like(p, np.nan, np.float64),
        lambda p: p[:1, :1],
    ],
    ids=["grey", "one_channel", "alpha", "16_bit", "shares", "bool", "int", "nan", "1x1"],
)
def test_any_picture_is_one_of_bytes(kind: Callable[[Any], Any]) -> None:
    """Grey, 16 bits, alpha: as bright as it was, and never a crash."""
    picture = as_bgr(kind(a_picture()))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert small_grey(kind(a_picture())).shape[0] == GREY_HEIGHT
    if kind(a_picture()).dtype in (np.uint16, np.float32):
        assert np.array_equal(picture, a_picture())


@pytest.mark.parametrize("shape", [(5,), (4, 4, 2), (0, 10, 3), (2, 2, 3, 1)])
def test_what_is_no_picture_is_said(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="its shape is"):
        as_bgr(np.zeros(shape, np.uint8))
