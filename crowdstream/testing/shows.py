"""A made-up show with a sound that tells its own position, for tests of what reads shows.

It has what a real one has: a crowd that comes, dances, pauses and goes, two decks that mix
into each other, decisions with their causes, unknown values and a fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypedDict

import numpy as np
from numpy.typing import NDArray

LINES_PER_SECOND: Final = 10
RATE: Final = 44100

SCENES: Final = (
    (0.00, "empty room"), (0.07, "first dancers"), (0.22, "the floor fills"), (0.45, "a lull"),
    (0.57, "the drop"), (0.74, "strobe and blackout"), (0.86, "people leave"),
)  # fmt: skip
"""Chapters by their beginning, as a share of the show."""

CROWD: Final = (
    (0.00, 0, 0.02), (0.07, 2, 0.15), (0.22, 6, 0.40), (0.42, 12, 0.72), (0.47, 12, 0.25),
    (0.56, 12, 0.22), (0.59, 12, 0.92), (0.74, 12, 0.85), (0.86, 8, 0.50), (0.97, 1, 0.08),
    (1.00, 0, 0.02),
)  # fmt: skip
"""Share of the show, people, energy."""

SECTIONS: Final = (
    (0, "intro"),
    (16, "groove"),
    (24, "break"),
    (32, "build"),
    (48, "drop"),
    (64, "outro"),
)
TRACKS: Final = (("Night Bus", 0.0, 0.56, 8), ("Glass Floor", 0.44, 1.01, 0))
"""Title, its beginning and end as a share of the show, bar of the track at its beginning."""


class Deck(TypedDict):
    """What one deck plays, as a line of a show has it."""

    track: str
    beat: float
    section: str
    gains: dict[str, float]


def write_a_show(path: Path, *, seconds: float = 180.0, people: int = 12, seed: int = 1) -> None:
    """Write `show.jsonl` with at most `people` drawn dancers."""
    with path.open("w", encoding="utf-8") as file:
        for line in show_lines(seconds=seconds, people=people, seed=seed):
            file.write(json.dumps(line) + "\n")


def show_lines(*, seconds: float, people: int, seed: int) -> Iterator[dict[str, object]]:
    """The lines of a show, events between them, in order."""
    rng = np.random.default_rng(seed)
    phases = rng.uniform(0, 1, (people, 4))
    yield {
        "t": 0, "event": "show", "why": "a show made up for tests", "seed": seed,
        "command": f"crowdstream demo --seed {seed}", "version": "0.1.0",
    }  # fmt: skip
    heard, drive, bpm, beat, moved = 0.0, 0.3, 112.0, 0.0, 0.0
    open_stems: dict[str, bool] = {}
    events = _scripted(seconds)
    for k in range(int(seconds * LINES_PER_SECOND)):
        t = k / LINES_PER_SECOND
        share = t / seconds
        at, count, level = zip(*CROWD, strict=True)
        true = float(np.interp(share, at, level))
        heard += 0.08 * (true - heard)
        measured = float(np.clip(heard + 0.02 * rng.standard_normal(), 0, 1))
        drive += 0.05 * (0.3 + 0.7 * (measured - 0.3) - drive)
        wanted = 104 + 24 * drive
        bpm += float(np.clip(wanted - bpm, -0.05, 0.05))
        beat += bpm / 60 / LINES_PER_SECOND
        moved += (105 + 25 * true) / 60 / LINES_PER_SECOND
        present = round(min(float(np.interp(share, at, count)), people))
        decks = [
            _deck(track, share, beat, drive) for track in TRACKS if track[1] <= share < track[2]
        ]
        louder = max(decks, key=lambda deck: max(deck["gains"].values()))
        while events and events[0][0] <= t:
            yield {"t": round(events[0][0], 2)} | events.pop(0)[1]
        for stem, gain in louder["gains"].items():
            is_open = gain > 0.05
            if open_stems.setdefault(stem, is_open) != is_open:
                open_stems[stem] = is_open
                verb, sign = ("stem_in", "above") if is_open else ("stem_out", "below")
                why = f"drive {drive:.2f}, {sign} the line of the {stem}; 8-bar line"
                yield {"t": round(t, 2), "event": verb, "stem": stem, "why": why}
        blind = 0.80 < share < 0.86
        groove = round(105 + 25 * true + rng.standard_normal(), 1)
        loud = sum(louder["gains"].values())
        yield {
            "t": round(t, 2), "energy": round(measured, 3), "confidence": 0.4 if blind else 0.9,
            "energy_true": round(true, 3), "drive": round(drive, 3),
            "people": None if blind else present,
            "groove": None if blind or not present else groove,
            "bpm_wanted": round(wanted, 2), "bpm": round(bpm, 2), "beat": round(beat, 3),
            "bar": int(beat // 4), "phrase": int(beat // 32), "section": louder["section"],
            "track": louder["track"], "next": "Glass Floor" if share < 0.44 else None,
            "gains": louder["gains"], "decks": decks,
            "lufs": round(-24 + 3 * loud, 2) if t > 3 else None,
            "eyes": ["motion"] if blind else ["motion", "pose"], "state": "dark" if blind else "ok",
            "joints": [_dancer(i, people, phases[i], moved, true) for i in range(present)],
            "ids": list(range(1, present + 1)), "aspect": 1.778,
            "scene": [name for start, name in SCENES if start <= share][-1],
        }  # fmt: skip


def write_a_sound(
    path: Path, *, seconds: float = 180.0, seed: int = 1, pitch: float = 110.0
) -> None:
    """Write a stereo WAV whose every place sounds different: noise and a pulse each half second."""
    import soundfile

    n = int(seconds * RATE)
    rng = np.random.default_rng(seed)
    t = np.arange(n) / RATE
    noise = np.convolve(rng.standard_normal(n), np.ones(8) / 8, "same")
    pulse = np.sin(2 * np.pi * pitch * t) * np.exp(-12 * (t % 0.5))
    sound = (0.25 * noise + 0.3 * pulse).astype(np.float32)
    soundfile.write(path, np.stack([sound, sound], axis=1), RATE, subtype="PCM_16")


def _scripted(seconds: float) -> list[tuple[float, dict[str, object]]]:
    said: list[tuple[float, dict[str, object]]] = [
        (0.12, {"event": "hold", "why": "fewer than 3 dancers: nothing is taken away"}),
        (0.44, {"event": "transition", "why": "phrase end; Glass Floor fits (9A to 9B, +2 %)"}),
        (0.59, {"event": "drop", "why": "energy 0.3 to 0.8 in 2 s; next phrase line"}),
        (0.80, {"event": "fault", "why": "pose eye: no answer for 2.0 s; started again"}),
        (0.88, {"event": "override", "why": "/override/energy 0.5 from the booth"}),
        (0.99, {"event": "end", "why": "the music ends on its phrase"}),
    ]
    return [(share * seconds, line) for share, line in said]


def _deck(track: tuple[str, float, float, int], share: float, beat: float, drive: float) -> Deck:
    title, start, end, first_bar = track
    fade = min(
        1.0, max(0.0, (share - start) / 0.12 if start > 0 else 1.0), max(0.0, (end - share) / 0.12)
    )
    bar = first_bar + int(beat // 4) - (int(start * 90) if start else 0)
    limits = (0.0, 0.15, 0.55, 0.35)
    gains = {
        stem: round(fade * min(1.0, max(0.0, (drive - limit) / 0.15)), 3)
        for stem, limit in zip(("drums", "bass", "vocals", "other"), limits, strict=True)
    }
    name = [name for first, name in SECTIONS if first <= bar or first == 0][-1]
    return {"track": title, "beat": round(beat + 4 * first_bar, 3), "section": name, "gains": gains}


def _dancer(
    i: int, people: int, phase: NDArray[np.float64], moved: float, energy: float
) -> list[float]:
    """Thirty-four numbers: a person who bounces, sways and throws the arms as energy says."""
    depth = 0.35 + 0.65 * ((i * 7) % max(people, 1)) / max(people, 1)
    tall = 0.34 + 0.36 * depth
    floor = 0.58 + 0.38 * depth
    beat = 2 * math.pi * (moved + 0.15 * float(phase[0]))
    bounce = 0.07 * energy * tall * (1 - math.cos(beat)) / 2
    sway = 0.08 * energy * tall * math.sin(beat / 2 + 6 * float(phase[1]))
    x = 0.15 + 1.48 * ((i + 0.5) / max(people, 1))
    hip = floor - 0.50 * tall + bounce
    neck = hip - 0.30 * tall
    lift = energy * (0.5 + 0.5 * math.sin(beat / 2 + 6 * float(phase[2])))
    step = 0.05 * energy * tall * math.sin(beat / 2)
    points = [(x + sway, neck - 0.13 * tall)]
    points += [(x + sway + dx * tall, neck - dy * tall) for dx, dy in
               ((0.015, 0.145), (-0.015, 0.145), (0.035, 0.13), (-0.035, 0.13))]  # fmt: skip
    points += [(x + sway + side * 0.09 * tall, neck) for side in (1, -1)]
    points += [(x + sway + side * (0.16 + 0.06 * lift) * tall, neck + (0.16 - 0.20 * lift) * tall)
               for side in (1, -1)]  # fmt: skip
    points += [(x + sway + side * (0.17 + 0.02 * lift) * tall, neck + (0.31 - 0.52 * lift) * tall)
               for side in (1, -1)]  # fmt: skip
    points += [(x + 0.6 * sway + side * 0.06 * tall, hip) for side in (1, -1)]
    points += [(x + 0.3 * sway + side * (0.09 * tall + step), (hip + floor) / 2 + bounce / 4)
               for side in (1, -1)]  # fmt: skip
    points += [(x + side * 0.09 * tall, floor - max(0.0, side * step)) for side in (1, -1)]
    return [round(value, 3) for point in points for value in point]
