"""`crowdstream calibrate`: learn what little and much movement look like in this room."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream.clock import SystemClock
from crowdstream.commands import add_config, add_json, print_json, say, subcommand, the_config
from crowdstream.commands.line import LiveLine
from crowdstream.config import Config, places_of
from crowdstream.daemon import runtime_folder
from crowdstream.errors import Busy, CrowdstreamError, DeviceError, StageFailed, UsageError
from crowdstream.learned import ANCHORS, STAGE, write_learned
from crowdstream.log import close_log, configure_log, get_log
from crowdstream.warm import prepare_caches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crowdstream.dsp.energy import Anchors

PHASES: Final = {
    "low": "stand still, as a crowd does that listens",
    "high": "dance, as at the best moment of a night",
}

LEAST_NIGHT: Final = 600
"""Moments of a recorded night: one minute of them."""

LEAST_PHASE: Final = 30
"""Measurements of each phase: eyes make ten to sixty a second."""

LEAST_STATUS: Final = 5
"""The same of a daemon's status, which is written once a second."""


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "calibrate",
        what="learn what little and much movement look like in this room",
        example="crowdstream calibrate --low 20 --high 30   (or --from night.jsonl)",
    )  # fmt: skip
    parser.add_argument(
        "--low", type=float, default=20.0, metavar="SECONDS", help="of standing still (default: 20)"
    )
    parser.add_argument(
        "--high", type=float, default=30.0, metavar="SECONDS", help="of dancing (default: 30)"
    )
    parser.add_argument(
        "--from", dest="night", type=Path, metavar="SHOW.jsonl", help="learn from a recorded night"
    )
    parser.add_argument(
        "--source", metavar="URI", help="look through this camera or file (default: as configured)"
    )
    parser.add_argument("--yes", action="store_true", help="write without asking, for scripts")
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, show old and new, ask, write."""
    for option in ("low", "high"):
        if not 2.0 <= getattr(arguments, option) <= 3600.0:
            raise UsageError(f"--{option}: {getattr(arguments, option):g} is not 2 to 3600 seconds")
    if arguments.night is not None and arguments.source is not None:
        raise UsageError("--from and --source: give one of them, a recorded night or a camera")
    if not arguments.yes and not sys.stdin.isatty():
        raise UsageError("asks before it writes, and this is no terminal; add --yes")
    config = the_config(arguments, quiet=arguments.json)
    prepare_caches(places_of(config))
    from crowdstream.dsp.anchors import NotLearned, from_night, from_phases

    try:
        if arguments.night is not None:
            from crowdstream.offline.calibrate import speeds_of_night

            speeds = speeds_of_night(arguments.night)
            anchors, source = from_night(speeds, LEAST_NIGHT), arguments.night.name
        else:
            low, high, least, source = _measured(arguments, config)
            import numpy as np

            anchors, speeds = from_phases(low, high, least), np.concatenate([low, high])
    except NotLearned as why:
        raise CrowdstreamError(f"{why}; nothing was written") from None
    return _settle(arguments, config, anchors, speeds, source)


def _measured(
    arguments: argparse.Namespace, config: Config
) -> tuple[NDArray[np.float64], NDArray[np.float64], int, str]:
    """v of both phases, how many of each are enough, and where they come from."""
    phases = [("low", arguments.low), ("high", arguments.high)]
    line = LiveLine(sys.stderr) if sys.stderr.isatty() else None
    told: set[str] = set()

    def tell(phase: str, left: float) -> None:
        if line is not None:
            line.show(f"{PHASES[phase]}: {left:3.0f} s")
        elif phase not in told:
            told.add(phase)
            say(f"{PHASES[phase]}: {left:.0f} s")

    running = _running_daemon()
    try:
        if running is not None and arguments.source is None:
            low, high = (_from_status(name, seconds, tell) for name, seconds in phases)
            return low, high, LEAST_STATUS, "the running daemon"
        from crowdstream.commands.source import source_of
        from crowdstream.offline.calibrate import measure_phases, plan_of_eyes

        source = None
        if arguments.source is not None:
            source = source_of(arguments.source, once=False)
            if source[0] == "camera" and running is not None:
                raise Busy(
                    f"a crowdstream runs already (process {running}) and holds the camera; leave"
                    " --source away to learn through it, or stop it"
                )
        configure_log("error", "console", sys.stderr)
        try:
            plan = plan_of_eyes(config, source)
            low, high = asyncio.run(
                measure_phases(
                    plan, phases, places=places_of(config), log=get_log("calibrate"), tell=tell
                )
            )
        except StageFailed as failure:
            raise DeviceError(str(failure.__cause__ or failure)) from None
        finally:
            close_log()
        return low, high, LEAST_PHASE, arguments.source or "the configured camera"
    finally:
        if line is not None:
            line.end()


def _status() -> dict[str, Any] | None:
    """What the running daemon wrote last; None where none runs."""
    try:
        facts = json.loads((runtime_folder() / "status.json").read_text(encoding="utf-8"))
        os.kill(int(facts["pid"]), 0)
    except PermissionError:
        return facts if isinstance(facts, dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if isinstance(facts, dict) else None


def _running_daemon() -> int | None:
    facts = _status()
    return int(facts["pid"]) if facts is not None else None


def _from_status(phase: str, seconds: float, tell: Any) -> NDArray[np.float64]:
    """v out of a daemon's status, once a second."""
    import numpy as np

    found: list[float] = []
    end = time.monotonic() + seconds
    seen_at: object = None
    while (left := end - time.monotonic()) > 0.0:
        tell(phase, left)
        time.sleep(min(1.0, left))
        facts = _status()
        if facts is None:
            raise CrowdstreamError("the daemon ended meanwhile; nothing was written")
        energy = facts.get("energy")
        if not isinstance(energy, dict) or facts.get("at") == seen_at:
            continue
        seen_at = facts.get("at")
        if "speed" not in energy:
            raise Busy(
                "the running daemon is older and does not say how fast people move; stop it, then"
                " calibrate"
            )
        if energy.get("eyes") and energy.get("people") != 0 and energy.get("state") == "ok":
            found.append(float(energy["speed"]))
    return np.array(found, np.float64)


