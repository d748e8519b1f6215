"""The movement of a room, to learn from: out of a recorded night, or measured now."""

from __future__ import annotations

import asyncio
import json
import math
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crowdstream.clock import SystemClock
from crowdstream.config import Config
from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.packets import Energy, Packet
from crowdstream.plan import Plan, make_plan
from crowdstream.recipe import find_recipe, name_of, with_source
from crowdstream.stage import Places
from crowdstream.supervisor import Supervisor

SURE: Final = 0.3
"""Confidence below which a moment says nothing."""

MAX_LINES: Final = 2_000_000
MAX_LINE_BYTES: Final = 1_000_000

EYES: Final = ("measure_motion", "estimate_pose", "measure_energy")
"""The stages that measuring needs, beside the source."""

Floats = NDArray[np.float64]


def speeds_of_night(path: Path) -> Floats:
    """v of every moment of a show in which somebody was seen, body lengths per second.

    Raises:
        MediaError: it cannot be read, or no line of it says how fast people moved.
    """
    speeds, lines = array("d"), 0
    try:
        with path.open("rb") as file:
            while (raw := file.readline(MAX_LINE_BYTES)) and lines < MAX_LINES:
                lines += 1
                try:
                    line = json.loads(raw)
                except (ValueError, RecursionError):
                    continue
                if isinstance(line, dict) and (speed := _speed(line)) is not None:
                    speeds.append(speed)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MediaError(f"{path}: cannot be read ({reason}); name a show.jsonl") from error
    if not speeds:
        raise MediaError(
            f"{path}: no line says how fast people moved; record a night with crowdstream run"
            " --record FILE"
        )
    return np.array(speeds, np.float64)


def _speed(line: dict[str, Any]) -> float | None:
    speed, sure = line.get("speed"), line.get("confidence")
    for number in (speed, sure):
        if isinstance(number, bool) or not isinstance(number, int | float):
            return None
    assert isinstance(speed, int | float) and isinstance(sure, int | float)
    # An empty floor and eyes that see nothing are no little movement.
    unseen = line.get("people") == 0 or not line.get("eyes")
    if (
        unseen
        or sure < SURE
        or line.get("state") not in (None, "ok", "alone", "hold", "silent", "armed")
    ):
        return None
    return float(speed) if math.isfinite(speed) else None


def plan_of_eyes(config: Config, source: tuple[str, dict[str, Any]] | None) -> Plan:
    """Only the source and the eyes of the configured pipeline.

    Raises:
        ConfigError: the configuration is wrong.
    """
    recipe = find_recipe("live", pipelines=None, config=config.path)
    overrides: dict[str, dict[str, Any]] = {}
    if source is not None:
        recipe = with_source(recipe, source[0], {})
        overrides[source[0]] = source[1]
    first, *others = recipe.stage
    kept = (first, *(entry for entry in others if name_of(entry) in EYES))
    recipe = recipe.model_copy(update={"stage": kept})
    return make_plan(recipe, config, overrides=overrides, must_open=[name_of(first)])


class _Speeds:
    """An observer that keeps v of what is surely seen, while somebody asks for it."""

    def __init__(self) -> None:
        self.kept: list[float] | None = None

    def on_sent(self, stage: str, packet: Packet) -> None:
        del stage
        if self.kept is None or not isinstance(packet, Energy) or packet.fresh_from is None:
            return
        if packet.confidence >= SURE and packet.people != 0 and packet.state == "ok":
            self.kept.append(packet.speed)


async def measure_phases(
    plan: Plan,
    phases: list[tuple[str, float]],
    *,
    places: Places,
    log: Any,
    tell: Callable[[str, float], None],
    settle_seconds: float = 1.5,
) -> list[Floats]:
    """Run the eyes and measure v in each phase, (name, seconds); `tell` is called once a second.

    `tell` gets the phase and the seconds left of it; the first seconds of each are not counted.

    Raises:
        StageFailed: the source or an eye does not work.
    """
    seen = _Speeds()
    supervisor = Supervisor(plan, clock=SystemClock(), log=log, places=places, observers=[seen])
    stop = asyncio.Event()
    found: list[Floats] = []

    async def through_the_phases() -> None:
        await supervisor.started.wait()
        for name, seconds in phases:
            seen.kept = None
            tell(name, seconds)
            await asyncio.sleep(min(settle_seconds, seconds / 3.0))
            seen.kept = []
            left = seconds
            while left > 0.0:
                tell(name, left)
                await asyncio.sleep(min(1.0, left))
                left -= 1.0
            found.append(np.array(seen.kept, np.float64))
        stop.set()

    running = asyncio.ensure_future(supervisor.run(stop))
    asking = asyncio.ensure_future(through_the_phases())
    try:
        await asyncio.wait({running, asking}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            await running  # says why it failed
            raise CrowdstreamError("the source ended before everything was measured")
        await running
    finally:
        for task in (asking, running):
            task.cancel()
        await asyncio.gather(asking, running, return_exceptions=True)
    return found
