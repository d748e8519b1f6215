"""Figures of a running daemon: how old what is sent is, and what its player weighs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

from crowdstream.errors import CrowdstreamError
from crowdstream.offline.bench import Row, Say, row

SECONDS: Final = 25.0
PLAYS_SECONDS: Final = 60.0
PLAYER_MOST_MB: Final = 300.0
GOALS_MS: Final = {"motion": 15.0, "pose": 60.0}


def live_rows(say: Say) -> list[Row]:
    """Latency of both eyes, 95 %, while the player plays; pose only where a model is found.

    The clip is the first of the assets (`CROWDSTREAM_ASSETS`), or the drawn crowd; the model is
    the assets' int8 network, or what `auto` finds.
    """
    assets = Path(os.environ.get("CROWDSTREAM_ASSETS", "../shared/assets"))
    clip = assets / "video" / "three_dancers_studio.mp4"
    network = assets / "pose" / "yolov8n-pose_int8_openvino_model"
    source = str(clip) if clip.exists() else "crowd:n=12,fps=30"
    model = ["--model", str(network)] if network.exists() else []
    say(f"a daemon that plays, {SECONDS:g} s…")
    status = _run(source, model, SECONDS)
    rows = []
    for eye, goal in GOALS_MS.items():
        told = _stage(status, "measure_energy")["latency"].get(eye)
        if told is None:
            say(f"no {eye}: no such row (crowdstream models add)")
            continue
        case = f"{Path(source).name} at 30 a second, player playing"
        rows.append(
            row(f"latency_{eye}_p95", case, told["p95"], "ms", goal=goal, met=told["p95"] <= goal)
        )
    return rows


def player_memory_rows(say: Say) -> list[Row]:
    """What the player holds beside the decoded tracks that it has mapped."""
    say(f"the memory of a daemon's player, {PLAYS_SECONDS:g} s…")
    weights: list[float] = []

    def watch(daemon: int) -> None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(daemon).children():
                if child.cmdline()[-1:] == ["player"]:
                    parts = child.memory_maps(grouped=True)
                    own = sum(one.pss for one in parts if not one.path.endswith(".pcm"))
                    weights.append(own / 1e6)

    _run("crowd:n=12,fps=30", ["--model", "none"], PLAYS_SECONDS, watch)
    most = max(weights, default=0.0)
    return [
        row("memory_of_the_player", "beside its mapped tracks, most", most, "MB PSS",
            goal=PLAYER_MOST_MB, met=0.0 < most <= PLAYER_MOST_MB),
    ]  # fmt: skip


def _stage(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in status["stages"] if each["name"] == name)
    return found


def _run(
    source: str, model: list[str], seconds: float, watch: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """The last status of a daemon that ran for so long; meanwhile `watch` is told its pid."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "status.json"
        environment = {**os.environ, "CROWDSTREAM_RUNTIME": folder}
        command = [
            sys.executable, "-m", "crowdstream", "run", "--source", source, *model,
            "--for", f"{seconds:g}",
        ]  # fmt: skip
        daemon = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        newest: dict[str, Any] | None = None
        while daemon.poll() is None:
            time.sleep(0.5)
            watch(daemon.pid)
            if told.exists():
                newest = json.loads(told.read_text())
        assert daemon.stderr is not None
        said = daemon.stderr.read()
    if daemon.returncode != 0 or newest is None:
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        raise CrowdstreamError(
            f"the daemon to be measured ended with {daemon.returncode}: {last[0]}"
        )
    return newest