def _settle(
    arguments: argparse.Namespace,
    config: Config,
    anchors: Anchors,
    speeds: NDArray[np.float64],
    source: str,
) -> int:
    """Show, ask, write."""
    from crowdstream.dsp.energy import Anchors, energy_of

    set_here = {k: v for k, v in config.stages.get(STAGE, {}).items() if k in ANCHORS}
    old = Anchors(**{**Anchors()._asdict(), **config.learned, **set_here})
    import numpy as np

    points = [float(np.percentile(speeds, share)) for share in (10, 50, 90)]
    made = {
        name: [round(energy_of(point, curve), 2) for point in points]
        for name, curve in (("old", old), ("new", anchors))
    }
    show = say if arguments.json else print
    show(
        "body lengths a second      still   half   full    energy of the quiet, middle, best tenth"
    )
    for name, curve in (("old", old), ("new", anchors)):
        numbers = "".join(f"{value:7.2f}" for value in curve)
        energies = "  ".join(f"{value:.2f}" for value in made[name])
        show(f"  {name}                  {numbers}    {energies}")
    for key in set_here:
        show(f"note: {config.path} sets {key} of [{STAGE}], which counts more than what is learned")
    written = arguments.yes or _agreed()
    backup = None
    if written:
        backup = write_learned(
            places_of(config).state,
            anchors._asdict(),
            learned_at=SystemClock().local_time().isoformat(timespec="seconds"),
            source=source,
        )
        show(
            f"written: {places_of(config).state / 'learned.toml'}"
            + (f" (the old one: {backup.name})" if backup is not None else "")
            + "; a daemon takes it at its next start"
        )
    else:
        show("nothing was written")
    if arguments.json:
        print_json(
            {
                "old": old._asdict(), "new": anchors._asdict(), "energy": made,
                "written": written, "moments": int(speeds.size), "source": source,
            }
        )  # fmt: skip
    return 0


def _agreed() -> bool:
    try:
        return input("take the new ones? [y/N] ").strip().lower() in ("y", "yes", "j", "ja")
    except EOFError:
        return False
