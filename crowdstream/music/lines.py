"""Where a track may be cut: the lines of its phrases, where it may be left and come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crowdstream.music.rules import PHRASE
from crowdstream.music.timeline import BEATS_PER_BAR

if TYPE_CHECKING:
    from crowdstream.music.library import Track

OPEN: Final = frozenset({"intro", "groove", "drop", "outro"})
"""Sections that may be left: a break or a build has promised something."""

FULL: Final = frozenset({"groove", "drop"})
"""Sections worth hearing twice."""


def beat_of(bar: int) -> float:
    """The beat of the timeline at a bar line."""
    return float(bar * BEATS_PER_BAR)


def on_line(track: Track, bar: int) -> bool:
    """Whether a phrase begins at this bar of the track.

    Phrases are counted from where their section begins: an intro of ten bars shifts all that
    comes after it.
    """
    return (bar - track.section_at(bar).bar) % PHRASE == 0


def next_line(track: Track, bar: int) -> int:
    """The first phrase line at or after this bar of the track."""
    return next(at for at in range(bar, bar + PHRASE + 1) if on_line(track, at))


def is_last_line(track: Track, bar: int) -> bool:
    """Whether no whole phrase begins after this bar."""
    later = range(bar + 1, track.bars - PHRASE + 1)
    return not any(on_line(track, at) for at in later)


def phrase_lines(track: Track, *, tail_bars: int) -> list[int]:
    """All phrase lines after which so many bars are left; the beginning where there is none."""
    lines = [bar for bar in range(track.bars - tail_bars + 1) if on_line(track, bar)]
    return lines or [0]


def leave_lines(track: Track, *, tail_bars: int) -> list[int]:
    """Phrase lines from which on a whole phrase lies in sections that may be left.

    Not the line of a drop itself: what was promised is heard first.
    """
    every = [line for line in phrase_lines(track, tail_bars=tail_bars) if line > 0] or [0]
    good = [
        line
        for line in every
        if track.section_at(line).name != "intro"
        and (track.section_at(line).name, track.section_at(line).bar) != ("drop", line)
        and all_in(track, line, PHRASE, OPEN)
        and (on_line(track, line + PHRASE) or line + PHRASE == track.bars)
    ]
    return good or every


def all_in(track: Track, bar: int, bars: int, names: frozenset[str]) -> bool:
    """Whether so many bars from `bar` on lie in sections of these names, and in the track."""
    if bar < 0 or bar + bars > track.bars:
        return False
    return all(track.section_at(b).name in names for b in range(bar, bar + bars))


def entry(track: Track, *, to_drop: bool, lead: int) -> int:
    """The bar to come in at: `lead` bars before a drop or a groove; 0 where there is no room."""
    for name in ("drop", "groove") if to_drop else ("groove", "drop"):
        for section in track.sections:
            if section.name == name and section.bar >= lead:
                return section.bar - lead
    return 0


def can_be_left_at_its_end(track: Track) -> bool:
    """Whether its last phrase is whole, or it is so short that there is no other place."""
    return on_line(track, track.bars) or leave_lines(track, tail_bars=PHRASE)[-1] == 0


def place_to_go_round(track: Track, bar: int, *, to_drop: bool) -> int:
    """Where a track that must go on goes back to from `bar`: its drop or its groove.

    Somewhere from which it can still be left; its beginning where there is no such place.
    """
    lines = leave_lines(track, tail_bars=PHRASE)
    for name in ("drop", "groove") if to_drop else ("groove", "drop"):
        for section in track.sections:
            if section.name == name and section.bar < min(bar, lines[-1]):
                return section.bar
    return 0


def drop_after(track: Track, bar: int) -> int | None:
    """The bar at which the next drop after `bar` begins; None when there is none."""
    return next((s.bar for s in track.sections if s.name == "drop" and s.bar > bar), None)


def segment_bars(beats: int) -> int:
    """The length of a loop: whole stretches of four bars, because it returns on a 4-bar line."""
    return max(1, round(beats / (4 * BEATS_PER_BAR))) * 4


def segment_at(track: Track, bar: int, bars: int) -> tuple[int, int] | None:
    """The stretch to go round in from a phrase line on: (first bar, bar of the return).

    None where it would leave what is worth hearing twice.
    """
    if not on_line(track, bar) or not all_in(track, bar, bars, FULL):
        return None
    return bar, bar + bars
