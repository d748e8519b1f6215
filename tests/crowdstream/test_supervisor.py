"""A chain that goes on: faults are healed, ends flow downstream, nothing is left behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from crowdstream.clock import SystemClock
from crowdstream.config import Config
from crowdstream.errors import DeviceError, StageFailed
from crowdstream.packets import Frame, Packet, People
from crowdstream.plan import make_plan
from crowdstream.recipe import Recipe
from crowdstream.stage import (
    Context,
    Inbox,
    Outbox,
    Places,
    Sink,
    Source,
    Stage,
    StageConfig,
    Transform,
)
from crowdstream.status import StageState
from crowdstream.supervisor import Supervisor
from crowdstream.testing.fakes import Collect, FakeCamera, a_frame
from crowdstream.testing.stages import SilentLog

HERE = __name__


class Endless(Source[Frame]):
    """Sends for ever."""

    async def run(self, outbox: Outbox[Frame]) -> None:
        seq = 0
        while True:
            await outbox.send(a_frame(seq, at=self.context.clock.now()))
            seq += 1
            await asyncio.sleep(0.001)


class Stubborn(Sink[Packet]):
    """Does not end when its inbox ends."""

    async def run(self, inbox: Inbox[Any]) -> None:
        async for _ in inbox:
            pass
        await asyncio.sleep(3600)


class Hanging(Stage[Frame, People]):
    """Takes one packet and never comes back, the first time."""

    lives: ClassVar[int] = 0

    async def run(self, inbox: Inbox[Any], outbox: Outbox[People]) -> None:
        type(self).lives += 1
        async for _ in inbox:
            if type(self).lives == 1:
                await asyncio.sleep(3600)


class CannotOpen(Source[Frame]):
    """A camera that is not there."""

    async def open(self) -> None:
        raise DeviceError("/dev/video9: no such camera")

    async def run(self, outbox: Outbox[Frame]) -> None:
        raise AssertionError


class Slowed(Sink[Packet]):
    """Says of itself that it is slow."""

    async def run(self, inbox: Inbox[Any]) -> None:
        async for _ in inbox:
            self.note = "looks 5 times a second"


class Noting(Transform[Frame, People]):
    """Notes the order of the openings and closings of all its kind."""

    noted: ClassVar[list[str]] = []

    def __init__(self, config: StageConfig, context: Context) -> None:
        super().__init__(config, context)

    async def open(self) -> None:
        self.noted.append(f"open {self.context.name}")

    async def close(self) -> None:
        self.noted.append(f"close {self.context.name}")

    def process(self, packet: Frame, /) -> People | None:
        return None


def a_supervisor(
    tmp_path: Path, *stages: dict[str, Any], offline: bool = False, **kwargs: Any
) -> Supervisor:
    recipe = Recipe.model_validate({"offline": offline, "stage": stages})
    places = Places(tmp_path, tmp_path, tmp_path)
    plan = make_plan(recipe, Config(), must_open=kwargs.pop("must_open", ()))
    return Supervisor(plan, clock=SystemClock(), log=SilentLog(), places=places, **kwargs)


async def test_the_end_of_the_source_is_the_end_of_the_chain(tmp_path: Path) -> None:
    """Everything that was sent arrives, and every stage has finished."""
    supervisor = a_supervisor(
        tmp_path,
        {"use": "crowdstream.testing.fakes:FakeCamera", "frames": 50},
        {"use": "crowdstream.testing.fakes:FakeModel"},
        {"use": "crowdstream.testing.fakes:Collect"},
        offline=True,
    )
    await supervisor.run(asyncio.Event())
    assert [packet.seq for packet in Collect.kept] == list(range(50))
    assert {stage.state for stage in supervisor.status().stages} == {StageState.FINISHED}


async def test_a_stage_that_raises_is_made_anew_and_the_chain_goes_on(tmp_path: Path) -> None:
    """Its channels outlive it; the fault is counted and named."""
    FakeCamera.failed = False
    supervisor = a_supervisor(
        tmp_path,
        {"use": "crowdstream.testing.fakes:FakeCamera", "frames": 20, "fps": 1000, "fail_at": 5},
        {"use": "crowdstream.testing.fakes:Collect", "inbox": {"when_full": "block"}},
    )
    await supervisor.run(asyncio.Event())
    camera = supervisor.status().stage("FakeCamera")
    assert camera is not None
    assert camera.restarts == 1
    assert [packet.seq for packet in Collect.kept] == [*range(5), *range(20)]
    assert "the cable was pulled" in [change.why for change in supervisor.status().changes]


async def test_offline_a_fault_ends_the_run(tmp_path: Path) -> None:
    """Half a result is none; the name of the stage and the cause are told."""
    FakeCamera.failed = False
    supervisor = a_supervisor(
        tmp_path,
        {"use": "crowdstream.testing.fakes:FakeCamera", "fail_at": 5},
        {"use": "crowdstream.testing.fakes:Collect"},
        offline=True,
    )
    with pytest.raises(StageFailed, match="FakeCamera: the cable was pulled"):
        await supervisor.run(asyncio.Event())


async def test_what_the_command_line_named_must_open(tmp_path: Path) -> None:
    """Only then is a device that is not there the end of a live run."""
    stages = ({"use": f"{HERE}:CannotOpen"}, {"use": "crowdstream.testing.fakes:Collect"})
    with pytest.raises(StageFailed) as raised:
        await a_supervisor(tmp_path, *stages, must_open=["CannotOpen"]).run(asyncio.Event())
    assert isinstance(raised.value.__cause__, DeviceError)


async def test_a_device_that_is_absent_is_retried_and_stopping_does_not_wait_for_it(
    tmp_path: Path,
) -> None:
    """Degraded, with its reason; a stop in the middle of a wait is at once."""
    supervisor = a_supervisor(
        tmp_path, {"use": f"{HERE}:CannotOpen"}, {"use": "crowdstream.testing.fakes:Collect"}
    )
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await supervisor.started.wait()
    assert supervisor.status().state == "degraded"
    stage = supervisor.status().stage("CannotOpen")
    assert stage is not None
    assert (stage.state, stage.why) == (StageState.RESTARTING, "/dev/video9: no such camera")
    stop.set()
    async with asyncio.timeout(1):
        await running


async def test_a_soft_stop_ends_sources_and_lets_the_rest_finish(tmp_path: Path) -> None:
    """Nothing that was sent is lost on the way down."""
    supervisor = a_supervisor(
        tmp_path,
        {"use": f"{HERE}:Endless"},
        {"use": "crowdstream.testing.fakes:FakeModel"},
        {"use": "crowdstream.testing.fakes:Collect"},
    )
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await supervisor.started.wait()
    while len(getattr(Collect, "kept", [])) < 10:
        await asyncio.sleep(0.001)
    stop.set()
    async with asyncio.timeout(2):
        await running
    source = supervisor.status().stage("Endless")
    assert source is not None
    # The one in hand when the stop came is the source's own; all that it sent arrived.
    assert len(Collect.kept) == source.sent


async def test_a_stage_that_does_not_hear_the_end_is_ended_hard(tmp_path: Path) -> None:
    """After the grace time, not for ever."""
    supervisor = a_supervisor(
        tmp_path, {"use": f"{HERE}:Endless"}, {"use": f"{HERE}:Stubborn"}, grace_seconds=0.2
    )
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await supervisor.started.wait()
    stop.set()
    async with asyncio.timeout(2):
        await running


async def test_a_stage_that_is_stuck_with_one_packet_is_made_anew(tmp_path: Path) -> None:
    """Busy for too long is stuck; waiting never is."""
    Hanging.lives = 0
    supervisor = a_supervisor(
        tmp_path,
        {"use": f"{HERE}:Endless"},
        {"use": f"{HERE}:Hanging", "inbox": {"capacity": 1, "when_full": "drop_oldest"}},
        stall_after_seconds=0.2,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    async with asyncio.timeout(5):
        while Hanging.lives < 2:
            await asyncio.sleep(0.01)
    stop.set()
    async with asyncio.timeout(2):
        await running
    assert any("busy with one packet" in change.why for change in supervisor.status().changes)


async def test_what_a_stage_says_of_itself_stands_in_the_status(tmp_path: Path) -> None:
    """A note is there while the stage works, and gone with it."""
    supervisor = a_supervisor(tmp_path, {"use": f"{HERE}:Endless"}, {"use": f"{HERE}:Slowed"})
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await supervisor.started.wait()

    def note() -> str:
        stage = supervisor.status().stage("Slowed")
        assert stage is not None
        return stage.note

    while not note():
        await asyncio.sleep(0.001)
    assert note() == "looks 5 times a second"
    stop.set()
    async with asyncio.timeout(2):
        await running
    assert not note()


async def test_stages_open_from_the_last_to_the_first(tmp_path: Path) -> None:
    """Whoever sends finds a listener; each is closed once."""
    Noting.noted.clear()
    supervisor = a_supervisor(
        tmp_path,
        {"use": "crowdstream.testing.fakes:FakeCamera", "frames": 3},
        {"use": f"{HERE}:Noting", "name": "first"},
        {"use": f"{HERE}:Noting", "name": "second", "from": "FakeCamera"},
        offline=True,
    )
    await supervisor.run(asyncio.Event())
    assert Noting.noted[:2] == ["open second", "open first"]
    assert sorted(Noting.noted[2:]) == ["close first", "close second"]


class Borrowing(Source[Frame]):
    """Sends one picture whose memory is counted, and then waits."""

    holders: ClassVar[int] = 0

    def retain(self) -> None:
        type(self).holders += 1

    def release(self) -> None:
        type(self).holders -= 1

    async def run(self, outbox: Outbox[Frame]) -> None:
        type(self).holders = 1
        await outbox.send(replace(a_frame(0, at=self.context.clock.now()), lease=self))
        await asyncio.sleep(3600)


class Dropping(Sink[Packet]):
    """Fails at once with the packet in its hand, and then opens no more."""

    lives: ClassVar[int] = 0

    async def open(self) -> None:
        type(self).lives += 1
        if self.lives > 1:
            await asyncio.sleep(3600)

    async def run(self, inbox: Inbox[Any]) -> None:
        async for _ in inbox:
            raise OSError("it slipped")


async def test_what_a_failed_stage_held_is_free_before_it_is_made_anew(tmp_path: Path) -> None:
    """A slot of the camera's is not lost for as long as somebody else is not well."""
    Dropping.lives = 0
    supervisor = a_supervisor(tmp_path, {"use": f"{HERE}:Borrowing"}, {"use": f"{HERE}:Dropping"})
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    async with asyncio.timeout(5):
        while Dropping.lives < 2:
            await asyncio.sleep(0.01)
    assert Borrowing.holders == 0
    stop.set()
    async with asyncio.timeout(2):
        await running
