"""`crowdstream models`: the weights, and whether they are what they should be."""

from __future__ import annotations

import argparse
import sys
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
from crowdstream.commands.line import LiveLine, bar
from crowdstream.config import places_of
from crowdstream.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from crowdstream.models import ListedModel, Verdict
    from crowdstream.models.pull import Pulled

EXAMPLES: Final = {
    "list": "crowdstream models list --json",
    "add": "crowdstream models add yolov8n-pose.onnx",
    "verify": "crowdstream models verify --accept yolov8n-pose",
    "pull": "crowdstream models pull yolov8n-pose",
    "export": "crowdstream models export yolov8n-pose --precision int8 --calibrate pictures",
}


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "models", what="list, add, pull, verify and export models",
        example="crowdstream models add yolov8n-pose.onnx",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, what in (
        ("list", "what is known and what is there"),
        (
            "add",
            "copy a ready model, or a .pt that you trust, into the models folder and note its hash",
        ),
        ("verify", "hash every model again"),
        ("pull", "fetch weights that the manifest knows, and check their hash"),
        ("export", "make OpenVINO or ONNX files of a .pt, with ultralytics"),
    ):
        action = subcommand(actions, name, what=what, example=EXAMPLES[name])
        add_config(action)
        add_json(action)
        if name == "add":
            action.add_argument("file", type=Path, metavar="FILE")
        if name == "verify":
            action.add_argument("--accept", metavar="NAME", help="take a changed file as right")
        if name == "pull":
            action.add_argument("name", metavar="NAME", help="as models list says it")
        if name == "export":
            _add_export(action)


def run(arguments: argparse.Namespace) -> int:
    """Do one of the five."""
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
            backend = ' and backend = "ultralytics"' if added.form == "checkpoint" else ""
            use = f'model = "{added.name}"{backend} in [estimate_pose]'
            print(f"added {added.name}; use it with {use}")
        return 0
    if arguments.action == "pull":
        return _pull(arguments, folder)
    if arguments.action == "export":
        return _export(arguments, folder, state)
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


def _add_export(action: argparse.ArgumentParser) -> None:
    action.add_argument("name", metavar="NAME|PATH.pt", help="known weights, or a .pt file")
    action.add_argument(
        "--format", choices=("openvino", "onnx"), default="openvino",
        help="what to make (default: openvino)",
    )  # fmt: skip
    action.add_argument(
        "--precision", choices=("int8", "fp16", "fp32"), default="fp32",
        help="bits of its numbers: int8 is the fastest and the coarsest (default: fp32)",
    )  # fmt: skip
    action.add_argument(
        "--calibrate", type=Path, metavar="FOLDER",
        help="pictures of the room to measure int8 by (default: crowds that are drawn)",
    )  # fmt: skip
    action.add_argument("--name", dest="new", metavar="NEW", help="what to call the model")
    action.add_argument(
        "--trust", action="store_true",
        help="open a .pt that nobody has vouched for, this once; it can run any code",
    )  # fmt: skip


def _pull(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.models import read_manifest

    together = [each.name for each in read_manifest(folder) if each.part_of == arguments.name]
    for name in together or [arguments.name]:
        pulled = _pull_one(name, folder)
        if arguments.json:
            print_json(pulled._asdict())
        else:
            how = "pulled" if pulled.fetched else "already here, and right"
            print(f"{pulled.name}: {how}: {pulled.path}")
    if not arguments.json and pulled.path.suffix == ".pt":
        print(
            f"a .pt is not loaded as it is; next: crowdstream models export {pulled.name}"
            " (needs: pip install crowdstream[ultralytics])"
        )
    if not arguments.json and pulled.path.suffix == ".th":
        quality = "best" if together else "high"
        print(
            f"next: crowdstream separate AUDIO --quality {quality}"
            " (needs: pip install crowdstream[stems])"
        )
    return 0


def _pull_one(name: str, folder: Path) -> Pulled:
    from crowdstream.models.pull import pull_model

    line = LiveLine(sys.stderr) if sys.stderr.isatty() else None

    def progress(done: int, size: int) -> None:
        if line is not None:
            line.show(f"{name} {bar(done / size, 20)} {done / 1e6:.1f} MB")

    def retrying(why: str, seconds: float) -> None:
        if line is not None:
            line.end()
        say(f"{name}: {why}; again in {seconds:.0f} s")

    try:
        return pull_model(name, folder, progress=progress, retrying=retrying)
    finally:
        if line is not None:
            line.end()


def _export(arguments: argparse.Namespace, folder: Path, state: Path) -> int:
    from crowdstream.models import take_checkpoint
    from crowdstream.models.find import NAME
    from crowdstream.vision.export import MOST_LOST, MOST_PIXELS, check_export, export_model

    check_export(arguments.format, arguments.precision, arguments.calibrate)
    if arguments.new is not None and not NAME.fullmatch(arguments.new):
        raise UsageError(f"--name {arguments.new!r}: letters, digits, dot, - and _ only")
    checkpoint = take_checkpoint(arguments.name, folder, state, trusted=arguments.trust)
    if arguments.trust:
        say(f"{checkpoint.name} is opened because you trust it: SHA-256 {checkpoint.sha256}")
    made = export_model(
        checkpoint, folder, state,
        name=arguments.new or checkpoint.name, form=arguments.format,
        precision=arguments.precision, calibrate=arguments.calibrate, progress=say,
    )  # fmt: skip
    if arguments.json:
        drifts = [{"where": each.where, **each.drift._asdict()} for each in made.drifts]
        print_json(asdict(made.file) | {"drift": drifts})
    else:
        for each in made.drifts:
            print(each)
        use = f'model = "{made.file.name}" in [estimate_pose]'
        print(f"made {made.file.paths[0]}; use it with {use}")
    if not all(each.good for each in made.drifts):
        say(
            f"8 bits are too coarse for this network (at most {MOST_PIXELS:g} px and"
            f" {100 * MOST_LOST:.0f} % of people): give pictures of the room with --calibrate, or"
            " leave --precision out"
        )
    return 0


def _state_of(model: ListedModel) -> str:
    if not model.present:
        use = f"for {model.purpose}; " if model.purpose else ""
        return f"not here; {use}{model.size / 1e6:.1f} MB, {model.licence}, from {model.path}"
    unknown = model.form == "checkpoint" and model.trust == "new"
    trust = "not opened: nobody has vouched for it" if unknown else model.trust
    return f"{model.form}, {model.size / 1e6:.1f} MB, {trust}, {model.path}"


def _verdict_of(verdict: Verdict) -> str:
    if verdict.state == "changed":
        return f"CHANGED: {verdict.path} has {verdict.found[:12]}…, noted {verdict.expected[:12]}…"
    return f"{verdict.state}: {verdict.path}"
