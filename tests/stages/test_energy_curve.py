"""Energy from a line drawn by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from crowdstream.packets import Energy, Packet
from crowdstream.testing import ManualClock, a_context, run_stage
from stages.energy_curve import EnergyCurve, EnergyCurveConfig


async def curve(**settings: Any) -> list[Energy]:
    stage = EnergyCurve(EnergyCurveConfig(**settings), a_context("energy_curve"))
    return [p for p in await run_stage(stage) if isinstance(p, Energy)]


async def test_straight_lines_between_the_points_and_flat_outside() -> None:
    points = [(1.0, 0.2), (3.0, 0.8)]
    energies = await curve(points=points, seconds=4.0, rate_hz=2.0)
    assert [e.captured_at for e in energies] == [n / 2 for n in range(9)]
    wanted = [0.2, 0.2, 0.2, 0.35, 0.5, 0.65, 0.8, 0.8, 0.8]
    assert [e.level for e in energies] == pytest.approx(wanted)
    assert all(e.drive == e.raw == e.level for e in energies)
    assert [e.seq for e in energies] == list(range(9))


async def test_one_point_holds() -> None:
    assert {e.level for e in await curve(points=[(0, 0.5)], seconds=1.0)} == {0.5}


class Taken:
    def __init__(self) -> None:
        self.packets: list[Packet] = []

    async def send(self, packet: Packet, /) -> None:
        self.packets.append(packet)


async def test_live_it_comes_by_the_clock() -> None:
    clock, out = ManualClock(100.0), Taken()
    settings = EnergyCurveConfig(seconds=1.0, rate_hz=4.0)
    stage = EnergyCurve(settings, a_context(clock=clock, offline=False))
    task = asyncio.create_task(stage.run(out))
    await clock.advance(0.0)
    assert [p.captured_at for p in out.packets] == [100.0]
    await clock.advance(0.25)
    assert [p.captured_at for p in out.packets] == [100.0, 100.25]
    for _ in range(3):
        await clock.advance(0.25)
    await asyncio.wait_for(task, 1)
    assert len(out.packets) == 5


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"points": [(0, 0.5), (0, 0.6)]}, "must rise"),
        ({"points": [(0, 1.5)]}, "between 0 and 1"),
        ({"points": []}, "at least 1"),
        ({"points": [(0, float("nan"))]}, "finite"),
        ({"seconds": 0}, "greater than 0"),
        ({"rate_hz": 1000}, "less than or equal"),
    ],
)
def test_a_line_that_is_none_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        EnergyCurveConfig(**settings)
