"""The stage that draws a crowd."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from crowdstream.packets import GREY_HEIGHT, Frame
from crowdstream.testing import ManualClock, a_context, run_stage
from crowdstream.vision.drawn import parse_crowd
from stages.drawn_crowd import DrawnCrowd, DrawnCrowdConfig


def a_crowd(
    *, offline: bool = True, clock: ManualClock | None = None, **settings: Any
) -> DrawnCrowd:
    """A small one."""
    config = DrawnCrowdConfig(**{"people": 3, "size": (160, 90), "fps": 10.0} | settings)
    return DrawnCrowd(config, a_context(offline=offline, clock=clock))


async def frames_of(**settings: Any) -> list[Frame]:
    return [frame for frame in await run_stage(a_crowd(**settings)) if isinstance(frame, Frame)]


async def test_offline_time_begins_at_zero_and_ends() -> None:
    """Pictures are stamped k / fps, none is left out, and the end is the end."""
    frames = await frames_of(seconds=1.5)
    assert [frame.seq for frame in frames] == list(range(15))
    assert [frame.captured_at for frame in frames] == pytest.approx(np.arange(15) / 10.0)


async def test_a_frame_is_whole() -> None:
    """Picture, small grey picture and truth belong together, and the packet owns its memory."""
    first, second = await frames_of(seconds=0.2, size=(320, 180))
    assert first.picture.shape == (180, 320, 3)
    assert first.grey.shape == (GREY_HEIGHT, 320)
    assert first.source_size == (320, 180)
    assert first.lease is None
    assert not first.picture.flags.writeable
    assert first.truth is not None
    assert first.truth.joints.shape == (3, 17, 3)
    assert first.picture.base is not second.picture.base or first.picture.base is None
    assert first.picture.tobytes() != second.picture.tobytes()


async def test_the_same_seed_gives_the_same_bytes() -> None:
    """Run twice, compare everything; another seed differs."""

    async def bytes_of(seed: int) -> list[bytes]:
        return [
            frame.picture.tobytes() + frame.truth.joints.tobytes()
            for frame in await frames_of(seconds=0.5, seed=seed)
            if frame.truth is not None
        ]

    assert await bytes_of(1) == await bytes_of(1) != await bytes_of(2)


async def test_a_story_is_told_in_its_time() -> None:
    """Twenty seconds of night: chapters in the truth, an empty room at both ends."""
    frames = await frames_of(story="demo", seconds=20, fps=2, people=4, size=(64, 64))
    truths = [frame.truth for frame in frames if frame.truth is not None]
    assert truths[0].scene == "empty room"
    assert truths[-1].scene == "people leave"
    assert len(truths[0].ids) == 0
    assert max(len(truth.ids) for truth in truths) == 4


async def test_darkness_and_strobe_dim_the_picture() -> None:
    """Both are factors on the light."""
    bright = (await frames_of(seconds=0.1, noise=0))[0].picture.mean()
    dark = (await frames_of(seconds=0.1, noise=0, darkness=0.75))[0].picture.mean()
    assert dark == pytest.approx(0.25 * bright, abs=1.0)
    flashes = await frames_of(seconds=1.0, noise=0, strobe_hz=5)
    levels = [float(frame.picture.mean()) for frame in flashes]
    assert max(levels) == pytest.approx(bright, abs=1.0)
    assert levels[1] < 0.1 * bright
    assert levels[0] == pytest.approx(levels[2], abs=1.0)


class Outlet:
    """Takes frames, and may be slow about it."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.frames: list[Frame] = []
        self.came = asyncio.Event()
        self.slow_by = 0.0

    async def send(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.came.set()
        if self.slow_by:
            await self.clock.advance(self.slow_by)


async def test_live_pictures_come_at_their_time() -> None:
    """Each is stamped with its moment by the clock; what could not be in time leaves a gap."""
    clock = ManualClock(1000.0)
    stage = a_crowd(offline=False, clock=clock)
    await stage.open()
    outlet = Outlet(clock)
    running = asyncio.create_task(stage.run(outlet))

    async def next_frame() -> Frame:
        outlet.came.clear()
        await clock.advance(0.1)
        await asyncio.wait_for(outlet.came.wait(), 5)
        return outlet.frames[-1]

    await asyncio.wait_for(outlet.came.wait(), 5)
    first = outlet.frames[-1]
    second = await next_frame()
    assert [first.seq, second.seq] == [0, 1]
    assert [first.captured_at, second.captured_at] == pytest.approx([1000.0, 1000.1])
    assert clock.now() == pytest.approx(1000.1)

    # The next is held up by more than two pictures: those are gone, and the newest comes at once.
    outlet.slow_by = 0.25
    late = await next_frame()
    assert late.seq == 2
    outlet.slow_by = 0.0
    while len(outlet.frames) < 4:
        await asyncio.sleep(0)
    assert outlet.frames[-1].seq == 4
    assert outlet.frames[-1].captured_at == pytest.approx(1000.4)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await stage.close()


async def test_live_ends_after_its_seconds() -> None:
    """A rehearsal of fixed length ends by itself."""
    clock = ManualClock()
    stage = a_crowd(offline=False, clock=clock, seconds=0.3)
    await stage.open()
    outlet = Outlet(clock)
    outlet.slow_by = 0.1
    await asyncio.wait_for(stage.run(outlet), 5)
    assert [frame.seq for frame in outlet.frames] == [0, 1, 2]


@pytest.mark.parametrize(
    "settings",
    [
        {"people": -1}, {"people": 100_000}, {"bpm": 10}, {"energy": 1.5}, {"energy": float("nan")},
        {"size": (10, 10)}, {"size": (100_000, 100_000)}, {"fps": 0}, {"noise": -1},
        {"story": "tragedy"}, {"story": "demo", "bpm": 90}, {"story": "demo", "seconds": 5},
        {"seconds": 0}, {"hats": 3},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    """Before anything is drawn."""
    with pytest.raises(ValidationError):
        DrawnCrowdConfig(**settings)


@pytest.mark.parametrize(
    "text",
    [
        "crowd:n=0,bpm=60,energy=0,synchrony=0,seed=0,fps=1,strobe=0,dark=0,noise=0,seconds=0.1",
        "crowd:n=120,bpm=180,energy=1,synchrony=1,seed=2147483647,fps=120,strobe=25,dark=1,noise=60",
        "crowd:size=64x64,seconds=86400", "crowd:size=3840x2160,story=demo,seconds=20",
    ],
)  # fmt: skip
def test_whatever_the_command_line_takes_the_stage_takes(text: str) -> None:
    """Both have the same bounds."""
    DrawnCrowdConfig(**parse_crowd(text))
