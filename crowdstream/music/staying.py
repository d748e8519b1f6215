"""Going round in a stretch of a track while the floor should stay where it is."""

from __future__ import annotations

from typing import Final, NamedTuple

from crowdstream.music.floor import Floor
from crowdstream.music.lines import on_line, segment_at, segment_bars
from crowdstream.music.rules import PHRASE, Rules
from crowdstream.music.voices import Voice

MOST_LOOPS: Final = 2
"""A stretch that is heard a fourth time is noticed."""


class Loop(NamedTuple):
    """A jump that has been decided."""

    bar: int
    """Bar of the timeline at which it is taken."""

    to_bar: int
    """Bar of the track that it leads to."""

    within_phrase: bool
    """It is taken in the middle of a phrase."""

    why: str
    """Empty where it is not worth telling."""


def stay(voice: Voice, bar: int, floor: Floor, rules: Rules, leave_bar: int | None) -> Loop | None:
    """The loop to take, asked on each bar line; None where the track just goes on.

    A stretch begins on a phrase line and returns to it from a 4-bar line. It is repeated where
    the track is at its best or near its end, while the drive is high and steady.
    """
    if voice.loops >= MOST_LOOPS or not voice.on_line(bar):
        return None
    if floor.mean() < rules.drop_from or not floor.steady() or floor.needs_rest():
        return None
    bars = segment_bars(rules.segment_beats)
    # Decided on the last phrase line within the stretch: what has not happened by then will not.
    begin = voice.bar(bar) - (bars - 1) // PHRASE * PHRASE
    segment = segment_at(voice.track, begin, bars)
    if segment is None or begin - voice.offset < voice.since:
        return None
    first, returns = segment
    at = returns - voice.offset
    if leave_bar is not None and leave_bar < at:
        return None
    name = voice.track.section_at(first).name
    at_its_end = returns + 2 * PHRASE > voice.track.bars or leave_bar == at
    if name != "drop" and not at_its_end:
        return None
    why = f"drive {floor.mean():.2f} for 16 bars; {bars} bars of the {name} again"
    return Loop(at, first, not on_line(voice.track, returns), why)
