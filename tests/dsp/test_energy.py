"""What energy means: speeds against one's own body, and the published curve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.energy import (
    TORSO_TO_BODY,
    Anchors,
    body_speeds,
    crowd_speed,
    energy_of,
    torso_lengths,
)
from crowdstream.testing.bodies import LIMBS, STANDING, TORSO, bodies

speeds = st.floats(0, 100)


def between(
    now: NDArray[np.float32], then: NDArray[np.float32], *, torso: float = TORSO, jitter: float = 0
) -> NDArray[np.float64]:
    lengths = np.full(len(now), torso * TORSO_TO_BODY)
    return body_speeds(now, then, lengths, 0.1, jitter)


@given(speeds, speeds)
def test_more_movement_is_never_less_energy(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= energy_of(low) <= energy_of(high) <= 1.0


@given(st.floats(0, 1), st.floats(0.05, 5), st.floats(0.05, 5))
def test_the_curve_goes_through_its_three_anchors(still: float, up: float, on: float) -> None:
    anchors = Anchors(still, still + up, still + up + on)
    assert energy_of(anchors.still, anchors) == 0.0
    assert energy_of(anchors.half, anchors) == pytest.approx(0.5)
    assert energy_of(anchors.full, anchors) == 1.0


def test_the_published_anchors() -> None:
    assert Anchors() == (0.06, 0.9, 2.4)


@pytest.mark.parametrize("speed", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_speed_is_no_energy(speed: float) -> None:
    assert energy_of(speed) == 0.0


def test_a_statue_has_no_speed() -> None:
    still = bodies(3, 0.0)
    assert between(still, still)[:, 1:].max() == 0.0


def test_the_parts_are_those_that_move() -> None:
    """Arms at one body length a second, legs at two, the head not, and v is the mean of all."""
    then, body = bodies(1, 0.0), TORSO * TORSO_TO_BODY
    now = then.copy()
    now[0, 7:11, 0] += 0.1 * body
    now[0, 13:17, 1] += 0.2 * body
    head, arms, legs, bounce, v = between(now, then)[0]
    assert (head, arms, legs, bounce) == pytest.approx((0, 1, 2, 0), abs=1e-4)
    assert v == pytest.approx((4 * 1 + 4 * 2 + 0) / 9, abs=1e-4)


positions = st.floats(-2, 2)


@given(positions, positions, st.integers(0, 2**31))
def test_moving_the_whole_picture_changes_nothing_but_the_bounce(
    x: float, y: float, seed: int
) -> None:
    """A camera that turns, and people who walk through the picture, are no dance."""
    rng = np.random.default_rng(seed)
    then = bodies(2, 0.0)
    now = then.copy()
    now[:, :, :2] += rng.normal(0, 0.02, (2, 17, 2)).astype(np.float32)
    moved = now + np.array([x, y, 0], np.float32)
    plain, shifted = between(now, then), between(moved, then)
    assert shifted[:, :3] == pytest.approx(plain[:, :3], abs=1e-3)
    assert shifted[:, 4] - shifted[:, 3] == pytest.approx(plain[:, 4] - plain[:, 3], abs=1e-3)
    sideways = between(now + np.array([x, 0, 0], np.float32), then)
    assert sideways == pytest.approx(plain, abs=1e-3)


@given(st.floats(0.2, 8), st.integers(0, 2**31))
def test_near_and_far_are_the_same_dance(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    then = bodies(2, 0.0)
    now = then.copy()
    now[:, :, :2] += rng.normal(0, 0.02, (2, 17, 2)).astype(np.float32)
    zoom = np.array([scale, scale, 1], np.float32)
    nearer = between(now * zoom, then * zoom, torso=TORSO * scale)
    assert nearer == pytest.approx(between(now, then), rel=1e-3, abs=1e-3)


def test_a_bounce_of_the_torso_counts_once() -> None:
    then, body = bodies(1, 0.0), TORSO * TORSO_TO_BODY
    now = then.copy()
    now[:, :, 1] -= 0.05 * body
    assert between(now, then)[0] == pytest.approx([0, 0, 0, 0.5, 0.5], abs=1e-4)


@given(st.lists(st.integers(0, 16), unique=True))
def test_hidden_joints_are_left_out_and_nobody_knows_of_no_torso(hidden: list[int]) -> None:
    then = bodies(1, 0.0)
    now = bodies(1, 0.1, speed=1.0)
    now[0, hidden, 2] = 0.1
    v = between(now, then)[0, 4]
    torso_seen = 4 - len({5, 6, 11, 12} & set(hidden))
    others_seen = 13 - len(set(hidden) - {5, 6, 11, 12})
    assert math.isfinite(v) == (torso_seen >= 2 and others_seen > 0)


@pytest.mark.parametrize("length", [0.0, -1.0, math.nan])
def test_without_a_body_length_nothing_is_known(length: float) -> None:
    still = bodies(1, 0.0)
    assert np.isnan(body_speeds(still, still, np.array([length]), 0.1, 0.0)).all()
    assert np.isnan(body_speeds(still, still, np.array([0.4]), 0.0, 0.0)).all()


def test_trembling_of_joints_is_taken_out() -> None:
    """A network's jitter on a statue is no movement; of a dance it takes hardly anything."""
    rng = np.random.default_rng(3)
    body, jitter = TORSO * TORSO_TO_BODY, 0.004

    def seen(joints: NDArray[np.float32]) -> NDArray[np.float32]:
        trembling = joints.copy()
        trembling[:, :, :2] += rng.normal(0, jitter * body, (len(joints), 17, 2)).astype(np.float32)
        return trembling

    still = [between(seen(bodies(8, 0)), seen(bodies(8, 0)), jitter=jitter) for _ in range(50)]
    plain = [between(seen(bodies(8, 0)), seen(bodies(8, 0))) for _ in range(50)]
    assert crowd_speed(np.concatenate(still)) < Anchors().still < crowd_speed(np.concatenate(plain))
    then, now = bodies(8, 0.0), bodies(8, 0.1, speed=1.5)
    dance = crowd_speed(between(seen(now), seen(then), jitter=jitter))
    assert dance == pytest.approx(crowd_speed(between(now, then)), rel=0.05)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([15, 20, 24, 25, 30, 50, 60, 120]), st.floats(0.5, 2.0))
