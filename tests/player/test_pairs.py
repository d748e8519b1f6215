"""Facts about what leaves the mixer beside the house: the stems, the cue, and an armed start."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.music.library import Track
from crowdstream.music.rules import STYLES
from crowdstream.packets import STEMS, Mix
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.player.pairs import Pairs
from crowdstream.testing.music import SHORT_FORM, a_track, clicks

RATE = 44100
BPM = 116.0
RULES = Rules(
    bars_per_track=16, fade_in_seconds=1.0, stretch="varispeed", style="stem swap",
    programme_bpm=BPM,
)  # fmt: skip
ONE = a_track("one", bpm=BPM, key="8A", form=SHORT_FORM)
TWO = a_track("two", bpm=BPM, key="8B", form=SHORT_FORM)
SOUNDS = {"one": clicks(ONE, tones=0.3), "two": clicks(TWO, tones=0.3)}
ALL = Pairs(cue=True, stems=True)

FLOAT = 4 * float(np.finfo(np.float32).eps)
"""A rounding of some sounds near full scale."""


def a_mixer(pairs: Pairs, rules: Rules = RULES, **facts: Any) -> Mixer:
    return Mixer(
        [ONE, TWO], lambda track: SOUNDS[track.id], rate=RATE, rules=rules, pairs=pairs, **facts
    )


def a_wish(now: float) -> Mix:
    """The bass and the voice come and go."""
    return Mix(
        seq=0, captured_at=now, at=now, drive=0.5, confidence=1.0, bpm=BPM + 2.0,
        gains=(1.0, 1.0, 1.0, 0.5),
    )  # fmt: skip


def rendered(
    mixer: Mixer, columns: int, seconds: float, each: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """As long as that, with a wish ten times a second."""
    sound = np.zeros((int(seconds * RATE / QUANTUM) * QUANTUM, columns), np.float32)
    for begin in range(0, len(sound), QUANTUM):
        if begin % (16 * QUANTUM) == 0:
            mixer.take(a_wish(begin / RATE), sample=mixer.position)
        mixer.render(sound[begin : begin + QUANTUM])
        each()
    return sound


@cache
def the_house(style: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same 42 s with a transition, as a pair alone and with all pairs beside it."""
    rules = replace(RULES, style=style)  # type: ignore[arg-type]
    return rendered(a_mixer(Pairs(), rules), 2, 42.0), rendered(
        a_mixer(ALL, rules), 2 * ALL.count, 42.0
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("style", STYLES)
def test_the_house_is_the_same_whatever_is_beside_it(style: str) -> None:
    """Bit for bit: who listens changes nothing."""
    alone, whole = the_house(style)
    assert np.array_equal(whole[:, :2], alone)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("style", STYLES)
def test_the_four_stems_add_up_to_the_house(style: str) -> None:
    """Through fades, bands, filters, echoes and the fade-in, within rounding."""
    _, whole = the_house(style)
    stems = whole[:, 4:].astype(np.float64).reshape(-1, 4, 2)
    assert [float(np.abs(stems[:, k]).max()) > 0.01 for k in range(4)] == [True] * 4
    assert np.abs(stems.sum(axis=1) - whole[:, :2]).max() < FLOAT


@pytest.mark.timeout(60)
def test_the_four_stems_add_up_while_the_limiter_works() -> None:
    """Its gain is that of the sum, for all four alike."""
    loud = {
        name: np.where(sound > 0, 32767, -32768).astype(np.int16) for name, sound in SOUNDS.items()
    }
    mixer = Mixer(
        [ONE, TWO], lambda track: loud[track.id], rate=RATE, pairs=ALL,
        rules=replace(RULES, style="long blend"),
    )  # fmt: skip
    whole = rendered(mixer, 2 * ALL.count, 45.0)
    assert mixer.playing().limiter_db < -0.2
    stems = whole[:, 4:].astype(np.float64).reshape(-1, 4, 2)
    assert np.abs(stems.sum(axis=1) - whole[:, :2]).max() < FLOAT


def test_the_four_stems_add_up_where_tracks_keep_their_key() -> None:
    """The stretcher has them all ready at once."""
    whole = rendered(a_mixer(ALL, replace(RULES, stretch="rubberband")), 2 * ALL.count, 6.0)
    assert np.abs(whole[:, :2]).max() > 0.1
    stems = whole[:, 4:].astype(np.float64).reshape(-1, 4, 2)
    assert np.abs(stems.sum(axis=1) - whole[:, :2]).max() < FLOAT


def test_each_pair_holds_its_own_stem() -> None:
    """Of a track whose stems sound one at a time, each is in its pair and in no other."""
    sounds = np.zeros_like(SOUNDS["one"])
    for stem in range(len(STEMS)):
        sounds[stem] = 1000 * (stem + 1)
    rules = replace(RULES, fade_in_seconds=0.0)
    mixer = Mixer([ONE], lambda _: sounds, rate=RATE, rules=rules, pairs=Pairs(False, False, True))
    quiet = Mixer([ONE], lambda _: sounds, rate=RATE, rules=rules)
    whole = rendered(mixer, 8, 4.0)[-1]
    rendered(quiet, 2, 4.0)
    gains = np.array(quiet.playing().gains)
    expected = gains * np.arange(1, 5) / (gains * np.arange(1, 5)).sum()
    assert whole[::2] / whole[::2].sum() == pytest.approx(expected, rel=1e-3)


# ---- the cue -------------------------------------------------------------------------------------

LOW, HIGH = 400.0, 900.0


def a_tone(track: Track, hz: float) -> NDArray[np.int16]:
    """Another one for each track, in all stems alike."""
    seconds = np.arange(int(track.seconds * RATE)) / RATE
    soft = np.minimum(np.minimum(seconds, seconds[::-1]) / 0.03, 1.0)
    tone = np.rint(2000 * soft * np.sin(2 * np.pi * hz * seconds)).astype(np.int16)
    return np.broadcast_to(tone[np.newaxis, :, np.newaxis], (4, len(tone), 2)).copy()


class Cueing:
    """A minute and a half with two changes of track: who is heard where, and when."""

    def __init__(self, **facts: Any) -> None:
        self.tones = {"one": a_tone(ONE, LOW), "two": a_tone(TWO, HIGH)}
        rules = replace(RULES, fade_in_seconds=0.0)
        self.mixer = Mixer(
            [ONE, TWO], lambda track: self.tones[track.id], rate=RATE, rules=rules,
            pairs=Pairs(cue=True), **facts,
        )  # fmt: skip
        self.rows: list[tuple[float, bool, str, bool, float, float]] = []

    def note(self) -> None:
        """Beat, in a transition, the incoming or waiting track, is one, and the cue's deck."""
        mixer = self.mixer
        transition = mixer.conductor.transition
        coming = transition.incoming.track if transition is not None else mixer.conductor.next
        cue = mixer._beside.cue if mixer._beside is not None else None
        assert cue is not None
        deck = mixer._decks[transition.incoming.deck if transition is not None else 0]
        self.rows.append(
            (
                mixer.timeline.beat, transition is not None, coming.id if coming else "",
                mixer._standby is not None, cue.offset,
                deck.offset + deck.nudge if transition else np.nan,
            )
        )  # fmt: skip

    def play(self, seconds: float) -> NDArray[np.float32]:
        return rendered(self.mixer, 4, seconds, self.note)


@cache
def a_change() -> tuple[Cueing, NDArray[np.float32]]:
    night = Cueing()
    return night, night.play(60.0)


def level(sound: NDArray[np.float32], hz: float) -> float:
    """Of a tone that the tempo may have moved a little."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) * 4.0 / len(sound)
    place = hz * len(sound) / RATE
    return float(spectrum[int(0.93 * place) : int(1.07 * place)].max())


def test_the_cue_holds_what_comes_next_before_the_house_does() -> None:
    """From when it waits; before the fader; and by then the house has nothing of it."""
    night, sound = a_change()
    waits = [k for k, row in enumerate(night.rows) if not row[1] and row[3]]
    begins = next(k for k in range(waits[0], len(night.rows)) if night.rows[k][1])
    coming = night.rows[begins - 200][2]
    own, other = (LOW, HIGH) if coming == "one" else (HIGH, LOW)
    at = (begins - 200) * QUANTUM
    part = slice(at - 8192, at)
    assert level(sound[part, 2], own) > 0.1
    assert level(sound[part, 2], other) < 0.01 * level(sound[part, 2], own)
    assert level(sound[part, 0], own) < 0.01 * level(sound[part, 0], other)


def test_in_a_transition_the_cue_is_where_the_house_has_it_and_as_loud_as_it_will_be() -> None:
    """Same beat of the track, all four stems, no fade and no band in between."""
    night, sound = a_change()
    inside = [k for k, row in enumerate(night.rows) if row[1]]
    begins, ends = inside[0], next(k for k in inside if k + 1 not in inside)
    # The beat before its first bar is for the change from waiting to its place.
    settled = range(begins + int(RATE * 60 / 116 / QUANTUM) + 8, ends)
    assert len(settled) > 500
    assert all(night.rows[k][4] == night.rows[k][5] for k in settled)
    levels = [np.abs(sound[k * QUANTUM : (k + 1) * QUANTUM, 2]).max() for k in settled]
    assert max(levels) < 1.02 * min(levels)
    after = sound[ends * QUANTUM + RATE : ends * QUANTUM + 2 * RATE, 0]
    assert np.abs(after).max() == pytest.approx(max(levels), rel=0.25)


def test_the_cue_is_silent_when_nothing_comes() -> None:
    """And goes and comes without a click."""
    night, sound = a_change()
    second = RATE // QUANTUM
    quiet = [
        k
        for k in range(second, len(night.rows))
        if not any(row[1] or row[3] for row in night.rows[k - second : k + 1])
    ]
    assert len(quiet) > second
    assert not any(sound[k * QUANTUM : (k + 1) * QUANTUM, 2:].any() for k in quiet)
    steepest = np.abs(np.diff(sound[:, 2], n=2)).max()
    material = np.abs(sound[:, 2]).max() * (2 * np.pi * HIGH / RATE) ** 2
    assert steepest < 1.5 * material


@pytest.mark.parametrize("pairs", [ALL, Pairs(False, False, True)], ids=["all", "stems"])
def test_rendering_all_pairs_makes_nothing_new_in_memory(pairs: Pairs) -> None:
    """As without them: no array between bar lines."""
    mixer = a_mixer(pairs)
    out = np.empty((QUANTUM, 2 * pairs.count), np.float32)
    while mixer.timeline.beat < 5.0:
        mixer.render(out)
    gc.collect()
    tracemalloc.start()
    try:
        mixer.render(out)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(50):
            mixer.render(out)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < QUANTUM * 2 * 4
    assert after - before < 512


# ---- armed ---------------------------------------------------------------------------------------


def test_armed_it_is_silent_and_ready_until_it_is_told_to_begin() -> None:
    """However long; then the first track begins on the next one, with the fade-in."""
    mixer = a_mixer(Pairs(), armed=True)
    waiting = rendered(mixer, 2, 30.0)
    assert not waiting.any()
    assert (mixer.playing().state, mixer.prefetch()) == ("armed", None)
    told = mixer.timeline.beat
    mixer.begin()
    sound = rendered(mixer, 2, 6.0)
    start = next(event for event in mixer.events() if event.event == "start")
    beat = float(str(start.facts["beat"]))
    assert beat % 4 == 0
    assert told < beat <= told + 5.0
    assert mixer.playing().state == "ok"
    one = int(start.t * RATE) - len(waiting)
    assert not sound[: one - RATE // 100].any()
    peaks = [np.abs(sound[at : at + RATE // 2]).max() for at in (one, one + RATE, one + 2 * RATE)]
    assert 0.0 < peaks[0] < 0.6 * peaks[1]
    assert peaks[2] > 0.1


def test_not_armed_the_music_begins_by_itself_and_may_be_told_to() -> None:
    """Saying so again changes nothing."""
    told, alone = a_mixer(Pairs()), a_mixer(Pairs())
    told.begin()
    assert np.array_equal(rendered(told, 2, 4.0), rendered(alone, 2, 4.0))


def test_the_first_track_can_be_heard_in_the_cue_while_the_show_is_armed() -> None:
    """Round and round from its groove; the house hears nothing."""
    night = Cueing(armed=True)
    sound = night.play(75.0)  # longer than the track
    assert not sound[:, :2].any()
    for at in range(RATE, len(sound) - RATE, RATE):
        assert np.abs(sound[at : at + RATE, 2]).max() > 0.1, at


def test_at_the_end_the_cue_goes_as_well() -> None:
    """A quarter of a beat later it is silent."""
    night = Cueing(armed=True)
    night.play(4.0)
    night.mixer.end(0.25)
    sound = night.play(1.0)
    assert sound[:2000, 2].any()
    assert not sound[RATE // 3 :].any()
