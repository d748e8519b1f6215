"""`crowdstream check`: every mistake of the configuration at once."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from crowdstream.clock import SystemClock
from crowdstream.commands import add_config, add_json, print_json, say, subcommand, the_path
from crowdstream.config import Config, examine_config, places_of, with_learned
from crowdstream.controls import Controls, controls_of
from crowdstream.errors import ConfigError, DeviceError, MediaError
from crowdstream.learned import ANCHORS, FILE, STAGE
from crowdstream.log import Mask
from crowdstream.offload import Offload
from crowdstream.plan import Plan, make_plan
from crowdstream.recipe import Recipe, find_recipe, name_of
from crowdstream.registry import load_stage, name_clashes, stage_names
from crowdstream.settings import Keys, details_of, line_of, sentence_of, short
from crowdstream.stage import Context
from crowdstream.warm import prepare_caches

STRETCH_BEATS: Final = 16
"""A loop returns on a 4-bar line."""

OPENING_SECONDS: Final = 75.0
"""The very first start of the player composes the built-in music."""


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands,
        "check",
        what="find every mistake of the configuration, without starting anything",
        example="crowdstream check --config /etc/crowdstream/config.toml --devices",
    )
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--pipeline", metavar="NAME", help="check this recipe (default: as configured)"
    )
    parser.add_argument("--pipelines", type=Path, metavar="DIR", help="a folder of recipes")
    parser.add_argument("--devices", action="store_true", help="also open every device and model")
    parser.add_argument(
        "--effective", action="store_true", help="print each value and where it comes from"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 when all is right, 78 when not."""
    path = the_path(arguments, quiet=arguments.json)
    config, wrong = examine_config(path)
    config = with_learned(config)
    mistakes, notes = [*wrong, *name_clashes()], list[str]()
    plan: Plan | None = None
    used: set[str] = set()
    if arguments.pipelines is not None and not arguments.pipelines.is_dir():
        mistakes.append(f"--pipelines: there is no folder {short(str(arguments.pipelines))}")
    try:
        recipe = find_recipe(
            arguments.pipeline or config.pipeline, pipelines=arguments.pipelines, config=path
        )
        used = {name_of(entry) for entry in recipe.stage}
        plan = make_plan(recipe, config)
    except ConfigError as error:
        mistakes += error.mistakes
    mistakes += _unused(config, used)
    mistakes += _models_not_there(config)
    if plan is not None:
        mistakes += _not_there(plan, config, recipe)
        notes += odd_lengths(plan)
    if plan is not None and arguments.devices:
        refused, notes = _devices(plan, config)
        mistakes += refused
    notes += [config.learned_warning] if config.learned_warning else []
    notes += anchors_told(config)
    mask = Mask()
    mistakes, notes = [mask.text(m) for m in mistakes], [mask.text(n) for n in notes]
    if arguments.json:
        print_json({"ok": not mistakes, "mistakes": mistakes, "notes": notes})
        return ConfigError.exit_code if mistakes else 0
    for note in notes:
        say(f"note: {note}")
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    if plan is not None and arguments.effective:
        _print_effective(plan, config, recipe, mask)
    count = len(mistakes)
    print("everything is right" if not count else f"{count} mistake{'s' * (count > 1)}")
    return ConfigError.exit_code if mistakes else 0


def odd_lengths(plan: Plan) -> list[str]:
    """Loops that no phrase fits into."""
    told = []
    for planned in plan.stages:
        rules = getattr(planned.config, "rules", None)
        beats = getattr(rules, "segment_beats", STRETCH_BEATS)
        if beats % STRETCH_BEATS:
            near = max(1, round(beats / STRETCH_BEATS)) * STRETCH_BEATS
            told.append(
                f"{planned.name}.rules: segment_beats is {beats}, which is no whole number of four"
                f" bars ({STRETCH_BEATS} beats); {near} is played"
            )
    return told


def anchors_told(config: Config) -> list[str]:
    """Where each anchor of energy comes from, once something was learned."""
    if not config.learned:
        return []
    learned_file = places_of(config).state / FILE
    given = config.stages.get(STAGE, {})
    told = []
    for name in ANCHORS:
        if name in given:
            told.append(f"{name} {given[name]} from {config.path}")
        else:
            told.append(f"{name} {config.learned[name]:g} from {learned_file}")
    return [f"{STAGE}: {', '.join(told)}"]


def _unused(config: Config, used: set[str]) -> list[str]:
    """Mistakes in the settings of stages that this recipe does not have, but another may."""
    mistakes = []
    for name, settings in config.stages.items():
        if name in used or name not in stage_names():
            continue  # looked at with the plan, or told of there
        try:
            model = load_stage(name).Config
            model(**settings)
        except ConfigError as error:
            mistakes += [f"{config.path}: {mistake}" for mistake in error.mistakes]
        except ValidationError as error:
            mistakes += [
                sentence_of(
                    detail, model, where=f"{config.path}: {name}", text=config.text,
                    at=config.keys_of(name),
                )
                for detail in details_of(error)
                if detail["type"] != "missing"  # that may stand in the recipe
            ]  # fmt: skip
    return mistakes


def _models_not_there(config: Config) -> list[str]:
    folder = places_of(config).models
    if config.models_folder is None or folder.is_dir():
        return []
    place = _place(str(config.path), config.text, ("models_folder",))
    return [f"{place}: models_folder: there is no folder {folder}"]


