"""Which of four beats is the one, and on which bar a phrase of eight begins.

Four witnesses are heard, none of whom is always there: the drums (snare and clap stand on two and
four, or on three in half time), the harmony (chords change on the one), the form (sections begin on
the one, and on 8-bar lines), and the beginning of the music itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.music.onsets import FRAME_RATE, GROUPS, Onsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

BAR: Final = 4
PHRASE_BARS: Final = 8


@dataclass(frozen=True, slots=True)
class Beats:
    """What is heard in each beat of a grid."""

    level: Floats
    """Shape (beats, bands): mean log power."""

    stroke: Floats
    """Shape (beats, 3): rise of low, mid and high on the beat itself."""


def beats_of(onsets: Onsets, first_seconds: float, beat_seconds: float) -> Beats:
    """Cut the sound at its beats, from the first to the last that is whole."""
    count = int((onsets.seconds - first_seconds) / beat_seconds + 0.02)
    edges = (first_seconds + np.arange(count + 1) * beat_seconds) * FRAME_RATE
    power = onsets.power
    total = np.concatenate((np.zeros((len(power), 1)), np.cumsum(power, axis=1, dtype=np.float64)), axis=1)
    index = np.clip(np.rint(edges).astype(np.int64), 0, power.shape[1])
    width = np.maximum(np.diff(index), 1)
    mean = np.diff(total[:, index], axis=1) / width
    floor = 1e-4 * np.quantile(power, 0.98, axis=1) + 1e-12
    level = np.log10(mean + floor[:, np.newaxis]).T
    rise = onsets.coarse
    near = np.clip(index[:-1, np.newaxis] + np.arange(-3, 4), 0, rise.shape[1] - 1)
    stroke = np.maximum(rise[:, near], 0.0).max(axis=2).T
    return Beats(level, stroke)


@dataclass(frozen=True, slots=True)
class Downbeats:
    """Where bars and phrases begin."""

    beat: int
    """The first beat of the grid that is the first of a bar, 0 to 3."""

    confidence: float
    phrase_bar: int
    """The first bar, counted from there, on an 8-bar line: 0 to 7."""

    phrase_confidence: float


def find_downbeats(beats: Beats, begins: int) -> Downbeats:
    """Hear all witnesses. `begins` is the beat at which the music begins."""
    votes = np.zeros(BAR)
    votes += _drums(beats.stroke)
    votes += _form(beats.level)
    votes[begins % BAR] += 1.0
    beat = int(votes.argmax())
    odds = np.exp(votes - votes.max())
    confidence = float(odds[beat] / odds.sum())
    lines = np.array([_lines(beats.level, beat + BAR * bar, BAR * PHRASE_BARS) for bar in range(PHRASE_BARS)])
    lines = lines / (lines.max() + 1e-9) * 4.0
    lines[0] += 1.0 if begins % BAR == beat else 0.0
    bar = int(lines.argmax())
    odds = np.exp(lines - lines.max())
    return Downbeats(beat, confidence, bar, float(odds[bar] / odds.sum()))


def _drums(stroke: Floats) -> Floats:
    """For each of four beats: how much the strokes look as if it were the one."""
    mean = np.stack([stroke[k::BAR].mean(axis=0) for k in range(BAR)])
    spread = stroke.std(axis=0) + 1e-6
    low, mid = (mean[:, 0] - mean[:, 0].mean()) / spread[0], (mean[:, 1] - mean[:, 1].mean()) / spread[1]
    votes = np.zeros(BAR)
    for k in range(BAR):
        back = mid[(k + 1) % 4] + mid[(k + 3) % 4] - mid[k] - mid[(k + 2) % 4]
        half = 2 * mid[(k + 2) % 4] - 2 * mid[k]
        votes[k] = 0.5 * max(back, half) + 0.5 * (low[k] - low.mean()) * 2
    return 2.0 * votes


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
        sharp[3:-3] += novelty[3:-3] - 0.5 * (novelty[3 - aside : len(novelty) - 3 - aside] + novelty[3 + aside : len(novelty) - 3 + aside])
    return np.maximum(sharp, 0.0) * novelty


def _form(level: Floats) -> Floats:
    if len(level) < 48:
        return np.zeros(BAR)
    sharp = _sharp(level)
    votes = np.array([sharp[k::BAR].sum() for k in range(BAR)])
    return 4.0 * votes / (votes.sum() + 1e-9)


def _lines(level: Floats, first: int, every: int) -> float:
    return float(change(level, 16)[first::every].sum())
