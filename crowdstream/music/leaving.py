"""Which way from one track to the next fits: keys, tempo, and where the floor is going."""

from __future__ import annotations

from typing import Final, Literal

from crowdstream.music.floor import Floor
from crowdstream.music.library import Track
from crowdstream.music.lines import OPEN, all_in, entry
from crowdstream.music.rules import PHRASE, Style
from crowdstream.music.transitions import LEAST_BLEND_BARS, can_blend
from crowdstream.music.voices import Voice

RISING: Final = 0.1
"""So much more drive within a phrase is a floor that goes up."""

FALLING: Final = 0.2
"""So much less within a phrase is one that falls: what was is taken out quickly."""


def chosen_style(
    wanted: Style | Literal["auto"], voice: Voice, track: Track, bar: int, floor: Floor, *,
    in_key: bool, met: bool, to_drop: bool, tense: bool, skip: bool, drop_from: float,
) -> tuple[Style, str]:  # fmt: skip
    """The style of a transition that begins at `bar`, and why.

    Args:
        wanted: a style that a person has set, or auto.
        voice: what is left.
        track: what comes in.
        bar: of the timeline.
        floor: what it has been doing.
        in_key: whether what has a key may be heard of both.
        met: whether both can be heard at the tempo of now.
        to_drop: the next track should come in by its drop.
        tense: the bass has been away, and is due on this line.
        skip: a person asked for it.
        drop_from: the drive from which on drops are wanted.
    """
    if not met:
        # Both cannot be heard at once: one ends on the one where the other begins.
        style: Style = "cut" if to_drop or wanted == "cut" else "echo out"
        return style, "the tempos are too far apart to be heard at once"
    left = voice.track.bars - voice.bar(bar)
    if left < PHRASE:
        return "cut", "the track is at its end"
    if wanted != "auto":
        return _possible(wanted, voice, track, bar, in_key=in_key)
    if to_drop and tense:
        return "cut", "eight bars without the bass: into the drop"
    whole = voice.track_is_whole or len(track.files) == 1
    if to_drop and floor.rise() >= RISING and entry(track, to_drop=True, lead=0):
        return "cut", f"drive {floor.ago(PHRASE):.2f} to {floor.drive:.2f}: into the drop"
    if whole:
        return _whole(voice, track, bar, in_key=in_key)
    if not in_key:
        return "drums only", "the keys clash"
    if skip or floor.rise() <= -FALLING:
        return "filter out", "soon" if skip else "the floor is falling"
    steady = floor.steady() and floor.mean() < drop_from
    if steady and can_blend(voice, bar, LEAST_BLEND_BARS):
        return "long blend", "keys agree and the floor is steady"
    return "stem swap", "keys agree"


def _possible(
    wanted: Style, voice: Voice, track: Track, bar: int, *, in_key: bool
) -> tuple[Style, str]:
    """What a person has set, as far as it can be done."""
    if wanted in ("stem swap", "long blend") and not in_key:
        return "drums only", f"a {wanted} was set, but the keys clash"
    if wanted == "long blend" and voice.track.bars - voice.bar(bar) < LEAST_BLEND_BARS:
        return "stem swap", "a long blend was set, but the track is too near its end"
    if wanted in ("stem swap", "drums only") and (voice.track_is_whole or len(track.files) == 1):
        return _whole(voice, track, bar, in_key=in_key)
    return wanted, "as set"


def _whole(voice: Voice, track: Track, bar: int, *, in_key: bool) -> tuple[Style, str]:
    """Tracks that nobody has separated: their voices cannot be kept apart, but their bands can."""
    intro = entry(track, to_drop=False, lead=PHRASE)
    quiet = track.section_at(intro).name == "intro"
    ends = all_in(voice.track, voice.bar(bar), LEAST_BLEND_BARS, OPEN)
    if in_key and quiet and ends and voice.section(bar).name == "outro":
        return "long blend", "keys agree; an outro over an intro"
    return "echo out", "a track without stems"
