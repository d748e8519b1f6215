"""`crowdstream run`: the daemon, in real time."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crowdstream import __version__
from crowdstream.clock import SystemClock
from crowdstream.commands import add_config, subcommand, the_config, the_model
from crowdstream.commands.background import Beside, separating
from crowdstream.commands.line import LiveLine
from crowdstream.commands.source import source_of
from crowdstream.config import Config, places_of
from crowdstream.daemon import only_one, runtime_folder
from crowdstream.daemon import run as run_daemon
from crowdstream.errors import (
    ConfigError,
    CrowdstreamError,
    DeviceError,
    StageFailed,
    UsageError,
)
from crowdstream.log import Mask, choose_format, close_log, configure_log, get_log
from crowdstream.plan import Plan, make_plan
from crowdstream.recipe import Entry, Recipe, find_recipe, with_source
from crowdstream.warm import prepare_caches


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands,
        "run",
        what="play: the daemon, in real time",
        example="crowdstream run --source party.mp4 --for 60",
    )
    add_config(parser)
    parser.add_argument("--pipeline", metavar="NAME", help="the recipe (default: as configured)")
    parser.add_argument("--pipelines", type=Path, metavar="DIR", help="a folder of recipes")
    parser.add_argument(
        "--source",
        metavar="URI",
        help="a camera (0, /dev/v4l/by-id/…), a video file, or crowd:n=40,bpm=124,energy=0.6",
    )
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="stop after")
    parser.add_argument("--once", action="store_true", help="end with the file, do not loop it")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write show lines, no pictures")
    parser.add_argument("--model", metavar="NAME|PATH|none", help="the pose model")


def run(arguments: argparse.Namespace) -> int:
    """Check everything, take the lock, run."""
    if arguments.seconds is not None and not 0 < arguments.seconds < 1e8:
        raise UsageError(f"--for: {arguments.seconds} is not a number of seconds above 0")
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # too early for a show to begin, and no end
    config = the_config(arguments)
    prepare_caches(places_of(config))
    plan = plan_of(arguments, config)
    if arguments.source is not None:
        _must_be_there(arguments.source)
    line = LiveLine(sys.stdout) if sys.stdout.isatty() else None
    stream = line.beside(sys.stderr) if line is not None else sys.stderr
    form = config.log.format
    configure_log(
        config.log.level, choose_format(sys.stderr, os.environ) if form == "auto" else form, stream
    )
    log = get_log("daemon")
    if config.path is not None:
        log.info("config_read", path=str(config.path))
    runtime = runtime_folder()
    try:
        with only_one(runtime):
            asyncio.run(_main(plan, config, arguments, log, runtime, line))
    except StageFailed as failure:
        cause = failure.__cause__
        if isinstance(cause, ConfigError):
            raise cause from None
        if isinstance(cause, CrowdstreamError) and plan.stage(failure.stage).must_open:
            raise DeviceError(str(cause)) from None
        raise
    finally:
        if line is not None:
            line.end()
        close_log()
    return 0


def _must_be_there(uri: str) -> None:
    """A file or camera that was named and is not there is said before the music begins."""
    use, settings = source_of(uri, once=False)
    if use == "video_file" and not settings["path"].exists():
        raise DeviceError(f"--source: {uri}: there is no such file")
    if use == "camera" and uri.startswith("/") and not Path(uri).exists():
        raise DeviceError(f"--source: {uri}: there is no such camera; see: crowdstream devices")


def plan_of(arguments: argparse.Namespace, config: Config) -> Plan:
    """The checked plan for a command line."""
    name = arguments.pipeline or config.pipeline
    recipe = find_recipe(name, pipelines=arguments.pipelines, config=config.path)
    if recipe.offline:
        raise UsageError(
            f"the pipeline {recipe.name} is for files, as fast as it goes; play it with"
            " crowdstream demo or analyze"
        )
    overrides: dict[str, dict[str, Any]] = {}
    must_open: list[str] = []
    if arguments.source is not None:
        use, settings = source_of(arguments.source, once=arguments.once)
        recipe = with_source(recipe, use, {})
        overrides[use] = settings
        must_open = [use]
    elif arguments.once:
        overrides[recipe.stage[0].name or recipe.stage[0].use] = {"looped": False}
    if arguments.model is not None:
        overrides["estimate_pose"] = {"model": the_model(arguments.model, config)}
        must_open.append("estimate_pose")
    if arguments.record is not None:
        recipe = with_record(recipe)
        if not arguments.record.parent.is_dir():
            raise UsageError(f"--record: there is no folder {arguments.record.parent}")
        overrides["report"] = {"path": arguments.record, "header": _header(arguments)}
        must_open.append("report")
    return make_plan(recipe, config, overrides=overrides, must_open=must_open)


def _header(arguments: argparse.Namespace) -> dict[str, str]:
    """What the first line of a recording says of it."""
    began = SystemClock().local_time().isoformat(timespec="seconds")
    source = f" --source {arguments.source}" if arguments.source else ""
    command = Mask().text(f"crowdstream run{source}")
    return {"began": began, "command": command, "version": __version__}


def with_record(recipe: Recipe) -> Recipe:
    """The same chain with a report at its end."""
    names = [entry.name or entry.use for entry in recipe.stage]
    told = ("drawn_crowd", "measure_motion", "measure_energy", "map_tempo", "speakers")
    feeders = [name for name in told if name in names]
    if "report" in names or not feeders:
        return recipe
    report = Entry.model_validate(
        {
            "use": "report",
            "from": feeders,
            "inbox": {"capacity": 8, "when_full": "drop_oldest"},
        }
    )
    return recipe.model_copy(update={"stage": (*recipe.stage, report)})


async def _main(
    plan: Plan,
    config: Config,
    arguments: argparse.Namespace,
    log: Any,
    runtime: Path,
    line: LiveLine | None,
) -> None:
    stop, begin = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(name: str) -> None:
        log.info("stop_asked", signal=name)
        stop.set()
        _guard(config.health.grace_seconds + 1.0)

    loop.add_signal_handler(signal.SIGTERM, end, "SIGTERM")
    loop.add_signal_handler(signal.SIGINT, end, "SIGINT")
    loop.add_signal_handler(signal.SIGHUP, _reload, arguments, log)
    loop.add_signal_handler(signal.SIGUSR1, begin.set)
    await run_daemon(
        plan, stop, begin=begin, places=places_of(config), log=log, health=config.health,
        runtime=runtime, seconds=arguments.seconds, draw=line.draw if line is not None else None,
        on_stopping=lambda: _guard(config.health.grace_seconds + 1.0),
        beside=_beside(plan, config, log),
    )  # fmt: skip


def _beside(plan: Plan, config: Config, log: Any) -> Beside | None:
    """The work in the background, where this chain plays music."""
    speakers = next((stage.config for stage in plan.stages if stage.use == "speakers"), None)
    if speakers is None:
        return None
    quality, library = getattr(speakers, "separate", "off"), getattr(speakers, "library", None)
    return separating(library, quality, places_of(config).state, config.path, log)


def _reload(arguments: argparse.Namespace, log: Any) -> None:
    """SIGHUP: check the configuration anew and say what became of it; the old one goes on."""
    from crowdstream import systemd
    from crowdstream.clock import SystemClock

    systemd.reloading(int(SystemClock().now() * 1e6))
    try:
        plan_of(arguments, the_config(arguments, quiet=True))
    except CrowdstreamError as error:
        log.error("config_rejected", why=str(error))
    else:
        log.warning("config_not_taken", why="it is right; changes need a restart")
    systemd.ready()


def _guard(seconds: float) -> None:
    """Whatever hangs at the end, the process does not: systemd would have to kill it."""
    if any(thread.name == "end" for thread in threading.enumerate()):
        return
    leave: Callable[[], None] = lambda: os._exit(1)  # noqa: E731
    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.name = "end"
    timer.start()
