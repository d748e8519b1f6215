"""Facts about the conductor: the rules it plays by, seen in its orders. No sound is needed."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.errors import ConfigError
from crowdstream.music.conductor import Conductor, Rules
from crowdstream.music.rules import BASS, DRUMS, VOCALS
from crowdstream.music.transitions import FLAT
from crowdstream.music.voices import Said
from crowdstream.packets import STEMS, Mix
from crowdstream.testing import conducting
from crowdstream.testing.conducting import Night, Wish, a_wish, clashes
from crowdstream.testing.music import a_track

LIBRARY = [
    a_track("one", bpm=100.0, key="8A"), a_track("two", bpm=107.0, key="9A"),
    a_track("three", bpm=115.0, key="9B"), a_track("four", bpm=123.0, key="10B"),
    a_track("five", bpm=132.0, key="10A"),
]  # fmt: skip
QUICK = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=24)

a_night = partial(conducting.a_night, rules=QUICK, library=LIBRARY)


def waves(bar: int) -> Mix:
    """A floor that fills and empties every 80 bars."""
    return a_wish(0.5 + 0.45 * math.sin(2 * math.pi * bar / 80))


@st.composite
def floors(draw: st.DrawFn) -> Wish:
    """Any floor: the drive jumps every few bars."""
    drives = draw(st.lists(st.floats(0, 1), min_size=4, max_size=40))
    stretch = draw(st.integers(1, 20))
    return lambda bar: a_wish(drives[(bar // stretch) % len(drives)])


@given(floors(), st.sampled_from([8, 16]), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_stems_come_and_go_on_phrase_lines_only(floor: Wish, overlap: int, seed: int) -> None:
    """Outside transitions every fade belongs to an 8-bar line of its track."""
    rules = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=24, overlap_bars=overlap)
    night = a_night(300, floor, rules=rules, seed=seed)
    lines = [
        (said.bar, said.facts["stem"])
        for said in night.said
        if said.event in ("stem_in", "stem_out")
    ]
    offset_at = {bar: offset for bar, _, offset in night.tracks}
    for bar, _ in lines:
        offsets = [offset for start, offset in offset_at.items() if start <= bar]
        assert any((bar + offset) % 8 == 0 for offset in offsets[-2:])


@given(floors(), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_stem_that_came_or_went_stays_eight_bars(floor: Wish, seed: int) -> None:
    """Whatever the floor does."""
    night = a_night(300, floor, seed=seed)
    for stem in STEMS:
        changes = [s.bar for s in night.said if s.facts.get("stem") == stem]
        assert all(later - earlier >= 8 for earlier, later in pairwise(changes))


@given(floors(), st.floats(0.05, 1.0), st.floats(0.05, 1.0))
@settings(max_examples=25, deadline=None)
def test_the_tempo_keeps_to_its_slope_and_turns_rarely(floor: Wish, up: float, down: float) -> None:
    """Never more per bar than allowed; two turns are at least 16 bars apart."""
    night = a_night(300, floor, rules=Rules(slope_up=up, slope_down=down, bars_per_track=24))
    steps = [later - earlier for earlier, later in pairwise(night.tempi)]
    assert max(steps) <= up + 1e-9
    assert min(steps) >= -down - 1e-9
    moves = [(bar, step > 0) for bar, step in enumerate(steps) if abs(step) > 1e-9]
    turns = [bar for (_, was), (bar, now) in pairwise(moves) if was != now]
    assert all(later - earlier >= 16 for earlier, later in pairwise(turns))


@given(floors(), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_no_track_is_heard_beyond_its_leash(floor: Wish, seed: int) -> None:
    """All that sounds together is within 4 % of its own tempo."""
    night = a_night(300, floor, seed=seed)
    away = [
        abs(bpm / track.bpm - 1.0)
        for bpm, tracks in zip(night.tempi, night.audible, strict=True)
        for track in tracks
    ]
    assert max(away) <= 0.04 + 1e-9


@given(floors(), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_the_drums_are_never_taken_away_and_the_bass_for_sixteen_bars_at_most(
    floor: Wish, seed: int
) -> None:
    """At every bar some deck plays the drums; the bass is missed for a while and comes back."""
    night = a_night(300, floor, seed=seed)
    assert all(any(deck[DRUMS] > 0 for deck in decks.values()) for decks in night.heard)
    without = [not any(deck[BASS] > 0 for deck in decks.values()) for decks in night.heard]
    assert max(longest_true(without), 0) <= 16


def longest_true(values: list[bool]) -> int:
    """The longest stretch of true ones."""
    longest = now = 0
    for value in values:
        now = now + 1 if value else 0
        longest = max(longest, now)
    return longest


def test_transitions_begin_on_a_phrase_and_lead_into_a_groove_or_a_drop() -> None:
    """Both tracks on an 8-bar line; at the swap the incoming one is where it was to be."""
    night = a_night(600, waves)
    transitions = night.events("transition")
    assert len(transitions) >= 5
    assert {said.facts["into"] for said in transitions} == {"groove", "drop"}
    for said in transitions:
        _, old_offset = night.place(said.bar)
        bar, track, offset = next(c for c in night.changes() if c[0] == said.bar)
        assert (bar + old_offset) % 8 == (bar + offset) % 8 == 0
        ahead = [
            s for s in track.sections if s.bar >= bar + offset and s.name == said.facts["into"]
        ]
        assert ahead[0].bar - (bar + offset) in (0, 8, 16)


def test_a_track_is_not_left_in_its_break_or_build() -> None:
    """What a build promises is kept."""
    night = a_night(600, waves)
    left = set()
    for said in night.events("transition"):
        track, offset = night.place(said.bar)
        left.add(track.section_at(said.bar + offset).name)
    assert left <= {"groove", "drop", "outro"}


def test_a_high_drive_brings_the_next_track_in_by_its_drop() -> None:
    """And a low one by its groove."""
    into = [
        {said.facts["into"] for said in a_night(200, lambda _: a_wish(drive)).events("transition")}  # noqa: B023
        for drive in (0.1, 0.9)
    ]
    assert into == [{"groove"}, {"drop"}]


def test_a_track_is_heard_for_as_long_as_the_rules_say() -> None:
    """By default 48 bars until the next one has taken over; 24 where asked."""
    for bars in (24, 48):
        night = a_night(
            500, lambda _: a_wish(0.4), rules=Rules(slope_up=1, slope_down=1, bars_per_track=bars)
        )
        heard = [
            later + 8 - earlier for (earlier, _, _), (later, _, _) in pairwise(night.changes())
        ]
        assert min(heard) >= bars


def test_a_strong_change_of_the_floor_brings_the_next_track_early() -> None:
    """From still to full: sooner than the rules alone would."""
    rules = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=72)
    still = a_night(200, lambda _: a_wish(0.1, bpm=112), rules=rules)
    wild = a_night(200, lambda bar: a_wish(0.1 if bar < 4 else 0.9, bpm=112), rules=rules)
    assert wild.events("transition")[0].bar < still.events("transition")[0].bar
    assert "drive" in wild.events("transition")[0].why


def test_the_next_track_meets_the_tempo_and_the_key() -> None:
    """Neighbours in tempo, which here fit in key; never the same twice."""
    night = a_night(1000, waves)
    names = [track.id for _, track, _ in night.changes()]
    order = ["one", "two", "three", "four", "five"]
    assert all(abs(order.index(a) - order.index(b)) == 1 for a, b in pairwise(names))


def test_when_no_tempo_meets_the_music_cuts_on_the_one_and_says_so() -> None:
    """Two tracks that are far apart: the first rings out in an echo."""
    far = [a_track("slow", bpm=90.0), a_track("fast", bpm=140.0)]
    night = a_night(200, lambda _: a_wish(0.5), library=far)
    cut = night.events("transition")[0]
    assert cut.facts["style"] == "echo out"
    assert "no track meets this tempo" in cut.why
    assert night.tempi[cut.bar] == pytest.approx(140.0 * 0.96)


def test_in_a_break_a_fall_changes_nothing_and_a_rise_is_taken() -> None:
    """From the break to eight bars into the drop."""
    one = [a_track("alone", bpm=115.0)]
    rules = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=80)

    def floor(bar: int) -> Mix:
        return a_wish(0.8 if bar < 26 else 0.1)  # it begins at bar 8: the break is bars 24 to 32

    night = a_night(60, floor, library=one, rules=rules)
    assert [night.states[bar] for bar in (20, 24, 39, 47, 48)] == [
        "ok", "hold: break", "hold: break", "hold: break", "ok",
    ]  # fmt: skip
    assert not [said for said in night.events("stem_out") if said.bar < 48]
    assert len(night.events("hold")) == 1
    risen = a_night(60, lambda bar: a_wish(0.1 if bar < 26 else 0.8), library=one, rules=rules)
    assert {said.facts["stem"] for said in risen.events("stem_in") if said.bar == 32} == {
        "vocals",
        "other",
    }


def test_hold_keeps_everything_as_it_is() -> None:
    """Tempo, stems and track, for as long as it lasts; the track goes round."""
    night = a_night(300, lambda bar: a_wish(0.3) if bar < 12 else a_wish(0.9, hold=True))
    assert set(night.tempi[13:]) == {night.tempi[13]}
    assert {track.id for _, track, _ in night.tracks} == {night.tracks[0][1].id}
    assert not [
        s for s in night.said if s.bar > 12 and s.event in ("transition", "stem_in", "stem_out")
    ]
    assert [said.why for said in night.events("loop")][:1] == ["a person asked to hold"]
    assert night.states[-1] == "hold"


def test_a_person_gets_the_next_track_on_the_next_phrase_line() -> None:
    """Whatever else was planned."""
    night = a_night(40, lambda bar: a_wish(0.4, skip=int(bar >= 3)))
    first = night.events("transition")[0]
    assert first.bar == 8
    assert "a person asked" in first.why


def test_panic_is_a_full_mix_at_the_tracks_own_tempo() -> None:
    """At the next bar line, whatever the floor does."""
    night = a_night(
        30, lambda bar: a_wish(0.0, bpm=80.0) if bar < 5 else a_wish(0.0, bpm=80.0, panic=True)
    )
    assert all(factor == 1.0 for factor in night.heard[5][0].values())
    assert night.tempi[15] == pytest.approx(night.tracks[0][1].bpm)
    assert night.states[-1] == "panic"


def test_a_tension_is_resolved_on_the_one_also_within_a_track() -> None:
    """Eight bars without the bass, then everything; and not again for sixty-four bars."""
    flat = [a_track("flat", bpm=115.0, form=(("intro", 8), ("groove", 192)))]
    rules = Rules(bars_per_track=400)
    night = a_night(180, lambda _: a_wish(0.75, bpm=115.0), library=flat, rules=rules)
    tense = [said.bar for said in night.events("tension")]
    assert len(tense) >= 2
    assert min(b - a for a, b in pairwise(tense)) >= 64
    for bar in tense:
        bass = [night.heard[at][0][BASS] for at in range(bar - 1, bar + 9)]
        assert bass == [1.0, *[0.0] * 8, 1.0]
        (drop,) = (said for said in night.events("drop") if said.bar == bar + 8)
        assert "back on the one" in drop.why
        assert [night.coming[bar + n][2] for n in (0, 7)] == [8, 1]


def test_an_empty_floor_hears_whole_tracks() -> None:
    """Whoever comes in finds one that is not left for another in the middle."""
    calm = a_night(120, lambda _: a_wish(0.5, bpm=112.0), rules=Rules())
    empty = a_night(120, lambda _: a_wish(0.5, bpm=112.0, people=0), rules=Rules())
    left = []
    for night in (calm, empty):
        bar = night.events("transition")[0].bar
        track, offset = night.place(bar)
        left.append(track.bars - (bar + offset))
    assert left[1] == 8
    assert left[0] > 8


@pytest.mark.parametrize("begin", range(14, 34))
def test_panic_ends_a_transition_and_opens_every_filter(begin: int) -> None:
    """Wherever it is pressed: a bar later one deck is heard, whole and flat."""
    night = a_night(
        40, lambda bar: a_wish(0.3, panic=bar >= begin), rules=replace(QUICK, style="long blend")
    )
    beat = (begin + 1) * 4 + 0.5
    heard = [run for run in night.runs if max(run.gain(stem, beat) for stem in range(4)) > 0.0]
    assert len(heard) == 1
    assert [heard[0].gain(stem, beat) for stem in range(4)] == [1.0] * 4
    assert {knob: course.at(beat) for knob, course in heard[0].knobs.items()} == FLAT
    assert clashes(night) == []


def test_a_floor_that_has_cooled_gets_the_programme_also_in_a_break() -> None:
    """Nothing less than before, and no less than the programme."""
    one = [a_track("alone", bpm=115.0)]
    rules = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=300)

    def floor(bar: int) -> Mix:
        return a_wish(0.8 if bar < 4 else 0.05, bpm=100.0)

    night = a_night(60, floor, library=one, rules=rules)
    cooled = night.events("programme")[0].bar
    assert night.levels[cooled][2:] == (1.0, 1.0)
    assert night.tempi[cooled + 12] == pytest.approx(112.0)


def test_a_track_that_never_loads_is_not_waited_for_in_silence() -> None:
    """What plays goes round on a phrase line, into its groove or drop."""
    night = a_night(300, lambda _: a_wish(0.3), ready=lambda bar: bar < 4)
    assert len(night.events("loop")) >= 2
    assert all((bar + offset) % 8 == 0 for bar, _, offset in night.tracks)
    assert all(any(deck[DRUMS] for deck in decks.values()) for decks in night.heard)


def test_asking_for_another_where_there_is_none_changes_nothing() -> None:
    """The floor is still followed."""
    alone = [LIBRARY[2]]
    asked = a_night(200, lambda bar: a_wish(0.5, skip=int(bar > 20)), library=alone)
    assert asked.said == a_night(200, lambda _: a_wish(0.5), library=alone).said


@pytest.mark.parametrize("form", [
    (("intro", 8), ("build", 8), ("drop", 8)),  # nothing after the drop
    (("groove", 10),),  # twenty seconds
    (("intro", 6), ("groove", 6)),
    (("break", 12), ("outro", 5)),
])  # fmt: skip
def test_no_track_holds_the_night_for_ever(form: tuple[tuple[str, int], ...]) -> None:
    """However short or odd it is: it goes round for its time, and the next one comes."""
    library = [a_track(name, bpm=112.0, form=form) for name in ("one", "two", "three")]
    for drive in (0.4, 0.9):
        night = a_night(200, lambda _: a_wish(drive, bpm=112.0), library=library)  # noqa: B023
        changes = [bar for bar, _, _ in night.changes()]
        assert len(changes) >= 3
        assert max(b - a for a, b in pairwise(changes)) <= 80


def test_a_single_track_plays_for_ever() -> None:
    """Round and round."""
    night = a_night(500, waves, library=[LIBRARY[2]])
    assert len(night.events("loop")) >= 5
    assert not night.events("transition")


def test_four_hours_go_by_without_growth_or_repeat() -> None:
    """Always something plays, nothing twice in a row, nothing is kept without end."""
    conductor = Conductor(LIBRARY, QUICK)
    bpm, transitions = conductor.first_bpm, 0
    sizes = []
    for bar in range(16_000):
        conductor.hear(waves(bar))
        plan = conductor.plan(bar, bpm=bpm, ready=True)
        bpm = plan.bpm
        changes = [said.facts for said in plan.said if said.event == "transition"]
        transitions += len(changes)
        assert all(facts["from"] != facts["to"] for facts in changes)
        assert conductor.voice is not None
        if bar % 1000 == 0:
            sizes.append(len(pickle.dumps(conductor)))
    assert transitions > 300
    assert max(sizes[-4:]) <= 1.1 * max(sizes[:-4])


def test_without_wishes_the_programme_is_played() -> None:
    """And the first wish ends it."""
    conductor = Conductor(LIBRARY, QUICK)
    conductor.hear_nothing()
    assert (conductor.state, conductor.wish.drive) == ("alone", 0.5)
    conductor.hear(a_wish(0.2))
    assert (conductor.state, conductor.wish.drive) == ("ok", 0.2)


def test_what_comes_is_known_before() -> None:
    """The next track and its bar, and each drop from eight bars before."""
    night = a_night(300, lambda _: a_wish(0.8))
    ahead = [said.bar for said in night.events("drop_ahead")]
    drops = [said.bar for said in night.events("drop")]
    assert [bar + 8 for bar in ahead[: len(drops)]] == drops
    conductor = Conductor(LIBRARY, QUICK)
    bpm = conductor.first_bpm
    told = []
    for bar in range(17):
        conductor.hear(a_wish(0.8))
        bpm = conductor.plan(bar, bpm=bpm, ready=True).bpm
        told.append(conductor.coming(bar)[1])
    assert told[8:17] == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_every_decision_has_a_cause() -> None:
    """In words."""
    assert all(said.why for said in a_night(400, waves).said)


def test_the_same_seed_decides_the_same() -> None:
    """Bar for bar."""
    assert a_night(300, waves, seed=4) == a_night(300, waves, seed=4)


@pytest.mark.parametrize(
    "wrong", [{"slope_up": 1.5}, {"leash": 0.2}, {"overlap_bars": 10}, {"bars_per_track": 4}]
)
def test_rules_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    """With one sentence."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Rules(**wrong)  # type: ignore[arg-type]


