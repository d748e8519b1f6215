"""`crowdstream doctor`: one page for the person who has to help."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream import __version__
from crowdstream.commands import add_config, add_json, print_json, say, subcommand
from crowdstream.config import Config, examine_config, find_config, places_of, with_learned
from crowdstream.daemon import runtime_folder
from crowdstream.errors import ConfigError, CrowdstreamError
from crowdstream.plan import PlannedStage, make_plan
from crowdstream.recipe import find_recipe
from crowdstream.registry import name_clashes
from crowdstream.warm import prepare_caches, warm_kernels

if TYPE_CHECKING:
    from crowdstream.models import ListedModel
    from crowdstream.stage import Places
    from crowdstream.vision.chosen import Choice

PACKAGES: Final = (
    "numpy", "numba", "opencv-python-headless", "openvino", "onnxruntime", "sounddevice",
    "soundfile", "soxr", "pylibrb", "python-osc", "structlog", "pydantic",
)  # fmt: skip

LAST_CHANGES: Final = 8
"""Of a daemon's stages, that the page for people shows; --json has all that is kept."""


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "doctor", what="print one page for the person who has to help",
        example="crowdstream doctor > page.txt",
    )  # fmt: skip
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--warm", action="store_true", help="also compile every kernel and make the built-in music"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the page; 78 when the configuration is wrong, and still print the rest."""
    path = find_config(arguments.config)
    config, wrong = examine_config(path)
    config = with_learned(config)
    places = places_of(config)
    prepare_caches(places)
    if arguments.warm:
        _warm(places.cache)
    page = examine(config, path, wrong)
    if arguments.json:
        print_json(page)
    else:
        _print(page)
    return ConfigError.exit_code if page["config"]["mistakes"] else 0


def examine(config: Config, path: Path | None, wrong: tuple[str, ...]) -> dict[str, Any]:
    """Everything on the page, as plain data with secrets masked."""
    from crowdstream.commands.devices import devices
    from crowdstream.log import Mask
    from crowdstream.models import list_models
    from crowdstream.vision.chosen import chosen_here

    places = places_of(config)
    mistakes = [*wrong, *name_clashes()]
    stages: dict[str, Any] = {}
    music: list[str] = []
    try:
        plan = make_plan(find_recipe(config.pipeline, pipelines=None, config=path), config)
        stages = {s.name: s.config.model_dump(mode="json") for s in plan.stages}
        music = [line for s in plan.stages if s.use == "speakers" for line in _music(s, places)]
    except ConfigError as error:
        mistakes += [m for m in error.mistakes if m not in mistakes]
    from crowdstream.commands.check import anchors_told

    anchors = [*anchors_told(config)] or ["config.toml, else built in; nothing was learned"]
    anchors += [config.learned_warning] if config.learned_warning else []
    try:
        models = [_model(model) for model in list_models(places.models, places.state)]
    except CrowdstreamError as error:
        models = [f"cannot be listed: {error}"]
    page = {
        "crowdstream": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "packages": {name: _version(name) for name in PACKAGES},
        "config": {
            "path": str(path.absolute()) if path else None,
            "pipeline": config.pipeline,
            "mistakes": mistakes,
            "stages": stages,
            "anchors": anchors,
        },
        "places": {
            key: str(getattr(places, key).absolute()) for key in ("cache", "state", "models")
        },
        "models": models,
        "music": music,
        "pose_precision": [_chosen(choice) for choice in chosen_here(places.cache)],
        "devices": devices(),
        "running": _running(),
    }
    masked = Mask().plain(page)
    assert isinstance(masked, dict)
    return masked


def _warm(cache: Path) -> None:
    say("compiling every kernel…")
    count = len(warm_kernels())
    say(f"{count} modules are warm, kept in {os.environ.get('NUMBA_CACHE_DIR')}")
    from crowdstream.music.compose import builtin_library

    def progress(what: str, share: float) -> None:
        say(f"built-in music: {what} {share:4.0%}")

    builtin_library(cache / "music", progress=progress)


def _running() -> dict[str, Any] | None:
    """What the running daemon wrote last, if one runs."""
    try:
        facts: dict[str, Any] = json.loads((runtime_folder() / "status.json").read_text())
        os.kill(int(facts["pid"]), 0)
    except PermissionError:
        return facts  # it lives, and is another user's
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts


def _model(model: ListedModel) -> str:
    if not model.present:
        return f"{model.name}: not here"
    return f"{model.name}: here, {model.form}, {model.size / 1e6:.1f} MB, {model.trust}"


