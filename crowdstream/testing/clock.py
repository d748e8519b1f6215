"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any


class ManualClock:
    """Time stands still until `advance`."""

    def __init__(self, now: float = 0.0) -> None:
        """Starts at `now` seconds."""
        self._now = now
        self._waiters: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        """The time that was set."""
        return self._now

    def local_time(self) -> datetime.datetime:
        """Midnight of a fixed day, plus what has passed."""
        midnight = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        return midnight + datetime.timedelta(seconds=self._now)

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((self._now + seconds, future))
        await future

    async def wait(self, event: asyncio.Event, until: float | None) -> bool:
        """Wait for the event or for the clock to be moved to `until`."""
        if event.is_set():
            return True
        if until is None:
            await event.wait()
            return True
        if until <= self._now:
            return False
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((until, future))
        waiting: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
        moved: asyncio.Future[Any] = future
        try:
            await asyncio.wait({moved, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            future.cancel()
        return event.is_set()

    async def advance(self, seconds: float) -> None:
        """Move time on and let whoever was waiting go on."""
        self._now += seconds
        due = [waiter for waiter in self._waiters if waiter[0] <= self._now]
        self._waiters = [waiter for waiter in self._waiters if waiter[0] > self._now]
        for _, future in sorted(due, key=lambda waiter: waiter[0]):
            if not future.done():
                future.set_result(None)
        # Whoever was woken may need a few turns of the loop to get back to waiting.
        for _ in range(8):
            await asyncio.sleep(0)
