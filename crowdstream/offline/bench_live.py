"""Figures of a running daemon: how old what is sent is, and what its player weighs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from crowdstream.errors import CrowdstreamError
from crowdstream.offline.bench import Row, Say, row

SECONDS: Final = 25.0
PLAYS_SECONDS: Final = 60.0
PLAYER_MOST_MB: Final = 300.0
GOALS_MS: Final = {"motion": 15.0, "pose": 60.0}

Watch = Callable[[int, dict[str, Any] | None], None]


def live_rows(say: Say) -> list[Row]:
    """Latency of both eyes, 95 %, while the player plays; pose only where a model is found.

    The clip is the first of the assets (`CROWDSTREAM_ASSETS`), or the drawn crowd; the model is
    the assets' int8 network, or what `auto` finds.
    """
    show = a_show()
    say(f"a daemon that plays, {SECONDS:g} s…")
    status = run_daemon(show, SECONDS)
    rows = []
    for eye, goal in GOALS_MS.items():
        told = _stage(status, "measure_energy")["latency"].get(eye)
        if told is None:
            say(f"no {eye}: no such row (crowdstream models add)")
            continue
        case = f"{Path(show[1]).name} at 30 a second, player playing"
        rows.append(
            row(f"latency_{eye}_p95", case, told["p95"], "ms", goal=goal, met=told["p95"] <= goal)
        )
    return rows


def player_memory_rows(say: Say) -> list[Row]:
    """What the player holds beside the decoded tracks that it has mapped."""
    say(f"the memory of a daemon's player, {PLAYS_SECONDS:g} s…")
    weights: list[float] = []

    def watch(daemon: int, _: object) -> None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(daemon).children():
                if child.cmdline()[-1:] == ["player"]:
                    parts = child.memory_maps(grouped=True)
                    own = sum(one.pss for one in parts if not one.path.endswith(".pcm"))
                    weights.append(own / 1e6)

    options = ("--source", "crowd:n=12,fps=30", "--model", "none")
    run_daemon(options, PLAYS_SECONDS, watch=watch)
    most = max(weights, default=0.0)
    return [
        row("memory_of_the_player", "beside its mapped tracks, most", most, "MB PSS",
            goal=PLAYER_MOST_MB, met=0.0 < most <= PLAYER_MOST_MB),
    ]  # fmt: skip


def _stage(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in status["stages"] if each["name"] == name)
    return found


def a_show() -> list[str]:
    """Options for `run`: the first clip and the network of the assets, or what there is."""
    assets = Path(os.environ.get("CROWDSTREAM_ASSETS", "../shared/assets"))
    clip = assets / "video" / "three_dancers_studio.mp4"
    network = assets / "pose" / "yolov8n-pose_int8_openvino_model"
    source = str(clip) if clip.exists() else "crowd:n=12,fps=30"
    return ["--source", source, *(["--model", str(network)] if network.exists() else [])]


def run_daemon(
    options: Sequence[str], seconds: float, *, watch: Watch | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The last status of a daemon that ran for so long.

    Twice a second `watch` is told its pid and its newest status, if it has written one.

    Raises:
        CrowdstreamError: it ended otherwise, with its last words.
    """
    # A file, not a pipe: nobody reads what it says before the end, and it must not fill up.
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as words:
        told = Path(folder) / "status.json"
        command = [
            sys.executable, "-m", "crowdstream", "run", *options, "--for", f"{seconds:g}",
        ]  # fmt: skip
        daemon = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=words, text=True,
            env={**os.environ, "CROWDSTREAM_RUNTIME": folder, **(environment or {})},
        )  # fmt: skip
        newest: dict[str, Any] | None = None
        try:
            while daemon.poll() is None:
                time.sleep(0.5)
                with contextlib.suppress(FileNotFoundError):
                    newest = json.loads(told.read_text())
                if watch is not None:
                    watch(daemon.pid, newest)
        finally:
            if daemon.poll() is None:  # whoever watches has failed
                daemon.kill()
                daemon.wait()
        words.seek(0)
        said = words.read()
    if daemon.returncode != 0 or newest is None:
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        raise CrowdstreamError(
            f"the daemon to be measured ended with {daemon.returncode}: {last[0]}"
        )
    return newest
