"""Which of four beats is the one, and on which bar a phrase of eight begins.

Four witnesses are heard, none of whom is always there: the drums (snare and clap stand on two and
four, or on three in half time), the harmony (chords change on the one), the form (sections begin on
the one, and on 8-bar lines), and the beginning of the music itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.music.onsets import FINE_RATE, FRAME_RATE, GROUPS, Onsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.music.grid import Strokes

    Floats = NDArray[np.floating[Any]]

BAR: Final = 4
PHRASE_BARS: Final = 8

NOTHING_NEW: Final = 0.02
"""Of a track whose sections do not differ by more, the form says nothing."""


@dataclass(frozen=True, slots=True)
class Beats:
    """What is heard in each beat of a grid."""

    level: Floats
    """Shape (beats, bands): mean log power."""

    stroke: Floats
    """Shape (beats, 3): rise of low, mid and high on the beat itself."""

    kick: Floats
    """Shape (beats,): weight of a stroke that is low and begins with a click."""


def beats_of(
    onsets: Onsets, strokes: Strokes, first_seconds: float, beat_seconds: float, end_seconds: float
) -> Beats:
    """Cut the sound at its beats, from the first to the last that begins before the end."""
    count = max(1, int((end_seconds - first_seconds) / beat_seconds + 0.5))
    edges = (first_seconds + np.arange(count + 1) * beat_seconds) * FRAME_RATE
    power = onsets.power
    total = np.concatenate(
        (np.zeros((len(power), 1)), np.cumsum(power, axis=1, dtype=np.float64)), axis=1
    )
    index = np.clip(np.rint(edges).astype(np.int64), 0, power.shape[1])
    width = np.maximum(np.diff(index), 1)
    mean = np.diff(total[:, index], axis=1) / width
    floor = 1e-4 * np.quantile(power, 0.98, axis=1) + 1e-12
    level = np.log10(mean + floor[:, np.newaxis]).T
    rise = onsets.coarse
    near = np.clip(index[:-1, np.newaxis] + np.arange(-3, 4), 0, rise.shape[1] - 1)
    stroke = np.maximum(rise[:, near], 0.0).max(axis=2).T
    at = np.rint((first_seconds + np.arange(count) * beat_seconds) * FINE_RATE).astype(np.int64)
    close = np.clip(at[:, np.newaxis] + np.arange(-12, 13), 0, strokes.rises.shape[1] - 1)
    low = strokes.accents[0][close].max(axis=1)
    clicks = strokes.rises[1:3][:, close].max(axis=2).min(axis=0)
    return Beats(level, stroke, low * np.sqrt(clicks))


@dataclass(frozen=True, slots=True)
class Downbeats:
    """Where bars and phrases begin."""

    beat: int
    """The first beat of the grid that is the first of a bar, 0 to 3."""

    confidence: float
    phrase_bar: int
    """The first bar, counted from there, on an 8-bar line: 0 to 7."""

    phrase_confidence: float


def find_downbeats(beats: Beats, drums: tuple[float, ...]) -> Downbeats:
    """Hear all witnesses. The music begins with beat 0; `drums` is what they say of each beat."""
    votes = 2.0 * (np.array(drums) - max(drums))
    votes += _harmony(beats.level)
    votes += _form(beats.level)
    votes[0] += 1.5
    beat = int(votes.argmax())
    odds = np.exp(votes - votes.max())
    confidence = float(odds[beat] / odds.sum())
    lines = np.array(
        [_lines(beats.level, beat + BAR * bar, BAR * PHRASE_BARS) for bar in range(PHRASE_BARS)]
    )
    said = 4.0 * lines / (lines.max() + NOTHING_NEW)
    said[0] += 1.5  # music begins with a phrase more often than not
    bar = int(said.argmax())
    odds = np.exp(said - said.max())
    return Downbeats(beat, confidence, bar, float(odds[bar] / odds.sum()))


def _harmony(level: Floats) -> Floats:
    """The tones between bass and hats change most on the one."""
    if len(level) < 16:
        return np.zeros(BAR)
    tones = level[:, GROUPS[1]]
    moved = np.abs(np.diff(tones - tones.mean(axis=1, keepdims=True), axis=0)).mean(axis=1)
    moved = np.concatenate(([0.0], moved))
    means = np.array([moved[k::BAR][1:].mean() for k in range(BAR)])
    spread = moved[BAR:].std() / np.sqrt(len(level) / BAR) + 1e-9
    votes: Floats = np.clip(0.25 * (means - means.mean()) / spread, -0.7, 0.7)
    return votes


def change(level: Floats, beats: int) -> Floats:
    """How different the sound is before and after each beat, over so many beats."""
    count = len(level)
    total = np.concatenate((np.zeros((1, level.shape[1])), np.cumsum(level, axis=0)))
    result = np.zeros(count)
    at = np.arange(beats, count - beats + 1)
    if len(at):
        before = (total[at] - total[at - beats]) / beats
        after = (total[np.minimum(at + beats, count)] - total[at]) / beats
        inside = at < count
        result[at[inside]] = np.abs(after - before).mean(axis=1)[inside]
    return result


def _sharp(level: Floats) -> Floats:
    """Changes that happen exactly at a beat, not around it."""
    novelty = change(level, 16)
    sharp = np.zeros_like(novelty)
    for aside in (1, 2, 3):
        sharp[3:-3] += novelty[3:-3] - 0.5 * (
            novelty[3 - aside : len(novelty) - 3 - aside]
            + novelty[3 + aside : len(novelty) - 3 + aside]
        )
    return np.maximum(sharp, 0.0) * novelty


def _form(level: Floats) -> Floats:
    if len(level) < 48:
        return np.zeros(BAR)
    sharp = _sharp(level)
    sums = np.array([sharp[k::BAR].sum() for k in range(BAR)])
    votes: Floats = 4.0 * sums / (sums.sum() + NOTHING_NEW)
    return votes


def _lines(level: Floats, first: int, every: int) -> float:
    """How much the sound changes on lines, on average."""
    there = change(level, 16)[first::every]
    there = there[there > 0.0]
    return float(there.mean()) if len(there) else 0.0
