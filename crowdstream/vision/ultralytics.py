"""Any pose model that ultralytics opens, on any device that torch knows: by choice only.

A .pt is a pickle, and opening one runs whatever code is in it. So this is never chosen by itself:
`backend = "ultralytics"` must be said, the package must be installed
(`pip install crowdstream[ultralytics]`), and somebody must have vouched for the very bytes: the
manifest, or whoever ran `crowdstream models add FILE.pt`.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.errors import ConfigError, MediaError
from crowdstream.models.outline import first_line
from crowdstream.vision.decode import Detections, nobody, not_twice
from crowdstream.vision.torchvision_stand_in import let_torchvision_load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.models import LoadedModel
    from crowdstream.vision.model import Device

INPUT_PIXELS: Final = 640
"""Longer side of what the network sees."""

KEEPS_TO_ITSELF: Final = {"YOLO_OFFLINE": "True", "YOLO_AUTOINSTALL": "False"}
"""Variables without which ultralytics reports to Google each time that it is used, and calls pip
for whatever it misses."""


class UltralyticsPose:
    """A pose model as ultralytics runs it. Lives in the child, never in the daemon."""

    def __init__(
        self, loaded: LoadedModel, *, threads: int, min_score: float, device: Device = "auto"
    ) -> None:
        """Open the checkpoint. Raises ConfigError without the package, MediaError for no model."""
        self._threads = threads
        self._min_score = min_score
        # It opens files only. The bytes are those whose hash was compared; the file goes at once.
        with tempfile.TemporaryDirectory(prefix="crowdstream-") as folder:
            library = self._import(loaded.name, folder)
            path = Path(folder) / "model.pt"
            path.write_bytes(loaded.model)
            try:
                self._model: Any = library.YOLO(str(path))
            except Exception as error:  # torch, pickle and ultralytics raise whatever they like
                raise MediaError(
                    f"{loaded.name} cannot be opened by ultralytics: {first_line(error)}"
                ) from error
        self._version = str(library.__version__)
        has_gpu = bool(self._torch.cuda.is_available())
        self._device = "cuda:0" if device in ("auto", "gpu") and has_gpu else "cpu"
        self._instead = (
            f"torch has no {device.upper()} here: computed on the CPU"
            if device in ("gpu", "npu") and self._device == "cpu"
            else ""
        )
        if self._model.task != "pose":
            raise MediaError(
                f"{loaded.name} is a model for {self._model.task}, not for poses: take one whose"
                " name ends in -pose"
            )

    def _import(self, name: str, settings: str) -> Any:
        """The package; what it writes of its own goes into the folder `settings`."""
        os.environ.update(KEEPS_TO_ITSELF, YOLO_CONFIG_DIR=settings, YOLO_VERBOSE="False")
        try:
            self._nms = let_torchvision_load()
            self._torch: Any = importlib.import_module("torch")
            return importlib.import_module("ultralytics")
        except ImportError as error:
            raise ConfigError(
                f"{name} is to be opened by ultralytics, which is not installed ({error}):"
                " pip install crowdstream[ultralytics]"
            ) from None

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Backend, device and threads, for the log and `doctor`."""
        return {
            "backend": f"ultralytics {self._version}",
            "device": "cpu" if self._device == "cpu" else "gpu",
            "precision": "f32",
            "threads": self._threads,
            "input": str(INPUT_PIXELS),
            "path": "whole",
            "nms": self._nms,
            **({"instead": self._instead} if self._instead else {}),
        }

    def prepare(self, width: int, height: int) -> None:
        """Run once on a picture of this size."""
        self.infer(np.zeros((height, width, 3), np.uint8))
        # Its first prediction sets the threads by a rule of its own.
        self._torch.set_num_threads(self._threads)

    def infer(self, picture: NDArray[np.uint8]) -> Detections:
        """Find the people in a picture, shape (height, width, 3), BGR."""
        found = self._model.predict(
            picture, conf=self._min_score, imgsz=INPUT_PIXELS, device=self._device, verbose=False
        )[0]
        if found.keypoints is None or not len(found.boxes):
            return nobody()
        keypoints = found.keypoints.data.cpu().numpy().astype(np.float32)
        if keypoints.shape[1:] != (17, 3):
            raise MediaError(f"the model gives {keypoints.shape[1]} joints, not the 17 of COCO")
        scores = found.boxes.conf.cpu().numpy().astype(np.float32)
        boxes = found.boxes.xyxy.cpu().numpy().astype(np.float32)
        finite = np.isfinite(keypoints).all(axis=(1, 2)) & np.isfinite(boxes).all(axis=1)
        keypoints, scores, boxes = keypoints[finite], scores[finite], boxes[finite]
        once = not_twice(boxes, keypoints)
        keypoints, scores, boxes = keypoints[once], scores[once], boxes[once]
        height = np.float32(picture.shape[0])
        keypoints[:, :, :2] /= height
        return Detections(keypoints=keypoints, scores=scores, boxes=boxes / height)

    def close(self) -> None:
        """Let go of the network."""
        del self._model
