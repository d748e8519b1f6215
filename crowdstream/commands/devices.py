"""`crowdstream devices`: cameras and audio outputs, as names to paste into config.toml."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from crowdstream.commands import add_json, print_json, subcommand

PROBE_SECONDS = 10.0


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "devices", what="list cameras and audio outputs",
        example="crowdstream devices --json",
    )  # fmt: skip
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what there is; having none is no failure."""
    found = devices()
    if arguments.json:
        print_json(found)
        return 0
    print("cameras:")
    for camera in found["cameras"]:
        print(f'  device = "{camera["device"]}"    {camera["name"]}')
    print("audio outputs:")
    for output in found["outputs"]:
        print(
            f'  device = "{output["name"]}"    {output["host_api"]},'
            f" {output['channels']} channels, {output['rate']:.0f} Hz"
        )
    if found["outputs_why"]:
        print(f"  none: {found['outputs_why']}")
    if not found["cameras"]:
        print("no camera: run with --source crowd:n=40 to rehearse without one", file=sys.stderr)
    return 0


def devices() -> dict[str, Any]:
    """Cameras, audio outputs, and why there are no outputs where there are none."""
    outputs, why = _outputs()
    return {"cameras": _cameras(), "outputs": outputs, "outputs_why": why}


def _cameras() -> list[dict[str, str]]:
    """By the name that stays the same when cables are moved, where the system gives one."""
    by_id = {
        str(link.resolve()): str(link)
        for link in sorted(Path("/dev/v4l/by-id").glob("*"))
        if link.name.endswith("index0")
    }
    cameras = []
    for node in sorted(Path("/sys/class/video4linux").glob("video*")):
        name_file = node / "name"
        name = name_file.read_text().strip() if name_file.is_file() else node.name
        index = node / "index"
        if index.is_file() and index.read_text().strip() != "0":
            continue  # the second node of a camera carries metadata, not pictures
        device = f"/dev/{node.name}"
        cameras.append({"device": by_id.get(device, device), "name": name})
    return cameras


_PROBE = """
import json, sounddevice as sd
apis = [api["name"] for api in sd.query_hostapis()]
print(json.dumps([
    {"name": d["name"], "host_api": apis[d["hostapi"]], "channels": d["max_output_channels"],
     "rate": d["default_samplerate"]}
    for d in sd.query_devices() if d["max_output_channels"] > 0]))
"""


def _outputs() -> tuple[list[dict[str, Any]], str | None]:
    """Asked in a child: PortAudio's start can hang in a driver."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [], f"PortAudio did not answer within {PROBE_SECONDS:.0f} s"
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["PortAudio could not be asked"])[-1]
        if "PortAudio library not found" in last:
            return [], "the PortAudio library is not installed (Debian: apt install libportaudio2)"
        return [], last
    # Back ends print what they please as they start; ours is the last line.
    outputs: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return outputs, None if outputs else "PortAudio knows no output"
