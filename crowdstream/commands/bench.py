"""`crowdstream bench`: the measurements behind the README's numbers, each beside its rival."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from crowdstream.commands import add_json, print_json, say, subcommand
from crowdstream.config import Config, places_of
from crowdstream.errors import UsageError
from crowdstream.offline.bench import BENCHES, run_bench
from crowdstream.settings import nearest
from crowdstream.warm import prepare_caches


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "bench", what="measure the numbers that the README states",
        example="crowdstream bench spine --json",
    )  # fmt: skip
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"one of: {', '.join(BENCHES)}")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one object, or one table, per bench."""
    for name in arguments.name:
        if name not in BENCHES:
            raise UsageError(f"no bench is called {name}{nearest(name, BENCHES)}")
    prepare_caches(places_of(Config()))
    for name in arguments.name or BENCHES:
        rows = run_bench(name, say)
        result = {"bench": name, "machine": machine(), "rows": rows}
        if arguments.json:
            print_json(result)
        else:
            print(f"{name} on {json.dumps(machine())}")
            for row in rows:
                beside = "" if row["rival"] is None else f"   {row['rival']}: {row['rival_value']}"
                met = "met" if row["met"] else "NOT met"
                goal = "" if row["goal"] is None else f"   goal {row['goal']}: {met}"
                what = f"{row['what']:<28} {row['case']:<34}"
                print(f"  {what} {row['value']:>10} {row['unit']}{beside}{goal}")
    return 0


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
