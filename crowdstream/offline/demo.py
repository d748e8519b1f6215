"""A night in three minutes: a crowd, the music it makes, and the page that proves it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crowdstream import __version__
from crowdstream.config import Config
from crowdstream.offline.chain import run_to_end
from crowdstream.offline.page import write_page
from crowdstream.offline.picture import write_picture
from crowdstream.offline.show import Show, read_show
from crowdstream.packets import Energy, Frame, Packet, Playing
from crowdstream.plan import make_plan
from crowdstream.recipe import find_recipe, with_source
from crowdstream.stage import Places

Look = Callable[["Energy | None", "Playing | None", float | None], None]
"""Told of the show going by: the newest energy, what plays, and the share that is done, where the
length is known."""

ONE_DECIBEL = 10 ** (1 / 20)


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the command line says."""

    seconds: float
    out: Path
    seed: int
    video: Path | None
    command: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the last five lines on the terminal tell."""

    peak_at: float
    peak_energy: float
    answer_seconds: float | None
    """From the crowd's largest rise to the music being one decibel louder or a stem richer; None
    where it never rose, infinite where the music did not answer within half a minute."""

    transitions: int
    integrated_lufs: float | None
    true_peak_db: float


class _Watcher:
    """An observer that passes the newest on to whoever draws the line."""

    def __init__(self, look: Look, seconds: float | None) -> None:
        self._look = look
        self._seconds = seconds
        self._energy: Energy | None = None

    def on_sent(self, stage: str, packet: Packet) -> None:
        del stage
        if isinstance(packet, Energy):
            self._energy = packet
        elif isinstance(packet, Playing):
            share = min(1.0, packet.captured_at / self._seconds) if self._seconds else None
            self._look(self._energy, packet, share)
        elif isinstance(packet, Frame) and self._energy is None:
            self._look(None, None, 0.0)


async def play_demo(
    settings: DemoSettings, *, config: Config, places: Places, log: Any, look: Look,
    say: Callable[[str], None],
) -> DemoResult:  # fmt: skip
    """Play the show and write its four files into `settings.out`.

    Raises:
        StageFailed: a stage failed, such as a video that cannot be read.
    """
    out = settings.out
    mix, lines, plain = out / "mix.wav", out / "show.jsonl", out / "without_crowd.wav"
    header = {
        "seed": settings.seed, "command": settings.command, "version": __version__,
        "video": settings.video.name if settings.video else None,
    }  # fmt: skip
    recipe = find_recipe("demo", pipelines=None, config=None)
    overrides: dict[str, dict[str, Any]] = {
        "wav_file": {"path": mix, "seed": settings.seed, "seconds": settings.seconds},
        "report": {"path": lines, "header": header},
    }
    if settings.video is not None:
        recipe = with_source(recipe, "video_file", {})
        overrides["video_file"] = {"path": settings.video, "fps": 15.0}
        del overrides["wav_file"]["seconds"]
    else:
        overrides["drawn_crowd"] = {"seed": settings.seed, "seconds": settings.seconds}
    plan = make_plan(recipe, config, overrides=overrides)
    watcher = _Watcher(look, None if settings.video else settings.seconds)
    await run_to_end(plan, places=places, log=log, observers=[watcher])

    say("the same music without the crowd…")
    show = await asyncio.to_thread(read_show, lines)
    plain_plan = make_plan(
        find_recipe("without_crowd", pipelines=None, config=None),
        config,
        overrides={
            "energy_curve": {"seconds": float(show.times[-1])},
            "wav_file": {
                **plan.stage("wav_file").config.model_dump(exclude={"path"}),
                "path": plain,
                "seconds": _seconds_of(mix),
            },
        },
    )
    await run_to_end(plain_plan, places=places, log=log)

    say("the page…")
    title = settings.video.name if settings.video else "A night in three minutes"
    await asyncio.to_thread(
        write_page, show, out / "report.html", mix=mix, plain=plain, title=title,
        command=settings.command, seed=settings.seed,
    )  # fmt: skip
    await asyncio.to_thread(write_picture, show, out / "report.png")
    plain.unlink(missing_ok=True)
    return _result(show, mix)


def _seconds_of(path: Path) -> float:
    import soundfile

    info = soundfile.info(path)
    return float(info.frames / info.samplerate)


def _result(show: Show, mix: Path) -> DemoResult:
    energy = np.nan_to_num(show.energy)
    peak = int(np.argmax(energy))
    lufs, true_peak = loudness(mix)
    return DemoResult(
        peak_at=float(show.times[peak]),
        peak_energy=float(energy[peak]),
        answer_seconds=answer_time(show),
        transitions=sum(1 for event in show.events if event.get("event") == "transition"),
        integrated_lufs=lufs,
        true_peak_db=true_peak,
    )


def answer_time(show: Show) -> float | None:
    """Seconds from the crowd's largest rise (over 4 s) to the music being audibly more.

    Audibly more: the sum of the stem gains of the louder deck grew by a decibel or by a stem.
    None where the crowd never rose, infinite where nothing of the kind followed within 30 s.
    """
    step = 0.1
    energy = np.nan_to_num(show.energy)
    lag = int(4.0 / step)
    if energy.size <= lag:
        return None
    rise = energy[lag:] - energy[:-lag]
    begin = int(np.argmax(rise))
    if rise[begin] < 0.1:
        return None
    loud = np.nan_to_num(_loudest_gains(show))
    before = loud[begin]
    later = loud[begin : begin + int(30.0 / step)]
    more = np.nonzero(later >= max(before, 1e-3) * ONE_DECIBEL)[0]
    return float(more[0] * step) if more.size else math.inf


def _loudest_gains(show: Show) -> Any:
    """The sum of the stem gains of the louder deck, over time."""
    return np.nansum(show.gains, axis=2).max(axis=1)


def loudness(path: Path) -> tuple[float | None, float]:
    """Integrated loudness in LUFS (None when too short or silent) and true peak in dBTP."""
    import pyloudnorm
    import soundfile
    import soxr

    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    peak = 0.0
    for begin in range(0, len(sound), rate * 20):
        part = soxr.resample(sound[begin : begin + rate * 20], rate, rate * 4)
        peak = max(peak, float(np.abs(part).max(initial=0.0)))
    true_peak = 20.0 * float(np.log10(max(peak, 1e-9)))
    if len(sound) < rate:
        return None, true_peak
    lufs = float(pyloudnorm.Meter(rate).integrated_loudness(sound))
    return (lufs if np.isfinite(lufs) else None), true_peak