def the_drop_of(night: Night) -> Said | None:
    """The first time that a floor was lifted to the drop of the track that played."""
    return next((said for said in night.events("drop") if "to_bar" in said.facts), None)


@pytest.mark.parametrize("rise", range(9, 17))
def test_a_floor_that_comes_up_gets_its_drop_on_the_next_phrase_line(rise: int) -> None:
    """Whichever bar it comes up in; and with the stems that it asks for."""
    rules = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=64)
    night = a_night(64, lambda bar: a_wish(0.9 if bar >= rise else 0.2), rules=rules)
    lifted = the_drop_of(night)
    assert lifted is not None
    track, offset = night.place(lifted.bar)
    assert (lifted.bar + offset) % 8 == 0
    assert 0 <= lifted.bar - rise < 8
    start = next(s for s in night.tracks if s[0] == lifted.bar)
    assert track.section_at(lifted.bar + start[2]).name == "drop"
    assert max(sum(gains.values()) for gains in night.heard[lifted.bar].values()) == 4.0


def test_a_floor_that_rises_slowly_is_not_lifted() -> None:
    """A drop is for a floor that comes up by itself, not for one that warms."""
    night = a_night(120, lambda bar: a_wish(min(0.9, 0.3 + 0.006 * bar)))
    assert the_drop_of(night) is None


