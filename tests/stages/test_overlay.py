"""The movement of a video as a video: its times kept, whole or not there, and no picture in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from crowdstream.errors import CrowdstreamError, UsageError
from crowdstream.packets import Energy, Frame, Motion, Packet, People
from crowdstream.testing.bodies import bodies
from crowdstream.testing.stages import a_context, run_stage
from stages.overlay import Overlay, OverlayConfig, rate_of, size_of


def packets(times: list[float], picture: np.ndarray, *, people: bool = True) -> list[Packet]:
    """What the eyes send for pictures at those times, in the order of an offline inbox."""
    height, width = picture.shape[:2]
    found: list[Packet] = []
    for seq, at in enumerate(times):
        facts: Any = {"seq": seq, "captured_at": at}
        grey = np.zeros((180, round(180 * width / height)), np.uint8)
        found.append(Frame(**facts, picture=picture, grey=grey, source_size=(width, height)))
        flow = np.zeros((10, 18, 2), np.float32)
        flow[2, 2] = (0.4, 0.1)
        found.append(Motion(**facts, speed=0.5, moving_share=0.2, confidence=0.9, flow=flow))
        if people:
            found.append(
                People(
                    **facts, keypoints=bodies(1, at, speed=1.0, torso=0.2),
                    ids=np.array([1]), scores=np.ones(1, np.float32), aspect=width / height,
                )
            )  # fmt: skip
        found.append(
            Energy(**facts, level=0.5, raw=0.5, speed=0.9, confidence=0.9, drive=0.5, people=1)
        )
    return found


def an_overlay(path: Path, *, offline: bool = True, **settings: Any) -> Overlay:
    config = OverlayConfig(path=path, **settings)
    return Overlay(config, a_context("overlay", folder=path.parent, offline=offline))


def read(path: Path) -> tuple[float, list[np.ndarray]]:
    video = cv2.VideoCapture(str(path))
    pictures = []
    while (got := video.read())[0]:
        pictures.append(got[1])
    fps = video.get(cv2.CAP_PROP_FPS)
    video.release()
    return fps, pictures


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (360, 640, 3), np.uint8)


async def test_a_clip_keeps_its_rate_its_length_and_its_size(tmp_path: Path) -> None:
    out = tmp_path / "new" / "o.mp4"
    await run_stage(an_overlay(out), packets([n / 25 for n in range(20)], noise(0)))
    fps, pictures = read(out)
    assert fps == 25.0
    assert len(pictures) == 20
    assert pictures[0].shape == (360, 640, 3)
    assert [path.name for path in out.parent.iterdir()] == ["o.mp4"]


async def test_nothing_of_the_picture_is_in_the_overlay(tmp_path: Path) -> None:
    """Two videos that look different, of people who move alike, give the same bytes."""
    times = [n / 30 for n in range(6)]
    await run_stage(an_overlay(tmp_path / "a.mp4"), packets(times, noise(1)))
    await run_stage(an_overlay(tmp_path / "b.mp4"), packets(times, noise(2)))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


async def test_with_picture_it_is(tmp_path: Path) -> None:
    times = [n / 30 for n in range(4)]
    bright = np.full((360, 640, 3), 220, np.uint8)
    overlay = an_overlay(tmp_path / "a.mp4", with_picture=True)
    await run_stage(overlay, packets(times, bright, people=False))
    assert read(tmp_path / "a.mp4")[1][0][20:200, 20:500].mean() > 90


async def test_pictures_that_come_unevenly_are_seen_as_long_as_they_were(tmp_path: Path) -> None:
    # 20 a second, and a pause of one second in the middle.
    times = [n / 20 for n in range(15)] + [0.7 + 1.0 + n / 20 for n in range(5)]
    out = tmp_path / "o.mp4"
    await run_stage(an_overlay(out), packets(times, noise(0)))
    fps, pictures = read(out)
    assert fps == 20.0
    assert len(pictures) == round((times[-1] + 1 / 20) * 20)


async def test_a_time_stamp_that_is_broken_does_not_fill_the_disk(tmp_path: Path) -> None:
    out = tmp_path / "o.mp4"
    times = [n / 2 for n in range(14)] + [1e7]
    await run_stage(an_overlay(out), packets(times, noise(0)))
    assert len(read(out)[1]) <= 14 + 2 * 60 + 1


async def test_one_picture_is_a_video_too(tmp_path: Path) -> None:
    await run_stage(an_overlay(tmp_path / "o.mp4"), packets([3.0], noise(0)))
    assert len(read(tmp_path / "o.mp4")[1]) == 1


async def test_a_change_of_size_in_the_middle_is_drawn_into_the_same(tmp_path: Path) -> None:
    first = packets([n / 25 for n in range(5)], noise(0))
    then = packets([0.2 + n / 25 for n in range(5)], np.zeros((640, 360, 3), np.uint8))
    await run_stage(an_overlay(tmp_path / "o.mp4", with_picture=True), first + then)
    _, pictures = read(tmp_path / "o.mp4")
    assert len(pictures) == 10 and pictures[-1].shape == (360, 640, 3)


async def test_no_video_is_left_where_none_was_drawn(tmp_path: Path) -> None:
    await run_stage(an_overlay(tmp_path / "o.mp4"))
    assert not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob(".*.mp4"))


async def test_what_ends_in_the_middle_leaves_nothing_and_an_older_video_alone(
    tmp_path: Path,
) -> None:
    out = tmp_path / "o.mp4"
    out.write_bytes(b"older")
    overlay = an_overlay(out)
    await overlay.open()
    for packet in packets([n / 25 for n in range(20)], noise(0)):
        if isinstance(packet, Frame):
            await overlay._draw()
            overlay._frame = overlay._kept(packet)
    await overlay.close()
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    assert out.read_bytes() == b"older"


async def test_a_place_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CrowdstreamError, match="cannot be written"):
        await an_overlay(tmp_path / "file" / "o.mp4").open()
    (tmp_path / "o.mp4").mkdir()
    with pytest.raises(CrowdstreamError, match="is a folder"):
        await an_overlay(tmp_path / "o.mp4").open()
    with pytest.raises(UsageError, match=r"ends in \.mp4"):
        await an_overlay(tmp_path / "o.gif").open()


async def test_nothing_live_is_ever_recorded(tmp_path: Path) -> None:
    with pytest.raises(CrowdstreamError, match="files only"):
        await an_overlay(tmp_path / "o.mp4", offline=False).open()


def test_rates_are_those_that_videos_have() -> None:
    assert rate_of([n / 30 for n in range(12)]) == 30.0
    assert rate_of([round(n / 29.97, 3) for n in range(12)]) in (29.97, 30.0)
    assert rate_of([n * 0.06 for n in range(12)]) == 16.67
    assert rate_of([1.0]) == rate_of([1.0, 1.0]) == 25.0
    assert rate_of([n / 240 for n in range(12)]) == 60.0
    assert rate_of([n * 10.0 for n in range(12)]) == 1.0


def test_sizes_are_even_readable_and_bounded() -> None:
    assert size_of((1280, 720)) == (1280, 720)
    assert size_of((853, 480)) == (852, 480)
    assert size_of((160, 90)) == (640, 360)
    assert size_of((1, 1)) == (360, 360)
    assert size_of((8000, 10)) == (1920, 360)
    assert size_of((720, 1280)) == (720, 1280)
