"""What a pose model is, and which engine opens one.

A picture is scaled into the model's input (`letterbox`), the network answers with one column per
anchor, and those that hold a person become `Detections` (`decode`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

from crowdstream.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crowdstream.models import LoadedModel
    from crowdstream.vision.decode import Detections

Precision = Literal["auto", "int8", "bf16", "f32"]
"""`int8` rounds what flows through the network to 8 bits, if its file was made so: three times
as fast, key points move by two pixels of 1280. `bf16` computes with fewer bits where the processor
can: twice as fast, half a pixel. `auto` is the file as it is: 8 bits, or all of them."""

Device = Literal["auto", "cpu", "gpu", "npu"]
"""What computes. `auto` takes a graphics or neural processor where the engine finds one and it is
faster."""

Backend = Literal["auto", "openvino", "onnx", "ultralytics"]
"""Which engine. `auto` is OpenVINO, or ONNX Runtime where that is not installed; `ultralytics`
opens a .pt, which is a pickle and can run any code."""

ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""What a process that opens a model finds in its environment: numpy's small products would wake
the other core and keep it turning, where the sound is made."""


class PoseModel(Protocol):
    """An opened network. One picture at a time, from one thread."""

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Backend, device, precision and input size, for the log and `doctor`."""

    def prepare(self, width: int, height: int) -> None:
        """Get ready for pictures of this size: compiles if need be, and runs once."""

    def infer(self, picture: NDArray[np.uint8]) -> Detections:
        """Find the people in a picture, shape (height, width, 3), BGR."""

    def close(self) -> None:
        """Let go of the network's memory."""


def open_model(
    loaded: LoadedModel,
    *,
    threads: int,
    precision: Precision,
    min_score: float,
    device: Device = "auto",
    backend: Backend = "auto",
) -> PoseModel:
    """Open a model from bytes whose hash was checked.

    Raises MediaError if the bytes are no pose model, ConfigError if the engine is not installed.
    """
    # Imported here: whoever only wants the arithmetic, or lists models, loads no engine.
    if backend == "ultralytics" or loaded.form == "checkpoint":
        if backend != "ultralytics":
            raise ConfigError(
                f'{loaded.name} is a pickle: say backend = "ultralytics" if it is to be opened'
            )
        from crowdstream.vision.ultralytics import UltralyticsPose

        return UltralyticsPose(loaded, threads=threads, min_score=min_score, device=device)
    if backend != "onnx":
        try:
            from crowdstream.vision.openvino import OpenVinoPose
        except ImportError:
            if backend == "openvino" or loaded.form != "onnx":
                raise ConfigError(
                    f"{loaded.name} is to be opened by OpenVINO and the package openvino cannot be"
                    " imported: install it, or give the model as .onnx"
                ) from None
        else:
            return OpenVinoPose(
                loaded, threads=threads, precision=precision, min_score=min_score, device=device
            )
    if loaded.form != "onnx":
        raise ConfigError(
            f'{loaded.name} is an OpenVINO model and backend = "onnx" reads .onnx alone: give it'
            ' as .onnx, or say backend = "openvino"'
        )
    try:
        from crowdstream.vision.onnx import OnnxPose
    except ImportError:
        raise ConfigError(
            f"{loaded.name} cannot be opened: install the package openvino, or onnxruntime"
        ) from None
    return OnnxPose(loaded, threads=threads, min_score=min_score, device=device)
