"""The paper a song is written on: where a beat lies, in samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crowdstream.music.compose_songs import BARS
from crowdstream.music.synth import RATE

if TYPE_CHECKING:
    from crowdstream.music.compose_songs import Song

TAIL_BEATS: Final = 4
"""What the last notes have to ring out."""

DROP_BEAT: Final = 6 * 32


@dataclass(frozen=True, slots=True)
class Score:
    """The grid of one song."""

    bpm: float
    swing: float
    stop_beats: float

    @classmethod
    def of(cls, song: Song) -> Score:
        """The grid of `song`."""
        return cls(song.bpm, song.swing, song.stop_beats)

    @property
    def samples(self) -> int:
        """Length of the files."""
        return self.at(BARS * 4 + TAIL_BEATS)

    def at(self, beat: float) -> int:
        """The sample of a beat, from the first downbeat at sample 0."""
        return round(beat * 60.0 / self.bpm * RATE)

    def seconds(self, beats: float) -> float:
        """How long so many beats are."""
        return beats * 60.0 / self.bpm

    def step(self, sixteenth: int) -> float:
        """The beat of a sixteenth of a bar, swung."""
        return sixteenth / 4.0 + (self.swing / 4.0 if sixteenth % 2 else 0.0)
