"""The night's own line: straight between its points, flat outside, over midnight as well."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crowdstream.programme import Programme, Wanted, minutes_of

NIGHT = Programme(points=(("22:00", 112, 0.35), ("01:00", 124, 0.8), ("04:30", 116, 0.5)))


def at(clock: str) -> dt.datetime:
    hour, minute = clock.split(":")
    return dt.datetime(2026, 3, 1, int(hour), int(minute), tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("clock", "bpm", "intensity"),
    [
        ("22:00", 112, 0.35),
        ("23:30", 118, 0.575),
        ("00:00", 120, 0.65),
        ("01:00", 124, 0.8),
        ("02:45", 120, 0.65),
        ("04:30", 116, 0.5),
        ("05:00", 116, 0.5),
        ("12:00", 116, 0.5),
        ("18:00", 112, 0.35),
        ("21:59", 112, 0.35),
    ],
)
def test_a_night_over_midnight(clock: str, bpm: float, intensity: float) -> None:
    assert NIGHT.at(at(clock)) == pytest.approx((bpm, intensity))


def test_without_points_it_is_flat_in_the_middle() -> None:
    assert Programme().at(at("03:00")) == Wanted(112.0, 0.5)


def test_one_point_holds_all_night() -> None:
    programme = Programme(points=(("23:00", 120, 0.7),))
    assert {programme.at(at(f"{hour}:00")) for hour in range(24)} == {Wanted(120.0, 0.7)}


def test_an_evening_before_midnight() -> None:
    programme = Programme(points=(("18:00", 100, 0.2), ("20:00", 120, 0.6)))
    assert programme.at(at("19:00")) == pytest.approx((110, 0.4))
    assert programme.at(at("02:00")) == Wanted(120.0, 0.6)
    assert programme.at(at("10:00")) == Wanted(100.0, 0.2)


minutes = st.lists(st.integers(0, 1439), min_size=1, max_size=6, unique=True).map(sorted)


@given(minutes, st.integers(0, 1439), st.integers(0, 1439))
def test_what_it_asks_for_lies_within_its_points_at_any_time(
    line: list[int], turn: int, now: int
) -> None:
    """Whatever hour the night begins at, and at its points it is what they say."""
    turned = [(minute + turn) % 1440 for minute in line]
    points = tuple(
        (f"{minute // 60:02d}:{minute % 60:02d}", 100.0 + i, i / 10)
        for i, minute in enumerate(turned)
    )
    programme = Programme(points=points)
    bpm, intensity = programme.at(at(f"{now // 60}:{now % 60}"))
    assert 100 <= bpm <= 99 + len(points)
    assert 0 <= intensity <= 1
    for time, point_bpm, point_intensity in points:
        assert programme.at(at(time)) == pytest.approx((point_bpm, point_intensity))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"points": [["22:00", 112, 0.5], ["21:00", 112, 0.5], ["22:30", 1, 1]]}, "60 and 180"),
        ({"points": [["22:00", 112, 0.5], ["21:00", 112, 0.5], ["22:30", 99, 1]]}, "follow each"),
        ({"points": [["22:00", 112, 0.5], ["22:00", 112, 0.5]]}, "follow each other"),
        ({"points": [["24:00", 112, 0.5]]}, 'write it like "22:30"'),
        ({"points": [["22:00", 112, 1.5]]}, "not between 0 and 1"),
        ({"points": [["22:00", float("nan"), 0.5]]}, "finite"),
        ({"points": [["22:00", 112]]}, "required"),
        ({"closes": "5 o'clock"}, "is not a time of day"),
        ({"bpm": float("inf")}, "finite"),
        ({"intensity": -0.1}, "greater than or equal to 0"),
        ({"point": []}, "not permitted"),
    ],
)
def test_what_is_no_night_is_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Programme.model_validate(settings)


def test_times_of_day() -> None:
    assert [minutes_of(text) for text in ("00:00", "9:05", "23:59")] == [0, 545, 1439]
