"""How old what is sent is: from the picture to the Energy that rests on it, in a running daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from crowdstream.errors import CrowdstreamError
from crowdstream.offline.bench import Row, Say, row

SECONDS: Final = 25.0
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
    status = _run(source, model)
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


def _stage(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in status["stages"] if each["name"] == name)
    return found


def _run(source: str, model: list[str]) -> dict[str, Any]:
    """The last status of a daemon that ran for SECONDS."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "status.json"
        environment = {**os.environ, "CROWDSTREAM_RUNTIME": folder}
        command = [
            sys.executable, "-m", "crowdstream", "run", "--source", source, *model,
            "--for", f"{SECONDS:g}",
        ]  # fmt: skip
        daemon = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        newest: dict[str, Any] | None = None
        while daemon.poll() is None:
            time.sleep(0.5)
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
