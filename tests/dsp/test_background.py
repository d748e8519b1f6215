"""The light's gain and the camera's movement are found behind people who move."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.background import fit_camera, fit_gain, without_camera
from crowdstream.dsp.cells import CELL

Field = NDArray[np.float32]

ROWS, COLS = 30, 53


def a_wall(seed: int = 0, rows: int = 90, cols: int = 160) -> NDArray[np.uint8]:
    """A picture with a pattern everywhere."""
    return np.random.default_rng(seed).integers(40, 200, (rows, cols), dtype=np.uint8)


def flat(value: float) -> Field:
    return np.full((ROWS, COLS), value, np.float32)


@given(st.floats(0.5, 1.9), st.floats(-20, 20))
@settings(max_examples=25, deadline=None)
def test_a_change_of_exposure_is_found(gain: float, offset: float) -> None:
    """Gain and offset of the whole picture come back, clipped pixels or not."""
    wall = a_wall()
    now = np.clip(np.rint(wall * gain + offset), 0, 255).astype(np.uint8)
    found_gain, found_offset = fit_gain(wall, now)
    expected = wall * gain + offset
    inside = (expected > 5) & (expected < 250)
    error = np.abs(found_gain * wall + found_offset - expected)[inside]
    # A step too small to see is left alone.
    assert error.mean() < 2.0


def test_people_who_move_do_not_look_like_a_change_of_exposure() -> None:
    """A third of the picture replaced: the rest still says that the light is the same."""
    now = a_wall()
    now[20:80, 40:100] = a_wall(1)[20:80, 40:100] // 2
    assert fit_gain(a_wall(), now) == (1.0, 0.0)


def test_a_plain_black_picture_has_no_exposure() -> None:
    """Nothing to go by: no gain, no offset."""
    black = np.zeros((90, 160), np.uint8)
    assert fit_gain(black, black) == (1.0, 0.0)
    assert fit_gain(black, a_wall()) == (1.0, 0.0)


@given(
    st.floats(-4, 4), st.floats(-4, 4), st.floats(-0.04, 0.04), st.floats(-0.04, 0.04),
    st.integers(0, 20),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_the_camera_is_found_behind_people(
    pan: float, tilt: float, zoom: float, roll: float, left: int
) -> None:
    """A quarter of the picture moves by itself; the affine flow of the rest comes back."""
    down, across = np.mgrid[:ROWS, :COLS].astype(np.float32)
    down, across = down - ROWS / 2, across - COLS / 2
    x = (pan + zoom * across - roll * down).astype(np.float32)
    y = (tilt + roll * across + zoom * down).astype(np.float32)
    x[5:28, left : left + 18] += 3.0
    y[5:28, left : left + 18] -= 2.0
    camera, follows, _still = fit_camera(x, y, flat(1))
    rest_x, rest_y, fresh = without_camera(x, y, camera)
    background = ~fresh
    background[5:28, left : left + 18] = False
    assert follows > 0.7
    assert np.abs(rest_x[background]).max() < 0.2
    assert np.abs(rest_y[background]).max() < 0.2


def test_where_nothing_can_be_followed_the_camera_stands_still() -> None:
    """No pattern, no weight, no camera movement."""
    camera, follows, still = fit_camera(flat(3), flat(3), flat(0))
    assert not camera.any()
    assert (follows, still) == (1.0, 1.0)


def test_what_comes_into_view_is_left_out() -> None:
    """The camera pans by two cells: the edge where the new picture appears has no flow."""
    camera = np.array([-2.0 * CELL, 0, 0, 0, 0, 0])
    x, _y, fresh = without_camera(flat(-2.0 * CELL), flat(0), camera)
    assert fresh[:, :4].all()
    assert not fresh[:, 6:].any()
    assert not x.any()
