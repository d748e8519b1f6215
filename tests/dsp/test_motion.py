"""Numbers over flow fields: what counts as moving, what as camera, what as light."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.motion import (
    CELL,
    FASTEST_SPEED,
    Cells,
    Signs,
    cell_change,
    cell_flow,
    compare,
    noise_of,
    people_likelihood,
    read_signs,
    sight,
    speed_of,
)

Field = NDArray[np.float32]

ROWS, COLS = 30, 53


def a_wall(seed: int = 0, rows: int = 90, cols: int = 160) -> NDArray[np.uint8]:
    """A picture with a pattern everywhere."""
    return np.random.default_rng(seed).integers(40, 200, (rows, cols), dtype=np.uint8)


def flat(value: float) -> Field:
    return np.full((ROWS, COLS), value, np.float32)


def some_cells(change: float = 20.0, likeness: float = 0.0) -> Cells:
    """A lit, patterned picture that changed everywhere by `change`."""
    return Cells(
        now=flat(100), then=flat(100), spread=flat(20), likeness=flat(likeness),
        change=flat(change), rest=flat(change / 3),
    )  # fmt: skip


def a_body(vx: float, vy: float, top: int = 8, left: int = 20) -> tuple[Field, Field]:
    """Flow of a block of 12 x 6 cells: its upper half goes one way, its lower half the other."""
    x, y = flat(0), flat(0)
    for half, sign in ((0, 1.0), (6, -1.0)):
        x[top + half : top + half + 6, left : left + 6] = sign * vx
        y[top + half : top + half + 6, left : left + 6] = sign * vy
    return x, y


def signs_of(x: Field, y: Field, cells: Cells | None = None, seconds: float = 0.1) -> Signs:
    cells = cells or some_cells()
    return read_signs(
        x, y, cells, cells.change,
        noise=0.5, camera_pixels=0.0, seconds=seconds, person_cells=13.5,
    )  # fmt: skip


def test_cells_average_the_flow_of_their_pixels() -> None:
    """Each cell is the mean of CELL x CELL pixels; what does not fill a cell is left out."""
    flow = np.zeros((7, 8, 2), np.float32)
    flow[:CELL, :CELL, 0] = 4.0
    flow[0, 0, 1] = 9.0
    x, y = cell_flow(flow)
    assert x.shape == (2, 2)
    assert (x[0, 0], x[0, 1], y[0, 0]) == (4.0, 0.0, 1.0)


def test_likeness_does_not_mind_brightness() -> None:
    """The same pattern, half as bright, is alike; another pattern is not."""
    wall = a_wall()
    dimmed = (wall // 2).astype(np.uint8)
    assert compare(wall, dimmed, dimmed).likeness.min() > 0.9
    assert abs(compare(wall, a_wall(1), a_wall(1)).likeness.mean()) < 0.2


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_estimated_while_half_the_picture_moves(sigma: float) -> None:
    """Within a third of the truth."""
    rng = np.random.default_rng(3)
    wall = a_wall().astype(float)
    now, then = (
        np.clip(np.rint(wall + rng.normal(0, sigma, wall.shape)), 0, 255).astype(np.uint8)
        for _ in range(2)
    )
    now[:, :80] = a_wall(5)[:, :80]
    assert noise_of(compare(now, then, then)) == pytest.approx(sigma, rel=0.35)


def test_change_is_the_mean_difference() -> None:
    """In grey levels, without the wrap-around of bytes."""
    now, then = np.full((6, 6), 10, np.uint8), np.full((6, 6), 250, np.uint8)
    assert (cell_change(now, then) == 240.0).all()


def test_one_dancer_and_three_alike_read_alike() -> None:
    """It is a mean over what moves."""
    one = signs_of(*a_body(3, 0))
    x, y = flat(0), flat(0)
    for left in (2, 20, 40):
        body_x, body_y = a_body(3, 0, left=left)
        x, y = x + body_x, y + body_y
    three = signs_of(x, y)
    assert three.moving_share == pytest.approx(3 * one.moving_share)
    assert three.speed == pytest.approx(one.speed, rel=0.02)


def test_walking_reads_less_than_dancing() -> None:
    """A body that goes sideways as a whole reads a fraction of one whose halves oppose."""
    x, y = flat(0), flat(0)
    x[8:20, 20:26] = 3.0
    assert signs_of(x, y).speed < 0.2 * signs_of(*a_body(3, 0)).speed


def test_bouncing_counts() -> None:
    """A body that goes up as a whole is the bounce of v."""
    x, y = flat(0), flat(0)
    y[8:20, 20:26] = 3.0
    # 3 pixels of 90 rows in 0.1 s, in picture heights per second
    assert signs_of(x, y).speed == pytest.approx(3 / 90 / 0.1, rel=0.05)


def test_flow_without_change_of_the_picture_is_nothing() -> None:
    """Flow is smooth and spills; only where the picture changed it counts."""
    signs = signs_of(*a_body(3, 0), some_cells(change=1.0))
    assert (signs.speed, signs.moving_share) == (0.0, 0.0)


def test_what_was_only_lit_does_not_move() -> None:
    """The pattern stayed and its brightness changed: no movement, and it is said so."""
    cells = some_cells(change=30.0, likeness=0.99)._replace(now=flat(130))
    signs = signs_of(*a_body(3, 0), cells)
    assert signs.speed == 0.0
    assert signs.relit_share == pytest.approx(1.0)


@given(st.floats(0.03, 0.4))
@settings(max_examples=20, deadline=None)
def test_steady_movement_reads_the_same_over_any_time(seconds: float) -> None:
    """Twice the pixels in twice the time is the same speed (but for the cut of a swing)."""
    shift = 40 * seconds
    speed = signs_of(*a_body(shift, 0), seconds=seconds).speed
    expected = signs_of(*a_body(4, 0)).speed * (seconds / 0.1) ** 0.3
    assert speed == pytest.approx(expected, rel=1e-3)


@given(st.floats(0, 50), st.floats(0, 50))
def test_speed_is_monotone_and_bounded(one: float, other: float) -> None:
    """More flow is never less movement, and nobody is faster than a body can be."""
    low, high = sorted((one, other))
    assert 0.0 <= speed_of(low) <= speed_of(high) <= FASTEST_SPEED


A_DANCE = Signs(
    speed=0.15, moving_share=0.3, changed_share=0.2, unexplained=0.5, lamp=1.3,
    relit_share=0.05, dark_share=0.1, resting_share=0.4, detail_share=0.9,
)  # fmt: skip


def test_an_ordinary_dance_is_believed() -> None:
    """Lit people in a room that stands still."""
    assert people_likelihood(A_DANCE, 0.7, 0.3) == 1.0
    assert sight(A_DANCE, 0.0, 0.1) == 1.0


@pytest.mark.parametrize(
    "sign", [{"unexplained": 0.9}, {"lamp": 5.0}, {"relit_share": 0.6}], ids=str
)
def test_each_sign_of_light_alone_takes_the_belief_away(sign: dict[str, float]) -> None:
    """What the flow does not explain, what shines, what was only lit."""
    assert people_likelihood(A_DANCE._replace(**sign), 0.7, 0.3) == 0.0


def test_a_few_changed_cells_prove_nothing() -> None:
    """Signs of light in next to no changed area are not believed."""
    sign = A_DANCE._replace(changed_share=0.004, unexplained=0.9, lamp=5.0)
    assert people_likelihood(sign, 0.7, 0.3) == 1.0


def test_a_dark_room_where_nothing_stands_still_is_not_believed() -> None:
    """A lit one full of people half is."""
    dark = A_DANCE._replace(dark_share=0.7, resting_share=0.0)
    lit = A_DANCE._replace(dark_share=0.1, resting_share=0.0)
    assert people_likelihood(dark, 0.1, 0.3) == 0.0
    assert people_likelihood(lit, 0.1, 0.3) == pytest.approx(0.6)


def test_nobody_is_that_fast() -> None:
    """Bodies of light may be."""
    assert people_likelihood(A_DANCE, 0.7, 2.0) < 0.3


shares = st.floats(0, 1)


@given(
    st.builds(
        Signs, speed=st.floats(0, 20), moving_share=shares, changed_share=shares,
        unexplained=st.floats(0, 3), lamp=st.floats(0, 60), relit_share=shares,
        dark_share=shares, resting_share=shares, detail_share=shares,
    ),
    shares, st.floats(0, 20), st.floats(0, 20), st.floats(0.001, 0.6),
)  # fmt: skip
def test_confidences_are_shares(
    signs: Signs, room: float, flow: float, camera: float, seconds: float
) -> None:
    """Whatever was seen, 0 to 1."""
    for value in (people_likelihood(signs, room, flow), sight(signs, camera, seconds)):
        assert 0.0 <= value <= 1.0
        assert math.isfinite(value)
