"""A camera that hangs, crashes or was never there costs a restart and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from crowdstream.clock import SystemClock
from crowdstream.errors import DeviceError
from crowdstream.packets import Frame
from crowdstream.testing.stages import a_context
from crowdstream.vision.capture import Thinning, fitting
from stages.camera import Camera, CameraConfig

HERE = Path(__file__).resolve().parent


class CameraWithoutCamera(Camera):
    """The stage, with another child."""

    child = "fake_cameras:camera"


class Watcher:
    """An outbox that notes and lets go; `enough` is set after so many frames."""

    def __init__(self, count: int, *, holding: int = 0) -> None:
        self.count = count
        self.holding = holding
        self.enough = asyncio.Event()
        self.frames: list[Frame] = []
        self.pictures: list[Any] = []
        self.late: list[float] = []

    async def send(self, frame: Frame) -> None:
        """Keep a copy of the middle row, and the frame itself for as long as `holding` says."""
        self.late.append(time.monotonic() - frame.captured_at)
        self.pictures.append(frame.picture[0].copy())
        self.frames.append(frame)
        if len(self.frames) > self.holding:
            self.frames[-1 - self.holding].release()
        if len(self.frames) >= self.count:
            self.enough.set()


def a_camera(device: str = "fine", **settings: Any) -> CameraWithoutCamera:
    """A stage whose child behaves as `device` says."""
    settings = {"size": (64, 48), "fps": 100.0, **settings}
    context = a_context("camera", clock=SystemClock(), offline=False)
    return CameraWithoutCamera(CameraConfig(device=device, **settings), context)


async def watch(camera: Camera, watcher: Watcher) -> None:
    """Run the stage until the watcher has enough, or it raises."""
    await camera.open()
    running = asyncio.ensure_future(camera.run(watcher))
    enough = asyncio.ensure_future(watcher.enough.wait())
    try:
        await asyncio.wait([running, enough], return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert running.done() or enough.done()
        running.cancel()
        enough.cancel()
        result = (await asyncio.gather(running, return_exceptions=True))[0]
        if isinstance(result, Exception):
            raise result
    finally:
        await camera.close()


@pytest.fixture(autouse=True)
def _fake_cameras_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


async def test_pictures_come_as_they_are_taken() -> None:
    """In order, stamped on the machine's one clock, soon, read only, the grey one beside."""
    watcher = Watcher(20)

    await watch(a_camera(), watcher)

    frames = watcher.frames[:20]
    assert [frame.seq for frame in frames] == list(range(1, 21))
    assert np.all(np.diff([frame.captured_at for frame in frames]) > 0.0)
    assert np.median(watcher.late) < 1.0  # not minutes: one clock for both processes
    assert {(f.picture.shape, f.grey.shape, f.source_size) for f in frames} == {
        ((48, 64, 3), (180, 240), (64, 48))
    }
    assert not frames[0].picture.flags.writeable
    assert [picture[-1, 0] for picture in watcher.pictures[:20]] == list(range(1, 21))


async def test_a_large_picture_is_made_smaller_and_its_true_size_told() -> None:
    """At most 1280x720, with its shape kept."""
    watcher = Watcher(2)

    await watch(a_camera(size=(1600, 1200), fps=20.0), watcher)

    assert watcher.frames[0].picture.shape == (720, 960, 3)
    assert watcher.frames[0].source_size == (1600, 1200)


@pytest.mark.parametrize("size", [(64, 48), (1600, 1200)])
async def test_mirrored_swaps_left_and_right(size: tuple[int, int]) -> None:
    """The dark half is on the other side, in the grey picture too."""
    watcher = Watcher(2)

    await watch(a_camera(mirrored=True, size=size, fps=20.0), watcher)

    assert watcher.pictures[0][0, 0] > 0
    assert watcher.pictures[0][-1, 0] == 0
    assert watcher.frames[0].grey[0, 0] > 0
    assert watcher.frames[0].grey[0, -1] == 0


async def test_whoever_looks_too_slowly_misses_pictures_and_never_a_torn_one() -> None:
    """All slots held: the camera drops, the gap in `seq` counts them, and no picture changes."""
    watcher = Watcher(30, holding=30)
    camera = a_camera()
    await camera.open()
    running = asyncio.ensure_future(camera.run(watcher))
    assert camera._capture is not None
    slots = camera._capture.slots
    while slots.lent < slots.count:
        await asyncio.sleep(0.01)

    held = [frame.picture.copy() for frame in watcher.frames]
    await asyncio.sleep(0.1)  # ten more pictures that find no room
    still = [frame.picture.copy() for frame in watcher.frames]
    for frame in watcher.frames:
        frame.release()
    watcher.frames.clear()
    watcher.holding = 0
    while len(watcher.frames) < 3:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await camera.close()

    np.testing.assert_array_equal(held, still)
    assert len(held) == slots.count
    assert watcher.frames[0].seq > slots.count + 5


