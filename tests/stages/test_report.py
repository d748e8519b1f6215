"""The show written down: a line each tenth of a second, and nothing lost or left behind."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdstream.errors import CrowdstreamError
from crowdstream.packets import (
    DeckState,
    Energy,
    Frame,
    Motion,
    Packet,
    Playing,
    ShowEvent,
    Tempo,
    Truth,
)
from crowdstream.testing import ManualClock, a_context, run_stage
from crowdstream.testing.bodies import bodies
from crowdstream.testing.fakes import a_frame
from crowdstream.testing.stages import SilentLog
from stages.report import Report, ReportConfig

NAN = float("nan")


def energy(at: float, level: float = 0.5, **facts: Any) -> Energy:
    fields: dict[str, Any] = {
        "level": level, "raw": level, "speed": 1.0, "confidence": 0.9, "drive": level,
        "fresh_from": "pose", "eyes": ("pose",),
    } | facts  # fmt: skip
    return Energy(seq=int(at * 1000), captured_at=at, **fields)


def playing(at: float, *events: ShowEvent, **facts: Any) -> Playing:
    fields: dict[str, Any] = {
        "sample": int(at * 44100), "beat": at * 2, "bar": int(at / 2), "bpm": 120.0,
        "bpm_wanted": 121.0, "drive": 0.5, "phrase": 0, "section": "groove", "track": "Übung",
        "next": None, "bars_to_next": None, "bars_to_drop": None,
        "decks": (DeckState(track="Übung", track_id="u", beat=at * 2, section="groove",
                            gains=(1.0, 1.0, 0.0, 0.5)),),
        "gains": (1.0, 1.0, 0.0, 0.5), "lufs": None, "peak": 0.5,
    } | facts  # fmt: skip
    return Playing(seq=int(at * 1000), captured_at=at, events=events, **fields)


def drawn(at: float) -> Frame:
    frame = a_frame(int(at * 30), at=at)
    joints = bodies(2, at)
    truth = Truth(
        joints=joints, ids=np.array([3, 4]), speed=1.0, energy=0.45, bpm=120.0, beat_phase=0.0,
        synchrony=0.5, scene="a lull",
    )  # fmt: skip
    return Frame(
        seq=frame.seq, captured_at=at, picture=frame.picture, grey=frame.grey,
        source_size=frame.source_size, truth=truth,
    )  # fmt: skip


def lines_of(path: Path) -> list[dict[str, Any]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = path.read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


async def report(path: Path, packets: list[Packet], **settings: Any) -> list[dict[str, Any]]:
    stage = Report(ReportConfig(path=path, **settings), a_context("report"))
    await run_stage(stage, packets)
    return lines_of(path)


async def test_a_line_each_tenth_with_the_newest_of_everything(tmp_path: Path) -> None:
    packets: list[Packet] = []
    for n in range(20):
        at = n / 20
        packets += [
            energy(at, level=n / 20),
            Tempo(seq=n, captured_at=at, bpm=100.0 + n),
            playing(at, bpm=110.0 + n),
        ]
    lines = await report(tmp_path / "show.jsonl", packets)
    assert [line["t"] for line in lines] == pytest.approx([n / 10 for n in range(11)])
    assert lines[5] == lines[5] | {
        "energy": 0.5, "drive": 0.5, "confidence": 0.9, "bpm_wanted": 110.0, "bpm": 120.0,
        "track": "Übung", "next": None, "lufs": None, "energy_true": None, "people": None,
        "gains": {"drums": 1.0, "bass": 1.0, "vocals": 0.0, "other": 0.5}, "eyes": ["pose"],
        "state": "ok",
    }  # fmt: skip
    assert lines[5]["decks"][0]["gains"]["other"] == 0.5


async def test_one_line_for_each_picture_that_was_analysed(tmp_path: Path) -> None:
    """With two eyes the later measurement of a picture counts, and no line is a tick's."""
    packets: list[Packet] = []
    for n in range(4):
        at = n / 25
        packets += [
            energy(at, 0.1, fresh_from="motion"),
            energy(at, 0.2 + n / 10, fresh_from="pose"),
            energy(at + 0.02, 0.9, fresh_from=None),
        ]
    lines = await report(tmp_path / "clip.jsonl", packets, every="frame")
    assert [line["t"] for line in lines] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert [line["energy"] for line in lines] == pytest.approx([0.2, 0.3, 0.4, 0.5])


