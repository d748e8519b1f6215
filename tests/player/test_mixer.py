"""Facts about the mixer, measured in its sound."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.errors import ConfigError
from crowdstream.music.library import Track
from crowdstream.packets import Gains, Mix, Playing
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.testing.music import SHORT_FORM, a_track, clicks

RATE = 44100
QUICK = Rules(
    slope_up=1.0, slope_down=1.0, bars_per_track=16, fade_in_seconds=0.0, stretch="varispeed",
    style="stem swap",
)  # fmt: skip
KEYED = replace(QUICK, stretch="rubberband")
ENGINES = ("varispeed", "rubberband")

# Each of the two clicks in a channel of its own, so that both can be timed while both sound.
LEFT = a_track("left", bpm=116.0, key="8A", form=SHORT_FORM)
RIGHT = a_track("right", bpm=122.0, key="8B", form=SHORT_FORM, first_beat_seconds=0.0371)
SOUNDS = {
    "left": clicks(LEFT, channels=(1.0, 0.0), tones=0.0),
    "right": clicks(RIGHT, channels=(0.0, 1.0), tones=0.0),
}


def loaded(track: Track) -> NDArray[np.int16]:
    """At once."""
    return SOUNDS[track.id]


def a_mixer(rules: Rules = QUICK, seed: int = 0) -> Mixer:
    """Over the two tracks of clicks."""
    return Mixer([LEFT, RIGHT], loaded, rate=RATE, seed=seed, rules=rules)


def a_wish(
    at: float, *, drive: float = 0.5, bpm: float = 118.0, gains: Gains = (1.0, 1.0, 1.0, 1.0),
    hold: bool = False, skip: int = 0,
) -> Mix:  # fmt: skip
    """One that takes effect at `at` seconds."""
    return Mix(
        seq=0, captured_at=at - 0.1, at=at, drive=drive, confidence=1.0, bpm=bpm, gains=gains,
        hold=hold, skip=skip,
    )  # fmt: skip


def quanta(
    mixer: Mixer, seconds: float, wish: Callable[[float], Mix | None]
) -> Iterator[NDArray[np.float32]]:
    """What is rendered, with a wish ten times a second."""
    asked = 0.0
    for _ in range(int(seconds * RATE / QUANTUM)):
        now = mixer.position / RATE
        if now >= asked and (mix := wish(now)) is not None:
            mixer.take(mix, sample=mixer.position)
            asked += 0.1
        out = np.empty((QUANTUM, 2), np.float32)
        mixer.render(out)
        yield out


def sweep(now: float) -> Mix:
    """The tempo goes up and down by 12 BPM."""
    return a_wish(now, bpm=119.0 + 6.0 * float(np.sin(2 * np.pi * now / 60)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("rules", "seconds", "both"), [(QUICK, 100.0, 40), (KEYED, 50.0, 10)], ids=ENGINES
)
def test_downbeats_of_both_decks_fall_together_while_the_tempo_moves(
    rules: Rules, seconds: float, both: int
) -> None:
    """Measured in the sound: click against click, and against what the timeline says, within 1 ms."""
    mixer = a_mixer(rules)
    beats: list[float] = []
    sound = []
    for out in quanta(mixer, seconds, sweep):
        sound.append(out)
        while len(beats) <= mixer.timeline.beat:
            beats.append(mixer.timeline.sample_at(len(beats)))
    heard = np.concatenate(sound).astype(np.float64)
    apart, together = [], 0
    for at in beats[:-2]:
        begin = max(int(at) - 200, 0)
        around = heard[begin : begin + 400]
        energy = (around**2).sum(axis=0)
        places = begin + (np.arange(len(around)) @ around**2) / np.maximum(energy, 1e-12)
        audible = np.sqrt((around**2).max(axis=0)) > 0.02
        apart += [abs(places[c] - at) / RATE for c in (0, 1) if audible[c]]
        if audible.all():
            together += 1
            apart.append(abs(places[0] - places[1]) / RATE)
    assert together > both
    assert max(apart) < 0.001
    assert {mixer.timeline.bpm_at(at) > 119 for at in beats} == {True, False}


@pytest.mark.parametrize("block", [128, 256, 512, 1000])
def test_the_sound_does_not_depend_on_the_block_of_the_device(block: int) -> None:
    """The same script gives the same bytes, however the quanta are cut."""
    assert cut_into_blocks(block).tobytes() == cut_into_blocks(256).tobytes()


@cache
def cut_into_blocks(block: int) -> NDArray[np.float32]:
    """Five seconds as a device with such blocks would get them; wishes at fixed samples."""
    mixer = a_mixer(KEYED)
    for k in range(1, 15):
        mixer.take(a_wish(0.3 * k, bpm=110.0 + k, drive=k / 15), sample=int(0.3 * k * RATE) + 17)
    out = np.zeros((5 * RATE, 2), np.float32)
    quantum = np.zeros((QUANTUM, 2), np.float32)
    left = 0
    for begin in range(0, len(out), block):
        want = out[begin : begin + block]
        done = 0
        while done < len(want):
            if left == 0:
                mixer.render(quantum)
                left = QUANTUM
            count = min(left, len(want) - done)
            want[done : done + count] = quantum[QUANTUM - left : QUANTUM - left + count]
            done, left = done + count, left - count
    return out


def test_a_wish_takes_effect_at_the_first_quantum_at_or_after_its_sample() -> None:
    """Neither before nor later."""
    mixer = a_mixer()
    mixer.take(a_wish(1.0, bpm=117.5), sample=10 * QUANTUM - 3)
    taken = [
        mixer.position // QUANTUM
        for _ in quanta(mixer, 0.2, lambda _: None)
        if mixer.playing().bpm_wanted == 117.5
    ]
    assert taken[0] == 11  # the eleventh quantum, the first that begins at or after the sample


def test_of_several_wishes_that_are_due_the_newest_counts() -> None:
    """And one that is due later waits for its time."""
    mixer = a_mixer()
    for bpm, sample in ((115.0, 100), (116.0, 200), (119.0, 20 * QUANTUM)):
        mixer.take(a_wish(0.1, bpm=bpm), sample=sample)
    seen = [mixer.playing().bpm_wanted for _ in quanta(mixer, 0.3, lambda _: None)]
    assert [seen[1], seen[19], seen[20]] == [116.0, 116.0, 119.0]


def test_a_wish_that_comes_later_but_is_due_earlier_replaces_the_one_before() -> None:
    """The last word counts."""
    mixer = a_mixer()
    mixer.take(a_wish(9.0, bpm=119.0), sample=9 * RATE)
    mixer.take(a_wish(0.1, bpm=115.0), sample=QUANTUM)
    seen = [mixer.playing().bpm_wanted for _ in quanta(mixer, 10.0, lambda _: None)]
    assert seen[-1] == 115.0


def test_loudness_follows_the_wish_between_lines_but_slowly() -> None:
    """A level moves by 1.5 dB a beat at most."""
    mixer = a_mixer()

    def wish(now: float) -> Mix:
        return a_wish(now, gains=(1.0,) * 4 if now < 4 else (0.6,) * 4)

    gains = [mixer.playing().gains[0] for _ in quanta(mixer, 8.0, wish)]
    levels = 20 * np.log10(np.array(gains[200:]))
    per_quantum = 1.5 * QUANTUM / RATE * mixer.timeline.bpm / 60
    assert np.abs(np.diff(levels)).max() <= per_quantum * 1.01
    assert levels[-1] == pytest.approx(20 * np.log10(0.6), abs=0.01)


def test_drums_and_bass_never_go_below_the_floor() -> None:
    """Whatever is wished."""
    mixer = a_mixer()
    for _ in quanta(mixer, 8.0, lambda t: a_wish(t, gains=(0.0, 0.1, 0.0, 0.0))):
        pass
    assert mixer.playing().gains[:2] == pytest.approx((10 ** (-6 / 20),) * 2, rel=1e-3)


def test_nothing_is_above_the_ceiling_and_nothing_is_not_a_number() -> None:
    """Two tracks at full scale through a transition."""
    loud = {
        name: np.where(stems > 0, 32767, -32768).astype(np.int16) for name, stems in SOUNDS.items()
    }
    mixer = Mixer([LEFT, RIGHT], lambda track: loud[track.id], rate=RATE, rules=QUICK)
    peak = max(float(np.abs(out).max()) for out in quanta(mixer, 30.0, sweep))
    assert 0.5 < peak <= 10 ** (-1 / 20)


def test_a_track_that_is_not_there_yet_is_waited_for() -> None:
    """Silence until the first comes; then it begins on a bar line."""
    there: list[bool] = []
    mixer = Mixer(
        [LEFT, RIGHT], lambda track: SOUNDS[track.id] if there else None, rate=RATE, rules=QUICK
    )
    assert mixer.prefetch() is LEFT
    before = max(float(np.abs(out).max()) for out in quanta(mixer, 5.0, sweep))
    there.append(True)
    after = max(float(np.abs(out).max()) for out in quanta(mixer, 5.0, sweep))
    start = next(event for event in mixer.events() if event.event == "start")
    assert before == 0.0
    assert after > 0.1
    assert float(str(start.facts["beat"])) % 4 == 0
    assert mixer.prefetch() is not LEFT


def test_without_a_next_track_the_music_goes_round() -> None:
    """The next one never loads: the same goes on, without a gap, on a phrase line."""
    mixer = Mixer(
        [LEFT, RIGHT], lambda track: SOUNDS["left"] if track is LEFT else None,
        rate=RATE, rules=QUICK,
    )  # fmt: skip
    heard = [float(np.abs(out).max()) for out in quanta(mixer, 100.0, sweep)]
    loops = [event for event in mixer.events() if event.event == "loop"]
    assert len(loops) >= 2
    assert all(float(str(event.facts["beat"])) % 32 == 0 for event in loops)
    beat = int(RATE * 60 / 110 / QUANTUM)
    assert min(max(heard[i : i + 2 * beat]) for i in range(0, len(heard) - 2 * beat, beat)) > 0.1


def test_a_track_that_cannot_be_loaded_is_passed_over() -> None:
    """It costs only itself."""
    mixer = Mixer([LEFT, RIGHT], lambda track: SOUNDS.get(track.id), rate=RATE, rules=QUICK)
    assert mixer.give_up(LEFT)
    for _ in quanta(mixer, 10.0, sweep):
        pass
    assert mixer.playing().track == "Right"
    assert abs(mixer.playing().bpm / RIGHT.bpm - 1.0) <= 0.04 + 1e-9
    assert not mixer.give_up(RIGHT)


def test_nothing_to_play_is_said_at_once() -> None:
    """With what would be right."""
    with pytest.raises(ConfigError, match="add one"):
        Mixer([], loaded, rate=RATE)


def test_without_wishes_the_music_plays_on_by_itself() -> None:
    """After hold_seconds, and back when a wish comes."""
    mixer = a_mixer(replace(QUICK, hold_seconds=2.0))

    def wish(now: float) -> Mix | None:
        return a_wish(now) if now < 1.0 or now > 5.0 else None

    states = [mixer.playing().state for _ in quanta(mixer, 6.0, wish)]
    per_second = RATE // QUANTUM
    assert [states[int(s * per_second)] for s in (0.5, 2.5, 4.0, 5.8)] == [
        "ok",
        "ok",
        "alone",
        "ok",
    ]


def test_everything_fades_when_asked() -> None:
    """To silence within the time, and back."""
    mixer = a_mixer()
    for _ in quanta(mixer, 1.0, sweep):
        pass
    mixer.fade_to(0.0, 0.05)
    down = np.concatenate(list(quanta(mixer, 1.0, sweep)))
    mixer.fade_to(1.0, 0.05)
    up = np.concatenate(list(quanta(mixer, 1.0, sweep)))
    assert not down[int(0.06 * RATE) :].any()
    assert np.abs(up).max() > 0.1


def test_playing_says_what_is_heard() -> None:
    """Beat, tempo, track and gains of the moment."""
    mixer = a_mixer()
    for _ in quanta(mixer, 4.0, lambda t: a_wish(t, bpm=116.0)):
        pass
    playing = mixer.playing(seq=7)
    assert isinstance(playing, Playing)
    assert (playing.seq, playing.sample, playing.captured_at) == (
        7,
        mixer.position,
        mixer.position / RATE,
    )
    assert playing.beat == mixer.timeline.beat_at(mixer.position)
    assert playing.bar == int(playing.beat // 4)
    assert (playing.track, playing.section) == ("Left", "groove")
    assert playing.lufs is not None
    assert playing.peak > 0.1
    assert mixer.playing().peak == 0.0


def test_events_are_given_once_and_tell_the_past() -> None:
    """Each at the sample of its beat."""
    mixer = a_mixer()
    seen = []
    for _ in quanta(mixer, 75.0, sweep):
        for event in mixer.events():
            assert event.t * RATE <= mixer.position + QUANTUM
            seen.append((event.event, round(event.t, 6)))
    assert len(seen) == len(set(seen))
    assert [name for name, _ in seen].count("transition") >= 2


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Everything that is left to chance comes from the seed."""
    one, other = (
        np.concatenate(list(quanta(a_mixer(KEYED, seed=3), 8.0, sweep))) for _ in range(2)
    )
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("rules", [QUICK, KEYED], ids=ENGINES)
def test_rendering_makes_nothing_new_in_memory(rules: Rules) -> None:
    """Between bar lines the path keeps no array and grows nothing."""
    mixer = a_mixer(rules)
    out = np.empty((QUANTUM, 2), np.float32)
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
    # Numbers, but no arrays: less than a quantum of sound (2 kB) at any moment. The binding of
    # Rubber Band keeps handles of 60 bytes for a while, one for each frame.
    handles = 0 if rules is QUICK else 50 * 60
    assert peak - before < QUANTUM * 2 * 4 + handles
    assert after - before < 512 + handles
