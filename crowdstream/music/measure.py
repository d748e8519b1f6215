"""Everything that the library wants to know of a track, measured from its sound alone.

`measure_track` listens to a whole track, `check_grid` to whether a grid that somebody else gave
fits it, and `camelot_of` reads keys as people write them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.music.downbeats import beats_of, find_downbeats
from crowdstream.music.grid import (
    Grid,
    measure_grid,
    strokes_of,
)
from crowdstream.music.keys import LOWEST_BASS_HZ, measure_key
from crowdstream.music.keys import camelot_of as camelot_of
from crowdstream.music.levels import loudness_lufs, true_peak_db
from crowdstream.music.library import Section
from crowdstream.music.onsets import FRAME_RATE, RATE, Onsets, heard, onsets
from crowdstream.music.sections import find_sections, find_stops

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

LEAST_SECONDS: Final = 1.0

WORTH_SECONDS: Final = 0.003
"""A smaller shift is not worth a word."""

SHIFT_SECONDS: Final = 0.06
"""A grid may be so far off as a whole: an encoder's delay, another idea of where a kick begins."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was heard. Confidences are 0 to 1; what is below 0.5 somebody should look at."""

    bpm: float
    first_beat_seconds: float
    """The first beat of bar 0. Beat b lies b * 60 / bpm later."""

    confidence: float
    """Of tempo and beats: that beats lie where the grid says."""

    drift_seconds: float
    """How far the music strays from a constant tempo: 95 % of it lies closer to the grid."""

    doubt: str
    """Why `confidence` is below 0.5, in words; empty when it is not."""

    octave_is_clear: bool
    """A kick on every beat and not on every half: nobody would count half or twice as fast."""

    downbeat_confidence: float
    """That bar 0 begins on the first of four beats."""

    phrase_bar: int
    """The first bar on an 8-bar line, 0 to 7."""

    phrase_confidence: float

    key: str
    """Camelot, such as `8A`. Always a key; a guess where `key_confidence` is near 0."""

    key_confidence: float
    tuning_cents: float
    """How far its notes lie from A = 440 Hz, -50 to 50."""

    bars: int
    """Whole bars from the first beat to where the music ends."""

    sections: tuple[Section, ...]
    """In order, without gaps, from bar 0 to `bars`."""

    stops: tuple[tuple[float, float], ...]
    """Silences that the music means: (beat, beats), in order."""

    loudness_lufs: float
    """Integrated, by BS.1770; -70 for silence."""

    true_peak_db: float
    """Highest peak between the samples, in dB of full scale (dBTP); -inf for silence."""


@dataclass(frozen=True, slots=True)
class GridCheck:
    """Whether a grid fits the sound."""

    accepted: bool
    """It can be used, with the two numbers below."""

    bpm: float
    """As given; corrected by the little that the sound shows it to be off."""

    first_beat_seconds: float
    """As given, moved by `shift_seconds`; still the same beat of the bar."""

    shift_seconds: float
    """How much later the strokes lie than the grid said; negative when earlier."""

    measured_bpm: float
    """What would have been measured without the grid."""

    confidence: float
    """0 to 1, of this answer."""

    reason: str
    """One sentence with numbers: why it was refused, or what was corrected; empty if all fits."""


def measure_track(mix: Sound, rate: int, stems: Sound | None = None) -> Measured:
    """Measure a whole track.

    `mix` has the shape (samples,) or (samples, channels), at `rate` samples a second; `stems`, if
    there are any, (4, samples, channels) in the order of STEMS. Nothing in it has to be loud, in
    four, or music at all: then confidences are low. Raises ValueError for sound that is shorter
    than a second or holds a number that is not finite.
    """
    _check(mix, rate)
    mono = heard(mix, rate)
    rises = onsets(mono)
    strokes = strokes_of(mono)
    grid = measure_grid(rises, strokes)
    begins, ends = _extent(rises)
    first = _first_beat(grid, begins)
    passed = round((first - grid.first_beat_seconds) / grid.beat_seconds)
    drums = tuple(grid.bars[(passed + k) % 4] for k in range(4))
    downbeats = find_downbeats(beats_of(rises, strokes, first, grid.beat_seconds, ends), drums)
    first += downbeats.beat * grid.beat_seconds
    bars = max(1, round((ends - first) / (4 * grid.beat_seconds)))
    bars = min(bars, max(1, int((len(mono) / RATE - first + 0.45) / (4 * grid.beat_seconds))))
    beats = beats_of(rises, strokes, first, grid.beat_seconds, ends)
    if stems is None:
        key = measure_key(mono, RATE)
    else:  # the drums have pitch and no key
        key = measure_key(heard(stems[1:].sum(axis=0), rate), RATE, lowest_hz=LOWEST_BASS_HZ)
    return Measured(
        bpm=float(grid.bpm), first_beat_seconds=float(first), confidence=grid.confidence,
        drift_seconds=grid.drift_seconds, doubt=grid.reason,
        octave_is_clear=grid.octave_is_clear,
        downbeat_confidence=downbeats.confidence * grid.confidence,
        phrase_bar=downbeats.phrase_bar,
        phrase_confidence=downbeats.phrase_confidence * grid.confidence,
        key=key.camelot, key_confidence=key.confidence, tuning_cents=key.tuning_cents,
        bars=bars, sections=find_sections(beats, bars, downbeats.phrase_bar),
        stops=find_stops(rises.power, first, grid.beat_seconds, bars),
        loudness_lufs=loudness_lufs(mix, rate), true_peak_db=true_peak_db(mix, rate),
    )  # fmt: skip


