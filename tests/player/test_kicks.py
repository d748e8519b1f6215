"""Facts about two decks: the kick of the one that comes falls on the kick of the one that plays."""

from __future__ import annotations

import numpy as np
import pytest

from crowdstream.music.library import Track
from crowdstream.player.deck import Deck
from crowdstream.player.kicks import BACK_SECONDS, MOST_SECONDS, nudge_beats
from crowdstream.testing.music import SHORT_FORM, a_track

RATE = 44100


def kicking(name: str, bpm: float, off: float) -> tuple[Track, np.ndarray]:
    """A track whose kicks sound `off` seconds after its grid."""
    track = a_track(name, bpm=bpm, form=SHORT_FORM, first_beat_seconds=0.1)
    stems = np.zeros((4, int(track.seconds * RATE), 2), np.int16)
    seconds = np.arange(int(0.2 * RATE)) / RATE
    kick = 16000 * np.exp(-seconds / 0.08) * np.sin(2 * np.pi * 55.0 * seconds)
    for beat in range(track.bars * 4):
        at = int(track.beat_sample(beat) + off * RATE)
        stems[0, at : at + len(kick), :] = kick[:, np.newaxis]
    return track, stems


def playing(track: Track, stems: np.ndarray, *, nudge: float = 0.0) -> Deck:
    deck = Deck(RATE, -14.0, engine="varispeed")
    deck.load(track, stems, 0.0, nudge=nudge)
    return deck


@pytest.mark.parametrize("off", [-0.02, 0.004, 0.025])
def test_a_track_whose_grid_is_off_is_read_so_much_ahead(off: float) -> None:
    one, other = kicking("one", 120.0, 0.0), kicking("other", 124.0, off)
    nudge = nudge_beats(*other, -32.0, playing(*one), 40.0, RATE)
    assert nudge * 60.0 / 124.0 == pytest.approx(off - np.sign(off) * BACK_SECONDS, abs=0.001)


def test_what_is_read_is_what_was_asked_for() -> None:
    """With the nudge a deck's kick sounds where it would without an error of the grid."""
    right, askew = kicking("one", 120.0, 0.0), kicking("other", 120.0, 0.02)
    decks = playing(*right), playing(*askew, nudge=0.02 * 2.0)
    sounds = []
    for deck in decks:
        deck.fade(0, 1.0, 3.0, 3.0, 0, 3.0)
        out = np.zeros((200, 256, 2), np.float32)
        for k in range(200):
            begin = 4.0 + k * 256 / RATE * 2.0
            deck.render(begin, begin + 256 / RATE * 2.0, 1.0, out[k])
        sounds.append(out.reshape(-1, 2)[256:, 0])
    assert np.abs(sounds[0] - sounds[1]).max() < 0.02


def test_no_more_than_thirty_milliseconds() -> None:
    one, other = kicking("one", 120.0, -0.025), kicking("other", 120.0, 0.025)
    nudge = nudge_beats(*other, 0.0, playing(*one), 8.0, RATE)
    assert 0.0 < nudge * 0.5 <= MOST_SECONDS


def test_who_was_nudged_is_followed() -> None:
    """The third falls on the second as it is heard, not on its grid."""
    second, third = kicking("second", 120.0, 0.02), kicking("third", 120.0, 0.0)
    heard_on_the_grid = playing(*second, nudge=0.02 * 2.0)
    assert nudge_beats(*third, 0.0, heard_on_the_grid, 8.0, RATE) * 0.5 == pytest.approx(
        0.0, abs=0.001
    )


def test_without_kicks_nothing_is_moved() -> None:
    one, other = kicking("one", 120.0, 0.0), kicking("other", 120.0, 0.02)
    silent = np.zeros_like(other[1])
    assert nudge_beats(other[0], silent, 0.0, playing(*one), 8.0, RATE) == 0.0
    assert nudge_beats(*other, 0.0, Deck(RATE, -14.0, engine="varispeed"), 8.0, RATE) == 0.0


def test_a_timeline_is_come_back_to() -> None:
    """Of a small error nothing is taken over: it does not add up from track to track."""
    one, other = kicking("one", 120.0, 0.0), kicking("other", 120.0, 0.0008)
    assert nudge_beats(*other, 0.0, playing(*one), 8.0, RATE) == pytest.approx(0.0, abs=1e-3)
