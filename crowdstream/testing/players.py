"""A real player at a card of JACK's, as the stage `speakers` starts it.

player = player_at(server, cache, arguments)
await player.start()
facts = await told(player, lambda facts: facts["state"] == "armed", 10.0)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crowdstream.testing.jack import JackServer
from crowdstream.testing.stages import SilentLog
from crowdstream.worker import Worker


def player_at(server: JackServer, cache: Path, arguments: Mapping[str, Any]) -> Worker:
    """A player that was not started yet; `arguments` are those of `stages.speakers`."""
    return Worker(
        "crowdstream.player.early:play", name="player", log=SilentLog(), ready_seconds=60.0,
        arguments=dict(arguments),
        environment=server.environment | {"NUMBA_CACHE_DIR": str(cache / "numba")},
    )  # fmt: skip


async def told(
    player: Worker, right: Callable[[dict[str, Any]], bool], seconds: float
) -> dict[str, Any]:
    """The first thing the player tells that is right. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            facts = (await player.receive(deadline=5.0)).header["playing"]
            assert isinstance(facts, dict)
            if right(facts):
                return facts
