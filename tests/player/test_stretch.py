"""Facts about a deck that keeps the key of its track, measured in its sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.fades import POWER
from crowdstream.music.timeline import QUANTUM
from crowdstream.player import stretch
from crowdstream.player.deck import KNOBS, Deck, Engine
from crowdstream.testing.music import SHORT_FORM, a_track, clicks

RATE = 44100
TRACK = a_track(bpm=120.0, form=SHORT_FORM)
CLICKS = clicks(TRACK)

pytestmark = pytest.mark.skipif(not stretch.HERE, reason="Rubber Band is not installed")


def a_tone(hz: float) -> NDArray[np.int16]:
    """On every stem, a quarter of full scale."""
    time = np.arange(int(TRACK.seconds * RATE)) / RATE
    tone = np.rint(8192 * np.sin(2 * np.pi * hz * time)).astype(np.int16)
    return np.ascontiguousarray(np.broadcast_to(tone[np.newaxis, :, np.newaxis], (4, len(tone), 2)))


def a_deck(stems: NDArray[np.int16], *, offset: float = 0.0, shift: float = 0.0) -> Deck:
    deck = Deck(RATE, -14.0)
    deck.load(TRACK, stems, offset, shift=shift)
    return deck


def steady(bpm: float, *, beat: float = 4.0, quanta: int = 400) -> NDArray[np.float64]:
    """The beats at the ends of quanta, the first one's beginning included."""
    return np.asarray(beat + np.arange(quanta + 1) * (QUANTUM * bpm / 60 / RATE), np.float64)


def swing(share: float, seconds: float, *, quanta: int) -> NDArray[np.float64]:
    """Around 120 BPM the tempo goes to and fro by `share` in all."""
    time = np.arange(quanta) * QUANTUM / RATE
    bpm = 120.0 * (1.0 + 0.5 * share * np.sin(2 * np.pi * time / seconds))
    return np.concatenate([[4.0], 4.0 + np.cumsum(bpm * QUANTUM / 60 / RATE)])


def played(deck: Deck, beats: NDArray[np.float64], *, stem: int = 0) -> NDArray[np.float64]:
    """One stem, from the first quantum on."""
    deck.fade(stem, 1.0, beats[0] - 1.0, beats[0] - 1.0, POWER, beats[0] - 1.0)
    out = np.zeros((len(beats) - 1, QUANTUM, 2), np.float32)
    for q in range(len(out)):
        deck.render(beats[q], beats[q + 1], 1.0, out[q])
    return out.reshape(-1, 2)[:, 0].astype(np.float64)


def off_beat_ms(
    sound: NDArray[np.float64], beats: NDArray[np.float64], *, shift: float = 0.0
) -> NDArray[np.float64]:
    """How far the middle of each click lies from its beat."""
    at = np.arange(len(beats)) * QUANTUM
    whole = np.arange(np.ceil(beats[0] + 0.02), np.floor(beats[-1] - 0.02) + 1) + shift
    places = np.interp(whole, beats, at)
    off = []
    for place in places[(places > 300) & (places < len(sound) - 300)]:
        around = np.arange(int(place) - 250, int(place) + 250)
        energy = sound[around] ** 2
        off.append(float((around * energy).sum() / energy.sum() - place) / RATE * 1e3)
    return np.array(off)


@settings(max_examples=12, deadline=None)
@given(st.floats(115.2, 124.8), st.floats(1.0, 60.0))
def test_a_click_is_heard_on_its_beat(bpm: float, beat: float) -> None:
    """Within half a millisecond at any tempo of the leash, the very first one too."""
    beats = steady(bpm, beat=beat, quanta=200)
    off = off_beat_ms(played(a_deck(CLICKS), beats), beats)
    assert len(off) >= 1
    assert np.abs(off).max() < 0.5


def test_at_its_own_tempo_a_track_is_handed_through() -> None:
    """What Rubber Band changes of a click is less than a hundredth of it."""
    beats = steady(120.0)
    sound = played(a_deck(CLICKS), beats)
    record = Deck(RATE, -14.0, engine="varispeed")
    record.load(TRACK, CLICKS, 0.0)
    assert np.abs(sound - played(record, beats))[4096:].max() < 0.005


def test_a_tempo_that_swings_is_followed() -> None:
    """8 % in 6 seconds: 95 % of all clicks within 0.5 ms, none beyond 1 ms."""
    beats = swing(0.08, 6.0, quanta=2600)
    off = np.abs(off_beat_ms(played(a_deck(CLICKS), beats), beats))
    assert np.percentile(off, 95) < 0.5
    assert off.max() < 1.0


def pitch_cents(sound: NDArray[np.float64], hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 20))
    return float(1200 * np.log2(spectrum.argmax() * RATE / (1 << 20) / hz))


