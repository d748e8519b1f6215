"""`crowdstream separate`: the stems of a track."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType
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
from crowdstream.errors import CrowdstreamError, UsageError
from crowdstream.models import ModelMissing
from crowdstream.warm import prepare_caches

if TYPE_CHECKING:
    from crowdstream.music.separated import Quality
    from crowdstream.offline.separate import Method, Separation
    from crowdstream.stage import Places

QUALITIES: Final = ("fast", "high", "best")

_LINE_SECONDS: Final = 0.25


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "separate",
        what="make stems of a track: drums, bass, vocals and other, that add up to it",
        example="crowdstream separate song.flac --quality high --out stems",
    )  # fmt: skip
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO")
    parser.add_argument(
        "--quality", choices=QUALITIES,
        help="fast needs no model, and its stems bleed; high and best need demucs and its weights"
        " (default: high where those are here, else fast)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("out/stems"), metavar="DIR",
        help="a folder for each track is made in it (default: out/stems)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=_count, metavar="N",
        help="work on so many cores (default: all, as far as memory goes)",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="NAME|PATH.th", help="weights of an HTDemucs other than the known ones"
    )
    parser.add_argument(
        "--trust", action="store_true",
        help="open a .th that the manifest does not know, and note its hash",
    )  # fmt: skip
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """One line, or one object, per track; the worst exit code of all."""
    places = places_of(the_config(arguments, quiet=True))
    prepare_caches(places)
    method = _method(arguments, places)
    from crowdstream.offline.separate import opened

    worst = 0
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with opened(method):
            for audio in arguments.audio:
                try:
                    _separate(audio, method, arguments)
                except CrowdstreamError as failed:
                    worst = max(worst, failed.exit_code)
                    say(f"crowdstream separate: {failed}")
                    if failed.exit_code == 78:
                        break  # it is the same for all that follow
    finally:
        signal.signal(signal.SIGTERM, before)
    return worst


def _separate(audio: Path, method: Method, arguments: argparse.Namespace) -> None:
    from crowdstream.offline.separate import separate

    line = LiveLine(sys.stderr) if sys.stderr.isatty() else None
    shown_at = 0.0

    def progress(done: float, total: float) -> None:
        nonlocal shown_at
        due = time.monotonic() >= shown_at + _LINE_SECONDS or done >= total
        if line is not None and due:
            shown_at = time.monotonic()
            line.show(f"{audio.name} {bar(done / total, 20)} {done:.0f} of {total:.0f} s")

    if line is not None:
        line.show(f"{audio.name}: reading")
    try:
        done = separate(audio, arguments.out, method, progress=progress)
    finally:
        if line is not None:
            line.end()
    if arguments.json:
        print_json(_facts(audio, done))
    else:
        print(_sentence(audio, done))


def _method(arguments: argparse.Namespace, places: Places) -> Method:
    """How to separate, as the command line says or as this machine can."""
    quality: str | None = arguments.quality
    if quality == "fast" and (arguments.model or arguments.trust):
        raise UsageError("--model and --trust are for high and best: fast needs no weights")
    if quality == "best" and arguments.model:
        raise UsageError("--model is for high: best is made of the four that the manifest names")
    from crowdstream.offline.separate import Fast, WithModel
    from crowdstream.offline.separate_demucs import (
        NOT_INSTALLED,
        can_run,
        find_weights,
        jobs_for,
    )

    if quality is None and not arguments.model:
        try:
            weights = find_weights("high", places.models, places.state)
        except ModelMissing:
            why = "the weights of htdemucs are not here (crowdstream models pull htdemucs)"
        else:
            if can_run():
                return WithModel("high", weights, arguments.jobs)
            why = NOT_INSTALLED
        say(f"quality fast, whose stems bleed, for {why}")
        quality = "fast"
    if quality == "fast":
        return Fast(jobs_for(0, arguments.jobs))
    chosen: Quality = "best" if quality == "best" else "high"
    weights = find_weights(
        chosen, places.models, places.state, model=arguments.model, trusted=arguments.trust
    )
    for each in weights:
        if arguments.trust and not each.pinned:
            say(f"{each.path} is opened because you trust it: SHA-256 {each.sha256}")
    return WithModel(chosen, weights, arguments.jobs)


def _facts(audio: Path, done: Separation) -> dict[str, Any]:
    from crowdstream.music.separated import FILES

    separated = done.separated
    return {
        "audio": str(audio), "folder": str(done.folder), "made": done.made,
        "quality": separated.quality, "method": separated.method, "sha256": separated.sha256,
        "seconds": round(separated.seconds, 3), "samples": separated.samples,
        "rate": separated.rate, "channels": separated.channels, "bits": separated.bits,
        "stems": {stem: str(done.folder / name) for stem, name in FILES.items()},
        "error_db": _rounded(done.error_db), "moved_into_other_db": _rounded(done.moved_db),
        "seconds_taken": round(done.seconds_taken, 2),
    }  # fmt: skip


def _sentence(audio: Path, done: Separation) -> str:
    quality = done.separated.quality
    if not done.made:
        return f"{audio.name}: nothing to do, its {quality} stems are in {done.folder}"
    speed = done.separated.seconds / max(done.seconds_taken, 1e-3)
    said = f"{audio.name}: {quality} stems in {done.folder} ({speed:.1f} times real time)"
    if quality == "fast":
        said += "; they bleed: not to be heard alone"
    elif done.moved_db is not None:
        said += f"; what no stem wanted ({done.moved_db:.0f} dB) is in other"
    return said


def _rounded(decibels: float | None) -> float | None:
    return None if decibels is None else round(decibels, 1)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 256:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 256")
    return count


def _end(number: int, _: FrameType | None) -> None:
    """An end that is asked for leaves nothing half done, like Ctrl-C."""
    raise SystemExit(128 + number)
