"""`crowdstream listen`: a page of excerpts, to judge the player by ear."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from crowdstream.commands import add_config, say, subcommand
from crowdstream.config import Config, places_of, read_config
from crowdstream.errors import CrowdstreamError, StageFailed, UsageError
from crowdstream.log import close_log, configure_log, get_log
from crowdstream.warm import prepare_caches


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "listen",
        what="make a page of excerpts: every transition style and rule, to judge by ear",
        example="crowdstream listen --out out/listen.html",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/listen.html"), metavar="PAGE.html")
    parser.add_argument("--library", type=Path, metavar="DIR", help="tracks (default: built in)")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the page; 1 where something that it is for did not happen."""
    if arguments.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out: {arguments.out}: give it a name that ends in .html")
    if arguments.library is not None and not arguments.library.is_dir():
        raise UsageError(f"--library: {arguments.library} is not a folder")
    config = read_config(arguments.config) if arguments.config is not None else Config()
    places = places_of(config)
    prepare_caches(places)
    configure_log("error", "console", sys.stderr)
    from crowdstream.offline.listen import write_listening_page

    try:
        count, missing = asyncio.run(
            write_listening_page(
                arguments.out, config=config, places=places, log=get_log("listen"), say=say,
                library=arguments.library,
            )
        )  # fmt: skip
    except StageFailed as failure:
        if isinstance(failure.__cause__, CrowdstreamError):
            raise failure.__cause__ from None
        raise
    finally:
        close_log()
    print(f"{count} excerpts; open {arguments.out} in a browser (the sound is inside)")
    for title in missing:
        print(f"did not happen in this music: {title}")
    return 1 if missing else 0
