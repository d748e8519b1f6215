"""The singer of the built-in tracks: the stem `vocals`, sung vowels in call and answer.

A voice is a buzz from the throat through the mouth: harmonics of a pitch that glides, trembles
and drifts, each as loud as the resonances (formants) of the vowel let it through. There are no
words; a tongue between two notes, a breath before one, and vowels that flow into each other
make it sound said.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.music.compose_songs import Note, melody
from crowdstream.music.synth import (
    RATE,
    SIDE_FROM_HZ,
    STEP,
    above,
    around,
    below,
    between,
    dice,
    duck,
    fade,
    harmonics,
    noise,
    place,
    points,
    reverberate,
    room,
    shaped,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.music.compose_score import Score
    from crowdstream.music.compose_songs import Song
    from crowdstream.music.synth import Sound

    Line = NDArray[np.floating[Any]]  # something that moves, once for each STEP


# Five formants of each vowel: Hz, dB, width in Hz. Between the published averages of men and
# women; a voice scales them to its own size.
VOWELS: Final = {
    "ah": ((760, 0, 110), (1180, -4, 120), (2750, -17, 180), (3600, -20, 220), (4700, -32, 320)),
    "oh": ((470, 0, 90), (830, -7, 100), (2650, -24, 180), (3500, -26, 220), (4700, -40, 320)),
    "oo": ((340, 0, 80), (720, -13, 95), (2500, -30, 180), (3400, -32, 220), (4700, -46, 320)),
    "eh": ((560, 0, 95), (1800, -10, 130), (2600, -15, 180), (3600, -20, 230), (4700, -34, 320)),
    "ee": ((320, 0, 80), (2150, -13, 140), (2900, -16, 190), (3700, -19, 230), (4700, -34, 320)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Voice:
    """One singer: the size of the head, the darkness of the throat, the width of the vibrato."""

    size: float
    darkness: float
    vibrato_cents: float
    vibrato_hz: float
    breath: float


VOICES: Final = {
    "tenor": Voice(size=0.93, darkness=0.75, vibrato_cents=28.0, vibrato_hz=5.2, breath=0.10),
    "alto": Voice(size=1.04, darkness=0.7, vibrato_cents=26.0, vibrato_hz=5.5, breath=0.12),
    "soprano": Voice(size=1.13, darkness=0.75, vibrato_cents=32.0, vibrato_hz=5.8, breath=0.14),
}

# Who sings in each phrase of the form: nobody, one (with a rest, at first), one alone in the
# chapel, a held note, all together, and at last only the answers.
SINGING: Final = ("", "", "few", "solo", "alone", "held", "choir", "choir", "answers", "")


def play_vocals(song: Song, score: Score, kicks: list[int]) -> Sound:
    """The whole vocal stem, (2, samples)."""
    bus = np.zeros((2, score.samples), np.float32)
    send = np.zeros(score.samples, np.float32)
    lines = [melody(line) for line in song.melody]
    takes = [_with_echo(_take(song, score, line, f"take {n}")) for n, line in enumerate(lines)]
    doubles = [_double(song, score, line, n) for n, line in enumerate(lines)]
    soft = [
        _with_echo(_take(song, score, _softer(line), f"soft {n}", effort=0.75))
        for n, line in enumerate(lines)
    ]
    for phrase, manner in enumerate(SINGING):
        for number in range(4):
            beat = phrase * 32 + number * 8
            at = score.at(beat)
            silent = {"few": (2,), "answers": (0, 2)}.get(manner, ())
            if manner in ("few", "solo", "answers") and number not in silent:
                _sing(score, song, bus, send, takes[number], at, 1.0, 0.20)
            elif manner == "choir":
                _sing(score, song, bus, send, takes[number], at, 1.0, 0.22)
                place(bus, doubles[number], at, 0.45 if phrase == 6 else 0.6)
                place(send, doubles[number], at, 0.2)
            elif manner == "alone":
                _sing(score, song, bus, send, soft[number], at, 0.9, 0.42)
    _hold(song, score, bus, send)
    reverberate(
        send, room(f"{song.id} chapel", song.reverb_seconds, bright=5500.0, before=0.03), bus
    )
    duck(bus, kicks, 0.16, 0.4 * score.seconds(1))
    return bus


def _sing(
    score: Score,
    song: Song,
    bus: Sound,
    send: Sound,
    take: tuple[Sound, Sound],
    at: int,
    gain: float,
    wet: float,
) -> None:
    """A take in its place, its echoes from side to side, and some of it into the chapel."""
    near, far = take
    place(bus, near, at, gain)
    place(send, near, at, gain * wet)
    echo = round(score.seconds(song.echo_beats) * RATE)
    for turn in (1, 2, 3):
        loud = gain * 0.34 * 0.55 ** (turn - 1)
        place(bus, far, at + turn * echo, loud, 0.7 if turn % 2 else -0.7)
        place(send, far, at + turn * echo, loud * 0.25)


def _with_echo(take: Sound) -> tuple[Sound, Sound]:
    """A take, and what of it comes back from afar."""
    return take, shaped(take, above(400.0, 4), below(2500.0, 1))


def _double(song: Song, score: Score, line: list[Note], number: int) -> Sound:
    """The others: two more singers at the sides, and a third of the key below, softly."""
    total = np.zeros((2, round(score.seconds(8) * RATE) + RATE), np.float32)
    third = [Note(n.beat, n.beats, _third_below(song, n.midi), n.vowel) for n in line]
    for who, (notes, side) in enumerate(((line, 0.8), (line, -0.8), (third, 0.0))):
        take = _take(song, score, notes, f"double {number} {who}", late=0.008 + 0.006 * who)
        place(total, shaped(take, above(SIDE_FROM_HZ, 6)), 0, 0.5, side)
    return total


def _third_below(song: Song, note: int) -> int:
    """The third of the key below a note."""
    ladder = [n for n in range(note - 12, note + 1) if n % 12 in song.scale]
    return ladder[-3]


def _softer(line: list[Note]) -> list[Note]:
    """The same melody with a rounder mouth, for the break."""
    rounder = {"ah": "oh", "oh": "oo", "eh": "ah", "ee": "oo", "oo": "oo"}
    return [Note(n.beat, n.beats, n.midi, rounder[n.vowel]) for n in line]


def _hold(song: Song, score: Score, bus: Sound, send: Sound) -> None:
    """The build: the fifth of the key, held and opened, two bars at a time."""
    fifth = song.scale[0] + 7
    base = 57 + (fifth - 57) % 12 if song.voice == "tenor" else 62 + (fifth - 62) % 12
    for number, vowel in enumerate(("oo", "oh", "oh", "ah")):
        beats = 6.5 if number < 3 else 7.75 - song.stop_beats
        opened = "ah" if number else "oh"
        notes = [Note(0.0, 3.0, base, vowel), Note(3.0, beats - 3.0, base, opened)]
        take = _take(
            song,
            score,
            notes,
            f"held {number}",
            effort=0.7 + 0.12 * number,
            swell=True,
            tongue=False,
        )
        at = score.at(5 * 32 + number * 8)
        place(bus, take, at, 0.55 + 0.12 * number)
        place(send, take, at, 0.25)


# One take -----------------------------------------------------------------------------------


def _take(
    song: Song,
    score: Score,
    line: list[Note],
    words: str,
    *,
    effort: float = 1.0,
    late: float = 0.0,
    swell: bool = False,
    tongue: bool = True,
) -> Sound:
    """One line sung once, (samples,): peaks near 1."""
    voice = VOICES[song.voice]
    rng = dice(song.id, song.voice, words)
    size = round((score.seconds(line[-1].beat + line[-1].beats) + 0.3) * RATE)
    count = points(size)
    t = np.arange(count) * (STEP / RATE) - late
    pitch, level, mouth = _gestures(score, line, t, tongue)
    if swell:
        end = score.seconds(line[-1].beat + line[-1].beats)
        level *= 0.35 + 0.65 * np.clip(t / end, 0.0, 1.0) ** 1.3

    sounding = np.clip(_since(score, line, t) - 0.16, 0.0, 0.3) / 0.3
    rate = voice.vibrato_hz * (1.0 + 0.04 * _drift(rng, count, 1.5))
    wave = np.sin(2 * np.pi * np.cumsum(rate) * STEP / RATE + float(rng.uniform(0, 6.28)))
    cents = voice.vibrato_cents * sounding * wave + 6.0 * _drift(rng, count, 3.0)
    hz = 440.0 * 2.0 ** ((pitch - 69.0 + cents / 100.0) / 12.0)

    number = np.arange(1, int(7500.0 / hz.min()) + 1)[:, np.newaxis]
    at = number * hz
    # Softer is darker: the throat closes less sharply.
    tilt = voice.darkness + 0.35 * (1.0 - effort) + 0.25 * (1.0 - np.clip(level, 0, 1))
    # A singer opens the mouth until the first formant is not below the note.
    mouth[0] = np.maximum(mouth[0], 1.03 * hz / voice.size)
    levels = number**-tilt * _through(mouth, at, voice.size) / (1.0 + (at / 7000.0) ** 6)
    # Vowels and notes are sung about equally loud, wherever the formants happen to fall.
    levels *= level / np.sqrt((levels**2).sum(axis=0)) ** 0.8
    sung = harmonics(between(hz.astype(np.float32), size), levels.astype(np.float32), size)

    first = int(rng.integers(0, RATE))
    air = _air(song.voice)[first : first + size]
    puff = between((level * voice.breath).astype(np.float32), size)
    puff += _puffs(score, line, size, late)
    # Every take is as strong as the next: what a listener hears is its power, not its peak.
    sung = sung * np.float32(0.22 / max(_strength(sung), 1e-6)) + 0.06 * air * puff
    return fade(sung * np.float32(effort), 0.003, 0.1)


@cache
def _air(name: str) -> Sound:
    """Breath in this singer's mouth, longer than any line."""
    mouth = around(1700.0 * VOICES[name].size, 3.0)
    return shaped(noise(f"air {name}", 8.0), mouth, above(250, 4), below(7000, 2))


