"""Pose models in ONNX Runtime: the engine where OpenVINO is not installed, and for CUDA."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.errors import MediaError
from crowdstream.models.outline import check_outline, first_line, read_outline
from crowdstream.vision.decode import Detections, decode_whole, detections_of, refuse_nonsense
from crowdstream.vision.letterbox import Letterbox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.models import LoadedModel
    from crowdstream.vision.model import Device

_PROVIDERS: Final = {
    "gpu": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "npu": (),
    "cpu": (),
}
# By device, the faster first; each also needs the processor for what it cannot do.

_PROCESSOR: Final = "CPUExecutionProvider"


class OnnxPose:
    """A pose model in ONNX Runtime: the engine where OpenVINO is not installed."""

    def __init__(
        self, loaded: LoadedModel, *, threads: int, min_score: float, device: Device = "cpu"
    ) -> None:
        """Open the model. Raises MediaError, or ImportError without the package onnxruntime.

        A device that is not here is replaced by the processor, and `facts` says so.
        """
        onnxruntime: Any = importlib.import_module("onnxruntime")
        outline = read_outline(loaded.name, loaded.model)
        check_outline(loaded.name, outline)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads would spin between pictures, on cores that the sound needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        installed = onnxruntime.get_available_providers()
        wanted = _PROVIDERS["gpu" if device == "auto" else device]
        found = [provider for provider in wanted if provider in installed]
        self._instead = ""
        if device in ("gpu", "npu") and not found:
            self._instead = (
                f"ONNX Runtime has no provider for the {device.upper()} here, only"
                f" {', '.join(installed)}: computed on the CPU"
            )
        try:
            self._session = onnxruntime.InferenceSession(
                loaded.model, options, providers=[*found, _PROCESSOR]
            )
        except Exception as error:  # the engine's own exceptions share no base class
            raise MediaError(
                f"{loaded.name} cannot be opened by ONNX Runtime: {first_line(error)}"
            ) from error
        self._input = self._session.get_inputs()[0].name
        height, width = outline.inputs[0][2:]
        self._fixed = (
            (width, height) if isinstance(width, int) and isinstance(height, int) else None
        )
        self._name = loaded.name
        self._threads = threads
        self._min_score = min_score
        self._letterbox: Letterbox | None = None
        self._canvas: NDArray[np.uint8] = np.zeros((1, 0, 0, 3), np.uint8)

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Backend, precision and input size, for the log and `doctor`."""
        box = self._letterbox
        using = self._session.get_providers()[0]
        return {
            "backend": f"onnxruntime ({using.removesuffix('ExecutionProvider')})",
            "device": "cpu" if using == _PROCESSOR else "gpu",
            "precision": "f32",
            "threads": self._threads,
            "input": f"{box.input_width}x{box.input_height}" if box else "",
            "path": "whole",
            **({"instead": self._instead} if self._instead else {}),
        }

    def prepare(self, width: int, height: int) -> None:
        """Get ready for pictures of this size, and run once."""
        self._fit(width, height)
        refuse_nonsense(self._name, [self._run()])

    def infer(self, picture: NDArray[np.uint8]) -> Detections:
        """Find the people in a picture, shape (height, width, 3), BGR."""
        letterbox = self._fit(picture.shape[1], picture.shape[0])
        letterbox.paint(picture, self._canvas)
        return detections_of(decode_whole(self._run(), self._min_score), letterbox)

    def close(self) -> None:
        """Let go of the session."""
        del self._session

    def _fit(self, width: int, height: int) -> Letterbox:
        box = self._letterbox
        if box is None or (box.width, box.height) != (width, height):
            box = (
                Letterbox(width, height, *self._fixed)
                if self._fixed
                else Letterbox.rectangle(width, height)
            )
            self._letterbox = box
            self._canvas = box.canvas()
        return box

    def _run(self) -> NDArray[np.float32]:
        pixels = self._canvas[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        pixels *= np.float32(1.0 / 255.0)
        output: NDArray[np.float32] = self._session.run(None, {self._input: pixels})[0][0]
        return output