async def test_decisions_stand_between_the_lines_at_their_own_time(tmp_path: Path) -> None:
    drop = ShowEvent(t=0.16, event="drop", why="energy rose", facts={"stem": "bass", "x": NAN})
    lines = await report(tmp_path / "s.jsonl", [playing(0.0), playing(0.15, drop), playing(0.3)])
    assert [line.get("event") for line in lines] == [None, None, "drop", None, None]
    assert lines[2] == {"t": 0.16, "event": "drop", "why": "energy rose", "stem": "bass", "x": None}


async def test_what_is_not_known_is_null_and_never_nan(tmp_path: Path) -> None:
    packets = [energy(0.0, NAN, arms=NAN), playing(0.0, lufs=float("-inf"), bpm=NAN)]
    (line,) = await report(tmp_path / "s.jsonl", list(packets))
    assert [line[key] for key in ("energy", "arms", "lufs", "bpm", "groove")] == [None] * 5


async def test_the_truth_of_drawn_people_and_their_joints_when_asked(tmp_path: Path) -> None:
    (line,) = await report(tmp_path / "s.jsonl", [drawn(0.0)])
    assert (line["energy_true"], line["people_true"], line["scene"]) == (0.45, 2, "a lull")
    assert "joints" not in line
    (line,) = await report(tmp_path / "s.jsonl", [drawn(0.0)], joints=True)
    assert (line["ids"], [len(joints) for joints in line["joints"]]) == ([3, 4], [34, 34])
    assert line["aspect"] == pytest.approx(16 / 9, abs=1e-3)


async def test_joints_of_real_people_are_never_written(tmp_path: Path) -> None:
    (line,) = await report(tmp_path / "s.jsonl", [energy(0.0, people=2)], joints=True)
    assert "joints" not in line


async def test_the_first_line_says_what_this_is(tmp_path: Path) -> None:
    first, *_ = await report(tmp_path / "s.jsonl", [energy(0.0)], header={"seed": 7})
    assert first == {"t": 0.0, "event": "show", "why": "begin", "seed": 7}


async def test_a_long_silence_is_not_filled_with_invented_lines(tmp_path: Path) -> None:
    lines = await report(tmp_path / "s.jsonl", [energy(0.0), energy(3600.0)])
    assert len(lines) <= 3


async def test_what_the_light_does_and_whose_state_counts(tmp_path: Path) -> None:
    moved = Motion(
        seq=0, captured_at=0.0, speed=1.0, moving_share=0.1, confidence=0.5, light="flashing"
    )
    (line,) = await report(tmp_path / "s.jsonl", [moved, energy(0.0, state="flashing")])
    assert (line["light"], line["state"]) == ("flashing", "flashing")
    both = [energy(0.0, state="dark"), playing(0.0, state="hold")]
    assert (await report(tmp_path / "s.jsonl", list(both)))[0]["state"] == "hold"
    assert (await report(tmp_path / "s.jsonl", [playing(0.0)]))[0]["state"] == "stale"


async def test_offline_a_report_without_its_end_is_not_left_behind(tmp_path: Path) -> None:
    """And one that was there before is not harmed."""
    path = tmp_path / "show.jsonl"
    path.write_text("yesterday's\n")
    stage = Report(ReportConfig(path=path), a_context("report"))
    await stage.open()
    assert [p.name for p in tmp_path.iterdir()] != ["show.jsonl"]
    await stage.close()
    assert [p.name for p in tmp_path.iterdir()] == ["show.jsonl"]
    assert path.read_text() == "yesterday's\n"