def _not_there(plan: Plan, config: Config, recipe: Recipe) -> list[str]:
    """Folders and files that the settings name, and that are not there or hold nothing of use."""
    from crowdstream.models import compare_model, find_model
    from crowdstream.music.library import TRACK_FILE

    mistakes = []
    models = places_of(config).models
    for index, planned in enumerate(plan.stages):
        for key in planned.config.model_fields_set:
            if key in config.stages.get(planned.name, {}):
                keys = (*config.keys_of(planned.name), key)
                place = _place(f"{config.path}: {planned.name}", config.text, keys)
            else:
                where = f"{recipe.where}: stage {index + 1} ({planned.name})"
                place = _place(where, recipe.text, ("stage", index, key))
            value = getattr(planned.config, key)
            if key == "library" and isinstance(value, Path):
                if not value.is_dir():
                    mistakes.append(f"{place}: library: there is no folder {value}")
                elif not any(value.glob(f"*/{TRACK_FILE}")):
                    mistakes.append(
                        f"{place}: library: {value} holds no track: a folder with a {TRACK_FILE}"
                    )
            elif key == "model" and isinstance(value, str) and _is_path(value):
                try:
                    pickles = getattr(planned.config, "backend", "") == "ultralytics"
                    file = find_model(value, models, pickles=pickles)
                    if pickles:
                        compare_model(file, models, places_of(config).state)
                except (ConfigError, DeviceError, MediaError) as error:
                    mistakes.append(f"{place}: model: {error}")
    return mistakes


def _is_path(model: str) -> bool:
    return "/" in model or model.endswith((".onnx", ".xml", ".pt"))


def _place(where: str, text: str, keys: Keys) -> str:
    line = line_of(text, keys)
    return f"{where}, line {line}" if line is not None else where


class _Notes:
    """A log that keeps what stages warn of while they open."""

    def __init__(self, stage: str, notes: list[str]) -> None:
        self._stage = stage
        self._notes = notes

    def warning(self, event: str, **facts: Any) -> None:
        why = facts.get("why") or ", ".join(f"{key} {value}" for key, value in facts.items())
        self._notes.append(f"{self._stage}: {event.replace('_', ' ')}: {why}")

    error = warning

    def info(self, event: str, **facts: Any) -> None:
        """Of what went well nothing is told."""

    debug = info

    def bind(self, **facts: Any) -> _Notes:
        """The same log."""
        return self


def _devices(plan: Plan, config: Config) -> tuple[list[str], list[str]]:
    """Open each stage once and close it again: what could not be opened, and what was noted."""
    refused: list[str] = []
    notes: list[str] = []

    async def look() -> None:
        for planned in plan.stages:
            controls = Controls()
            controls.declare(planned.name, controls_of(planned.stage))
            offload = Offload(planned.name)
            context = Context(
                name=planned.name, log=_Notes(planned.name, notes), clock=SystemClock(),
                places=places_of(config), controls=controls, offload=offload,
                offline=plan.offline,
            )  # fmt: skip
            stage = planned.stage(planned.config, context)
            noted = len(notes)
            try:
                async with asyncio.timeout(OPENING_SECONDS):
                    await stage.open()
            except TimeoutError:
                refused.append(f"{planned.name}: did not open within {OPENING_SECONDS:.0f} s")
            except Exception as error:  # a stage may raise anything, and the next is looked at too
                why = str(error).removeprefix(f"{planned.name}: ") or type(error).__name__
                refused.append(f"{planned.name}: {why}")
                del notes[noted:]  # they say the same in other words
            finally:
                await stage.close()
                offload.close()

    prepare_caches(places_of(config))
    asyncio.run(look())
    return refused, notes


def _print_effective(plan: Plan, config: Config, recipe: Recipe, mask: Mask) -> None:
    """Each value, without secrets, and the file and line that it comes from."""

    def tell(key: str, value: object, where: str) -> None:
        print(f"  {key} = {mask.fact(key, value)!r}    ({where})")

    def in_config(*keys: str) -> str:
        line = line_of(config.text, keys)
        return f"{config.path}, line {line}" if line else "default"

    for key, value in config.model_dump(mode="json", exclude={"stages"}).items():
        if isinstance(value, dict):
            print(f"[{key}]")
            for inner, setting in value.items():
                section = getattr(config, key)
                named = section if isinstance(section, dict) else section.model_fields_set
                given = inner in named
                tell(inner, setting, in_config(key, inner) if given else "default")
        else:
            print(f"{key} = {mask.fact(key, value)!r}    ({in_config(key)})")
    for index, planned in enumerate(plan.stages):
        print(f"[{planned.name}]")
        for key, value in planned.config.model_dump(mode="json").items():
            if key in config.stages.get(planned.name, {}):
                where = in_config(*(str(part) for part in config.keys_of(planned.name)), key)
            elif planned.use == STAGE and key in config.learned:
                where = str(places_of(config).state / FILE)
            elif key in planned.config.from_machine:
                continue  # a section of its own, above
            elif key in planned.config.model_fields_set:
                where = f"{recipe.where}, line {line_of(recipe.text, ('stage', index, key))}"
            else:
                where = "default"
            tell(key, value, where)
