"""`models export`: what is refused, and a job that is a real process, with a small ultralytics."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import psutil
import pytest

from crowdstream.errors import ConfigError, CrowdstreamError, MediaError, UsageError, WorkerError
from crowdstream.models import (
    Checkpoint,
    ModelMissing,
    add_model,
    find_model,
    load_model,
    take_checkpoint,
)
from crowdstream.vision import export
from crowdstream.vision.drift import Drift
from crowdstream.vision.export import (
    ExportPrecision,
    Format,
    Measured,
    check_export,
    export_model,
    measure_drift,
)
from crowdstream.vision.export_pictures import DRAWN_PICTURES

NETWORK = (
    '<net><layers><layer type="Parameter"><data shape="1,3,384,640" element_type="f32"/></layer>'
    '<layer type="Result"><input><port><dim>1</dim><dim>56</dim><dim>5040</dim></port></input>'
    "</layer></layers></net>"
)

ULTRALYTICS = """
import json, os, signal, sys
from pathlib import Path

__version__ = "0.0"
MANNER = {manner!r}
NETWORK = {network!r}


class utils:
    DEFAULT_CFG_DICT = {defaults!r}


class YOLO:
    task = "detect" if MANNER == "no pose" else "pose"

    def __init__(self, path):
        self.path = Path(path)
        print("a library that prints")

    def export(self, **options):
        Path({seen!r}).write_text(json.dumps({{
            "content": self.path.read_bytes().hex(), "options": options, "pid": os.getpid(),
            "folder": str(self.path.parent), "nice": os.nice(0),
            "pictures": len(list((self.path.parent / "pictures").glob("*.png"))),
        }}))
        if MANNER == "raises":
            raise RuntimeError("no such\\nlayer")
        if MANNER == "is killed":
            print("about to go", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if MANNER == "leaves":
            os._exit(0)
        if MANNER == "waits":
            print(json.dumps({{"progress": "not mine"}}), flush=True)
            signal.pause()
        if MANNER == "lies":
            return str(self.path.parent / "nothing_openvino_model")
        made = self.path.with_name(self.path.stem + "_any_openvino_model")
        made.mkdir()
        (made / (self.path.stem + ".xml")).write_text(NETWORK)
        (made / (self.path.stem + ".bin")).write_bytes(b"numbers")
        return str(made) + os.sep
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    made = tmp_path / "scratch"
    made.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(made))
    return made


OPENVINO = """
from pathlib import Path


class Node:
    def __init__(self, name, kind, inputs=(), shape=()):
        self.name, self.kind, self.inputs, self.shape = name, kind, inputs, shape

    def get_friendly_name(self): return self.name
    def get_type_name(self): return self.kind
    def get_input_size(self): return len(self.inputs)
    def input_value(self, at): return Value(self.inputs[at])
    def input(self, at): return self.inputs[at]
    def get_shape(self): return self.shape


class Value:
    def __init__(self, node): self.node = node
    def get_node(self): return self.node


class Core:
    def read_model(self, path):
        assert path.read_text().startswith("<net>")
        weights = Node("w", "Constant", shape=(64, 80, 1, 1))
        bins = Node("bins", "Constant", shape=(1, 16, 1, 1))
        early = Node("early", "Convolution", (Node("picture", "Parameter"), weights))
        last = Node("last", "Convolution", (early, weights))
        mean = Node("mean", "Convolution", (Node("softmax", "Softmax", (last,)), bins))
        model = type("Model", (), {})()
        model.outputs = [Value(Node("result", "Result", (mean,)))]
        return model


def save_model(model, path, compress_to_fp16):
    path.write_text({network!r}.replace("<net>", "<net><!-- rounded -->"))
    path.with_suffix(".bin").write_bytes(b"fewer numbers")
"""
NNCF = """
import json
from pathlib import Path
from types import SimpleNamespace


class QuantizationPreset:
    MIXED = "mixed"


def Dataset(items, transform):
    return [transform(item) for item in items]


def IgnoredScope(names, validate):
    return names


def quantize(model, data, subset_size, preset, ignored_scope, advanced_parameters):
    Path({seen!r}).write_text(json.dumps({{
        "shapes": [list(each.shape) for each in data], "size": subset_size,
        "largest": float(max(each.max() for each in data)), "ignored": ignored_scope,
        "options": vars(advanced_parameters),
    }}))
    return model
"""


