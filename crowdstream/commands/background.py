"""What is done beside the daemon: stems for the tracks of its library that play whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from crowdstream.music.library import own_library

FIRST_SECONDS: Final = 60.0
"""The start of a show has the machine for itself."""

AGAIN_SECONDS: Final = 600.0
"""From one look for whole tracks to the next: somebody may have added some."""

LONGEST_LINE: Final = 1 << 16

Beside = Callable[[], Coroutine[Any, Any, None]]


def separating(
    library: Path | None, quality: str, state: Path, config: Path | None, log: Any,
    *, first_seconds: float = FIRST_SECONDS,
) -> Beside | None:  # fmt: skip
    """What to run beside the daemon; None where nothing is to be separated.

    `library` and `quality` are those of `speakers`; without a library the one below `state`
    counts. Each look is a process of its own (`crowdstream library separate --idle`), that gets
    what nobody else wants of the machine and is killed when the daemon ends.
    """
    if quality == "off":
        return None

    async def work() -> None:
        said = ""
        wait = first_seconds
        while True:
            await asyncio.sleep(wait)
            wait = AGAIN_SECONDS
            folder = library or own_library(state)
            if folder is not None:
                said = await _look(*_command(folder, quality, config), log, said)

    return work


def _command(
    folder: Path, quality: str, config: Path | None
) -> tuple[list[str], dict[str, str]]:  # fmt: skip
    """The process of one look, and its environment."""
    command = [
        sys.executable, "-P", "-m", "crowdstream", "library", "separate", "--idle", "--json",
        "--quality", quality, "--library", str(folder),
        *(["--config", str(config)] if config is not None else []),
    ]  # fmt: skip
    here = os.pathsep.join(str(Path(place).absolute()) for place in sys.path if place)
    environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return command, {**environment, "PYTHONPATH": here, **dict.fromkeys(threads, "1")}


async def _look(command: list[str], environment: dict[str, str], log: Any, said: str) -> str:
    """One process, and what it says in the log; why nothing could be done, told once."""
    unable = ""
    try:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=environment, limit=LONGEST_LINE,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        if str(error) != said:
            log.warning("library_not_separated", why=str(error))
        return str(error)
    try:
        assert child.stdout is not None
        with contextlib.suppress(ValueError):  # a line longer than any of ours
            async for line in child.stdout:
                unable = _tell(line, log, said) or unable
    finally:
        # With the jobs that it may have started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    return unable or said


def _tell(line: bytes, log: Any, said: str) -> str:
    """Log one line; the reason if it is one why nothing could be done."""
    try:
        facts = json.loads(line)
    except ValueError:
        return ""
    if "begins" in facts:
        log.info("track_separating", track=facts["begins"])
    elif "separated" in facts:
        log.info("track_separated", track=facts["separated"], quality=facts.get("quality"))
    elif "failed" in facts:
        log.warning("track_not_separated", track=facts["failed"], why=facts.get("why"))
    elif "unable" in facts:
        if facts["unable"] != said:
            log.info("library_not_separated", why=facts["unable"])
        return str(facts["unable"])
    return ""
