"""Tracks whose sound tells where it is: a click on each beat, and a tone for each other stem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crowdstream.music.library import Section, Track, write_track
from crowdstream.packets import STEMS

FORM: Final = (
    ("intro", 16), ("groove", 16), ("break", 8), ("build", 8), ("drop", 16), ("outro", 16),
)  # fmt: skip

SHORT_FORM: Final = (("intro", 8), ("groove", 16), ("outro", 8))

TONES_HZ: Final = {"bass": 60.0, "vocals": 880.0, "other": 440.0}

CLICK_SECONDS: Final = 0.001
"""Short: what a deck leaves out below 150 Hz in a transition must not move the click's middle."""


def a_track(
    name: str = "clicks",
    *,
    bpm: float = 120.0,
    key: str = "8A",
    form: Sequence[tuple[str, int]] = FORM,
    first_beat_seconds: float = 0.05,
    rate: int = 44100,
    loudness_lufs: float = -14.0,
) -> Track:
    """A track as a library would describe it; it has no files."""
    sections, bars = [], 0
    for section, length in form:
        sections.append(Section(section, bars, length))
        bars += length
    return Track(
        id=name, title=name.title(), artist="nobody", bpm=bpm, key=key, bars=bars,
        first_beat_seconds=first_beat_seconds,
        seconds=first_beat_seconds + bars * 240.0 / bpm + 0.5, rate=rate,
        loudness_lufs=loudness_lufs, sections=tuple(sections), stops=(), folder=Path(name),
        files={stem: f"{stem}.wav" for stem in STEMS},
    )  # fmt: skip


def clicks(
    track: Track,
    *,
    channels: tuple[float, float] = (1.0, 1.0),
    tones: float = 0.1,
    click_seconds: float = CLICK_SECONDS,
) -> NDArray[np.int16]:
    """Its stems, shape (4, samples, 2): drums click, the others hum at TONES_HZ.

    The middle of a click is its beat, to a fraction of a sample. `channels` are the gains of the
    click to left and right; `tones` is the amplitude of what hums.
    """
    samples = int(track.seconds * track.rate)
    stems = np.zeros((4, samples, 2), np.float64)
    half = int(CLICK_SECONDS / 2 * track.rate)
    for beat in range(track.bars * 4):
        at = track.beat_sample(beat)
        index = np.arange(max(0, int(at) - half), min(samples, int(at) + half + 2))
        x = np.clip((index - at) / half, -1.0, 1.0)
        shape = 0.5 * np.cos(0.5 * np.pi * x) ** 2
        stems[0, index] += shape[:, np.newaxis] * np.array(channels)
    seconds = np.arange(samples) / track.rate
    for stem, hz in TONES_HZ.items():
        stems[STEMS.index(stem)] = tones * np.sin(2 * np.pi * hz * seconds)[:, np.newaxis]
    return np.rint(stems * 32767).astype(np.int16)


def write_clicks(folder: Path, tracks: Sequence[Track]) -> None:
    """A library of these tracks, as files."""
    import dataclasses

    import soundfile

    for track in tracks:
        home = folder / track.id
        home.mkdir(parents=True)
        for stem, sound in zip(STEMS, clicks(track), strict=True):
            soundfile.write(home / track.files[stem], sound, track.rate, subtype="PCM_16")
        write_track(dataclasses.replace(track, folder=home))