def check_grid(mix: Sound, rate: int, bpm: float, first_beat_seconds: float) -> GridCheck:
    """Ask the strokes in `mix` whether they lie on a grid that a tag or a program states.

    A constant shift of up to 60 ms is corrected; a grid that is wrong is refused. Raises
    ValueError as `measure_track` does, and for a tempo that is not above 0.
    """
    _check(mix, rate)
    if not 0.0 < bpm < math.inf:
        raise ValueError(f"a tempo of {bpm} BPM is none")
    mono = heard(mix, rate)
    grid = measure_grid(onsets(mono), strokes_of(mono))
    octave = round(math.log2(bpm / grid.bpm))
    away = bpm / grid.bpm / 2.0**octave - 1.0
    stray = abs(away) * len(mono) / RATE
    # A beat of the slower of both is always one of the faster.
    step = min(grid.beat_seconds, 60.0 / bpm)
    shift = (grid.first_beat_seconds - first_beat_seconds + step / 2) % step - step / 2
    said = f"the grid says {bpm:.2f} BPM, measured were {grid.bpm:.2f}"
    if abs(octave) > 1 or stray > SHIFT_SECONDS:
        told = f"{said}: by the end they are {1000 * stray:.0f} ms apart"
        return GridCheck(False, bpm, first_beat_seconds, 0.0, grid.bpm, grid.confidence, told)
    if abs(shift) > SHIFT_SECONDS:
        told = f"the beats lie {1000 * shift:+.0f} ms from the grid; up to 60 ms can be corrected"
        return GridCheck(False, bpm, first_beat_seconds, 0.0, grid.bpm, grid.confidence, told)
    told = ""
    if abs(shift) > WORTH_SECONDS:
        told = f"the grid was moved by {1000 * shift:+.0f} ms"
    # Two who found the same beats without each other are rarely both wrong.
    return GridCheck(
        True, float(grid.bpm * 2.0**octave), float(first_beat_seconds + shift), float(shift),
        grid.bpm, 1.0 - 0.5 * (1.0 - grid.confidence), told,
    )  # fmt: skip


def _check(mix: Sound, rate: int) -> None:
    if len(mix) < LEAST_SECONDS * rate:
        raise ValueError(f"{len(mix) / rate:.2f} s of sound are too short to measure")
    if not np.isfinite(mix).all():
        raise ValueError("the sound holds numbers that are not finite")


HISS_SECONDS: Final = 4.0
HISS: Final = 10.0**-2.5
"""An even noise before the music, 25 dB below it and not longer than this, is not its beginning."""


def _extent(rises: Onsets) -> tuple[float, float]:
    """When the sound begins and when it ends, in seconds."""
    power = rises.power.sum(axis=0)
    usual = float(np.quantile(power, 0.98))
    loud = np.flatnonzero(power > 1e-4 * usual)
    if not len(loud):
        return 0.0, rises.seconds
    begins = int(loud[0])
    music = int(np.flatnonzero(power > HISS * usual)[0])
    before = power[begins:music]
    # The last frames already hear the first stroke.
    if 10 < len(before) < HISS_SECONDS * FRAME_RATE:
        even = before[:-4]
        if float(even.max()) < 8.0 * float(np.median(even)):
            begins = music
    return begins / FRAME_RATE, float(loud[-1]) / FRAME_RATE


def _first_beat(grid: Grid, begins: float) -> float:
    """The first beat that is not before the sound; the very first sample may be one."""
    beats = np.ceil((begins - 0.03 - grid.first_beat_seconds) / grid.beat_seconds)
    return max(0.0, grid.first_beat_seconds + float(beats) * grid.beat_seconds)
