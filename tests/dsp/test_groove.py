"""The tempo people move at, their beat and their synchrony; and no tempo where there is none."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.groove import (
    FASTEST_BPM,
    MOTION_TRUST,
    NO_GROOVE,
    SLOWEST_BPM,
    Groove,
    GrooveMeter,
)
from crowdstream.testing.bodies import TORSO, bodies

Joints = NDArray[np.float32]
BODY: Final = 3.45 * TORSO
INTERPRETED: Final = os.environ.get("NUMBA_DISABLE_JIT") == "1"
compiled = pytest.mark.skipif(INTERPRETED, reason="takes minutes without numba")


def see(
    meter: GrooveMeter,
    picture: Callable[[float], Joints],
    *,
    fps: float = 15.0,
    seconds: float = 9.0,
    since: float = 0.0,
    ids: Callable[[float, int], NDArray[np.int64]] = lambda at, count: np.arange(count),
    size: float = 1.0,
) -> Groove:
    """What is known after so many seconds of these pictures."""
    at = since
    for frame in range(round(seconds * fps)):
        at = since + frame / fps
        people = picture(at - since)
        meter.take_people(
            people, ids(at - since, len(people)), np.full(len(people), size * BODY), at=at
        )
    return meter.reading(at)


def bouncing(
    count: int = 6,
    bpm: float = 118.0,
    *,
    lags: NDArray[np.float64] | None = None,
    jitter: float = 0.003,
    seed: int = 1,
) -> Callable[[float], Joints]:
    """People who go up and down once a beat, each so many beats late."""
    rng = np.random.default_rng(seed)
    late = np.zeros(count) if lags is None else lags

    def picture(at: float) -> Joints:
        people = np.concatenate(
            [
                bodies(1, at - lag * 60.0 / bpm, hz=bpm / 60.0, speed=0.8, bounce=0.3)
                + np.array([[0.4 * person, 0, 0]], np.float32)
                for person, lag in enumerate(late)
            ]
        ).astype(np.float32)
        people[..., :2] += rng.normal(0.0, jitter * BODY, people[..., :2].shape)
        return people

    return picture


def test_people_who_bounce_have_a_tempo_a_beat_and_move_together() -> None:
    groove = see(GrooveMeter(), bouncing(bpm=118.0))
    assert groove.groove_bpm == pytest.approx(118.0, abs=1.0)
    assert groove.groove_confidence > 0.9
    assert groove.synchrony == pytest.approx(1.0, abs=0.02)
    # A quarter of a turn after the middle of its swing a body is lowest: there the beat is.
    assert groove.beat_phase is not None
    wanted = ((9.0 - 1 / 15) * 118.0 / 60.0 - 0.25) % 1.0
    assert abs((groove.beat_phase - wanted + 0.5) % 1.0 - 0.5) < 0.04


def test_the_beat_goes_on_between_two_looks() -> None:
    meter = GrooveMeter()
    now = see(meter, bouncing(bpm=120.0))
    later = meter.reading(9.0 - 1 / 15 + 0.125)
    assert now.beat_phase is not None
    assert later.beat_phase is not None
    assert (later.beat_phase - now.beat_phase) % 1.0 == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("fps", [8, 10, 15, 24, 30, 60])
def test_the_same_at_any_rate(fps: float) -> None:
    groove = see(GrooveMeter(), bouncing(), fps=fps)
    assert groove.groove_bpm == pytest.approx(118.0, abs=1.0)
    assert groove.synchrony == pytest.approx(1.0, abs=0.03)


@compiled
@pytest.mark.parametrize("fps", [5.0, 6.0, 7.5])
def test_a_large_crowd_that_is_seldom_seen_keeps_its_groove(fps: float) -> None:
    """A look at all of them is done long before the one before it is too old."""
    meter, picture, told = GrooveMeter(), bouncing(96), []
    for frame in range(round(30.0 * fps)):
        at = frame / fps
        people = picture(at)
        meter.take_people(people, np.arange(96), np.full(96, BODY), at=at)
        if at > 12.0:
            told.append(meter.reading(at).groove_bpm is not None)
    assert all(told)


def test_the_same_at_any_time_and_any_distance() -> None:
    first = see(GrooveMeter(), bouncing())
    later = see(GrooveMeter(), bouncing(), since=2.0**16)
    assert first[:3] == pytest.approx(later[:3], abs=1e-3)

    def far(at: float) -> Joints:
        near = dance(at)
        near[..., :2] *= 0.25
        return near

    dance = bouncing()
    quarter = see(GrooveMeter(), far, size=0.25)
    assert first[:4] == pytest.approx(quarter[:4], abs=1e-4)


def test_the_order_in_which_people_come_means_nothing() -> None:
    dance = bouncing(lags=np.linspace(0, 0.3, 6))
    rng = np.random.default_rng(5)
    orders: dict[float, NDArray[np.int64]] = {}

    def shuffled(at: float) -> Joints:
        orders[at] = rng.permutation(6)
        return dance(at)[orders[at]]

    plain = see(GrooveMeter(), bouncing(lags=np.linspace(0, 0.3, 6)))
    mixed = see(GrooveMeter(), shuffled, ids=lambda at, count: orders[at].astype(np.int64))
    assert plain[:4] == pytest.approx(mixed[:4], abs=1e-4)


@pytest.mark.parametrize("every", [0.2, 1.0, 3.0])
def test_new_numbers_for_the_same_people_change_nothing(every: float) -> None:
    """Who stands there is who stood there: a number makes no beat and ends none."""
    plain = see(GrooveMeter(), bouncing(8))
    renamed = see(
        GrooveMeter(), bouncing(8), ids=lambda at, count: np.arange(count) + 100 * int(at / every)
    )
    swapped = see(
        GrooveMeter(), bouncing(8), ids=lambda at, count: np.roll(np.arange(count), int(at / every))
    )
    for other in (renamed, swapped):
        assert other[:4] == pytest.approx(plain[:4], abs=1e-6)


def test_numbers_that_change_among_people_who_stand_make_no_beat() -> None:
    """Twice a second everybody has somebody else's number."""

    def standing(at: float) -> Joints:
        people = bodies(8, 0.0)
        people[:, :, 1] += np.linspace(0, 0.3, 8, dtype=np.float32)[:, None]
        return people

    groove = see(
        GrooveMeter(), standing, ids=lambda at, count: np.roll(np.arange(count), int(at * 2))
    )
    assert groove.groove_bpm is None
    assert groove.groove_confidence < 0.1


