"""Facts about the ways from one track to the next, seen in what two decks have at once."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.music.library import Track
from crowdstream.music.lines import leave_lines, on_line
from crowdstream.music.rules import BASS, DRUMS, OTHER, STYLES, VOCALS, Rules
from crowdstream.music.voices import Said
from crowdstream.packets import Mix
from crowdstream.testing import conducting
from crowdstream.testing.conducting import DeckRun, Night, Wish, a_wish, clashes
from crowdstream.testing.music import FORM, a_track

QUICK = Rules(slope_up=1.0, slope_down=1.0, bars_per_track=24)
AGREE = [a_track("one", bpm=112.0, key="8A"), a_track("two", bpm=113.0, key="9A")]
CLASH = [a_track("one", bpm=112.0, key="8A"), a_track("two", bpm=113.0, key="2B")]
SECTIONS = ("intro", "groove", "break", "build", "drop", "outro")

a_night = partial(conducting.a_night, rules=QUICK, library=AGREE)


def a_style(style: str, **more: object) -> Rules:
    """Quick nights in which tracks change in one way."""
    return Rules(slope_up=1.0, slope_down=1.0, bars_per_track=24, style=style, **more)  # type: ignore[arg-type]


def calm(_: int) -> Mix:
    """A floor that stays below every drop."""
    return a_wish(0.5, bpm=112.0)


def first(night: Night) -> tuple[Said, DeckRun, DeckRun]:
    """The first transition, and both decks."""
    said = night.events("transition")[0]
    incoming = next(run for run in night.runs if run.start >= said.bar * 4 - 1)
    return said, night.runs[night.runs.index(incoming) - 1], incoming


# ---- laws ----------------------------------------------------------------------------------


@st.composite
def libraries(draw: st.DrawFn) -> list[Track]:
    """Any music: forms of any lengths, any keys, tempos near and far, one or many artists."""
    tracks = []
    for number in range(draw(st.integers(1, 6))):
        lengths = st.sampled_from([2, 4, 5, 8, 12, 16, 24])
        form = draw(st.lists(st.tuples(st.sampled_from(SECTIONS), lengths), min_size=1, max_size=7))
        key = f"{draw(st.integers(1, 12))}{draw(st.sampled_from('AB'))}"
        bpm = draw(st.sampled_from([56.0, 87.0, 100.0, 108.0, 110.0, 112.0, 113.5, 120.0, 174.0]))
        tracks.append(a_track(f"t{number}", bpm=bpm, key=key, form=form))
    return tracks


@st.composite
def nights(draw: st.DrawFn) -> Wish:
    """Any floor and any person at the desk: drives that jump, skips, holds, panic, people."""
    stretch = draw(st.integers(1, 20))
    drives = draw(st.lists(st.floats(0, 1), min_size=1, max_size=30))
    gains = draw(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 4), min_size=1))
    people = draw(st.lists(st.none() | st.integers(0, 60), min_size=1, max_size=8))
    commands = draw(st.lists(st.sampled_from(["", "", "", "hold", "panic", "skip"]), min_size=1))

    def wish(bar: int) -> Mix:
        step = bar // stretch
        command = commands[step % len(commands)]
        skips = sum(commands[s % len(commands)] == "skip" for s in range(step + 1))
        return a_wish(
            drives[step % len(drives)], gains=gains[step % len(gains)], skip=skips,
            hold=command == "hold", panic=command == "panic", people=people[step % len(people)],
        )  # fmt: skip

    return wish


@pytest.mark.timeout(90)  # forty nights of 220 bars, where coverage is counted too
@given(
    libraries(), nights(), st.sampled_from(["auto", *STYLES]), st.sampled_from([4, 8, 12, 16, 32]),
    st.sampled_from([16, 32, 48, 64]), st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_never_two_basses_two_voices_or_two_lows(
    library: list[Track], floor: Wish, style: str, overlap: int, segment: int, seed: int
) -> None:
    """Whatever is wished, and whatever the music is; but for the beat in which the lows change."""
    rules = a_style(style, overlap_bars=overlap, segment_beats=segment)
    night = a_night(220, floor, rules=rules, library=library, seed=seed)
    assert clashes(night) == []


@pytest.mark.timeout(90)  # forty nights of 220 bars, where coverage is counted too
@given(libraries(), nights(), st.sampled_from(["auto", *STYLES]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_some_drums_and_some_low_are_always_heard(
    library: list[Track], floor: Wish, style: str, always_ready: bool
) -> None:
    """The music never ends and never loses its ground, also when a track loads late or never."""
    rules = a_style(style)
    night = a_night(
        220, floor, rules=rules, library=library, ready=lambda bar: always_ready or bar % 11 == 0
    )
    for bar in range(2, 220):
        beat = bar * 4 + 0.5
        assert max(run.gain(DRUMS, beat) for run in night.runs) > 0.5, bar
        assert max(run.low(beat) for run in night.runs) > 0.5, bar
        playing = [run for run in night.runs if run.gain(DRUMS, beat) > 0.5]
        inside = [0 <= bar + run.offset(beat) < run.track.bars for run in playing]
        assert any(inside), (bar, "the track is over")


@pytest.mark.timeout(90)  # forty nights of 220 bars, where coverage is counted too
@given(libraries(), nights(), st.sampled_from(["auto", *STYLES]))
@settings(max_examples=40, deadline=None)
def test_every_transition_has_its_place_its_length_and_its_cause(
    library: list[Track], floor: Wish, style: str
) -> None:
    """It begins on a phrase line, and pads are heard of both only where keys agree."""
    night = a_night(220, floor, rules=a_style(style), library=library)
    for said in night.events("transition"):
        before = [run for run in night.runs if run.start < said.bar * 4 - 1.0]
        going = next(run for run in reversed(before) if run.track.id == said.facts["from"])
        here = said.bar + going.offset(said.bar * 4 + 0.1)
        too_short = leave_lines(going.track, tail_bars=8) == [0]
        assert on_line(going.track, here) or (too_short and here == going.track.bars)
        assert said.why
        assert said.facts["bars"] in range(33)
        if any("clash" in str(text) for text in said.facts["relaxed"]):  # type: ignore[attr-defined]
            assert said.facts["style"] not in ("stem swap", "long blend")


# ---- each style ----------------------------------------------------------------------------


def test_a_stem_swap_brings_drums_then_bass_then_the_rest() -> None:
    """Sixteen bars: hats at first, all that is low on the eighth, pads until the end."""
    said, going, coming = first(a_night(60, calm, rules=a_style("stem swap", overlap_bars=16)))
    at = said.bar * 4
    assert (said.facts["style"], said.facts["bars"]) == ("stem swap", 16)
    assert [coming.gain(stem, at + 31) for stem in range(4)] == [0.75, 0.0, 0.0, 0.0]
    assert (going.low(at + 31), coming.low(at + 31)) == (1.0, 0.0)
    assert (going.low(at + 32), coming.low(at + 32)) == (0.0, 1.0)
    assert [going.gain(stem, at + 32) for stem in (DRUMS, BASS, VOCALS)] == [0.0, 0.0, 0.0]
    assert 0.6 < coming.gain(OTHER, at + 48) < 0.8
    assert 0.6 < going.gain(OTHER, at + 48) < 0.8
    assert coming.gain(OTHER, at + 64) == 1.0
    assert going.stop <= at + 65


def test_a_long_blend_goes_band_by_band() -> None:
    """Mids and highs of both over sixteen bars, the lows within a beat in the middle."""
    said, going, coming = first(a_night(70, calm, rules=a_style("long blend")))
    at = said.bar * 4
    assert (said.facts["style"], said.facts["bars"]) == ("long blend", 16)
    mids = [(going.knobs["mid"].at(at + b), coming.knobs["mid"].at(at + b)) for b in (0, 32, 64)]
    assert mids == [(1.0, 0.0), (0.85, 0.75), (0.0, 1.0)]
    assert (going.low(at + 31), coming.low(at + 31)) == (1.0, 0.0)
    assert (going.low(at + 32), coming.low(at + 32)) == (0.0, 1.0)


def test_drums_alone_overlap_where_keys_clash() -> None:
    """Of what has a key nothing is heard together; the event says what was given up."""
    night = a_night(60, calm, library=CLASH)
    said, going, coming = first(night)
    assert said.facts["style"] == "drums only"
    assert said.facts["relaxed"] == ["8A and 2B clash"]
    for beat, one, other in night.together():
        for stem in (BASS, VOCALS, OTHER):
            assert min(one.gain(stem, beat), other.gain(stem, beat)) == 0.0
    beside = [run.gain(DRUMS, said.bar * 4 + 31) for run in (going, coming)]
    assert beside == [1.0, 0.75]


def test_a_cut_is_on_the_one() -> None:
    """A quarter of a beat before the line the one is whole, at the line the other."""
    said, going, coming = first(a_night(60, calm, rules=a_style("cut")))
    at = said.bar * 4
    assert (said.facts["style"], said.facts["bars"]) == ("cut", 0)
    assert [run.gain(DRUMS, at - 0.25) for run in (going, coming)] == [1.0, 0.0]
    assert [run.gain(DRUMS, at) for run in (going, coming)] == [0.0, 1.0]


def test_an_echo_rings_on_over_the_new_one() -> None:
    """The last beat goes into the echo, without its lows; at the line the deck is silent."""
    said, going, coming = first(a_night(60, calm, rules=a_style("echo out")))
    at = said.bar * 4
    assert (said.facts["style"], said.facts["bars"]) == ("echo out", 2)
    assert going.knobs["echo"].at(at - 0.5) == 1.0
    assert going.low(at - 0.5) == 0.0
    assert (going.gain(DRUMS, at), coming.gain(DRUMS, at), coming.low(at)) == (0.0, 1.0, 1.0)


def test_a_filter_takes_the_old_one_out_over_four_bars() -> None:
    """The new one is whole on the one."""
    said, going, coming = first(a_night(60, calm, rules=a_style("filter out")))
    at = said.bar * 4
    assert (said.facts["style"], said.facts["bars"]) == ("filter out", 4)
    assert (coming.gain(DRUMS, at), coming.low(at), going.low(at)) == (1.0, 1.0, 0.0)
    assert [going.knobs["highpass"].at(at + beat) for beat in (0, 16)] == [0.0, 1.0]
    assert going.gain(BASS, at) == going.gain(VOCALS, at) == 0.0


@pytest.mark.parametrize(
    ("seconds", "bars"), [(1.0, 4), (10.0, 4), (14.0, 8), (17.0, 8), (26.0, 12)]
)
def test_a_length_in_seconds_becomes_the_nearest_four_bars(seconds: float, bars: int) -> None:
    """At 112 BPM a bar lasts 2.14 s; less than four bars are none."""
    said, _, _ = first(
        a_night(60, calm, rules=a_style("stem swap", crossfade_duration=seconds))
    )  # fmt: skip
    assert said.facts["bars"] == bars


def test_what_fits_is_chosen() -> None:
    """Steady: a blend. Rising to a drop: a cut into it. Falling: a filter. Far apart: an echo."""

    def style(floor: Wish, library: list[Track] = AGREE) -> object:
        return a_night(80, floor, library=library).events("transition")[0].facts["style"]

    far = [AGREE[0], a_track("far", bpm=140.0, key="8A")]
    assert style(calm) == "long blend"
    assert style(lambda bar: a_wish(0.5 if bar < 14 else 0.68)) == "cut"
    assert style(lambda bar: a_wish(0.75 if bar < 14 else 0.5)) == "filter out"
    assert style(calm, far) == "echo out"
    assert style(calm, CLASH) == "drums only"
    assert style(lambda _: a_wish(0.9)) == "stem swap"


def test_a_track_that_was_never_separated_is_not_taken_apart() -> None:
    """All of it is in one file: it leaves in an echo, or as an outro under an intro."""
    import dataclasses

    whole = [dataclasses.replace(track, files={"mix": "mix.flac"}) for track in AGREE]
    night = a_night(200, calm, library=whole)
    assert {said.facts["style"] for said in night.events("transition")} <= {
        "echo out",
        "long blend",
    }
    assert clashes(night) == []


def test_half_the_tempo_is_the_same_tempo() -> None:
    """64 BPM fits 128: its beats are counted twice."""
    library = [a_track("fast", bpm=128.0, key="8A"), a_track("slow", bpm=64.0, key="8A", form=FORM)]
    night = a_night(120, lambda _: a_wish(0.5, bpm=128.0), library=library)
    said = night.events("transition")[0]
    assert said.facts["style"] != "echo out"
    played = {run.track.id: (run.track.bpm, run.track.bars) for run in night.runs}
    assert played["slow"] == (128.0, 160)
