"""The hand-over between stages: what is kept, what is dropped, and in which order."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.channel import Channel, FanOut, MergingInbox, WhenFull
from crowdstream.errors import ChannelClosed
from crowdstream.packets import Packet, Tick
from crowdstream.testing import ManualClock


def a_packet(seq: int, at: float | None = None) -> Packet:
    return Packet(seq=seq, captured_at=float(seq) if at is None else at)


@dataclass
class Counted:
    """A lease that counts its holders."""

    holders: int = 1

    def retain(self) -> None:
        self.holders += 1

    def release(self) -> None:
        self.holders -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased(Packet):
    """A packet that borrows memory."""

    lease: Counted

    def retain(self) -> None:
        self.lease.retain()

    def release(self) -> None:
        self.lease.release()


async def test_model_gets_the_newest_frame() -> None:
    """A frame that waited is dropped for a newer one."""
    frames = Channel[Packet](capacity=1, when_full=WhenFull.DROP_OLDEST)
    for seq in range(5):
        await frames.send(a_packet(seq))
    frames.close()
    assert [frame.seq async for frame in frames] == [4]
    assert (frames.stats().sent, frames.stats().dropped) == (5, 4)


async def test_drop_newest_keeps_what_waited() -> None:
    """The new packet goes when the policy says so."""
    channel = Channel[Packet](capacity=2, when_full=WhenFull.DROP_NEWEST)
    for seq in range(5):
        await channel.send(a_packet(seq))
    channel.close()
    assert [packet.seq async for packet in channel] == [0, 1]


async def test_a_full_blocking_channel_makes_its_writer_wait() -> None:
    """Nothing is lost, and the writer goes on as soon as there is room."""
    channel = Channel[Packet](capacity=1, when_full=WhenFull.BLOCK)
    await channel.send(a_packet(0))
    writer = asyncio.create_task(channel.send(a_packet(1)))
    await asyncio.sleep(0)
    assert not writer.done()
    assert channel.take().seq == 0
    await writer
    assert channel.take().seq == 1
    assert channel.stats().dropped == 0


async def test_sending_to_a_reader_who_left_is_an_end() -> None:
    """A blocked writer is woken when its reader leaves, and told."""
    channel = Channel[Packet](capacity=1, when_full=WhenFull.BLOCK)
    await channel.send(a_packet(0))
    writer = asyncio.create_task(channel.send(a_packet(1)))
    await asyncio.sleep(0)
    channel.abandon()
    with pytest.raises(ChannelClosed):
        await writer


@pytest.mark.parametrize("capacity", [0, -1])
def test_there_is_no_channel_without_capacity(capacity: int) -> None:
    """And so none that is unbounded."""
    with pytest.raises(ValueError, match="at least one"):
        Channel[Packet](capacity, WhenFull.BLOCK)


@given(st.integers(1, 8), st.integers(0, 40))
def test_drop_oldest_keeps_the_newest(capacity: int, count: int) -> None:
    """Of any number of packets the newest `capacity` are kept, in order."""

    async def kept() -> list[int]:
        channel = Channel[Packet](capacity, WhenFull.DROP_OLDEST)
        for seq in range(count):
            await channel.send(a_packet(seq))
        channel.close()
        return [packet.seq async for packet in channel]

    assert asyncio.run(kept()) == list(range(count))[-capacity:] if count else True


async def test_every_hold_is_let_go_whatever_becomes_of_a_packet() -> None:
    """Sent to two readers, dropped by one, taken by the other, abandoned: the slot is free."""
    clock = ManualClock()
    slow = Channel[Leased](1, WhenFull.DROP_OLDEST)
    quick = Channel[Leased](4, WhenFull.DROP_OLDEST)
    outbox = FanOut([slow, quick], clock=clock)
    leases = [Counted() for _ in range(3)]
    for seq, lease in enumerate(leases):
        await outbox.send(Leased(seq=seq, captured_at=seq, lease=lease))
    assert [lease.holders for lease in leases] == [1, 1, 2]
    inbox = MergingInbox([quick], clock=clock, offline=False)
    assert [(await anext(inbox)).seq for _ in range(2)] == [0, 1]  # type: ignore[union-attr]
    assert [lease.holders for lease in leases] == [0, 1, 2]
    inbox.abandon()
    slow.abandon()
    assert [lease.holders for lease in leases] == [0, 0, 0]


async def _merged(
    left: list[float], right: list[float], *, reverse: bool, tick: float | None = None
) -> list[tuple[str, float]]:
    """What an offline inbox yields when two writers send in one or the other order."""
    clock = ManualClock()
    edges = [Channel[Packet](1, WhenFull.BLOCK), Channel[Packet](1, WhenFull.BLOCK)]
    inbox = MergingInbox(edges, clock=clock, offline=True, tick_seconds=tick)

    async def write(edge: Channel[Packet], times: list[float], name: int) -> None:
        outbox = FanOut([edge], clock=clock)
        for at, later in zip(times, [*times, math.inf][1:], strict=True):
            await outbox.send(a_packet(name, at))
            if reverse:
                await asyncio.sleep(0)
            if later > at:  # a watermark promises that nothing so old follows
                outbox.advance(at)
        outbox.close()

    writers = [(edges[0], left, 0), (edges[1], right, 1)]
    if reverse:
        writers.reverse()
    tasks = [asyncio.create_task(write(*writer)) for writer in writers]
    seen = []
    async for item in inbox:
        if isinstance(item, Tick):
            seen.append(("tick", item.now))
        else:
            seen.append(("left" if item.seq == 0 else "right", item.captured_at))
    await asyncio.gather(*tasks)
    return seen


times = st.lists(st.integers(0, 50).map(lambda n: n / 8), max_size=12).map(sorted)


@given(times, times, st.sampled_from([None, 0.25, 0.7]))
def test_an_offline_merge_does_not_depend_on_who_was_quicker(
    left: list[float], right: list[float], tick: float | None
) -> None:
    """The order is that of time, then of the recipe; with ticks between, the same every time."""
    one = asyncio.run(_merged(left, right, reverse=False, tick=tick))
    other = asyncio.run(_merged(left, right, reverse=True, tick=tick))
    assert one == other
    packets = [item for item in one if item[0] != "tick"]
    wanted = [("left", at) for at in left] + [("right", at) for at in right]
    assert packets == sorted(wanted, key=lambda item: (item[1], item[0]))
    assert [at for _, at in one] == sorted(at for _, at in one)


async def test_a_merge_does_not_wait_for_what_was_skipped() -> None:
    """A stage that passes its watermark on without sending holds nobody up."""
    clock = ManualClock()
    edges = [Channel[Packet](1, WhenFull.BLOCK), Channel[Packet](1, WhenFull.BLOCK)]
    inbox = MergingInbox(edges, clock=clock, offline=True)
    await edges[0].send(a_packet(0, at=1.0))
    edges[1].advance(1.0)  # nothing of the second edge is as old as this
    assert (await anext(inbox)).captured_at == 1.0  # type: ignore[union-attr]


async def test_a_live_inbox_ticks_while_nothing_comes() -> None:
    """By the clock, counted from the packet before."""
    clock = ManualClock(100.0)
    edge = Channel[Packet](1, WhenFull.BLOCK)
    inbox = MergingInbox([edge], clock=clock, offline=False, tick_seconds=0.05)
    waiting = asyncio.create_task(anext(inbox))
    await asyncio.sleep(0)
    await clock.advance(0.04)
    assert not waiting.done()
    await clock.advance(0.02)
    assert isinstance(await waiting, Tick)
    await edge.send(a_packet(7))
    assert (await anext(inbox)).seq == 7  # type: ignore[union-attr]
    edge.close()
    with pytest.raises(StopAsyncIteration):
        await anext(inbox)