async def test_a_camera_that_hangs_is_ended_at_its_deadline() -> None:
    """After the first picture a second is long; the child is gone when the error comes."""
    camera = a_camera("hang:5", stall_after_seconds=0.3)
    watcher = Watcher(100)

    with pytest.raises(DeviceError, match=r"sent nothing within 0\.3 s"):
        await watch(camera, watcher)

    assert len(watcher.frames) == 5
    assert camera._capture is not None
    assert not Path(f"/proc/{camera._capture.pid}").exists()


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("crash:5", "died of SIGSEGV"), ("end:5", "camera: the camera gives no pictures any more")],
)
async def test_a_camera_that_goes_is_an_error_at_once(device: str, sentence: str) -> None:
    """A driver that takes its process with it, and a plug that is pulled."""
    watcher = Watcher(100)

    with pytest.raises(DeviceError, match=re.escape(sentence)):
        await watch(a_camera(device), watcher)

    assert len(watcher.frames) == 5


async def test_kill_9_of_the_child_is_an_error_at_once() -> None:
    """Whatever kills it: out of memory, a person."""
    camera = a_camera(stall_after_seconds=30.0)
    await camera.open()
    assert camera._capture is not None
    assert camera._capture.pid is not None

    os.kill(camera._capture.pid, signal.SIGKILL)

    async with asyncio.timeout(5.0):
        with pytest.raises(DeviceError, match="SIGKILL"):
            await camera.run(Watcher(1_000_000))
    await camera.close()


@pytest.mark.parametrize("lie", ["slot", "generation", "size", "time"])
async def test_a_child_that_tells_of_what_cannot_be_is_ended(lie: str) -> None:
    """Nothing is looked at that does not lie where it is said to lie."""
    camera = a_camera(lie)
    camera.child = "fake_cameras:liar"  # type: ignore[misc]

    with pytest.raises(DeviceError, match="sent what is no picture"):
        await watch(camera, Watcher(1))


async def test_a_broken_picture_is_skipped() -> None:
    """One of three is bad; the others come."""
    watcher = Watcher(6)

    await watch(a_camera("broken"), watcher)

    assert [frame.seq for frame in watcher.frames[:6]] == [1, 2, 4, 5, 7, 8]


async def test_a_restarted_camera_begins_a_new_epoch() -> None:
    """No speed may be computed between what the old and the new object saw."""
    epochs = []
    for _ in range(2):
        watcher = Watcher(1)
        await watch(a_camera(), watcher)
        epochs.append(watcher.frames[0].epoch)

    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("99", "there is no camera /dev/video99"),
        ("/dev/v4l/by-id/nothing", "there is no camera /dev/v4l/by-id/nothing"),
        (__file__, "is no camera; for a video file use video_file"),
        ("/dev/null", "/dev/null does not open"),
    ],
)
async def test_a_camera_that_is_not_there_is_one_sentence(device: str, sentence: str) -> None:
    """From the real child: it names the device and what would help."""
    context = a_context("camera", clock=SystemClock(), offline=False)
    camera = Camera(CameraConfig(device=device), context)

    with pytest.raises(DeviceError, match=re.escape(sentence)) as raised:
        await camera.open()
    await camera.close()

    assert "\n" not in str(raised.value)


def test_a_silent_camera_is_a_broken_camera() -> None:
    """The supervisor may take silence for a stall."""
    assert Camera.silence_is_normal is False


@pytest.mark.parametrize(
    ("fps", "wanted", "expected"),
    [(30.0, 30.0, 300), (30.0, 15.0, 150), (50.0, 20.0, 200), (25.0, 60.0, 250), (30.0, None, 300)],
)
def test_thinning_keeps_the_rate_in_spite_of_jitter(
    fps: float, wanted: float | None, expected: int
) -> None:
    """Ten seconds of a camera whose pictures come up to a tenth of their time off."""
    jitter = np.random.default_rng(3).uniform(-0.1, 0.1, int(10 * fps)) / fps
    thinning = Thinning(wanted)

    kept = [at for at in np.arange(10 * fps) / fps + jitter if thinning.wants(float(at))]

    assert abs(len(kept) - expected) <= 0.02 * expected


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((1920, 1080), (1280, 720)), ((640, 360), (640, 360)), ((1080, 1920), (405, 720)),
     ((4000, 10), (1280, 3))],
)  # fmt: skip
def test_fitting_keeps_the_shape(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    """Smaller, never larger."""
    assert fitting(size, (1280, 720)) == fitted


def test_a_network_camera_is_refused_with_what_would_be_right() -> None:
    """Nothing of an address with a password is said again."""
    with pytest.raises(ValidationError, match="not supported yet; name a device like") as caught:
        CameraConfig(device="rtsp://admin:hunter2@10.0.0.9/1")
    assert "hunter2" not in str(caught.value.errors()[0]["msg"])
