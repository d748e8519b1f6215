"""What somebody writes who makes a stage outside: only type-checked, with mypy --strict.

Nothing but the names of `crowdstream` and `crowdstream.testing` is used; these are the promise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import assert_type

from pydantic import Field

from crowdstream import (
    Context,
    DeviceError,
    Energy,
    Frame,
    Inbox,
    Intake,
    Outbox,
    Packet,
    People,
    Sink,
    Source,
    Stage,
    StageConfig,
    Tempo,
    Tick,
    Transform,
    WhenFull,
)
from crowdstream.testing import ManualClock, a_context, check_stage, run_stage


class CountPeopleConfig(StageConfig):
    """Settings of `count_people`.

    Example:
        [[stage]]
        use = "count_people"
        at_most = 40
    """

    at_most: int = Field(100, ge=1, description="Energy 1 is so many people.")


class CountPeople(Transform[People, Energy]):
    """Energy by how many are there: the weakest strength, one function."""

    Config = CountPeopleConfig
    intake = Intake(1, WhenFull.DROP_OLDEST)

    def __init__(self, config: CountPeopleConfig, context: Context) -> None:
        super().__init__(config, context)
        self._at_most = config.at_most

    def process(self, people: People, /) -> Energy | None:
        if not len(people.ids):
            return None
        level = min(1.0, len(people.ids) / self._at_most)
        return Energy(
            seq=people.seq,
            captured_at=people.captured_at,
            epoch=people.epoch,
            level=level,
            raw=level,
            speed=0.0,
            confidence=0.5,
            drive=level,
        )


class Pulse(Transform[Energy | Tempo, Tempo]):
    """Two kinds in, and a tick while none comes."""

    tick_seconds = 0.5

    def process(self, packet: Energy | Tempo, /) -> Tempo | None:
        return packet if isinstance(packet, Tempo) else None

    def tick(self, now: float) -> Tempo | None:
        return Tempo(seq=0, captured_at=now, bpm=112.0)


class Batch(Stage[Frame, People]):
    """Writes its own loop, because it hands work to a thread of its own."""

    async def run(self, inbox: Inbox[Frame | Tick], outbox: Outbox[People]) -> None:
        async for frame in inbox:
            if isinstance(frame, Tick):
                continue
            assert_type(frame, Frame)
            for people in await self.context.offload(self._look, frame):
                await outbox.send(people)

    def _look(self, frame: Frame) -> Sequence[People]:
        return []


class Lidar(Source[Energy]):
    """A source: an outbox only."""

    silence_is_normal = True

    async def open(self) -> None:
        if not Path("/dev/lidar").exists():
            raise DeviceError("/dev/lidar: no such sensor")

    async def run(self, outbox: Outbox[Energy]) -> None:
        await self.context.clock.sleep(0.1)


class Lamp(Sink[Energy]):
    """A sink: an inbox only."""

    async def run(self, inbox: Inbox[Energy | Tick]) -> None:
        async for packet in inbox:
            assert_type(packet, Energy | Tick)


class ListInbox:
    """A list and a test can play an inbox."""

    def __init__(self, packets: Sequence[Energy]) -> None:
        self._packets = packets

    async def __aiter__(self) -> AsyncIterator[Energy]:
        for packet in self._packets:
            yield packet


class ListOutbox:
    """And an outbox; one that takes every packet takes energies too."""

    def __init__(self) -> None:
        self.sent: list[Packet] = []

    async def send(self, packet: Packet, /) -> None:
        self.sent.append(packet)


async def use(energies: list[Energy]) -> None:
    context = a_context("lamp", clock=ManualClock())
    await Lamp(StageConfig(), context).run(ListInbox(energies))
    await Lidar(StageConfig(), context).run(ListOutbox())
    assert_type(await run_stage(Pulse(StageConfig(), context), energies), list[Packet])
    assert_type(check_stage(CountPeople, {"at_most": 3}), bool)


# What must be refused, is: an unused `type: ignore` is an error of its own.
class Wrong(Transform[People, Energy]):
    """Takes what it does not say."""

    def process(self, frame: Frame, /) -> Energy | None:  # type: ignore[override]
        return None


class WrongOut(Transform[People, Energy]):
    """Gives what it does not say."""

    def process(self, people: People, /) -> Tempo | None:  # type: ignore[override]
        return None


class NoPacket(Transform[int, Energy]):  # type: ignore[type-var]
    """Takes what does not travel."""

    def process(self, number: int, /) -> Energy | None:
        return None
