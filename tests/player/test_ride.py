"""Facts about the hand on the fader: two tracks together are as loud as the line between them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.dsp.bar_levels import bar_powers
from crowdstream.dsp.fades import POWER
from crowdstream.music.transitions import Transition
from crowdstream.music.voices import Voice
from crowdstream.player.deck import KNOBS, Deck
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.player.ride import ALIKE, MOST_DB, Ride
from crowdstream.testing.music import SHORT_FORM, a_track

RATE = 44100
TRACK = a_track(form=SHORT_FORM, first_beat_seconds=0.0)
FULL = (1.0, 1.0, 1.0, 1.0)


def humming(gain: float = 1.0, hz: float = 400.0) -> Deck:
    """A deck whose drums are a tone, all other stems silent."""
    seconds = np.arange(int(TRACK.seconds * RATE)) / RATE
    stems = np.zeros((4, len(seconds), 2), np.int16)
    stems[0] = np.rint(gain * 8000 * np.sin(2 * np.pi * hz * seconds))[:, np.newaxis]
    deck = Deck(RATE, -14.0, engine="varispeed")
    deck.load(TRACK, stems, 0.0)
    return deck


def heard(deck: Deck, to: float = 1.0) -> Deck:
    deck.fade(0, to, 0.0, 0.0, POWER, 0.0)
    return deck


def a_blend(begin: int = 8, end: int = 16) -> Transition:
    going, coming = (Voice.silent(deck, TRACK, 0, 0) for deck in (0, 1))
    return Transition("long blend", going, coming, begin, begin + 4, end, False, True)


def after_eight_bars(ride: Ride, decks: tuple[Deck, Deck]) -> None:
    for bar in range(8):
        assert ride.factor(bar, decks, None, FULL) == 1.0


def test_two_alike_at_full_level_are_taken_back_by_what_they_are_more() -> None:
    """A little more than twice the power: what they have in common adds up."""
    ride, decks = Ride(RATE), (heard(humming()), humming())
    after_eight_bars(ride, decks)
    heard(decks[1])
    blend = a_blend()
    for bar in range(8, 16):
        assert ride.factor(bar, decks, blend, FULL) == pytest.approx(
            (2.0 + 2.0 * ALIKE) ** -0.5, abs=0.01
        )
    assert ride.factor(16, decks, blend, FULL) == 1.0


def test_nothing_is_ever_raised() -> None:
    """Both are quiet: what leaves takes its loudness along."""
    ride, decks = Ride(RATE), (heard(humming()), humming())
    after_eight_bars(ride, decks)
    decks[0].fade(0, 0.2, 30.0, 31.0, POWER, 0.0)
    heard(decks[1], 0.2)
    assert ride.factor(8, decks, a_blend(), FULL) == 1.0


def test_a_louder_track_is_let_in_along_the_line() -> None:
    """It is 6 dB louder: of both together more is left, bar by bar."""
    ride, decks = Ride(RATE), (heard(humming(0.3)), humming(0.6))
    after_eight_bars(ride, decks)
    heard(decks[1])
    blend = a_blend()
    factors = [ride.factor(bar, decks, blend, FULL) for bar in range(8, 16)]
    assert all(one <= other for one, other in pairwise(factors))
    assert factors[0] < factors[-1]
    assert factors[-1] < 1.0


def test_what_a_knob_takes_away_is_not_counted() -> None:
    """A deck whose only tone lies in a band that is closed adds nothing."""
    ride, decks = Ride(RATE), (heard(humming()), humming())
    after_eight_bars(ride, decks)
    heard(decks[1])
    decks[1].sweep(KNOBS.index("mid"), 0.0, 0.0, 0.0, 0.0)
    assert ride.factor(8, decks, a_blend(), FULL) == pytest.approx(1.0, abs=0.005)


def test_a_cut_is_not_ridden() -> None:
    ride, decks = Ride(RATE), (heard(humming()), humming())
    after_eight_bars(ride, decks)
    heard(decks[1])
    assert ride.factor(8, decks, a_blend(8, 8), FULL) == 1.0


def test_after_silence_no_line_is_drawn_and_nothing_is_taken_further_than_it_may() -> None:
    ride, decks = Ride(RATE), (humming(), humming())
    assert ride.factor(0, decks, a_blend(0, 8), FULL) == 1.0
    ride, decks = Ride(RATE), (heard(humming(0.02)), humming(0.9))
    after_eight_bars(ride, decks)
    heard(decks[1])
    assert ride.factor(8, decks, a_blend(), FULL) >= 10.0 ** (-MOST_DB / 20.0) - 1e-9


def test_a_track_that_plays_alone_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a night is heard before the loader has measured it; a transition asks later."""
    deck, other, ride = heard(humming()), heard(humming()), Ride(RATE)
    measured: list[int] = []

    def counted(stems: NDArray[np.int16], rate: int, first: float, bpm: float) -> object:
        measured.append(len(stems))
        return bar_powers(stems, rate, first, bpm)

    monkeypatch.setattr("crowdstream.player.ride.bar_powers", counted)
    empty = Deck(RATE, -14.0, engine="varispeed")
    for bar in range(8):
        assert ride.factor(bar, (deck, empty), None, FULL) == 1.0
    assert measured == []
    assert ride.factor(8, (deck, other), a_blend(), FULL) < 1.0
    assert len(measured) == 2


def test_the_mixer_does_what_the_ride_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as loud from a bar line on, and never louder on the way there."""
    track = a_track(form=SHORT_FORM)
    rules = Rules(stretch="varispeed", fade_in_seconds=0.0)

    def rendered() -> np.ndarray:
        mixer = Mixer([track], lambda _track: humming().stems, rate=RATE, rules=rules)
        out = np.zeros((600, QUANTUM, 2), np.float32)
        for quantum in out:
            mixer.render(quantum)
        return out.reshape(-1, 2)

    plain = rendered()
    monkeypatch.setattr(Ride, "factor", lambda _ride, bar, *_: 0.5 if bar >= 1 else 1.0)
    ridden = rendered()
    end = slice(-RATE // 2, None)
    assert np.abs(plain[end]).max() > 0.01
    np.testing.assert_allclose(ridden[end], 0.5 * plain[end], atol=1e-4)
    assert (np.abs(ridden) <= np.abs(plain) + 1e-6).all()
