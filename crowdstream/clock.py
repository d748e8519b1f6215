"""The only place that knows what time it is."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import Protocol


class Clock(Protocol):
    """Time, handed in: seconds that only go forward, and the time of day for the programme."""

    def now(self) -> float:
        """Seconds of CLOCK_MONOTONIC: one clock for all processes of this machine."""

    def local_time(self) -> datetime.datetime:
        """The time of day at the venue, for the programme and for the eyes of people only."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""

    async def wait(self, event: asyncio.Event, until: float | None) -> bool:
        """Wait for `event`, at most until `until`; True if it came, False if the time did."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def local_time(self) -> datetime.datetime:
        """The venue's local time, with its zone."""
        return datetime.datetime.now(tz=datetime.UTC).astimezone()

    async def sleep(self, seconds: float) -> None:
        """Sleep in the event loop."""
        await asyncio.sleep(max(0.0, seconds))

    async def wait(self, event: asyncio.Event, until: float | None) -> bool:
        """Wait for `event`, at most until `until`."""
        if until is None:
            await event.wait()
            return True
        try:
            async with asyncio.timeout(max(0.0, until - self.now())):
                await event.wait()
        except TimeoutError:
            return False
        return True
