"""Sound from arithmetic: spectra, harmonics, rooms. What the built-in tracks are made with.

A *shot* is a short sound that is made once and placed often: shape (samples,) for mono, or
(2, samples) for middle and side (left is their sum, right their difference). Keeping the side
apart is what keeps the bottom mono: a side is born without anything below SIDE_FROM_HZ.
Everything is float32 at RATE, and the same words give the same noise on every run.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Sound = NDArray[np.float32]
    Curve = Callable[[Sound], Sound]

RATE: Final = 44100

SIDE_FROM_HZ: Final = 190.0
"""A side begins here: far enough above 120 Hz that what is below is mono."""

STEP: Final = 64
"""Samples between the points of a level that moves (1.5 ms)."""


def dice(*words: object) -> np.random.Generator:
    """Random numbers that belong to these words alone, whatever was thrown before."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, words)).encode()))


def times(seconds: float) -> Sound:
    """0, 1/RATE, … up to `seconds`."""
    return np.arange(max(1, round(seconds * RATE)), dtype=np.float32) / np.float32(RATE)


def noise(words: str, seconds: float) -> Sound:
    """White noise of standard deviation 1."""
    return dice("noise", words).standard_normal(max(1, round(seconds * RATE)), np.float32)


def semitones(interval: float) -> float:
    """The ratio of an interval in semitones."""
    return float(2.0 ** (interval / 12.0))


def hertz(midi: float) -> float:
    """Frequency of a MIDI note, A4 = 69 = 440 Hz."""
    return 440.0 * semitones(midi - 69.0)


def decibels(level: float) -> float:
    """The factor of a level in dB."""
    return float(10.0 ** (level / 20.0))


# Curves over frequency --------------------------------------------------------------------


def below(cutoff: float, order: int = 2) -> Curve:
    """A low-pass, -3 dB at `cutoff`, falling 6 dB an octave per order."""
    return lambda f: (1.0 / np.sqrt(1.0 + (f / cutoff) ** (2 * order))).astype(np.float32)


def above(cutoff: float, order: int = 2) -> Curve:
    """A high-pass, -3 dB at `cutoff`."""

    def curve(f: Sound) -> Sound:
        ratio = (f / cutoff) ** (2 * order)
        return np.sqrt(ratio / (1.0 + ratio)).astype(np.float32)

    return curve


def around(centre: float, octaves: float) -> Curve:
    """A bell in log frequency, -4 dB half of `octaves` away from the centre."""

    def curve(f: Sound) -> Sound:
        distance = np.log2(np.maximum(f, 1.0) / centre) / octaves * 2.0
        return np.exp(-0.5 * distance**2).astype(np.float32)

    return curve


def shaped(sound: Sound, *curves: Curve, ring: float = 0.0) -> Sound:
    """`sound` with its spectrum multiplied by the curves, `ring` seconds longer.

    The phase is left alone, so shape noise first and give it its envelope afterwards.
    """
    size = sound.shape[-1] + round(ring * RATE)
    padded = fast_size(size + 256)
    spectrum = np.fft.rfft(sound, padded)
    f = np.fft.rfftfreq(padded, 1.0 / RATE).astype(np.float32)
    for curve in curves:
        spectrum *= curve(f)
    return np.fft.irfft(spectrum, padded)[..., :size].astype(np.float32)


def fast_size(size: int) -> int:
    """The next length whose transform is quick: a power of two, or 3 or 5 times one."""
    power = 1 << max(0, size - 1).bit_length()
    return min(n for n in (power, power * 3 // 4, power * 5 // 8) if n >= size)


# Harmonics --------------------------------------------------------------------------------


def fade(sound: Sound, attack: float = 0.0, release: float = 0.005) -> Sound:
    """The ends of a shot (last axis) faded by half cosines, in place."""
    for seconds, end in ((attack, 1), (release, -1)):
        size = min(round(seconds * RATE), sound.shape[-1])
        if size:
            ramp = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, size, dtype=np.float32))
            sound[..., ::end][..., :size] *= ramp
    return sound


