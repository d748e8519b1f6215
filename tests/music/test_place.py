"""Facts about a conductor that goes on where the music was when its player was lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crowdstream.music.conductor import Conductor, Fade, Plan, Rules, Start
from crowdstream.music.library import Source
from crowdstream.music.place import Place
from crowdstream.music.timeline import Timeline
from crowdstream.packets import STEMS
from crowdstream.testing.conducting import a_night, a_wish, clashes
from crowdstream.testing.music import a_track

ONE = a_track("one", bpm=118.0)
TWO = replace(
    a_track("two", bpm=120.0),
    source=Source("two.wav", sha256="aa" * 32, sound_sha256="bb" * 32),
)  # fmt: skip
RULES = Rules()
PLACE = Place(
    track_id="two", sound_sha256="bb" * 32, track_bpm=120.0, first_beat_seconds=0.05, offset=-70,
    since=60, gains=(1.0, 0.8, 0.0, 0.3), beat=4 * 100 + 2.5, bpm=119.0, bpm_wanted=121.0,
    drive=0.7, skip=3, nudge=-0.03,
)  # fmt: skip
"""Bar 30 of the second track, at bar 100 of the night."""


def a_conductor(place: Place = PLACE) -> Conductor:
    return Conductor([ONE, TWO], RULES, place=place)


def planned(conductor: Conductor, *bars: int, ready: bool = True) -> list[Plan]:
    return [conductor.plan(bar, bpm=conductor.first_bpm, ready=ready) for bar in bars]


def test_it_goes_on_with_the_track_where_it_would_be() -> None:
    """The same bar of it, at the same tempo, under the numbers that the bars had."""
    conductor = a_conductor()
    assert conductor.goes_on
    assert conductor.next == TWO
    assert conductor.first_bpm == 119.0
    (plan,) = planned(conductor, 100)
    assert [order for order in plan.orders if isinstance(order, Start)] == [
        Start(0, TWO, -70, 0, -0.03)
    ]
    assert (plan.bpm, plan.at_once) == (119.25, False)  # it may move again, by its slope
    assert not conductor.goes_on


def test_it_goes_on_with_the_stems_that_were_heard_as_loud_as_they_were() -> None:
    """A voice that was away is not brought back by a fault."""
    conductor = a_conductor()
    (plan,) = planned(conductor, 100)
    fades = [order for order in plan.orders if isinstance(order, Fade)]
    assert [STEMS[fade.stem] for fade in fades] == ["drums", "bass", "other"]
    assert all((fade.to, fade.end) == (1.0, 400.0) for fade in fades)
    assert conductor.levels() == PLACE.gains
    assert (conductor.wish.drive, conductor.wish.bpm) == (0.7, 121.0)


def test_it_says_why() -> None:
    """As an event of its own, in place of a beginning."""
    (plan,) = planned(a_conductor(replace(PLACE, gone_seconds=1.32)), 100)
    said = [(said.event, said.why, said.facts["to"], said.facts["to_bar"]) for said in plan.said]
    assert said[0] == ("again", "the player was lost for 1.3 s", "two", 30)
    assert "start" not in [event for event, *_ in said]


def test_it_conducts_on_from_there() -> None:
    """Heard since bar 60, the track is left sooner than one that came in later."""
    lost = a_night(60, lambda _: a_wish(0.5), rules=RULES, library=[ONE, TWO], place=PLACE)
    later = replace(PLACE, since=100)
    other = a_night(60, lambda _: a_wish(0.5), rules=RULES, library=[ONE, TWO], place=later)
    begun = [[said.bar for said in night.events("transition")] for night in (lost, other)]
    assert [(bar - 70) % 8 for bars in begun for bar in bars] == [0, 0]
    assert begun[0][0] < begun[1][0]
    assert clashes(lost) == clashes(other) == []


def test_a_skip_that_was_heard_before_is_not_asked_for_again() -> None:
    """The counter of the wishes goes on."""
    conductor = a_conductor()
    planned(conductor, 100)
    conductor.hear(replace(a_wish(0.7), skip=3))
    assert not conductor._listening.skip_asked
    conductor.hear(replace(a_wish(0.7), skip=4))
    assert conductor._listening.skip_asked


def test_a_track_that_takes_a_while_to_come_begins_where_it_is_by_then() -> None:
    """Silence lasts longer, and the beat goes on in it."""
    conductor = a_conductor()
    early = planned(conductor, 100, 101, 102, ready=False)
    assert all(not plan.orders for plan in early)
    (plan,) = planned(conductor, 103)
    assert Start(0, TWO, -70, 0, -0.03) in plan.orders
    assert plan.said[0].facts["to_bar"] == 33


def test_a_track_that_is_over_before_it_comes_gives_way_to_a_beginning() -> None:
    """As on any night."""
    conductor = a_conductor()
    over = 70 + TWO.bars
    planned(conductor, *range(100, over), ready=False)
    last, first = planned(conductor, over, over + 1)
    assert [said.event for said in last.said + first.said if said.event != "tempo"] == ["start"]


def test_a_track_that_cannot_be_loaded_gives_way_to_another() -> None:
    """The place is forgotten with it."""
    conductor = a_conductor()
    conductor.give_up("two")
    planned(conductor, 100)
    assert not conductor.goes_on
    assert conductor.next == ONE


@pytest.mark.parametrize(
    "other",
    [
        {"track_id": "three"}, {"sound_sha256": "cc" * 32}, {"sound_sha256": ""},
        {"track_bpm": 120.01}, {"first_beat_seconds": 0.06}, {"beat": 4.0 * (70 + TWO.bars - 1)},
        {"beat": 4.0 * 5000}, {"offset": -101},
    ],
    ids=str,
)  # fmt: skip
def test_where_the_place_is_not_right_a_night_begins(other: dict[str, float]) -> None:
    """The track is gone, was measured anew, is over, or has not begun."""
    conductor = a_conductor(replace(PLACE, **other))  # type: ignore[arg-type]
    fresh = Conductor([ONE, TWO], RULES)
    assert not conductor.goes_on
    assert (conductor.next, conductor.first_bpm) == (fresh.next, fresh.first_bpm)
    assert planned(conductor, 0)[0].orders == planned(fresh, 0)[0].orders


def test_a_track_whose_beats_were_taken_twice_is_counted_so_again() -> None:
    """60 counts as 120."""
    slow = a_track("slow", bpm=60.0)
    place = replace(PLACE, track_id="slow", sound_sha256="", offset=-90)
    conductor = Conductor([ONE, slow], RULES, place=place)
    assert conductor.next is not None
    assert (conductor.next.id, conductor.next.bpm) == ("slow", 120.0)


def test_a_timeline_can_begin_at_any_beat() -> None:
    """In the middle of a bar; and the tempo moves on its bar lines."""
    timeline = Timeline(44100, 120.0, first_sample=64, first_beat=402.5)
    assert timeline.beat_at(64) == 402.5
    assert timeline.sample_at(404.0) == 64 + 0.75 * 44100
    timeline.steer(121.0)
    while timeline.beat < 409.0:
        timeline.advance()
    assert timeline.bpm_at(timeline.sample_at(403.9)) == 120.0
    assert timeline.bpm_at(timeline.sample_at(408.5)) == 121.0
