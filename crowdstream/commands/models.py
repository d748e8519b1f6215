"""`crowdstream models`: the weights, and whether they are what they should be."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream.commands import (
    add_config,
    add_json,
    print_json,
    say,
    subcommand,
    the_config,
)
from crowdstream.config import places_of
from crowdstream.errors import ConfigError

if TYPE_CHECKING:
    from crowdstream.models import ListedModel, Verdict

EXAMPLES: Final = {
    "list": "crowdstream models list --json",
    "add": "crowdstream models add yolov8n-pose.onnx",
    "verify": "crowdstream models verify --accept yolov8n-pose",
}


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "models", what="list, add and verify models",
        example="crowdstream models add yolov8n-pose.onnx",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, what in (
        ("list", "what is known and what is there"),
        ("add", "copy a ready .onnx or OpenVINO file into the models folder and note its hash"),
        ("verify", "hash every model again"),
    ):
        action = subcommand(actions, name, what=what, example=EXAMPLES[name])
        add_config(action)
        add_json(action)
        if name == "add":
            action.add_argument("file", type=Path, metavar="FILE")
        if name == "verify":
            action.add_argument("--accept", metavar="NAME", help="take a changed file as right")


def run(arguments: argparse.Namespace) -> int:
    """Do one of the three."""
    from crowdstream import models

    places = places_of(the_config(arguments, quiet=True))
    folder, state = places.models, places.state
    if arguments.action == "list":
        listed = models.list_models(folder, state)
        if arguments.json:
            print_json([asdict(model) for model in listed])
        else:
            say(f"models folder: {folder}")
            for model in listed:
                print(f"{model.name:<24} {_state_of(model)}")
        return 0
    if arguments.action == "add":
        added = models.add_model(arguments.file, folder, state)
        if arguments.json:
            print_json(asdict(added))
        else:
            print(f'added {added.name}; use it with model = "{added.name}" in [estimate_pose]')
        return 0
    verdicts = models.verify_models(folder, state, arguments.accept)
    if arguments.json:
        print_json([asdict(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            print(f"{verdict.name:<24} {_verdict_of(verdict)}")
        if not verdicts:
            print(f"no models in {folder}")
    wrong = ("changed", "missing")
    return ConfigError.exit_code if any(v.state in wrong for v in verdicts) else 0


def _state_of(model: ListedModel) -> str:
    if not model.present:
        use = f"for {model.purpose}; " if model.purpose else ""
        return f"not here; {use}{model.size / 1e6:.1f} MB, {model.licence}, from {model.path}"
    return f"{model.form}, {model.size / 1e6:.1f} MB, {model.trust}, {model.path}"


def _verdict_of(verdict: Verdict) -> str:
    if verdict.state == "changed":
        return f"CHANGED: {verdict.path} has {verdict.found[:12]}…, noted {verdict.expected[:12]}…"
    return f"{verdict.state}: {verdict.path}"
