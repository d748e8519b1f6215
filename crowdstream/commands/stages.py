"""`crowdstream stages`: the parts that a pipeline can use. All of it comes from the classes."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from crowdstream.commands import add_json, print_json, subcommand
from crowdstream.errors import ConfigError, UsageError
from crowdstream.registry import load_stage, stage_names, types_of
from crowdstream.settings import nearest


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
        raise UsageError(f"no stage is called {arguments.name}{nearest(arguments.name, list(names))}")
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
    types = types_of(stage)
    takes = " or ".join(kind.__name__ for kind in types.takes) or "nothing"
    sends = " or ".join(kind.__name__ for kind in types.sends) or "nothing"
    first = inspect.getdoc(stage) or ""
    return f"{first.splitlines()[0] if first else ''} ({takes} -> {sends})"


def _explain(name: str) -> None:
    stage = load_stage(name)
    types = types_of(stage)
    print(f"{name}: takes {[k.__name__ for k in types.takes]}, sends {[k.__name__ for k in types.sends]}")
    print()
    print(inspect.getdoc(stage) or "")
    print()
    for key, field in stage.Config.model_fields.items():
        default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        print(f"  {key}: {field.description or ''} ({default})")
    print()
    print(inspect.getdoc(stage.Config) or "")


def _facts(name: str) -> dict[str, Any]:
    stage = load_stage(name)
    types = types_of(stage)
    return {
        "name": name,
        "takes": [kind.__name__ for kind in types.takes],
        "sends": [kind.__name__ for kind in types.sends],
        "what": (inspect.getdoc(stage) or "").splitlines()[:1],
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
