"""`crowdstream analyze`: the movement of recorded video."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path
from typing import Any

from crowdstream.commands import (
    add_config,
    add_json,
    print_json,
    say,
    subcommand,
    the_config,
    the_model,
)
from crowdstream.commands.line import LiveLine
from crowdstream.config import places_of
from crowdstream.errors import CrowdstreamError, StageFailed, UsageError
from crowdstream.log import close_log, configure_log, get_log
from crowdstream.warm import prepare_caches


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "analyze", what="measure the movement of recorded video",
        example="crowdstream analyze party.mp4 --out out/ --json",
    )  # fmt: skip
    parser.add_argument("video", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="default: out")
    parser.add_argument("--fps", type=float, metavar="N", help="analyse at most so many a second")
    parser.add_argument("--model", metavar="NAME|PATH|none", help="the pose model")
    parser.add_argument(
        "--no-pictures", action="store_true", help="only the lines, no page or plot"
    )
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="OUT.mp4",
        help="also draw the movement as a video: people, flow and energy on black; one VIDEO only",
    )
    parser.add_argument(
        "--with-picture",
        action="store_true",
        help="draw the overlay on the picture itself: that video shows the people",
    )
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """One summary object per video; the worst exit code of all."""
    if arguments.fps is not None and not 0.5 <= arguments.fps <= 240:
        raise UsageError(f"--fps: {arguments.fps} is not between 0.5 and 240")
    _check_overlay(arguments)
    config = the_config(arguments, quiet=True)
    places = places_of(config)
    prepare_caches(places)
    if arguments.model is not None:
        the_model(arguments.model, config)
    configure_log("warning", "console", sys.stderr)
    from crowdstream.offline.analyze import analyze_video

    line = LiveLine(sys.stderr) if sys.stderr.isatty() else None
    worst = 0
    names = _names(arguments.video)
    try:
        for video in arguments.video:
            shown = [0.0]

            def progress(seconds: float, video: Path = video, shown: list[float] = shown) -> None:
                if line is not None and seconds >= shown[0]:
                    shown[0] = seconds + 0.5
                    line.show(f"{video.name}: {seconds:6.1f} s")

            lines = arguments.out / f"{names[video]}.jsonl"
            try:
                summary = asyncio.run(
                    analyze_video(
                        video,
                        config=config,
                        places=places,
                        log=get_log("analyze"),
                        lines=lines,
                        fps=arguments.fps,
                        model=arguments.model,
                        overlay=arguments.overlay,
                        with_picture=arguments.with_picture,
                        progress=progress,
                    )
                )
            except StageFailed as failure:
                cause = failure.__cause__
                failed = cause if isinstance(cause, CrowdstreamError) else failure
                worst = max(worst, failed.exit_code)
                if line is not None:
                    line.end()
                say(f"crowdstream analyze: {failed}")
                continue
            if line is not None:
                line.end()
            if not arguments.no_pictures:
                _draw(lines, arguments.out / names[video], video)
            if arguments.json:
                print_json(summary)
            else:
                _print(summary)
    finally:
        close_log()
    return worst


def _check_overlay(arguments: argparse.Namespace) -> None:
    """What cannot be meant is said before anything is looked at."""
    out: Path | None = arguments.overlay
    if out is None:
        if arguments.with_picture:
            raise UsageError("--with-picture: is for --overlay OUT.mp4; name the video to write")
        return
    if len(arguments.video) > 1:
        raise UsageError(
            f"--overlay: draws one VIDEO, and {len(arguments.video)} are named; call it once for"
            " each"
        )
    if out.suffix.lower() != ".mp4":
        raise UsageError(f"--overlay: {out}: give it a name that ends in .mp4")
    if out.resolve() == arguments.video[0].resolve():
        raise UsageError(f"--overlay: {out} is the VIDEO itself; give the overlay another name")


def _draw(lines: Path, stem: Path, video: Path) -> None:
    from crowdstream.offline.page import write_page
    from crowdstream.offline.picture import write_picture
    from crowdstream.offline.show import read_show

    show = read_show(lines)
    write_page(
        show, Path(f"{stem}.html"), mix=None, plain=None, title=video.name,
        command=f"crowdstream analyze {video}", seed=None,
    )  # fmt: skip
    write_picture(show, Path(f"{stem}.png"))


def _names(videos: list[Path]) -> dict[Path, str]:
    """A file name for each video's results; two videos of one name do not share it."""
    names: dict[Path, str] = {}
    for video in videos:
        base = re.sub(r"[^\w.-]+", "_", video.stem) or "video"
        name, number = base, 2
        while name in names.values() and video not in names:
            name, number = f"{base}-{number}", number + 1
        names.setdefault(video, name)
    return names


def _print(summary: dict[str, Any]) -> None:
    energy, people = summary["energy"], summary["people"]

    def number(value: float | None, digits: int = 2) -> str:
        return "unknown" if value is None else f"{value:.{digits}f}"

    print(
        f"{summary['video']}: {number(summary['seconds'], 1)} s at {number(summary['fps'], 1)} fps"
    )
    print(
        f"  energy {number(energy['mean'])} (p10 {number(energy['p10'])},"
        f" p90 {number(energy['p90'])}), confidence {number(energy['confidence'])},"
        f" eyes {' and '.join(summary['eyes']) or 'none'}"
    )
    most = "" if people["max"] is None else f" (at most {people['max']})"
    print(
        f"  people {number(people['median'], 0)}{most},"
        f" movement {number(summary['movement']['body_lengths_per_second'])} body lengths a second"
    )
    print(
        f"  tempo {number(summary['tempo']['min'], 1)} to {number(summary['tempo']['max'], 1)} BPM,"
        f" analysed at {number(summary['frames_per_second'], 0)} pictures a second"
    )
    if "overlay" in summary:
        print(f"  overlay {summary['overlay']}")
