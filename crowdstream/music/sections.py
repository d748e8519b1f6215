"""The form of a track: intro, groove, break, build, drop, outro, and its meant silences.

Sections are whole phrases of eight bars, or of four where the music changes in the middle of one.
Neighbours that sound alike are one section. What a section is for is told by its kick and its
fullness, beside those around it: a break has lost the kick, a build ends in a drop, a drop is full
and comes after less.
"""

from __future__ import annotations

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

CHANGE: Final = 0.55
"""A change is one where the sound differs by so much of what it differs at most."""

SILENCE: Final = 10.0**-4.5
"""45 dB below what is loud: nothing sounds but what rings."""

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
    kicks = _by_bar(beats.stroke[:, :1] * _bodied(beats.level)[:, np.newaxis], bars)[:, 0]
    rich = np.concatenate((per_bar, 0.6 * _by_bar(beats.stroke, bars)), axis=1)
    lines = [bar for bar in range(phrase_bar % UNIT_BARS, bars, UNIT_BARS) if UNIT_BARS <= bar]
    lines = [bar for bar in lines if bar <= bars - UNIT_BARS]
    steps = {bar: _step(rich, bar) for bar in lines}
    most = max(steps.values(), default=0.0)
    cuts = [0]
    for bar in lines:
        on_phrase = (bar - phrase_bar) % PHRASE_BARS == 0
        needed = CHANGE * (0.6 if on_phrase else 1.3) * float(np.median(list(steps.values())) + 0.5 * most)
        if steps[bar] >= max(needed, 0.08) and bar - cuts[-1] >= UNIT_BARS:
            cuts.append(bar)
    cuts.append(bars)
    loud = np.quantile(per_bar.mean(axis=1), 0.95)
    usual = float(np.quantile(kicks, 0.8)) + 1e-9
    parts = []
    for begin, end in zip(cuts, cuts[1:], strict=False):
        level = per_bar[begin:end].mean(axis=1)
        half = max(1, (end - begin) // 2)
        parts.append(
            Part(
                begin, end - begin, float(np.median(kicks[begin:end])) / usual,
                float(level.mean() - loud),
                float(rich[end - half : end].mean() - rich[begin : begin + half].mean()),
            )
        )  # fmt: skip
    return parts


def _by_bar(rows: Floats, bars: int) -> Floats:
    """Means of four beats each, (bars, columns); what is missing at the end repeats the last."""
    need = bars * BAR
    if len(rows) < need:
        rows = np.concatenate((rows, np.repeat(rows[-1:], need - len(rows), axis=0)))
    return rows[:need].reshape(bars, BAR, -1).mean(axis=1)


def _bodied(level: Floats) -> Floats:
    """How much of the usual weight is below 160 Hz in each beat, 0 to 1: 20 dB less is none."""
    low = level[:, GROUPS[0]].mean(axis=1)
    return np.clip(1.0 + (low - np.quantile(low, 0.9)) / 2.0, 0.0, 1.0)


def _step(rich: Floats, bar: int) -> float:
    """How different the four bars before and after a line are."""
    before, after = rich[max(0, bar - 4) : bar], rich[bar : bar + 4]
    return float(np.abs(after.mean(axis=0) - before.mean(axis=0)).mean())


HAS_KICK: Final = 0.5


def _names(parts: list[Part]) -> list[str]:
    """What each part is for."""
    count = len(parts)
    kicks = [part.kick >= HAS_KICK for part in parts]
    fullest = sorted(part.full for part in parts if part.full > -3.0)
    middle = fullest[len(fullest) // 2] if fullest else 0.0
    names = ["groove"] * count
    for i, part in enumerate(parts):
        if not kicks[i] and 0 < i:
            names[i] = "break"
        elif kicks[i] and i and names[i - 1] in ("break", "build") and part.full >= middle - 0.15:
            names[i] = "drop"
            names[i - 1] = _before_drop(parts, names, i - 1)
        elif kicks[i] and i and names[i - 1] == "drop" and part.full >= parts[i - 1].full - 0.1:
            names[i] = "drop"
    if count > 1:
        if not kicks[0] or parts[0].full < parts[1].full - 0.04:
            names[0] = "intro"
        last = parts[-1]
        if last.full < max(p.full for p in parts[:-1]) - 0.04 or not kicks[-1]:
            names[-1] = "outro"
    return names


def _before_drop(parts: list[Part], names: list[str], i: int) -> str:
    """The last part without kick before a drop is a build where something came before it."""
    earlier = i > 0 and names[i - 1] == "break"
    return "build" if earlier or parts[i].rise > 0.12 else "break"


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
        if 0.0 <= after - beats and after <= bars * BAR:
            stops.append((after - beats, beats))
    return tuple(stops)
