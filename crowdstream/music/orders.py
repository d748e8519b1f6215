"""What the conductor asks of the decks."""

from __future__ import annotations

from typing import Literal, NamedTuple

from crowdstream.music.library import Track

Law = Literal["power", "gain"]

Knob = Literal["low", "mid", "high", "lowpass", "highpass", "echo", "gain"]


class Start(NamedTuple):
    """Put a track on a deck, silent: bar 0 of the timeline is its bar `offset`."""

    deck: int
    track: Track
    offset: int
    shift: float = 0.0
    """Semitones that it is heard higher than it is: small whole numbers, 0 as a rule."""

    nudge: float = 0.0
    """Beats further on that it is read; where another deck plays its kicks say so."""


class Fade(NamedTuple):
    """Move a stem between two beats of the timeline to a factor of 0 or 1."""

    deck: int
    stem: int
    to: float
    start: float
    end: float
    law: Law = "power"


class Stop(NamedTuple):
    """The deck is free from this beat on."""

    deck: int
    beat: float


class Sweep(NamedTuple):
    """Move a knob of a deck between two beats of the timeline, like a fade.

    low, mid, high    factor of a band, 0 (kill) to 1 (flat); low lies below 150 Hz
    lowpass           1 open to 0 closed (about 200 Hz)
    highpass          0 open to 1 closed (about 2 kHz)
    echo              0 to 1: how much goes into an echo on the beat, which rings on after a stop
    gain              factor of the whole deck, 0 to 1
    """

    deck: int
    knob: Knob
    to: float
    start: float
    end: float


class Jump(NamedTuple):
    """At a beat of the timeline a deck goes on at another place of its track: a loop.

    Bar 0 of the timeline is its bar `offset` from then on; all else stays as it is.
    """

    deck: int
    beat: float
    offset: int


Order = Start | Fade | Stop | Sweep | Jump
