"""Facts about music that goes on after its player was lost: measured in the sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.packets import Mix, ShowEvent
from crowdstream.player.kept import Kept
from crowdstream.player.mixer import AGAIN_SECONDS, QUANTUM, Mixer, Rules
from crowdstream.testing.music import SHORT_FORM, a_track, clicks

RATE = 44100
TRACK = a_track("one", bpm=112.0, form=SHORT_FORM)
STEMS = clicks(TRACK)
GONE = 1.37
"""Seconds from the last that was told to the first that is rendered."""

Sound = NDArray[np.float32]


def rendered(mixer: Mixer, seconds: float, wish: Callable[[], Mix]) -> Sound:
    """The left channel; wished for ten times a second."""
    out = np.empty((QUANTUM, 2), np.float32)
    sound = []
    for quantum in range(int(seconds * RATE / QUANTUM)):
        if quantum % 17 == 0:
            mixer.take(wish(), sample=mixer.position)
        mixer.render(out)
        sound.append(out[:, 0].copy())
    return np.concatenate(sound)


def a_wish() -> Mix:
    """A floor that dances as before."""
    return Mix(
        seq=0, captured_at=0.0, at=0.0, drive=0.4, confidence=1.0, bpm=113.0,
        gains=(0.8, 0.9, 0.0, 0.6), skip=2,
    )  # fmt: skip


class Lost:
    """Some music, and what goes on after it."""

    def __init__(self, stretch: str, at: float = 12.2) -> None:
        rules = Rules(fade_in_seconds=0.0, stretch=stretch, programme_bpm=112.0)  # type: ignore[arg-type]
        self.before = Mixer([TRACK], lambda _: STEMS, rate=RATE, rules=rules)
        rendered(self.before, at, a_wish)
        at = self.before.position / RATE
        place = self.before.place(self.before.position)
        assert place is not None
        self.place = Kept(place, at).by(at + GONE)
        self.again = Mixer([TRACK], lambda _: STEMS, rate=RATE, rules=rules, place=self.place)
        self.sound = rendered(self.again, 4.0, a_wish)
        self.events = self.again.events()
        # What would have been heard, had nothing been lost.
        rendered(self.before, GONE, a_wish)
        self.beat = self.before.timeline.beat_at(round((at + GONE) * RATE))


@pytest.mark.parametrize("stretch", ["rubberband", "varispeed"])
def test_the_beat_goes_on_as_if_nothing_had_been_lost(stretch: str) -> None:
    """Each click is where the track has one, from the first on; the fade-in is over at once."""
    lost = Lost(stretch)
    again = lost.again
    assert again.timeline.beat_at(0) == pytest.approx(lost.beat, abs=0.01)
    assert again.heard() == [(0, "one", lost.before.heard()[0][2])]
    edges = np.abs(np.diff(lost.sound, prepend=0.0))
    first, last = np.ceil(lost.place.beat + 0.6), np.floor(again.timeline.beat - 0.1)
    off = []
    for beat in np.arange(first, last).tolist():
        at = again.timeline.sample_at(beat)
        near = lost.sound[int(at) - 400 : int(at) + 400].astype(float)
        near = np.abs(np.diff(near))
        off.append(float((near * np.arange(len(near))).sum() / near.sum()) - 400 + (int(at) - at))
    assert np.abs(off).max() < 1e-3 * RATE
    assert edges[: int(0.5 * RATE)].max() <= 1.05 * edges.max()
    level = np.abs(lost.sound)
    assert level[: int(AGAIN_SECONDS * RATE)].max() > 0.01
    assert level[int(AGAIN_SECONDS * RATE) :][: RATE // 2].max() > 0.5 * level.max()


def test_stems_and_levels_are_those_that_were_heard() -> None:
    """A voice that was away stays away, and nothing jumps up for a moment."""
    lost = Lost("varispeed")
    gains = lost.place.gains
    assert gains == pytest.approx((0.8, 0.9, 0.0, 0.6), abs=0.01)
    again = Mixer(
        [TRACK], lambda _: STEMS, rate=RATE, rules=Rules(stretch="varispeed"), place=lost.place
    )
    heard = []
    out = np.empty((QUANTUM, 2), np.float32)
    for _ in range(RATE // QUANTUM):
        again.render(out)
        heard.append(again.playing().gains)
    assert np.abs(np.array(heard) - gains).max() < 1e-6


def test_one_event_tells_of_it() -> None:
    """With its cause, in place of a beginning."""
    told: list[ShowEvent] = [e for e in Lost("varispeed").events if e.event in ("again", "start")]
    assert [(event.event, event.why) for event in told] == [
        ("again", f"the player was lost for {GONE:.1f} s")
    ]


def test_a_place_that_is_over_begins_as_any_night() -> None:
    """From sample 0 and beat 0 on, bit for bit."""
    lost = Lost("varispeed")
    over = replace(lost.place, beat=lost.place.beat + 4.0 * TRACK.bars)
    rules = Rules(stretch="varispeed", programme_bpm=112.0)
    night = Mixer([TRACK], lambda _: STEMS, rate=RATE, rules=rules, place=over)
    fresh = Mixer([TRACK], lambda _: STEMS, rate=RATE, rules=rules)
    assert not night.goes_on
    assert np.array_equal(rendered(night, 3.0, a_wish), rendered(fresh, 3.0, a_wish))