def test_a_swing_is_the_same_at_any_rate_of_pictures(fps: int, hz: float) -> None:
    """Over the fixed time base; what is not a picture is interpolated, as the ring does."""

    def picture(at: float) -> NDArray[np.float32]:
        early = math.floor(at * fps + 1e-9) / fps
        share = np.float32((at - early) * fps)
        a, b = bodies(1, early, speed=1.0, hz=hz), bodies(1, early + 1 / fps, speed=1.0, hz=hz)
        return a + share * (b - a)

    measured = np.mean(
        [
            between(picture(n / fps), picture(n / fps - 0.1))[0, 4]
            for n in range(3 * fps, 3 * fps + round(4 * fps / hz))
        ]
    )
    # All eight limbs at one body length a second, and the head at none.
    # At 15 pictures a second a 2 Hz swing is cut off most.
    assert measured == pytest.approx(8 / 9, rel=0.12)


def test_torsos_are_measured_from_what_is_seen() -> None:
    joints = bodies(3, 0.0)
    joints[1, [5, 11], 2] = 0.0
    joints[2, [5, 6], 2] = 0.0
    lengths = torso_lengths(joints)
    assert lengths[0] == pytest.approx(TORSO, rel=1e-5)
    assert lengths[1] == pytest.approx(TORSO, rel=0.02)  # of one side: a little aslant
    assert np.isnan(lengths[2])


def test_the_crowd_is_the_mean_of_those_who_are_known() -> None:
    table = np.full((3, 5), np.nan)
    assert crowd_speed(table) == 0.0
    table[:2, 4] = (1.0, 2.0)
    assert crowd_speed(table) == 1.5
    assert crowd_speed(np.zeros((0, 5))) == 0.0


def test_the_bodies_of_these_tests_are_as_they_say() -> None:
    """A quarter swing of a limb from the middle to the end: a quarter of its speed in a second."""
    joints = bodies(1, 0.25, speed=2.0, hz=1.0)
    moved = joints[0, LIMBS, 0] - (STANDING[LIMBS, 0] * TORSO + 0.3)
    assert moved == pytest.approx(2.0 / 4 * TORSO * TORSO_TO_BODY, rel=1e-4)
