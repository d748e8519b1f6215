"""`crowdstream library separate`: stems for the tracks that play whole, for people and the daemon.

The daemon calls it as a process of its own, at the lowest priority, and reads its lines of JSON:

    {"begins": "low-tide"}
    {"separated": "low-tide", "quality": "high"}
    {"failed": "low-tide", "why": "…"}
    {"unable": "the weights of htdemucs are not here …"}
"""

from __future__ import annotations

import argparse
import ctypes
import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream.commands import say, the_config
from crowdstream.config import places_of
from crowdstream.errors import CrowdstreamError
from crowdstream.warm import prepare_caches

if TYPE_CHECKING:
    from crowdstream.music.library import Track
    from crowdstream.offline.separate import Method
    from crowdstream.stage import Places

QUALITIES: Final = ("fast", "high", "best")

PR_SET_PDEATHSIG: Final = 1


def add_options(action: argparse.ArgumentParser) -> None:
    """Those of this action alone."""
    action.add_argument("id", nargs="*", metavar="ID", help="(default: all that play whole)")
    action.add_argument(
        "--quality", choices=QUALITIES, default="high",
        help="fast needs no model, and its stems bleed; high and best need demucs and its weights"
        " (default: high)",
    )  # fmt: skip
    action.add_argument(
        "--idle", action="store_true",
        help="take nothing that anybody else wants; end with whoever began it",
    )  # fmt: skip


def separate(arguments: argparse.Namespace, folder: Path) -> int:
    """A line, or an object, for each track; 1 if one of them failed."""
    if arguments.idle:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    from crowdstream.library.keep import find_track
    from crowdstream.offline.separate import opened
    from crowdstream.offline.separate_library import lowest_priority, separate_library

    if arguments.idle:
        lowest_priority()
    for name in arguments.id:
        find_track(folder, name)
    config = the_config(arguments, quiet=True)
    places = places_of(config)
    prepare_caches(places)

    def begin(track: Track) -> None:
        if arguments.json:
            _line(begins=track.id)
        else:
            say(f"{track.id}: {_minutes(track.seconds)} to separate")

    done = failed = 0
    try:
        with opened(_method(arguments, places)) as method:
            for given in separate_library(
                folder, method, places.cache / "separating", only=arguments.id, now=time.time(),
                begin=begin,
            ):  # fmt: skip
                done += not given.why
                failed += bool(given.why)
                if arguments.json and given.why:
                    _line(failed=given.track.id, why=given.why)
                elif arguments.json:
                    _line(separated=given.track.id, quality=given.track.separation)
                elif given.why:
                    print(f"failed    {given.track.id}: {given.why}")
                else:
                    print(f"separated {given.track.id}")
    except (CrowdstreamError, OSError) as unable:
        if not arguments.json:
            raise
        _line(unable=str(unable).splitlines()[0])
        return unable.exit_code if isinstance(unable, CrowdstreamError) else 1
    if not arguments.json:
        print(f"{done} separated, {failed} failed")
    return 1 if failed else 0


def _method(arguments: argparse.Namespace, places: Places) -> Method:
    """On one core where it must take nothing from others."""
    from crowdstream.errors import ConfigError
    from crowdstream.offline.separate import Fast, WithModel
    from crowdstream.offline.separate_demucs import (
        NOT_INSTALLED,
        can_run,
        find_weights,
        jobs_for,
    )

    jobs = 1 if arguments.idle else None
    if arguments.quality == "fast":
        return Fast(jobs_for(0, jobs))
    weights = find_weights(arguments.quality, places.models, places.state)
    if not can_run():
        raise ConfigError(NOT_INSTALLED)
    return WithModel(arguments.quality, weights, jobs)


def _line(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
