"""The rate of a slow eye: down while it cannot keep up, up again alone, and no swinging."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.vision.pace import STEPS_HZ, Pace

CAMERA_HZ = 30.0


def look_for(
    pace: Pace, seconds: float, work_at: Callable[[float], float], began: float = 0.0
) -> list[tuple[float, float | None, float]]:
    """Looks at the newest picture of a camera, as the stage does: (time, rate, age) of each."""
    now, due = began, began
    seen = []
    while now < began + seconds:
        frame = int(now * CAMERA_HZ + 1e-9)
        if frame / CAMERA_HZ < due - 1e-6:
            now = (frame + 1) / CAMERA_HZ
            continue
        captured_at = frame / CAMERA_HZ
        work = work_at(now)
        pace.looked(captured_at=captured_at, began_at=now, done_at=now + work)
        due = captured_at + (1.0 / pace.rate_hz if pace.rate_hz else 0.0)
        seen.append((now + work, pace.rate_hz, now + work - captured_at))
        # The next picture is only there when it has been taken.
        now = max(now + work, (frame + 1) / CAMERA_HZ)
    return seen


def test_quick_eye_is_soon_held_back_by_nothing() -> None:
    """15 ms a look at 30 pictures a second leaves the core more than half of its time."""
    seen = look_for(Pace(), 120.0, lambda _: 0.015)
    assert seen[0][1] == 15.0
    assert {rate for at, rate, _ in seen if at > 15.0} == {None}
    assert len(seen) > 3300


@pytest.mark.parametrize("work", [0.02, 0.03, 0.045])
def test_eye_that_would_take_more_than_half_a_core_looks_at_every_other_picture(
    work: float,
) -> None:
    """Then none has to wait for the one before it: what it sees is as old as one look takes."""
    seen = look_for(Pace(), 120.0, lambda _: work)
    assert {rate for _, rate, _ in seen} == {15.0}
    assert max(age for _, _, age in seen) < work + 0.001


def test_slow_machine_settles_where_there_is_rest() -> None:
    """250 ms a look: the rate falls until the core rests, and stays there for minutes."""
    seen = look_for(Pace(), 300.0, lambda _: 0.25)
    assert {rate for at, rate, _ in seen if at > 20.0} == {3.0}


@pytest.mark.parametrize("work", [0.8, 1.0, 1.9])
def test_looks_that_take_a_second_are_noticed_too(work: float) -> None:
    """Though not three of them are done within the time that is judged."""
    seen = look_for(Pace(), 40.0, lambda _: work)
    assert seen[-1][1] == STEPS_HZ[-1]


def test_where_fewer_are_wanted_the_rate_is_not_raised() -> None:
    """Five looks a second, each of 10 ms: there is room, and no use for it."""
    pace = Pace()
    why = {
        pace.looked(captured_at=k * 0.2, began_at=k * 0.2, done_at=k * 0.2 + 0.01)
        for k in range(600)
    }
    assert (why, pace.rate_hz) == ({""}, 15.0)


def test_short_processor_lowers_the_rate_step_by_step_and_it_recovers_alone() -> None:
    """For half a minute each look takes longer, the more the oftener; then all is well again."""
    pace = Pace()
    before = look_for(pace, 30.0, lambda _: 0.015)

    def crowded(_: float) -> float:
        return 0.05 + 0.012 * (pace.rate_hz or CAMERA_HZ)

    during = look_for(pace, 30.0, crowded, began=30.0)
    after = look_for(pace, 120.0, lambda _: 0.015, began=60.0)
    rates = [rate or CAMERA_HZ for _, rate, _ in during]
    assert before[-1][1] is None
    assert len(set(rates)) >= 3
    ages = [age for at, _, age in during if at > 40.0]
    assert max(ages) < 0.2
    assert after[-1][1] is None


def test_single_late_look_is_a_hiccup() -> None:
    """One look in three seconds that takes half a second changes nothing."""
    seen = look_for(Pace(), 60.0, lambda now: 0.5 if now % 3.0 < 0.03 else 0.012)
    assert {rate for at, rate, _ in seen if at > 20.0} == {None}


def test_step_that_fails_is_tried_more_and_more_rarely() -> None:
    """Where every step up fails the rate changes a few times in ten minutes, not hundreds."""
    pace = Pace()

    def work(_: float) -> float:
        # Well at 10 a second and below, late above: what a look takes does not tell in advance.
        return 0.03 if (pace.rate_hz or CAMERA_HZ) <= 10.0 else 0.17

    seen = look_for(pace, 600.0, work)
    rates = [rate for at, rate, _ in seen if at > 60.0]
    changes = sum(a != b for a, b in itertools.pairwise(rates))
    assert changes <= 24
    assert 10.0 in rates


@settings(max_examples=60, deadline=None)
@given(works=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=60))
def test_rate_is_always_one_of_the_steps(works: list[float]) -> None:
    """Whatever looks take, the rate is a step of the table and memory is bounded."""
    pace = Pace()
    turns = iter(works * 40)
    look_for(pace, 20.0, lambda _: next(turns, 0.02))
    assert pace.rate_hz is None or pace.rate_hz in STEPS_HZ[1:]
    assert len(pace._looks) <= 64


def test_reason_names_what_was_measured() -> None:
    """The sentence is for a technician: how old, or how long."""
    pace = Pace()
    why = [
        pace.looked(captured_at=k * 0.3, began_at=k * 0.3 + 0.01, done_at=k * 0.3 + 0.29)
        for k in range(8)
    ]
    assert next(reason for reason in why if reason) == "a look takes 280 ms"
    assert pace.rate_hz == pytest.approx(3.0)
