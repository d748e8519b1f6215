"""The form of a track: intro, groove, break, build, drop, outro, and its meant silences.

Sections are whole phrases of eight bars, or of four where the music changes in the middle of one.
Neighbours that sound alike are one section. What a section is for is told by its kick and its
fullness, beside those around it: a break has lost the kick, a build ends in a drop, a drop is full
and comes after less.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.music.library import Section
from crowdstream.music.onsets import FRAME_RATE, GROUPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.music.downbeats import Beats

    Floats = NDArray[np.floating[Any]]

BAR: Final = 4
UNIT_BARS: Final = 4
PHRASE_BARS: Final = 8

LEAST_CHANGE: Final = 0.12
"""Mean change over all bands, in tens of dB, from which on one part is not like the next."""

SILENCE: Final = 10.0**-4.5
"""45 dB below what is loud: nothing sounds but what rings."""

RARE_BARS: Final = 16
"""A track stops no more often than once in so many bars."""

LEAST_STOP_BEATS: Final = 0.35


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of bars that sounds alike."""

    bar: int
    bars: int
    kick: float
    """How much of the track's kicks it has, about 0 to 1."""

    full: float
    """How loud it is over all bands, in tens of dB beside the loudest part: 0 and below."""

    low: float
    """The same below 160 Hz."""

    rise: float
    """How much fuller its end is than its beginning."""


def find_sections(beats: Beats, bars: int, phrase_bar: int) -> tuple[Section, ...]:
    """Sections from bar 0 to `bars`, of beats that begin with bar 0."""
    if bars < 2 * UNIT_BARS:
        return (Section("groove", 0, bars),)
    parts = _parts(beats, bars, phrase_bar)
    names = _names(parts)
    sections: list[Section] = []
    for part, name in zip(parts, names, strict=True):
        if sections and sections[-1].name == name:
            last = sections.pop()
            sections.append(Section(name, last.bar, last.bars + part.bars))
        else:
            sections.append(Section(name, part.bar, part.bars))
    return tuple(sections)


def _parts(beats: Beats, bars: int, phrase_bar: int) -> list[Part]:
    """Cut at the lines where the sound changes."""
    per_bar = _by_bar(beats.level, bars)
    kicks = _by_bar(beats.kick[:, np.newaxis], bars)[:, 0]
    rich = np.concatenate((per_bar, 0.6 * _by_bar(beats.stroke, bars)), axis=1)
    lines = [bar for bar in range(phrase_bar % UNIT_BARS, bars, UNIT_BARS) if bar >= UNIT_BARS]
    lines = [bar for bar in lines if bar + UNIT_BARS <= bars]
    steps = {bar: _step(rich, bar) for bar in lines}
    usual_step = float(np.median(list(steps.values()))) if steps else 0.0
    cuts = [0]
    for bar in lines:
        on_phrase = (bar - phrase_bar) % PHRASE_BARS == 0
        needed = max(LEAST_CHANGE, usual_step) * (1.0 if on_phrase else 1.5)
        if steps[bar] >= needed and bar - cuts[-1] >= UNIT_BARS:
            cuts.append(bar)
    cuts.append(bars)
    loud = np.quantile(per_bar.mean(axis=1), 0.95)
    usual = float(np.quantile(kicks, 0.6)) + 1e-9
    deep = per_bar[:, :LOW_BANDS].mean(axis=1)
    deepest = float(np.quantile(deep, 0.9))
    parts = []
    for begin, end in itertools.pairwise(cuts):
        level = per_bar[begin:end].mean(axis=1)
        half = max(1, (end - begin) // 2)
        parts.append(
            Part(
                begin, end - begin, float(np.median(kicks[begin:end])) / usual,
                float(level.mean() - loud),
                float(deep[begin:end].mean() - deepest),
                float(per_bar[end - half : end].mean() - per_bar[begin : begin + half].mean()),
            )
        )  # fmt: skip
    return parts


def _by_bar(rows: Floats, bars: int) -> Floats:
    """Means of four beats each, (bars, columns); what is missing at the end repeats the last."""
    need = bars * BAR
    if len(rows) < need:
        rows = np.concatenate((rows, np.repeat(rows[-1:], need - len(rows), axis=0)))
    means: Floats = rows[:need].reshape(bars, BAR, -1).mean(axis=1)
    return means


def _step(rich: Floats, bar: int) -> float:
    """How different the four bars before and after a line are."""
    before, after = rich[max(0, bar - 4) : bar], rich[bar : bar + 4]
    return float(np.abs(after.mean(axis=0) - before.mean(axis=0)).mean())


LOW_BANDS: Final = GROUPS[0].stop

HAS_KICK: Final = 0.2
FULL: Final = 0.35
BASS: Final = 0.18
"""Tens of dB below the loudest parts: still full, and with all of its bass."""


def _names(parts: list[Part]) -> list[str]:
    """What each part is for."""
    count = len(parts)
    kicks = [part.kick >= HAS_KICK for part in parts]
    full = [
        kick and part.full >= -FULL and part.low >= -BASS
        for kick, part in zip(kicks, parts, strict=True)
    ]
    names = ["groove" if kick else "break" for kick in kicks]
    first = full.index(True) if True in full else 0
    names[:first] = ["intro"] * first
    for i in range(first, count):
        if not full[i] or i == 0 or full[i - 1]:
            continue
        # What leads from a break to a full part is a build; the full part is the drop.
        start = i - 1
        while start > first and kicks[start] and not full[start]:
            start -= 1
        if start <= first or kicks[start]:
            continue
        if start == i - 1 and (names[start - 1] == "break" or parts[start].rise > RISE):
            names[start] = "build"
        names[start + 1 : i] = ["build"] * (i - 1 - start)
        for after in range(i, count):
            if not full[after] or parts[after].full < parts[i].full - 0.5 * FULL:
                break
            names[after] = "drop"
    last = count - 1
    while last > first and not (full[last] and names[last] == "drop"):
        lower = parts[last].full < max(part.full for part in parts[:last]) - 0.5 * FULL
        if not (lower or not kicks[last]):
            break
        last -= 1
    names[last + 1 :] = ["outro"] * (count - last - 1)
    return names


RISE: Final = 0.12


def find_stops(
    power: Floats, first_seconds: float, beat_seconds: float, bars: int
) -> tuple[tuple[float, float], ...]:
    """Silences within the music, (beat, beats), to a quarter of a beat.

    `power` has the shape (bands, frames); what is silent before the first or after the last sound
    is no stop.
    """
    total = power.sum(axis=0)
    quiet = total < SILENCE * np.quantile(total, 0.9)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    stops = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if begin == 0 or end == len(quiet):
            continue
        first = (begin / FRAME_RATE - first_seconds) / beat_seconds
        last = (end / FRAME_RATE + 0.02 - first_seconds) / beat_seconds
        if last - first < LEAST_STOP_BEATS:
            continue
        # Music stops with a tail and begins again with a stroke: the end is the surer of the two.
        after = round(4.0 * last) / 4.0
        beats = max(0.25, round(4.0 * (after - first) + 0.3) / 4.0)
        if after >= beats and after <= bars * BAR:
            stops.append((after - beats, beats))
    # Gaps that come back with the bars are rhythm.
    return tuple(stops) if len(stops) <= max(1, bars // RARE_BARS) else ()
