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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from crowdstream.errors import ConfigError, MediaError, UsageError, WorkerError
from crowdstream.models import Checkpoint, LoadedModel, ModelFile, add_model
from crowdstream.vision import export_job, torchvision_stand_in
from crowdstream.vision.drift import Drift, drift_of
from crowdstream.vision.export_pictures import pictures_of, write_pictures
from crowdstream.vision.ultralytics import KEEPS_TO_ITSELF

if TYPE_CHECKING:
    from io import BufferedRandom

    from crowdstream.vision.model import PoseModel

Format = Literal["openvino", "onnx"]
ExportPrecision = Literal["int8", "fp16", "fp32"]

INPUT_SIZE: Final = (384, 640)
"""Height and width of the network's input: a camera's 16:9, with no grey bars to compute."""

INTERPRETER: Final = "CROWDSTREAM_EXPORT_PYTHON"
"""Names the Python that has ultralytics, where it is not this one."""

_LAST_BYTES: Final = 4000


MOST_PIXELS: Final = 2.5
"""Joints may move by so much in the mean when a network is rounded, in pixels of 1280x720."""

MOST_LOST: Final = 0.03
"""Share of the people that may be lost by it."""

_SIZE: Final = (1280, 720)
_COMPARED: Final = 24
_MIN_SCORE: Final = 0.3


class Measured(NamedTuple):
    """What rounding cost."""

    where: str
    """In which pictures."""

    drift: Drift

    @property
    def good(self) -> bool:
        """Whether that is little enough."""
        return self.drift.pixels <= MOST_PIXELS and self.drift.lost <= MOST_LOST

    def __str__(self) -> str:
        people, lost, pixels = self.drift
        if not people:
            return f"the exact network finds nobody in {self.where}"
        return (
            f"beside the exact network its joints are {pixels:.1f} px off and {100 * lost:.0f} %"
            f" of people lost ({people} people, {self.where})"
        )


class Exported(NamedTuple):
    """What an export made."""

    file: ModelFile
    drifts: tuple[Measured, ...]
    """What rounding to 8 bits cost; empty where nothing was rounded."""


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
) -> Exported:
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
            write_pictures(work, calibrate, size)
        made, exact = _run(
            {
                "folder": str(work), "checkpoint": f"{name}.pt", "format": form,
                "precision": precision, "imgsz": list(size), "parent": os.getpid(),
                "needs": _needs(form, precision),
                "stand_in": str(torchvision_stand_in.__file__),
            },
            checkpoint.name, work, tell,
        )  # fmt: skip
        result = work / made
        if not result.resolve().is_relative_to(work.resolve()) or not result.exists():
            raise MediaError(f"{checkpoint.name}: the export named {made}, which is not there")
        drifts: tuple[Measured, ...] = ()
        if exact:
            tell("comparing it with the exact network")
            drifts = tuple(measure_drift(work / exact, result, calibrate))
        return Exported(add_model(_named(result, name, precision), folder, state), drifts)


def measure_drift(exact: Path, rounded: Path, calibrate: Path | None) -> Iterator[Measured]:
    """How far two OpenVINO folders of one network lie apart: on drawn people, and on pictures.

    Raises MediaError if one of them is no pose model.
    """
    from crowdstream.vision.choice import test_pictures

    sources = [("drawn people", test_pictures(*_SIZE))]
    if calibrate is not None:
        sources.append((str(calibrate), list(pictures_of(calibrate, _COMPARED))))
    with ExitStack() as opened:
        models = [opened.enter_context(_opened(each)) for each in (exact, rounded)]
        for where, pictures in sources:
            seen = [[model.infer(picture) for picture in pictures] for model in models]
            yield Measured(where, drift_of(zip(*seen, strict=True)))


@contextmanager
def _opened(folder: Path) -> Iterator[PoseModel]:
    from crowdstream.vision.model import open_model

    (xml,) = folder.glob("*.xml")
    loaded = LoadedModel(
        name=xml.stem, form="openvino", model=xml.read_bytes(),
        weights=xml.with_suffix(".bin").read_bytes(), sha256=(), trust="new",
    )  # fmt: skip
    model = open_model(loaded, threads=os.cpu_count() or 1, precision="auto", min_score=_MIN_SCORE)
    try:
        yield model
    finally:
        model.close()


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


def _run(
    job: dict[str, Any], name: str, work: Path, tell: Callable[[str], None]
) -> tuple[str, str]:
    """Let the job do it. Returns what it made and the exact form of that, or "", as it said."""
    made = exact = ""
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
            made, exact = str(said.get("made", made)), str(said.get("exact", exact))
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
    return made, exact


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
