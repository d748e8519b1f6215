"""Facts about what the conductor makes of a floor, and of the lines of a track."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.music.floor import COOLING_BARS, Floor
from crowdstream.music.gesture import MOST_CLOSED, Gestures
from crowdstream.music.lines import leave_lines, next_line, on_line, segment_at, segment_bars
from crowdstream.music.orders import Sweep
from crowdstream.music.rules import Rules
from crowdstream.testing.conducting import a_night, a_wish
from crowdstream.testing.music import FORM, a_track


def a_floor(drives: list[float], people: list[int | None] | None = None) -> Floor:
    """After so many bars."""
    floor = Floor(0.4)
    for bar, drive in enumerate(drives):
        crowd = people[min(bar, len(people) - 1)] if people else None
        floor.follow(a_wish(drive, people=crowd), 0.4)
    return floor


def test_a_floor_that_fell_below_the_programme_cools_after_32_bars() -> None:
    fallen = [0.8] * 20 + [0.2] * (COOLING_BARS + 8)
    assert not a_floor(fallen[: 20 + COOLING_BARS - 4]).cooled
    assert a_floor(fallen).cooled
    assert "32 bars" in a_floor(fallen).why_cooled


def test_it_is_followed_again_once_it_is_above_the_programme_not_before() -> None:
    """Else people who begin to dance would get less than nobody did."""
    fallen = [0.8] * 20 + [0.1] * 50
    assert a_floor([*fallen, *[0.3] * 12]).cooled
    assert not a_floor([*fallen, *[0.5] * 12]).cooled


def test_a_floor_that_falls_but_stays_above_the_programme_has_not_cooled() -> None:
    assert not a_floor([0.9] * 20 + [0.5] * 100).cooled


def test_an_empty_floor_has_cooled_at_once() -> None:
    assert a_floor([0.4] * 4 + [0.0] * 12, [0]).cooled
    assert a_floor([0.4] * 4 + [0.0] * 12, [0]).empty


@given(st.lists(st.floats(0.81, 1.0), min_size=128, max_size=160), st.integers(0, 100))
def test_a_peak_of_128_bars_needs_a_rest_though_it_dips(drives: list[float], dip: int) -> None:
    """Half a phrase below is no end of it."""
    dipped = [*drives[:dip], *[0.7] * 4, *drives[dip:]]
    assert a_floor(dipped).needs_rest()
    assert not a_floor([*drives[:100], *[0.3] * 12, *drives[100:]]).needs_rest()


def test_half_the_people_gone_is_a_floor_that_leaves() -> None:
    assert a_floor([0.5] * 6, [40, 40, 40, 41, 20, 19]).people_left()
    assert not a_floor([0.5] * 6, [40, 40, 40, 41, 20, 38]).people_left()
    assert not a_floor([0.5] * 6, [2, 2, 2, 2, 1, 1]).people_left()
    assert not a_floor([0.5] * 6, [None]).people_left()


# ---- lines ---------------------------------------------------------------------------------

ODD = a_track(form=(("intro", 10), ("groove", 20), ("drop", 12), ("outro", 8)))


def test_phrases_are_counted_from_where_a_section_begins() -> None:
    assert [bar for bar in range(ODD.bars) if on_line(ODD, bar)] == [0, 8, 10, 18, 26, 30, 38, 42]
    assert [next_line(ODD, bar) for bar in (0, 1, 9, 27)] == [0, 8, 10, 30]


def test_a_track_is_left_where_a_whole_phrase_is_open_and_no_drop_begins() -> None:
    track = a_track(form=FORM)
    assert leave_lines(track, tail_bars=8) == [16, 24, 56, 64, 72]


@pytest.mark.parametrize(("beats", "bars"), [(16, 4), (32, 8), (48, 12), (64, 16), (40, 8)])
def test_a_loop_is_whole_stretches_of_four_bars(beats: int, bars: int) -> None:
    assert segment_bars(beats) == bars
    assert segment_at(a_track(form=FORM), 48, bars) == (48, 48 + bars)


def test_a_loop_does_not_leave_what_is_worth_hearing_twice() -> None:
    assert segment_at(a_track(form=FORM), 56, 12) is None  # four bars of the outro
    assert segment_at(a_track(form=FORM), 52, 4) is None  # no phrase begins there


@pytest.mark.parametrize("beats", [32, 48, 64])
def test_a_loop_returns_on_a_4_bar_line_to_a_phrase_line(beats: int) -> None:
    """And it comes only while the drive is high and steady, a few times in a track."""
    rules = Rules(segment_beats=beats)
    library = [a_track("one", bpm=120.0), a_track("two", bpm=121.0, key="9A")]
    night = a_night(300, lambda _: a_wish(0.75, bpm=120.0), rules=rules, library=library)
    loops = [said for said in night.events("loop") if "again" in said.why]
    assert loops
    for said in loops:
        track, before = night.place(said.bar)
        assert (said.bar + before) % 4 == 0
        assert on_line(track, int(str(said.facts["to_bar"])))
        assert said.bar + before - int(str(said.facts["to_bar"])) == beats // 4
    wild = a_night(
        300, lambda bar: a_wish(0.9 if bar % 16 < 8 else 0.3, bpm=120.0), rules=rules,
        library=library,
    )  # fmt: skip
    assert not [said for said in wild.events("loop") if "again" in said.why]


# ---- gestures ------------------------------------------------------------------------------


def test_a_gesture_is_at_most_three_decibels_and_once_in_two_beats() -> None:
    gestures, moved, now = Gestures(), [], 1.0
    for step in range(200):
        orders = gestures.move(0, now, (step * 37 % 100) / 60, step / 8)
        for order in orders:
            assert isinstance(order, Sweep)
            assert MOST_CLOSED - 1e-9 <= order.to <= 1.0
            assert order.end - order.start <= 1.0
            now = order.to
            moved.append(order.start)
    assert len(moved) > 5
    assert min(b - a for a, b in pairwise(moved)) >= 2.0


def test_a_floor_that_jumps_up_opens_the_hats_within_two_beats() -> None:
    """From still to full: the high band is flat again one beat after the wish."""
    library = [a_track("one", bpm=112.0)]
    night = a_night(
        30, lambda bar: a_wish(0.0 if bar < 20 else 1.0), rules=Rules(), library=library
    )
    high = night.runs[0].knobs["high"]
    heard_at = 4 * 20 - 2.0  # when the harness asks for gestures
    assert high.at(heard_at - 0.1) < 0.75
    assert high.at(heard_at + 2.0) == 1.0
    assert [said for said in night.events("gesture") if "open" in said.why]
