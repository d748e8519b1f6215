"""`crowdstream stages`: the parts that a pipeline can use. All of it comes from the classes."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from pydantic import BaseModel

from crowdstream.commands import add_json, print_json, subcommand
from crowdstream.errors import ConfigError, UsageError
from crowdstream.registry import StageTypes, load_stage, stage_names, types_of
from crowdstream.settings import nearest
from crowdstream.stage import AnyStage


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "stages", what="list the parts a pipeline can use, or explain one",
        example="crowdstream stages map_tempo",
    )  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="explain this one")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the list or one page."""
    names = stage_names()
    if arguments.name is not None and arguments.name not in names:
        raise UsageError(f"no stage is called {arguments.name}{nearest(arguments.name, names)}")
    if arguments.json:
        wanted = [arguments.name] if arguments.name else sorted(names)
        print_json([_facts(name) for name in wanted])
    elif arguments.name is None:
        for name in sorted(names):
            print(f"{name:<16} {_one_line(name)}")
    else:
        _explain(arguments.name)
    return 0


def _one_line(name: str) -> str:
    try:
        stage = load_stage(name)
    except ConfigError as error:
        return f"cannot be used: {error}"
    return f"{_first_line(stage)} ({_ends(types_of(stage))})"


def _ends(types: StageTypes) -> str:
    takes = " or ".join(kind.__name__ for kind in types.takes) or "nothing"
    sends = " or ".join(kind.__name__ for kind in types.sends) or "nothing"
    return f"{takes} -> {sends}"


def _first_line(stage: type[AnyStage]) -> str:
    return (inspect.getdoc(stage) or "").partition("\n")[0]


def _explain(name: str) -> None:
    stage = load_stage(name)
    types = types_of(stage)
    print(f"{name}: {_ends(types)}")
    print()
    print(inspect.getdoc(stage) or "")
    print()
    _explain_settings(stage.Config, "  ")
    print()
    print(inspect.getdoc(stage.Config) or "")


def _explain_settings(model: type[BaseModel], indent: str) -> None:
    """Every setting with its default, and what it means; tables with theirs below them."""
    for key, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            print(f"{indent}{key}: {field.description or ''}")
            _explain_settings(type(default), indent + "  ")
        else:
            shown = "must be given" if field.is_required() else f"default {default!r}"
            print(f"{indent}{key}: {field.description or ''} ({shown})")


def _facts(name: str) -> dict[str, Any]:
    try:
        stage = load_stage(name)
    except ConfigError as error:
        return {"name": name, "error": str(error)}
    types = types_of(stage)
    return {
        "name": name,
        "takes": [kind.__name__ for kind in types.takes],
        "sends": [kind.__name__ for kind in types.sends],
        "what": _first_line(stage),
        "settings": {
            key: {
                "description": field.description,
                "required": field.is_required(),
                "default": None
                if field.is_required()
                else repr(field.get_default(call_default_factory=True)),
            }
            for key, field in stage.Config.model_fields.items()
        },
    }
