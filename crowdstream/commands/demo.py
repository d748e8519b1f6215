"""`crowdstream demo`: a night in three minutes, and its page."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crowdstream.commands import add_config, say, subcommand
from crowdstream.commands.line import LiveLine, bar, stems
from crowdstream.config import Config, places_of, read_config
from crowdstream.errors import CrowdstreamError, StageFailed, UsageError
from crowdstream.log import close_log, configure_log, get_log
from crowdstream.warm import prepare_caches

if TYPE_CHECKING:
    from crowdstream.offline.demo import DemoResult
    from crowdstream.packets import Energy, Playing


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "demo", what="play a night in three minutes: no camera, no sound card needed",
        example="crowdstream demo --seed 7 --out out/demo",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=180.0, metavar="N", help="default: 180")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--video", type=Path, metavar="FILE", help="a clip instead of drawn people")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write mix.wav, show.jsonl, report.html and report.png."""
    if not 20 <= arguments.seconds <= 3600:
        raise UsageError(f"--seconds: {arguments.seconds:g} is not between 20 and 3600")
    if not 0 <= arguments.seed < 2**31:
        raise UsageError(f"--seed: {arguments.seed} is not between 0 and {2**31 - 1}")
    config = read_config(arguments.config) if arguments.config is not None else Config()
    places = places_of(config)
    prepare_caches(places)
    configure_log("error", "console", sys.stderr)
    say("warming up (the first time this compiles and composes; later it is quick)…")
    from crowdstream.music.compose import builtin_library
    from crowdstream.offline.demo import DemoSettings, play_demo

    line = LiveLine(sys.stderr) if sys.stderr.isatty() else None

    def composing(what: str, share: float) -> None:
        text = f"composing the built-in music: {bar(share, 20)} {what}"
        if line is not None:
            line.show(text)

    builtin_library(places.cache / "music", progress=composing)
    shown = [-1.0]

    def look(energy: Energy | None, playing: Playing | None, share: float | None) -> None:
        if line is not None:
            line.show(_sentence(energy, playing, share))
        elif _progress(playing, share) >= shown[0] + 0.1:
            shown[0] = _progress(playing, share)
            say(_sentence(energy, playing, share))

    settings = DemoSettings(
        seconds=arguments.seconds, out=arguments.out, seed=arguments.seed, video=arguments.video,
        command=_command(arguments),
    )  # fmt: skip
    try:
        result = asyncio.run(
            play_demo(
                settings,
                config=config,
                places=places,
                log=get_log("demo"),
                look=look,
                say=line.show if line is not None else say,
            )  # fmt: skip
        )
    except StageFailed as failure:
        if isinstance(failure.__cause__, CrowdstreamError):
            raise failure.__cause__ from None
        raise
    finally:
        if line is not None:
            line.end()
        close_log()
    for sentence in five_lines(result, arguments.out):
        print(sentence)
    return 0


def five_lines(result: DemoResult, out: Path) -> list[str]:
    """What happened, in five lines."""
    if result.answer_seconds is None:
        answer = "the crowd never rose, and the music had nothing to answer"
    elif math.isinf(result.answer_seconds):
        answer = "the music did not answer within 30 s"
    else:
        answer = f"the music answered within {result.answer_seconds:.1f} s"
    lufs = "unknown" if result.integrated_lufs is None else f"{result.integrated_lufs:.1f} LUFS"
    minutes, seconds = divmod(int(result.peak_at), 60)
    return [
        f"peak: energy {result.peak_energy:.2f} at {minutes}:{seconds:02d}; {answer}",
        f"{result.transitions} transitions from track to track",
        f"loudness {lufs}, true peak {result.true_peak_db:.1f} dBTP",
        f"open {out / 'report.html'} in a browser (the sound is inside), or {out / 'report.png'}",
        "next: make demo VIDEO=party.mp4, or crowdstream run --source party.mp4",
    ]


def _progress(playing: Playing | None, share: float | None) -> float:
    """How far it is: a share, or, where the length is not known, tenths of minutes."""
    if share is not None:
        return share
    return playing.captured_at / 60.0 if playing is not None else 0.0


def _sentence(energy: Energy | None, playing: Playing | None, share: float | None) -> str:
    at = playing.captured_at if playing is not None else 0.0
    parts = [f"{share:4.0%}" if share is not None else f"{at:.0f} s"]
    if energy is not None:
        people = "?" if energy.people is None else str(energy.people)
        parts.append(f"{people} people")
        parts.append(f"energy {energy.level:.2f} {bar(energy.level)}")
    if playing is not None:
        parts.append(f"{playing.bpm:.1f} bpm")
        parts.append(f"bar {playing.bar}")
        parts.append(playing.section)
        parts.append(stems(playing.gains))
        if playing.next is not None and playing.bars_to_next is not None:
            parts.append(f"next: {playing.next} in {playing.bars_to_next} bars")
    return " │ ".join(parts)


def _command(arguments: argparse.Namespace) -> str:
    words = ["crowdstream", "demo", f"--seed {arguments.seed}"]
    if arguments.video is not None:
        words.append(f"--video {arguments.video.name}")
    else:
        words.append(f"--seconds {arguments.seconds:g}")
    return " ".join(words)
