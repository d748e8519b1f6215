"""A video file is read whole and in its own time, whatever it is, and what is no video is refused."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import signal
import struct
from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from crowdstream.errors import CrowdstreamError, DeviceError, MediaError, WorkerError
from crowdstream.packets import Frame
from crowdstream.testing.stages import SilentLog, a_context
from crowdstream.vision.capture import demuxer_of
from stages.video_file import VideoFile, VideoFileConfig

FPS = 20.0


class HurriedClock:
    """A clock on which a sleep takes no time: the time is then simply later."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        """The time."""
        return self.time

    def local_time(self) -> datetime.datetime:
        """Of no interest here."""
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    async def sleep(self, seconds: float) -> None:
        """Be later."""
        self.time += max(0.0, seconds)
        await asyncio.sleep(0)

    async def wait(self, event: asyncio.Event, until: float | None) -> bool:
        """Of no interest here."""
        raise NotImplementedError


class Keeper:
    """An outbox that keeps what is said of each frame, and holds the newest few."""

    def __init__(self, clock: HurriedClock, *, holding: int = 0, limit: int = 10**9) -> None:
        self.clock = clock
        self.limit = limit
        self.frames: list[Frame] = []
        self.sent_at: list[float] = []
        self.brightness: list[float] = []
        self.slow_at: dict[int, float] = {}
        """Frame number: seconds that the machine then takes."""
        self.enough = asyncio.Event()
        self._held: deque[Frame] = deque()
        self._holding = holding

    @property
    def times(self) -> list[float]:
        """`captured_at` of each."""
        return [frame.captured_at for frame in self.frames]

    async def send(self, frame: Frame) -> None:
        """Keep, hold, and let the oldest go."""
        if len(self.frames) >= self.limit:
            frame.release()
            self.enough.set()
            await asyncio.Event().wait()
        self.sent_at.append(self.clock.now())
        self.brightness.append(float(frame.picture[::8, ::8].mean()))
        self.frames.append(frame)
        self._held.append(frame)
        while len(self._held) > self._holding:
            self._held.popleft().release()
        self.clock.time += self.slow_at.get(len(self.frames), 0.0)


async def read(
    path: Path,
    *,
    offline: bool = True,
    log: SilentLog | None = None,
    keeper: Keeper | None = None,
    **settings: Any,
) -> Keeper:
    """Run the stage to the end of the file, or until the keeper has enough."""
    keeper = keeper or Keeper(HurriedClock())
    context = a_context("video_file", clock=keeper.clock, offline=offline, log=log)
    stage = VideoFile(VideoFileConfig(path=path, **settings), context)
    try:
        await stage.open()
        running = asyncio.ensure_future(stage.run(keeper))
        enough = asyncio.ensure_future(keeper.enough.wait())
        await asyncio.wait([running, enough], return_when=asyncio.FIRST_COMPLETED)
        enough.cancel()
        if not running.done():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        else:
            await running
    finally:
        await stage.close()
    return keeper


def write_clip(path: Path, *, seconds: float = 1.0, size: tuple[int, int] = (64, 48)) -> Path:
    """A clip at 20 pictures a second whose brightness rises by 5 with each picture."""
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, FPS, size)
    for number in range(round(seconds * FPS)):
        writer.write(np.full((size[1], size[0], 3), 20 + (5 * number) % 200, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second, twenty pictures."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.avi")


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "count", "seconds", "size", "fps"),
    [
        ("single_dancer_warehouse.mp4", 327, 13.1, (640, 360), None),
        ("three_dancers_studio.mp4", 300, 10.0, (854, 480), None),
        ("seven_people_jumping.mp4", 30, 2.0, (1024, 768), None),
        ("plaza_crowd_overhead.mp4", 341, 13.6, (640, 360), None),
        ("street_crowd_openpose.avi", 205, 4.1, (1280, 720), None),
        ("classroom_seated.gif", 45, 3.0, (480, 270), None),
        ("one_by_one_standing.mp4", 1394, 139.4, (768, 432), None),
        ("neon_lights_no_people.mp4", 125, 5.0, (1920, 1080), None),
    ],
)
async def test_real_clips_are_read_whole(
    assets: Path, name: str, count: int, seconds: float, size: tuple[int, int], fps: float | None
) -> None:
    """Every picture, at its time, and nothing is said to be missing."""
    log = SilentLog()

    kept = await read(assets / "video" / name, log=log, fps=fps)

    assert len(kept.frames) == count
    assert kept.times[0] == 0.0
    step = kept.times[-1] / (count - 1)
    assert kept.times[-1] + step == pytest.approx(seconds, abs=0.06)
    assert np.ptp(np.diff(kept.times)) < 0.5 * step
    assert {frame.source_size for frame in kept.frames} == {size}
    assert all(frame.picture.shape[0] <= 720 for frame in kept.frames)
    assert [frame.seq for frame in kept.frames] == list(range(1, count + 1))
    assert ("info", "video_ended") in [(level, event) for level, event, _ in log.said]


async def test_offline_nothing_is_lost_however_slow_the_reader(clip: Path) -> None:
    """The child waits for a slot instead of dropping; what is held stays as it is."""
    keeper = Keeper(HurriedClock(), holding=7)

    await read(clip, keeper=keeper)

    assert kept_numbers(keeper) == list(range(20))
    assert keeper.times == pytest.approx(np.arange(20) / FPS)
    assert {frame.epoch for frame in keeper.frames} == {0}


def kept_numbers(keeper: Keeper) -> list[int]:
    """Which pictures of `write_clip` came, by their brightness."""
    return [round((value - 20) / 5) for value in keeper.brightness]


async def test_live_a_picture_comes_when_it_is_due(clip: Path) -> None:
    """At its own pace, stamped with the moment it was due, on the machine's clock."""
    kept = await read(clip, offline=False)

    assert np.diff(kept.times) == pytest.approx(1 / FPS)
    assert kept.times[0] >= 1000.0
    assert kept.sent_at == pytest.approx(kept.times)


