"""How true the measuring of tracks is: tunes whose beats are known, and real loops where there are.

Beside it, where librosa is installed, its `beat_track` on the same sound.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crowdstream.music.measure import check_grid, measure_track
from crowdstream.offline.bench import Row, Say, row
from crowdstream.testing.syncopated import SYNCOPATED
from crowdstream.testing.tunes import NOT_IN_FOUR, STYLES, Style, ambience, make_tune

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

TEMPI: Final = (80.0, 87.3, 99.1, 112.0, 124.7, 138.0, 149.6, 160.0)

TEMPO_GOAL: Final = 0.05
"""Per cent."""

FIRST_BEAT_GOAL: Final = 10.0
"""Milliseconds."""

SURE: Final = 0.5

LOOPS: Final = {
    "loop_mika_x4_120bpm.flac": 120.0,
    "loop_breakbeat_x17_126bpm.flac": 126.0,
    "arovane_beat_b_x3_130bpm.flac": 130.0,
    "loop_amen_full_x5_140bpm.flac": 140.0,
}
SONGS: Final = {"kevin_macleod_vibe_ace_130bpm.ogg": 130.0, "outfoxing_160bpm.mp3": 160.0}


class Found(NamedTuple):
    """What was measured of one tune."""

    name: str
    tempo_percent: float
    """How far the tempo is off."""

    first_ms: float
    """How far the nearest beat is off."""

    confidence: float

    @property
    def is_right(self) -> bool:
        """Tempo and beats lie within the goals."""
        return self.tempo_percent <= TEMPO_GOAL and self.first_ms <= FIRST_BEAT_GOAL


def library(say: Say) -> list[Row]:
    """All rows."""
    rows = grid_rows(say)
    rows += real_rows(say)
    rows += cost_rows(say)
    return rows


def grid_rows(say: Say) -> list[Row]:
    """Shares of made tunes whose grid is right, and what the confidence is worth."""
    say(f"beat grids of {len(STYLES) * len(TEMPI)} tunes…")
    found = _tunes(STYLES)
    right = float(np.mean([one.is_right for one in found]))
    sure = [one for one in found if one.confidence >= SURE]
    tempo = [one.tempo_percent for one in found if one.tempo_percent < 5.0]
    first = [one.first_ms for one in found if one.is_right]
    low = _share_doubted(found, right=False)
    trusted = float(np.mean([one.is_right for one in sure]))
    rows = [
        row("grid_right", "made tunes, 80 to 160 BPM", right, "share"),
        row("grid_right_where_sure", "made tunes", trusted, "share", goal=0.99,
            met=trusted >= 0.99),
        row("doubted_where_wrong", "made tunes", low, "share", goal=1.0, met=low >= 1.0),
        row("doubted_where_right", "made tunes", _share_doubted(found, right=True), "share"),
        row("sure", "made tunes", len(sure) / len(found), "share"),
        row("tempo_error_p95", "octave right", float(np.quantile(tempo, 0.95)), "%",
            goal=TEMPO_GOAL, met=float(np.quantile(tempo, 0.95)) <= TEMPO_GOAL),
        row("first_beat_error_p95", "grid right", float(np.quantile(first, 0.95)), "ms"),
    ]  # fmt: skip
    say(f"{len(SYNCOPATED) * len(TEMPI)} that hide their beat…")
    hidden = _tunes(SYNCOPATED)
    rows += [
        row("grid_right", "tunes that hide their beat",
            float(np.mean([one.is_right for one in hidden])), "share"),
        row("doubted_where_wrong", "tunes that hide their beat",
            _share_doubted(hidden, right=False), "share", goal=0.9,
            met=_share_doubted(hidden, right=False) >= 0.9),
        row("doubted_where_right", "tunes that hide their beat",
            _share_doubted(hidden, right=True), "share"),
    ]  # fmt: skip
    refused = [
        measure_track(make_tune(style, bpm).mix, 44100).confidence
        for style, bpm in itertools.product(NOT_IN_FOUR.values(), (92.0, 118.0, 141.0))
    ]
    refused += [measure_track(ambience(40.0, seed=seed), 44100).confidence for seed in (1, 2, 3)]
    most = max(refused)
    rows.append(
        row("confidence_at_most", "not in four, or no beat", most, "", goal=SURE, met=most < SURE)
    )
    return rows


def _tunes(styles: Mapping[str, Style]) -> list[Found]:
    """Every style at every tempo, with silence and hiss before it by chance."""
    rng = np.random.default_rng(5)
    found = []
    for style, bpm in itertools.product(styles, TEMPI):
        lead = float(rng.choice((0.0, 0.01, 0.37, 1.9)))
        noise = float(rng.uniform(-70.0, -35.0))
        tune = make_tune(styles[style], bpm, lead_seconds=lead, noise_db=noise, seed=9)
        found.append(_measured(style, tune.mix, tune.rate, bpm, lead))
    return found


def _share_doubted(found: list[Found], *, right: bool) -> float:
    """Of those whose grid is right, or wrong; 1 where there are none."""
    doubted = [one.confidence < SURE for one in found if one.is_right == right]
    return float(np.mean(doubted)) if doubted else 1.0


def real_rows(say: Say) -> list[Row]:
    """The loops and songs of the assets, where they are."""
    folder = Path(os.environ.get("CROWDSTREAM_ASSETS", "assets")) / "music"
    if not folder.is_dir():
        say(f"no music at {folder}: loops and songs are left out")
        return []
    import soundfile

    rows = []
    for name, bpm in {**LOOPS, **SONGS}.items():
        sound, rate = soundfile.read(folder / name, dtype="float32")
        goal = 0.5 if name in SONGS else TEMPO_GOAL
        found = _measured(name, sound, rate, bpm, 0.0)
        rival = _rival_percent(sound, rate, bpm)
        beside = None if rival is None else "librosa beat_track"
        rows.append(
            row("tempo_error", name, found.tempo_percent, "%", rival=beside, rival_value=rival,
                goal=goal, met=found.tempo_percent <= goal)
        )  # fmt: skip
        if name in LOOPS:
            rows.append(
                row("first_beat_error", name, found.first_ms, "ms", goal=FIRST_BEAT_GOAL,
                    met=found.first_ms <= FIRST_BEAT_GOAL)
            )  # fmt: skip
        rows.append(row("grid_confidence", name, found.confidence, ""))
    return rows


def cost_rows(say: Say) -> list[Row]:
    """What four minutes cost."""
    say("a track of four minutes…")
    tune = make_tune(STYLES["club"], 64.0)
    mix = tune.mix[: 240 * tune.rate]
    began = time.process_time()
    measured = measure_track(mix, tune.rate)
    spent = time.process_time() - began
    rows = [row("measure_track", "four minutes", spent, "s of a core", goal=5.0, met=spent <= 5.0)]
    began = time.process_time()
    check_grid(mix, tune.rate, measured.bpm, measured.first_beat_seconds)
    rows.append(row("check_grid", "four minutes", time.process_time() - began, "s of a core"))
    return rows


def _measured(name: str, sound: Sound, rate: int, bpm: float, first: float) -> Found:
    measured = measure_track(sound, rate)
    octave = 2.0 ** round(math.log2(bpm / measured.bpm)) if name in SONGS else 1.0
    beat = 60.0 / measured.bpm
    away = (measured.first_beat_seconds - first + beat / 2) % beat - beat / 2
    return Found(
        name, 100.0 * abs(measured.bpm * octave / bpm - 1.0), 1000.0 * abs(away),
        measured.confidence,
    )  # fmt: skip


def _rival_percent(sound: Sound, rate: int, bpm: float) -> float | None:
    """How far librosa's tempo is off, octaves forgiven; None where it is not installed."""
    if importlib.util.find_spec("librosa") is None:
        return None
    librosa: Any = importlib.import_module("librosa")
    mono = sound.mean(axis=1) if sound.ndim == 2 else sound
    told = float(np.ravel(librosa.beat.beat_track(y=mono, sr=rate)[0])[0])
    return 100.0 * abs(told * 2.0 ** round(math.log2(bpm / told)) / bpm - 1.0)
