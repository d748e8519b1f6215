"""From drive to the tempo that the crowd asks for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.dsp.tempo import TempoCurve

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
