"""Facts about a deck. How it keeps the key is in test_stretch.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.fades import POWER
from crowdstream.music.timeline import QUANTUM
from crowdstream.player.deck import Deck
from crowdstream.testing.music import SHORT_FORM, a_track, clicks

RATE = 44100
TRACK = a_track(bpm=120.0, form=SHORT_FORM)


def a_deck() -> Deck:
    """As a record player: what it plays can be told to the sample."""
    return Deck(RATE, -14.0, engine="varispeed")


def played(
    stems: NDArray[np.int16], *, bpm: float, quanta: int, beat: float = 0.0, stem: int = 0
) -> NDArray[np.float32]:
    """What a deck plays of one stem, from `beat` on, at `bpm`."""
    deck = a_deck()
    deck.load(TRACK, stems, 0.0)
    deck.fade(stem, 1.0, beat - 1.0, beat - 1.0, POWER, beat - 1.0)
    out = np.zeros((quanta, QUANTUM, 2), np.float32)
    step = QUANTUM * bpm / 60 / RATE
    for q in range(quanta):
        deck.render(beat + q * step, beat + (q + 1) * step, 1.0, out[q])
    return out.reshape(-1, 2)


def a_tone(hz: float) -> NDArray[np.int16]:
    """On every stem, half of full scale."""
    time = np.arange(int(TRACK.seconds * RATE)) / RATE
    tone = np.rint(16384 * np.sin(2 * np.pi * hz * time)).astype(np.int16)
    return np.ascontiguousarray(np.broadcast_to(tone[np.newaxis, :, np.newaxis], (4, len(tone), 2)))


@pytest.mark.parametrize("hz", [100.0, 1000.0, 8000.0])
@pytest.mark.parametrize("bpm", [120.0, 124.8, 115.2])
def test_a_tone_stays_a_tone(hz: float, bpm: float) -> None:
    """Pitch moves with the tempo and nothing else: what is not the tone is 80 dB below it."""
    sound = played(a_tone(hz), bpm=bpm, quanta=172, beat=4.0)[2048:-2048, 0].astype(np.float64)
    time = np.arange(len(sound)) / RATE
    turn = 2 * np.pi * hz * bpm / 120.0 * time
    basis = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    rest = sound - basis @ np.linalg.lstsq(basis, sound, rcond=None)[0]
    assert 10 * np.log10(np.mean(rest**2) / np.mean(sound**2)) < -80.0


def test_at_its_own_tempo_a_track_is_heard_as_loud_as_it_is() -> None:
    """A gain of 1 is a gain of 1."""
    sound = played(a_tone(1000.0), bpm=120.0, quanta=100, beat=4.0)[2048:-2048, 0]
    assert np.sqrt(2 * np.mean(sound.astype(np.float64) ** 2)) == pytest.approx(0.5, rel=1e-3)


@given(st.floats(115.2, 124.8), st.floats(1.0, 60.0))
def test_a_click_is_heard_on_its_beat(bpm: float, beat: float) -> None:
    """Within a tenth of a sample, at any tempo of the leash and from anywhere in the track."""
    sound = played(CLICKS, bpm=bpm, quanta=100, beat=beat)[:, 0].astype(np.float64)
    per_beat = 60 * RATE / bpm
    first = np.ceil(beat + 450 / per_beat)  # past the fade of the first quantum
    at = (first - beat) * per_beat
    around = np.arange(int(at) - 150, int(at) + 150)
    energy = sound[around] ** 2
    assert float((around * energy).sum() / energy.sum()) == pytest.approx(at, abs=0.1)


CLICKS = clicks(TRACK)


def test_before_and_after_its_files_a_track_is_silent() -> None:
    """No error, and no rest of other memory."""
    before = played(CLICKS, bpm=120.0, quanta=50, beat=-100.0)
    after = played(CLICKS, bpm=120.0, quanta=50, beat=500.0)
    assert not before.any()
    assert not after.any()


def test_a_fade_is_heard_sample_by_sample() -> None:
    """No steps: the gain of a constant sound moves less per sample than the whole fade per quantum."""
    stems = np.full((4, int(TRACK.seconds * RATE), 2), 16384, np.int16)
    deck = a_deck()
    deck.load(TRACK, stems, 0.0)
    deck.fade(0, 1.0, 4.0, 5.0, POWER, 4.0)
    out = np.zeros((100, QUANTUM, 2), np.float32)
    step = QUANTUM * 120 / 60 / RATE
    for q in range(100):
        deck.render(4.0 + q * step, 4.0 + (q + 1) * step, 1.0, out[q])
    moved = np.abs(np.diff(out.reshape(-1, 2)[:, 0]))
    assert out[-1, -1, 0] == pytest.approx(0.5, rel=1e-3)
    assert moved.max() < 0.5 * np.pi / 2 / (0.5 * RATE) * 1.1


def test_a_quiet_track_is_raised_and_a_loud_one_lowered() -> None:
    """To the loudness that was asked for, by at most 6 dB up."""
    tone, levels = a_tone(1000.0), []
    for lufs in (-18.0, -10.0, -40.0):
        deck = a_deck()
        deck.load(a_track(form=SHORT_FORM, loudness_lufs=lufs), tone, 0.0)
        deck.fade(0, 1.0, 4.0, 4.0, POWER, 4.0)
        out = np.zeros((QUANTUM, 2), np.float32)
        for q in range(40):
            out[:] = 0
            deck.render(4.0 + q * 0.0116, 4.0116 + q * 0.0116, 1.0, out)
        levels.append(20 * np.log10(np.abs(out).max() / 0.5))
    assert levels == pytest.approx([4.0, -4.0, 6.0], abs=0.1)


def test_stems_may_lie_in_memory_that_cannot_be_written() -> None:
    """As a loader's mapped files are."""
    stems = a_tone(440.0)
    stems.flags.writeable = False
    assert played(stems, bpm=120.0, quanta=10, beat=4.0).any()


def test_a_fade_that_is_interrupted_does_not_jump() -> None:
    """A new fade begins where the old one is."""
    deck = a_deck()
    deck.load(TRACK, CLICKS, 0.0)
    deck.fade(0, 1.0, 0.0, 4.0, POWER, 0.0)
    out = np.zeros((QUANTUM, 2), np.float32)
    deck.render(1.99, 2.0, 1.0, out)
    half_way = float(deck.gains[0])
    deck.fade(0, 0.0, 3.0, 4.0, POWER, 2.0)
    deck.render(2.0, 2.001, 1.0, out)
    assert 0.3 < half_way < 0.9
    assert float(deck.gains[0]) == pytest.approx(half_way, abs=0.01)


def test_stems_that_bleed_are_never_heard_alone() -> None:
    """Of a track that was separated without a model: the others stay within 18 dB, one within 6."""
    track = dataclasses.replace(TRACK, separation="fast")
    deck = a_deck()
    deck.load(track, clicks(track), 0.0)
    deck.fade(0, 1.0, -1.0, -0.5, POWER, -2.0)
    out = np.zeros((QUANTUM, 2), np.float32)
    step = QUANTUM / RATE * track.bpm / 60.0
    for turn in range(200):
        deck.render(turn * step, (turn + 1) * step, 0.1, out)
    assert deck.gains[0] == 1.0
    assert sorted(20 * np.log10(deck.gains[1:])) == pytest.approx([-18.0, -18.0, -6.0], abs=0.01)
