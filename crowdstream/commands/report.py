"""`crowdstream report`: the page of a night that was recorded."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from crowdstream.commands import say, subcommand


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "report", what="make page, picture and set list of a recorded show",
        example="crowdstream report night.jsonl --out night/",
    )  # fmt: skip
    parser.add_argument("show", type=Path, metavar="SHOW.jsonl")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: beside it)")
    parser.add_argument("--mix", type=Path, metavar="WAV", help="put this sound into the page")


def run(arguments: argparse.Namespace) -> int:
    """Write report.html, report.png and setlist.csv."""
    from crowdstream.offline.page import write_page
    from crowdstream.offline.picture import write_picture
    from crowdstream.offline.show import read_show, write_setlist

    show = read_show(arguments.show)
    out = arguments.out if arguments.out is not None else arguments.show.parent
    meta = show.meta
    seed = meta.get("seed")
    # Made elsewhere first: where one of them fails, no half of a report is left behind.
    with tempfile.TemporaryDirectory(prefix="crowdstream-") as name:
        made = Path(name)
        write_page(
            show,
            made / "report.html",
            mix=arguments.mix,
            plain=None,
            title=arguments.show.stem,
            command=str(meta.get("command", "")),
            seed=seed if isinstance(seed, int) else None,
        )
        write_picture(show, made / "report.png")
        write_setlist(show, made / "setlist.csv")
        out.mkdir(parents=True, exist_ok=True)
        for file in ("report.html", "report.png", "setlist.csv"):
            shutil.copyfile(made / file, out / file)
            say(f"wrote {out / file}")
    return 0
