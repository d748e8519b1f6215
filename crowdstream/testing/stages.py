"""Run one stage alone: a list in, a list out."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from crowdstream.channel import Channel, FanOut, MergingInbox, WhenFull
from crowdstream.clock import Clock
from crowdstream.controls import Controls, controls_of
from crowdstream.offload import Offload
from crowdstream.packets import Packet
from crowdstream.stage import AnyStage, Context, Places, Sink, Source, Stage
from crowdstream.testing.clock import ManualClock


class SilentLog:
    """Takes what a stage says and keeps it: `(level, event, facts)`."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        if level.startswith("_"):
            raise AttributeError(level)

        def say(event: str, **facts: Any) -> None:
            self.said.append((level, event, facts))

        return say

    def bind(self, **_facts: Any) -> SilentLog:
        """The same log."""
        return self


def a_context(
    name: str = "stage",
    *,
    folder: Path | None = None,
    clock: Clock | None = None,
    offline: bool = True,
    stage_class: type | None = None,
    log: Any = None,
    places: Places | None = None,
) -> Context:
    """A context for one stage; `folder` holds its cache, state and models (none: one that goes)."""
    if places is None:
        root = folder if folder is not None else _passing_folder()
        places = Places(cache=root / "cache", state=root / "state", models=root / "models")
    controls = Controls()
    if stage_class is not None:
        controls.declare(name, controls_of(stage_class))
    return Context(
        name=name,
        log=log if log is not None else SilentLog(),
        clock=clock if clock is not None else ManualClock(),
        places=places,
        controls=controls,
        offload=Offload(name),
        offline=offline,
    )


def _passing_folder() -> Path:
    """A new folder that is gone when the process is."""
    folder = Path(tempfile.mkdtemp(prefix="crowdstream-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


async def run_stage(stage: AnyStage, packets: Sequence[Packet] = ()) -> list[Packet]:
    """Open the stage, feed it the packets offline, end its inbox, close it; what it sent.

    What it sent is let go of: a picture in a slot is only good for its facts afterwards.
    """
    clock = stage.context.clock
    out: Channel[Packet] = Channel(1, WhenFull.BLOCK, name="out")
    outbox = FanOut([out], clock=clock)
    feed: Channel[Packet] = Channel(max(1, len(packets)), WhenFull.BLOCK, name="in")
    for packet in packets:
        feed.send_nowait(packet)
    feed.close()
    inbox: MergingInbox[Packet] = MergingInbox(
        [feed], clock=clock, offline=True, tick_seconds=stage.tick_seconds, outbox=outbox
    )

    async def work() -> None:
        try:
            await stage.open()
            await _run(stage, inbox, outbox)
        finally:
            await stage.close()
            outbox.close()

    return await _collect(work(), out)


async def run_source(stage: AnyStage, limit: int) -> list[Packet]:
    """Open a source, take at most `limit` packets of it, let go of them, close it."""
    out: Channel[Packet] = Channel(1, WhenFull.BLOCK, name="out")
    outbox = FanOut([out], clock=stage.context.clock)
    inbox: MergingInbox[Packet] = MergingInbox([], clock=stage.context.clock, offline=True)

    async def work() -> None:
        try:
            await stage.open()
            await _run(stage, inbox, outbox)
        finally:
            await stage.close()
            outbox.close()

    return await _collect(work(), out, limit)


async def _run(stage: AnyStage, inbox: MergingInbox[Packet], outbox: FanOut[Packet]) -> None:
    if isinstance(stage, Source):
        await stage.run(outbox)
    elif isinstance(stage, Sink):
        await stage.run(inbox)
    elif isinstance(stage, Stage):
        await stage.run(inbox, outbox)


async def _collect(
    work: Coroutine[Any, Any, None], out: Channel[Packet], limit: int | None = None
) -> list[Packet]:
    """Everything that the work sends, up to a limit; whatever it raises is raised."""
    task = asyncio.create_task(work)
    taken: list[Packet] = []
    try:
        async for packet in out:
            taken.append(packet)
            packet.release()
            if limit is not None and len(taken) >= limit:
                task.cancel()
                break
        if limit is None or len(taken) < limit:
            await task
    finally:
        task.cancel()
        await asyncio.wait({task})
    return taken
