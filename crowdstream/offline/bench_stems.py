"""Separation: how near its stems come to the true ones, and what it costs.

SDR is that of the Music Demixing Challenge 2021 (Mitsufuji et al., Frontiers in Signal Processing
2022): the energy of the true stem over that of the error, over the whole piece and both channels,
in dB. Silence in place of a stem has 0 dB; the undivided mix in its place is the rival.

True stems are taken from the folder CROWDSTREAM_ASSETS, and from the built-in music; the mix is
their sum. `high` is measured on its real weights where those are in the models folder. On a
network that has learned nothing, but is as large, it is measured for what it costs.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import soundfile

from crowdstream.config import Config, places_of
from crowdstream.errors import CrowdstreamError
from crowdstream.music.compose import builtin_library
from crowdstream.music.separated import FILES
from crowdstream.offline.bench import Row, Say, row
from crowdstream.offline.separate import Fast, Method, WithModel, opened, separate
from crowdstream.offline.separate_demucs import INTERPRETER, can_run, find_weights
from crowdstream.offline.separate_stream import Sound
from crowdstream.packets import STEMS
from crowdstream.testing import tiny_demucs

MDN_BAND: Final = {
    "drums": ("drums",), "bass": ("bassguitar",), "vocals": (),
    "other": ("leadguitar", "horns", "clav"),
}  # fmt: skip

BUILT_IN: Final = ("low-tide", "night-ferry")
BUILT_IN_SECONDS: Final = (60, 80)

LONG_SECONDS: Final = 600
SHORT_SECONDS: Final = 60
FULL_SECONDS: Final = 30

MOST_ERROR_DB: Final = -60.0
MOST_GROWTH_MB: Final = 50.0
"""From a minute to ten: what is bounded does not grow."""

_EXACT_DB: Final = -200.0
"""Stands for: to the last bit."""


class TrueStems(NamedTuple):
    """A piece of which the stems are known."""

    name: str
    stems: Sound
    """Shape (4, samples, 2), in the order of STEMS; all 0 where the piece has none of it."""

    rate: int


def stems(say: Say) -> list[Row]:
    """All rows of `crowdstream bench stems`."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made_in:
        scratch = Path(made_in)
        sets = list(_true_stems(say))
        for piece in sets:
            say(f"{piece.name}, fast…")
            rows += _sdr_rows(piece, Fast(1), scratch / f"{piece.name}-fast")
        rows += _real_rows(sets, scratch, say)
        say(f"{LONG_SECONDS // 60} minutes, fast…")
        rows += _cost_rows("fast", "fast", scratch, LONG_SECONDS, SHORT_SECONDS)
        rows += _network_rows(scratch, say)
    return rows


def sdr_db(true: Sound, found: Sound) -> float:
    """Energy of what is true over that of the error, in dB."""
    error = true.astype(np.float64) - found
    energy = float(np.square(true, dtype=np.float64).sum())
    return 10.0 * math.log10((energy + 1e-12) / (float(np.square(error).sum()) + 1e-12))


def _true_stems(say: Say) -> Iterator[TrueStems]:
    told = os.environ.get("CROWDSTREAM_ASSETS", "../shared/assets")
    folder = Path(told) / "stems"
    if (falcon := folder / "falcon69").is_dir():
        yield _piece("falcon69", [[falcon / f"{stem}.flac"] for stem in STEMS])
    if (band := folder / "mdn_band").is_dir():
        yield _piece("mdn_band", [[band / f"{n}.mp3" for n in MDN_BAND[stem]] for stem in STEMS])
    if not folder.is_dir():
        say(f"no true stems in {folder} (set CROWDSTREAM_ASSETS): their rows are left out")
    begin, end = BUILT_IN_SECONDS
    for track in builtin_library(places_of(Config()).cache / "music"):
        if track.id not in BUILT_IN:
            continue
        paths = [[track.folder / track.files[stem]] for stem in STEMS]
        whole = _piece(f"{track.id} (built-in)", paths)
        cut = slice(begin * whole.rate, end * whole.rate)
        yield whole._replace(stems=whole.stems[:, cut])


def _piece(name: str, paths: list[list[Path]]) -> TrueStems:
    read = [[soundfile.read(path, dtype="float32", always_2d=True) for path in of] for of in paths]
    rate = next(rate for of in read for _, rate in of)
    samples = max(len(sound) for of in read for sound, _ in of)
    made = np.zeros((len(STEMS), samples, 2), np.float32)
    for stem, of in zip(made, read, strict=True):
        for sound, _ in of:
            stem[: len(sound)] += sound  # one channel becomes two
    return TrueStems(name, made, rate)


def _sdr_rows(piece: TrueStems, method: Method, scratch: Path) -> list[Row]:
    """Each stem beside the undivided mix; how far the sum is off; how fast it was."""
    scratch.mkdir()
    mix = piece.stems.sum(axis=0)
    soundfile.write(scratch / "mix.wav", mix, piece.rate, "FLOAT")
    began = time.process_time()
    done = separate(scratch / "mix.wav", scratch, method, name="stems")
    spent = time.process_time() - began
    rows = []
    total = np.zeros_like(mix)
    for stem, true in zip(STEMS, piece.stems, strict=True):
        found = soundfile.read(done.folder / FILES[stem], dtype="float32", always_2d=True)[0]
        total += found
        case = f"{piece.name} {stem}, {method.quality}"
        if true.any():
            rows.append(_decibels("sdr", case, sdr_db(true, found), "the mix", sdr_db(true, mix)))
        else:
            # There is none, so whatever is in it is wrong.
            rows.append(_decibels("false_stem", case, -sdr_db(mix, mix - found)))
    rows.append(_sum_row(f"{piece.name}, {method.quality}", -sdr_db(mix, total)))
    if method.quality == "fast":
        speed = len(mix) / piece.rate / spent
        rows.append(row("times_real_time", f"{piece.name}, fast, one core", speed, "x"))
    return rows


