"""The `ultralytics` backend: with a torch and an ultralytics of a few lines, and the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crowdstream.errors import ConfigError, MediaError
from crowdstream.models import LoadedModel
from crowdstream.vision.torchvision_stand_in import let_torchvision_load
from crowdstream.vision.ultralytics import KEEPS_TO_ITSELF, UltralyticsPose

LOADED = LoadedModel(
    name="crowd.pt", form="checkpoint", model=b"the bytes", weights=b"", sha256=("",), trust="noted"
)


class Numbers:
    """What torch calls a tensor, as far as it is asked."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values, np.float64)

    def __len__(self) -> int:
        return len(self._values)

    def cpu(self) -> Numbers:
        return self

    def numpy(self) -> Any:
        return self._values


class Library:
    """A torch and an ultralytics that say what a test tells them to."""

    def __init__(self) -> None:
        self.task = "pose"
        self.keypoints: Any = np.zeros((0, 17, 3))
        self.boxes: Any = np.zeros((0, 4))
        self.scores: Any = np.zeros(0)
        self.opened: bytes | None = None
        self.threads = 0
        self.asked: dict[str, object] = {}
        self.environment: dict[str, str] = {}

    @property
    def torch(self) -> Any:
        return SimpleNamespace(
            cuda=SimpleNamespace(is_available=lambda: False),
            set_num_threads=lambda number: setattr(self, "threads", number),
        )

    def open(self, path: str) -> Any:
        self.environment = dict(os.environ)
        self.opened = Path(path).read_bytes()
        if self.opened == b"garbage":
            raise EOFError("Ran out of input\n")
        return SimpleNamespace(task=self.task, predict=self.predict)

    def predict(self, picture: Any, **asked: object) -> list[Any]:
        self.asked = asked
        self.threads = 8  # by a rule of its own
        keypoints = SimpleNamespace(data=Numbers(self.keypoints))
        return [SimpleNamespace(boxes=Boxes(self.boxes, self.scores), keypoints=keypoints)]


