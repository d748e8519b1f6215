"""Every registered stage keeps the contract of stages, ours by the test that a stranger's takes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import Field

from crowdstream import Frame, Inbox, Motion, Outbox, Source, StageConfig, Transform
from crowdstream.packets import Mix, Packet
from crowdstream.registry import load_stage, stage_names
from crowdstream.stage import Places
from crowdstream.testing import BrokenPromises, check_stage
from crowdstream.testing.check import example_of, some_packets
from crowdstream.testing.fakes import FakeCamera, FakeModel
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks


@dataclass(frozen=True)
class Needs:
    """What a real stage needs to be looked at."""

    settings: dict[str, Any] = field(default_factory=dict)
    offline: bool = True
    cancellations: int = 24
    most_packets: int = 6
    repeatable: bool = True


def needs_of(name: str, folder: Path) -> Needs:
    """Small real things: a clip, two tracks. What has a child costs a second for each life."""
    match name:
        case "video_file":
            return Needs({"path": _a_clip(folder)}, cancellations=4)
        case "camera":
            return Needs({"device": "/dev/video97"}, offline=False)
        case "drawn_crowd":
            return Needs({"seconds": 1.0, "size": (320, 180), "fps": 15}, cancellations=4)
        case "estimate_pose":
            return Needs({"model": "none"})
        case "energy_curve":
            return Needs({"seconds": 1.0})
        case "speakers":
            settings = {"library": _two_tracks(folder), "device": "no such device"}
            return Needs(settings, offline=False, cancellations=3, repeatable=False)
        case "wav_file":
            settings = {"library": _two_tracks(folder), "path": folder / "mix.wav"}
            return Needs(settings, cancellations=6)
        case "report":
            return Needs({"path": folder / "show.jsonl", "header": {"seed": 1}})
        case "overlay":
            return Needs({"path": folder / "overlay.mp4"}, cancellations=8)
        case "osc_out":
            return Needs({"targets": [{"host": "127.0.0.1", "port": 9}]})
    return Needs()


def _a_clip(folder: Path) -> Path:
    path = folder / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (160, 90))
    for number in range(12):
        writer.write(np.full((90, 160, 3), 20 * number, np.uint8))
    writer.release()
    return path


def _two_tracks(folder: Path) -> Path:
    tracks = [a_track("one", form=SHORT_FORM), a_track("two", bpm=122.0, form=SHORT_FORM)]
    library = folder / "library"
    if not library.exists():
        write_clicks(library, tracks)
    return library


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", sorted(stage_names()))
def test_every_stage_keeps_its_promises(name: str, tmp_path: Path) -> None:
    """Settings told and checked, opened and closed twice, ended, cancelled anywhere, in order."""
    needs = needs_of(name, tmp_path)
    came_up = check_stage(
        load_stage(name),
        needs.settings,
        offline=needs.offline,
        places=Places(tmp_path / "cache", tmp_path / "state", tmp_path / "models"),
        cancellations=needs.cancellations,
        most_packets=needs.most_packets,
        repeatable=needs.repeatable,
    )
    assert came_up == (name != "camera")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", sorted(stage_names()))
def test_file_name_and_class_are_the_same_words(name: str) -> None:
    """`stages/map_tempo.py`, `use = "map_tempo"`, `class MapTempo`, `class MapTempoConfig`."""
    stage = load_stage(name)
    words = "".join(word.capitalize() for word in name.split("_"))
    assert (stage.__module__, stage.__name__) == (f"stages.{name}", words)
    assert stage.Config.__name__ == f"{words}Config"
    assert f'use = "{name}"' in (example_of(stage.Config) or "")
    assert inspect.getdoc(stage.Config)


def test_fakes_of_ours_are_stages_too() -> None:
    """But for an example: nobody writes a fake camera into a recipe."""
    assert check_stage(FakeModel)
    with pytest.raises(BrokenPromises) as caught:
        check_stage(FakeCamera, most_packets=5)
    assert caught.value.broken == ("its settings have no Example: in their docstring",)


# A stage for each promise, that breaks this one: the check can fail.


class Good(Transform[Frame, Motion]):
    """Say that nothing moves."""

    def process(self, frame: Frame, /) -> Motion:
        return Motion(
            seq=frame.seq,
            captured_at=frame.captured_at,
            epoch=frame.epoch,
            speed=0.0,
            moving_share=0.0,
            confidence=1.0,
        )


class Undocumented(Good):
    __doc__ = None


class LooseConfig(StageConfig, extra="ignore", allow_inf_nan=True):
    """Settings.

    Example:
        [[stage]]
        use = "loose"
        share = "much"
    """

    share: float = 0.5


class Loose(Good):
    """Takes any settings."""

    Config = LooseConfig


class Swallower(Good):
    """Does not hear that it is cancelled."""

    async def run(self, inbox: Any, outbox: Outbox[Motion]) -> None:
        taken = aiter(inbox)
        while True:
            try:
                packet = await anext(taken)
                await asyncio.sleep(0)
                await outbox.send(self.process(packet))
            except asyncio.CancelledError:
                continue
            except StopAsyncIteration:
                return


class Endless(Good):
    """Goes on when its inbox has ended."""

    async def run(self, inbox: Any, outbox: Outbox[Motion]) -> None:
        async for _ in inbox:
            pass
        await asyncio.sleep(3600)


class Forgetful(Good):
    """Leaves a task behind."""

    async def open(self) -> None:
        self._task = asyncio.create_task(asyncio.sleep(3600))


class Holding(Good):
    """Keeps every picture."""

    def process(self, frame: Frame, /) -> Motion:
        frame.retain()
        return super().process(frame)


class Timeless(Good):
    """Stamps what it sends anew."""

    def process(self, frame: Frame, /) -> Motion:
        return Motion(seq=99, captured_at=0.5, speed=0.0, moving_share=0.0, confidence=1.0)


class Unknowing(Good):
    """Sends what is no number."""

    def process(self, frame: Frame, /) -> Motion:
        nan = float("nan")
        facts = {"seq": frame.seq, "captured_at": frame.captured_at, "epoch": frame.epoch}
        return Motion(speed=nan, moving_share=0.0, confidence=1.0, **facts)  # type: ignore[arg-type]


class Moody(Good):
    """Never says the same twice."""

    lives = 0

    def process(self, frame: Frame, /) -> Motion:
        type(self).lives += 1
        facts = {"seq": frame.seq, "captured_at": frame.captured_at, "epoch": frame.epoch}
        return Motion(
            speed=float(self.lives),
            moving_share=0.0,
            confidence=1.0,
            **facts,  # type: ignore[arg-type]
        )


class ClosesOnce(Good):
    """Cannot be closed when it was not opened."""

    async def open(self) -> None:
        self._file = object()

    async def close(self) -> None:
        del self._file


@pytest.mark.parametrize(
    ("stage", "promise"),
    [
        (Undocumented, "has no docstring"),
        (Loose, "takes settings that it does not know"),
        (Loose, "takes NaN for share"),
        (Loose, "its setting share has no description"),
        (Loose, "its example is not right"),
        (Swallower, "CancelledError must not be swallowed"),
        (Endless, "does not end within 0.2 s"),
        (Forgetful, "leaves tasks behind"),
        (Holding, "still holds 12 of its pictures"),
        (Timeless, "does not keep captured_at"),
        (Timeless, "does not keep seq"),
        (Timeless, "seq does not rise"),
        (Unknowing, "sends Motion.speed that is not finite"),
        (Moody, "gives something else for the same packets"),
        (ClosesOnce, "cannot be closed after it was closed without being opened"),
    ],
)
def test_a_broken_promise_is_told(
    stage: type[Any], promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crowdstream.testing.check.SETTLE_SECONDS", 0.05)
    with pytest.raises(BrokenPromises) as caught:
        check_stage(stage, seconds=0.2)
    assert promise in str(caught.value)


def test_a_good_stage_of_a_stranger_passes() -> None:
    assert check_stage(Good)


class Absent(Source[Frame]):
    """A camera that is not there, whose settings are wrong all the same."""

    class Config(StageConfig):
        """Settings."""

        device: int = Field(0)

    async def open(self) -> None:
        from crowdstream import DeviceError

        raise DeviceError("no camera")

    async def run(self, outbox: Outbox[Frame]) -> None:
        raise AssertionError


def test_a_device_that_is_absent_is_no_broken_promise_but_the_rest_is_looked_at() -> None:
    with pytest.raises(BrokenPromises) as caught:
        check_stage(Absent)
    assert len(caught.value.broken) == 2


def test_some_packets_are_in_order_and_jump_once() -> None:
    packets = some_packets([Frame, Mix])
    assert [type(packet) for packet in packets[:3]] == [Frame, Mix, Frame]
    assert [p.captured_at for p in packets] == sorted(p.captured_at for p in packets)
    assert sorted({packet.epoch for packet in packets}) == [0, 1]
    assert {type(packet) for packet in some_packets([Packet])} > {Frame, Motion, Mix}


def test_iterators_of_the_check_are_inboxes() -> None:
    """What a plugin's author annotates fits what the check hands over."""

    class Reader:
        def __aiter__(self) -> AsyncIterator[Frame]:
            raise NotImplementedError

    inbox: Inbox[Frame] = Reader()
    assert inbox
