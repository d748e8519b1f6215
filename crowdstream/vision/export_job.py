"""The job that turns a checkpoint into OpenVINO or ONNX files, with ultralytics and torch.

It runs as a program of its own, by its path, in whatever Python has those packages: so it needs
the standard library only, and nothing of crowdstream. What it reads is one JSON object on stdin;
what it says are JSON lines on stdout:

    {"progress": "..."}                       what it does now
    {"made": "NAME_int8", "exact": "NAME"}    the result, relative to its folder, and what it was
                                              rounded from ("" where it is not rounded)
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

_MEAN_OF_BINS: Final = (1, 16, 1, 1)
# Shape of the weights with which each side of a box is read from its distribution.


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
        made = exact = _export(job, answers)
        if job["precision"] == "int8":
            _say(answers, progress="measuring what flows through it, for 8-bit numbers")
            made = _round(job, exact)
    except ImportError as error:
        missing = error.name or str(error)
        _say(answers, failed=f"{missing} is not installed", absent=True)
        return 1
    except Exception as error:  # torch, pickle, nncf and ultralytics raise whatever they like
        said = " ".join(str(error).split())[:300] or type(error).__name__
        _say(answers, failed=said, absent=False)
        raise  # the whole of it, for stderr
    _say(answers, made=made, exact=exact if made != exact else "")
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
    _say(answers, progress=f"making {job['format']} files, {job['precision']}")
    made = Path(str(model.export(**options))).resolve()
    return str(made.relative_to(folder.resolve()))


def _precision(library: Any, precision: str) -> dict[str, Any]:
    """How this version of ultralytics is asked for bits. To 8 of them it is rounded here."""
    defaults: Any = getattr(getattr(library, "utils", None), "DEFAULT_CFG_DICT", {})
    if "quantize" in defaults:
        return {"quantize": 16 if precision == "fp16" else 32}
    return {"int8": False, "half": precision == "fp16"}


def _round(job: dict[str, Any], exact: str) -> str:
    """A copy of the OpenVINO files that computes with 8-bit numbers.

    Three things differ from what ultralytics asks of nncf, and halve what it costs in exactness:

    - Ranges are those that err least over all pictures together. The mean of each picture's
      extremes, which is nncf's own rule, is too narrow as soon as some pictures are dark or have
      small people, and cuts off what large bright ones say.
    - The last convolutions, which answer with places, are not rounded: a step of theirs is a step
      of every joint. They are a fiftieth of the work.
    - Means are not shifted back layer by layer: what makes drawn people right makes others wrong.
    """
    openvino: Any = importlib.import_module("openvino")
    nncf: Any = importlib.import_module("nncf")
    parameters: Any = importlib.import_module("nncf.quantization.advanced_parameters")
    ranges: Any = importlib.import_module("nncf.quantization.range_estimator")
    sets = ranges.RangeEstimatorParametersSet
    folder = Path(job["folder"])
    (source,) = (folder / exact).glob("*.xml")
    model = openvino.Core().read_model(source)
    pictures = sorted((folder / "pictures").iterdir())
    rounded = nncf.quantize(
        model,
        nncf.Dataset(pictures, _as_input),
        subset_size=len(pictures),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(names=names_of_answer(model), validate=False),
        advanced_parameters=parameters.AdvancedQuantizationParameters(
            activations_range_estimator_params=getattr(sets, "HISTOGRAM", sets.MINMAX),
            disable_bias_correction=True,
        ),
    )
    made = folder / f"{source.stem}_int8_openvino_model"
    made.mkdir()
    openvino.save_model(rounded, made / source.name, compress_to_fp16=False)
    return made.name


def names_of_answer(model: Any) -> list[str]:
    """Everything from the last convolutions to the outputs, by name.

    The one that only takes the mean of sixteen bins belongs to what comes after them.
    """
    found: dict[str, None] = {}
    waiting = [output.get_node() for output in model.outputs]
    while waiting:
        node = waiting.pop()
        name = node.get_friendly_name()
        if name in found:
            continue
        found[name] = None
        of_weights = node.get_type_name() in ("Convolution", "GroupConvolution")
        if of_weights and tuple(node.input(1).get_shape()) != _MEAN_OF_BINS:
            continue
        waiting += [node.input_value(at).get_node() for at in range(node.get_input_size())]
    return list(found)


def _as_input(path: Path) -> Any:
    """A picture as the network gets it: 1x3xHxW, red first, 0 to 1."""
    cv2: Any = importlib.import_module("cv2")
    numpy: Any = importlib.import_module("numpy")
    picture = cv2.imread(str(path))[..., ::-1].transpose(2, 0, 1)[None]
    return numpy.ascontiguousarray(picture, numpy.float32) / numpy.float32(255.0)


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
