"""Numbers over flow fields: what counts as moving, what as camera, what as light."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.cells import (
    CELL,
    Cells,
    Levels,
    Moved,
    cell_change,
    cell_flow,
    compare,
    levels_of,
    noise_of,
)
from crowdstream.dsp.detail import detail_of
from crowdstream.dsp.motion import (
    FASTEST_SPEED,
    Signs,
    is_sharp,
    lit_share,
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


def some_levels(now: float = 100.0) -> Levels:
    """A lit, patterned picture."""
    return Levels(flat(now), flat(100), change=flat(abs(now - 100)), spread=flat(20))


def some_cells(change: float = 20.0) -> Cells:
    """A texture that changed everywhere by `change`."""
    return Cells(change=flat(change), rest=flat(change / 3))


def a_body(vx: float, vy: float, top: int = 8, left: int = 20) -> tuple[Field, Field]:
    """Flow of a block of 12 x 6 cells: its upper half goes one way, its lower half the other."""
    x, y = flat(0), flat(0)
    for half, sign in ((0, 1.0), (6, -1.0)):
        x[top + half : top + half + 6, left : left + 6] = sign * vx
        y[top + half : top + half + 6, left : left + 6] = sign * vy
    return x, y


def signs_of(
    x: Field,
    y: Field,
    cells: Cells | None = None,
    seconds: float = 0.1,
    *,
    levels: Levels | None = None,
    fine: Field | None = None,
    lit: bool = False,
) -> Signs:
    cells = cells or some_cells()
    moved = Moved(cells.change, flat(0) if fine is None else fine)
    return read_signs(
        x, y, levels or some_levels(), cells, moved,
        noise=0.5, camera_pixels=0.0, seconds=seconds, person_cells=13.5, lit=lit,
    )  # fmt: skip


def test_cells_average_the_flow_of_their_pixels() -> None:
    """Each cell is the mean of CELL x CELL pixels; what does not fill a cell is left out."""
    flow = np.zeros((7, 8, 2), np.float32)
    flow[:CELL, :CELL, 0] = 4.0
    flow[0, 0, 1] = 9.0
    x, y = cell_flow(flow)
    assert x.shape == (2, 2)
    assert (x[0, 0], x[0, 1], y[0, 0]) == (4.0, 0.0, 1.0)


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_estimated_while_half_the_picture_moves(sigma: float) -> None:
    """Within a third of the truth, in grey levels of the picture, though texture evens it out."""
    rng = np.random.default_rng(3)
    wall = a_wall().astype(float)
    now, then = (
        np.clip(np.rint(wall + rng.normal(0, sigma, wall.shape)), 0, 255).astype(np.uint8)
        for _ in range(2)
    )
    now[:, :80] = a_wall(5)[:, :80]
    levels = levels_of(now, then)
    (texture, _), (older, _) = detail_of(now), detail_of(then)
    assert noise_of(compare(texture, older, older, levels.spread)) == pytest.approx(sigma, rel=0.35)


@pytest.mark.parametrize("light", ["brighter", "beam"])
def test_what_became_brighter_with_its_detail_is_lit(light: str) -> None:
    """A third of the picture in a spot, which multiplies, or behind a beam, which adds."""
    wall = a_wall()
    lit = wall.astype(np.float64)
    lit[:, :53] = 1.25 * lit[:, :53] if light == "brighter" else lit[:, :53] + 40.0
    now = lit.clip(0, 255).astype(np.uint8)
    fine = [detail_of(picture)[1] for picture in (now, wall)]
    levels = levels_of(now, wall)
    assert lit_share(levels, cell_change(*fine)) == pytest.approx(0.33, abs=0.06)
    assert is_sharp(levels, cell_change(fine[0], np.full_like(now, 128)))


def test_what_moved_is_not_lit() -> None:
    """Another pattern in its place."""
    wall, now = a_wall(), a_wall()
    now[:, :53] = 0.6 * a_wall(3)[:, :53]
    fine = [detail_of(picture)[1] for picture in (now, wall)]
    assert lit_share(levels_of(now, wall), cell_change(*fine)) < 0.01


def test_out_of_focus_nothing_is_sharp() -> None:
    """Then bodies are as soft as light, and light cannot be told."""
    y, x = np.mgrid[0:90, 0:160]
    soft = (128 + 60 * np.sin(x / 3) * np.sin(y / 3)).astype(np.uint8)
    shown = cell_change(detail_of(soft)[1], np.full_like(soft, 128))
    assert not is_sharp(levels_of(soft, soft), shown)


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


def test_where_light_moves_only_what_took_its_detail_along_counts() -> None:
    """The same flow and the same change: of a body, and of a beam's edge."""
    flow = a_body(3, 0)
    gone, stayed = flat(0), flat(0)
    gone[8:20, 20:26], stayed[8:20, 20:26] = 20.0, 2.0
    body = signs_of(*flow, fine=gone, lit=True)
    assert body.moving_share == pytest.approx(72 / (ROWS * COLS))
    beam = signs_of(*flow, fine=stayed, lit=True)
    assert (beam.speed, beam.moving_share) == (0.0, 0.0)


def test_what_only_became_brighter_does_not_move() -> None:
    """What moves brightens one place and darkens another; a torch that goes on does not."""
    levels = some_levels()
    levels.now[8:20, 20:26] += 30.0
    levels.change[8:20, 20:26] = 30.0
    assert signs_of(*a_body(3, 0), levels=levels).speed == 0.0
    levels.now[8:20, 20:26] -= np.where(np.arange(12) % 2 < 1, 60.0, 0.0)[:, None]
    assert signs_of(*a_body(3, 0), levels=levels).speed > 0.1


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
    dark_share=0.1, resting_share=0.4, detail_share=0.9,
)  # fmt: skip


def test_an_ordinary_dance_is_believed() -> None:
    """Lit people in a room that stands still."""
    assert people_likelihood(A_DANCE, 0.7, 0.3) == 1.0
    assert sight(A_DANCE, 0.0, 0.1) == 1.0


@pytest.mark.parametrize("sign", [{"unexplained": 0.9}, {"lamp": 5.0}], ids=str)
def test_each_sign_of_light_alone_takes_the_belief_away(sign: dict[str, float]) -> None:
    """What the flow does not explain, what shines."""
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
        unexplained=st.floats(0, 3), lamp=st.floats(0, 60),
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