CHECKPOINT = Checkpoint("pose", b"a checkpoint", "0" * 64)


class Library:
    """An ultralytics, torch and the rest, of a few lines, that the job finds first."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._seen = root / "seen.json"
        for package in ("torch", "torchvision"):
            (root / f"{package}.py").write_text("")
        (root / "openvino.py").write_text(OPENVINO.replace("{network!r}", repr(NETWORK)))
        inside = root / "nncf" / "quantization"
        inside.mkdir(parents=True)
        (root / "nncf" / "__init__.py").write_text(NNCF.format(seen=str(root / "rounded.json")))
        (inside / "__init__.py").write_text("")
        (inside / "advanced_parameters.py").write_text(
            "from types import SimpleNamespace as AdvancedQuantizationParameters\n"
        )
        (inside / "range_estimator.py").write_text(
            "class RangeEstimatorParametersSet: MINMAX, HISTOGRAM = 'minmax', 'histogram'\n"
        )
        self.behaves("well")
        monkeypatch.setenv("PYTHONPATH", str(root))
        monkeypatch.delenv("CROWDSTREAM_EXPORT_PYTHON", raising=False)

    def behaves(self, manner: str, defaults: dict[str, object] | None = None) -> None:
        (self._root / "ultralytics.py").write_text(
            ULTRALYTICS.format(
                manner=manner,
                network=NETWORK,
                seen=str(self._seen),
                defaults=defaults or {"quantize": None},
            )
        )

    @property
    def seen(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self._seen.read_text())
        return found

    @property
    def rounded(self) -> dict[str, object]:
        """How it was asked for 8 bits."""
        found: dict[str, object] = json.loads((self._root / "rounded.json").read_text())
        return found


SOME_DRIFT = Drift(people=20, lost=0.05, pixels=1.25)


@pytest.fixture(autouse=True)
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Path | None]]:
    """Which files were compared, by what they hold; no engine opens the ones that tests make."""
    made: list[tuple[str, str, Path | None]] = []

    def measure(exact: Path, rounded: Path, calibrate: Path | None) -> list[Measured]:
        texts = [next(each.glob("*.xml")).read_text() for each in (exact, rounded)]
        made.append((texts[0], texts[1], calibrate))
        return [Measured("drawn people", SOME_DRIFT)]

    monkeypatch.setattr(export, "measure_drift", measure)
    return made


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    (tmp_path / "library").mkdir()
    return Library(tmp_path / "library", monkeypatch)


@pytest.mark.parametrize(
    ("precision", "lies_in", "asked"),
    [
        ("fp32", "new_openvino_model", 32),
        ("fp16", "new_half_openvino_model", 16),
        ("int8", "new_int8_openvino_model", 32),
    ],
)
def test_what_the_job_made_is_placed_and_noted(
    library: Library, folder: Path, state: Path, scratch: Path,
    precision: ExportPrecision, lies_in: str, asked: int,
) -> None:  # fmt: skip
    told: list[str] = []
    made = export_model(
        CHECKPOINT, folder, state, name="new", precision=precision, progress=told.append
    ).file
    assert made.paths == (folder / lies_in / "new.xml", folder / lies_in / "new.bin")
    loaded = load_model(find_model(made.name, folder), folder, state)
    numbers = b"fewer numbers" if precision == "int8" else b"numbers"
    assert (loaded.weights, loaded.trust) == (numbers, "noted")
    seen = library.seen
    assert bytes.fromhex(str(seen["content"])) == CHECKPOINT.content
    options = seen["options"]
    assert isinstance(options, dict)
    assert (options["quantize"], options["imgsz"]) == (asked, [384, 640])
    assert (seen["pictures"] != 0) == (precision == "int8")
    assert seen["nice"] != os.nice(0)
    assert any("making openvino files" in line for line in told)
    assert "a library that prints" not in told
    assert list(scratch.iterdir()) == []


def test_rounding_leaves_the_answer_exact_and_is_compared(
    library: Library, folder: Path, state: Path, compared: list[tuple[str, str, Path | None]]
) -> None:
    """The last convolutions and all after them stay; what it cost is told with the file."""
    made = export_model(CHECKPOINT, folder, state, name="new", precision="int8")
    assert made.drifts == (Measured("drawn people", SOME_DRIFT),)
    ((exact, rounded, calibrate),) = compared
    assert ("rounded" in exact, "rounded" in rounded, calibrate) == (False, True, None)
    asked = library.rounded
    ignored = asked["ignored"]
    assert isinstance(ignored, list)
    assert sorted(ignored) == ["bins", "last", "mean", "result", "softmax"]
    assert asked["shapes"] == [[1, 3, 384, 640]] * DRAWN_PICTURES
    assert asked["size"] == DRAWN_PICTURES
    assert asked["largest"] == 1.0
    assert asked["options"] == {
        "activations_range_estimator_params": "histogram", "disable_bias_correction": True,
    }  # fmt: skip
    assert export_model(CHECKPOINT, folder, state, name="new").drifts == ()


@pytest.mark.assets
@pytest.mark.timeout(90)
def test_a_network_beside_itself_has_not_drifted(assets: Path, tmp_path: Path) -> None:
    """On drawn people, and on the pictures of the room."""
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "dark.png"), np.zeros((72, 128, 3), np.uint8))
    folder = assets / "pose" / "yolov8n-pose_int8_openvino_model"
    drawn, room = measure_drift(folder, folder, tmp_path)
    assert (drawn.drift.people > 30, drawn.drift[1:]) == (True, (0.0, 0.0))
    assert (room.where, room.drift) == (str(tmp_path), Drift(0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("drift", "good", "told"),
    [
        (Drift(40, 0.025, 1.54), True, "joints are 1.5 px off and 2 % of people lost (40 people"),
        (Drift(40, 0.0, 2.6), False, "2.6 px off"),
        (Drift(40, 0.1, 1.0), False, "10 % of people lost"),
        (Drift(0, 0.0, 0.0), True, "finds nobody in drawn people"),
    ],
)
def test_what_rounding_cost_is_told_and_judged(drift: Drift, good: bool, told: str) -> None:
    measured = Measured("drawn people", drift)
    assert (measured.good, told in str(measured)) == (good, True)


def test_an_older_ultralytics_is_asked_in_its_own_words(
    library: Library, folder: Path, state: Path
) -> None:
    library.behaves("well", defaults={"int8": False})
    export_model(CHECKPOINT, folder, state, name="new", precision="fp16")
    options = library.seen["options"]
    assert isinstance(options, dict)
    assert (options["int8"], options["half"], "quantize" in options) == (False, True, False)


@pytest.mark.parametrize(
    ("manner", "kind", "sentence"),
    [
        ("raises", MediaError, "pose cannot be exported: no such layer"),
        ("no pose", MediaError, "it is a model for detect, not for poses"),
        ("is killed", WorkerError, "ended by SIGKILL: about to go"),
        ("leaves", WorkerError, "ended without a result"),
        ("lies", MediaError, "which is not there"),
    ],
)
def test_a_job_that_fails_says_why_and_leaves_nothing(
    library: Library, folder: Path, state: Path, scratch: Path,
    manner: str, kind: type[CrowdstreamError], sentence: str,
) -> None:  # fmt: skip
    library.behaves(manner)
    with pytest.raises(kind, match=sentence) as caught:
        export_model(CHECKPOINT, folder, state, name="new")
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == list(scratch.iterdir()) == []
    assert not state.exists()


def test_ctrl_c_ends_the_job_and_leaves_nothing(
    library: Library, folder: Path, state: Path, scratch: Path
) -> None:
    library.behaves("waits")
    others = {*psutil.Process().children()}

    def interrupt(text: str) -> None:
        if text.startswith("making"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(CHECKPOINT, folder, state, name="new", progress=interrupt)
    assert list(folder.iterdir()) == list(scratch.iterdir()) == []
    assert {*psutil.Process().children()} <= others


def test_without_the_package_one_sentence_says_what_to_install(
    library: Library, folder: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "python"  # a Python that sees the standard library only
    alone.write_text('#!/bin/sh\nexec python3 -I -S "$@"\n')
    alone.chmod(0o755)
    monkeypatch.setenv("CROWDSTREAM_EXPORT_PYTHON", str(alone))
    with pytest.raises(ConfigError, match=r"pip install crowdstream\[ultralytics\]") as caught:
        export_model(CHECKPOINT, folder, state, name="new")
    assert caught.value.exit_code == 78
    monkeypatch.setenv("CROWDSTREAM_EXPORT_PYTHON", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be started"):
        export_model(CHECKPOINT, folder, state, name="new")


@pytest.mark.parametrize(
    ("form", "precision", "calibrate"),
    [("onnx", "int8", None), ("onnx", "fp16", None), ("openvino", "fp32", Path("pictures"))],
)
def test_what_does_not_go_together(
    form: Format, precision: ExportPrecision, calibrate: Path | None
) -> None:
    with pytest.raises(UsageError):
        check_export(form, precision, calibrate)


def test_pictures_of_the_room(
    library: Library, folder: Path, state: Path, tmp_path: Path,
    compared: list[tuple[str, str, Path | None]],
) -> None:  # fmt: skip
    import cv2
    import numpy as np

    room = tmp_path / "room"
    with pytest.raises(ConfigError, match="is no folder"):
        export_model(CHECKPOINT, folder, state, name="n", precision="int8", calibrate=room)
    room.mkdir()
    with pytest.raises(ConfigError, match="no pictures"):
        export_model(CHECKPOINT, folder, state, name="n", precision="int8", calibrate=room)
    for number in range(3):
        cv2.imwrite(str(room / f"{number}.png"), np.full((72, 128, 3), number, np.uint8))
    export_model(CHECKPOINT, folder, state, name="n", precision="int8", calibrate=room)
    assert library.seen["pictures"] == 3
    assert compared[-1][2] == room
    # Seen as when the network runs: whole, with grey above and below.
    assert library.rounded["shapes"] == [[1, 3, 384, 640]] * 3
    assert library.rounded["largest"] == pytest.approx(114 / 255)
    (room / "4.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"4\.png cannot be read"):
        export_model(CHECKPOINT, folder, state, name="n", precision="int8", calibrate=room)


def test_only_what_somebody_vouches_for_is_taken(folder: Path, state: Path) -> None:
    path = folder / "mine.pt"
    mine = io.BytesIO()
    with zipfile.ZipFile(mine, "w") as archive:
        archive.writestr("mine/data.pkl", b"mine")
    path.write_bytes(mine.getvalue())
    found = hashlib.sha256(mine.getvalue()).hexdigest()
    with pytest.raises(ConfigError, match=f"any code.*{found}.*models add"):
        take_checkpoint(str(path), folder, state, trusted=False)
    assert take_checkpoint("mine", folder, state, trusted=True) == Checkpoint(
        "mine", mine.getvalue(), found
    )
    assert not state.exists()
    add_model(path, folder, state)
    assert take_checkpoint("mine", folder, state, trusted=False).content == mine.getvalue()
    (state / "noted.toml").unlink()
    (folder / "manifest.toml").write_text(
        '[[weights]]\nname = "pose"\nfile = "pose.pt"\naddress = "https://example.org/pose.pt"\n'
        f'size = 4\nsha256 = "{found}"\nlicence = "MIT"\n'
    )
    assert take_checkpoint("mine.pt", folder, state, trusted=False).content == mine.getvalue()
    with pytest.raises(ModelMissing, match="crowdstream models pull pose"):
        take_checkpoint("pose", folder, state, trusted=False)
    with pytest.raises(ConfigError, match="no pose model that is exported"):
        take_checkpoint("some/mine.onnx", folder, state, trusted=True)
