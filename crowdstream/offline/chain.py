"""Run a plan without a clock: as fast as it goes, to its end, or until somebody interrupts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

from crowdstream.clock import SystemClock
from crowdstream.plan import Plan
from crowdstream.stage import Places
from crowdstream.status import Status
from crowdstream.supervisor import Observer, Supervisor


async def run_to_end(
    plan: Plan, *, places: Places, log: Any, observers: Sequence[Observer] = ()
) -> Status:
    """Run every stage to its end; how it was when the end came.

    Raises:
        StageFailed: a stage failed; offline that ends the chain.
        KeyboardInterrupt: SIGINT or SIGTERM came; what was begun is cleaned up.
    """
    supervisor = Supervisor(plan, clock=SystemClock(), log=log, places=places, observers=observers)
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(supervisor.run(asyncio.Event()))

    def interrupt() -> None:
        interrupted.set()
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if interrupted.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return supervisor.status()
