"""What is drawn of a crowd: on black, steady, and nothing of the picture that was not asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.testing.bodies import bodies
from crowdstream.vision.legend import Legend, draw_legend
from crowdstream.vision.lettering import width_of, write
from crowdstream.vision.overlay import Scene, ZoneShape, draw

SIZES = [(640, 360), (1280, 720), (360, 640), (480, 360)]


def somebody(x: float) -> NDArray[np.float32]:
    """One standing person, shape (17, 3), 0.7 of the picture high."""
    person: NDArray[np.float32] = bodies(1, 0.0, torso=0.22)[0]
    person[:, 0] += x - person[:, 0].mean()
    person[:, 1] += 0.1 - person[:, 1].min()
    return person


def a_scene(*people: NDArray[np.float32], **facts: Any) -> Scene:
    keypoints = np.array(people, np.float32).reshape(-1, 17, 3)
    scene = Scene(aspect=16 / 9, keypoints=keypoints, ids=np.arange(1, len(people) + 1))
    return replace(scene, **facts)


def a_legend() -> Legend:
    ago = np.linspace(12.0, 0.0, 100)
    history = np.column_stack([ago, 0.5 + 0.3 * np.sin(ago), np.full(100, 0.4)])
    return Legend(
        seconds=73.4, level=0.64, drive=0.58, people=7, groove_bpm=121.0, bpm=123.0,
        eyes=("motion", "pose"), state="flashing", history=history,
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_without_people_it_is_black(size: tuple[int, int]) -> None:
    drawn = draw(a_scene(), size)
    assert drawn.shape == (size[1], size[0], 3)
    assert not drawn.any()


def test_a_person_is_drawn_where_the_joints_are() -> None:
    drawn = draw(a_scene(somebody(0.5)), (640, 360))
    bright = drawn.max(axis=2) > 100
    rows, cols = np.nonzero(bright)
    # 0.1 to 0.8 of 360 rows, about column 0.5 * 360, and an id above the head.
    assert 0.0 <= rows.min() and 280 < rows.max() < 300
    assert 110 < cols.min() and cols.max() < 250


def test_ids_have_colours_of_their_own_that_stay() -> None:
    one = draw(a_scene(somebody(0.5)), (640, 360))
    same = draw(a_scene(somebody(0.5)), (640, 360))
    other = draw(replace(a_scene(somebody(0.5)), ids=np.array([2])), (640, 360))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_joints_that_are_not_seen_or_not_finite_are_left_out() -> None:
    hidden, broken = somebody(0.5), somebody(0.5)
    hidden[:, 2] = 0.1
    broken[:, 0] = np.nan
    far = somebody(1e30)
    assert not draw(a_scene(hidden, broken, far), (640, 360)).any()


def test_the_picture_is_under_it_only_where_it_is_handed_in() -> None:
    picture = np.full((360, 640, 3), 200, np.uint8)
    assert draw(a_scene(), (640, 360), picture).min() > 100


def test_a_picture_of_another_shape_lies_in_the_middle() -> None:
    picture = np.full((200, 200, 3), 200, np.uint8)
    drawn = draw(replace(a_scene(), aspect=1.0), (640, 360), picture)
    assert not drawn[:, :139].any() and not drawn[:, 501:].any()
    assert drawn[:, 141:499].min() > 100


def test_arrows_are_longer_and_brighter_the_faster_it_flows() -> None:
    slow, fast = (np.zeros((10, 18, 2), np.float32) for _ in range(2))
    slow[5, 9], fast[5, 9] = (0.05, 0.0), (1.0, 0.0)
    sums = [int(draw(a_scene(flow=flow), (640, 360)).sum()) for flow in (slow, fast)]
    assert 0 < sums[0] < sums[1] / 2


def test_an_arrow_points_where_it_flows() -> None:
    flow = np.zeros((10, 18, 2), np.float32)
    flow[5, 9] = (0.8, 0.0)
    drawn = draw(a_scene(flow=flow), (1280, 720)).max(axis=2).astype(float)
    _, cols = np.nonzero(drawn > 0)
    thickness = (drawn > 60).sum(axis=0)
    middle = (cols.min() + cols.max()) / 2
    assert thickness.argmax() > middle  # the head is to the right


def test_zones_are_drawn_with_their_names_and_brighter_with_energy() -> None:
    corners = ((0.1, 0.1), (0.6, 0.1), (0.6, 0.6), (0.1, 0.6))
    sums = [
        int(draw(a_scene(zones=(ZoneShape("Tanzfläche", corners, energy),)), (640, 360)).sum())
        for energy in (0.0, 1.0)
    ]
    assert 0 < sums[0] < sums[1]


def test_a_zone_of_two_corners_is_no_zone() -> None:
    assert not draw(a_scene(zones=(ZoneShape("x", ((0.1, 0.1), (0.2, 0.2))),)), (640, 360)).any()


@pytest.mark.parametrize("size", SIZES)
def test_the_legend_keeps_to_the_bottom_and_the_time(size: tuple[int, int]) -> None:
    width, height = size
    unit = min(size) / 360
    drawn = draw(a_scene(legend=a_legend()), size)
    strip = round(132 * unit if width < 470 * unit else 80 * unit)
    above = drawn[: height - strip].copy()
    above[: round(40 * unit), width - round(80 * unit) :] = 0
    assert not above.any()
    assert drawn[height - strip :].max() > 200


def test_what_is_not_known_is_said_so_and_not_invented() -> None:
    empty, zero = (np.zeros((360, 640, 3), np.uint8) for _ in range(2))
    draw_legend(empty, Legend())
    draw_legend(zero, Legend(level=0.0, drive=0.0, people=0))
    assert not np.array_equal(empty, zero)


def test_a_legend_of_numbers_that_are_not_finite_is_drawn_as_unknown() -> None:
    known, unknown = (np.zeros((360, 640, 3), np.uint8) for _ in range(2))
    draw_legend(known, Legend())
    draw_legend(unknown, Legend(level=math.nan, drive=math.inf, bpm=math.nan))
    assert np.array_equal(known, unknown)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(16, 400),
    st.integers(16, 400),
    st.floats(0.1, 10.0),
    st.integers(0, 3),
    st.integers(0, 2**31),
)
def test_anything_can_be_drawn_at_any_size(
    width: int, height: int, aspect: float, people: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    keypoints = rng.normal(0.5, 1.0, (people, 17, 3)).astype(np.float32)
    scene = Scene(
        aspect=aspect, keypoints=keypoints, ids=rng.integers(0, 2**60, people),
        flow=rng.normal(0, 1, (10, 4, 2)).astype(np.float32), legend=a_legend(),
        zones=(ZoneShape("a", ((-0.5, 0.0), (1.5, 0.2), (0.4, 1.8)), 0.5, seed % 2 == 0),),
    )  # fmt: skip
    drawn = draw(scene, (width, height))
    assert drawn.shape == (height, width, 3) and drawn.dtype == np.uint8


def test_words_are_cut_at_the_edge_and_cover_nothing_outside() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    for at in ((-500, 20), (20, -500), (500, 20), (20, 500)):
        write(picture, "0.64", at, size=12, colour=(255, 255, 255))
    assert not picture.any()
    write(picture, "0.64", (30, 20), size=12, colour=(255, 255, 255))
    assert picture.max() > 200
    assert width_of("00", 12) > width_of("0", 12)