def _decibels(
    what: str, case: str, value: float, rival: str | None = None, rival_value: float | None = None
) -> Row:
    """A ratio of decibels would say nothing."""
    made = row(what, case, value, "dB", rival=rival, rival_value=rival_value)
    return {**made, "ratio": None}


def _sum_row(case: str, error_db: float | None) -> Row:
    value = _EXACT_DB if error_db is None else max(error_db, _EXACT_DB)
    met = value <= MOST_ERROR_DB
    return row("sum_against_mix", case, value, "dB", goal=MOST_ERROR_DB, met=met)


def _real_rows(sets: list[TrueStems], scratch: Path, say: Say) -> list[Row]:
    """The same with the published weights, where they are."""
    places = places_of(Config())
    if not can_run():
        say(f"demucs is not installed, and {INTERPRETER} names no Python that has it")
        return []
    rows = []
    for quality in ("high", "best"):
        try:
            weights = find_weights(quality, places.models, places.state)
        except CrowdstreamError as absent:
            say(f"no rows of {quality}: {absent}")
            continue
        with opened(WithModel(quality, weights, None)) as method:
            for piece in sets:
                say(f"{piece.name}, {quality}…")
                rows += _sdr_rows(piece, method, scratch / f"{piece.name}-{quality}")
    return rows


def _network_rows(scratch: Path, say: Say) -> list[Row]:
    """What the real code costs: on a tiny network for long, and on one of the full size."""
    python = os.environ.get(INTERPRETER) or sys.executable
    rows: list[Row] = []
    for shape, long, short in (
        ("tiny", LONG_SECONDS, SHORT_SECONDS), ("full", FULL_SECONDS, FULL_SECONDS),
    ):  # fmt: skip
        path = scratch / f"{shape}.th"
        made = subprocess.run(
            [python, "-P", str(tiny_demucs.__file__), shape, str(path)],
            capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            say(f"no rows of networks: {python} has no demucs ({INTERPRETER} names another)")
            return rows
        say(f"{long} s, high, a {shape} network…")
        rows += _cost_rows(f"high, {shape} network", str(path), scratch, long, short)
    return rows


def _cost_rows(case: str, method: str, scratch: Path, long: int, short: int) -> list[Row]:
    """Speed, memory and sum, in a process of its own, for a long sound and for a short one."""
    costs = {seconds: _cost(method, scratch, seconds) for seconds in {long, short}}
    cost = costs[long]
    speed = long / cost["processor_seconds"]
    rows = [
        row("times_real_time", f"{long} s, {case}, one core", speed, "x"),
        row("memory", f"{long} s, {case}", cost["memory"] / 1e6, "MB"),
        _sum_row(f"{long} s, {case}", cost["error_db"]),
    ]
    if cost["job_memory"]:
        rows.append(row("memory", f"{long} s, {case}, its job", cost["job_memory"] / 1e6, "MB"))
    if long != short:
        keys = ("memory", "job_memory")
        growth = max(costs[long][key] - costs[short][key] for key in keys) / 1e6
        what = f"from {short} to {long} s, {case}"
        met = growth <= MOST_GROWTH_MB
        rows.append(row("memory_growth", what, growth, "MB", goal=MOST_GROWTH_MB, met=met))
    return rows


def _cost(method: str, scratch: Path, seconds: int) -> dict[str, Any]:
    sound = scratch / f"{seconds}.wav"
    if not sound.exists():
        noise = np.random.default_rng(1).normal(0.0, 0.1, (44_100, 2)).astype(np.float32)
        with soundfile.SoundFile(sound, "w", 44_100, 2, "PCM_16") as opened_sound:
            for _ in range(seconds):
                opened_sound.write(noise)
    out = scratch / f"{Path(method).stem}-{seconds}"
    program = "from crowdstream.offline.bench_stems import pay; pay()"
    told = subprocess.run(
        [sys.executable, "-c", program, method, sound, out], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if told.returncode != 0:
        raise CrowdstreamError(told.stderr.strip().splitlines()[-1])
    cost: dict[str, Any] = json.loads(told.stdout)
    return cost


def pay() -> None:
    """Separate once, as the command line says, and print what it took."""
    from crowdstream.models import take_weights

    name, sound, out = sys.argv[1:]
    method: Method
    if name == "fast":
        method = Fast(1)
    else:
        weights = take_weights(name, Path(out), Path(out) / "state", trusted=True)
        method = WithModel("high", (weights,), 1)
    with opened(method):
        done = separate(Path(sound), Path(out), method)
        job = method.demucs if isinstance(method, WithModel) else None
        usage = [time.process_time(), job.processor_seconds() if job is not None else 0.0]
        print(
            json.dumps(
                {
                    "processor_seconds": sum(usage), "error_db": done.error_db,
                    "memory": _peak_bytes(), "job_memory": job.peak_bytes() if job else 0,
                }
            )
        )  # fmt: skip


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
