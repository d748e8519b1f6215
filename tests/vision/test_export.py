"""`models export`: what is refused, and a job that is a real process, with a small ultralytics."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

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
from crowdstream.vision.export import ExportPrecision, Format, check_export, export_model

ULTRALYTICS = """
import json, os, signal, sys
from pathlib import Path

__version__ = "0.0"
MANNER = {manner!r}


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
            "pictures": len(list((self.path.parent / "data" / "images").glob("*.jpg"))),
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
        (made / (self.path.stem + ".xml")).write_text("<net/>")
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


CHECKPOINT = Checkpoint("pose", b"a checkpoint", "0" * 64)


class Library:
    """An ultralytics, torch and the rest, of a few lines, that the job finds first."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._seen = root / "seen.json"
        for package in ("torch", "torchvision", "openvino", "nncf"):
            (root / f"{package}.py").write_text("")
        self.behaves("well")
        monkeypatch.setenv("PYTHONPATH", str(root))
        monkeypatch.delenv("CROWDSTREAM_EXPORT_PYTHON", raising=False)

    def behaves(self, manner: str, defaults: dict[str, object] | None = None) -> None:
        (self._root / "ultralytics.py").write_text(
            ULTRALYTICS.format(
                manner=manner, seen=str(self._seen), defaults=defaults or {"quantize": None}
            )
        )

    @property
    def seen(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self._seen.read_text())
        return found


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    (tmp_path / "library").mkdir()
    return Library(tmp_path / "library", monkeypatch)


@pytest.mark.parametrize(
    ("precision", "lies_in", "asked"),
    [
        ("fp32", "new_openvino_model", 32),
        ("fp16", "new_half_openvino_model", 16),
        ("int8", "new_int8_openvino_model", 8),
    ],
)
def test_what_the_job_made_is_placed_and_noted(
    library: Library, folder: Path, state: Path, scratch: Path,
    precision: ExportPrecision, lies_in: str, asked: int,
) -> None:  # fmt: skip
    told: list[str] = []
    made = export_model(
        CHECKPOINT, folder, state, name="new", precision=precision, progress=told.append
    )
    assert made.paths == (folder / lies_in / "new.xml", folder / lies_in / "new.bin")
    loaded = load_model(find_model(made.name, folder), folder, state)
    assert (loaded.weights, loaded.trust) == (b"numbers", "noted")
    seen = library.seen
    assert bytes.fromhex(str(seen["content"])) == CHECKPOINT.content
    options = seen["options"]
    assert isinstance(options, dict)
    assert (options["quantize"], options["imgsz"], "data" in options) == (
        asked, [384, 640], precision == "int8",
    )  # fmt: skip
    assert (seen["pictures"] != 0) == (precision == "int8")
    assert seen["nice"] != os.nice(0)
    assert any("making openvino files" in line for line in told)
    assert "a library that prints" not in told
    assert list(scratch.iterdir()) == []


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

    def interrupt(text: str) -> None:
        if text.startswith("making"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(CHECKPOINT, folder, state, name="new", progress=interrupt)
    assert list(folder.iterdir()) == list(scratch.iterdir()) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


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


def test_pictures_of_the_room(library: Library, folder: Path, state: Path, tmp_path: Path) -> None:
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
