"""`crowdstream render`: a mix from a drawn energy curve."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crowdstream.commands import add_config, add_json, print_json, say, subcommand, the_config
from crowdstream.commands.line import LiveLine, bar, stems
from crowdstream.config import places_of
from crowdstream.errors import CrowdstreamError, StageFailed, UsageError
from crowdstream.log import close_log, configure_log, get_log
from crowdstream.warm import prepare_caches

if TYPE_CHECKING:
    from crowdstream.packets import Playing


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "render", what="make a mix from a drawn energy curve, to rehearse a show",
        example="crowdstream render --energy night.csv --out night.wav",
    )  # fmt: skip
    parser.add_argument(
        "--energy", type=Path, required=True, metavar="CURVE.csv", help="lines of seconds,energy"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="MIX.wav",
        help="the sound; MIX.json beside it says how it was mixed, to the sample",
    )  # fmt: skip
    parser.add_argument("--library", type=Path, metavar="DIR", help="tracks (default: built in)")
    parser.add_argument("--seconds", type=float, metavar="N", help="default: as long as the curve")
    parser.add_argument("--seed", type=int, metavar="N", help="another seed chooses other tracks")
    parser.add_argument("--rate", type=int, choices=(44100, 48000), help="samples a second")
    parser.add_argument(
        "--block", type=int, metavar="N", help="samples per block; the mix is the same"
    )
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write MIX.wav and MIX.json."""
    if arguments.out.suffix.lower() != ".wav":
        raise UsageError(f"--out: {arguments.out}: give it a name that ends in .wav")
    if arguments.seconds is not None and not 1 <= arguments.seconds <= 86_400:
        raise UsageError(f"--seconds: {arguments.seconds:g} is not between 1 and 86400")
    if arguments.seed is not None and not 0 <= arguments.seed < 2**31:
        raise UsageError(f"--seed: {arguments.seed} is not between 0 and {2**31 - 1}")
    if arguments.block is not None and not 16 <= arguments.block <= 65_536:
        raise UsageError(f"--block: {arguments.block} is not between 16 and 65536")
    if arguments.library is not None and not arguments.library.is_dir():
        raise UsageError(f"--library: {arguments.library} is not a folder")
    from crowdstream.offline.render import RenderSettings, read_curve, render_mix

    curve = read_curve(arguments.energy)
    seconds = arguments.seconds if arguments.seconds is not None else curve[-1][0]
    if seconds < 1.0:
        raise UsageError(
            f"--seconds: {arguments.energy} ends at {seconds:g} s; say how long the mix shall be"
        )
    config = the_config(arguments, quiet=True)
    places = places_of(config)
    prepare_caches(places)
    configure_log("warning", "console", sys.stderr)
    line = LiveLine(sys.stderr) if sys.stderr.isatty() else None
    shown = [0.0]

    def look(playing: Playing) -> None:
        if line is not None and playing.captured_at >= shown[0]:
            shown[0] = playing.captured_at + 0.5
            line.show(_sentence(playing, seconds))

    settings = RenderSettings(
        curve=curve, out=arguments.out, seconds=seconds, library=arguments.library,
        seed=arguments.seed, rate=arguments.rate, block_samples=arguments.block,
    )  # fmt: skip
    try:
        journal = asyncio.run(
            render_mix(settings, config=config, places=places, log=get_log("render"), look=look)
        )
    except StageFailed as failure:
        if isinstance(failure.__cause__, CrowdstreamError):
            raise failure.__cause__ from None
        raise
    finally:
        if line is not None:
            line.end()
        close_log()
    _tell(arguments, journal)
    return 0


def _tell(arguments: argparse.Namespace, journal: dict[str, Any]) -> None:
    if arguments.json:
        print_json(journal)
        return
    for transition in journal["transitions"]:
        at = transition["start_sample"] / journal["rate"]
        print(
            f"{int(at // 60)}:{at % 60:04.1f}  {transition['from']} to {transition['to']},"
            f" {transition['style']}, {transition['beats']:g} beats: {transition['why']}"
        )
    beside = arguments.out.with_suffix(".json")
    length = journal["frames"] / journal["rate"]
    say(f"wrote {arguments.out} ({length:.1f} s) and {beside}")


def _sentence(playing: Playing, seconds: float) -> str:
    share = min(1.0, playing.captured_at / seconds)
    parts = [
        f"{share:4.0%}", f"drive {playing.drive:.2f} {bar(playing.drive)}",
        f"{playing.bpm:.1f} bpm", f"bar {playing.bar}", playing.section, stems(playing.gains),
    ]  # fmt: skip
    return " │ ".join(parts)