@pytest.mark.parametrize("shift", [0.0, 1.0, -2.0])
@pytest.mark.parametrize("bpm", [111.0, 120.0, 128.0])
def test_the_key_stays_whatever_the_tempo(bpm: float, shift: float) -> None:
    """Within a cent, and shifted by whole semitones where that is asked for; on the beat as well."""
    beats = steady(bpm)
    sound = played(a_deck(a_tone(440.0), shift=shift), beats)[8192:]
    assert pitch_cents(sound, 440.0 * 2 ** (shift / 12)) == pytest.approx(0.0, abs=1.0)
    off = off_beat_ms(played(a_deck(CLICKS, shift=shift), beats), beats)
    assert np.abs(off).max() < 1.2


def test_the_key_stays_while_the_tempo_swings() -> None:
    """Within 2 cents, in every second of it."""
    beats = swing(0.08, 6.0, quanta=1100)
    sound = played(a_deck(a_tone(440.0)), beats)
    seconds = [sound[k : k + RATE] for k in range(8192, len(sound) - RATE, RATE)]
    assert max(abs(pitch_cents(part, 440.0)) for part in seconds) < 2.0


def test_a_tempo_that_hovers_around_the_tracks_own_leaves_a_tone_alone() -> None:
    """It is as loud all the time: nothing is set anew."""
    time = np.arange(700) * QUANTUM / RATE
    bpm = 120.06 + 0.03 * np.sin(2 * np.pi * time)
    beats = np.concatenate([[4.0], 4.0 + np.cumsum(bpm * QUANTUM / 60 / RATE)])
    sound = played(a_deck(a_tone(2000.0)), beats)[8192:]
    turn = sound * np.exp(-2j * np.pi * 2000.0 * np.arange(len(sound)) / RATE)
    level = np.abs(np.convolve(turn, np.ones(256) / 256, "valid"))
    assert level.min() > 0.97 * level.max()


def test_a_deck_that_was_emptied_plays_the_next_track_as_a_new_one_does() -> None:
    """Nothing of the last track is left in it: the same bits."""
    beats = steady(124.0, quanta=60)
    used = a_deck(a_tone(440.0))
    played(used, steady(117.0, quanta=33))
    used.load(TRACK, CLICKS, 0.0)
    assert played(used, beats).tobytes() == played(a_deck(CLICKS), beats).tobytes()


@pytest.mark.parametrize("engine", ["rubberband", "hybrid", "varispeed"])
def test_a_jump_goes_on_elsewhere_on_the_beat_and_without_a_click(engine: Engine) -> None:
    """Half a beat back: clicks lie half a beat off from there on, and a tone breaks nowhere."""
    beats = steady(123.0, quanta=700)
    sounds = []
    hz = 397.0  # the loop is no whole number of its periods
    for stems in (CLICKS, a_tone(hz)):
        deck = Deck(RATE, -14.0, engine=engine)
        deck.load(TRACK, stems, 0.0)
        before, after = beats[:401], beats[400:]
        first = played(deck, before)
        line = float(np.ceil(after[0] + 1.0))
        deck.jump(-8.5, line)
        out = np.zeros((len(after) - 1, QUANTUM, 2), np.float32)
        for q in range(len(out)):
            deck.render(after[q], after[q + 1], 1.0, out[q])
        sounds.append(np.concatenate([first, out.reshape(-1, 2)[:, 0]]))
        assert deck.offset == -8.5
    until, since = beats[beats < line + 0.2], beats[beats > line + 0.3]
    clicks_after = sounds[0][(len(beats) - len(since)) * QUANTUM :]
    assert np.abs(off_beat_ms(clicks_after, since, shift=0.5)).max() < 0.5
    assert np.abs(off_beat_ms(sounds[0][: len(until) * QUANTUM - QUANTUM], until)[:-1]).max() < 0.5
    corner = np.abs(np.diff(sounds[1][4096:], 2))
    own = 0.25 * (2 * np.pi * hz * 123.0 / 120.0 / RATE) ** 2
    assert corner.max() < 3.0 * own


@pytest.mark.parametrize("engine", ["rubberband", "hybrid", "varispeed"])
def test_a_loop_that_is_told_late_is_in_place_at_once(engine: Engine) -> None:
    """As soon as it can be; then it is where it should be."""
    beats = steady(123.0, quanta=500)
    deck = Deck(RATE, -14.0, engine=engine)
    deck.load(TRACK, CLICKS, 0.0)
    played(deck, beats[:401])
    deck.jump(-4.0, float(beats[400]))
    out = np.zeros((99, QUANTUM, 2), np.float32)
    for q in range(99):
        deck.render(beats[400 + q], beats[401 + q], 1.0, out[q])
    after = beats[408:]
    assert np.abs(off_beat_ms(out[8:].reshape(-1, 2)[:, 0].astype(float), after)).max() < 0.5
    assert deck.offset == -4.0


