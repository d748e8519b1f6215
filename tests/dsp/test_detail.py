"""The detail of a picture: what light leaves of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.dsp.detail import CONTRAST, FINE, PLAIN, REACH, detail_of

Grey = NDArray[np.uint8]


def a_wall(low: int = 40, high: int = 160) -> Grey:
    return np.random.default_rng(0).integers(low, high, (40, 60), dtype=np.uint8)


def test_it_is_the_distance_from_the_mean_over_the_contrast() -> None:
    """In the middle and in a corner, as the docstring says."""
    wall = a_wall()
    texture, fine = detail_of(wall)
    for row, col in ((20, 30), (0, 0)):
        patch = wall[max(0, row - REACH) : row + REACH + 1, max(0, col - REACH) : col + REACH + 1]
        near = wall[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2]
        spread = patch.std() + PLAIN
        level = float(wall[row, col])
        for found, scale, around in ((texture, CONTRAST, patch.mean()), (fine, FINE, near.mean())):
            expected = min(255.0, max(0.0, 128.5 + scale * (level - around) / spread))
            assert found[row, col] == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("light", ["more", "half", "slope"])
def test_light_leaves_the_detail(light: str) -> None:
    """What is added, what multiplies, and what grows across the picture."""
    wall = a_wall()
    more = {
        "more": wall + 60.0,
        "half": wall * 0.5,
        "slope": wall + np.linspace(0.0, 60.0, 60)[None],
    }[light]
    for now, then in zip(detail_of(more.astype(np.uint8)), detail_of(wall), strict=True):
        # Detail deviates by 20 to 60 levels; a third of them is the contrast that PLAIN adds.
        assert np.abs(now.astype(float) - then).mean() < 6.0


def test_a_plain_picture_has_none() -> None:
    """Whatever its brightness, and however small it is."""
    for level, shape in ((0, (90, 160)), (255, (90, 160)), (7, (1, 1)), (90, (2, 9))):
        for found in detail_of(np.full(shape, level, np.uint8)):
            assert found.shape == shape
            assert (found == 128).all()


def test_a_soft_edge_shows_next_to_no_fine_detail() -> None:
    """As of a beam in haze, over eight pixels, and of a sleeve."""
    ramp = np.clip((np.arange(60) - 26.0) / 8.0, 0.0, 1.0)
    soft = np.tile(80.0 + 80.0 * ramp, (40, 1)).astype(np.uint8)
    sharp = np.where(np.arange(60) < 30, 80, 160).astype(np.uint8)[None].repeat(40, axis=0)
    fine = [np.abs(detail_of(picture)[1].astype(int) - 128).max() for picture in (soft, sharp)]
    assert fine[1] >= 3 * fine[0]
