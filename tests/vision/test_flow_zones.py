"""The eye without a model, where parts of the picture do not count."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.dsp.zones import Area, ZoneMap
from crowdstream.vision.drawn import Crowd
from crowdstream.vision.drawn_picture import Painter
from crowdstream.vision.flow import MotionEye, MotionReading
from crowdstream.vision.grey import small_grey

WALL = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.42), (0.0, 0.42))
ZONES = ZoneMap([Area("wall", WALL, ignore=True)])
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
RIGHT = ((0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0))  # flow spills over a little


def pictures(energy: float, *, people: int = 12, seconds: float = 2.0) -> list[NDArray[np.uint8]]:
    crowd, painter = Crowd(people=people, energy=energy, seed=3), Painter(640, 360, seed=3)
    shown = []
    for n in range(round(seconds * 20)):
        truth = crowd.truth(n / 20)
        shown.append(small_grey(painter.paint(truth.joints, truth.ids, n / 20)))
    return shown


def watch(eye: MotionEye, shown: list[NDArray[np.uint8]]) -> list[MotionReading]:
    return [eye.look(picture, n / 20, 0) for n, picture in enumerate(shown)]


@pytest.fixture(scope="module")
def floor() -> list[NDArray[np.uint8]]:
    return pictures(0.5)


@pytest.fixture(scope="module")
def video() -> list[NDArray[np.uint8]]:
    """What plays on the wall: dancers, in flashing light."""
    return [
        np.clip(picture.astype(int) * (2 if n % 3 else 1), 0, 255).astype(np.uint8)
        for n, picture in enumerate(pictures(1.0, people=20))
    ]


def with_wall(
    floor: list[NDArray[np.uint8]], wall: list[NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    shown = []
    for picture, playing in zip(floor, wall, strict=True):
        both = picture.copy()
        rows = int(0.42 * both.shape[0])
        both[:rows] = playing[-rows:]
        shown.append(both)
    return shown


def test_a_wall_that_is_ignored_changes_nothing(
    floor: list[NDArray[np.uint8]], video: list[NDArray[np.uint8]]
) -> None:
    """A video of dancers, a dark wall and a white one: the same to the last digit."""
    black, white = ([np.full_like(p, level) for p in video] for level in (0, 255))
    readings = [
        watch(MotionEye(zones=ZONES), with_wall(floor, wall)) for wall in (video, black, white)
    ]
    assert readings[0] == readings[1] == readings[2]
    assert np.mean([r.speed for r in readings[0][10:]]) > 0.1
    seeing = [watch(MotionEye(), with_wall(floor, wall)) for wall in (video, black)]
    assert seeing[0] != seeing[1]


def test_what_is_left_reads_like_the_same_crowd_seen_alone(
    floor: list[NDArray[np.uint8]],
) -> None:
    """Ignoring a plain wall takes nothing of the dance, nor of the trust in it."""
    plain = watch(MotionEye(), with_wall(floor, [np.full_like(p, 60) for p in floor]))[10:]
    ignored = watch(MotionEye(zones=ZONES), floor)[10:]
    assert np.mean([r.speed for r in ignored]) == pytest.approx(
        np.mean([r.speed for r in plain]), rel=0.15
    )
    assert np.mean([r.confidence for r in ignored]) > 0.8 * np.mean([r.confidence for r in plain])


def test_each_zone_has_its_own_speed(floor: list[NDArray[np.uint8]]) -> None:
    half = []
    for picture in floor:
        still = floor[0].copy()
        still[:, : still.shape[1] // 2] = picture[:, : still.shape[1] // 2]
        half.append(still)
    zones = ZoneMap([Area("left", LEFT), Area("right", RIGHT)])
    left, right = np.mean([r.zones for r in watch(MotionEye(zones=zones), half)[10:]], axis=0)
    assert left > 0.1
    assert right < left / 10
    outside = ZoneMap([Area("left", LEFT), Area("right", RIGHT, floor=True)])
    readings = watch(MotionEye(zones=outside), half)[10:]
    assert np.mean([r.zones[0] for r in readings]) == pytest.approx(left, rel=0.1)
    assert np.mean([r.speed for r in readings]) < left / 10


def test_a_picture_of_another_size_and_one_that_is_ignored_whole_are_sound() -> None:
    everything = ZoneMap([Area("all", ((0, 0), (1, 0), (1, 1), (0, 1)), ignore=True)])
    for zones in (ZONES, everything):
        eye, rng = MotionEye(zones=zones), np.random.default_rng(1)
        for n, size in enumerate([(180, 320)] * 4 + [(180, 101)] * 4 + [(12, 12)] * 3):
            reading = eye.look(rng.integers(0, 255, size, dtype=np.uint8), n / 20, 0)
            assert np.isfinite([reading.speed, reading.confidence, reading.moving_share]).all()
    assert (reading.speed, reading.confidence) == (0.0, 0.0)
