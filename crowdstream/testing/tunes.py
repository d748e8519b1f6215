"""Short pieces of music made from patterns, whose beats are known to the sample.

They test what measures music: each style is a few lines of drum machine, and a `Tune` knows what
an ear should find in it. Rhythms are strings, a digit a stroke (9 the hardest), a dot none, `|`
only for the eye; a string is as many bars long as it has, and goes round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.packets import STEMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]
    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Style:
    """What each instrument plays, and how the beats lie."""

    rhythms: Mapping[str, str]
    """Instrument -> rhythm; see INSTRUMENTS."""

    steps_a_beat: int = 4
    beats_a_bar: int = 4
    swing: float = 0.0
    """How late every second step is, as a share of a step."""

    chords: Sequence[Sequence[int]] = ()
    """MIDI notes of the harmony, the lowest first; one for each bar, going round."""

    form: Sequence[tuple[str, int]] = (("groove", 16),)
    """(name of the section, bars)."""

    silent: Mapping[str, str] = field(default_factory=dict)
    """Section -> instruments that rest in it, separated by spaces."""


@dataclass(frozen=True, slots=True)
class Tune:
    """A piece of music and the truth about it."""

    stems: Sound
    """Shape (4, samples, 2), in the order of STEMS."""

    rate: int
    beats: Floats
    """When each beat begins, in seconds; the first is the first of a bar."""

    sections: tuple[tuple[str, int, int], ...]
    """(name, first bar, bars)."""

    @property
    def mix(self) -> Sound:
        """All stems together, shape (samples, 2)."""
        total: Sound = self.stems.sum(axis=0)
        return total

    @property
    def bpm(self) -> float:
        """Of the whole."""
        return 60.0 * (len(self.beats) - 1) / float(self.beats[-1] - self.beats[0])


def make_tune(
    style: Style,
    bpm: float,
    *,
    rate: int = 44100,
    lead_seconds: float = 0.0,
    tail_seconds: float = 0.5,
    noise_db: float | None = None,
    loose_seconds: float = 0.0,
    tempo: Callable[[Floats], Floats] | None = None,
    seed: int = 1,
) -> Tune:
    """Play a style.

    `lead_seconds` of silence come before the first beat. `noise_db` is white noise against full
    scale, from the first to the last sample. Strokes are loose by a standard deviation of
    `loose_seconds`. `tempo` is a factor of the tempo at each beat (of a drummer, not a machine).
    """
    rng = np.random.default_rng(seed)
    sections, bars = [], 0
    for name, length in style.form:
        sections.append((name, bars, length))
        bars += length
    count = bars * style.beats_a_bar
    factor = np.ones(count) if tempo is None else tempo(np.arange(count, dtype=np.float64))
    lengths = 60.0 / bpm / factor
    beats = lead_seconds + np.concatenate(([0.0], np.cumsum(lengths)))
    samples = round((beats[-1] + tail_seconds) * rate)
    stems = np.zeros((len(STEMS), samples, 2), np.float32)
    for name, rhythm in style.rhythms.items():
        _play(stems, style, name, rhythm, sections, beats, rate, loose_seconds, rng)
    if noise_db is not None:
        hiss = rng.standard_normal((samples, 2), np.float32) * np.float32(10 ** (noise_db / 20))
        stems[STEMS.index("other")] += hiss
    return Tune(stems, rate, beats[:-1], tuple(sections))


def _play(
    stems: Sound, style: Style, name: str, rhythm: str, sections: list[tuple[str, int, int]],
    beats: Floats, rate: int, loose: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add all strokes of one instrument."""
    stem, voice = INSTRUMENTS[name]
    strokes = rhythm.replace("|", "").replace(" ", "")
    steps = style.steps_a_beat * style.beats_a_bar
    room = stems[STEMS.index(stem)]
    kept: dict[tuple[int, ...], Sound] = {}
    for section, first, length in sections:
        if name in style.silent.get(section, "").split():
            continue
        for at in range(first * steps, (first + length) * steps):
            stroke = strokes[at % len(strokes)]
            if stroke == ".":
                continue
            late = style.swing if at % 2 else 0.0
            beat, part = divmod((at + late) / style.steps_a_beat, 1.0)
            long = beats[int(beat) + 1] - beats[int(beat)]
            start = beats[int(beat)] + part * long + rng.normal(0.0, loose)
            notes = tuple(style.chords[at // steps % len(style.chords)]) if style.chords else ()
            if notes not in kept:
                kept[notes] = voice(rate, notes, np.random.default_rng(len(kept) + 7))
            begin = round(start * rate)
            if begin < 0:
                continue
            shot = kept[notes][: len(room) - begin] * np.float32(int(stroke) / 9)
            room[begin : begin + len(shot)] += shot[:, np.newaxis]


def _time(rate: int, seconds: float) -> Floats:
    return np.arange(round(seconds * rate)) / rate


def _fade(sound: Floats, rate: int, seconds: float = 0.004) -> Sound:
    """No click where a sound ends."""
    n = min(len(sound), round(seconds * rate))
    sound[len(sound) - n :] *= np.linspace(1.0, 0.0, n)
    return sound.astype(np.float32)


def _kick(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    t = _time(rate, 0.25)
    sweep = 48.0 * t + 5.5 * (1.0 - np.exp(-t / 0.022))
    click = rng.standard_normal(len(t)) * np.exp(-t / 0.0025) * 0.18
    return _fade(0.75 * np.sin(2 * np.pi * sweep) * np.exp(-t / 0.09) + click, rate)


def _snare(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    t = _time(rate, 0.2)
    rattle = rng.standard_normal(len(t)) * np.exp(-t / 0.05) * 0.22
    return _fade(rattle + 0.3 * np.sin(2 * np.pi * 190.0 * t) * np.exp(-t / 0.04), rate)


def _clap(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    t = _time(rate, 0.18)
    bursts = sum(np.where(t >= d, np.exp(-(t - d) / 0.004), 0.0) for d in (0.0, 0.011, 0.021))
    shape = bursts + 0.7 * np.exp(-t / 0.05)
    hiss = rng.standard_normal(len(t))
    return _fade(0.17 * (hiss - np.roll(hiss, 2)) * shape, rate)


def _hiss(rate: int, seconds: float, decay: float, gain: float, rng: np.random.Generator) -> Sound:
    t = _time(rate, seconds)
    high = np.diff(rng.standard_normal(len(t) + 2), 2)
    return _fade(gain * high * np.exp(-t / decay), rate)


def _hat(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    return _hiss(rate, 0.06, 0.012, 0.10, rng)


def _open(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    return _hiss(rate, 0.22, 0.09, 0.13, rng)


def _crash(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    return _hiss(rate, 1.6, 0.5, 0.09, rng)


def _click(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    t = _time(rate, 0.012)
    return _fade(0.6 * np.sin(2 * np.pi * 1500.0 * t) * np.exp(-t / 0.003), rate)


def _tones(
    rate: int, notes: Sequence[float], seconds: float, attack: float, decay: float, gain: float,
    harmonics: int,
) -> Sound:  # fmt: skip
    t = _time(rate, seconds)
    total = np.zeros(len(t))
    for note in notes:
        hertz = 440.0 * 2.0 ** ((note - 69.0) / 12.0)
        for k in range(1, harmonics + 1):
            if k * hertz < 0.45 * rate:
                total += np.sin(2 * np.pi * k * hertz * t + k * note) / k**1.3
    return _fade(gain * total * np.minimum(1.0, t / attack) * np.exp(-t / decay), rate, 0.02)


def _bass(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    return _tones(rate, [_low(notes)], 0.3, 0.006, 0.25, 0.4, 4)


def _sub(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    return _tones(rate, [_low(notes)], 0.45, 0.02, 0.8, 0.55, 1)


def _low(notes: tuple[int, ...]) -> float:
    return 33.0 + (min(notes) - 33) % 12 if notes else 33.0


def _stab(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    return _tones(rate, notes, 0.25, 0.003, 0.10, 0.06, 8)


def _pad(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    return _tones(rate, notes, 2.2, 0.25, 3.0, 0.035, 6)


def _lead(rate: int, notes: tuple[int, ...], rng: np.random.Generator) -> Sound:
    note = notes[int(rng.integers(len(notes)))] if notes else 69
    return _tones(rate, [note + 12], 0.3, 0.02, 0.3, 0.12, 5)


INSTRUMENTS: Final[
    Mapping[str, tuple[str, Callable[[int, tuple[int, ...], np.random.Generator], Sound]]]
] = {
    "kick": ("drums", _kick),
    "snare": ("drums", _snare),
    "clap": ("drums", _clap),
    "hat": ("drums", _hat),
    "open": ("drums", _open),
    "crash": ("drums", _crash),
    "click": ("drums", _click),
    "bass": ("bass", _bass),
    "sub": ("bass", _sub),
    "stab": ("other", _stab),
    "pad": ("other", _pad),
    "lead": ("vocals", _lead),
}
"""Instrument -> the stem it belongs to, and the sound of one stroke."""

A_MINOR: Final = ((57, 60, 64, 69), (53, 57, 60, 65), (60, 64, 67, 72), (55, 59, 62, 67))
G_MAJOR: Final = ((55, 59, 62, 67), (60, 64, 67, 72), (62, 66, 69, 74), (55, 59, 62, 67))

CLUB_FORM: Final = (
    ("intro", 8), ("groove", 16), ("break", 8), ("build", 8), ("drop", 16), ("outro", 8),
)  # fmt: skip

STYLES: Final[Mapping[str, Style]] = {
    "clicks": Style({"click": "9...9...9...9..."}),
    "four on the floor": Style({
        "kick": "9...9...9...9...", "clap": "....8.......8...", "hat": "..7...7...7...7.",
    }),
    "house": Style({
        "kick": "9...9...9...9...", "clap": "....8.......8...", "open": "..7...7...7...7.",
        "hat": "4.4.4.4.4.4.4.4.", "bass": "..9..9.7..9..9.7", "stab": "7..7..7...7..7..",
    }, chords=A_MINOR),
    "loud hats": Style({"kick": "7...7...7...7...", "open": "..9...9...9...9."}),
    "only kick": Style({"kick": "9...9...9...9..."}),
    "offbeat bass": Style({
        "kick": "9...9...9...9...", "sub": "..9...9...9...9.", "hat": "..5...5...5...5.",
        "pad": "5...............",
    }, chords=A_MINOR),
    "rolling bass": Style({
        "kick": "9...9...9...9...", "bass": ".778.778.778.778", "hat": "..7...7...7...7.",
        "clap": "....7.......7...",
    }, chords=A_MINOR),
    "tresillo": Style({
        "kick": "9...9...9...9...", "stab": "9..9..9.9..9..9.", "bass": "9..9..9.9..9..9.",
        "hat": "5.5.5.5.5.5.5.5.",
    }, chords=G_MAJOR),
    "dotted": Style({
        "kick": "9...9...9...9...", "clap": "....8.......8...",
        "stab": "9..9..9..9..9..9..9..9..9..9..9..9..9..9..9..9..",
    }, chords=A_MINOR),
    "reggaeton": Style({
        "kick": "9...9...9...9...", "snare": "...8..8....8..8.", "hat": "4.4.4.4.4.4.4.4.",
        "sub": "9.....9.9.....9.",
    }, chords=A_MINOR),
    "breakbeat": Style({
        "kick": "9.9.......99....|9.9.......9.....", "snare": "....9..4.4..9..4|....9..4.4....9.",
        "hat": "7.7.7.7.7.7.7.7.",
    }),
    "two step": Style({
        "kick": "9.........9.....", "snare": "....9.......9...", "hat": "7.5.7.5.7.5.7.57",
        "sub": "9..........9....",
    }, chords=A_MINOR),
    "rock": Style({
        "kick": "9.......9.9.....", "snare": "....9.......9...", "hat": "8.8.8.8.8.8.8.8.",
        "bass": "9.7.9.7.9.7.9.7.",
    }, chords=G_MAJOR),
    "half time": Style({
        "kick": "9.........9.....|9.....9.........", "snare": "........9.......",
        "hat": "7.7.7.7.7.7.7777", "sub": "9...............",
    }, chords=A_MINOR),
    "swung": Style({
        "kick": "9...9...9...9...", "snare": "....8.......8...", "hat": "7577757775777577",
        "bass": "9..5.7.59..5.7.5",
    }, swing=0.3, chords=A_MINOR),
    "shuffle": Style({
        "kick": "9..9..9..9..", "clap": "...8.....8..", "hat": "7.57.57.57.5",
        "bass": "9.59.59.59.5",
    }, steps_a_beat=3, chords=G_MAJOR),
    "triplets": Style({
        "kick": "9..9..9..9..", "hat": "888888888888", "stab": "9.9.9.9.9.9.",
    }, steps_a_beat=3, chords=A_MINOR),
    "electro": Style({
        "kick": "9.....9...9.....", "snare": "....9.......9...", "hat": "6666666666666666",
        "open": "..............7.", "bass": "9.99..9.9.99..9.",
    }, chords=A_MINOR),
    "disco": Style({
        "kick": "9...9...9...9...", "snare": "....8.......8...", "open": "..8...8...8...8.",
        "hat": "5.6.5.6.5.6.5.6.", "bass": "9.7.9.7.9.7.9.7.", "pad": "6.......6.......",
        "lead": "..7.7..7..7.7...",
    }, chords=G_MAJOR),
    "dembow half": Style({
        "kick": "9.......9.......", "clap": "...7..7....7..7.", "hat": "5...5...5...5...",
    }),
    "club": Style({
        "kick": "9...9...9...9...", "clap": "....8.......8...", "open": "..7...7...7...7.",
        "hat": "4.4.4.4.4.4.4.4.", "bass": "..9..9.7..9..9.7", "stab": "7..7..7...7..7..",
        "pad": "6...............", "lead": "7...7..7..7...7.", "crash": "9" + "." * 127,
    }, chords=A_MINOR, form=CLUB_FORM, silent={
        "intro": "bass stab pad lead", "groove": "lead", "break": "kick clap hat open bass",
        "build": "kick open bass", "outro": "bass stab pad lead",
    }),
}  # fmt: skip
"""Styles with a steady beat in four."""

NOT_IN_FOUR: Final[Mapping[str, Style]] = {
    "waltz": Style({
        "kick": "9...........", "snare": "....7...7...", "bass": "9...........",
        "stab": "....7...7...",
    }, beats_a_bar=3, chords=G_MAJOR),
    "jazz waltz": Style({
        "kick": "9....7......", "hat": "7...7.5.7...", "bass": "9...7...7...",
        "pad": "6...........",
    }, beats_a_bar=3, chords=A_MINOR),
    "five": Style({
        "kick": "9.....9...9.........", "snare": "........8.......8...",
        "hat": "6.6.6.6.6.6.6.6.6.6.", "bass": "9.....9...9...9.....",
    }, beats_a_bar=5, chords=A_MINOR),
}  # fmt: skip
"""Styles with a steady beat that are not in four."""


def ambience(seconds: float, *, rate: int = 44100, seed: int = 1) -> Sound:
    """Sound without a beat, shape (samples, 2): tones and noise that come and go by chance."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    sound = np.zeros((len(t), 2))
    for _ in range(int(seconds * 1.2)):
        begin, length = rng.uniform(0.0, seconds), rng.uniform(2.0, 8.0)
        inside = (t >= begin) & (t < begin + length)
        x = (t[inside] - begin) / length
        hertz = 110.0 * 2 ** (rng.integers(0, 36) / 12)
        tone = np.sin(np.pi * x) ** 2 * np.sin(2 * np.pi * hertz * t[inside])
        sound[inside] += 0.05 * tone[:, np.newaxis] * rng.uniform(0.2, 1.0, 2)
    sound += 0.004 * rng.standard_normal(sound.shape)
    return sound.astype(np.float32)
