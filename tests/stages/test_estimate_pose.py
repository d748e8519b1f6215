"""The stage that finds people: it never keeps the chain from starting, and never sends nonsense."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.channel import Channel, FanOut, MergingInbox, WhenFull
from crowdstream.errors import ConfigError, MediaError, WorkerError
from crowdstream.packets import Frame, People
from crowdstream.slots import Slots
from crowdstream.testing.clock import ManualClock
from crowdstream.testing.stages import SilentLog, a_context, run_stage
from stages.estimate_pose import EstimatePose, EstimatePoseConfig

INT8 = "yolov8n-pose_int8_openvino_model"


def a_frame(
    seq: int = 0, picture: NDArray[np.uint8] | None = None, rate: float = 15.0, epoch: int = 0
) -> Frame:
    """A frame that owns its picture."""
    return Frame(
        seq=seq, captured_at=seq / rate, epoch=epoch,
        picture=np.zeros((72, 128, 3), np.uint8) if picture is None else picture,
        grey=np.zeros((180, 320), np.uint8), source_size=(128, 72),
    )  # fmt: skip


def a_stage(folder: Path, log: SilentLog | None = None, **settings: object) -> EstimatePose:
    """The stage with its places in a folder of the test."""
    config = EstimatePoseConfig.model_validate(settings)
    return EstimatePose(config, a_context("estimate_pose", folder=folder, log=log))


@pytest.fixture(scope="session")
def jumping(assets: Path) -> list[NDArray[np.uint8]]:
    """The first pictures of seven people jumping, 1024x768."""
    capture = cv2.VideoCapture(str(assets / "video/seven_people_jumping.mp4"))
    pictures = [np.ascontiguousarray(capture.read()[1], np.uint8) for _ in range(4)]
    capture.release()
    return pictures


async def test_without_weights_the_chain_goes_on(tmp_path: Path) -> None:
    """One warning that says what to do, nothing sent, every frame consumed, no failed start."""
    log = SilentLog()
    sent = await run_stage(a_stage(tmp_path, log), [a_frame(seq) for seq in range(20)])
    warnings = [(event, facts) for level, event, facts in log.said if level == "warning"]
    assert sent == []
    assert [event for event, _ in warnings] == ["pose_absent"]
    assert "crowdstream models add" in warnings[0][1]["why"]


async def test_model_none_is_no_warning(tmp_path: Path) -> None:
    """Whoever wants no pose is not told that there is none."""
    log = SilentLog()
    assert await run_stage(a_stage(tmp_path, log, model="none"), [a_frame()]) == []
    assert "warning" not in {level for level, _, _ in log.said}


async def test_pickle_is_a_wrong_configuration(tmp_path: Path) -> None:
    """No child is even made for it."""
    (tmp_path / "w.pt").write_bytes(b"x")
    with pytest.raises(ConfigError, match="no pickle"):
        await run_stage(a_stage(tmp_path, model=str(tmp_path / "w.pt")), [])


async def test_corrupt_model_is_told_in_one_sentence(tmp_path: Path) -> None:
    """As it was said in the child."""
    (tmp_path / "w.onnx").write_bytes(b"this is no model")
    with pytest.raises(MediaError, match="not a whole ONNX file") as caught:
        await run_stage(a_stage(tmp_path, model=str(tmp_path / "w.onnx")), [])
    assert "\n" not in str(caught.value)


@pytest.mark.assets
@pytest.mark.timeout(60)
async def test_one_changed_byte_is_refused(assets: Path, tmp_path: Path) -> None:
    """The very weights of yesterday, but for a bit."""
    folder = tmp_path / "models" / "yolov8n-pose_int8_openvino_model"
    folder.mkdir(parents=True)
    for path in sorted((assets / "pose" / INT8).iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    await run_stage(a_stage(tmp_path), [])
    weights = folder / "yolov8n-pose.bin"
    content = bytearray(weights.read_bytes())
    content[1_000_000] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ConfigError, match=r"expected SHA-256 41be77ec13fd.*--accept"):
        await run_stage(a_stage(tmp_path), [])


@pytest.mark.assets
@pytest.mark.timeout(60)
async def test_people_are_found_and_keep_their_numbers(
    assets: Path, tmp_path: Path, jumping: list[NDArray[np.uint8]]
) -> None:
    """Seven people, from picture to picture the same; everything else is the frame's own."""
    stage = a_stage(tmp_path, model=str(assets / "pose" / INT8))
    frames = [a_frame(seq, picture) for seq, picture in enumerate(jumping)]
    sent = await run_stage(stage, frames)
    people = [packet for packet in sent if isinstance(packet, People)]
    assert [(each.seq, each.captured_at) for each in people] == [
        (frame.seq, frame.captured_at) for frame in frames
    ]
    assert [sorted(each.ids.tolist()) for each in people] == [[1, 2, 3, 4, 5, 6, 7]] * 4
    first = people[0]
    assert first.aspect == pytest.approx(1024 / 768)
    assert first.keypoints.shape == (7, 17, 3)
    assert first.keypoints.dtype == np.dtype(np.float32)
    assert first.keypoints.flags.writeable
    assert np.isfinite(first.keypoints).all()
    # In picture heights: everybody stands between a fifth and four fifths of the picture.
    assert 0.2 < first.keypoints[:, 0, 1].min() < first.keypoints[:, 16, 1].max() < 0.85
    assert first.keypoints[:, 0, 0].max() > 1.0
    assert stage._own is not None
    assert stage._own.forgotten == 0


