"""Values that follow other values: within what they are given, at any rate, never NaN."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.dsp.follow import DeadZone, Follower, Switch

values = st.floats(-1e6, 1e6)
any_values = st.floats(allow_nan=True, allow_infinity=True)
times = st.lists(st.floats(0, 1000), min_size=1, max_size=30)


@given(
    st.lists(st.tuples(values, st.floats(-10, 1000)), min_size=1), st.floats(0, 9), st.floats(0, 9)
)
def test_a_follower_stays_within_what_it_was_given(
    steps: list[tuple[float, float]], attack: float, release: float
) -> None:
    follower = Follower(attack, release)
    given_so_far = []
    for target, at in steps:
        given_so_far.append(target)
        followed = follower.follow(target, at)
        slack = 1e-9 * max(abs(v) for v in given_so_far)
        assert min(given_so_far) - slack <= followed <= max(given_so_far) + slack


@given(st.lists(st.tuples(any_values, any_values)))
def test_a_follower_is_never_nan(steps: list[tuple[float, float]]) -> None:
    follower = Follower(0.4, 1.2)
    for target, at in steps:
        assert math.isfinite(follower.follow(target, at))


def test_of_two_values_too_far_apart_for_a_number_the_new_one_counts() -> None:
    follower = Follower(0.4, 1.2)
    assert follower.follow(-1.7e308, 0.0) == -1.7e308
    assert follower.follow(1.7e308, 0.1) == 1.7e308


@given(st.integers(1, 200), st.floats(0.05, 5))
def test_a_step_is_followed_alike_at_any_rate(count: int, seconds: float) -> None:
    """Many small steps come to where one long one comes."""
    one, many = Follower(0.5, 1.5), Follower(0.5, 1.5)
    for follower in (one, many):
        follower.follow(0.0, 0.0)
    for step in range(1, count + 1):
        many.follow(1.0, seconds * step / count)
    assert many.value == pytest.approx(one.follow(1.0, seconds), abs=1e-9)


def test_its_times_are_those_of_63_percent_up_and_down() -> None:
    follower = Follower(0.4, 1.2)
    follower.follow(0.0, 0.0)
    assert follower.follow(1.0, 0.4) == pytest.approx(1 - 1 / math.e)
    up = follower.value
    assert follower.follow(0.0, 1.6) == pytest.approx(up / math.e)


def test_no_time_is_at_once_and_time_that_goes_back_moves_nothing() -> None:
    quick = Follower(0.0, 0.0)
    quick.follow(0.0, 0.0)
    assert quick.follow(5.0, 0.001) == 5.0
    slow = Follower(1.0, 1.0)
    slow.follow(1.0, 10.0)
    assert slow.follow(9.0, 5.0) == 1.0
    assert slow.follow(9.0, 10.0) == 1.0


def test_it_begins_where_the_first_value_is_and_anew_after_a_reset() -> None:
    follower = Follower(1.0, 1.0)
    assert follower.value == 0.0
    assert follower.follow(7.0, 3.0) == 7.0
    follower.reset()
    assert follower.follow(-2.0, 3.0) == -2.0


def test_what_was_held_does_not_count_as_time() -> None:
    """After a second of not knowing the first value weighs like one of a moment."""
    one, other = Follower(1.0, 1.0), Follower(1.0, 1.0)
    for follower in (one, other):
        follower.follow(1.0, 0.0)
    one.hold(5.0)
    one.hold(3.0)  # a time that goes back holds nothing
    assert one.value == 1.0
    assert one.follow(0.0, 5.1) == pytest.approx(other.follow(0.0, 0.1))


@given(st.lists(values, min_size=1), st.floats(0, 100))
def test_a_dead_zone_stays_within_its_width(targets: list[float], width: float) -> None:
    zone = DeadZone(width)
    for target in targets:
        assert abs(zone.follow(target) - target) <= width + 1e-9 * abs(target)


@given(st.floats(-5, 5), st.lists(st.floats(-0.99, 0.99)))
def test_what_trembles_inside_moves_nothing(middle: float, trembling: list[float]) -> None:
    zone = DeadZone(1.0)
    zone.follow(middle)
    assert {zone.follow(middle + t) for t in trembling} <= {middle}


@given(st.lists(any_values))
def test_a_dead_zone_is_never_nan(targets: list[float]) -> None:
    zone = DeadZone(0.5)
    assert all(math.isfinite(zone.follow(target)) for target in targets)


@given(st.lists(st.floats(0, 1)))
def test_a_switch_changes_only_beyond_its_thresholds(levels: list[float]) -> None:
    switch = Switch(0.6, 0.4)
    was = False
    for level in levels:
        now = switch.follow(level)
        assert now == (True if level >= 0.6 else False if level < 0.4 else was)
        was = now
    assert switch.follow(math.nan) == was


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40), st.floats(5.0, 60.0))
def test_who_begins_as_a_mean_is_near_it_at_first(values: list[float], hz: float) -> None:
    """No first value counts for all, at any rate; within the range as ever."""
    follower = Follower(1e6, 1e6, begins_as_mean=True)
    told = [follower.follow(value, at=k / hz) for k, value in enumerate(values)][-1]
    assert min(values) - 1e-9 <= told <= max(values) + 1e-9
    # The newest counts for at most two thirds, the first for no more than a third from then on.
    without_first = Follower(1e6, 1e6, begins_as_mean=True)
    other = [without_first.follow(v, at=k / hz) for k, v in enumerate([0.5, *values[1:]])][-1]
    assert abs(told - other) <= 0.37 * abs(values[0] - 0.5) + 1e-9


def test_once_it_is_old_enough_it_follows_as_any_other() -> None:
    """The time constant is the same for both."""
    plain, mean = Follower(0.4, 1.2), Follower(0.4, 1.2, begins_as_mean=True)
    for k in range(300):
        for follower in (plain, mean):
            follower.follow(0.2, at=k / 30)
    for k in range(300, 330):
        steps = [follower.follow(0.9, at=k / 30) for follower in (plain, mean)]
        assert steps[0] == pytest.approx(steps[1], abs=1e-9)
