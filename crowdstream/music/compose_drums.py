"""The drums of the built-in tracks: a kit made per song, and who plays in which phrase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.music.synth import (
    RATE,
    above,
    around,
    below,
    decibels,
    dice,
    fade,
    in_room,
    modes,
    noise,
    place,
    room,
    shaped,
    sweep,
    times,
)

if TYPE_CHECKING:
    from crowdstream.music.compose_score import Score
    from crowdstream.music.compose_songs import Song
    from crowdstream.music.synth import Sound

Kit = dict[str, list["Sound"]]

# dB and place in the room of each instrument at full stroke, against the kick. A pan of 0.3
# leaves a mono listener the same rhythm.
LEVELS: Final = {
    "kick": (0.0, 0.0), "clap": (-2.0, 0.0), "snare": (-4.5, 0.0), "hat": (-9.0, 0.22),
    "open": (-9.5, -0.15), "ride": (-14.5, -0.3), "shaker": (-12.5, -0.35), "rim": (-9.5, 0.35),
    "high": (-8.0, -0.3), "low": (-8.0, 0.2), "bell": (-14.0, 0.3), "crash": (-7.0, 0.0),
    "tom1": (-5.0, 0.1), "tom2": (-5.0, 0.0), "tom3": (-5.5, -0.1), "tom4": (-6.0, -0.2),
}  # fmt: skip

# Who plays in each phrase of the form. The break has no kick, yet time goes on in the hands.
PLAYING: Final = (
    "kick hat shaker low rim",
    "kick clap hat shaker low high rim",
    "kick clap snare hat open shaker low rim bell",
    "kick clap snare hat open shaker low high rim bell",
    "shaker hat rim low high bell",
    "hat shaker rim",
    "kick clap snare hat open shaker low high rim bell",
    "kick clap snare hat open shaker low high rim bell ride",
    "kick clap snare hat open shaker low high rim",
    "kick clap hat shaker low rim",
)

VARIANTS: Final = 3
"""Strokes that are made of each small instrument, so that no two in a row are the same."""


def kit(song: Song) -> Kit:
    """Every instrument of the song, as shots of (samples,) or (2, samples), peaks near 1."""
    small = room(f"{song.id} small", 0.7, bright=7000.0, before=0.004)
    wide = room(f"{song.id} wide", 1.1, bright=8000.0)
    shots: Kit = {"kick": [_kick(song)]}
    for name in ("hat", "shaker", "rim", "high", "low"):
        shots[name] = [
            in_room(_small(song, name, variant), small, 0.22) for variant in range(VARIANTS)
        ]
    shots["open"] = [in_room(_metal(song, "open", 0.30, 0.11, 6200.0), small, 0.15)]
    shots["ride"] = [in_room(_metal(song, "ride", 0.55, 0.20, 5200.0), small, 0.2)]
    shots["crash"] = [in_room(_crash(song), wide, 0.25)]
    shots["bell"] = [in_room(_bell(song), small, 0.25)]
    shots["clap"] = [in_room(_clap(song), small, 0.4)]
    shots["snare"] = [in_room(_snare(song), small, 0.3)]
    for number, hz in enumerate((82.0, 105.0, 138.0, 175.0), 1):
        shots[f"tom{number}"] = [in_room(_tom(song, hz), small, 0.3)]
    return shots


def play_drums(song: Song, score: Score) -> Sound:
    """The whole drum stem, (2, samples)."""
    shots = kit(song)
    bus = np.zeros((2, score.samples), np.float32)
    rng = dice(song.id, "hands")
    for phrase, players in enumerate(PLAYING):
        _play_phrase(song, score, shots, bus, phrase, players.split(), rng)
    for phrase in (0, 2, 4, 6, 7, 8):
        # The break opens on a softer one; within the drop it only marks the half.
        gain = decibels(LEVELS["crash"][0]) * {4: 0.7, 7: 0.7, 0: 0.6}.get(phrase, 1.0)
        place(bus, shots["crash"][0], score.at(phrase * 32), gain)
    _roll(score, shots, bus)
    return bus


def kicks(song: Song, score: Score) -> list[int]:
    """Where every kick falls, in samples: what the other stems make room for."""
    return [score.at(beat) for phrase in range(len(PLAYING)) for beat in _kick_beats(song, phrase)]


def _kick_beats(song: Song, phrase: int) -> list[float]:
    """The kicks of one phrase, in beats of the track."""
    first = phrase * 32
    if phrase == 5:  # the build: four bars of pulse, then twice as fast, then nothing but the roll
        beats = [float(b) for b in range(16)] + [16 + b / 2 for b in range(24)]
        return [first + b for b in beats if b < 28]
    if "kick" not in PLAYING[phrase]:
        return []
    steps = song.drums["kick"]
    beats = [
        bar * 4 + step / 4
        for bar in range(8)
        for step in range(16)
        if steps[(bar * 16 + step) % len(steps)] != "."
    ]
    # The floor is pulled away for two beats before something new begins.
    end = 30 if phrase in (1, 3, 7) else 32
    return [first + b for b in beats if b < end]


def _play_phrase(
    song: Song,
    score: Score,
    shots: Kit,
    bus: Sound,
    phrase: int,
    players: list[str],
    rng: np.random.Generator,
) -> None:
    for beat in _kick_beats(song, phrase):
        place(bus, shots["kick"][0], score.at(beat), 0.8 if phrase == 5 else 1.0)
    fill = song.fills[phrase % 2] if phrase not in (5, 9) else "." * 16
    for name in players:
        if name == "kick" or name not in song.drums:
            continue
        pattern = song.drums[name]
        for bar in range(8):
            strokes = pattern[(bar * 16) % len(pattern) :][:16]
            for step, stroke in enumerate(strokes):
                if stroke == "." or _rests(name, phrase, bar, step, fill):
                    continue
                loud = (int(stroke) / 9.0) ** 1.3 * float(rng.uniform(0.9, 1.06))
                loud *= _swell(name, phrase, bar)
                # Hands come a millisecond after the kick, more or less; the backbeat does not.
                off = 0.0 if name in ("clap", "snare") else float(rng.normal(0.0009, 0.0012))
                at = score.at(phrase * 32 + bar * 4 + score.step(step)) + round(off * RATE)
                _strike(song, shots, bus, name, at, loud, int(rng.integers(VARIANTS)))
    for step, stroke in enumerate(fill):
        if stroke != ".":
            name = {"s": "snare", "c": "clap"}.get(stroke, f"tom{stroke}")
            loud = (0.55 + 0.45 * step / 15) * (0.6 if phrase == 4 else 1.0)
            at = score.at(phrase * 32 + 28 + score.step(step))
            _strike(song, shots, bus, name, at, loud, step)


def _strike(
    song: Song, shots: Kit, bus: Sound, name: str, at: int, loud: float, variant: int
) -> None:
    level, pan = LEVELS[name]
    strokes = shots[name]
    if name == "clap":
        at -= round(0.010 * RATE)  # many hands: the beat is in the middle of them
    gain = loud * decibels(level + song.mix.get(name, 0.0))
    place(bus, strokes[variant % len(strokes)], at, gain, pan)


def _rests(name: str, phrase: int, bar: int, step: int, fill: str) -> bool:
    """Whether this player leaves room here: for a fill, or because it comes in later."""
    begun = bar == 7 and fill[: step + 1].strip(".")
    if begun and name in ("clap", "snare", "high", "low"):
        return True
    if phrase == 0:
        return {"hat": bar < 2, "low": bar < 4, "rim": bar < 4}.get(name, False)
    if phrase == 1:
        return {"clap": bar < 4 and step < 8, "high": bar < 4}.get(name, False)
    if phrase == 5:
        return bar == 7 or (name == "rim" and bar > 3)
    if phrase == 8:
        return name in ("open", "snare") and bar > 3
    if phrase == 9:
        return (name == "clap" and bar > 3) or (name in ("low", "rim") and bar > 5)
    return False


def _swell(name: str, phrase: int, bar: int) -> float:
    """Gain of a player over the form."""
    if phrase == 0:
        return 0.7 + 0.3 * bar / 7
    if phrase == 4:  # the break is played softly, and leans into the build
        return 0.6 if name == "hat" else 1.0 + 0.15 * bar / 7
    if phrase == 5:
        return 0.7 + 0.4 * bar / 7
    if phrase == 9:
        return 1.0 - 0.25 * bar / 7
    return 1.12 if phrase in (6, 7) and name in ("hat", "open", "shaker", "clap") else 1.0


def _roll(score: Score, shots: Kit, bus: Sound) -> None:
    """The snare roll of the build: beats, then eighths, sixteenths, and twice that."""
    first, end = 5 * 32, 32.0 - score.stop_beats
    beat = 0.0
    while beat < end:
        grow = beat / 32.0
        gain = decibels(LEVELS["snare"][0] - 9.0 + 9.0 * grow)
        accent = 1.0 if beat % 1.0 == 0.0 else 0.72
        place(bus, shots["snare"][0], score.at(first + beat), gain * accent)
        if beat % 1.0 == 0.0 and beat % 2.0 == 1.0:
            place(bus, shots["clap"][0], score.at(first + beat) - round(0.01 * RATE), gain * 0.9)
        beat += 1.0 if beat < 8 else 0.5 if beat < 20 else 0.25 if beat < 28 else 0.125


# The instruments --------------------------------------------------------------------------


def _kick(song: Song) -> Sound:
    """A sine that falls onto its pitch, a knock in the middle, a click on top."""
    patch = song.kick
    seconds = 0.40
    t = times(seconds)
    body = sweep(patch.hz * patch.fall, patch.hz, patch.settle, seconds)
    body *= np.exp(-((t / patch.decay) ** 1.6))
    knock = sweep(900.0, 180.0, 0.006, seconds) * np.exp(-t / 0.012) * 0.25
    click = shaped(noise(f"{song.id} click", seconds), above(2500, 2), below(9000, 2))
    click *= np.exp(-t / 0.0018) * patch.click * 0.3
    total = np.tanh(1.7 * (body + knock)) / np.tanh(1.7) + click
    return fade(total.astype(np.float32), 0.0005, 0.05)


def _small(song: Song, name: str, variant: int) -> Sound:
    words = f"{song.id} {name} {variant}"
    nudge = 1.0 + 0.02 * (variant - 1)
    if name == "hat":
        return _metal(song, words, 0.09, 0.022 + 0.004 * variant, 6800.0)
    if name == "shaker":
        t = times(0.13)
        grain = shaped(noise(words, 0.13), around(6500.0 * nudge, 1.3), below(12500, 3))
        shape = np.minimum(t / 0.018, 1.0) ** 1.5 * np.exp(-np.maximum(t - 0.018, 0.0) / 0.022)
        return fade(_even(grain * shape))
    if name == "rim":
        body = modes(
            words, [(1680 * nudge, 1, 0.012), (2510 * nudge, 0.6, 0.008), (830, 0.5, 0.01)], 0.09
        )
        return fade(_even(body))
    hz, decay = {"high": (312.0, 0.085), "low": (196.0, 0.13)}[name]
    hz *= nudge
    t = times(0.4)
    skin = sweep(hz * 1.25, hz, 0.015, 0.4) * np.exp(-t / decay)
    skin += modes(words, [(hz * 1.58, 0.35, decay * 0.5), (hz * 2.24, 0.2, decay * 0.35)], 0.4)
    slap = shaped(noise(words, 0.4), around(2200.0, 1.6)) * np.exp(-t / 0.007)
    return fade(_even(skin + slap * 0.35), 0.0008, 0.03)


def _metal(song: Song, words: str, seconds: float, decay: float, low: float) -> Sound:
    """A plate: many partials that do not agree, and air; gentle above 13 kHz."""
    t = times(seconds)
    rng = dice(song.id, words, "metal")
    partials = np.sort(rng.uniform(low * 0.7, 12500.0, 36)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 36).astype(np.float32)
    ring = np.sin(2 * np.pi * partials[:, None] * t + phases[:, None]).sum(axis=0) / 6.0
    air = shaped(noise(f"{song.id} {words}", seconds), above(low, 3), below(13000, 3))
    shape = np.exp(-t / decay) * (1 - np.exp(-t / 0.0006))
    mixed = shaped((0.55 * ring + 0.8 * air).astype(np.float32), above(low, 2), below(13000, 2))
    return fade(_even(mixed * shape), 0.0, min(0.03, seconds / 4))


def _crash(song: Song) -> Sound:
    """Long metal, wide: the side is another plate than the middle."""
    seconds = 2.6
    t = times(seconds)
    both = np.stack([
        shaped(noise(f"{song.id} crash {half}", seconds), above(2600, 2), below(11000, 2))
        for half in ("middle", "side")
    ])  # fmt: skip
    shape = np.exp(-t / 0.55) * (1 - np.exp(-t / 0.003))
    both[0] += 0.5 * _ring(song, seconds)
    both *= shape * np.array([[1.0], [0.6]], np.float32)
    return fade((both / np.abs(both).max()).astype(np.float32), 0.0, 0.6)


def _ring(song: Song, seconds: float) -> Sound:
    t = times(seconds)
    total = np.zeros_like(t)
    for hz in dice(song.id, "crash").uniform(2800.0, 9000.0, 14):
        total += np.sin(np.float32(2 * np.pi * hz) * t)
    return total / np.float32(4.0)


def _bell(song: Song) -> Sound:
    body = modes(song.id, [(562, 0.8, 0.07), (845, 1.0, 0.06), (1690, 0.25, 0.03)], 0.3)
    return fade(_even(body), 0.0005, 0.03)


def _clap(song: Song) -> Sound:
    """Three hands a moment apart, and the room they are in."""
    seconds = 0.32
    t = times(seconds)
    grain = shaped(noise(f"{song.id} clap", seconds), around(1350.0, 2.0), above(500, 2))
    grain += 0.25 * shaped(noise(f"{song.id} snap", seconds), above(3500, 2), below(10000, 2))
    shape = np.exp(-np.maximum(t - 0.021, 0) / 0.055) * (t >= 0.021)
    for start in (0.0, 0.010):
        shape += 0.75 * (t >= start) * np.exp(-np.maximum(t - start, 0) / 0.0035)
    return fade(_even(grain * shape), 0.0003, 0.06)


def _snare(song: Song) -> Sound:
    seconds = 0.28
    t = times(seconds)
    body = sweep(250.0, 182.0, 0.012, seconds) * np.exp(-t / 0.055)
    body += 0.5 * sweep(420.0, 334.0, 0.01, seconds) * np.exp(-t / 0.035)
    wires = shaped(noise(f"{song.id} wires", seconds), around(3600.0, 2.8), below(11000, 2))
    wires *= np.exp(-t / 0.065) * 0.75
    return fade(_even(body + wires), 0.0004, 0.05)


def _tom(song: Song, hz: float) -> Sound:
    seconds = 0.42
    t = times(seconds)
    body = sweep(hz * 1.7, hz, 0.03, seconds) * np.exp(-((t / 0.2) ** 1.4))
    body += modes(f"{song.id} {hz}", [(hz * 1.6, 0.25, 0.06), (hz * 2.3, 0.12, 0.04)], seconds)
    stick = shaped(noise(f"{song.id} stick", seconds), around(2600.0, 1.5)) * np.exp(-t / 0.006)
    return fade(_even(np.tanh(1.3 * body) + 0.25 * stick), 0.0005, 0.06)


def _even(sound: Sound) -> Sound:
    """A shot with its peak at 1."""
    return (sound / np.float32(np.abs(sound).max())).astype(np.float32)
