"""One source, two eyes, one energy: the same bytes however the tasks are scheduled."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from crowdstream.channel import Inbox, Outbox
from crowdstream.clock import SystemClock
from crowdstream.config import Config
from crowdstream.packets import Frame, Packet, People
from crowdstream.plan import make_plan
from crowdstream.recipe import Recipe
from crowdstream.stage import Places, Stage
from crowdstream.supervisor import Supervisor
from crowdstream.testing.fakes import Collect, SeeTruth
from crowdstream.testing.stages import SilentLog


class Dawdle(Stage[Frame, People]):
    """The eye that knows, at a pace that is never the same, and that skips every third picture."""

    async def run(self, inbox: Inbox[Any], outbox: Outbox[People]) -> None:
        seer = SeeTruth(None, self.context)
        async for frame in inbox:
            for _ in range(random.randrange(40)):
                await asyncio.sleep(0)
            people = seer.process(frame)
            if people is not None and frame.seq % 3:
                await outbox.send(people)


def the_diamond() -> Recipe:
    crowd = {"people": 5, "size": [320, 180], "fps": 10, "seconds": 2.5, "energy": 0.6, "seed": 4}
    return Recipe.model_validate(
        {
            "offline": True,
            "stage": [
                {"use": "drawn_crowd", **crowd, "inbox": {}},
                {"use": "measure_motion", "inbox": {"capacity": 1}},
                {"use": f"{__name__}:Dawdle", "from": "drawn_crowd", "inbox": {"capacity": 1}},
                {
                    "use": "measure_energy",
                    "from": ["measure_motion", "Dawdle"],
                    "inbox": {"capacity": 1},
                },
                {"use": "crowdstream.testing.fakes:Collect", "inbox": {"capacity": 1}},
            ],
        }
    )


def run_once(folder: Path) -> str:
    places = Places(folder, folder, folder)
    plan = make_plan(the_diamond(), Config())

    async def main() -> None:
        async with asyncio.timeout(30):
            await Supervisor(plan, clock=SystemClock(), log=SilentLog(), places=places).run(
                asyncio.Event()
            )

    asyncio.run(main())
    kept: list[Packet] = Collect.kept
    return "\n".join(repr(packet) for packet in kept)


@pytest.mark.timeout(120)
def test_the_diamond_gives_the_same_bytes_in_twenty_runs(tmp_path: Path) -> None:
    """And never comes to a standstill with room for one packet an edge."""
    first = run_once(tmp_path)
    assert first.count("fresh_from='pose'") == 16
    assert first.count("fresh_from='motion'") == 25
    assert {run_once(tmp_path) for _ in range(19)} == {first}
