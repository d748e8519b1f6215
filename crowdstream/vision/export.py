"""From a checkpoint to files that the daemon opens: a job in a process of its own.

The checkpoint was vouched for (`take_checkpoint`); even so it is opened in a child only, which
has little priority, a folder that goes with it, and can be killed at any moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from crowdstream.errors import ConfigError, MediaError, UsageError, WorkerError
from crowdstream.models import Checkpoint, ModelFile, add_model
from crowdstream.vision import export_job, torchvision_stand_in
from crowdstream.vision.export_pictures import write_data
from crowdstream.vision.ultralytics import KEEPS_TO_ITSELF

if TYPE_CHECKING:
    from io import BufferedRandom

Format = Literal["openvino", "onnx"]
ExportPrecision = Literal["int8", "fp16", "fp32"]

INPUT_SIZE: Final = (384, 640)
"""Height and width of the network's input: a camera's 16:9, with no grey bars to compute."""

INTERPRETER: Final = "CROWDSTREAM_EXPORT_PYTHON"
"""Names the Python that has ultralytics, where it is not this one."""

_LAST_BYTES: Final = 4000


def check_export(form: Format, precision: ExportPrecision, calibrate: Path | None) -> None:
    """Raises UsageError for what does not go together."""
    if form == "onnx" and precision != "fp32":
        raise UsageError(
            f"ONNX files are made with fp32 only, not {precision}: leave --precision out, or take"
            " --format openvino"
        )
    if calibrate is not None and precision != "int8":
        raise UsageError(
            f"--calibrate is for int8, and {precision} needs no pictures: leave it out"
        )


def export_model(
    checkpoint: Checkpoint,
    folder: Path,
    state: Path,
    *,
    name: str,
    form: Format = "openvino",
    precision: ExportPrecision = "fp32",
    calibrate: Path | None = None,
    progress: Callable[[str], None] | None = None,
    size: tuple[int, int] = INPUT_SIZE,
) -> ModelFile:
    """Make files of a checkpoint, put them into the models folder as `name`, and note their hashes.

    `calibrate` is a folder of pictures for int8, without it crowds are drawn. `size` is the height
    and width of the network's input, multiples of 32.

    Raises:
        UsageError: format, precision and pictures do not go together.
        ConfigError: a package is not installed, or a folder will not do.
        WorkerError: the job died.
        MediaError: the checkpoint is no pose model, or no file came of it.
    """
    check_export(form, precision, calibrate)
    tell = progress if progress is not None else _quiet
    with tempfile.TemporaryDirectory(prefix="crowdstream-export-") as made_in:
        work = Path(made_in)
        (work / f"{name}.pt").write_bytes(checkpoint.content)
        if precision == "int8":
            tell("gathering pictures to measure by")
            write_data(work, calibrate)
        made = _run(
            {
                "folder": str(work), "checkpoint": f"{name}.pt", "format": form,
                "precision": precision, "imgsz": list(size), "data": "data.yaml",
                "parent": os.getpid(), "needs": _needs(form, precision),
                "stand_in": str(torchvision_stand_in.__file__),
            },
            checkpoint.name, work, tell,
        )  # fmt: skip
        result = work / made
        if not result.resolve().is_relative_to(work.resolve()) or not result.exists():
            raise MediaError(f"{checkpoint.name}: the export named {made}, which is not there")
        return add_model(_named(result, name, precision), folder, state)


def _needs(form: Format, precision: ExportPrecision) -> list[str]:
    if form == "onnx":
        return ["onnx"]
    return ["openvino", "nncf"] if precision == "int8" else ["openvino"]


def _named(result: Path, name: str, precision: ExportPrecision) -> Path:
    """As the models folder knows forms: whatever this version of ultralytics called it."""
    if not result.is_dir():
        return result
    part = {"int8": "_int8", "fp16": "_half", "fp32": ""}[precision]
    right = result.with_name(f"{name}{part}_openvino_model")
    return result if result == right else result.rename(right)


def _run(job: dict[str, Any], name: str, work: Path, tell: Callable[[str], None]) -> str:
    """Let the job do it. Returns what it made, relative to its folder."""
    made = ""
    failed: dict[str, Any] | None = None
    with (work / "stderr").open("w+b") as stderr, _started(work, stderr) as process:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
        for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue  # of a library that found the real stdout
            if "progress" in said:
                tell(str(said["progress"]))
            made = str(said.get("made", made))
            failed = said if "failed" in said else failed
        code = process.wait()
        stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _LAST_BYTES))
        last = _last_line(stderr.read().decode("utf-8", "replace"))
    if failed is not None and failed.get("absent"):
        raise ConfigError(
            f"{failed['failed']}, which exporting needs: pip install crowdstream[ultralytics], or"
            f" let {INTERPRETER} name a Python that has it"
        )
    if failed is not None:
        raise MediaError(f"{name} cannot be exported: {failed['failed']}")
    if code < 0:
        raise WorkerError(f"the export of {name} was ended by {signal.Signals(-code).name}: {last}")
    if code != 0 or not made:
        raise WorkerError(f"the export of {name} ended without a result: {last}")
    return made


@contextmanager
def _started(work: Path, stderr: BufferedRandom) -> Iterator[subprocess.Popen[bytes]]:
    """The job, in a group of its own, of which nothing is left afterwards."""
    python = os.environ.get(INTERPRETER) or sys.executable
    environment = os.environ | {
        **KEEPS_TO_ITSELF,
        "YOLO_CONFIG_DIR": str(work),
        "TMPDIR": str(work),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        # By its path and with -P: its folder has files that are named as the packages it needs.
        process = subprocess.Popen(
            [python, "-P", str(export_job.__file__)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
            cwd=work, env=environment, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(
            f"{python} cannot be started ({error.strerror}): let {INTERPRETER} name a Python that"
            " has ultralytics"
        ) from error
    try:
        with process:
            try:
                yield process
            finally:
                _end(process)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _quiet(text: str) -> None:
    """Nobody listens."""
