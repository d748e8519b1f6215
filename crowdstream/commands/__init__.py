"""The commands, one module each: `add` declares its options, `run` does it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from crowdstream.config import (
    SYSTEM_CONFIG,
    Config,
    find_config,
    places_of,
    read_config,
    with_learned,
)


def subcommand(subcommands: Any, name: str, *, what: str, example: str) -> argparse.ArgumentParser:
    """A parser for one command, with an example in its help."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name,
        help=what,
        description=what[:1].upper() + what[1:] + ".",
        epilog=f"example: {example}",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`, for every command that reads one."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE",
        help=f"the configuration (default: {SYSTEM_CONFIG}, else config.toml here)",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`, for every command that prints data."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def the_config(arguments: argparse.Namespace, *, quiet: bool = False) -> Config:
    """Read the configuration that counts; say which, and warn of another one here."""
    config = with_learned(read_config(the_path(arguments, quiet=quiet)))
    if config.learned_warning:
        say(f"warning: {config.learned_warning}")
    return config


def the_path(arguments: argparse.Namespace, *, quiet: bool = False) -> Path | None:
    """The configuration that counts; say which, and warn of another one here."""
    path = find_config(arguments.config)
    here = Path("config.toml")
    if not quiet:
        say(f"configuration: {path if path is not None else 'none found, defaults'}")
        if path is not None and here.is_file() and here.resolve() != path.resolve():
            say(f"note: {here.resolve()} is not read, for {path} comes first")
    return path


def the_model(name: str, config: Config) -> str:
    """The model that the command line names; it must be there.

    Raises:
        ModelMissing: it is not.
        ConfigError: it is nothing that may be loaded.
        MediaError: it is no whole pose model.
    """
    if name not in ("none", "auto"):
        from crowdstream.models import find_model, look_through, read_bytes

        pickles = config.stages.get("estimate_pose", {}).get("backend") == "ultralytics"
        file = find_model(name, places_of(config).models, pickles=pickles)
        # Told before anything is started: a short run could end before a model is opened.
        look_through(name, file, [read_bytes(path) for path in file.paths])
    return name


def say(text: str) -> None:
    """Something for the person, not for the script: on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_json(data: Any) -> None:
    """Data for the script: on stdout."""
    print(json.dumps(data, ensure_ascii=False, allow_nan=False, default=str), flush=True)
