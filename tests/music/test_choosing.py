"""Facts about the choice of the next track."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.music.choosing import ARTIST_REST, Choice, Choosing, Heard, energy_of
from crowdstream.music.library import Track
from crowdstream.music.rules import Rules
from crowdstream.music.voices import Voice
from crowdstream.testing.conducting import a_night, a_wish
from crowdstream.testing.music import a_track

RULES = Rules()


def by(artist: str, name: str, bpm: float = 112.0, key: str = "8A") -> Track:
    """A track of somebody."""
    return dataclasses.replace(a_track(name, bpm=bpm, key=key), artist=artist)


def choice(
    tracks: list[Track], now: Track, *, wanted: float = 112.0, energy: float = 0.5,
    history: list[Heard] | None = None, rules: Rules = RULES, shift: int = 0,
) -> Choice:  # fmt: skip
    """What comes after `now`."""
    choosing = Choosing([*tracks, now], rules, history=history or [])
    chosen = choosing.choose(
        Voice.silent(0, now, 0, 0, shift), wanted=wanted, bpm=now.bpm, bars=16, energy=energy,
        at_once=False,
    )  # fmt: skip
    assert chosen is not None
    return chosen


NOW = by("A", "now")


def test_the_nearest_to_the_tempo_that_is_wished_for_comes() -> None:
    tracks = [by("B", "slower", 108.0), by("C", "faster", 116.0)]
    assert choice(tracks, NOW, wanted=118.0).track.id == "faster"
    assert choice(tracks, NOW, wanted=106.0).track.id == "slower"


def test_half_and_double_are_the_same_tempo() -> None:
    """Counted twice, or every second beat; its sections stay where they are in time."""
    fast = by("A", "now", 128.0)
    half = choice([by("B", "half", 64.0)], fast, wanted=128.0).track
    assert (half.bpm, half.bars) == (128.0, 160)
    assert [s.bars for s in half.sections] == [32, 32, 16, 16, 32, 32]
    double = choice([by("B", "double", 172.0)], by("A", "now", 87.0), wanted=86.0).track
    assert (double.bpm, double.bars) == (86.0, 40)


def test_a_key_that_agrees_is_better_than_two_beats_a_minute() -> None:
    tracks = [by("B", "in key", 114.0, "9A"), by("C", "clashes", 112.0, "2B")]
    chosen = choice(tracks, NOW)
    assert (chosen.track.id, chosen.in_key, chosen.relaxed) == ("in key", True, ())


def test_a_key_is_given_up_before_freshness_and_that_is_said() -> None:
    tracks = [by("B", "heard", 112.0, "8A"), by("C", "new", 113.0, "2B")]
    chosen = choice(tracks, NOW, history=[Heard("heard", "B")])
    assert (chosen.track.id, chosen.in_key) == ("new", False)
    assert chosen.relaxed == ("8A and 2B clash",)


def test_the_key_is_the_one_that_sounds() -> None:
    """Played a semitone higher, A minor is B flat minor."""
    tracks = [by("B", "plain", 112.0, "8A"), by("C", "shifted", 112.0, "3A")]
    assert choice(tracks, NOW, shift=1).track.id == "shifted"


def test_a_track_may_be_moved_by_a_semitone_where_that_is_allowed() -> None:
    tracks = [by("B", "near", 112.0, "1A")]
    assert choice(tracks, NOW).in_key is False
    moved = choice(tracks, NOW, rules=Rules(most_shift=1))
    assert (moved.in_key, moved.shift) == (True, 1)  # 1A a semitone higher is 8A


def test_what_was_heard_tonight_is_not_heard_again() -> None:
    """Not even after the player was started anew: the history was handed in."""
    tracks = [by("B", "heard"), by("C", "new", 115.0)]
    assert choice(tracks, NOW, history=[Heard("heard", "B")]).track.id == "new"


def test_when_all_were_heard_the_longest_ago_comes_and_that_is_said() -> None:
    tracks = [by("B", "first"), by("C", "second"), by("D", "third")]
    history = [Heard("first", "B"), Heard("second", "C"), Heard("third", "D")]
    chosen = choice(tracks, NOW, history=history)
    assert chosen.track.id == "first"
    assert "all that fit were heard tonight" in chosen.relaxed


def test_an_artist_rests_for_ten_tracks() -> None:
    tracks = [by("B", "same artist"), by("C", "another", key="2B")]
    assert choice(tracks, NOW, history=[Heard("x", "B")]).track.id == "another"
    long_ago = [Heard("x", "B"), *(Heard(f"y{n}", "Z") for n in range(ARTIST_REST))]
    assert choice(tracks, NOW, history=long_ago).track.id == "same artist"


def test_in_a_library_of_one_artist_nobody_complains() -> None:
    assert choice([by("A", "other")], NOW).relaxed == ()


def test_energy_goes_with_the_floor() -> None:
    """As the library says, or guessed from tempo and form."""
    calm = dataclasses.replace(by("B", "calm"), energy=0.2)
    wild = dataclasses.replace(by("C", "wild"), energy=0.9)
    assert choice([calm, wild], NOW, energy=0.9).track.id == "wild"
    assert choice([calm, wild], NOW, energy=0.2).track.id == "calm"
    assert energy_of(by("A", "fast", 140.0)) > energy_of(by("A", "slow", 95.0))


def test_a_tempo_out_of_reach_is_the_last_rule_to_go() -> None:
    chosen = choice([by("B", "far", 140.0)], NOW)
    assert "no track meets this tempo" in chosen.relaxed


def test_a_track_that_cannot_be_loaded_is_not_chosen() -> None:
    choosing = Choosing([NOW, by("B", "broken"), by("C", "whole", 116.0)], RULES)
    choosing.give_up("broken")
    voice = Voice.silent(0, NOW, 0, 0)
    chosen = choosing.choose(voice, wanted=112, bpm=112, bars=8, energy=0.5, at_once=False)
    assert chosen is not None
    assert chosen.track.id == "whole"
    assert choosing.first(112.0) is not None


def test_a_night_after_a_restart_begins_with_something_new() -> None:
    choosing = Choosing([NOW, by("B", "other", 118.0)], RULES, history=[Heard("now", "A")])
    first = choosing.first(112.0)
    assert first is not None
    assert first.id == "other"


@st.composite
def collections(draw: st.DrawFn) -> list[Track]:
    """A record box: artists, keys and tempos within one leash of each other."""
    size = draw(st.integers(12, 30))
    return [
        by(
            f"artist {n % draw(st.integers(11, 14))}",
            f"t{n:02}",
            draw(st.floats(108.0, 116.0)),
            f"{draw(st.integers(1, 12))}{draw(st.sampled_from('AB'))}",
        )  # fmt: skip
        for n in range(size)
    ]


@given(collections(), st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_nothing_is_repeated_while_something_new_fits(
    tracks: list[Track], drives: list[float], seed: int
) -> None:
    """Whatever the floor does; and an artist rests, but where the event says otherwise."""
    rules = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=16)
    night = a_night(
        400, lambda bar: a_wish(drives[bar // 20 % len(drives)], bpm=112.0), rules=rules,
        library=tracks, seed=seed,
    )  # fmt: skip
    played = [track for _, track, _ in night.changes()]
    ids = [track.id for track in played]
    assert len(set(ids)) == len(ids) or len(ids) > len(tracks)
    relaxed = {
        s.facts["to"] for s in night.events("transition") if "artist" in str(s.facts["relaxed"])
    }
    for place, track in enumerate(played):
        lately = {other.artist for other in played[max(0, place - ARTIST_REST) : place]}
        assert track.artist not in lately or track.id in relaxed
    assert all(one.id != other.id for one, other in pairwise(played))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_playlist_of_few_tracks_never_runs_out(size: int) -> None:
    """Round and round, never the same track twice in a row while there is another."""
    tracks = [by("A", f"t{n}", 112.0 + n) for n in range(size)]
    night = a_night(1500, lambda _: a_wish(0.5, bpm=113.0), rules=RULES, library=tracks)
    starts = [run.track.id for run in night.runs]
    assert all(one != other for one, other in pairwise(starts))
    assert len(starts) > 20 or size == 1


@pytest.mark.parametrize("bpm", [112.0, 56.0])
def test_a_track_that_was_given_stems_comes_with_them_from_the_next_choice_on(bpm: float) -> None:
    """Also where it is counted twice as fast as it says."""
    stems = by("B", "later", bpm)
    whole = dataclasses.replace(stems, files={"mix": "mix.flac"})
    choosing = Choosing([whole, NOW], RULES)

    def chosen() -> Track:
        found = choosing.choose(
            Voice.silent(0, NOW, 0, 0, 0), wanted=112.0, bpm=112.0, bars=16, energy=0.5,
            at_once=False,
        )  # fmt: skip
        assert found is not None
        return found.track

    assert (chosen().id, chosen().whole) == ("later", True)
    choosing.renew(stems)
    assert (chosen().id, chosen().whole, chosen().bpm) == ("later", False, 112.0)