class Feed:
    """An inbox that a test fills."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[Packet | None] = asyncio.Queue(100)

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Packet:
        packet = await self.packets.get()
        if packet is None:
            raise StopAsyncIteration
        return packet


async def a_night(path: Path, clock: ManualClock, tenths: int, **settings: Any) -> SilentLog:
    """One life of the stage, live, cancelled in the middle of its work."""
    log = SilentLog()
    context = a_context("report", clock=clock, offline=False, log=log)
    stage = Report(ReportConfig(path=path, **settings), context)
    feed = Feed()
    await stage.open()
    task = asyncio.create_task(stage.run(feed))
    for _ in range(tenths):
        feed.packets.put_nowait(energy(clock.now()))
        while not feed.packets.empty():
            await asyncio.sleep(0)
        await clock.advance(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stage.close()
    return log


async def test_live_a_stage_that_is_started_again_goes_on_where_it_was(tmp_path: Path) -> None:
    """The night so far is not wiped, its time goes on, and what was not written yet is."""
    path, clock = tmp_path / "night.jsonl", ManualClock(1000.0)
    await a_night(path, clock, 15, header={"seed": 1})
    assert len(lines_of(path)) >= 14
    await clock.advance(5.0)
    await a_night(path, clock, 15, header={"seed": 1})
    lines = lines_of(path)
    assert [line["event"] for line in lines if "event" in line] == ["show"]
    times = [line["t"] for line in lines]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(1.5 + 5.0 + 1.3, abs=0.2)
    assert len(times) >= 28


async def test_a_report_has_an_end_and_the_show_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    log = await a_night(path, ManualClock(), 60, max_megabytes=0.001)
    assert path.stat().st_size <= 1000
    assert [event for _, event, _ in log.said] == ["report_full"]


@pytest.mark.parametrize("offline", [True, False])
async def test_a_folder_that_cannot_be_written_is_known_at_once(
    offline: bool, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "show.jsonl"
    stage = Report(ReportConfig(path=path), a_context("report", offline=offline))
    with pytest.raises(CrowdstreamError, match=r"show\.jsonl: cannot be written: "):
        await stage.open()
    await stage.close()


class SmallDisk:
    """Has room for so many bytes, then none, then room again."""

    def __init__(self, room: int) -> None:
        self.room, self.data = room, b""

    def write(self, data: memoryview) -> int:
        taken = bytes(data[: self.room])
        if not taken:
            self.room = 10_000
            raise OSError(28, "No space left on device")
        self.data += taken
        self.room -= len(taken)
        return len(taken)


def test_after_a_full_disk_only_the_torn_line_is_lost(tmp_path: Path) -> None:
    stage = Report(ReportConfig(path=tmp_path / "s.jsonl"), a_context("report"))
    disk: Any = SmallDisk(room=9)
    with pytest.raises(OSError, match="No space"):
        stage._write(disk, b'{"t": 1}\n{"t": 2}\n')
    stage._write(disk, b'{"t": 3}\n')
    stage._write(disk, b'{"t": 4}\n')
    lines = disk.data.decode().splitlines()
    assert [json.loads(line) for line in lines if line] == [{"t": 1}, {"t": 3}, {"t": 4}]


async def test_a_full_disk_is_told_and_live_the_show_goes_on(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    log = await a_night(Path("/dev/full"), ManualClock(), 30)
    assert {event for _, event, _ in log.said} == {"report_not_written"}


@pytest.mark.parametrize("content", [b"\x00\x00\x00 ftypisom", b"pipeline = 'live'\n"])
async def test_live_a_file_that_is_no_show_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """A slip of the pen does not cost the technician a clip or the configuration."""
    path = tmp_path / "party.mp4"
    path.write_bytes(content)
    stage = Report(ReportConfig(path=path), a_context(folder=tmp_path, offline=False))
    with pytest.raises(CrowdstreamError, match="is no show"):
        await stage.open()
    await stage.close()
    assert path.read_bytes() == content
