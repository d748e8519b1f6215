"""From a recorded video to the summary of its movement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crowdstream import __version__
from crowdstream.clock import SystemClock
from crowdstream.config import Config
from crowdstream.offline.chain import run_to_end
from crowdstream.packets import Energy, Frame, Motion, Packet, Tempo
from crowdstream.plan import make_plan
from crowdstream.recipe import Entry, Recipe, find_recipe, name_of
from crowdstream.stage import Places
from crowdstream.status import Latency, Status

Progress = Callable[[float], None]


class _Collector:
    """An observer that keeps the numbers of each picture."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.frames = 0
        self.first = self.last = 0.0
        self.newest: Energy | None = None
        self.energies: list[Energy] = []
        self.tempos: list[float] = []
        self.motion_trust: list[float] = []

    def on_sent(self, stage: str, packet: Packet) -> None:
        del stage
        if isinstance(packet, Frame):
            if self.frames == 0:
                self.first = packet.captured_at
            self.frames += 1
            self.last = packet.captured_at
            self._progress(packet.captured_at)
        elif isinstance(packet, Energy) and packet.fresh_from is not None:
            # Two eyes make two measurements of one picture: the later knows more.
            if self.energies and self.energies[-1].captured_at == packet.captured_at:
                self.energies[-1] = packet
            else:
                self.energies.append(packet)
        elif isinstance(packet, Tempo):
            self.tempos.append(packet.bpm)
        elif isinstance(packet, Motion):
            self.motion_trust.append(packet.confidence)


async def analyze_video(
    video: Path,
    *,
    config: Config,
    places: Places,
    log: Any,
    lines: Path,
    fps: float | None = None,
    model: str | None = None,
    overlay: Path | None = None,
    with_picture: bool = False,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """The summary of one video; its lines go to `lines`, its movement as a video to `overlay`.

    The overlay is on black, and on the picture itself only `with_picture`.

    Raises:
        StageFailed: the video cannot be read, or the lines or the overlay cannot be written.
    """
    overrides: dict[str, dict[str, Any]] = {
        "video_file": {"path": video},
        "report": {
            "path": lines,
            "header": {"version": __version__, "command": f"crowdstream analyze {video}"},
        },
    }
    if fps is not None:
        overrides["video_file"]["fps"] = fps
    if model is not None:
        overrides["estimate_pose"] = {"model": model}
    recipe = find_recipe("analyze", pipelines=None, config=None)
    if overlay is not None:
        recipe = _with_overlay(recipe)
        overrides["measure_motion"] = {"flow": True}
        # A configuration without zones has none to draw.
        zones = getattr(config, "zones", {})
        overrides["overlay"] = {
            "path": overlay,
            "with_picture": with_picture,
            "zones": {name: zone.polygon for name, zone in zones.items()},
            "ignored": tuple(name for name, zone in zones.items() if zone.ignore),
        }
    plan = make_plan(recipe, config, overrides=overrides)
    collector = _Collector(progress)
    clock = SystemClock()
    began = clock.now()
    status = await run_to_end(plan, places=places, log=log, observers=[collector])
    summary = _summary(video, collector, status, clock.now() - began)
    return summary if overlay is None else summary | {"overlay": str(overlay)}


def _with_overlay(recipe: Recipe) -> Recipe:
    """The same chain with a drawing of everything at its end."""
    told = ("video_file", "measure_motion", "estimate_pose", "measure_energy", "map_tempo")
    names = [name_of(entry) for entry in recipe.stage]
    entry = Entry.model_validate({"use": "overlay", "from": [n for n in told if n in names]})
    return recipe.model_copy(update={"stage": (*recipe.stage, entry)})


def _summary(video: Path, seen: _Collector, status: Status, wall: float) -> dict[str, Any]:
    energies = seen.energies
    span = seen.last - seen.first
    fps = (seen.frames - 1) / span if span > 0 else None
    seconds = span + (1.0 / fps if fps else 0.0)
    levels = np.array([energy.level for energy in energies])
    counts = [energy.people for energy in energies if energy.people is not None]
    eyes = sorted({eye for energy in energies for eye in energy.eyes})
    motion = status.stage("measure_motion")
    pose = status.stage("estimate_pose")

    def percentile(share: float) -> float | None:
        return _rounded(np.percentile(levels, share)) if levels.size else None

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return _rounded(np.mean(known)) if known else None

    grooves = [energy.groove_bpm for energy in energies if energy.groove_bpm is not None]
    return {
        "video": str(video),
        "frames": seen.frames,
        "seconds": _rounded(seconds),
        "fps": _rounded(fps) if fps else None,
        "eyes": eyes,
        "people": {
            "median": float(np.median(counts)) if counts else None,
            "max": max(counts) if counts else None,
        },
        "energy": {
            "mean": mean([float(level) for level in levels]),
            "p10": percentile(10),
            "p50": percentile(50),
            "p90": percentile(90),
            "confidence": mean([energy.confidence for energy in energies]),
        },
        "movement": {
            "body_lengths_per_second": mean([energy.speed for energy in energies]),
            "arms": mean([energy.arms for energy in energies]),
            "legs": mean([energy.legs for energy in energies]),
            "head": mean([energy.head for energy in energies]),
            "contraction": mean([energy.contraction for energy in energies]),
            "smoothness": mean([energy.smoothness for energy in energies]),
            "density": mean([energy.density for energy in energies]),
        },
        "groove": {
            "bpm": _rounded(np.median(grooves)) if grooves else None,
            "confidence": mean([energy.groove_confidence for energy in energies])
            if grooves
            else None,
        },
        "synchrony": mean([energy.synchrony for energy in energies]),
        "tempo": {
            "first": _rounded(seen.tempos[0]) if seen.tempos else None,
            "last": _rounded(seen.tempos[-1]) if seen.tempos else None,
            "min": _rounded(min(seen.tempos)) if seen.tempos else None,
            "max": _rounded(max(seen.tempos)) if seen.tempos else None,
        },
        "cost_ms": {
            "motion": _cost(motion.work if motion else None),
            "pose": _cost(pose.work if pose and "pose" in eyes else None),
        },
        "frames_per_second": _rounded(seen.frames / wall, 1) if wall > 0 else None,
    }


def _cost(work: Latency | None) -> dict[str, float | None]:
    if work is None or work.count == 0:
        return {"p50": None, "p95": None}
    return {"p50": _rounded(work.p50, 2), "p95": _rounded(work.p95, 2)}


def _rounded(value: float | np.floating[Any], digits: int = 3) -> float:
    return round(float(value), digits)