async def test_a_short_hitch_looks_like_lateness_not_like_slow_dancers(clip: Path) -> None:
    """A fifth of a second later, the pictures still carry the time they were due."""
    keeper = Keeper(HurriedClock())
    keeper.slow_at[5] = 0.2

    await read(clip, offline=False, keeper=keeper)

    assert np.diff(keeper.times) == pytest.approx(1 / FPS)
    assert max(np.subtract(keeper.sent_at, keeper.times)) == pytest.approx(0.15, abs=0.01)


async def test_a_long_hitch_drops_what_is_late(clip: Path) -> None:
    """Half a second later, old pictures are not worth showing; `seq` shows the gap."""
    keeper = Keeper(HurriedClock())
    keeper.slow_at[5] = 0.5

    await read(clip, offline=False, keeper=keeper)

    assert max(np.subtract(keeper.sent_at, keeper.times)) < 0.26
    assert 3 <= 20 - len(keeper.frames) <= 6
    assert max(np.diff([frame.seq for frame in keeper.frames])) == 21 - len(keeper.frames)
    assert len({frame.epoch for frame in keeper.frames}) == 1


async def test_a_machine_that_stood_still_begins_a_new_epoch(tmp_path: Path) -> None:
    """Seconds late, the file waits for the machine: nothing is chased for ever."""
    path = write_clip(tmp_path / "clip.avi", seconds=2.0)
    keeper = Keeper(HurriedClock())
    keeper.slow_at[5] = 60.0

    await read(path, offline=False, keeper=keeper)

    assert len({frame.epoch for frame in keeper.frames}) == 2
    assert len(keeper.frames) == 40
    assert np.all(np.diff(keeper.times) > 0.0)
    assert max(np.subtract(keeper.sent_at, keeper.times)) < 0.26


@pytest.mark.parametrize("offline", [True, False])
async def test_a_loop_begins_a_new_epoch_and_time_goes_on(clip: Path, offline: bool) -> None:
    """Three times round: no gap, no step back, an epoch for each lap."""
    keeper = Keeper(HurriedClock(), limit=60)

    await read(clip, offline=offline, keeper=keeper, looped=True)

    assert kept_numbers(keeper) == list(range(20)) * 3
    assert np.diff(keeper.times) == pytest.approx(1 / FPS, abs=1e-6)
    epochs = [frame.epoch for frame in keeper.frames]
    assert np.flatnonzero(np.diff(epochs)).tolist() == [19, 39]
    assert [frame.seq for frame in keeper.frames] == list(range(1, 61))


async def test_fewer_pictures_can_be_asked_for(clip: Path) -> None:
    """Every fourth at a quarter of the rate, at the times they have in the file."""
    kept = await read(clip, fps=5.0)

    assert kept_numbers(kept) == [0, 4, 8, 12, 16]
    assert kept.times == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


async def test_a_start_within_the_file(clip: Path) -> None:
    """The first picture is the one at that time, and has that time."""
    kept = await read(clip, start=0.5)

    assert kept_numbers(kept) == list(range(10, 20))
    assert kept.times[0] == pytest.approx(0.5)


async def test_a_start_beyond_the_end_is_said(clip: Path) -> None:
    """It is the setting that is wrong, not the file."""
    with pytest.raises(MediaError, match=r"ends at 1\.0 s, before the start at 5 s"):
        await read(clip, start=5.0)


async def test_as_fast_as_possible_live_the_stamps_still_rise(clip: Path) -> None:
    """Not paced: no picture waits."""
    kept = await read(clip, offline=False, paced=False)

    assert kept_numbers(kept) == list(range(20))
    assert np.all(np.diff(kept.times) > 0.0)
    assert kept.clock.time == 1000.0


