"""Contraction, smoothness, density and flow: what they say, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.crowd import CrowdMeter, Reading
from crowdstream.dsp.signals import STEPS, Signals, fair_mean, means_of, spectral_arc_length
from crowdstream.testing.bodies import bodies

FPS = 15.0
NAMES = ("level", "arms", "legs", "head", "bounce", "contraction", "smoothness", "density")


def night(
    *,
    people: int = 6,
    seconds: float = 3.0,
    fps: float = FPS,
    seed: int = 1,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    mirrored: bool = False,
    order: list[int] | None = None,
    walk: tuple[float, float] = (0.0, 0.0),
    hidden: float = 0.0,
) -> Reading:
    """What a meter says of a small crowd after some seconds, the same crowd however it is seen."""
    rng = np.random.default_rng(seed)
    speeds, apart = rng.uniform(0.2, 1.5, people), rng.uniform(0.1, 0.9)
    meter = CrowdMeter()
    for n in range(round(seconds * fps)):
        at = n / fps
        joints = bodies(people, at, speed=speeds, apart=apart, bounce=0.2)
        joints[:, :, :2] += (np.array(walk) * at).astype(np.float32)
        if hidden:
            joints[rng.random((people, 17)) < hidden, 2] = 0.0
        if mirrored:
            joints[:, :, 0] = 2.0 - joints[:, :, 0]
            joints = joints[:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
        joints[:, :, :2] = joints[:, :, :2] * np.float32(scale) + np.array(shift, np.float32)
        ids = np.arange(people)
        if order is not None:
            joints, ids = joints[order], ids[order]
        reading = meter.take_people(
            np.ascontiguousarray(joints, np.float32), ids, at=at, intensity=0.5
        )
    return reading


def same(one: Reading, other: Reading, rel: float = 0.02) -> bool:
    return all(
        getattr(one, name) == pytest.approx(getattr(other, name), rel=rel, abs=4e-3)
        for name in NAMES
    )


@settings(deadline=None, max_examples=8)
@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 99))
def test_where_the_crowd_is_in_the_picture_changes_nothing(x: float, y: float, seed: int) -> None:
    assert same(night(seed=seed), night(seed=seed, shift=(x, y)))


@settings(deadline=None, max_examples=8)
@given(st.floats(0.5, 3.0), st.integers(0, 99))
def test_how_near_the_camera_is_changes_nothing(scale: float, seed: int) -> None:
    # A network's trembling is one of pixels: of small people more is taken out, most of a small bounce.
    assert same(night(seed=seed), night(seed=seed, scale=scale), rel=0.08)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 99))
def test_in_a_mirror_only_the_flow_turns_round(seed: int) -> None:
    plain, mirror = (night(seed=seed, walk=(0.1, 0.05), mirrored=m) for m in (False, True))
    assert same(plain, mirror)
    assert plain.flow is not None
    assert mirror.flow is not None
    assert mirror.flow == pytest.approx((-plain.flow[0], plain.flow[1]), abs=1e-3)


@settings(deadline=None, max_examples=8)
@given(st.permutations(range(6)), st.integers(0, 99))
def test_in_which_order_people_are_listed_changes_nothing(order: list[int], seed: int) -> None:
    assert same(night(seed=seed), night(seed=seed, order=order))


@settings(deadline=None, max_examples=12)
@given(st.floats(0, 1), st.integers(1, 6), st.integers(0, 99))
def test_whatever_is_hidden_every_number_is_finite_and_in_range(
    hidden: float, people: int, seed: int
) -> None:
    reading = night(people=people, hidden=hidden, seed=seed)
    assert reading.contraction is None or 0.0 <= reading.contraction <= 1.0
    assert reading.smoothness is None or -40.0 <= reading.smoothness <= -1.0
    assert reading.density is None or 0.0 <= reading.density <= 25.0
    assert reading.flow is None or all(map(math.isfinite, reading.flow))


def test_drawn_in_is_more_contracted_than_stretched_out() -> None:
    def contraction(wrists: tuple[float, float], elbows: tuple[float, float]) -> float:
        meter = CrowdMeter()
        joints = bodies(2, 0.0)
        middle = joints[:, [5, 6, 11, 12], :2].mean(axis=1)
        torso = 0.12
        for side, (elbow, wrist) in ((1, (7, 9)), (-1, (8, 10))):
            joints[:, elbow, :2] = middle + torso * np.array([side * elbows[0], elbows[1]])
            joints[:, wrist, :2] = middle + torso * np.array([side * wrists[0], wrists[1]])
        for n in range(3):
            reading = meter.take_people(joints, np.arange(2), at=n / 15, intensity=0.5)
        assert reading.contraction is not None
        return reading.contraction

    crossed = contraction((0.1, -0.2), (0.5, 0.1))
    hanging = contraction((0.5, 0.7), (0.5, 0.1))
    raised = contraction((0.9, -1.5), (0.8, -1.0))
    assert crossed > hanging + 0.05 > raised + 0.15
    assert raised < 0.1


def test_legs_that_are_hidden_leave_the_contraction_of_the_arms() -> None:
    joints = bodies(3, 0.0)
    joints[:, 13:, 2] = 0.0
    reading = CrowdMeter().take_people(joints, np.arange(3), at=0.0, intensity=0.5)
    assert reading.contraction is not None
    assert reading.contraction > 0.3


def test_a_flowing_swing_is_smoother_than_a_jerky_one_at_any_tempo() -> None:
    times = np.arange(STEPS) * 0.1

    def arcs(profile: NDArray[np.float64]) -> float:
        return spectral_arc_length(np.ascontiguousarray(np.abs(profile)))

    flowing = [arcs(np.cos(np.pi * f * times)) for f in (0.6, 1.0, 1.5)]
    jerky = arcs((np.random.default_rng(1).random(STEPS) > 0.6).astype(float))
    stop_and_go = arcs((np.arange(STEPS) % 5 == 0).astype(float))
    assert min(flowing) > max(jerky, stop_and_go) + 0.5
    assert max(flowing) - min(flowing) < 1.2
    assert math.isnan(arcs(np.zeros(STEPS)))


@given(st.floats(0.01, 100), st.integers(0, 2**31))
def test_smoothness_does_not_depend_on_how_large_a_movement_is(factor: float, seed: int) -> None:
    speeds = np.random.default_rng(seed).random(STEPS)
    assert spectral_arc_length(speeds * factor) == pytest.approx(spectral_arc_length(speeds))


def test_who_stands_still_has_no_smoothness() -> None:
    meter = CrowdMeter()
    for n in range(60):
        reading = meter.take_people(bodies(3, 0.0), np.arange(3), at=n / 15, intensity=0.5)
    assert reading.smoothness is None
    assert night().smoothness is not None


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_smoothness_is_the_same_at_any_rate_of_pictures(fps: float) -> None:
    plain = night(seconds=4.0, fps=20).smoothness
    assert plain is not None
    assert night(seconds=4.0, fps=fps).smoothness == pytest.approx(plain, rel=0.15)


def test_density_is_that_of_the_nearest_neighbours() -> None:
    """In a row, 0.4 picture heights apart, of people 0.414 tall: 1 / (4 r^2)."""
    reading = CrowdMeter().take_people(bodies(9, 0.0), np.arange(9), at=0.0, intensity=0.5)
    assert reading.density == pytest.approx(1 / (4 * (0.4 / 0.414) ** 2), rel=0.01)
    alone = CrowdMeter().take_people(bodies(1, 0.0), np.arange(1), at=0.0, intensity=0.5)
    assert alone.density == 0.0
    close = CrowdMeter().take_people(
        np.repeat(bodies(1, 0.0), 4, axis=0), np.arange(4), at=0.0, intensity=0.5
    )
    assert close.density == pytest.approx(25.0)


def test_flow_is_the_drift_that_all_share_and_not_the_bounce() -> None:
    drift = night(walk=(0.2, 0.0), seconds=6.0).flow
    assert drift is not None
    assert drift[0] == pytest.approx(0.2 / 0.414, rel=0.05)
    assert abs(drift[1]) < 0.05
    still = night(seconds=6.0).flow
    assert still is not None
    assert math.hypot(*still) < 0.05


def test_the_cameras_own_movement_is_no_flow() -> None:
    signals = Signals()
    now, then = bodies(3, 0.0), bodies(3, 0.0)
    now[:, :, 0] += 0.02
    body, speeds = np.full(3, 0.4), np.zeros((3, 5))
    shape = signals.see(np.arange(3), np.arange(3), now, then, body, speeds, 0.1, camera=(0.2, 0.0))
    assert shape.flow == pytest.approx((0.0, 0.0), abs=1e-5)


def test_new_numbers_make_no_flow_and_nobody_inherits_anothers_past() -> None:
    signals = Signals()
    joints, speeds = bodies(2, 0.0), np.full((2, 5), 1.0)
    for n in range(60):
        ids = np.array([2 * (n // 5), 2 * (n // 5) + 1])
        shape = signals.see(np.arange(2), ids, joints, joints, np.full(2, 0.4), speeds, n / 15)
        assert shape.smoothness is None
    assert shape.flow == (0.0, 0.0)


def test_nobody_has_no_shape() -> None:
    reading = CrowdMeter().take_people(
        np.zeros((0, 17, 3), np.float32), np.zeros(0, np.int64), at=0.0, intensity=0.5
    )
    assert (reading.contraction, reading.smoothness, reading.density, reading.flow) == (None,) * 4


def test_the_means_are_those_of_who_is_known() -> None:
    table = np.full((3, 5), np.nan)
    assert all(map(math.isnan, means_of(table)))
    table[0] = (0.0, 1.0, 2.0, 3.0, 4.0)
    table[1, 4] = 2.0
    assert means_of(table) == pytest.approx((0.0, 1.0, 2.0, 3.0, 3.0, 3.0))
    assert fair_mean(np.zeros(0)) == 0.0
