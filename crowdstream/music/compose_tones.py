"""Bass and harmony of the built-in tracks: the stems `bass` and `other`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.music.compose_score import DROP_BEAT
from crowdstream.music.synth import (
    RATE,
    SIDE_FROM_HZ,
    STEP,
    above,
    around,
    below,
    clouds,
    decibels,
    dice,
    duck,
    fade,
    fast_size,
    harmonics,
    hertz,
    modes,
    noise,
    place,
    points,
    reverberate,
    room,
    semitones,
    shaped,
    sweep,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from crowdstream.music.compose_score import Score
    from crowdstream.music.compose_songs import Bass, Chord, Song
    from crowdstream.music.synth import Sound

    Instrument = Callable[[str, float, float], Sound]

# How open everything is in each phrase of the form, 0 to 1: filters follow it.
OPENNESS: Final = (0.3, 0.4, 0.6, 0.7, 0.4, 0.6, 1.0, 1.0, 0.6, 0.4)

# dB of each layer of `other` in each phrase; None rests.
Levels = tuple[float | None, ...]
PAD: Final[Levels] = (None, -5, -3, -3, 3, -2, 0, 0, -3, -6)
KEYS: Final[Levels] = (None, None, -2, -1, None, None, 0, 0, -2, None)
ARP: Final[Levels] = (None, None, -9, -3, -4, -5, 0, 0, -6, None)

# Long notes weigh more than short ones: the break and the build are held back.
BASS_GAINS: Final = {4: 0.5, 5: 0.75}

# Bass ---------------------------------------------------------------------------------------


def play_bass(song: Song, score: Score, kicks: list[int]) -> Sound:
    """The whole bass stem, (2, samples); its side is silent."""
    bus = np.zeros(score.samples, np.float32)

    @cache
    def shot(midi: int, beats: float, openness: float, hard: bool) -> Sound:
        return _bass_note(song.bass, midi, score.seconds(beats), openness, hard)

    for phrase in range(1, 10):
        for beat, beats, note, hard, openness in _bass_notes(song, score, phrase):
            gain = BASS_GAINS.get(phrase, 1.0)
            place(bus, shot(note, beats, openness, hard), score.at(phrase * 32 + beat), gain)
    duck(bus, kicks, 0.82, 0.55 * score.seconds(1), hold=0.05)
    return np.stack([bus, np.zeros_like(bus)])


def _bass_notes(
    song: Song, score: Score, phrase: int
) -> list[tuple[float, float, int, bool, float]]:
    """(beat, beats, note, accent, openness) of one phrase."""
    notes: list[tuple[float, float, int, bool, float]] = []
    openness = OPENNESS[phrase]
    for bar, chord in enumerate(song.chords):
        following = song.chords[(bar + 1) % 8]
        if phrase == 4:  # long and round under the break
            if bar == 0 or song.chords[bar - 1] != chord:
                length = 8.0 if following == chord else 4.0
                notes.append((bar * 4.0, length - 0.1, chord.root, False, 0.2))
            continue
        if phrase == 5:  # eighths that open, bar by bar, and stop before the roll is alone
            opens = round(0.3 + 0.6 * bar / 7, 2)
            root = chord.root
            eighths = range(8 if bar < 7 else 4)
            notes += [(bar * 4 + e / 2, 0.4, root, e % 2 == 1, opens) for e in eighths]
            continue
        lines = song.bass_drop if phrase in (6, 7) else song.bass_line
        line = lines[bar % 2]
        if phrase == 1 and bar < 4:  # it arrives with the plain beginning of its line
            line = line[:8] + "." * 8
        if phrase == 9 and bar == 7:
            line = line[:4] + "." * 12
        for step, letter in enumerate(line):
            if letter in ".-":
                continue
            held = len(line[step + 1 :]) - len(line[step + 1 :].lstrip("-"))
            beats = round((held + 1) * 0.25 - 0.04, 3)
            note = _bass_pitch(song, chord, following, letter.lower())
            notes.append((bar * 4 + score.step(step), beats, note, letter.isupper(), openness))
    return notes


def _bass_pitch(song: Song, chord: Chord, following: Chord, letter: str) -> int:
    if letter == "n":  # the note of the key below the next root, or above where that is nearer
        below_it = (
            following.root - 1 if (following.root - 1) % 12 in song.scale else following.root - 2
        )
        return below_it if abs(below_it - chord.root) <= 7 else below_it + 12
    seventh = 10 if (chord.root + 10) % 12 in song.scale else 11
    return chord.root + {"r": 0, "f": 7, "o": 12, "s": seventh, "d": -5}[letter]


def _bass_note(patch: Bass, midi: int, seconds: float, openness: float, hard: bool) -> Sound:
    """A saw and a square through a filter that closes, over a sine that does not."""
    release = 0.03
    size = round((seconds + release) * RATE)
    t = np.arange(points(size), dtype=np.float32) * np.float32(STEP / RATE)
    frequency = hertz(midi)
    open_by = (0.55 + openness) * (1.35 if hard else 1.0)
    cutoff = open_by * (patch.cutoff + patch.sweep * np.exp(-t / patch.decay))
    number = np.arange(1, min(48, int(9000 / frequency)) + 1, dtype=np.float32)[:, np.newaxis]
    wave = (1.0 + patch.square * np.where(number % 2 == 1, 0.9, -0.6)) / number
    ratio = number * np.float32(frequency) / cutoff
    # Four poles and a little resonance at the edge.
    gain = (1.0 + 0.6 * np.exp(-8.0 * (ratio - 0.95) ** 2)) / np.sqrt(1.0 + ratio**6)
    levels = (wave * gain).astype(np.float32)
    levels[0] += patch.sub
    amplitude = patch.sustain + (1.0 - patch.sustain) * np.exp(-t / 0.22)
    sound = harmonics(frequency, (levels * amplitude).astype(np.float32), size)
    sound = np.tanh(patch.drive * 0.55 * sound) / np.float32(np.tanh(patch.drive))
    return fade(sound * np.float32(1.0 if hard else 0.88), 0.004, release)


# Harmony ------------------------------------------------------------------------------------


def play_other(song: Song, score: Score, kicks: list[int]) -> Sound:
    """The whole `other` stem, (2, samples): pads, chords, arpeggio, and the signs of the form."""
    pads = np.zeros((2, score.samples), np.float32)
    _play_pads(song, score, pads)
    duck(pads, kicks, 0.62, 0.7 * score.seconds(1))

    struck = np.zeros((2, score.samples), np.float32)
    send = np.zeros(score.samples, np.float32)
    _play_keys(song, score, struck, send)
    _play_arp(song, score, struck, send)
    reverberate(send, room(f"{song.id} hall", song.reverb_seconds, bright=5000.0), struck)
    duck(struck, kicks, 0.38, 0.5 * score.seconds(1))
    struck += pads
    _play_signs(song, score, struck)
    return struck


def _play_pads(song: Song, score: Score, bus: Sound) -> None:
    """Every chord twice, dark and bright, and a slow hand on the mix of the two."""
    overlap = 0.12
    for bar, chord in enumerate(song.chords):
        if bar and song.chords[bar - 1] == chord:
            continue
        bars = 2 if bar < 7 and song.chords[bar + 1] == chord else 1
        seconds = score.seconds(bars * 4) + overlap
        notes = [(hertz(n) * semitones(d), 1.0 - 0.06 * i) for i, n in enumerate(chord.notes)
                 for d in (-0.07, 0.06)]  # fmt: skip
        dark, bright = (
            clouds(f"{song.id} pad {chord.root}", notes, _pad_tone(hz), seconds, 14.0)
            for hz in (song.pad_hz * 0.45, song.pad_hz * 1.7)
        )
        dark, bright = fade(dark, overlap, overlap), fade(bright, overlap, overlap)
        for phrase, level in enumerate(PAD):
            if level is None or (phrase == 1 and bar < 4):
                continue
            here = OPENNESS[phrase] + (0.5 * (bar - 3) / 4 if phrase == 5 else 0.0)
            mix = min(1.0, max(0.05, 0.75 * here))
            begin = score.at(phrase * 32 + bar * 4)
            place(bus, dark, begin, decibels(level) * (1.0 - 0.7 * mix))
            place(bus, bright, begin, decibels(level) * mix)


def _pad_tone(hz: float) -> Callable[[Sound], Sound]:
    low, high = above(170.0, 3), below(hz, 2)
    return lambda f: low(f) * high(f)


def _play_keys(song: Song, score: Score, bus: Sound, send: Sound) -> None:
    instrument = {"epiano": _epiano, "stab": _stab, "piano": _piano, "organ": _organ}[song.keys]

    @cache
    def shot(notes: tuple[int, ...], openness: float) -> Sound:
        return _chord(instrument, f"{song.id} {song.keys}", notes, openness)

    for phrase, level in enumerate(KEYS):
        if level is None:
            continue
        for bar, chord in enumerate(song.chords):
            strokes = song.keys_rhythm[bar % 2 * 16 :][:16]
            for step, stroke in enumerate(strokes):
                if stroke == "." or (phrase == 8 and bar > 3):
                    continue
                loud = decibels(level - 3.0) * (int(stroke) / 8.0) ** 1.2
                at = score.at(phrase * 32 + bar * 4 + score.step(step))
                sound = shot(chord.notes, OPENNESS[phrase])
                place(bus, sound, at, loud)
                place(send, sound, at, loud * 0.22)


def _play_arp(song: Song, score: Score, bus: Sound, send: Sound) -> None:
    instrument = {"marimba": _marimba, "pluck": _pluck, "muted": _muted, "bell": _bell}[song.arp]

    @cache
    def shot(note: int, openness: float) -> Sound:
        sound = shaped(instrument(f"{song.id} {note}", hertz(note), openness), above(200.0, 2))
        return fade(sound, 0.0005, 0.02)

    @cache
    def distant(note: int, openness: float) -> Sound:
        return shaped(shot(note, openness), above(350.0, 2), below(2400.0, 1))

    pattern = song.arp_notes
    echo = score.seconds(song.echo_beats)
    for phrase, level in enumerate(ARP):
        if level is None:
            continue
        for bar, chord in enumerate(song.chords):
            ladder = (*chord.notes, *(n + 12 for n in chord.notes))
            for step, digit in enumerate(pattern[(bar * 16) % len(pattern) :][:16]):
                if digit == "." or (phrase == 8 and bar > 3) or (phrase == 4 and bar < 4):
                    continue
                note = ladder[int(digit)] + 12
                openness = round(OPENNESS[phrase] + (0.4 * bar / 7 if phrase == 5 else 0.0), 1)
                swell = 0.3 + 0.7 * bar / 7 if phrase in (4, 5) else 1.0
                loud = decibels(level - 7.0) * swell * (1.0 if step % 4 == 0 else 0.8)
                at = score.at(phrase * 32 + bar * 4 + score.step(step))
                side = 0.35 if step % 4 < 2 else -0.35
                place(bus, shot(note, openness), at, loud, side)
                place(send, shot(note, openness), at, loud * 0.3)
                if phrase == 7 and step % 4 == 0:  # what the second half of the drop adds
                    place(bus, shot(note + 12, openness), at, loud * 0.5, -side)
                for turn in (1, 2, 3):  # the echo goes from side to side
                    later = at + round(turn * echo * RATE)
                    place(
                        bus,
                        distant(note, openness),
                        later,
                        loud * 0.5**turn,
                        side * (-1) ** turn * 2,
                    )


def _play_signs(song: Song, score: Score, bus: Sound) -> None:
    """What tells a dancer where the song is: a rise, a fall, a hit on the one."""
    rise = _rise(song, score.seconds(32 - score.stop_beats))
    place(bus, rise, score.at(5 * 32), 0.42)
    for beat, beats, gain in (
        (2 * 32, 4, 0.16),
        (4 * 32, 4, 0.16),
        (7 * 32, 2, 0.14),
        (8 * 32, 2, 0.12),
    ):
        place(bus, _breath(song, score.seconds(beats)), score.at(beat - beats), gain)
    hit = _impact(song)
    for beat, gain in ((2 * 32, 0.35), (4 * 32, 0.4), (DROP_BEAT, 0.6)):
        place(bus, hit, score.at(beat), gain)
    place(bus, _rise(song, score.seconds(8))[:, ::-1], score.at(4 * 32), 0.12)


def _rise(song: Song, seconds: float) -> Sound:
    """Wind that climbs from 300 Hz to 7 kHz and grows, and a tone that climbs with it."""
    size = round(seconds * RATE)
    along = np.linspace(0.0, 1.0, size, dtype=np.float32)
    bands = np.geomspace(300.0, 7500.0, 9)
    total = np.zeros((2, size), np.float32)
    grain = np.stack([noise(f"{song.id} wind {half}", seconds) for half in ("m", "s")])
    padded = fast_size(size)
    spectrum = np.fft.rfft(grain, padded)
    f = np.fft.rfftfreq(padded, 1.0 / RATE).astype(np.float32)
    for number, centre in enumerate(bands):
        near = np.exp(-0.5 * ((along * (len(bands) - 1) - number) / 0.9) ** 2)
        near /= np.float32((centre / 1500.0) ** 0.25)
        total += np.fft.irfft(spectrum * around(float(centre), 1.1)(f), padded)[:, :size] * near
    total[1] *= 0.8
    tonic = hertz(song.chords[0].root + 24)
    hz = tonic * 2.0 ** (along.astype(np.float64) ** 2)
    levels = np.array([[0.5], [0.3], [0.22], [0.12], [0.08], [0.05]], np.float32)
    tone = harmonics(hz, levels, size) * (
        0.6 + 0.4 * np.sin(2 * np.pi * 4 * along.astype(np.float64) ** 2 * seconds)
    )
    total[0] += 0.25 * tone.astype(np.float32)
    total *= along**1.6
    return fade(total, 0.01, 0.02)


def _breath(song: Song, seconds: float) -> Sound:
    """Air drawn in before a new section."""
    size = round(seconds * RATE)
    both = np.stack([noise(f"{song.id} breath {half}", seconds) for half in ("m", "s")])
    both = shaped(both, around(4200.0, 2.4), below(11000, 2))
    along = np.linspace(0.0, 1.0, size, dtype=np.float32)
    return fade(both * along**3, 0.0, 0.01)


def _impact(song: Song) -> Sound:
    """A floor that gives way (in the middle) and the dust (at the sides)."""
    seconds = 2.2
    t = times(seconds)
    boom = sweep(95.0, 41.0, 0.12, seconds) * np.exp(-t / 0.5) * np.minimum(t / 0.02, 1.0)
    dust = np.stack([noise(f"{song.id} dust {half}", seconds) for half in ("m", "s")])
    dust = shaped(dust, around(900.0, 3.0), above(220, 3)) * np.exp(-t / 0.35)
    dust *= np.float32(0.5)
    dust[0] += boom * np.float32(0.5)
    return fade(dust, 0.002, 0.5)


# Instruments: (words for the dice, Hz, openness) -> (samples,) ---------------------------------


def _chord(
    instrument: Instrument,
    words: str,
    notes: tuple[int, ...],
    openness: float,
) -> Sound:
    """A chord on one instrument, spread: low notes in the middle, high ones to the sides."""
    voices = [instrument(f"{words} {note}", hertz(note), openness) for note in notes]
    size = max(len(v) for v in voices) + 900
    total = np.zeros((2, size), np.float32)
    rng = dice(words, notes)
    for number, voice in enumerate(voices):
        side = 0.0 if number == 0 else (0.4 if number % 2 else -0.4)
        place(total, voice, int(rng.integers(0, 260)), 1.0 / len(voices) ** 0.7, side)
    total = shaped(total, above(150.0, 2))
    total[1] = shaped(total[1], above(SIDE_FROM_HZ * 1.1, 5))
    return fade(total, 0.0008, 0.03)


def _epiano(_words: str, hz: float, openness: float) -> Sound:
    """A tine and a bar: a sine bent by a sine, softer as it dies; a slow tremble."""
    seconds = 1.5
    t = times(seconds).astype(np.float64)
    bend = (0.5 + 1.1 * openness) * np.exp(-t / 0.28) + 0.18
    body = np.sin(2 * np.pi * hz * t + bend * np.sin(2 * np.pi * hz * t))
    tine = np.sin(2 * np.pi * hz * 7.0 * t) * np.exp(-t / 0.05) * (0.10 + 0.08 * openness)
    if hz * 7 > 9000:
        tine *= 0.0
    tremble = 1.0 - 0.12 * np.sin(2 * np.pi * 4.6 * t)
    sound = (body + tine) * np.exp(-t / 0.55) * tremble
    return fade(sound.astype(np.float32) * np.float32(0.9), 0.003, 0.2)


def _piano(words: str, hz: float, openness: float) -> Sound:
    """Strings a little sharp of their harmonics, two to a note, struck with felt."""
    seconds = 0.9
    rng = dice("piano", words)
    partials = []
    for k in range(1, min(18, int(9000 / hz)) + 1):
        sharp = k * hz * float(np.sqrt(1 + 0.0004 * k * k))
        level = 1.0 / k ** (1.25 - 0.35 * openness) * (0.35 + abs(np.sin(np.pi * k / 8.0)))
        decay = 0.75 / (1 + 0.22 * k) * (220 / hz) ** 0.3
        beside = 1.0 + float(rng.uniform(0.0006, 0.0014))
        partials += [(sharp * off, level * 0.5, decay) for off in (1.0, beside)]
    t = times(seconds)
    felt = shaped(noise(f"{words} felt", seconds), around(1800.0, 1.8)) * np.exp(-t / 0.006) * 0.12
    return fade((modes(words, partials, seconds) * 0.8 + felt).astype(np.float32), 0.0015, 0.15)


def _organ(_words: str, hz: float, openness: float) -> Sound:
    seconds = 0.45
    t = times(seconds)
    bars = np.array([[0.8], [0.7], [0.25], [0.3 * openness], [0.0], [0.15 * openness]], np.float32)
    size = len(t)
    sound = harmonics(hz, bars, size) * np.exp(-t / 0.3)
    return fade((sound * 0.6).astype(np.float32), 0.003, 0.12)


def _saws(words: str, hz: float, cutoff: Sound, seconds: float, voices: int, cents: float) -> Sound:
    """Saws a few cents apart through one filter; `cutoff` in Hz, one for each STEP."""
    size = round(seconds * RATE)
    number = np.arange(1, min(40, int(12000 / hz)) + 1, dtype=np.float32)[:, np.newaxis]
    ratio = number * np.float32(hz) / cutoff[: points(size)]
    levels = (1.0 / number / np.sqrt(1.0 + ratio**4)).astype(np.float32)
    total = np.zeros(size, np.float32)
    starts = dice("saws", words).uniform(0.0, 1.0, voices)
    for off, start in zip(np.linspace(-cents, cents, voices), starts, strict=True):
        total += harmonics(hz * semitones(float(off) / 100), levels, size, float(start))
    return total / np.float32(voices**0.6)


def _stab(words: str, hz: float, openness: float) -> Sound:
    seconds = 0.5
    t = np.arange(points(round(seconds * RATE)), dtype=np.float32) * np.float32(STEP / RATE)
    cutoff = 350.0 + (1200.0 + 3400.0 * openness) * np.exp(-t / 0.11)
    sound = _saws(words, hz, cutoff, seconds, 3, 9.0)
    t = times(seconds)
    return fade(sound * np.exp(-t / 0.2), 0.003, 0.1)


def _pluck(words: str, hz: float, openness: float) -> Sound:
    seconds = 0.55
    t = np.arange(points(round(seconds * RATE)), dtype=np.float32) * np.float32(STEP / RATE)
    cutoff = 250.0 + (900.0 + 4200.0 * openness) * np.exp(-t / 0.06)
    sound = _saws(words, hz, cutoff, seconds, 2, 6.0)
    return fade(sound * np.exp(-times(seconds) / 0.16), 0.002, 0.1)


def _muted(words: str, hz: float, openness: float) -> Sound:
    """A string under the hand: high partials gone at once, a pick before them."""
    partials = [
        (k * hz, abs(np.sin(np.pi * k * 0.17)) / k**0.75, 0.13 / (1 + (0.55 - 0.3 * openness) * k))
        for k in range(1, min(16, int(8000 / hz)) + 1)
    ]
    sound = modes(words, partials, 0.35)
    t = times(0.35)
    pick = shaped(noise(f"{words} pick", 0.35), around(3200.0, 1.5)) * np.exp(-t / 0.003) * 0.12
    return fade((sound + pick).astype(np.float32) * np.float32(0.8), 0.001, 0.05)


def _marimba(words: str, hz: float, openness: float) -> Sound:
    bright = 0.10 + 0.15 * openness
    partials = [(hz, 1.0, 0.26), (hz * 3.93, bright, 0.07), (hz * 9.4, bright * 0.4, 0.03)]
    sound = modes(words, [p for p in partials if p[0] < 9000], 0.8)
    t = times(0.8)
    return fade(
        sound + shaped(noise(words, 0.8), around(1500, 1.5)) * np.exp(-t / 0.004) * 0.06, 0.001, 0.1
    )


def _bell(words: str, hz: float, openness: float) -> Sound:
    partials = [(hz, 1.0, 0.4), (hz * 2.0, 0.35, 0.3), (hz * 2.99, 0.18 * openness + 0.06, 0.18),
                (hz * 5.4, 0.10 * openness, 0.07)]  # fmt: skip
    return fade(
        modes(words, [p for p in partials if p[0] < 9000], 1.0) * np.float32(0.8), 0.002, 0.2
    )