def _strength(sung: Sound) -> float:
    """Power where there is singing, with an ear's weight on the upper half."""
    heard = np.diff(sung, prepend=np.float32(0.0)) * np.float32(8.0) + sung
    loud = heard[np.abs(heard) > 0.1 * np.abs(heard).max()]
    return float(np.sqrt(np.mean(loud**2)))


def _gestures(score: Score, line: list[Note], t: Line, tongue: bool) -> tuple[Line, Line, Line]:
    """Pitch (MIDI), level (0..1) and formants (15, points) over time."""
    pitch = np.full(len(t), float(line[0].midi))
    level = np.zeros(len(t))
    mouth = np.repeat(_shape(line[0].vowel)[:, np.newaxis], len(t), axis=1)
    for number, note in enumerate(line):
        begin, end = score.seconds(note.beat), score.seconds(note.beat + note.beats)
        before = line[number - 1] if number else None
        joined = before is not None and before.beat + before.beats >= note.beat - 1e-6
        after = line[number + 1] if number + 1 < len(line) else None
        follows = after is not None and note.beat + note.beats >= after.beat - 1e-6

        # The pitch is on its way before the beat and there just after it; a first note scoops.
        glide = _s_curve((t - begin + 0.03) / 0.085)
        start = float(before.midi) if joined and before else note.midi - 0.9
        pitch = np.where(t >= begin - 0.03, start + (note.midi - start) * glide, pitch)
        mouth_glide = _s_curve((t - begin + 0.05) / 0.14)
        target = _shape(note.vowel)[:, np.newaxis]
        mouth = np.where(t >= begin - 0.05, mouth + (target - mouth) * mouth_glide, mouth)

        attack = _s_curve((t - begin + 0.012) / (0.05 if not joined else 0.03))
        early, fall = (0.0, 0.04) if follows else (0.06, 0.16)
        release = 1.0 - _s_curve((t - end + early) / fall)
        body = 0.78 + 0.22 * np.exp(-np.maximum(t - begin, 0.0) / 0.25)
        accent = 1.0 if note.beat % 1.0 == 0.0 else 0.9
        level = np.maximum(level, attack * release * body * accent)
        if joined and tongue:  # the tongue touches between two notes
            touch = np.exp(-0.5 * ((t - begin) / 0.016) ** 2)
            level *= 1.0 - 0.7 * touch
            mouth[0] *= 1.0 - 0.3 * touch
    return pitch, level, mouth