def test_joints_that_flicker_make_no_beat_and_end_none() -> None:
    rng = np.random.default_rng(3)

    def flickering(picture: Callable[[float], Joints]) -> Callable[[float], Joints]:
        def seen(at: float) -> Joints:
            people = picture(at)
            hidden = rng.random(people.shape[:2]) < 0.4
            people[..., 2][hidden] = 0.0
            people[..., :2][hidden] = 0.0
            people[rng.random(len(people)) < 0.1] = np.nan
            return people

        return seen

    still = see(GrooveMeter(), flickering(lambda at: bodies(6, 0.0)))
    assert still.groove_bpm is None
    groove = see(GrooveMeter(), flickering(bouncing()))
    assert groove.groove_bpm == pytest.approx(118.0, abs=1.5)
    assert groove.synchrony == pytest.approx(1.0, abs=0.05)


@compiled
def test_of_random_phases_chance_is_taken_out() -> None:
    """Four people are in phase by chance as often as not: on average that is no synchrony.

    The mean cosine of a pair, of which synchrony is the root, is 0 on average; where it comes out
    below 0 the root says 0, so the mean of the roots lies a little above.
    """
    rng = np.random.default_rng(8)
    few = [
        see(GrooveMeter(), bouncing(4, lags=rng.random(4)), fps=12, seconds=7).synchrony
        for _ in range(24)
    ]
    many = see(GrooveMeter(), bouncing(60, lags=rng.random(60)), fps=12, seconds=7).synchrony
    assert many is not None
    assert many < 0.25
    assert np.mean([value for value in few if value is not None]) < 0.4
    assert np.median([value for value in few if value is not None]) < 0.35