async def test_a_turned_video_is_turned_back(tmp_path: Path) -> None:
    """A telephone held upright writes a matrix into the file, not turned pictures."""
    path = write_clip(tmp_path / "clip.mp4")
    content = path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
    track = content.index(b"tkhd")
    at = content.index(upright, track)
    path.write_bytes(content[:at] + turned + content[at + len(turned) :])

    kept = await read(path)

    assert kept.frames[0].source_size == (48, 64)
    assert kept.frames[0].picture.shape == (64, 48, 3)


async def test_a_cut_off_video_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """What is there is analysed, and the log says how much is missing."""
    path = write_clip(tmp_path / "clip.avi", seconds=4.0, size=(320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    log = SilentLog()

    kept = await read(path, log=log)

    assert 30 <= len(kept.frames) <= 45
    early = [facts for level, event, facts in log.said if event == "video_ended_early"]
    assert len(early) == 1
    assert early[0]["of_seconds"] == pytest.approx(4.0)
    assert early[0]["at_seconds"] == pytest.approx(len(kept.frames) / FPS, abs=0.06)


def a_cut_off_mp4(folder: Path) -> Path:
    """Its index, which stands at the end, is missing."""
    path = write_clip(folder / "cut.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def a_text(folder: Path) -> Path:
    """Words."""
    path = folder / "text.mp4"
    path.write_text("This is no video.\n" * 100)
    return path


def a_script(folder: Path) -> Path:
    """FFmpeg would follow this to the file beside it."""
    write_clip(folder / "secret.avi")
    path = folder / "script.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.avi\n")
    return path


def a_play_list(folder: Path) -> Path:
    """And this one too."""
    write_clip(folder / "secret.avi")
    path = folder / "list.ts"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.avi\n#EXT-X-ENDLIST\n")
    return path


def an_empty_file(folder: Path) -> Path:
    """Nothing."""
    path = folder / "empty.mp4"
    path.touch()
    return path


def a_folder(folder: Path) -> Path:
    """A place, not a file."""
    return folder


def a_pipe(folder: Path) -> Path:
    """Opening it would wait for ever for whoever writes."""
    path = folder / "pipe.mp4"
    os.mkfifo(path)
    return path


def a_header_and_noise(folder: Path) -> Path:
    """It begins as a video and goes on as nothing."""
    path = folder / "noise.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom" + np.random.default_rng(5).bytes(50_000))
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (a_cut_off_mp4, "cannot be read as a video; it may be cut off or damaged"),
        (a_text, "is not a video that is read here, whatever its name; give one of mp4, mov"),
        (a_script, "is not a video that is read here"),
        (a_play_list, "is not a video that is read here"),
        (an_empty_file, "is empty"),
        (a_folder, "is no file"),
        (a_pipe, "is no file"),
        (a_header_and_noise, "cannot be read as a video"),
    ],
)
async def test_what_is_no_video_is_one_sentence(tmp_path: Path, make: Any, sentence: str) -> None:
    """It names the file, and nothing hangs."""
    path = make(tmp_path)

    async with asyncio.timeout(8.0):
        with pytest.raises(CrowdstreamError, match=re.escape(sentence)) as raised:
            await read(path)

    assert isinstance(raised.value, MediaError)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_missing_file_may_come_back(tmp_path: Path) -> None:
    """So it is a device error, with its exit code."""
    with pytest.raises(DeviceError, match="there is no such video file"):
        await read(tmp_path / "nothing.mp4")


async def test_a_decoder_that_dies_is_an_error_at_once(clip: Path) -> None:
    """And one that hangs would be at its deadline: `tests/crowdstream/test_worker.py`."""
    context = a_context("video_file", clock=HurriedClock())
    stage = VideoFile(VideoFileConfig(path=clip, looped=True), context)
    await stage.open()
    assert stage._capture is not None
    assert stage._capture.pid is not None

    os.kill(stage._capture.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match="SIGKILL"):
        await stage.run(Keeper(HurriedClock()))
    await stage.close()


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"\x1a\x45\xdf\xa3\x01\0", "matroska"),
        (b"GIF89a", "gif"),
        ((b"\x47" + bytes(187)) * 6, "mpegts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 6, "mpegts"),
    ],
)
def test_a_video_is_known_by_how_it_begins(head: bytes, demuxer: str) -> None:
    """Not by its name."""
    assert demuxer_of(head[:1024], "x") == demuxer


@pytest.mark.parametrize(
    "head", [b"", b"RIFF\0\0\0\0WAVE", b"\x89PNG\r\n\x1a\n", b"<?xml", b"T" * 1024, b"\x47" * 100]
)
def test_what_begins_otherwise_is_refused(head: bytes) -> None:
    """Sound, pictures, text, and what is too short to say."""
    with pytest.raises(MediaError):
        demuxer_of(head, "x")
