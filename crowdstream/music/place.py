"""Where the music was when its player was lost, and how a conductor goes on from there.

The beat goes on as if the music had been played silently meanwhile: the place is told for the
moment at which it is heard again. Tracks, bars and beats only; the file it comes from is the
player's (`crowdstream.player.kept`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crowdstream.music.choosing import Choosing
from crowdstream.music.lines import beat_of
from crowdstream.music.listening import Listening
from crowdstream.music.orders import Fade, Start
from crowdstream.music.timeline import BEATS_PER_BAR
from crowdstream.music.voices import Plan, Voice
from crowdstream.packets import Gains

if TYPE_CHECKING:
    from crowdstream.music.desk import Desk
    from crowdstream.music.library import Track

BARS_LEFT: Final = 2
"""A track is gone on with only if the bar that is heard is not one of its last two."""


@dataclass(frozen=True, slots=True)
class Place:
    """A track, where it is on the timeline, and what was wished for."""

    track_id: str
    sound_sha256: str
    """Of its source; empty where it has none."""

    track_bpm: float
    """As its beats were counted."""

    first_beat_seconds: float
    offset: int
    """Bar of the track minus bar of the timeline."""

    since: int
    """Bar of the timeline at which it came in."""

    gains: Gains
    """What was heard of each stem, 0 to 1 and a little."""

    beat: float
    """Of the timeline, where it goes on."""

    bpm: float
    """Tempo of the timeline."""

    bpm_wanted: float
    drive: float
    shift: int = 0
    """Semitones that it was heard higher than it is."""

    nudge: float = 0.0
    """Beats further on that it was read, so that its kicks fell on another's."""

    skip: int = 0
    """How often a person had asked for the next track."""

    gone_seconds: float = 0.0
    """Since it was last known."""


def track_of(place: Place, choosing: Choosing) -> Track | None:
    """The track to go on with; None when it is gone, another by now, or over."""
    track = choosing.counted_as(place.track_id, place.track_bpm)
    if track is None:
        return None
    source = track.source
    sha256 = "" if source is None else source.sound_sha256
    same = (
        sha256 == place.sound_sha256
        and track.bpm == place.track_bpm
        and track.first_beat_seconds == place.first_beat_seconds
    )
    return track if same and is_within(place, track, bar_of(place.beat)) else None


def bar_of(beat: float) -> int:
    """The bar of the timeline that a beat lies in."""
    return math.floor(beat / BEATS_PER_BAR)


def is_within(place: Place, track: Track, bar: int) -> bool:
    """Whether the track is not over at a bar of the timeline."""
    return 0 <= bar + place.offset <= track.bars - BARS_LEFT


def hear_again(place: Place, listening: Listening) -> None:
    """What was wished for last counts until there is a new wish."""
    listening.remember(
        drive=place.drive, bpm=place.bpm_wanted, gains=place.gains, skips=place.skip
    )  # fmt: skip


def go_on(place: Place, track: Track, desk: Desk, bar: int, plan: Plan) -> None:
    """Begin with the track where it would be at `bar`, with the stems that were heard."""
    on = [gain > 0.0 for gain in place.gains]
    since = min(place.since, bar)
    voice = Voice(0, track, place.offset, since, on, [since] * len(on), place.shift)
    plan.orders.append(Start(0, track, place.offset, place.shift, place.nudge))
    line = beat_of(bar)
    plan.orders += [Fade(0, stem, 1.0, line - 0.5, line) for stem in range(len(on)) if on[stem]]
    desk.now_playing(voice)
    # After a fault everything stays as it is for a while: no tension, and no drop is cut short.
    desk.arc.restart(bar)
    desk.arc.dropped_at = bar
    why = f"the player was lost for {place.gone_seconds:.1f} s"
    plan.say(bar, "again", why, to=track.id, title=track.title, to_bar=voice.bar(bar))