@pytest.mark.assets
@pytest.mark.timeout(60)
async def test_lent_pictures_are_the_same_as_owned_ones(
    assets: Path, tmp_path: Path, jumping: list[NDArray[np.uint8]]
) -> None:
    """A picture in a camera's slot is looked at where it lies, and given back."""
    slots = Slots.create(1, jumping[0].nbytes + 100_000)
    index = slots.take()
    assert index is not None
    slots.room(index, jumping[0].shape, offset=4096)[:] = jumping[0]
    lease = slots.lease(index, slots.whole(index))
    picture = slots.view(index, jumping[0].shape, offset=4096)
    lent = dataclasses.replace(a_frame(1, picture), lease=lease)
    stage = a_stage(tmp_path, model=str(assets / "pose" / INT8))
    sent = await run_stage(stage, [a_frame(0, jumping[0]), lent, a_frame(2, jumping[0])])
    assert len({packet.keypoints.tobytes() for packet in sent if isinstance(packet, People)}) == 1
    assert len(stage._attached) == 2
    assert slots.lent == 0


@pytest.mark.assets
@pytest.mark.timeout(60)
async def test_picture_size_may_change(
    assets: Path, tmp_path: Path, jumping: list[NDArray[np.uint8]]
) -> None:
    """A larger one, an upright one: no slot is too small, nothing is late."""
    stage = a_stage(tmp_path, model=str(assets / "pose" / INT8))
    large = np.ascontiguousarray(cv2.resize(jumping[0], (1600, 1200)), np.uint8)
    upright = np.ascontiguousarray(jumping[0][:, 300:800])
    frames = [a_frame(n, each, epoch=n) for n, each in enumerate((jumping[0], large, upright))]
    counts = [len(packet.ids) for packet in await run_stage(stage, frames)
              if isinstance(packet, People)]  # fmt: skip
    assert counts[:2] == [7, 7]
    assert counts[2] >= 3


async def test_rate_is_bounded_by_time_and_not_by_count(tmp_path: Path) -> None:
    """At most 5 a second of pictures that come 15 a second; a new epoch is looked at at once."""
    stage = a_stage(tmp_path, max_rate_hz=5)
    frames = [*(a_frame(seq) for seq in range(11)), a_frame(11, epoch=1), a_frame(12, epoch=1)]
    assert [frame.seq for frame in frames if stage._is_due(frame)] == [0, 3, 6, 9, 11]


@pytest.mark.assets
@pytest.mark.timeout(60)
async def test_the_network_s_process_has_one_thread_for_its_own_products(
    assets: Path, tmp_path: Path
) -> None:
    """What numpy wakes beside `threads` turns on the core where the sound is made."""
    stage = a_stage(tmp_path, model=str(assets / "pose" / INT8))
    await stage.open()
    try:
        assert stage._worker is not None
        told = Path(f"/proc/{stage._worker.pid}/environ").read_bytes().split(b"\0")
        assert b"OPENBLAS_NUM_THREADS=1" in told
    finally:
        await stage.close()


@pytest.mark.assets
@pytest.mark.timeout(60)
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
async def test_dead_or_hanging_child_fails_the_stage(
    fate: signal.Signals, assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it is started again; and no child is left behind."""
    monkeypatch.setattr("stages.estimate_pose.LATE_OFFLINE_SECONDS", 0.3)
    stage = a_stage(tmp_path, model=str(assets / "pose" / INT8))
    clock = stage.context.clock
    feed: Channel[Frame] = Channel(4, WhenFull.BLOCK)
    out: Channel[People] = Channel(4, WhenFull.BLOCK)
    outbox = FanOut([out], clock=clock)
    inbox = MergingInbox([feed], clock=clock, offline=True, outbox=outbox)
    await stage.open()
    try:
        running = asyncio.ensure_future(stage.run(inbox, outbox))
        feed.send_nowait(a_frame(0))
        await anext(aiter(out))
        assert stage._worker is not None
        pid = stage._worker.pid
        assert pid is not None
        os.kill(pid, fate)
        feed.send_nowait(a_frame(1))
        with pytest.raises(WorkerError):
            await running
    finally:
        await stage.close()
    assert not Path(f"/proc/{pid}").exists()


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(2.0, 25.0), trembling=st.lists(st.floats(-0.012, 0.012), min_size=1))
def test_rate_is_met_though_the_camera_trembles(rate: float, trembling: list[float]) -> None:
    """Over ten seconds as many looks as asked for: a picture that comes early is not skipped."""
    stage = EstimatePose(EstimatePoseConfig(max_rate_hz=rate), a_context("estimate_pose"))
    shifts = itertools.cycle(trembling)
    frames = [a_frame(seq, rate=30.0) for seq in range(301)]
    frames = [dataclasses.replace(f, captured_at=f.captured_at + next(shifts)) for f in frames]
    looks = sum(stage._is_due(frame) for frame in frames)
    assert looks == pytest.approx(10.0 * rate, rel=0.03, abs=2.0)


async def test_slow_eye_looks_less_often_and_says_so(tmp_path: Path) -> None:
    """Live, looks that take a quarter of a second: a warning with the reason, and a note."""
    log, clock = SilentLog(), ManualClock(100.0)
    stage = EstimatePose(
        EstimatePoseConfig(),
        a_context("pose", folder=tmp_path, clock=clock, log=log, offline=False),
    )
    looks, notes = 0, []
    for seq in range(40):
        notes.append(stage.note)
        frame = dataclasses.replace(a_frame(seq), captured_at=clock.now() - 0.02)
        if stage._is_due(frame):
            looks += 1
            began = clock.now()
            await clock.advance(0.25)
            stage._mind_the_pace(frame.captured_at, began)
        else:
            await clock.advance(0.033)
    events = [
        (event, facts["at_most_hz"]) for level, event, facts in log.said if level == "warning"
    ]
    assert events[0] == ("pose_slower", 3.0)
    assert "looks at most 3 times a second: a look takes 250 ms" in notes
    assert looks < 30
