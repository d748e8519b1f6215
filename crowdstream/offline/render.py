"""A mix from a drawn energy curve, and the journal of how it was mixed."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crowdstream.config import Config
from crowdstream.errors import MediaError
from crowdstream.offline.chain import run_to_end
from crowdstream.packets import Packet, Playing
from crowdstream.plan import make_plan
from crowdstream.recipe import find_recipe
from crowdstream.stage import Places

LONGEST_SECONDS: Final = 86_400.0
"""A day; what is longer is a mistake of the curve's unit."""

MOST_POINTS: Final = 200_000
"""Two a second for a day, and some."""

Look = Callable[[Playing], None]
"""Told ten times for each second of the mix what is heard then."""


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """What the command line says; None leaves it to config.toml and the recipe."""

    curve: tuple[tuple[float, float], ...]
    """Seconds, rising, and energy 0 to 1."""

    out: Path
    seconds: float
    library: Path | None = None
    seed: int | None = None
    rate: int | None = None
    block_samples: int | None = None


class _Watcher:
    """An observer that passes on what is heard."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def on_sent(self, stage: str, packet: Packet) -> None:
        del stage
        if isinstance(packet, Playing):
            self._look(packet)


def read_curve(path: Path) -> tuple[tuple[float, float], ...]:
    """The points of a CSV file: seconds and energy, one a line, a heading line or none.

    Raises:
        MediaError: the file cannot be read, or a line is no point of a rising curve; the
            sentence names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise MediaError(f"{path}: is not text; it must be lines of seconds,energy") from error
    points: list[tuple[float, float]] = []
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        point = _point(cells)
        if point is None:
            if not points and number == 1:
                continue  # the heading
            raise MediaError(
                f"{path}, line {number}: {','.join(row)!r} is no point; it must be"
                " seconds,energy such as 12.5,0.8"
            )
        seconds, energy = point
        if not 0.0 <= energy <= 1.0:
            raise MediaError(f"{path}, line {number}: energy is {energy:g}; it must be 0 to 1")
        if not 0.0 <= seconds <= LONGEST_SECONDS:
            raise MediaError(
                f"{path}, line {number}: seconds are {seconds:g}; they must be 0 to"
                f" {LONGEST_SECONDS:g}"
            )
        if points and seconds <= points[-1][0]:
            raise MediaError(
                f"{path}, line {number}: seconds are {seconds:g} after {points[-1][0]:g};"
                " they must rise from line to line"
            )
        points.append(point)
        if len(points) > MOST_POINTS:
            raise MediaError(f"{path}: has more than {MOST_POINTS} points; draw it with fewer")
    if not points:
        raise MediaError(f"{path}: holds no point; it must have lines of seconds,energy")
    return tuple(points)


def _point(cells: list[str]) -> tuple[float, float] | None:
    """The two numbers of a line; None where there are not two."""
    if len(cells) != 2:
        return None
    try:
        seconds, energy = float(cells[0]), float(cells[1])
    except ValueError:
        return None
    return (seconds, energy) if math.isfinite(seconds) and math.isfinite(energy) else None


async def render_mix(
    settings: RenderSettings, *, config: Config, places: Places, log: Any, look: Look
) -> dict[str, Any]:
    """Write the mix and its journal beside it; returns the journal.

    The same curve, library, seed and rate make the same bytes, whatever the block.

    Raises:
        StageFailed: a stage failed, such as a library without a track that can be played.
    """
    given = {
        "library": settings.library, "seed": settings.seed, "rate": settings.rate,
        "block_samples": settings.block_samples,
    }  # fmt: skip
    overrides: dict[str, dict[str, Any]] = {
        "energy_curve": {"points": settings.curve, "seconds": settings.seconds},
        "wav_file": {
            "path": settings.out, "seconds": settings.seconds, "journal": True,
            **{key: value for key, value in given.items() if value is not None},
        },
    }  # fmt: skip
    recipe = find_recipe("render", pipelines=None, config=None)
    plan = make_plan(recipe, config, overrides=overrides)
    await run_to_end(plan, places=places, log=log, observers=[_Watcher(look)])
    journal: dict[str, Any] = json.loads(settings.out.with_suffix(".json").read_bytes())
    return journal
