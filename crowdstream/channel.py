"""Bounded hand-over between two stages, and the inbox and outbox made of it.

A `Channel` belongs to one edge of the chain: one writer, one reader, a capacity, and a named
policy for when it is full. An `Outbox` writes to all edges that leave a stage; an `Inbox` merges
all edges that enter one:

    live      in order of arrival
    offline   in order of (captured_at, order of the edges in the recipe)

Offline an inbox must know that nothing older can still come. So each edge also carries a
*watermark*: everything captured at or before it has been sent. A stage passes its own watermark
on when it asks for its next packet; a packet that was skipped moves it as well as one that was
sent, so a merge never waits for what will not come.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from crowdstream.errors import ChannelClosed
from crowdstream.packets import Packet, Tick

if TYPE_CHECKING:
    from crowdstream.clock import Clock

T = TypeVar("T", bound=Packet)
In_co = TypeVar("In_co", covariant=True)
Out_contra = TypeVar("Out_contra", bound=Packet, contravariant=True)

_arrivals = itertools.count()


class WhenFull(enum.StrEnum):
    """What a full channel does with one more packet."""

    BLOCK = "block"
    """The writer waits. For what is cheap and must be complete."""

    DROP_OLDEST = "drop_oldest"
    """The oldest packet goes. For what is only worth something while it is new."""

    DROP_NEWEST = "drop_newest"
    """The new packet goes. For what must not be disturbed once it waits."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """What may be known about a channel from outside."""

    name: str
    capacity: int
    waiting: int
    sent: int
    dropped: int


class Inbox(Protocol[In_co]):
    """What a stage reads: an async iterator that ends when all its feeders have ended."""

    def __aiter__(self) -> AsyncIterator[In_co]:
        """The packets, one after the other."""


class Outbox(Protocol[Out_contra]):
    """What a stage writes."""

    async def send(self, packet: Out_contra, /) -> None:
        """Hand the packet on, and with it the sender's hold on any borrowed memory."""


class Channel(Generic[T]):
    """One edge: packets in, the same packets out, never more than `capacity` waiting."""

    def __init__(self, capacity: int, when_full: WhenFull, *, name: str = "") -> None:
        """`capacity` of at least 1; there is no unbounded channel."""
        if capacity < 1:
            raise ValueError(f"a channel holds at least one packet, not {capacity}")
        self.capacity = capacity
        self.when_full = when_full
        self.name = name
        self.changed = asyncio.Event()
        """Set whenever the reader may find something new; an inbox puts its own here."""
        self.on_drop: Callable[[T], None] | None = None
        """Told of each packet that is dropped, before it is let go."""
        self.watermark = -math.inf
        """Everything captured at or before this has been sent."""
        self.end_mark = -math.inf
        """The last watermark before the writer closed: offline time goes no further."""
        self._waiting: deque[tuple[int, T]] = deque()
        self._room = asyncio.Event()
        self._closed = False
        self._abandoned = False
        self._sent = 0
        self._dropped = 0

    async def send(self, packet: T) -> None:
        """Hand a packet over; waits only when full and the policy is `block`.

        The packet's hold goes with it: the channel or its reader releases it.

        Raises:
            ChannelClosed: the reader is gone, or the writer had closed it.
        """
        while (
            self.when_full is WhenFull.BLOCK
            and len(self._waiting) >= self.capacity
            and not (self._abandoned or self._closed)
        ):
            self._room.clear()
            await self._room.wait()
        self.send_nowait(packet)

    def send_nowait(self, packet: T) -> None:
        """Hand a packet over without waiting; a full channel drops, whatever its policy."""
        if self._closed or self._abandoned:
            packet.release()
            raise ChannelClosed(f"{self.name or 'the channel'} is closed")
        self._sent += 1
        if len(self._waiting) >= self.capacity:
            if self.when_full is WhenFull.DROP_NEWEST:
                self._drop(packet)
                return
            self._drop(self._waiting.popleft()[1])
        self._waiting.append((next(_arrivals), packet))
        self.changed.set()

    def _drop(self, packet: T) -> None:
        self._dropped += 1
        if self.on_drop is not None:
            self.on_drop(packet)
        packet.release()

    def advance(self, watermark: float) -> None:
        """Say that everything captured at or before `watermark` has been sent."""
        if watermark > self.watermark:
            self.watermark = watermark
            self.changed.set()

    def close(self) -> None:
        """The writer has nothing more; the reader still gets what waits."""
        if not self._closed:
            self.end_mark = self.watermark
        self._closed = True
        self.watermark = math.inf
        self.changed.set()
        self._room.set()

    def abandon(self) -> None:
        """The reader is gone for good; what waits is let go."""
        self._abandoned = True
        while self._waiting:
            self._waiting.popleft()[1].release()
        self._room.set()

    @property
    def abandoned(self) -> bool:
        """The reader is gone."""
        return self._abandoned

    @property
    def ended(self) -> bool:
        """Closed, and nothing waits."""
        return self._closed and not self._waiting

    def head(self) -> tuple[int, T] | None:
        """The packet that would be taken next, with its arrival number."""
        return self._waiting[0] if self._waiting else None

    def take(self) -> T:
        """Take the oldest packet; its hold is now the reader's."""
        packet = self._waiting.popleft()[1]
        self._room.set()
        return packet

    def stats(self) -> ChannelStats:
        """Counts so far."""
        return ChannelStats(self.name, self.capacity, len(self._waiting), self._sent, self._dropped)

    def __aiter__(self) -> AsyncIterator[T]:
        """Read the channel alone, without an inbox around it."""
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self.changed.clear()
            await self.changed.wait()
        return self.take()


