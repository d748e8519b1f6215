"""What a track of the library is: its music in bars and beats, and the files it lies in.

The stems of a track are equally long and add up to it. Its beats lie on a straight line: beat
`b` is heard `first_beat_seconds + b * 60 / bpm` seconds into the files.

What was measured is kept beside what counts; where the two differ a person has changed it, and
measuring again leaves it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MIX: Final = "mix"
"""The one file of a track that plays whole."""

WHOLE_PLAYS_AS: Final = 0
"""The stem whose place a whole track takes: drums, which are heard in every arrangement."""

SECTION_NAMES: Final = ("intro", "groove", "break", "build", "drop", "outro")
"""What a part of a track is for; the conductor plans by these names."""

BEATS_PER_BAR: Final = 4

SEPARATIONS: Final = ("", "fast", "high", "best")
"""How a track came by its stems: its own, or separated from the mix at one of these qualities."""

MEASURED: Final = (
    "title", "artist", "bpm", "key", "bars", "first_beat_seconds", "loudness_lufs", "sections",
    "cues",
)  # fmt: skip
"""What may stand in `[measured]` and be changed by hand above it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a track, in bars from its first downbeat."""

    name: str
    """One of SECTION_NAMES."""

    bar: int
    bars: int


@dataclass(frozen=True, slots=True)
class Cue:
    """A place that a DJ has marked."""

    name: str
    seconds: float
    """From the beginning of the files."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a track came from: how it is recognised when it is given again."""

    name: str
    """Name of the file or folder."""

    sha256: str
    """Of the bytes that were given."""

    sound_sha256: str
    """Of the samples in the track's folder."""


@dataclass(frozen=True, slots=True)
class Track:
    """One track of the library, as its `track.toml` describes it."""

    id: str
    """Names the track for programs; by default the name of its folder."""

    title: str
    artist: str
    bpm: float
    key: str
    """Camelot, such as `8A`: a letter apart or one step around the wheel mixes well."""

    bars: int
    first_beat_seconds: float
    seconds: float
    """Length of the files, in seconds of the track's own tempo."""

    rate: int
    """Samples per second of the files."""

    loudness_lufs: float
    """Integrated loudness of the full mix by BS.1770."""

    sections: tuple[Section, ...]
    """In order, without gaps, from bar 0 to `bars`."""

    stops: tuple[tuple[float, float], ...]
    """Silences that the music means: (beat, beats), in order."""

    folder: Path
    files: dict[str, str]
    """Name of the stem, or `mix` alone, -> name of its file in `folder`."""

    cues: tuple[Cue, ...] = ()
    measured: Mapping[str, str | float] = field(default_factory=dict)
    """What was found for each of MEASURED (sections and cues as a line of text), how sure that is,
    and what others have said of it."""

    source: Source | None = None

    energy: float | None = None
    """How much it asks of a floor, 0 to 1; None where nobody said."""

    separation: str = ""
    """One of SEPARATIONS. Stems that are `fast` bleed: see `crowdstream.music.bleed`."""

    @property
    def whole(self) -> bool:
        """It has no stems; its sound stands in the place of WHOLE_PLAYS_AS."""
        return set(self.files) == {MIX}

    @property
    def edited(self) -> tuple[str, ...]:
        """What a person has changed since it was measured, in the order of MEASURED."""
        now = {key: said_of(self, key) for key in MEASURED if key in self.measured}
        return tuple(key for key, value in now.items() if value != self.measured[key])

    @property
    def confidence(self) -> float:
        """How far the grid can be trusted, 0 to 1; 1 where a person has set it."""
        if {"bpm", "first_beat_seconds"} & {*self.edited}:
            return 1.0
        return float(self.measured.get("confidence", 1.0))

    def section_at(self, bar: float) -> Section:
        """The section that `bar` lies in; the first before the track, the last after it."""
        return next((s for s in reversed(self.sections) if s.bar <= bar), self.sections[0])

    def beat_sample(self, beat: float) -> float:
        """Where `beat` is heard, in samples at the track's own rate; not a whole number."""
        return (self.first_beat_seconds + beat * 60.0 / self.bpm) * self.rate


def sections_as_text(sections: tuple[Section, ...]) -> str:
    """Names and lengths, as `[measured]` keeps them: "intro 16, groove 32"."""
    return ", ".join(f"{section.name} {section.bars}" for section in sections)


def cues_as_text(cues: tuple[Cue, ...]) -> str:
    """Names and places, as `[measured]` keeps them: "Drop 61.2, Out 180.0"."""
    return ", ".join(f"{cue.name} {float(cue.seconds)!r}" for cue in cues)


def said_of(track: Track, key: str) -> str | float:
    """What stands in track.toml for a key, as `[measured]` would say it."""
    if key == "sections":
        return sections_as_text(track.sections)
    if key == "cues":
        return cues_as_text(track.cues)
    value: str | float = getattr(track, key)
    return value
