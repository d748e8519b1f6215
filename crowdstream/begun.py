"""That an armed show has begun, kept on disk: a daemon that dies in mid-show comes back playing.

The note is written anew each minute while the show goes on, and taken away by an orderly end. So
after a stop, or a night of which nobody ended the last, the next start is armed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from crowdstream.clock import Clock
from crowdstream.controls import Controls
from crowdstream.offload import Offload

FILE: Final = "show_begun"

EVERY_SECONDS: Final = 60.0
"""The note is so old at most while the show goes on."""

FRESH_SECONDS: Final = 600.0
"""A note that is older is of another night: no restart takes so long."""


def note(state: Path, now: float) -> None:
    """The show goes on, at `now` in seconds since 1970. A disk that is full costs the note."""
    with contextlib.suppress(OSError):
        state.mkdir(parents=True, exist_ok=True)
        part = state / f"{FILE}.part"
        part.write_text(f"{now:.0f}\n", encoding="utf-8")
        part.replace(state / FILE)


def goes_on(state: Path, now: float) -> bool:
    """A show was going on just before `now`, and was not ended."""
    try:
        noted = float((state / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return abs(now - noted) < FRESH_SECONDS


def forget(state: Path) -> None:
    """The show is over."""
    with contextlib.suppress(OSError):
        (state / FILE).unlink(missing_ok=True)


class Show:
    """Whether a show that is armed has begun; the note keeps it while no daemon runs."""

    def __init__(
        self, armed: Sequence[str], controls: Controls, state: Path, clock: Clock, log: Any
    ) -> None:
        """`armed` are the players that wait; those of a show that goes on wait for nothing."""
        self._armed, self._controls = armed, controls
        self._state, self._clock, self._log = state, clock, log
        self._begun = False
        if self._armed and goes_on(state, self._now()):
            log.warning("show_goes_on", why="it had begun, and nobody ended it; it is not armed")
            self._begin()

    async def follow(self, begin: asyncio.Event) -> None:
        """Begin when told; as long as it goes on, note that it does."""
        offload = Offload("show")
        try:
            while True:
                if begin.is_set():
                    begin.clear()
                    if self._armed and not self._begun:
                        self._log.info("show_begun")
                        self._begin()
                    else:
                        why = "it has begun" if self._begun else "it is not armed"
                        self._log.warning("show_not_begun", why=why)
                if self._begun:
                    await offload(note, self._state, self._now())
                await self._clock.wait(begin, self._clock.now() + EVERY_SECONDS)
        finally:
            offload.close()

    def over(self) -> None:
        """An orderly end: the next start is armed again."""
        if self._armed:
            forget(self._state)

    def _begin(self) -> None:
        self._begun = True
        for player in self._armed:
            self._controls.set(f"{player}.start", 1.0)

    def _now(self) -> float:
        return self._clock.local_time().timestamp()