def test_a_floor_is_lifted_at_most_once_in_thirty_two_bars() -> None:
    """A peak that never ends is none."""
    rules = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=200)
    night = a_night(400, lambda bar: a_wish(0.95 if bar % 24 >= 12 else 0.2), rules=rules)
    lifts = [said.bar for said in night.events("drop") if "to_bar" in said.facts]
    assert len(lifts) >= 2
    assert min(b - a for a, b in pairwise(lifts)) >= 32


def test_a_night_begins_in_a_groove_with_all_that_is_wished() -> None:
    """An inviting track, not the way into one; and its first phrase is heard twice."""
    night = a_night(40, lambda _: a_wish(0.5))
    (first, track, offset), (again, same, back) = night.tracks[:2]
    assert track.section_at(first + offset).name == "groove"
    assert (same, again - first, back + again) == (track, 8, offset + first)
    assert night.heard[0] == {0: dict.fromkeys(range(4), 1.0)}
    assert night.changes()[1][0] == 16


def test_the_voice_may_come_on_the_line_on_which_a_transition_begins() -> None:
    """It need not wait for the next track; and there are never two."""
    night = a_night(40, lambda bar: a_wish(0.4 if bar < 12 else 0.55))
    transition = night.events("transition")[0].bar
    came = [said.bar for said in night.events("stem_in") if said.facts["stem"] == "vocals"]
    assert transition in came
    for decks in night.heard:
        assert sum(gains[VOCALS] > 0 for gains in decks.values()) <= 1