def points(size: int) -> int:
    """How many points a moving level of `size` samples has."""
    return -(-size // STEP) + 1


def between(level: Sound, size: int) -> Sound:
    """A level given every STEP samples, as `size` samples joined by straight lines."""
    ramp = np.arange(STEP, dtype=np.float32) / np.float32(STEP)
    lines = level[:-1, np.newaxis] + np.diff(level)[:, np.newaxis] * ramp
    return lines.ravel()[:size]


def harmonics(
    frequency: NDArray[np.floating[Any]] | float, levels: Sound, size: int, start: float = 0.0
) -> Sound:
    """A sum of harmonics: `levels` has the shape (harmonics, 1) or (harmonics, points(size)).

    `frequency` is in Hz, for each sample or for all; `start` is the phase in cycles.
    """
    cycles: NDArray[np.floating[Any]]
    if isinstance(frequency, np.ndarray):
        cycles = np.cumsum(frequency, dtype=np.float64) / RATE
    else:
        cycles = np.arange(size) * (frequency / RATE)
    phase = 2.0 * np.pi * ((cycles + start) % 1.0)
    # sin(k+1)x = 2 cos x sin kx - sin(k-1)x: one sine pays for all.
    twice, last, now = 2.0 * np.cos(phase), np.zeros(size), np.sin(phase)
    total = np.zeros(size, np.float32)
    for level in levels:
        total += now * (between(level, size) if len(level) > 1 else level[0])
        last, now = now, twice * now - last
    return total


def sweep(start: float, end: float, settle: float, seconds: float) -> Sound:
    """A sine that falls (or rises) from one pitch to another, most of the way in `settle`."""
    t = times(seconds).astype(np.float64)
    cycles = end * t + (start - end) * settle * (1.0 - np.exp(-t / settle))
    return np.sin(2.0 * np.pi * cycles).astype(np.float32)


def modes(words: str, partials: Sequence[tuple[float, float, float]], seconds: float) -> Sound:
    """A struck body: (frequency, level, decay in seconds) each."""
    t = times(seconds)
    total = np.zeros_like(t)
    phases = dice("modes", words).uniform(-0.08, 0.08, len(partials))
    for (frequency, level, decay), phase in zip(partials, phases, strict=True):
        total += (
            np.float32(level)
            * np.exp(-t / decay)
            * np.sin(2.0 * np.pi * (frequency * t + np.float32(phase)))
        )
    return total


def clouds(
    words: str, notes: Sequence[tuple[float, float]], tone: Curve, seconds: float, cents: float
) -> Sound:
    """Many players on each note, as (2, samples): every harmonic a narrow band of noise.

    `notes` are (Hz, level), `tone` is the spectrum of one player above 1/k, `cents` the width of
    the ensemble. Middle and side are two independent halves of it.
    """
    size = fast_size(round(seconds * RATE))
    spacing = RATE / size
    bins = size // 2 + 1
    level = np.zeros(bins, np.float32)
    for frequency, loudness in notes:
        for k in range(1, int(15000.0 / frequency) + 1):
            centre, width = k * frequency, max(k * frequency * (semitones(cents / 100) - 1), 0.5)
            low = max(0, int((centre - 3 * width) / spacing))
            high = min(bins, int((centre + 3 * width) / spacing) + 2)
            away = (np.arange(low, high, dtype=np.float32) * spacing - centre) / width
            # The same power however wide the band is spread.
            level[low:high] += np.exp(-0.5 * away**2) * (loudness / k / math.sqrt(width))
    f = np.arange(bins, dtype=np.float32) * np.float32(spacing)
    level *= tone(f)
    phases = dice("clouds", words).uniform(0.0, 2.0 * np.pi, (2, bins)).astype(np.float32)
    spectra = level * np.exp(1j * phases)
    spectra[1] *= above(SIDE_FROM_HZ, 6)(f)
    both = np.fft.irfft(spectra, size).astype(np.float32) * np.float32(size / 200.0)
    return both[:, : round(seconds * RATE)]


# Space ------------------------------------------------------------------------------------


def room(words: str, seconds: float, *, bright: float = 6000.0, before: float = 0.012) -> Sound:
    """The answer of a room to a click, (2, samples): the high end dies first.

    `seconds` is the time to fall by 60 dB, `before` the way to the first wall. The power of the
    middle is 1, so that wet and dry compare.
    """
    size = round((seconds + before) * RATE)
    t = np.arange(size, dtype=np.float32) / np.float32(RATE) - np.float32(before)
    sound = dice("room", words).standard_normal((2, size), np.float32)
    total = np.zeros_like(sound)
    for centre, decay in ((350.0, 1.0), (1100.0, 0.9), (3200.0, 0.65), (7500.0, 0.4)):
        build = 1.0 - np.exp(-np.maximum(t, 0.0) / 0.008)
        band = shaped(sound, around(centre, 1.7))
        total += band * build * np.exp(-6.9 * np.maximum(t, 0.0) / (seconds * decay))
    total = shaped(total, above(220.0, 3), below(bright, 2))
    total[1] = shaped(total[1], above(SIDE_FROM_HZ, 6))
    total[:, t < 0] = 0.0
    return fade(total / np.sqrt(np.sum(total[0] ** 2)), 0.0, seconds / 4)


def in_room(shot: Sound, answer: Sound, wet: float) -> Sound:
    """A shot and the room around it, as one longer shot of (2, samples)."""
    dry = shot if shot.ndim == 2 else np.stack([shot, np.zeros_like(shot)])
    size = dry.shape[1] + answer.shape[1]
    padded = fast_size(size)
    wide = np.fft.irfft(np.fft.rfft(dry[0], padded) * np.fft.rfft(answer, padded), padded)
    total = (wide[:, :size] * wet).astype(np.float32)
    total[:, : dry.shape[1]] += dry
    return total


def reverberate(send: Sound, answer: Sound, bus: Sound) -> None:
    """Add a long mono `send` in a room to `bus` (2, samples), passing over its silences."""
    block = 1 << 18  # a hall is a hundred thousand samples; this wastes the least
    hop = block - answer.shape[1]
    spectrum = np.fft.rfft(answer, block)
    for at in range(0, len(send), hop):
        piece = send[at : at + hop]
        if not piece.any():
            continue
        wet = np.fft.irfft(np.fft.rfft(piece, block) * spectrum, block)
        room_left = bus.shape[1] - at
        bus[:, at : at + block] += wet[:, :room_left]


def place(bus: Sound, shot: Sound, at: int, gain: float = 1.0, pan: float = 0.0) -> None:
    """Add a shot to a bus of (2, samples) or (samples,) from sample `at`; what hangs over goes.

    `pan` from -1 (right) to 1 (left) turns a middle into a side; only for what has no bottom.
    """
    begin, end = max(at, 0), min(at + shot.shape[-1], bus.shape[-1])
    if begin >= end:
        return
    piece = shot[..., begin - at : end - at]
    factor = np.float32(gain)
    if bus.ndim == 1:
        bus[begin:end] += factor * (piece[0] if piece.ndim == 2 else piece)
    elif piece.ndim == 2:
        bus[:, begin:end] += factor * piece
        if pan:
            bus[1, begin:end] += np.float32(gain * pan) * piece[0]
    else:
        bus[0, begin:end] += factor * piece
        if pan:
            bus[1, begin:end] += np.float32(gain * pan) * piece


def duck(
    bus: Sound, kicks: Sequence[int], depth: float, recover: float, hold: float = 0.03
) -> None:
    """Turn a bus down for each kick, in place: at once, and back within `recover` seconds.

    `depth` is how much goes, 0 to 1. It begins 4 ms before the kick, so that nothing clicks.
    """
    lead, stay, back = round(0.004 * RATE), round(hold * RATE), round(recover * RATE)
    dip = np.ones(lead + stay + back, np.float32)
    dip[:lead] = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, lead, dtype=np.float32))
    dip[lead + stay :] = 0.5 + 0.5 * np.cos(np.linspace(0.0, np.pi, back, dtype=np.float32))
    tail = dip[:0]
    for kick, following in zip(kicks, [*kicks[1:], bus.shape[-1]], strict=True):
        span = min(len(dip), following - kick)
        away = dip[:span].copy()
        # What is left of the last one, while this one comes: the deeper of the two.
        left = tail[:lead]
        away[: len(left)] = np.maximum(away[: len(left)], left)
        tail = dip[span:]
        begin = kick - lead
        away = away[max(0, -begin) :]
        here = bus[..., max(0, begin) : begin + span]
        here *= 1.0 - np.float32(depth) * away[: here.shape[-1]]


def softened(sound: Sound, ceiling: float) -> Sound:
    """Peaks bent round below `ceiling`, in place; what is under half of it stays as it is.

    Middle and side, (2, samples), are bent by one gain, so that nothing changes its place.
    """
    peak = np.abs(sound) if sound.ndim == 1 else np.abs(sound).sum(axis=0)
    knee = np.float32(0.5 * ceiling)
    (loud,) = np.nonzero(peak > knee)
    over = (peak[loud] - knee) / (ceiling - knee)
    sound[..., loud] *= (knee + (ceiling - knee) * np.tanh(over)) / peak[loud]
    return sound
