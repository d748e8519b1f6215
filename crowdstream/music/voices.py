"""What is heard, and what one bar line brings: the conductor's notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from crowdstream.music.library import Track
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

    def bar(self, bar: int) -> int:
        """Bar of the track at a bar of the timeline."""
        return bar + self.offset


@dataclass(slots=True)
class Handover:
    """A transition under way."""

    incoming: Voice
    begin: int
    swap: int
    """Bar of the timeline at which the bass changes hands."""

    end: int
    to_drop: bool
