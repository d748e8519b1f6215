"""How far a beat grid can be trusted, and why not: what somebody would ask who doubts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.music.onsets import FINE_RATE
from crowdstream.music.repeats import near_lags, top_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

ON_THE_BEAT: Final = 0.06
"""A first stroke so near to a beat, in beats, is on it."""

OFF_THE_BEAT: Final = 0.12
"""And one that is further off is not."""

AGREES: Final = 0.12
"""What a beginning on the beat is worth, in likeness of the drums."""

CONTRADICTS: Final = 0.45
"""What is left of the trust in beats beside which the music begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found of a grid on the way to it."""

    repeats: Floats
    """As `autocorrelation` gives them."""

    period: float
    """Length of a beat, in frames of `repeats`."""

    score: float
    rival: float
    """How well music repeats at this tempo, and at the best that is no octave of it."""

    wander: float
    """How far the tempo of parts lies from the whole's, relatively."""

    share: float
    """How much of the strokes lies in parts that agree."""

    drift: float
    """How far parts stray from the line, in seconds."""

    phase_margin: float
    """How much more the drums look like bars here than anywhere beside the beats."""

    begins_off: float
    """How far the first stroke lies from the nearest beat: 0 to 0.5 of a beat."""

    is_plain: bool
    """Drums tell where the beat is, wherever the music begins."""

    beats: float
    """Length of the sound."""


def trust(found: Evidence) -> tuple[float, str]:
    """Confidence 0 to 1, and what keeps it low; the reason is empty from 0.5 on."""
    repeats, period = found.repeats, found.period
    agrees = AGREES if found.begins_off < ON_THE_BEAT else 0.0
    contradicts = found.begins_off > OFF_THE_BEAT and not found.is_plain
    parts = {
        "no steady beat is heard": _steps(found.score, 0.06, 0.2),
        "another tempo fits nearly as well": _steps(
            1.0 - found.rival / (found.score + 1e-9), 0.0, 0.12
        ),
        "the strokes do not fall on beats": _steps(_pulse(repeats, period), 0.0, 0.15),
        # A riff of three beats over drums in four is no waltz.
        "the music is not in four": 1.0
        if found.is_plain
        else _steps(_fourness(repeats, period), -0.05, -0.015),
        "the tempo drifts": min(
            _steps(found.share, 0.3, 0.7),
            1.0 - _steps(found.wander, 0.001, 0.004),
            1.0 - _steps(found.drift, 0.012, 0.05),
        ),
        "beat and off-beat sound alike": _steps(found.phase_margin + agrees, 0.0, 0.18),
        "it begins beside these beats": CONTRADICTS if contradicts else 1.0,
        "it is too short to be sure": _steps(found.beats, 8.0, 32.0),
    }
    worst = min(parts, key=lambda name: parts[name])
    confidence = float(np.prod(list(parts.values())))
    return confidence, worst if confidence < 0.5 else ""


def first_stroke(accents: Floats, rises: Floats) -> float:
    """When the first stroke is heard that is no mere noise, in seconds.

    Both have the shape (bands, frames) at FINE_RATE: how much louder it gets over 60 ms, which
    says that there is one, and how much within 3 ms, which says when.
    """
    total = accents.sum(axis=0)
    strong = np.flatnonzero(total > 0.3 * float(np.quantile(total, 0.99)))
    # Nothing rises at the very first sample: sound that begins with it begins with a stroke.
    if not len(strong) or strong[0] < 10:
        return 0.0
    first = int(strong[0])
    return float((first + int(rises[:, first : first + 80].sum(axis=0).argmax())) / FINE_RATE)


def tempo_wander(rows: Floats, period: float) -> float:
    """How far the tempo of single parts lies from the whole's, relatively: half the spread of most.

    Parts of 24 beats are asked after which time, near eight beats, they repeat best.
    """
    length, lag = round(24 * period), 8 * period
    reach = max(4, round(0.05 * lag))
    around = np.arange(-reach, reach + 1)
    bells = np.hanning(7)[1:-1] / 3.0
    soft = np.stack([np.convolve(row, bells, "same") for row in rows])
    found, weights = [], []
    for begin in range(0, rows.shape[1] - length + 1, max(1, length // 3)):
        part = soft[:, begin : begin + length]
        same = np.array(
            [
                float((part[:, : length - at] * part[:, at:]).sum()) / (length - at)
                for at in np.rint(lag).astype(int) + around
            ]
        )
        best = int(same.argmax())
        size = float(np.square(part).mean()) * 3
        if same[best] > 0.15 * size and 0 < best < len(same) - 1:
            found.append(top_of(same, best, round(lag) - reach, 1.0) / lag - 1.0)
            weights.append(float(same[best]))
    if len(found) < 3:
        return 0.0
    low, high = np.quantile(found, (0.1, 0.9))
    return float(high - low) / 2


def _pulse(repeats: Floats, period: float) -> float:
    """How much of what repeats after a bar repeats after odd numbers of beats too."""
    odd = near_lags(repeats, period * np.array([1, 3, 5, 7]))
    between = near_lags(repeats, period * np.array([1, 2, 4, 5, 7, 8]) / 3)
    bar = near_lags(repeats, period * np.array([4, 8]))
    return (odd - max(between, 0.0)) / max(bar, 1e-9)


def _fourness(repeats: Floats, period: float) -> float:
    """How much better the music repeats after bars of four than after bars of three or five."""

    def bars_of(beats: int) -> float:
        return near_lags(repeats, beats * period * np.array([1, 2, 3, 4]))

    four = bars_of(4)
    return (four - max(bars_of(3), bars_of(5), bars_of(7))) / max(four, 1e-9)


def _steps(value: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`, smooth between."""
    x = min(1.0, max(0.0, (value - low) / (high - low)))
    return x * x * (3.0 - 2.0 * x)