def test_without_synchrony_there_is_no_common_beat_but_a_tempo() -> None:
    groove = see(GrooveMeter(), bouncing(8, lags=np.arange(8) / 8))
    assert groove.groove_bpm == pytest.approx(118.0, abs=1.0)
    assert groove.synchrony == pytest.approx(0.0, abs=0.1)
    assert groove.beat_phase is None


def test_one_alone_has_a_tempo_and_a_beat_but_no_synchrony() -> None:
    groove = see(GrooveMeter(), bouncing(1))
    assert groove.groove_bpm == pytest.approx(118.0, abs=1.0)
    assert groove.beat_phase is not None
    assert groove.synchrony is None


@pytest.mark.parametrize("hz", [0.8, 1.0, 1.4, 2.0, 2.8, 3.4, 4.6])
def test_half_and_double_time_are_told_in_one_octave(hz: float) -> None:
    groove = see(GrooveMeter(), bouncing(bpm=60 * hz), fps=30)
    assert groove.groove_bpm is not None
    assert SLOWEST_BPM <= groove.groove_bpm < FASTEST_BPM
    octaves = math.log2(groove.groove_bpm / (60 * hz))
    assert octaves == pytest.approx(round(octaves), abs=0.02)


def test_at_the_edge_of_the_octave_a_tempo_stays_what_it_was() -> None:
    """A tempo that rises slowly over the edge does not fall to half at it, and not to and fro."""
    meter, beats, told = GrooveMeter(), 0.0, []
    for frame in range(15 * 40):
        bpm = 162.0 + 12.0 * frame / (15 * 40)
        beats += bpm / 60.0 / 15
        people = bodies(6, beats, hz=1.0, bounce=0.3)
        meter.take_people(people, np.arange(6), np.full(6, BODY), at=frame / 15)
        told.append(meter.reading(frame / 15).groove_bpm)
    known = [bpm for bpm in told if bpm is not None]
    assert min(known) > 158.0
    assert max(known) > 171.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jitter", [0.0, 0.003, 0.01])
