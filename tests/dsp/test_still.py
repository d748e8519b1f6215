"""A statue is still, whatever the network does to it; a dance is not touched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.dsp.crowd import CrowdMeter
from crowdstream.dsp.energy import TORSO_TO_BODY
from crowdstream.dsp.still import JUMP, Still
from crowdstream.testing.bodies import TORSO, bodies

BODY = TORSO * TORSO_TO_BODY
Keypoints = NDArray[np.float32]


def level(
    picture: Callable[[float], Keypoints], hz: float, *, ids_stay_seconds: float = 1e9
) -> float:
    """Mean energy of ten seconds, by pose alone."""
    meter, levels = CrowdMeter(), []
    for n in range(round(10 * hz)):
        joints = picture(n / hz)
        ids = np.arange(len(joints)) + 1000 * int(n / hz / ids_stay_seconds)
        reading = meter.take_people(joints, ids, at=n / hz, intensity=0.5, aspect=16 / 9)
        levels.append(reading.level)
    return float(np.mean(levels[len(levels) // 4 :]))


def statues(rng: np.random.Generator, astray: str) -> Keypoints:
    joints = bodies(8, 0.0)
    joints[:, :, :2] += rng.normal(0.0, 0.01 * BODY, (8, 17, 2)).astype(np.float32)
    for wrist in (9, 10):
        gone = rng.random(8) < 0.1
        if astray == "unseen":
            joints[gone, wrist, 2] = 0.1
        elif astray == "elsewhere":
            joints[gone, wrist, :2] += rng.normal(0.0, 0.2 * BODY, (int(gone.sum()), 2))
        else:
            joints[gone, wrist, :2] = 0.0  # in the corner, and sure of it
    return joints


@pytest.mark.parametrize("hz", [10, 15, 30])
@pytest.mark.parametrize("astray", ["unseen", "elsewhere", "corner"])
def test_a_statue_that_trembles_and_flickers_and_is_renamed_is_still(
    hz: float, astray: str
) -> None:
    """At most a twentieth of a moderate dance; here a fiftieth where it can be had."""
    rng = np.random.default_rng(1)
    still = level(lambda _: statues(rng, astray), hz, ids_stay_seconds=2.0)
    dance = level(lambda at: bodies(8, at, speed=0.9, apart=0.618), hz)
    assert still <= (0.05 if astray == "elsewhere" else 0.02) * dance


@pytest.mark.parametrize("hz", [10, 15, 30])
def test_a_dance_is_as_lively_with_trembling_as_without(hz: float) -> None:
    rng = np.random.default_rng(1)

    def trembling(at: float) -> Keypoints:
        joints = bodies(8, at, speed=0.9, apart=0.618)
        joints[:, :, :2] += rng.normal(0.0, 0.01 * BODY, (8, 17, 2)).astype(np.float32)
        return joints

    clean = level(lambda at: bodies(8, at, speed=0.9, apart=0.618), hz)
    assert level(trembling, hz) == pytest.approx(clean, rel=0.1)


def doubts(ways: list[float], hz: float = 15.0) -> list[bool]:
    """Whether a left wrist at these places, in body lengths aside of its own, was not believed."""
    still, told = Still(), []
    for n, way in enumerate(ways):
        joints = bodies(1, 0.0)
        joints[0, 9, 0] += way * BODY
        still.doubt(np.array([0]), np.array([1]), joints, np.array([TORSO]), n / hz)
        told.append(bool(joints[0, 9, 2] == 0.0))
    return told


def test_a_jump_that_comes_back_is_never_believed() -> None:
    assert doubts([0, 0, 0, 0.3, 0, 0]) == [False, False, False, True, False, False]


def test_a_jump_that_stays_or_goes_on_is_believed_at_the_second_look() -> None:
    assert doubts([0, 0, 0.3, 0.3, 0.3]) == [False, False, True, False, False]
    assert doubts([0, 0, 0.3, 0.6, 0.9]) == [False, False, True, False, False]


def test_a_step_that_a_body_can_do_from_rest_is_believed_at_once() -> None:
    assert not any(doubts([0, 0, 0.9 * JUMP, 1.8 * JUMP]))


def test_a_swing_is_never_doubted_once_it_goes() -> None:
    for hz in (10.0, 15.0, 30.0):
        swing = 0.2 * np.sin(2 * np.pi * 2.0 * np.arange(60) / hz)
        assert sum(doubts(swing.tolist(), hz)[round(hz) :]) == 0


def test_after_a_gap_and_for_a_new_number_any_place_is_believed() -> None:
    assert not any(doubts([0, 0.5, 0, 0.5], hz=4.0))
    still = Still()
    for person, way in ((1, 0.0), (2, 0.5), (3, 0.0)):
        joints = bodies(1, 0.0)
        joints[0, 9, 0] += way * BODY
        still.doubt(np.array([0]), np.array([person]), joints, np.array([TORSO]), person / 15)
        assert joints[0, 9, 2] > 0.0


def test_what_has_no_row_and_no_torso_is_left_alone() -> None:
    still, joints = Still(), bodies(2, 0.0)
    still.doubt(np.array([-1, 0]), np.array([1, 2]), joints, np.array([TORSO, np.nan]), 0.0)
    assert (joints[:, :, 2] > 0.5).all()
    speeds = np.full((2, 5), np.nan)
    still.quieten(np.array([-1, 0]), np.array([1, 2]), speeds, np.array([np.nan, 0.01]), 0.0)
    assert np.isnan(speeds).all()
