"""What the light does, told within three pictures."""

from __future__ import annotations

import functools

import pytest

from crowdstream.vision.drawn import Crowd
from crowdstream.vision.drawn_light import BEGINS_AT, TRICKS, trick_of
from crowdstream.vision.drawn_picture import Painter
from crowdstream.vision.flow import MotionEye
from crowdstream.vision.grey import small_grey
from crowdstream.vision.light import LightWatch


@functools.cache
def lights(trick: str) -> list[tuple[float, str]]:
    """What is said of each picture of a dance under a trick."""
    crowd, painter, eye = (
        Crowd(people=8, energy=0.5, seed=4),
        Painter(320, 180, seed=4),
        MotionEye(),
    )
    play, said = trick_of(trick), []
    for frame in range(100):
        t = frame / 30
        picture = play(painter.paint(*crowd.joints(t), t), t)
        said.append((t, str(eye.look(small_grey(picture), t, 0).light)))
    return said


@pytest.mark.parametrize(
    ("trick", "wait", "words"),
    [
        ("strobe 2", 0.25, {"changing", "flashing", "dark"}),
        ("strobe 8", 0.0625, {"changing", "flashing"}),
        ("strobe 20", 0.025, {"changing", "flashing"}),
        ("blackout", 0.0, {"changing", "dark"}),
        ("exposure", 0.0, {"changing"}),
        ("haze", 1.0, {"hazy"}),
    ],
)
def test_it_is_said_within_three_pictures(trick: str, wait: float, words: set[str]) -> None:
    said = lights(trick)
    after = [light for t, light in said if t >= BEGINS_AT + wait - 1e-9]
    assert words & set(after[:4])
    assert {light for t, light in said if t < BEGINS_AT - 1e-9} == {"steady"}


def test_ordinary_light_is_steady() -> None:
    assert {light for _, light in lights("none")} == {"steady"}


def test_a_trick_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="no trick called fog"):
        trick_of("fog")
    assert "blackout" in TRICKS


def test_one_jump_is_a_change_and_three_are_a_strobe() -> None:
    watch = LightWatch()
    for frame in range(12):
        watch.see(frame / 30, 100.0 if frame < 5 else 60.0, 30.0)
    assert (watch.changing, watch.flashing) == (True, False)
    for frame in range(12, 24):
        watch.see(frame / 30, 100.0 if frame % 4 < 2 else 5.0, 30.0)
    assert watch.flashing
    for frame in range(24, 80):
        watch.see(frame / 30, 100.0, 30.0)
    assert (watch.changing, watch.flashing) == (False, False)
