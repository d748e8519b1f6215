"""The key of a track, heard in its notes or read from a tag, on the Camelot wheel."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]
    Floats = NDArray[np.floating[Any]]

RATE: Final = 6000
"""Samples a second in which notes up to 2.5 kHz are heard."""

WINDOW: Final = 4096
HOP: Final = 1500
LOWEST_HZ: Final = 70.0
"""Below lies the kick, which has a pitch and no key."""

LOWEST_BASS_HZ: Final = 36.0
"""Where there are no drums in the sound."""

HARMONICS: Final = 4
HARMONIC: Final = 0.6
"""A partial may be the n-th of a lower note; each step is less likely by this factor."""

HIGHEST_HZ: Final = 2200.0

_NOTES: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11, "H": 11}
_WHEEL: Final = re.compile(r"0?([1-9]|1[0-2])\s*([AB])", re.IGNORECASE)
_OPEN: Final = re.compile(r"0?([1-9]|1[0-2])\s*([md])", re.IGNORECASE)
_NAMED: Final = re.compile(r"([A-Ha-h])\s*([#♯b♭]|sharp|flat|-sharp|-flat)?[\s-]*(\w*)\.?")
_MODES: Final = {
    "": "B", "M": "B", "maj": "B", "major": "B", "dur": "B",
    "m": "A", "min": "A", "minor": "A", "moll": "A",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """How much each pitch class is heard in a key, counted from its tonic."""

    major: tuple[float, ...]
    minor: tuple[float, ...]


FARALDO: Final = Profile(
    major=(1.0, 0.2875, 0.502, 0.4048, 0.605, 0.5614, 0.3205, 0.7966, 0.3159, 0.4506, 0.4202,
           0.3889),
    minor=(1.0, 0.3096, 0.4415, 0.5827, 0.3262, 0.4948, 0.2889, 0.7804, 0.4328, 0.2903, 0.5331,
           0.3217),
)  # fmt: skip
"""Faraldo, Gómez, Jordà and Herrera 2016, "Key estimation in electronic dance music": `edma`."""


def camelot_of(text: str) -> str | None:
    """The key that a tag means, such as `8A`, or None.

    Understands Camelot (`8A`, `08a`), Open Key (`1m`, `6d`) and names (`Am`, `C# minor`, `Bb`,
    `E♭ maj`, `c-moll`). Of several keys in one tag (`C#m/G#m`) the first counts.
    """
    for part in re.split(r"[/;,|(]|\s-\s", text):
        if (key := _one(part.strip(" )\t\0"))) is not None:
            return key
    return None


def _one(text: str) -> str | None:
    if wheel := _WHEEL.fullmatch(text):
        return f"{int(wheel[1])}{wheel[2].upper()}"
    if opened := _OPEN.fullmatch(text):
        return f"{(int(opened[1]) + 6) % 12 + 1}{'A' if opened[2].lower() == 'm' else 'B'}"
    named = _NAMED.fullmatch(text)
    if named is None:
        return None
    note, sign, mode = named[1], (named[2] or "").strip("-"), named[3]
    letter = _MODES.get(mode) or _MODES.get(mode.lower())
    # A small letter alone can mean minor, a typing habit, or no key at all.
    if letter is None or (mode == "" and note.islower()):
        return None
    pitch = _NOTES[note.upper()]
    pitch += {"": 0, "#": 1, "♯": 1, "sharp": 1}.get(sign, -1)
    return camelot(pitch, minor=letter == "A")


def camelot(pitch: int, *, minor: bool) -> str:
    """The key of a pitch class, C = 0."""
    fifths = 7 * (pitch + 3 * minor) % 12
    return f"{(fifths + 7) % 12 + 1}{'A' if minor else 'B'}"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was heard."""

    camelot: str
    confidence: float
    tuning_cents: float


def measure_key(sound: Sound, rate: int, *, lowest_hz: float = LOWEST_HZ) -> Key:
    """The key of one channel of sound."""
    hertz, strength, _ = _peaks(sound, rate, lowest_hz)
    if not len(hertz):
        return Key("8A", 0.0, 0.0)
    notes = 12.0 * np.log2(hertz / 440.0)
    turn = (strength * np.exp(2j * np.pi * notes)).sum()
    tuning = float(np.angle(turn)) / (2 * np.pi)
    chroma = np.zeros(12)
    for n in range(1, HARMONICS + 1):
        chroma += HARMONIC ** (n - 1) * _chroma(notes - tuning - 12.0 * math.log2(n), strength)
    best, confidence = _best_key(chroma)
    return Key(best, confidence, 100.0 * tuning)


def _peaks(sound: Sound, rate: int, lowest_hz: float) -> tuple[Floats, Floats, Floats]:
    """Partials: (Hz, strength, frame); each moment counts the same, whatever its level."""
    import soxr

    low = soxr.resample(sound, rate, RATE)
    if len(low) < WINDOW:
        low = np.pad(low, (0, WINDOW - len(low)))
    frames = sliding_window_view(low, WINDOW)[::HOP] * np.hanning(WINDOW).astype(np.float32)
    size = np.abs(np.fft.rfft(frames, axis=1))
    loud = np.sqrt(np.square(size).mean(axis=1))
    first, last = int(lowest_hz * WINDOW / RATE), int(HIGHEST_HZ * WINDOW / RATE)
    middle, left, right = (
        size[:, first:last],
        size[:, first - 1 : last - 1],
        size[:, first + 1 : last + 1],
    )
    top = middle.max(axis=1, keepdims=True)
    # What a listener makes out: 40 dB below the loudest partial, in moments that are not silent.
    tall = (middle > left) & (middle >= right) & (middle > 0.01 * top)
    tall &= (loud > 0.03 * np.quantile(loud, 0.95))[:, np.newaxis] & (top > 1e-9)
    frame, index = np.nonzero(tall)
    a, b, c = (np.log(x[frame, index] + 1e-12) for x in (left, middle, right))
    aside = 0.5 * (a - c) / (a - 2 * b + c - 1e-12)
    hertz = (index + first + aside) * RATE / WINDOW
    strength = middle[frame, index] / top[frame, 0]
    return hertz, strength, frame.astype(np.float64)


def _chroma(notes: Floats, strength: Floats) -> Floats:
    """Weight of each pitch class from C, of notes in semitones from A."""
    nearest = np.rint(notes)
    near = np.square(np.cos(np.pi * (notes - nearest)))
    pitch = (nearest.astype(np.int64) + 9) % 12
    chroma: Floats = np.bincount(pitch, strength * near, minlength=12).astype(np.float64)
    return chroma


def _best_key(chroma: Floats) -> tuple[str, float]:
    scores = fit(chroma, FARALDO).ravel()
    order = np.argsort(-scores)
    best = int(order[0])
    margin = float(scores[best] - scores[order[1]])
    confidence = min(1.0, max(0.0, margin / 0.35)) * min(1.0, max(0.0, float(scores[best]) / 0.6))
    return camelot(best % 12, minor=best >= 12), confidence


def fit(chroma: Floats, profile: Profile) -> Floats:
    """Correlation with each key, shape (2, 12): major and minor, by tonic from C."""
    away = chroma - chroma.mean()
    length = math.sqrt(float(away @ away)) + 1e-12
    scores = np.zeros((2, 12))
    for mode, row in enumerate((profile.major, profile.minor)):
        wanted = np.array(row) - np.mean(row)
        wanted /= math.sqrt(float(wanted @ wanted))
        scores[mode] = [away @ np.roll(wanted, tonic) / length for tonic in range(12)]
    return scores