def _music(speakers: PlannedStage, places: Places) -> Iterator[str]:
    """Which tracks are played, and what becomes of those that have no stems."""
    from crowdstream.music.library import own_library, read_library
    from crowdstream.offline.separate_demucs import why_unable

    folder = getattr(speakers.config, "library", None) or own_library(places.state)
    if folder is None:
        yield "the built-in tracks: there is no other library"
        return
    tracks, complaints = read_library(folder)
    if not tracks:
        yield f"{folder.absolute()} holds no track that can be played: the built-in tracks"
        return
    whole = sum(track.whole for track in tracks)
    there = f"{len(tracks)} tracks in {folder.absolute()}"
    yield f"{there}, of which {whole} have no stems and play whole"
    if complaints:
        yield f"{len(complaints)} complaints, for which see: crowdstream library check"
    quality = getattr(speakers.config, "separate", "off")
    if not whole:
        return
    if quality == "off":
        yield "nothing gives them stems: separate is off"
    elif why := why_unable(quality, places.models, places.state):
        yield f"nothing gives them stems: {why}"
    else:
        yield f"the daemon gives them stems in the background, quality {quality}"


def _chosen(choice: Choice) -> str:
    """What the pose model is computed in on this processor, and what that costs."""
    width, height = choice.size
    cores = f"{choice.threads} thread{'s' * (choice.threads != 1)}"
    exactness = (
        f"its joints {choice.pixels:.1f} px off and {100 * choice.lost:.0f} % of people lost beside"
        f" {choice.reference}"
        if choice.precision != "f32"
        else f"the exact one ({choice.reference})"
    )
    return (
        f"{choice.model}: {choice.precision}, {choice.milliseconds:.1f} ms a picture of"
        f" {width}x{height} with {cores}, {exactness}; measured {choice.at}, {choice.engine}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _told_of(running: dict[str, Any]) -> Iterator[str]:
    """What a daemon wrote of itself, for people. Another version may have written other keys."""

    def number(value: object, form: str) -> str:
        return format(value, form) if isinstance(value, int | float) else "-"

    yield f"process {running.get('pid')}, {running.get('state')}"
    for stage in running.get("stages") or []:
        parts = [f"{stage.get('name')} {stage.get('state')}"]
        parts += [stage[word] for word in ("why", "note") if stage.get(word)]
        parts += [f"{stage['restarts']} restarts"] if stage.get("restarts") else []
        parts.append(f"took {stage.get('taken')}, sent {stage.get('sent')}")
        parts += [f"dropped {stage['dropped']}"] if stage.get("dropped") else []
        ages = [*(stage.get("latency") or {}).items(), ("at work", stage.get("work") or {})]
        parts += [
            f"{what} {number(age.get('p50'), '.1f')} ms (95 %: {number(age.get('p95'), '.1f')})"
            for what, age in ages
            if age.get("count")
        ]
        yield ", ".join(parts)
    changes = running.get("changes") or []
    yield "last changes:" if changes else "no changes"
    for change in changes[-LAST_CHANGES:]:
        ago = number(float(running.get("at", 0)) - float(change.get("at", 0)), ".1f")
        why = f": {change['why']}" if change.get("why") else ""
        yield f"  {ago} s before: {change.get('stage')} {change.get('state')}{why}"
    if energy := running.get("energy"):
        yield (
            f"energy {number(energy.get('level'), '.2f')}, drive"
            f" {number(energy.get('drive'), '.2f')}, people {number(energy.get('people'), 'g')},"
            f" eyes {', '.join(energy.get('eyes') or []) or '-'}, {energy.get('state')}"
        )
    for name, zone in ((energy or {}).get("zones") or {}).items():
        yield (
            f"zone {name}: energy {number(zone.get('level'), '.2f')},"
            f" people {number(zone.get('people'), 'g')}"
        )
    if playing := running.get("playing"):
        yield (
            f"playing {playing.get('track')} ({playing.get('section')}),"
            f" {number(playing.get('bpm'), '.1f')} BPM, {number(playing.get('lufs'), '.1f')} LUFS,"
            f" limiter {number(playing.get('limiter_db'), '.1f')} dB,"
            f" stretched by {playing.get('stretch') or '-'},"
            f" underruns {playing.get('underruns')}, {playing.get('state')}"
        )


def _print(page: dict[str, Any]) -> None:
    def lines(value: Any, indent: int) -> None:
        space = "  " * indent
        if isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, dict | list) and item:
                    print(f"{space}{key}:")
                    lines(item, indent + 1)
                else:
                    print(f"{space}{key}: {'-' if item in (None, [], {}) else item}")
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    print(f"{space}- {', '.join(f'{k} {v}' for k, v in item.items())}")
                else:
                    print(f"{space}- {item}")

    running = page.get("running")
    hidden = {"running"} | ({"pose_precision"} if not page["pose_precision"] else set())
    lines({key: value for key, value in page.items() if key not in hidden}, 0)
    print("running: -" if running is None else "running:")
    for line in _told_of(running) if running is not None else []:
        print(f"  {line}")
    if page["config"]["mistakes"]:
        print(f"{len(page['config']['mistakes'])} mistakes in the configuration", file=sys.stderr)
