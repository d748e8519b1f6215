"""Give stems to the tracks of a library that play whole, one after the other.

What is finished is kept until it is given, so that an end at any moment costs one track's work at
most. A track that fails is left alone for a day.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from crowdstream.errors import Busy, ConfigError, CrowdstreamError
from crowdstream.library.keep import open_library
from crowdstream.library.stems import give_stems, whole_tracks
from crowdstream.music.library import MIX, Track, read_track
from crowdstream.offline.separate import Method, separate

TRIES_FILE: Final = ".separate.json"
"""In the library: when a track failed, and why. May be taken away; then all are tried again."""

AGAIN_SECONDS: Final = 24 * 3600.0

LONGEST_SECONDS: Final = 1800.0
"""What is longer is a recorded set, of which nobody wants stems."""

LEAST_FREE_BYTES: Final = 1_000_000_000
"""Of memory, beside what jobs with a network take: below that nothing is begun."""

BUSY_SECONDS: Final = 2.0
BUSY_TRIES: Final = 300


class Given(NamedTuple):
    """What became of one track."""

    track: Track
    """As it is now."""

    why: str
    """Why it still plays whole; empty when it has stems."""


def separate_library(
    library: Path,
    method: Method,
    scratch: Path,
    *,
    only: Collection[str] = (),
    now: float,
    begin: Callable[[Track], None] = lambda _track: None,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Given]:
    """Separate each whole track that is due, by id; those in `only`, whether due or not.

    `scratch` is a folder for stems on their way, `now` seconds since 1970; `begin` hears of each
    track before its work. The library is locked only while a track is given its stems.

    Raises:
        CrowdstreamError: nothing can be separated now, whatever the track.
        OSError: the library or `scratch` cannot be written.
    """
    tries = _read_tries(library)
    for track in whole_tracks(library):
        if only and track.id not in only:
            continue
        tried_at = tries.get(track.id, {}).get("at", 0.0)
        if not only and (now - tried_at < AGAIN_SECONDS or track.seconds > LONGEST_SECONDS):
            continue
        if psutil.virtual_memory().available < LEAST_FREE_BYTES:
            raise CrowdstreamError("less than 1 GB of memory is free; later")
        begin(track)
        try:
            made = separate(track.folder / track.files[MIX], scratch, method, name=track.id)
            given = Given(_give(library, track, made.folder, wait), "")
            shutil.rmtree(made.folder, ignore_errors=True)
        except (ConfigError, Busy):
            raise  # it is the same for all that follow
        except (CrowdstreamError, OSError, ValueError) as failed:
            given = Given(track, str(failed).splitlines()[0])
        tries.pop(track.id, None)
        if given.why:
            tries[track.id] = {"at": now, "why": given.why}
        _write_tries(library, tries)
        yield given


def lowest_priority() -> None:
    """This process gets what nobody else wants: of the processor, the disk, and memory last."""
    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError, psutil.Error, AttributeError):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _give(library: Path, track: Track, stems: Path, wait: Callable[[float], None]) -> Track:
    """Under the library's lock; somebody may have edited, moved or separated it meanwhile."""
    for attempt in range(BUSY_TRIES):
        try:
            with open_library(library):
                return give_stems(read_track(track.folder), stems)
        except Busy:
            if attempt == BUSY_TRIES - 1:
                raise
            wait(BUSY_SECONDS)
    raise AssertionError("not reached")


def _read_tries(library: Path) -> dict[str, dict[str, Any]]:
    try:
        said = json.loads((library / TRIES_FILE).read_text(encoding="utf-8"))
        return {
            str(name): {"at": float(one["at"]), "why": str(one["why"])}
            for name, one in said.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_tries(library: Path, tries: dict[str, dict[str, Any]]) -> None:
    path = library / TRIES_FILE
    if not tries:
        path.unlink(missing_ok=True)
        return
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(json.dumps(tries, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
