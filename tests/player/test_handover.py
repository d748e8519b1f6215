"""What is heard below 150 Hz while one track follows another: measured in the sound."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.music.library import Track
from crowdstream.music.rules import STYLES
from crowdstream.packets import Mix, ShowEvent
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.testing.music import SHORT_FORM, a_track

RATE = 44100
BPM = 112.0
ONE = a_track("one", bpm=BPM, key="8A", form=SHORT_FORM)
OTHER = a_track("other", bpm=BPM, key="8B", form=SHORT_FORM)

# Kick and bass of each track as tones of their own, so that each can be found in the sum.
LOWS = {"one": (40.0, 60.0), "other": (50.0, 72.0)}
WINDOW = RATE // 2


def humming(track: Track) -> NDArray[np.int16]:
    """Drums and bass hum, pads hiss, the voice sings."""
    samples = int(track.seconds * RATE)
    seconds = np.arange(samples) / RATE
    bass, kick = LOWS[track.id]
    stems = np.zeros((4, samples, 2))
    for stem, hz in enumerate((kick, bass, 700.0, 2000.0)):
        stems[stem] = 0.2 * np.sin(2 * np.pi * hz * seconds)[:, np.newaxis]
    return np.rint(stems * 32767).astype(np.int16)


SOUNDS = {track.id: humming(track) for track in (ONE, OTHER)}


def rendered(style: str) -> tuple[NDArray[np.float64], list[float]]:
    """The left channel of a minute, and the seconds at which the low band changes hands."""
    rules = Rules(
        bars_per_track=16, fade_in_seconds=0.0, style=style, stretch="varispeed",  # type: ignore[arg-type]
        programme_bpm=BPM,
    )  # fmt: skip
    mixer = Mixer([ONE, OTHER], lambda track: SOUNDS[track.id], rate=RATE, rules=rules)
    out = np.empty((QUANTUM, 2), np.float32)
    sound: list[NDArray[np.float32]] = []
    events: list[ShowEvent] = []
    for _ in range(int(64 * RATE / QUANTUM)):
        if mixer.position % (QUANTUM * 16) == 0:
            now = mixer.position / RATE
            mixer.take(
                Mix(seq=0, captured_at=now, at=now, drive=0.5, confidence=1.0, bpm=BPM,
                    gains=(1.0, 1.0, 1.0, 1.0)),
                sample=mixer.position,
            )  # fmt: skip
        mixer.render(out)
        sound.append(out[:, 0].copy())
        events += mixer.events()
    transitions = [event.facts for event in events if event.event == "transition"]
    assert {facts["style"] for facts in transitions} == {style}
    lead = 32.0 if style in ("stem swap", "drums only", "long blend") else 0.0
    swaps = [
        mixer.timeline.sample_at(float(str(facts["start_beat"])) + lead) / RATE
        for facts in transitions
    ]
    return np.concatenate(sound).astype(np.float64), swaps


def level_of(track: str, sound: NDArray[np.float64], begin: int) -> float:
    """Of the lows of a track in a window from this sample on, as a factor of full scale."""
    part = sound[begin : begin + WINDOW] * np.hanning(WINDOW)
    turns = np.arange(WINDOW) / RATE * 2j * np.pi
    tones = [abs((part * np.exp(-turns * hz)).sum()) / (WINDOW / 4) for hz in LOWS[track]]
    return float(max(tones))


@pytest.mark.parametrize("style", STYLES)
def test_below_150_hz_one_track_is_heard_at_a_time(style: str) -> None:
    """But for the beat in which it changes hands; and there is always one.

    From the twentieth second on: before, the first phrase was heard twice.
    """
    sound, swaps = rendered(style)
    beat = 60.0 / BPM
    shares = []
    for begin in range(20 * RATE, len(sound) - WINDOW, WINDOW // 2):
        middle = (begin + WINDOW / 2) / RATE
        if any(abs(middle - swap + beat / 2) < beat / 2 + WINDOW / RATE for swap in swaps):
            continue
        levels = [level_of(name, sound, begin) for name in LOWS]
        assert max(levels) > 0.1, middle
        shares.append(min(levels) / max(levels))
    assert max(shares) < 10 ** (-24 / 20)
