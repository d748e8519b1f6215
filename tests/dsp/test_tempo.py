"""From drive to the tempo that the crowd asks for."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.dsp.tempo import GroovePull, TempoCurve

unit = st.floats(0, 1)
bpms = st.floats(60, 180)
any_values = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.floats(40, 219).flatmap(lambda low: st.tuples(st.just(low), st.floats(low, 220))),
    st.floats(0, 60),
    st.lists(st.tuples(any_values, unit, bpms, st.floats(0, 100)), min_size=1),
)
def test_it_is_always_finite_and_within_its_range(
    bpm_range: tuple[float, float], reach: float, steps: list[tuple[float, float, float, float]]
) -> None:
    curve = TempoCurve(*bpm_range, reach_bpm=reach)
    for drive, intensity, bpm, at in steps:
        target = curve.target(drive, intensity=intensity, bpm=bpm)
        followed = curve.follow(drive, intensity=intensity, bpm=bpm, at=at)
        assert bpm_range[0] <= target <= bpm_range[1]
        assert bpm_range[0] <= followed <= bpm_range[1]


@given(unit, st.floats(80, 145))
def test_the_programmes_tempo_belongs_to_its_intensity(intensity: float, bpm: float) -> None:
    curve = TempoCurve(80, 145)
    assert curve.target(intensity, intensity=intensity, bpm=bpm) == pytest.approx(bpm)


@given(unit, unit, unit, bpms)
def test_more_drive_never_asks_for_less_tempo(
    one: float, other: float, intensity: float, bpm: float
) -> None:
    curve = TempoCurve(80, 145)
    low, high = (
        curve.target(drive, intensity=intensity, bpm=bpm) for drive in sorted((one, other))
    )
    assert low <= high + 1e-9


@given(unit, st.floats(0.01, 0.99), st.floats(110, 115), st.floats(0, 30))
def test_the_crowd_pulls_no_further_than_its_reach(
    drive: float, intensity: float, bpm: float, reach: float
) -> None:
    curve = TempoCurve(40, 220, reach_bpm=reach)
    assert abs(curve.target(drive, intensity=intensity, bpm=bpm) - bpm) <= reach + 1e-9
    assert curve.target(1.0, intensity=intensity, bpm=bpm) == pytest.approx(bpm + reach)
    assert curve.target(0.0, intensity=intensity, bpm=bpm) == pytest.approx(bpm - reach)


def test_a_drive_that_is_no_number_asks_for_the_programme() -> None:
    assert TempoCurve(80, 145).target(math.nan, intensity=0.4, bpm=111.0) == 111.0


def test_a_sudden_change_is_followed_smoothly() -> None:
    """63 % of the way after its time, less the dead zone; at any rate of measurements."""
    ends = []
    for rate in (5, 50):
        curve = TempoCurve(80, 145, smoothing_seconds=3.0, dead_zone_bpm=0.4)
        curve.follow(0.5, intensity=0.5, bpm=112, at=0.0)
        for step in range(1, 3 * rate + 1):
            asked = curve.follow(1.0, intensity=0.5, bpm=112, at=step / rate)
        ends.append(asked)
    assert ends == pytest.approx([112 + 24 * (1 - 1 / math.e) - 0.4] * 2, abs=1e-6)


def test_trembling_of_the_drive_moves_nothing() -> None:
    curve = TempoCurve(80, 145, smoothing_seconds=0.0)
    asked = {
        curve.follow(0.6 + 0.004 * (-1) ** n, intensity=0.5, bpm=112, at=n / 20) for n in range(40)
    }
    assert len(asked) == 1


def night(
    crowd: Callable[[float, float], float],
    *,
    minutes: float = 30.0,
    programme: float = 112.0,
    reach: float = 24.0,
    slew: float = 0.12,
    confidence: float = 0.9,
) -> list[float]:
    """Tempi that were heard, second by second, where the crowd dances `crowd(heard, t)`."""
    pull = GroovePull(reach_bpm=reach)
    curve = TempoCurve(80, 145)
    heard = sent = programme
    heards = []
    for tick in range(round(minutes * 60 * 5)):
        at = tick / 5
        asked = programme + pull.follow(crowd(heard, at), confidence, at=at)
        sent = curve.smooth(min(programme + reach, max(programme - reach, asked)), at=at)
        pull.sent(sent, at=at)
        # The conductor goes there slowly.
        heard += min(slew / 5, max(-slew / 5, sent - heard))
        if tick % 5 == 0:
            heards.append(heard)
    return heards


@pytest.mark.parametrize("bias", [-0.12, -0.05, -0.015, 0.0, 0.015, 0.05, 0.12])
@pytest.mark.parametrize("slew", [0.05, 0.12, 0.6])
def test_a_crowd_that_mirrors_the_music_runs_away_with_nothing(bias: float, slew: float) -> None:
    """Half an hour of people who dance to what they hear, all of it a little too fast: bounded
    by the leash, and back at the programme when the error goes."""
    heards = night(lambda heard, t: heard * (1 + (bias if t < 1200 else 0.0)), slew=slew)
    assert max(abs(heard - 112) for heard in heards) <= 24
    assert abs(heards[-1] - 112) < 1.0
    if abs(bias) < 0.02:
        # Dancing to the music is no command.
        assert heards == [112.0] * len(heards)


def test_a_small_error_of_the_mirror_stays_a_small_error() -> None:
    heards = night(lambda heard, t: heard * 1.03)
    assert 0.0 < max(heards) - 112 < 3 * 0.03 * 112


@pytest.mark.parametrize("insists", [100.0, 106.0, 118.0, 124.0])
def test_a_crowd_that_insists_on_its_tempo_gets_most_of_the_way(insists: float) -> None:
    heards = night(lambda heard, t: insists, minutes=20)
    way = (heards[-1] - 112) / (insists - 112)
    assert 0.3 < way < 0.9


@given(st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]), st.floats(110, 114.2))
def test_an_octave_is_the_same_tempo(factor: float, groove: float) -> None:
    pull = GroovePull()
    pull.sent(112.0, at=0.0)
    for tick in range(1, 200):
        assert pull.follow(groove * factor, 1.0, at=tick / 5) == pytest.approx(0.0, abs=1e-9)


def test_three_against_two_asks_for_nothing() -> None:
    heards = night(lambda heard, t: 1.5 * heard, minutes=5)
    assert heards == [112.0] * len(heards)


def test_who_is_not_sure_pulls_nothing_and_who_goes_is_forgotten() -> None:
    assert night(lambda heard, t: 124.0, confidence=0.3, minutes=3)[-1] == 112.0
    pull = GroovePull(forget_seconds=30.0)
    pull.sent(112.0, at=0.0)
    for tick in range(1, 300):
        most = pull.follow(122.0, 1.0, at=tick / 5)
    assert most > 5.0
    for tick in range(300, 2000):
        left = pull.follow(None, 0.0, at=tick / 5)
    assert 0.0 <= left < 0.01


@given(
    st.lists(
        st.tuples(st.none() | any_values, any_values, any_values, st.floats(0, 100)), min_size=1
    )
)
def test_a_pull_is_finite_and_on_its_leash_whatever_comes(
    steps: list[tuple[float | None, float, float, float]],
) -> None:
    pull = GroovePull(reach_bpm=10.0)
    pull.sent(112.0, at=0.0)
    for groove, confidence, weight, at in steps:
        assert abs(pull.follow(groove, confidence, weight=weight, at=at)) <= 10.0