def _since(score: Score, line: list[Note], t: Line) -> Line:
    """Seconds since the note that sounds began."""
    since = np.zeros(len(t))
    for note in line:
        begin = score.seconds(note.beat)
        since = np.where(t >= begin, t - begin, since)
    return since


def _shape(vowel: str) -> Line:
    """A mouth as one column: five frequencies, five levels, five widths."""
    return np.array(VOWELS[vowel], np.float64).T.ravel()


def _through(mouth: Line, hz: Line, size: float) -> Line:
    """What the formants let through at `hz` (harmonics, points)."""
    total = np.full(hz.shape, 0.004)
    for number in range(5):
        centre, level, width = (mouth[number + 5 * row] for row in range(3))
        away = (hz - centre * size) / (width * 0.62)
        total += 10.0 ** (level / 20.0) / np.sqrt(1.0 + away**2)
    return total


def _puffs(score: Score, line: list[Note], size: int, late: float) -> Sound:
    """Breath before each note that follows a rest."""
    total = np.zeros(size, np.float32)
    for number, note in enumerate(line):
        before = line[number - 1] if number else None
        if before is None or before.beat + before.beats < note.beat - 1e-6:
            centre = score.seconds(note.beat) + late + 0.004
            t = np.arange(size, dtype=np.float32) / np.float32(RATE) - np.float32(centre)
            total += 0.5 * np.exp(-0.5 * (t / 0.022) ** 2).astype(np.float32)
    return total


def _drift(rng: np.random.Generator, count: int, hz: float) -> Line:
    """A slow wandering of standard deviation about 1."""
    knots = max(4, int(count * STEP / RATE * hz) + 3)
    return np.interp(np.linspace(0, knots - 1, count), np.arange(knots), rng.standard_normal(knots))


def _s_curve(x: Line) -> Line:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
