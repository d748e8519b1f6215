"""From what was measured, what tags say and what a person has changed to what `track.toml` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crowdstream.music.library import (
    BEATS_PER_BAR,
    MEASURED,
    TRACK_FILE,
    Cue,
    Section,
    Track,
    cues_as_text,
    sections_as_text,
)
from crowdstream.music.measure import Measured, check_grid, measure_track

UNSURE: Final = 0.5
"""Below this a person should look at the grid."""

OCTAVE_TOLERANCE: Final = 0.02
"""A tag of 87 means the half of 174.2; 88 for 172 is a coarse one, 90 another tempo."""

LONGEST_WITH_STEMS_SECONDS: Final = 720.0
"""Four stems as floats of more than this do not fit beside others on a small machine."""

END_SECONDS: Final = 0.45
"""The last bar may ring out so much short; `read_track` allows a little more."""


class Given(NamedTuple):
    """What others say of a track: its tags, or the program that it was prepared with."""

    bpm: float | None = None
    key: str | None = None
    grid_bpm: float | None = None
    grid_first_beat_seconds: float | None = None
    """The first beat of some bar."""

    cues: tuple[Cue, ...] = ()


class Described(NamedTuple):
    """What stands in `track.toml` but for names and files."""

    facts: Mapping[str, Any]
    """Fields of Track, and `measured`."""

    notes: tuple[str, ...]
    found: Measured


def describe(stems: NDArray[np.int16], rate: int, given: Given, *, whole: bool) -> Described:
    """Measure a track, and weigh it against what others say.

    `stems` has the shape (1 or 4, samples, 2). A grid from elsewhere counts where the strokes lie
    on it; a tempo in a tag decides which octave is meant where the sound leaves that open; a key
    in a tag counts, for programs that do nothing else know it better.
    """
    mix = sum_of(stems)
    seconds = len(mix) / rate
    # Stems help the measuring where memory allows it.
    apart = None
    if not whole and seconds <= LONGEST_WITH_STEMS_SECONDS:
        apart = stems.astype(np.float32) / np.float32(32768.0)
    found = measure_track(mix, rate, apart)
    notes: list[str] = []
    grid, confidence = _Grid.of(found), found.confidence
    cues = given.cues
    if given.grid_bpm is not None and given.grid_first_beat_seconds is not None:
        first = _downbeat_near(found.first_beat_seconds, given)
        check = check_grid(mix, rate, given.grid_bpm, first)
        if check.accepted:
            grid = grid.moved_to(check.bpm, _within(check.first_beat_seconds, check.bpm), seconds)
            confidence = max(confidence, check.confidence)
            cues = tuple(replace(c, seconds=c.seconds + check.shift_seconds) for c in cues)
            moved = f", moved by {1000 * check.shift_seconds:+.1f} ms" if check.reason else ""
            notes.append(f"the given grid of {check.bpm:.2f} BPM fits{moved}")
            # What is kept is corrected: measured again, nothing moves a second time.
            given = given._replace(
                grid_bpm=round(check.bpm, 5),
                grid_first_beat_seconds=round(grid.first_beat_seconds, 6),
            )
        else:
            notes.append(f"the given grid is not taken: {check.reason}")
    elif given.bpm is not None:
        octave = next((f for f in (2.0, 1.0, 0.5) if _is_near(given.bpm, f * found.bpm)), None)
        if octave is None:
            notes.append(f"its tag says {given.bpm:g} BPM; measured were {found.bpm:.2f}")
        elif octave != 1.0 and found.octave_is_clear:
            notes.append(
                f"its tag says {given.bpm:g} BPM, {'twice' if octave > 1.0 else 'half'} of what is"
                f" clearly heard; {found.bpm:.2f} counts (bpm in {TRACK_FILE} changes it)"
            )
        elif octave != 1.0:
            grid = grid.moved_to(octave * found.bpm, grid.first_beat_seconds, seconds)
            notes.append(f"{grid.bpm:.2f} BPM is the octave of its tag")
    if confidence < UNSURE:
        notes.append(f"its beats are unsure: {found.doubt or 'they are not regular'}")
    facts: dict[str, Any] = {
        "bpm": round(grid.bpm, 5),
        "key": given.key or found.key,
        "bars": grid.bars,
        "first_beat_seconds": round(grid.first_beat_seconds, 6),
        "loudness_lufs": round(min(found.loudness_lufs, 0.0), 2),
        "sections": grid.sections,
        "stops": grid.stops,
        "cues": tuple(
            replace(c, seconds=round(min(max(c.seconds, 0.0), seconds), 4)) for c in cues
        ),
    }
    facts["measured"] = _table(facts, found, confidence, given)
    return Described(facts, tuple(notes), found)


def described_anew(track: Track, fresh: Described) -> Track:
    """The track as it was measured now; what a person has changed stays.

    Where tempo or first beat were set by hand, sections follow that grid.
    """
    edited = {*track.edited}
    measured = {
        **{key: track.measured[key] for key in ("title", "artist") if key in track.measured},
        **fresh.facts["measured"],
    }
    facts = {key: value for key, value in fresh.facts.items() if key not in {*edited, "measured"}}
    if edited & {"bpm", "first_beat_seconds"}:
        grid = _Grid.of(fresh.found).moved_to(
            track.bpm if "bpm" in edited else facts["bpm"],
            track.first_beat_seconds
            if "first_beat_seconds" in edited
            else facts["first_beat_seconds"],
            track.seconds,
        )
        facts |= {"bars": grid.bars, "sections": grid.sections, "stops": grid.stops}
    if edited & {"bars", "sections"}:
        # Both belong together, and stops to them: somebody has laid out the form.
        facts |= {"bars": track.bars, "sections": track.sections, "stops": track.stops}
    return replace(track, **facts, measured=measured)


def given_in(measured: Mapping[str, str | float]) -> Given:
    """What others have said, as the table `[measured]` keeps it."""

    def number(key: str) -> float | None:
        value = measured.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    key = measured.get("given_key")
    return Given(
        bpm=number("given_bpm"),
        key=key if isinstance(key, str) else None,
        grid_bpm=number("given_grid_bpm"),
        grid_first_beat_seconds=number("given_grid_first_beat_seconds"),
    )


def sum_of(stems: NDArray[np.int16] | Sequence[NDArray[np.int16]]) -> NDArray[np.float32]:
    """What is heard when all stems play, 1 being full scale."""
    first, *rest = stems
    mix = first.astype(np.float32)
    for sound in rest:
        mix += sound
    mix *= np.float32(1.0 / 32768.0)
    return mix


def _is_near(said: float, bpm: float) -> bool:
    return abs(said / bpm - 1.0) < OCTAVE_TOLERANCE


class _Grid(NamedTuple):
    """Beats, and the form that is counted in them."""

    bpm: float
    first_beat_seconds: float
    bars: int
    sections: tuple[Section, ...]
    stops: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, found: Measured) -> _Grid:
        return cls(
            found.bpm, found.first_beat_seconds, found.bars, found.sections, found.stops
        )  # fmt: skip

    def moved_to(self, bpm: float, first_beat_seconds: float, seconds: float) -> _Grid:
        """The same form on other beats: every border goes to the bar line that is nearest."""
        beat, new_beat = 60.0 / self.bpm, 60.0 / bpm

        def new_beats(beats: float) -> float:
            return (self.first_beat_seconds + beats * beat - first_beat_seconds) / new_beat

        def new_bar(bar: int) -> int:
            return round(new_beats(bar * BEATS_PER_BAR) / BEATS_PER_BAR)

        most = int((seconds + END_SECONDS - first_beat_seconds) / (new_beat * BEATS_PER_BAR))
        bars = max(1, min(new_bar(self.bars), most))
        borders = [0, *(min(max(new_bar(s.bar), 0), bars) for s in self.sections[1:]), bars]
        sections = tuple(
            Section(section.name, start, end - start)
            for section, start, end in zip(self.sections, borders, borders[1:], strict=False)
            if end > start
        )
        stops = tuple(
            (round(new_beats(at), 3), round(beats * beat / new_beat, 3))
            for at, beats in self.stops
            if 0.0 <= new_beats(at) < new_beats(at + beats) <= bars * BEATS_PER_BAR
        )
        return _Grid(bpm, first_beat_seconds, bars, sections, stops)


def _downbeat_near(seconds: float, given: Given) -> float:
    """The first beat of a bar of the given grid that lies nearest to a moment, not before 0."""
    assert given.grid_bpm is not None
    assert given.grid_first_beat_seconds is not None
    bar = 60.0 * BEATS_PER_BAR / given.grid_bpm
    first = given.grid_first_beat_seconds
    at = first + round((seconds - first) / bar) * bar
    while at < -0.001:
        at += bar
    return max(0.0, at)


def _within(first_beat_seconds: float, bpm: float) -> float:
    """The same beat of the bar, not before the sound begins; a hair before is its beginning."""
    if first_beat_seconds < -0.02:
        first_beat_seconds += 60.0 * BEATS_PER_BAR / bpm
    return max(0.0, first_beat_seconds)


def _table(
    facts: Mapping[str, Any], found: Measured, confidence: float, given: Given
) -> dict[str, str | float]:
    """`[measured]`."""
    table: dict[str, str | float] = {
        key: facts[key] for key in MEASURED if key in facts and key not in ("sections", "cues")
    }
    table["sections"] = sections_as_text(facts["sections"])
    if facts["cues"]:
        table["cues"] = cues_as_text(facts["cues"])
    table["confidence"] = round(confidence, 3)
    table["downbeat_confidence"] = round(found.downbeat_confidence, 3)
    table["key_confidence"] = round(found.key_confidence, 3)
    said = {
        "given_bpm": given.bpm,
        "given_key": given.key,
        "given_grid_bpm": given.grid_bpm,
        "given_grid_first_beat_seconds": given.grid_first_beat_seconds,
    }
    table |= {key: value for key, value in said.items() if value is not None}
    return table
