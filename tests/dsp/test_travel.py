"""What a walk takes of limbs and bounce is not danced; a dance on the way is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.dsp.crowd import CrowdMeter
from crowdstream.dsp.travel import GAIT, GAIT_BOUNCE, STROLL, Travellers, without_travel
from crowdstream.testing.bodies import TORSO, bodies

Keypoints = NDArray[np.float32]
BODY = 3.45 * TORSO


def watched(
    picture: Callable[[float], Keypoints], *, fps: float = 20.0, seconds: float = 1.5,
    camera: Callable[[float], tuple[float, float]] = lambda _: (0.0, 0.0),
) -> NDArray[np.float64]:  # fmt: skip
    """What is known of everybody's way at the end."""
    travellers = Travellers()
    for frame in range(round(seconds * fps) + 1):
        joints = picture(frame / fps)
        rows = np.arange(len(joints))
        way = travellers.see(rows, rows + 1, joints, frame / fps, camera(frame / fps))
    return way


def gone(x: float, y: float = 0.0, **dance: float) -> Callable[[float], Keypoints]:
    """Two people who go at so many picture heights a second while they dance like this."""

    def picture(at: float) -> Keypoints:
        joints = bodies(2, at, apart=0.4, **dance)
        joints[..., 0] += x * at
        joints[..., 1] += y * at
        return joints

    return picture


@pytest.mark.parametrize("fps", [5.0, 10.0, 15.0, 30.0, 60.0])
def test_a_steady_way_is_measured_at_any_rate(fps: float) -> None:
    way = watched(gone(0.3, 0.1), fps=fps)
    assert way[:, 0] == pytest.approx(np.hypot(0.3, 0.1), rel=0.02)
    assert way[:, 1] == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("hz", [0.7, 1.0, 2.0])
def test_who_sways_goes_nowhere(hz: float) -> None:
    """To one side and back within a bar."""
    ways = [
        watched(
            lambda at: bodies(1, at) + np.array([0.05 * np.sin(6.283 * hz * at), 0, 0], np.float32),
            seconds=end,
        )[0, 0]
        for end in np.arange(1.2, 2.4, 0.1)
    ]
    assert np.mean(ways) < STROLL * BODY


def test_the_cameras_way_is_not_the_peoples() -> None:
    way = watched(gone(0.3, 0.2), camera=lambda at: (0.3 * at, 0.2 * at))
    assert way == pytest.approx(np.zeros((2, 2)), abs=1e-6)


def test_who_is_new_travels_like_the_others() -> None:
    travellers = Travellers()
    for frame in range(31):
        joints = gone(0.3)(frame / 20)
        ids = np.array([1, 2 if frame < 30 else 3])
        way = travellers.see(np.array([0, 1]), ids, joints, frame / 20)
    assert way[1] == pytest.approx(way[0])


def test_of_a_walk_nothing_is_left_and_of_a_dance_what_is_more() -> None:
    now, then = gone(0.3, speed=1.2)(1.1), gone(0.3, speed=1.2)(1.0)
    walk = 0.3 / BODY - STROLL
    for limbs, left in ((GAIT * walk, 0.0), (2.0, 2.0 - GAIT * walk)):
        speeds = np.tile([limbs, limbs, limbs, 0.0, limbs], (2, 1))
        found = without_travel(
            speeds, now, then, np.full(2, BODY), np.array([[0.3, 0.0]] * 2), seconds=0.1,
            jitter=np.zeros(2),
        )  # fmt: skip
        assert found[:, 4] == pytest.approx(left, abs=1e-6)
        assert found[:, 1] == pytest.approx(left, abs=1e-6)


def test_going_up_the_picture_is_no_bounce() -> None:
    """Seen from above people walk up and down the picture."""
    now, then = gone(0.0, -0.3)(1.1), gone(0.0, -0.3)(1.0)
    speeds = np.tile([0.0, 0.0, 0.0, 0.3 / BODY, 0.3 / BODY], (2, 1))
    found = without_travel(
        speeds, now, then, np.full(2, BODY), np.array([[0.3, -0.3]] * 2), seconds=0.1,
        jitter=np.zeros(2),
    )  # fmt: skip
    assert found[:, 3:] == pytest.approx(0.0, abs=1e-5)


def test_a_bounce_on_the_way_is_one() -> None:
    now, then = gone(0.1, bounce=1.0)(1.1), gone(0.1, bounce=1.0)(1.0)
    moved = abs(float(now[0, 5, 1] - then[0, 5, 1])) / BODY / 0.1
    speeds = np.tile([0.0, 0.0, 0.0, moved, moved], (2, 1))
    found = without_travel(
        speeds, now, then, np.full(2, BODY), np.array([[0.1, 0.0]] * 2), seconds=0.1,
        jitter=np.zeros(2),
    )  # fmt: skip
    assert found[0, 3] == pytest.approx(moved - GAIT_BOUNCE * (0.1 / BODY - STROLL), rel=1e-3)


def test_a_shaking_camera_makes_nobody_bounce() -> None:
    """Flow has told, of the same picture, how far the camera went."""

    def level(told: bool) -> float:
        meter = CrowdMeter()
        for frame in range(90):
            at = frame / 30
            shake = 0.03 * np.sin(2 * np.pi * 2.0 * at)
            speed = (shake - 0.03 * np.sin(2 * np.pi * 2.0 * (at - 0.1))) / 0.1
            meter.take_motion(
                0.0, 0.5, "steady", at=at, intensity=0.5, camera=(0.0, speed if told else 0.0)
            )
            joints = bodies(5, 0.0) + np.array([0, shake, 0], np.float32)
            reading = meter.take_people(joints, np.arange(5), at=at, intensity=0.5)
        return reading.level

    assert level(told=True) < 0.05
    assert level(told=False) > 0.2