class Traffic(Protocol):
    """Told of what passes a stage: called in the loop, must be quick, changes nothing."""

    def on_asked(self, at: float) -> None:
        """The stage has finished what it held and asks for more."""

    def on_taken(self, packet: Packet, at: float) -> None:
        """The stage was given a packet."""

    def on_sending(self, at: float) -> None:
        """The stage hands a packet on and may have to wait."""

    def on_sent(self, packet: Packet, at: float) -> None:
        """The packet has been handed on."""

    def on_dropped(self, packet: Packet, at: float) -> None:
        """A packet for this stage was dropped because its inbox was full."""


class MergingInbox(Generic[T]):
    """All edges into one stage, read as one.

    Holds the packet that the stage is working on and releases it when the stage asks for the
    next. Yields `Tick`s between packets when the stage declares `tick_seconds`: live by the
    clock, offline by the watermark, always counted from the packet or tick before.
    """

    def __init__(
        self,
        edges: Sequence[Channel[T]],
        *,
        clock: Clock,
        offline: bool,
        tick_seconds: float | None = None,
        outbox: FanOut[Any] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        """`outbox` is the same stage's: its watermark follows this inbox."""
        self._edges = tuple(edges)
        self._clock = clock
        self._offline = offline
        self._tick_seconds = tick_seconds
        self._outbox = outbox
        self._traffic = traffic
        self._changed = asyncio.Event()
        for edge in self._edges:
            edge.changed = self._changed
            edge.on_drop = self._on_drop
        self._in_hand: T | None = None
        self._last_time: float | None = None if offline else clock.now()

    def __aiter__(self) -> AsyncIterator[T | Tick]:
        return self

    async def __anext__(self) -> T | Tick:
        self.let_go()
        if self._traffic is not None:
            self._traffic.on_asked(self._clock.now())
        while True:
            packet = self._next_offline() if self._offline else self._next_live()
            if packet is not None:
                return packet
            if all(edge.ended for edge in self._edges):
                raise StopAsyncIteration
            self._changed.clear()
            await self._clock.wait(self._changed, None if self._offline else self._next_tick())

    def let_go(self) -> None:
        """Release what the stage held, if anything: called again when a stage has failed."""
        if self._in_hand is not None:
            self._in_hand.release()
            self._in_hand = None

    def abandon(self) -> None:
        """The stage will not read again."""
        self.let_go()
        for edge in self._edges:
            edge.abandon()

    def _next_live(self) -> T | Tick | None:
        heads = [(head[0], edge) for edge in self._edges if (head := edge.head()) is not None]
        if heads:
            return self._take(min(heads, key=lambda pair: pair[0])[1])
        due = self._next_tick()
        now = self._clock.now()
        if due is not None and now >= due and not all(edge.ended for edge in self._edges):
            self._last_time = now
            return Tick(now)
        return None

    def _next_offline(self) -> T | Tick | None:
        """The oldest packet or tick, once nothing older can come; else pass the watermark on."""
        first: tuple[float, int] | None = None
        horizon = math.inf  # what could still come lies after this
        for order, edge in enumerate(self._edges):
            head = edge.head()
            if head is None:
                horizon = min(horizon, edge.watermark)
            elif first is None or (head[1].captured_at, order) < first:
                first = (head[1].captured_at, order)
        due = self._next_tick()
        if due is not None and due <= horizon and due < self._time_limit(first, horizon):
            self._last_time = due
            self._pass_on(math.nextafter(due, -math.inf))
            return Tick(due)
        if first is not None and first[0] <= horizon:
            return self._take(self._edges[first[1]])
        known = horizon if first is None else min(horizon, math.nextafter(first[0], -math.inf))
        if known < math.inf:
            self._pass_on(known)
        return None

    def _time_limit(self, first: tuple[float, int] | None, horizon: float) -> float:
        """Ticks come before this: the next packet, or how far every edge has come.

        Where all edges have ended it is where the last of them ended, so that the ticks of a
        run do not depend on who was scheduled when.
        """
        if first is not None:
            return first[0]
        if horizon < math.inf:
            return horizon
        return max((edge.end_mark for edge in self._edges), default=-math.inf)

    def _next_tick(self) -> float | None:
        if self._tick_seconds is None or self._last_time is None:
            return None
        return self._last_time + self._tick_seconds

    def _take(self, edge: Channel[T]) -> T:
        packet = edge.take()
        self._in_hand = packet
        self._last_time = packet.captured_at if self._offline else self._clock.now()
        self._pass_on(math.nextafter(packet.captured_at, -math.inf))
        if self._traffic is not None:
            self._traffic.on_taken(packet, self._clock.now())
        return packet

    def _pass_on(self, watermark: float) -> None:
        if self._offline and self._outbox is not None:
            self._outbox.advance(watermark)

    def _on_drop(self, packet: T) -> None:
        if self._traffic is not None:
            self._traffic.on_dropped(packet, self._clock.now())


class FanOut(Generic[T]):
    """All edges out of one stage, written as one."""

    def __init__(
        self, edges: Sequence[Channel[T]], *, clock: Clock, traffic: Traffic | None = None
    ) -> None:
        """No edge is well: what is sent is then let go."""
        self._edges = tuple(edges)
        self._clock = clock
        self._traffic = traffic

    async def send(self, packet: T, /) -> None:
        """Hand the packet to every edge whose reader is still there.

        Raises:
            ChannelClosed: there were readers, and all are gone.
        """
        if self._traffic is not None:
            self._traffic.on_sending(self._clock.now())
        try:
            open_edges = [edge for edge in self._edges if not edge.abandoned]
            if self._edges and not open_edges:
                raise ChannelClosed("nobody reads what this stage sends")
            for edge in open_edges:
                edge.advance(math.nextafter(packet.captured_at, -math.inf))
                packet.retain()
                try:
                    await edge.send(packet)
                except ChannelClosed:
                    continue  # this reader left while we waited; the others still want it
                except asyncio.CancelledError:
                    packet.release()  # it never got in
                    raise
        finally:
            packet.release()
        if self._traffic is not None:
            self._traffic.on_sent(packet, self._clock.now())

    def advance(self, watermark: float) -> None:
        """Say to every edge that everything captured until then has been sent."""
        for edge in self._edges:
            edge.advance(watermark)

    def close(self) -> None:
        """Nothing more will come."""
        for edge in self._edges:
            edge.close()