@pytest.mark.parametrize("count", [1, 5, 30])
def test_people_who_stand_have_no_groove(count: int, jitter: float, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def standing(at: float) -> Joints:
        people = bodies(count, 0.0)
        people[..., :2] += rng.normal(0.0, jitter * BODY, people[..., :2].shape)
        return people

    groove = see(GrooveMeter(), standing)
    assert groove == Groove(None, groove.groove_confidence, None, None)
    assert groove.groove_confidence < 0.15


@pytest.mark.parametrize("seed", range(3))
def test_people_who_sway_each_as_they_like_have_no_groove(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hertz = np.exp(rng.uniform(math.log(1.0), math.log(3.0), 40))

    def swaying(at: float) -> Joints:
        people = bodies(40, 0.0)
        people[:, :, 1] += (0.03 * BODY * np.sin(2 * np.pi * hertz * at + hertz))[:, None]
        return people

    groove = see(GrooveMeter(), swaying)
    assert groove.groove_bpm is None
    assert groove.groove_confidence < 0.3


def test_people_who_walk_through_have_no_groove() -> None:
    """All of them in step: who crosses the floor does not dance."""

    def walking(at: float) -> Joints:
        people = bouncing(5, jitter=0.0)(at)
        people[..., 0] += 1.2 * BODY * at
        return people

    groove = see(GrooveMeter(), walking)
    assert groove.groove_bpm is None
    assert groove.groove_confidence < 0.1


def test_an_empty_floor_has_no_groove_a_second_after_the_last_has_left() -> None:
    meter = GrooveMeter()
    assert see(meter, bouncing()).groove_bpm is not None
    nobody = np.zeros((0, 17, 3), np.float32)
    assert see(meter, lambda at: nobody, since=9.0, seconds=1.5) == NO_GROOVE


def test_a_groove_that_nobody_looks_at_any_more_is_not_told_for_long() -> None:
    meter = GrooveMeter()
    see(meter, bouncing())
    assert meter.reading(9.5).groove_bpm is not None
    assert meter.reading(12.0) == NO_GROOVE


def test_after_a_jump_nothing_is_known() -> None:
    meter = GrooveMeter()
    see(meter, bouncing())
    meter.jump()
    assert meter.reading(9.0) == NO_GROOVE
    groove = see(meter, bouncing(bpm=100.0), since=500.0)
    assert groove.groove_bpm == pytest.approx(100.0, abs=1.0)


def test_a_time_that_goes_back_is_left_out() -> None:
    plain, other = GrooveMeter(), GrooveMeter()
    see(plain, bouncing())
    dance = bouncing()
    for frame in range(135):
        for at in (frame / 15, frame / 15 - 0.5, math.nan, math.inf):
            people = dance(frame / 15) if at == frame / 15 else bodies(6, 0.0)
            other.take_people(people, np.arange(6), np.full(6, BODY), at=at)
    assert other.reading(9.0) == plain.reading(9.0)


@pytest.mark.parametrize("times", [1, 2])
def test_motion_alone_tells_a_tempo_and_trusts_it_less(times: int) -> None:
    """Speed is greatest once a beat or twice; where the beat is it does not say."""
    meter = GrooveMeter()
    for frame in range(270):
        at = frame / 30
        meter.take_motion(1.0 + 0.4 * math.sin(2 * math.pi * times * 2.1 * at), 0.9, at=at)
    groove = meter.reading(9.0)
    assert groove.groove_bpm == pytest.approx(126.0, abs=1.5)
    assert 0.3 < groove.groove_confidence <= MOTION_TRUST
    assert (groove.beat_phase, groove.synchrony) == (None, None)


@pytest.mark.parametrize("seed", range(5))
def test_motion_that_is_noise_has_no_tempo(seed: int) -> None:
    rng = np.random.default_rng(seed)
    meter = GrooveMeter()
    for frame in range(270):
        meter.take_motion(1.0 + 0.3 * rng.standard_normal(), 0.9, at=frame / 30)
    assert meter.reading(9.0).groove_bpm is None


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_whatever_is_seen_no_number_is_none(seed: int, share: float) -> None:
    """NaN, infinity and numbers beyond all measure, in joints, lengths and motion."""
    rng = np.random.default_rng(seed)
    wrong = np.array([np.nan, np.inf, -np.inf, 1e30, 0.0])
    meter = GrooveMeter()
    for frame in range(90):
        people = bodies(3, frame / 15, bounce=0.3)
        broken = rng.random(people.shape) < share * (frame > 40)
        people[broken] = rng.choice(wrong, int(broken.sum()))
        lengths = np.where(rng.random(3) < share, rng.choice(wrong, 3), BODY)
        meter.take_people(people, rng.integers(0, 5, 3), lengths, at=frame / 15)
        meter.take_motion(rng.choice(wrong), rng.choice(wrong), at=frame / 15)
        groove = meter.reading(frame / 15)
        assert all(math.isfinite(value) for value in groove if value is not None)
        assert 0.0 <= groove.groove_confidence <= 1.0


@compiled
@pytest.mark.timeout(120)
def test_drawn_crowds_have_the_tempo_and_the_synchrony_that_they_were_drawn_with() -> None:
    """A corner of the table of `crowdstream bench`: the same goals."""
    from crowdstream.offline.bench_groove import Case, cases, measure

    found = [measure(case) for case in cases(people=(2, 5, 16), fps=(10, 20), seed=4)]
    locked = [one for one in found if one.case.synchrony >= 0.5]
    assert np.mean([one.within for one in locked]) >= 0.95
    assert np.mean([one.within_octave for one in locked]) >= 0.99
    errors = [abs(one.synchrony_error) for one in found if one.synchrony_error is not None]
    assert np.mean(errors) <= 0.05
    assert np.mean(np.array(errors) <= 0.1) >= 0.85
    assert all(isinstance(one.case, Case) for one in found)