def test_a_hybrid_keeps_the_key_but_of_the_drums_the_attack() -> None:
    """The drums are a record's to the bit; a tone on another stem is where the stretcher has it."""
    beats = steady(124.0, quanta=200)
    sounds = {}
    engines: tuple[Engine, ...] = ("rubberband", "hybrid", "varispeed")
    for engine in engines:
        for stem, stems in ((0, CLICKS), (1, a_tone(440.0))):
            deck = Deck(RATE, -14.0, engine=engine)
            deck.load(TRACK, stems, 0.0)
            sounds[engine, stem] = played(deck, beats, stem=stem)
    assert sounds["hybrid", 0].tobytes() == sounds["varispeed", 0].tobytes()
    assert pitch_cents(sounds["hybrid", 1][8192:], 440.0) == pytest.approx(0.0, abs=1.0)


def test_two_decks_hand_over_a_band_and_stay_as_loud() -> None:
    """The factors of both add up to 1 at every quantum: a bass that both play is neither more nor less."""
    one, other = (Deck(RATE, -14.0, engine="varispeed") for _ in range(2))
    tone = a_tone(50.0)
    low = KNOBS.index("low")
    for deck in (one, other):
        deck.load(TRACK, tone, 0.0)
        deck.fade(0, 1.0, 3.0, 3.0, POWER, 3.0)
    other.sweep(low, 0.0, 3.0, 3.0, 3.0)
    one.sweep(low, 0.0, 5.0, 6.0, 4.0)
    other.sweep(low, 1.0, 5.0, 6.0, 4.0)
    out = np.zeros((300, QUANTUM, 2), np.float32)
    beats = steady(120.0, quanta=300)
    for q in range(300):
        for deck in (one, other):
            deck.render(beats[q], beats[q + 1], 1.0, out[q])
    heard = out.reshape(-1, 2)[4096:, 0].astype(np.float64)
    levels = [
        np.sqrt(2 * np.mean(heard[k : k + 882] ** 2)) for k in range(0, len(heard) - 882, 882)
    ]
    assert np.array(levels) == pytest.approx(0.25, rel=0.06)


def test_an_echo_rings_on_after_the_deck_has_stopped() -> None:
    """The deck is empty, and three quarters of a beat later its last sound comes back."""
    deck = Deck(RATE, -14.0, engine="varispeed")
    deck.load(TRACK, a_tone(1000.0), 0.0)
    deck.fade(0, 1.0, 3.0, 3.0, POWER, 3.0)
    deck.sweep(KNOBS.index("echo"), 1.0, 3.0, 3.0, 3.0)
    deck.stops_at = 5.0
    beats = steady(120.0, quanta=400)
    out = np.zeros((400, QUANTUM, 2), np.float32)
    for q in range(400):
        deck.render(beats[q], beats[q + 1], 1.0, out[q])
    assert deck.track is None
    tail = np.abs(out[beats[1:] > 5.1])
    assert tail[:20].max() > 0.05
    assert tail[-20:].max() < 0.5 * tail[:20].max()


def test_knobs_are_at_rest_when_a_track_is_loaded() -> None:
    """Whatever was done to the one before; only an echo rings on."""
    deck = a_deck(CLICKS)
    for name in ("low", "mid", "high", "lowpass", "highpass", "gain"):
        deck.sweep(KNOBS.index(name), 0.3, 3.0, 3.0, 3.0)
    played(deck, steady(121.0, quanta=10))
    deck.load(TRACK, CLICKS, 0.0)
    beats = steady(121.0, quanta=100)
    assert played(deck, beats).tobytes() == played(a_deck(CLICKS), beats).tobytes()


def test_the_gain_of_a_deck_is_told_with_its_stems() -> None:
    """What is told is what is heard."""
    deck = a_deck(CLICKS)
    deck.sweep(KNOBS.index("gain"), 0.25, 3.0, 3.0, 3.0)
    played(deck, steady(120.0, quanta=10))
    assert deck.gains[0] == pytest.approx(0.25)


def test_a_track_is_never_raised_above_the_ceiling() -> None:
    """A quiet one with a high peak stays quiet; one whose peak is not known is raised."""
    for peak, gain_db in ((-3.0, 2.0), (None, 6.0), (-20.0, 6.0), (4.0, -5.0)):
        deck = Deck(RATE, -14.0, engine="varispeed")
        deck.load(
            a_track(form=SHORT_FORM, loudness_lufs=-24.0), a_tone(1000.0), 0.0, true_peak_db=peak
        )
        heard = np.abs(played(deck, steady(120.0, quanta=40))).max()
        assert 20 * np.log10(heard / 0.25) == pytest.approx(gain_db, abs=0.1)


def test_without_rubber_band_a_deck_plays_like_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    monkeypatch.setattr(stretch, "HERE", False)
    deck = a_deck(CLICKS)
    assert deck.engine == "varispeed"
    beats = steady(124.0, quanta=100)
    assert np.abs(off_beat_ms(played(deck, beats), beats)).max() < 0.02
