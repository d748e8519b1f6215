"""`crowdstream check`: every mistake of the configuration at once."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from crowdstream.commands import add_config, add_json, print_json, subcommand, the_config
from crowdstream.config import Config, places_of
from crowdstream.errors import ConfigError, CrowdstreamError
from crowdstream.plan import Plan, make_plan
from crowdstream.recipe import find_recipe
from crowdstream.settings import line_of


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
    parser.add_argument("--pipeline", metavar="NAME", help="check this recipe (default: as configured)")
    parser.add_argument("--pipelines", type=Path, metavar="DIR", help="a folder of recipes")
    parser.add_argument("--devices", action="store_true", help="also open every device and model")
    parser.add_argument(
        "--effective", action="store_true", help="print each value and where it comes from"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 when all is right, 78 when not."""
    mistakes: list[str] = []
    plan: Plan | None = None
    try:
        config = the_config(arguments, quiet=arguments.json)
        recipe = find_recipe(
            arguments.pipeline or config.pipeline, pipelines=arguments.pipelines, config=config.path
        )
        plan = make_plan(recipe, config)
        if arguments.devices:
            mistakes += _devices(plan, config)
    except ConfigError as error:
        mistakes += error.mistakes
    if arguments.json:
        print_json({"ok": not mistakes, "mistakes": mistakes})
    else:
        for mistake in mistakes:
            print(mistake, file=sys.stderr)
        if plan is not None and arguments.effective:
            _print_effective(plan, config, recipe.text, recipe.where)
        count = len(mistakes)
        print("everything is right" if not count else f"{count} mistake{'s' * (count > 1)}")
    return ConfigError.exit_code if mistakes else 0


def _devices(plan: Plan, config: Config) -> list[str]:
    """Open each stage once and close it again; a device that is not there is a mistake here."""
    from crowdstream.log import configure_log, get_log  # noqa: PLC0415
    from crowdstream.testing import a_context  # noqa: PLC0415

    configure_log("error", "console", sys.stderr)

    async def look() -> list[str]:
        found = []
        for planned in plan.stages:
            context = a_context(
                planned.name, offline=False, stage_class=planned.stage, log=get_log(planned.name),
                places=places_of(config),
            )  # fmt: skip
            stage = planned.stage(planned.config, context)
            try:
                async with asyncio.timeout(15):
                    await stage.open()
            except TimeoutError:
                found.append(f"{planned.name}: did not open within 15 seconds")
            except CrowdstreamError as error:
                found.append(f"{planned.name}: {error}")
            finally:
                await stage.close()
        return found

    return asyncio.run(look())


def _print_effective(plan: Plan, config: Config, recipe_text: str, recipe: str) -> None:
    for index, planned in enumerate(plan.stages):
        print(f"[{planned.name}]")
        for key, value in planned.config.model_dump(mode="json").items():
            machine = line_of(config.text, ("stages", planned.name, key)) or line_of(
                config.text, (planned.name, key)
            )
            if key in config.stages.get(planned.name, {}):
                where = f"{config.path}, line {machine}"
            elif key in planned.config.from_machine:
                where = f"{config.path or 'default'}, section [{key}]"
            elif key in planned.config.model_fields_set:
                line = line_of(recipe_text, ("stage", index, key))
                where = f"{recipe}, line {line}"
            else:
                where = "default"
            print(f"  {key} = {value!r}    ({where})")
