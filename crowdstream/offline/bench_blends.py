"""How steady a transition is: short-term loudness beside the line from before it to after it.

And whether anything clicks in it: the sharpest corner of tones that change places, beside what the
tones have themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.music.timeline import BEATS_PER_BAR, QUANTUM
from crowdstream.offline.bench import Row, Say, row
from crowdstream.packets import Mix
from crowdstream.player.mixer import Mixer, Rules
from crowdstream.testing.music import a_track
from crowdstream.testing.tunes import STYLES, make_tune

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from crowdstream.music.library import Track
    from crowdstream.music.rules import Style

    Stems = NDArray[np.int16]
    Floats = NDArray[np.float64]

RATE: Final = 44100
GOAL_DB: Final = 1.0
BLENDS: Final[tuple[Style, ...]] = ("stem swap", "drums only", "long blend", "filter out")
SECONDS: Final = 3.0
AROUND_BARS: Final = 8
TRANSITIONS: Final = 2
"""Of each style."""

BPM: Final = 120.0
_FORM: Final = (("intro", 16), ("groove", 48), ("outro", 16))
_TONES_HZ: Final = (110.0, 82.4, 440.0, 330.0)
_STEADY: Final = ("house", "offbeat bass", "four on the floor")


class Blend(NamedTuple):
    """What was heard of one transition."""

    off_the_line: Floats
    """Decibels of short-term loudness beside the line from the 8 bars before to the 8 after."""

    corner: float
    """Its largest second difference, as a share of the largest in the bars around it."""


def blend_rows(say: Say) -> list[Row]:
    """The largest deviation of steady tunes in each style, and the sharpest corner of tones."""
    say("loudness in transitions…")
    made, tones = steady_tunes(), steady_tones()
    rows = []
    for style in BLENDS:
        found = blends([t for t, _ in made.values()], lambda t: made[t.id][1], style)
        if not found:
            continue
        worst = max(float(one.off_the_line.max()) for one in found)
        least = min(float(one.off_the_line.min()) for one in found)
        most = max(worst, -least)
        rows.append(
            row("loudness_off_the_line", f"{style}, {least:+.2f} to {worst:+.2f} dB", most, "dB",
                goal=GOAL_DB, met=most <= GOAL_DB)
        )  # fmt: skip
        found = blends([t for t, _ in tones.values()], lambda t: tones[t.id][1], style)
        corner = max(one.corner for one in found)
        rows.append(
            row("sharpest_corner_of_a_blend", f"{style} of tones", corner, "x the tones' own",
                goal=1.0, met=corner < 1.0005)
        )  # fmt: skip
    return rows


def steady_tunes() -> Mapping[str, tuple[Track, Stems]]:
    """Three tunes in which all four stems play from the first bar to the last."""
    import dataclasses

    import pyloudnorm

    made = {}
    for number, name in enumerate(_STEADY):
        style = dataclasses.replace(
            STYLES[name], form=_FORM, silent={}, chords=STYLES["house"].chords,
            rhythms={**STYLES["house"].rhythms, **STYLES[name].rhythms, "pad": "9...............",
                     "lead": "7...7...7...7..."},
        )  # fmt: skip
        tune = make_tune(style, BPM, lead_seconds=0.1, seed=number)
        loud = float(pyloudnorm.Meter(RATE).integrated_loudness(tune.mix))
        stems = np.rint(np.clip(tune.stems, -1.0, 1.0) * 32767).astype(np.int16)
        track = a_track(name, bpm=BPM, form=_FORM, first_beat_seconds=0.1, loudness_lufs=loud)
        made[name] = (track, stems)
    return made


def steady_tones() -> Mapping[str, tuple[Track, Stems]]:
    """Three chords, a tone on each stem: whatever is sharp in them was done to them."""
    made = {}
    for number, name in enumerate(("low", "middle", "high")):
        track = a_track(
            name, bpm=BPM + 2.0, form=_FORM, first_beat_seconds=0.1, loudness_lufs=-16.0
        )
        seconds = np.arange(int(track.seconds * RATE)) / RATE
        tones = [np.sin(2.0 * np.pi * hz * (1.0 + 0.1 * number) * seconds) for hz in _TONES_HZ]
        stems = np.rint(3000.0 * np.stack(tones)[:, :, np.newaxis]).astype(np.int16)
        made[name] = (track, np.ascontiguousarray(np.repeat(stems, 2, axis=2)))
    return made


def blends(
    tracks: Sequence[Track], load: Callable[[Track], Stems], style: Style, *, drive: float = 0.45,
) -> list[Blend]:  # fmt: skip
    """Each of some transitions, beside the 8 bars before it and the 8 after."""
    mixer = Mixer(
        tracks,
        load,
        rate=RATE,
        rules=Rules(style=style, bars_per_track=32, fade_in_seconds=0.0, programme_bpm=BPM),
    )
    out = np.zeros((QUANTUM, 2), np.float32)
    bar_samples = BEATS_PER_BAR * 60.0 / BPM * RATE
    pieces: list[NDArray[np.float32]] = []
    spans: list[tuple[float, float]] = []
    end_at = 400.0 * RATE
    while mixer.position < end_at and mixer.position < 400 * RATE:
        if mixer.position % (16 * QUANTUM) == 0:
            now = mixer.position / RATE
            mixer.take(
                Mix(seq=0, captured_at=now - 0.1, at=now, drive=drive, confidence=1.0, bpm=BPM,
                    gains=(1.0, 1.0, 1.0, 1.0)),
                sample=mixer.position,
            )  # fmt: skip
        mixer.render(out)
        pieces.append(out.copy())
        for event in mixer.events():
            if event.event == "transition" and len(spans) < TRANSITIONS:
                begin = float(str(event.facts["sample"]))
                bars = float(str(event.facts["bars"]))
                spans.append((begin, begin + bars * bar_samples))
                if len(spans) == TRANSITIONS:
                    end_at = spans[-1][1] + (AROUND_BARS + 2) * bar_samples
    sound = np.concatenate(pieces).astype(np.float64)
    around = AROUND_BARS * bar_samples
    return [
        Blend(_beside_the_line(sound, begin, end, around), _corner(sound, begin, end, around))
        for begin, end in spans
        if end + around <= len(sound)
    ]


def _beside_the_line(sound: Floats, begin: float, end: float, around: float) -> Floats:
    power = _weighted_power(sound)

    def lufs(first: float, last: float) -> float:
        return float(-0.691 + 10.0 * np.log10(power[int(first) : int(last)].mean() + 1e-12))

    before, after = lufs(begin - around, begin), lufs(end, end + around)
    half = SECONDS * RATE / 2.0
    places = np.arange(begin, end, 0.1 * RATE)
    told = np.array([lufs(at - half, at + half) for at in places])
    line = before + (after - before) * (places - begin) / (end - begin)
    return told - line


def _corner(sound: Floats, begin: float, end: float, around: float) -> float:
    bend = np.abs(np.diff(sound, 2, axis=0)).max(axis=1)
    # What changes places on a line begins to do so before it, and an echo is heard after it.
    first, last = int(begin - around / AROUND_BARS), int(end + around / AROUND_BARS)
    before, after = bend[int(begin - around) : first], bend[last : int(end + around)]
    return float(bend[first:last].max() / max(before.max(), after.max()))


def _weighted_power(sound: Floats) -> Floats:
    """Of each sample, K-weighted, both channels together (BS.1770)."""
    import pyloudnorm

    weighted = sound.copy()
    for stage in pyloudnorm.Meter(RATE)._filters.values():
        for channel in range(2):
            weighted[:, channel] = stage.apply_filter(weighted[:, channel])
    power: Floats = np.square(weighted).sum(axis=1)
    return power
