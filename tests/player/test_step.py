"""From still to full dance in one moment: what is heard of it, and when."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.music.library import Track
from crowdstream.packets import Mix, ShowEvent
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.testing.music import a_track, clicks

STEP_SECONDS = 41.3
RATES = (44100, 48000)
RULES = Rules(fade_in_seconds=0.0, stretch="varispeed", programme_bpm=112.0)


def a_wish(now: float) -> Mix:
    """As crossfade_stems and map_tempo would make it of a floor that stands, then dances."""
    drive = 0.05 if now < STEP_SECONDS else 0.95
    groove = 10 ** (-7.2 * (1 - drive) / 20)
    above = 10 ** (-12.0 * (1 - drive) / 20) if drive > 0.5 else 0.0
    return Mix(
        seq=0, captured_at=now, at=now, drive=drive, confidence=1.0, bpm=100.0 + 30.0 * drive,
        gains=(groove, groove, above, above),
    )  # fmt: skip


class Heard:
    """A minute and a half with the step in it."""

    def __init__(self, rate: int) -> None:
        track = a_track("one", bpm=112.0, rate=rate)
        stems = clicks(track)
        mixer = Mixer([track], lambda _: stems, rate=rate, rules=RULES)
        out = np.empty((QUANTUM, 2), np.float32)
        levels, tempi = [], []
        self.events: list[ShowEvent] = []
        asked = 0.0
        while mixer.position < 80 * rate:
            if mixer.position / rate >= asked:
                mixer.take(a_wish(asked), sample=math.ceil(asked * rate))
                asked += 1 / 30
            mixer.render(out)
            levels.append([mixer.timeline.beat, mixer.playing().gains[0]])
            tempi.append([mixer.timeline.beat, mixer.timeline.bpm])
            self.events += mixer.events()
        self.levels: NDArray[np.float64] = np.array(levels)
        self.tempi: NDArray[np.float64] = np.array(tempi)
        self.step_beat = mixer.timeline.beat_at(STEP_SECONDS * rate)
        self.track: Track = track


@cache
def heard(rate: int) -> Heard:
    """Rendered once."""
    return Heard(rate)


@pytest.mark.parametrize("rate", RATES)
def test_a_gesture_is_heard_within_two_beats(rate: int) -> None:
    """The drums come up by more than a decibel, and by no more than three."""
    night = heard(rate)
    beats, gains = night.levels.T
    before = gains[np.searchsorted(beats, night.step_beat - 0.1)]
    after = gains[np.searchsorted(beats, night.step_beat + 2.0)]
    assert 1.0 < 20 * np.log10(after / before) <= 3.1


@pytest.mark.parametrize("rate", RATES)
def test_the_arrangement_changes_on_the_next_8_bar_line(rate: int) -> None:
    """Not before, and all of it there."""
    night = heard(rate)
    come = [event.facts for event in night.events if event.event == "stem_in"]
    beats = {float(str(facts["beat"])) for facts in come}
    assert {str(facts["stem"]) for facts in come} == {"vocals", "other"}
    assert beats == {math.ceil(night.step_beat / 32) * 32.0}


@pytest.mark.parametrize("rate", RATES)
def test_the_tempo_does_not_hurry(rate: int) -> None:
    """A quarter of a beat a minute from bar to bar, whatever the floor does."""
    beats, bpms = heard(rate).tempi.T
    bars = [bpms[np.searchsorted(beats, beat)] for beat in range(8, int(beats[-1]), 4)]
    steps = np.diff(bars)
    assert steps.max() <= RULES.slope_up + 1e-3
    assert steps.min() >= -RULES.slope_down - 1e-3
    assert bars[-1] > bars[0]


def test_it_is_the_same_at_any_rate() -> None:
    """The same decisions at the same beats, for the same reasons."""
    said = [
        [(event.event, event.why, event.facts["beat"]) for event in heard(rate).events]
        for rate in RATES
    ]
    assert said[0] == said[1]