class Boxes:
    """What ultralytics calls boxes."""

    def __init__(self, boxes: Any, scores: Any) -> None:
        self.xyxy, self.conf = Numbers(boxes), Numbers(scores)

    def __len__(self) -> int:
        return len(self.xyxy)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    made = Library()
    monkeypatch.setitem(sys.modules, "torch", made.torch)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    ultralytics: Any = SimpleNamespace(__version__="0.0", YOLO=made.open)
    monkeypatch.setitem(sys.modules, "ultralytics", ultralytics)
    for name in (*KEEPS_TO_ITSELF, "YOLO_CONFIG_DIR", "YOLO_VERBOSE"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
    let_torchvision_load.cache_clear()
    yield made
    let_torchvision_load.cache_clear()


def a_person(x: float, confidence: float = 0.9) -> Any:
    steps = np.arange(17.0)
    return np.stack([x + 3.0 * steps, 100.0 + 20.0 * steps, np.full(17, confidence)], axis=1)


def test_people_are_told_in_picture_heights(library: Library) -> None:
    library.keypoints = np.stack([a_person(100.0), a_person(600.0)])
    library.boxes = np.array([[90.0, 90.0, 160.0, 430.0], [590.0, 90.0, 660.0, 430.0]])
    library.scores = np.array([0.9, 0.8])
    model = UltralyticsPose(LOADED, threads=2, min_score=0.3)
    people = model.infer(np.zeros((720, 1280, 3), np.uint8))
    assert library.asked["conf"] == 0.3
    assert people.keypoints.shape == (2, 17, 3)
    assert people.keypoints.dtype == np.float32
    assert np.allclose(people.keypoints[:, 0], [[100 / 720, 100 / 720, 0.9],
                                                [600 / 720, 100 / 720, 0.9]])  # fmt: skip
    assert np.allclose(people.boxes[0], np.array([90.0, 90.0, 160.0, 430.0]) / 720)


def test_nobody_twice_and_nobody_who_is_no_number(library: Library) -> None:
    library.keypoints = np.stack(
        [a_person(100.0), a_person(101.0), a_person(600.0), a_person(np.nan)]
    )
    library.boxes = np.array([[90.0, 90.0, 160.0, 430.0]] * 2 + [[590.0, 90.0, 660.0, 430.0]] * 2)
    library.scores = np.array([0.9, 0.8, 0.7, 0.6])
    people = UltralyticsPose(LOADED, threads=1, min_score=0.3).infer(
        np.zeros((720, 1280, 3), np.uint8)
    )
    assert people.scores.tolist() == pytest.approx([0.9, 0.7])
    assert np.isfinite(people.keypoints).all()


def test_an_empty_floor_is_nobody(library: Library) -> None:
    model = UltralyticsPose(LOADED, threads=3, min_score=0.3)
    assert len(model.infer(np.zeros((72, 128, 3), np.uint8)).scores) == 0
    model.prepare(128, 72)
    assert library.threads == 3


def test_it_keeps_to_itself(library: Library) -> None:
    """No word to anybody outside, no call of pip, and no file that stays."""
    UltralyticsPose(LOADED, threads=1, min_score=0.3)
    assert library.opened == b"the bytes"
    assert library.environment["YOLO_OFFLINE"] == "True"
    assert library.environment["YOLO_AUTOINSTALL"] == "False"
    assert not Path(library.environment["YOLO_CONFIG_DIR"]).exists()


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_a_device_that_is_not_here_is_said(library: Library, device: Any) -> None:
    facts = UltralyticsPose(LOADED, threads=1, min_score=0.3, device=device).facts
    assert facts["device"] == "cpu"
    assert device.upper() in str(facts["instead"])


def test_what_is_no_pose_model_gets_one_sentence(library: Library) -> None:
    library.task = "detect"
    with pytest.raises(MediaError, match=r"crowd\.pt is a model for detect, not for poses"):
        UltralyticsPose(LOADED, threads=1, min_score=0.3)
    garbage = LoadedModel(
        name="crowd.pt", form="checkpoint", model=b"garbage", weights=b"", sha256=("",),
        trust="noted",
    )  # fmt: skip
    with pytest.raises(MediaError, match="cannot be opened by ultralytics: Ran out of input$"):
        UltralyticsPose(garbage, threads=1, min_score=0.3)


def test_without_the_package_one_sentence_says_what_to_install(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(ConfigError, match=r"pip install crowdstream\[ultralytics\]"):
        UltralyticsPose(LOADED, threads=1, min_score=0.3)


TORCH = """
from types import SimpleNamespace
defined, kernels = [], {}
library = SimpleNamespace(
    define=lambda name, schema: defined.append(name),
    impl=lambda name, keys, kernel: kernels.update({name: kernel}),
)
"""
TORCHVISION = """
import torch
from types import SimpleNamespace
if "torchvision::nms" not in torch.defined:
    raise RuntimeError("operator torchvision::nms does not exist")
extension = SimpleNamespace(_has_ops=lambda: False)
nms = torch.kernels["torchvision::nms"]
"""
ULTRALYTICS_NMS = """
class TorchNMS:
    def nms(boxes, scores, iou):
        return [boxes, scores, iou]
"""


def test_a_torchvision_of_another_torch_can_be_imported(tmp_path: Path) -> None:
    """Its own operators cannot load: the one that is needed is ultralytics' own."""
    (tmp_path / "torch.py").write_text(TORCH)
    (tmp_path / "torchvision.py").write_text(TORCHVISION)
    (tmp_path / "ultralytics" / "utils").mkdir(parents=True)
    (tmp_path / "ultralytics" / "utils" / "nms.py").write_text(ULTRALYTICS_NMS)
    program = (
        "import runpy, sys, json\n"
        "load = runpy.run_path(sys.argv[1])['let_torchvision_load']\n"
        "told = [load(), load()]\n"
        "import torchvision\n"
        "print(json.dumps([told, torchvision.extension._has_ops(), torchvision.nms(1, 2, 0.7)]))"
    )
    stand_in = Path(str(sys.modules[let_torchvision_load.__module__].__file__))
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(stand_in)],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    told, has_operators, kept = json.loads(done.stdout)
    assert told[0] == told[1]
    assert told[0].startswith("ultralytics' nms in torch")
    assert (has_operators, kept) == (True, [1, 2, 0.7])


REAL = """
import json, sys
from pathlib import Path
import cv2
from crowdstream.models import add_model, find_model, load_model
from crowdstream.vision.drift import drift_of
from crowdstream.vision.model import open_model
pose, clip, state = map(Path, sys.argv[1:])
def opened(name, backend, precision):
    file = find_model(str(pose / name), state, pickles=backend == "ultralytics")
    if backend == "ultralytics":
        file = add_model(pose / name, state, state)
    loaded = load_model(file, state, state)
    return open_model(loaded, threads=1, precision=precision, min_score=0.3, backend=backend)
capture, pictures = cv2.VideoCapture(str(clip)), []
for number in range(20):
    good, picture = capture.read()
    if number % 10 == 9:
        pictures.append(cv2.resize(picture, (1280, 720)))
model = opened("yolov8n-pose-rebuilt.pt", "ultralytics", "auto")
model.prepare(1280, 720)
seen = [model.infer(picture) for picture in pictures]
exact = opened("yolov8n-pose-rebuilt.onnx", "openvino", "f32")
drift = drift_of((exact.infer(picture), one) for picture, one in zip(pictures, seen))
print(json.dumps({"drift": drift._asdict(), "facts": model.facts}))
"""


@pytest.mark.assets
@pytest.mark.timeout(120)
def test_the_real_one_sees_what_openvino_sees(assets: Path, tmp_path: Path) -> None:
    """The same weights, in another engine: the same joints to a thousandth of a pixel."""
    python = os.environ.get("CROWDSTREAM_RIVAL_PYTHON")
    if python is None:
        pytest.skip("no Python with ultralytics and openvino (set CROWDSTREAM_RIVAL_PYTHON)")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [python, "-c", REAL, str(assets / "pose"),
         str(assets / "video" / "seven_people_jumping.mp4"), str(tmp_path)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["facts"]["backend"].startswith("ultralytics")
    assert told["drift"]["people"] >= 10
    assert told["drift"]["lost"] == 0.0
    assert told["drift"]["pixels"] < 0.01
