"""What is heard, and what one bar line brings: the conductor's notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from crowdstream.music.harmony import shifted
from crowdstream.music.library import Section, Track
from crowdstream.music.lines import on_line
from crowdstream.music.orders import Order


class Said(NamedTuple):
    """A decision and its cause, true from a bar line on."""

    bar: int
    event: str
    why: str
    facts: dict[str, object]


@dataclass(slots=True)
class Plan:
    """What happens at one bar line."""

    orders: list[Order] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    bpm: float = 0.0
    """Tempo to be reached at the bar line after."""

    at_once: bool = False
    """The tempo steps at the bar line."""

    def say(self, bar: int, event: str, why: str, **facts: object) -> None:
        """Note a decision and its cause."""
        self.said.append(Said(bar, event, why, facts))


@dataclass(slots=True)
class Voice:
    """A track that is heard."""

    deck: int
    track: Track
    offset: int
    """Bar of the track minus bar of the timeline."""

    since: int
    """Bar of the timeline at which it came in."""

    on: list[bool]
    changed: list[int]
    """Bar of the timeline at which each stem last came or went."""

    shift: int = 0
    """Semitones that it is heard higher than it is."""

    loops: int = 0
    """How often a stretch of it was repeated because the floor should stay."""

    @classmethod
    def silent(cls, deck: int, track: Track, bar: int, track_bar: int, shift: int = 0) -> Voice:
        """A track that comes in at a bar line, none of its stems heard yet."""
        return cls(deck, track, track_bar - bar, bar, [False] * 4, [bar] * 4, shift)

    def bar(self, bar: int) -> int:
        """Bar of the track at a bar of the timeline."""
        return bar + self.offset

    def section(self, bar: int) -> Section:
        """Section of the track at a bar of the timeline."""
        return self.track.section_at(bar + self.offset)

    def on_line(self, bar: int) -> bool:
        """Whether a phrase of the track begins at a bar of the timeline."""
        return on_line(self.track, bar + self.offset)

    @property
    def track_is_whole(self) -> bool:
        """The track was never separated: all of it is heard where the drums would be."""
        return len(self.track.files) == 1

    @property
    def key(self) -> str:
        """The key that is heard."""
        return shifted(self.track.key, self.shift) if self.shift else self.track.key
