"""The job that turns a checkpoint into OpenVINO or ONNX files, with ultralytics and torch.

It runs as a program of its own, by its path, in whatever Python has those packages: so it needs
the standard library only, and nothing of crowdstream. What it reads is one JSON object on stdin;
what it says are JSON lines on stdout:

    {"progress": "..."}                       what it does now
    {"made": "NAME_int8_openvino_model"}      the result, relative to its folder
    {"failed": "...", "absent": true|false}   why not; `absent`: a package is not installed

Everything that the libraries print goes to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any, Final, TextIO

NICENESS: Final = 15
"""A daemon that plays music on the same machine comes first."""

_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """Do one job. Returns the exit status."""
    job: dict[str, Any] = json.load(sys.stdin)
    # Libraries print where they like: what they print is kept apart from what we say.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _go_down_with(job["parent"])
    os.nice(NICENESS)
    _say(answers, progress="opening torch and ultralytics")
    try:
        made = _export(job, answers)
    except ImportError as error:
        missing = error.name or str(error)
        _say(answers, failed=f"{missing} is not installed", absent=True)
        return 1
    except Exception as error:  # torch, pickle, nncf and ultralytics raise whatever they like
        said = " ".join(str(error).split())[:300] or type(error).__name__
        _say(answers, failed=said, absent=False)
        raise  # the whole of it, for stderr
    _say(answers, made=made)
    return 0


def _export(job: dict[str, Any], answers: TextIO) -> str:
    folder = Path(job["folder"])
    for package in ("torch", "ultralytics", *job["needs"]):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    # By its path: this Python need not have crowdstream.
    runpy.run_path(job["stand_in"])["let_torchvision_load"]()
    library: Any = importlib.import_module("ultralytics")
    _say(answers, progress=f"opening {job['checkpoint']} with ultralytics {library.__version__}")
    model = library.YOLO(str(folder / job["checkpoint"]))
    if model.task != "pose":
        raise ValueError(f"it is a model for {model.task}, not for poses")
    options: dict[str, Any] = {
        "format": job["format"], "imgsz": job["imgsz"], "device": "cpu", "batch": 1,
        "dynamic": False, **_precision(library, job["precision"]),
    }  # fmt: skip
    if job["precision"] == "int8":
        options |= {"data": str(folder / job["data"]), "fraction": 1.0}
    _say(answers, progress=f"making {job['format']} files, {job['precision']}")
    made = Path(str(model.export(**options))).resolve()
    return str(made.relative_to(folder.resolve()))


def _precision(library: Any, precision: str) -> dict[str, Any]:
    """How this version of ultralytics is asked for bits."""
    defaults: Any = getattr(getattr(library, "utils", None), "DEFAULT_CFG_DICT", {})
    if "quantize" in defaults:
        return {"quantize": {"int8": 8, "fp16": 16, "fp32": 32}[precision]}
    return {"int8": precision == "int8", "half": precision == "fp16"}


def _go_down_with(parent: int) -> None:
    """Whoever started us and dies takes us along, however it dies."""
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit(1)


def _say(answers: TextIO, **words: str | bool) -> None:
    with contextlib.suppress(OSError):
        answers.write(json.dumps(words) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.exit(main())
