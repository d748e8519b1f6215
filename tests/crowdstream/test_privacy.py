"""The promise of docs/privacy.md: what a picture shows is in no file and in no line of the log."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowdstream.cli import main
from crowdstream.config import Config, places_of


def a_distinctive_clip(path: Path) -> list[np.ndarray]:
    """Ten pictures of coarse coloured noise, and what a decoder makes of them."""
    rng = np.random.default_rng(11)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (320, 180))
    coarse = rng.integers(0, 255, (23, 41, 3), np.uint8)
    for number in range(10):
        big = cv2.resize(np.roll(coarse, number, axis=1), (328, 184))
        writer.write(np.ascontiguousarray(big[:180, :320]))
    writer.release()
    video = cv2.VideoCapture(str(path))
    pictures = []
    while (got := video.read())[0]:
        pictures.append(np.asarray(got[1]))
    return pictures


def traces_of(pictures: list[np.ndarray]) -> list[bytes]:
    """Pieces that a file which holds one of them would contain, raw or as text."""
    traces = []
    for picture in pictures:
        for form in (picture, picture[..., ::-1], cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)):
            row = np.ascontiguousarray(form[90]).tobytes()
            traces.append(row[:24])
            traces.append(base64.b64encode(row[:48])[4:40])
    return traces


def files_under(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


@pytest.mark.timeout(120)  # the first run on a machine compiles
def test_after_a_run_no_file_holds_the_picture_and_no_line_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folders = {name: tmp_path / name.lower() for name in ("STATE", "RUNTIME")}
    for name, folder in folders.items():
        monkeypatch.setenv(f"CROWDSTREAM_{name}", str(folder))
        monkeypatch.delenv(f"{name}_DIRECTORY", raising=False)
    clip, out = tmp_path / "clip.avi", tmp_path / "out"
    pictures = a_distinctive_clip(clip)
    # Compiled kernels lie in the cache already; what the run adds there is looked at as well.
    cache = places_of(Config()).cache
    before = {path: path.stat().st_mtime_ns for path in files_under(cache)}
    code = main(
        ["analyze", str(clip), "--model", "none", "--out", str(out), "--overlay",
         str(out / "overlay.mp4"), "--json", "--no-pictures"]
    )  # fmt: skip
    assert code == 0
    said = "".join(capfd.readouterr())
    for word in ("array(", "dtype", "[[", "\\x"):
        assert word not in said
    written = files_under(out, *folders.values())
    written += [p for p in files_under(cache) if before.get(p) != p.stat().st_mtime_ns]
    assert {path.suffix for path in written} >= {".jsonl", ".mp4"}
    traces = traces_of(pictures)
    # The search finds what is there: a file with the picture itself.
    assert any(trace in pictures[3].tobytes() for trace in traces)
    held = [path.name for path in written if _holds(path.read_bytes(), traces)]
    assert held == []
    assert _likest(out / "overlay.mp4", pictures) < 0.3


def _holds(data: bytes, traces: list[bytes]) -> bool:
    return any(trace in data for trace in traces)


def _likest(video: Path, pictures: list[np.ndarray]) -> float:
    """How like the likest picture of a video is to any of those, as a correlation."""
    found = 0.0
    with contextlib.closing(_Reader(video)) as reader:
        for drawn in reader.pictures():
            small = cv2.resize(drawn, (320, 180)).astype(float)[:130].ravel()
            if small.std() == 0.0:
                continue
            for picture in pictures:
                like = np.corrcoef(small, picture.astype(float)[:130].ravel())[0, 1]
                found = max(found, abs(float(like)))
    return found


class _Reader:
    def __init__(self, path: Path) -> None:
        self._video = cv2.VideoCapture(str(path))

    def pictures(self) -> list[np.ndarray]:
        found = []
        while (got := self._video.read())[0]:
            found.append(np.asarray(got[1]))
        return found

    def close(self) -> None:
        self._video.release()
