"""Opens, runs, restarts and stops the stages of a plan; owns their tasks and channels.

The channels outlive a stage: when one fails, a new object of the same class is given the same
inbox and outbox. The packet in hand is lost, and nothing else.

    start   from the last stage to the first, so that whoever sends finds a listener
    fault   close, wait 0.1 s (doubling with jitter, at most 10 s), open anew; for ever
    stop    soft: the sources end, the end flows downstream, each stage finishes what it holds;
            hard, after the grace time or a second signal: everything is cancelled
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from crowdstream.channel import Channel, FanOut, MergingInbox
from crowdstream.clock import Clock
from crowdstream.controls import Controls, controls_of
from crowdstream.errors import ChannelClosed, StageFailed
from crowdstream.observers.meters import Meter
from crowdstream.offload import Offload
from crowdstream.packets import Packet
from crowdstream.plan import Plan, PlannedStage
from crowdstream.stage import AnyStage, Context, Places, Sink, Source, Stage
from crowdstream.status import ChainState, StageState, StageStatus, StateChange, Status

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 10.0
WELL_AFTER_SECONDS: Final = 60.0
"""After so long without a fault the waits begin again at the shortest."""

FIRST_OPEN_SECONDS: Final = 15.0
"""The start waits so long for one stage to open before it goes on to the next."""

LOOK_SECONDS: Final = 0.25
"""How often the supervisor looks for stages that are stuck."""


class Observer(Protocol):
    """Told of each packet that a stage has sent. Must be quick; cannot change a packet."""

    def on_sent(self, stage: str, packet: Packet) -> None:
        """`stage` has handed `packet` on."""


class _Stuck(Exception):  # noqa: N818  not an error of the stage's own making
    """The supervisor ended a stage that was busy for too long."""


class Supervisor:
    """One plan, from start to end."""

    def __init__(
        self,
        plan: Plan,
        *,
        clock: Clock,
        log: Any,
        places: Places,
        observers: Sequence[Observer] = (),
        on_state: Callable[[StateChange], None] | None = None,
        stall_after_seconds: float = 2.0,
        grace_seconds: float = 3.0,
        seed: int = 0,
    ) -> None:
        """Makes the channels; opens nothing yet. `seed` is that of the jitter."""
        self.plan = plan
        self.controls = Controls()
        self._clock = clock
        self._log = log
        self._on_state = on_state
        self._stall_after = stall_after_seconds
        self._grace = grace_seconds
        self._state = ChainState.STARTING
        self._changes: deque[StateChange] = deque(maxlen=20)
        channels: dict[str, list[tuple[str, Channel[Packet]]]] = {s.name: [] for s in plan.stages}
        for stage in plan.stages:
            for edge in stage.edges:
                name = f"{edge.feeder} -> {stage.name}"
                channel: Channel[Packet] = Channel(edge.capacity, edge.when_full, name=name)
                channels[edge.feeder].append((stage.name, channel))
        self._keepers: dict[str, _Keeper] = {}
        for stage in plan.stages:
            self.controls.declare(stage.name, controls_of(stage.stage))
            into = [
                next(c for reader, c in channels[edge.feeder] if reader == stage.name)
                for edge in stage.edges
            ]
            context = Context(
                name=stage.name, log=log.bind(stage=stage.name), clock=clock, places=places,
                controls=self.controls, offload=Offload(stage.name), offline=plan.offline,
            )  # fmt: skip
            self._keepers[stage.name] = _Keeper(
                stage, context, into, [c for _, c in channels[stage.name]],
                observers, self._changed, random.Random(f"{seed} {stage.name}"),
            )  # fmt: skip
        self.started = asyncio.Event()
        """Every stage has been opened, or has failed to once."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until every stage has finished, or until `stop` and the end has flowed through.

        A second setting of `stop` (clear it and set it again) makes the stop hard at once.

        Raises:
            StageFailed: a stage whose `on_failure` is `stop` failed.
        """
        failure: StageFailed | None = None
        try:
            async with asyncio.TaskGroup() as group:
                keepers = list(reversed(self._keepers.values()))
                tasks: list[asyncio.Task[None]] = []
                for keeper in keepers:
                    tasks.append(group.create_task(keeper.keep(), name=keeper.name))
                    await self._first_open(keeper, stop)
                self._state = ChainState.RUNNING
                self.started.set()
                for keeper in keepers:
                    keeper.go.set()
                watching = group.create_task(self._watch(), name="supervisor")
                stopping = group.create_task(self._stop(stop, tasks), name="stop")
                await asyncio.wait(tasks)
                watching.cancel()
                stopping.cancel()
        except BaseExceptionGroup as raised:
            failures = [e for e in _leaves(raised) if not isinstance(e, asyncio.CancelledError)]
            failure = next((e for e in failures if isinstance(e, StageFailed)), None)
            if failure is None:
                raise
        finally:
            for keeper in self._keepers.values():
                keeper.context.offload.close()  # type: ignore[attr-defined]
        if failure is not None:
            raise failure

    def status(self) -> Status:
        """How everything is, now."""
        now = self._clock.now()
        state = self._state
        # Once the chain runs, a stage that opens is one that had failed.
        unwell = (StageState.OPENING, StageState.RESTARTING, StageState.FAILED)
        if state is ChainState.RUNNING and any(k.state in unwell for k in self._keepers.values()):
            state = ChainState.DEGRADED
        return Status(
            state, tuple(k.status(now) for k in self._keepers.values()), tuple(self._changes)
        )

    async def _first_open(self, keeper: _Keeper, stop: asyncio.Event) -> None:
        """Wait until the stage has opened or failed to, or has taken too long."""
        if self.plan.offline:
            await keeper.tried.wait()
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (keeper.tried, stop)]
        try:
            await asyncio.wait(
                waits, timeout=FIRST_OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()

    async def _stop(self, stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
        await stop.wait()
        self._state = ChainState.STOPPING
        for keeper in self._keepers.values():
            keeper.stopping = True
        for keeper in self._keepers.values():
            keeper.end_softly()
        stop.clear()
        again = asyncio.ensure_future(stop.wait())
        try:
            await _all_or(again, tasks, self._grace)
        finally:
            again.cancel()
        left = [task.get_name() for task in tasks if not task.done()]
        if left:
            self._log.warning("stop_made_hard", still_running=left)
            for task in tasks:
                task.cancel()

    async def _watch(self) -> None:
        """Look for stages that are busy for too long, or sources that have fallen silent."""
        if self.plan.offline:
            return
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now = self._clock.now()
            for keeper in self._keepers.values():
                keeper.end_if_stuck(now, self._stall_after)

    def _changed(self, change: StateChange) -> None:
        self._changes.append(change)
        if self._on_state is not None:
            self._on_state(change)


class _Keeper:
    """The life of one stage: opened, run, closed, and again."""

    def __init__(
        self,
        planned: PlannedStage,
        context: Context,
        into: Sequence[Channel[Packet]],
        out: Sequence[Channel[Packet]],
        observers: Sequence[Observer],
        changed: Callable[[StateChange], None],
        jitter: random.Random,
    ) -> None:
        self.name = planned.name
        self.context = context
        self.state = StageState.OPENING
        self.why = ""
        self.restarts = 0
        self.meter = _ObservedMeter(planned.name, observers)
        self.tried = asyncio.Event()
        self.go = asyncio.Event()
        self.stopping = False
        self._planned = planned
        self._changed = changed
        self._jitter = jitter
        self._out = out
        self._outbox: FanOut[Packet] = FanOut(out, clock=context.clock, traffic=self.meter)
        self._inbox: MergingInbox[Packet] = MergingInbox(
            into,
            clock=context.clock,
            offline=context.offline,
            tick_seconds=planned.stage.tick_seconds,
            outbox=self._outbox,
            traffic=self.meter,
        )
        self._stage: AnyStage | None = None
        self._running: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[None] | None = None
        self._stuck = ""
        self._soft = False
        self._opened_at = 0.0
        self._wake = asyncio.Event()

    async def keep(self) -> None:
        """Keep the stage alive until its work is done."""
        attempt = 0
        try:
            while True:
                began = self.context.clock.now()
                try:
                    await self._live()
                    self._say(StageState.STOPPED if self.stopping else StageState.FINISHED)
                    return
                except asyncio.CancelledError:
                    self._say(StageState.STOPPED)
                    raise
                except Exception as error:  # the one place that catches everything
                    self.tried.set()
                    self._inbox.let_go()
                    if self.stopping:
                        self._say(StageState.STOPPED, _cause(error))
                        return
                    must_work = self._planned.must_open and not self._has_worked()
                    if must_work or self._planned.on_failure == "stop":
                        self._say(StageState.FAILED, _cause(error))
                        raise StageFailed(self.name, error) from error
                    if self.context.clock.now() - began > WELL_AFTER_SECONDS:
                        attempt = 0
                    attempt += 1
                    self.restarts += 1
                    self._say(StageState.RESTARTING, _cause(error))
                    doubled = FIRST_WAIT_SECONDS * 2.0 ** min(attempt - 1, 10)
                    wait = min(LONGEST_WAIT_SECONDS, doubled)
                    wait *= 0.5 + 0.5 * self._jitter.random()
                    self.context.log.warning(
                        "stage_restarting", attempt=attempt, wait_seconds=round(wait, 2),
                        why=_cause(error),
                    )  # fmt: skip
                    await self.context.clock.wait(self._wake, self.context.clock.now() + wait)
                    if self.stopping:
                        self._say(StageState.STOPPED, _cause(error))
                        return
        finally:
            self.tried.set()
            self._outbox.close()
            self._inbox.abandon()

    async def _live(self) -> None:
        """One life of the stage's object."""
        self._say(StageState.OPENING, self.why)
        stage = self._stage = self._planned.stage(self._planned.config, self.context)
        self._stuck = ""
        try:
            self._opening = asyncio.ensure_future(stage.open())
            try:
                await self._opening
            except asyncio.CancelledError:
                if self.stopping and self._opening.cancelled():
                    return  # a stop came while it opened
                self._opening.cancel()
                raise
            finally:
                self._opening = None
            self._opened_at = self.context.clock.now()
            self._say(StageState.RUNNING)
            self.tried.set()
            await self.go.wait()
            if self._soft:
                return  # asked to end before it began
            async with asyncio.TaskGroup() as group:
                self._running = group.create_task(self._run(stage), name=f"{self.name} run")
        except BaseExceptionGroup as group_error:
            error = next(iter(_leaves(group_error)))
            raise error from error.__cause__
        finally:
            self._running = self._stage = None
            self.meter.busy_since = None
            await stage.close()
        if self._stuck:
            raise _Stuck(self._stuck)

    async def _run(self, stage: AnyStage) -> None:
        try:
            if isinstance(stage, Source):
                await stage.run(self._outbox)
            elif isinstance(stage, Sink):
                await stage.run(self._inbox)
            elif isinstance(stage, Stage):
                await stage.run(self._inbox, self._outbox)
        except ChannelClosed:
            return  # nobody reads any more: that is an end, not a fault
        except asyncio.CancelledError:
            # Ended on purpose: a soft stop of a source, or a stage that was stuck.
            if self._stuck or self._soft:
                return
            raise

    def _has_worked(self) -> bool:
        """A source has worked once it sent something; the others once they were open."""
        if issubclass(self._planned.stage, Source):
            return self.meter.sent > 0
        return self._opened_at > 0.0

    def end_softly(self) -> None:
        """A source ends now; whoever waits to be opened again does not wait longer."""
        self._wake.set()
        self.go.set()
        # Whatever it is waiting for as it opens, nobody waits for it any more.
        if self._opening is not None:
            self._opening.cancel()
        if not issubclass(self._planned.stage, Source):
            return
        self._soft = True
        if self._running is not None:
            self._running.cancel()

    def end_if_stuck(self, now: float, stall_after: float) -> None:
        """End one life of the stage if it is stuck; `keep` begins the next."""
        if self._running is None or self.state is not StageState.RUNNING or self.stopping:
            return
        busy = self.meter.busy_since
        if busy is not None and now - busy > stall_after:
            self._stuck = f"busy with one packet for more than {stall_after:g} s"
        elif issubclass(self._planned.stage, Source) and not self._planned.stage.silence_is_normal:
            last = max(self.meter.last_sent or 0.0, self._opened_at)
            # A source has its own deadline for its device; this is for one that forgot it.
            if now - last > max(10.0, 5.0 * stall_after):
                self._stuck = f"has sent nothing for {now - last:.0f} s"
        if self._stuck:
            self._running.cancel()

    def status(self, now: float) -> StageStatus:
        """The stage seen from outside."""
        meter = self.meter
        return StageStatus(
            name=self.name,
            state=self.state,
            why=self.why,
            restarts=self.restarts,
            taken=meter.taken,
            sent=meter.sent,
            dropped=meter.dropped,
            busy_seconds=0.0 if meter.busy_since is None else now - meter.busy_since,
            since_sent_seconds=None if meter.last_sent is None else now - meter.last_sent,
            latency={kind: ages.latency() for kind, ages in sorted(meter.ages.items())},
            work=meter.work.latency(),
            note=self._stage.note if self._stage is not None else "",
        )

    def _say(self, state: StageState, why: str = "") -> None:
        if state is self.state and why == self.why and state is not StageState.OPENING:
            return
        self.state, self.why = state, why
        self._changed(StateChange(self.context.clock.now(), self.name, state, why))


class _ObservedMeter(Meter):
    """A meter that also tells the plan's observers what was sent."""

    def __init__(self, stage: str, observers: Sequence[Observer]) -> None:
        super().__init__()
        self._stage = stage
        self._observers = observers

    def on_sent(self, packet: Packet, at: float) -> None:
        super().on_sent(packet, at)
        for observer in self._observers:
            observer.on_sent(self._stage, packet)


async def _all_or(
    event: asyncio.Future[Any], tasks: Sequence[asyncio.Task[None]], seconds: float
) -> None:
    """Return when all tasks are done, when the event came, or after so many seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    left: set[asyncio.Future[Any]] = {task for task in tasks if not task.done()}
    while left and not event.done() and loop.time() < until:
        await asyncio.wait(
            {event, *left}, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
        )
        left = {task for task in left if not task.done()}


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _cause(error: BaseException) -> str:
    text = str(error).strip()
    return text or type(error).__name__
