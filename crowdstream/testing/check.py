"""The contract of a stage in executable form: for our own stages and for those of strangers.

    def test_count_people_keeps_its_promises() -> None:
        check_stage(CountPeople, {"smoothing_seconds": 2.0})

Every broken promise is told at once. The stage is opened, run, cancelled and closed many times,
as the supervisor does it: a new object for each life.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import inspect
import math
import tempfile
import textwrap
import tomllib
from collections.abc import Awaitable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from pydantic import ValidationError

from crowdstream.channel import Channel, FanOut, MergingInbox, WhenFull
from crowdstream.clock import Clock, SystemClock
from crowdstream.errors import ChannelClosed, ConfigError, DeviceError
from crowdstream.offload import Offload
from crowdstream.packets import (
    Energy,
    Frame,
    Mix,
    Motion,
    Packet,
    People,
    Playing,
    Tempo,
)
from crowdstream.recipe import Recipe
from crowdstream.registry import StageTypes, types_of
from crowdstream.stage import AnyStage, Places, Sink, Source, Stage, StageConfig, Transform
from crowdstream.testing.clock import ManualClock
from crowdstream.testing.stages import a_context

SETTLE_SECONDS: Final = 3.0
"""What a stage has begun may take so long to be gone after it was closed."""

FD_SLACK: Final = 4
"""Open files that a library keeps for itself (a resolver, a thread pool): not one for each life."""


class BrokenPromises(AssertionError):
    """What a stage does not keep, one sentence each."""

    def __init__(self, stage: type[AnyStage], broken: Sequence[str]) -> None:
        lines = "\n".join(f"  - {sentence}" for sentence in broken)
        super().__init__(f"{stage.__name__} breaks {len(broken)} promises:\n{lines}")
        self.broken = tuple(broken)


def check_stage(
    stage: type[AnyStage],
    settings: Mapping[str, Any] | None = None,
    *,
    packets: Sequence[Packet] | None = None,
    offline: bool = True,
    places: Places | None = None,
    seconds: float = 20.0,
    most_packets: int = 40,
    cancellations: int = 24,
    repeatable: bool = True,
) -> bool:
    """Look at one stage from all sides; True if it came up, False if its device is not there.

    `settings` are what it needs to run; `packets` what it is fed (a few of each kind that it
    takes, when not given). `seconds` is how long one life may take, `most_packets` how many are
    read of a source. Of all places where the stage waits, at most `cancellations` are tried.
    `repeatable` stages give the same for the same. `places` are folders to use; none, new ones.

    A device that is not there is no broken promise: then what needs none is looked at.

    Raises:
        BrokenPromises: with a sentence for each.
    """
    with contextlib.ExitStack() as stack:
        if places is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crowdstream-")))
            places = Places(root / "cache", root / "state", root / "models")
        check = _Check(stage, dict(settings or {}), packets, offline, places, seconds, most_packets)
        check.settings_are_told_and_checked()
        config = check.config()
        came_up = False
        if config is not None and check.types is not None:
            came_up = asyncio.run(check.lives(config, cancellations, repeatable=repeatable))
        if check.broken:
            raise BrokenPromises(stage, check.broken)
        return came_up


def example_of(config: type[StageConfig]) -> str | None:
    """The recipe lines after `Example:` in the docstring of a stage's settings."""
    doc = inspect.getdoc(config) or ""
    _, found, after = doc.partition("Example:\n")
    return textwrap.dedent(after) if found else None


def some_packets(kinds: Sequence[type[Packet]], count: int = 12) -> list[Packet]:
    """A little of everything that may be taken, in order of time, with a jump of the source."""
    kinds = [kind for kind in _BUILDERS if any(issubclass(kind, wanted) for wanted in kinds)]
    packets = []
    for number in range(count):
        for kind in kinds:
            facts = {"seq": number, "captured_at": number / 20.0, "epoch": int(number >= 8)}
            packets.append(_BUILDERS[kind](facts))
    return packets


class _Check:
    """Collects what is broken while it goes from one promise to the next."""

    def __init__(
        self,
        stage: type[AnyStage],
        settings: dict[str, Any],
        packets: Sequence[Packet] | None,
        offline: bool,
        places: Places,
        seconds: float,
        most_packets: int,
    ) -> None:
        self.broken: list[str] = []
        self.types: StageTypes | None = None
        self._stage = stage
        self._settings = settings
        self._offline = offline
        self._places = places
        self._seconds = seconds
        self._most_packets = most_packets
        try:
            self.types = types_of(stage)
        except ConfigError as error:
            self.broken.append(str(error))
        takes = self.types.takes if self.types is not None else ()
        self._packets = some_packets(takes) if packets is None else list(packets)

    # What can be seen without running it.

    def settings_are_told_and_checked(self) -> None:
        stage, model = self._stage, self._stage.Config
        if not (vars(stage).get("__doc__") or "").strip():
            self.broken.append("has no docstring: the first line is what `crowdstream stages` says")
        for key, field in model.model_fields.items():
            if not field.description:
                self.broken.append(f"its setting {key} has no description")
        if model.model_fields:
            self._example_parses(model)
        if not self._refuses({"no_such_setting_as_this": 1}):
            self.broken.append("takes settings that it does not know")
        for key, field in model.model_fields.items():
            if _holds_a_float(field.annotation) and not self._refuses({key: math.nan}):
                self.broken.append(f"takes NaN for {key}")

    def _example_parses(self, model: type[StageConfig]) -> None:
        example = example_of(model)
        if example is None:
            self.broken.append("its settings have no Example: in their docstring")
            return
        try:
            recipe = Recipe.model_validate(tomllib.loads(example))
            for entry in recipe.stage:
                model(**entry.settings)
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            self.broken.append(f"its example is not right: {error}")

    def _refuses(self, more: dict[str, Any]) -> bool:
        try:
            self._stage.Config(**{**self._settings, **more})
        except ValidationError as error:
            return any(detail["loc"][:1] == (next(iter(more)),) for detail in error.errors())
        return False

    def config(self) -> StageConfig | None:
        try:
            return self._stage.Config(**self._settings)
        except ValidationError as error:
            self.broken.append(f"cannot be made with these settings: {error}")
            return None

    # What can be seen by running it.

    async def lives(self, config: StageConfig, cancellations: int, *, repeatable: bool) -> bool:
        born = await self._live(config, what="closed without being opened", opens=False)
        if not born.fine:
            return False
        for what in ("opened and closed", "opened and closed a second time"):
            life = await self._live(config, what=what, runs=False)
            if isinstance(life.error, DeviceError):
                return False
            if not life.fine:
                return True
        whole = await self._live(config, what="run to its end")
        if not whole.fine:
            return not isinstance(whole.error, DeviceError)
        self._outputs_are_right(whole.sent)
        if not issubclass(self._stage, Source):
            await self._live(config, what="run with nothing to take", feeds=False)
        if repeatable:
            again = await self._live(config, what="run again")
            if again.fine and _facts(again.sent) != _facts(whole.sent):
                self.broken.append("gives something else for the same packets")
        files = _open_files()
        for place in _spread(whole.waits, cancellations):
            await self._live(config, what=f"cancelled where it waits ({place})", cancel_at=place)
        if _open_files() > files + FD_SLACK:
            self.broken.append(f"leaves files open: {_open_files() - files} after being cancelled")
        return True

    async def _live(
        self,
        config: StageConfig,
        *,
        what: str,
        opens: bool = True,
        runs: bool = True,
        feeds: bool = True,
        cancel_at: int | None = None,
    ) -> _Life:
        """One object's life, as the supervisor would lead it; tells what of it was wrong."""
        clock: Clock = ManualClock() if self._offline else SystemClock()
        life = _Life()
        tasks_before, children_before = asyncio.all_tasks(), _children()
        context = a_context(
            self._stage.__name__.lower(),
            clock=clock,
            offline=self._offline,
            places=self._places,
            stage_class=self._stage,
        )
        leases, packets = _with_leases(self._packets if feeds else ())
        try:
            stage = self._stage(config, context)
        except Exception as error:
            self.broken.append(f"cannot be made: {error!r}")
            life.fine = False
            return life
        out: Channel[Packet] = Channel(1, WhenFull.BLOCK, name="out")
        outbox = FanOut([out], clock=clock)
        feed: Channel[Packet] = Channel(max(1, len(packets)), WhenFull.BLOCK, name="in")
        for packet in packets:
            feed.send_nowait(packet)
        feed.close()
        inbox: MergingInbox[Packet] = MergingInbox(
            [feed],
            clock=clock,
            offline=self._offline,
            tick_seconds=stage.tick_seconds,
            outbox=outbox,
        )

        async def open_and_run() -> None:
            if opens:
                await stage.open()
            if runs and opens:
                await _run(stage, inbox, outbox)

        counted = _Counted(open_and_run(), cancel_at)
        working = asyncio.create_task(_awaited(counted))
        reading = asyncio.create_task(self._read(out, life))
        try:
            await self._end_of(working, what, life)
            life.waits = counted.waits
            self._ended_rightly(working, what, life, cancelled=counted.cancelled)
        finally:
            outbox.close()
            inbox.abandon()
            closing = asyncio.create_task(_awaited(stage.close()))
            await self._end_of(closing, f"closed after it was {what}", life)
            if closing.done() and not closing.cancelled() and (wrong := closing.exception()):
                self._say(life, f"cannot be closed after it was {what}: {wrong!r}")
            out.close()
            await asyncio.wait({reading}, timeout=1.0)
            reading.cancel()
            if isinstance(context.offload, Offload):
                context.offload.close()
        await self._nothing_is_left(tasks_before, children_before, what, life)
        if held := sum(lease.holders for lease in leases):
            self._say(life, f"still holds {held} of its pictures after it was {what}")
        return life

    async def _read(self, out: Channel[Packet], life: _Life) -> None:
        """What it sends; of a source that would never end, so many, and then nobody reads."""
        async for packet in out:
            life.sent.append(packet)
            packet.release()
            if issubclass(self._stage, Source) and len(life.sent) >= self._most_packets:
                out.abandon()
                return

    async def _end_of(self, task: asyncio.Task[None], what: str, life: _Life) -> None:
        await asyncio.wait({task}, timeout=self._seconds)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=SETTLE_SECONDS)
            if issubclass(self._stage, Source) and not life.sent and task.done():
                return  # a source that has nothing to send may wait; it could be cancelled
            self._say(life, f"does not end within {self._seconds:g} s when it is {what}")

    def _ended_rightly(
        self, task: asyncio.Task[None], what: str, life: _Life, *, cancelled: bool
    ) -> None:
        if not task.done():
            return
        if task.cancelled():
            return
        life.error = task.exception()
        if cancelled and life.error is None:
            self._say(life, f"goes on when it is {what}: CancelledError must not be swallowed")
        elif cancelled and life.error is not None:
            self._say(life, f"raises {life.error!r} when it is {what}, not CancelledError")
        elif isinstance(life.error, DeviceError):
            life.fine = False
        elif life.error is not None and not isinstance(life.error, ChannelClosed):
            self._say(life, f"raises {life.error!r} when it is {what}")

    async def _nothing_is_left(
        self, tasks: set[asyncio.Task[Any]], children: set[int], what: str, life: _Life
    ) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_SECONDS
        while True:
            left = [task.get_name() for task in asyncio.all_tasks() - tasks if not task.done()]
            alive = _children() - children
            if not left and not alive:
                return
            if loop.time() > until:
                break
            await asyncio.sleep(0.02)
        if left:
            self._say(life, f"leaves tasks behind when it is {what}: {', '.join(left)}")
        if alive:
            self._say(life, f"leaves {len(alive)} processes behind when it is {what}")

    def _outputs_are_right(self, sent: Sequence[Packet]) -> None:
        assert self.types is not None
        sends, stage = self.types.sends, self._stage
        keeps = issubclass(stage, Transform) and stage.tick_seconds is None
        moments = {(p.captured_at, p.epoch) for p in self._packets}
        epochs = {p.epoch for p in self._packets}
        seqs = {p.seq for p in self._packets}
        before: Packet | None = None
        broken = set()
        for packet in sent:
            name = type(packet).__name__
            if not isinstance(packet, sends):
                broken.add(f"sends {name}, which its class line does not say")
            if (where := _not_finite(packet)) is not None:
                broken.add(f"sends {where} that is not finite")
            if keeps and (packet.captured_at, packet.epoch) not in moments:
                broken.add("does not keep captured_at and epoch of what it takes")
            if keeps and packet.seq not in seqs:
                broken.add("does not keep seq of what it takes")
            if issubclass(stage, Transform) and packet.epoch not in epochs:
                broken.add("does not keep the epoch of what it takes")
            if before is not None and packet.epoch == before.epoch:
                if packet.captured_at < before.captured_at:
                    broken.add("goes back in time: captured_at falls within an epoch")
                if packet.seq <= before.seq:
                    broken.add("seq does not rise")
            before = packet
        self.broken += sorted(broken)

    def _say(self, life: _Life, sentence: str) -> None:
        life.fine = False
        self.broken.append(sentence)


@dataclasses.dataclass
class _Life:
    """What became of one object."""

    sent: list[Packet] = dataclasses.field(default_factory=list)
    waits: int = 0
    error: BaseException | None = None
    fine: bool = True


class _Counted:
    """Awaits something, counts how often it waits, and cancels its own task at one of them."""

    def __init__(self, inner: Awaitable[None], cancel_at: int | None) -> None:
        self._inner = inner
        self._cancel_at = cancel_at
        self.waits = 0
        self.cancelled = False
        """The place was reached; a stage that waits for a child may wait less often this time."""

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._inner.__await__()
        raised: BaseException | None = None
        while True:
            try:
                # What it waits for goes through to the task, as if nobody stood between.
                waited_for = next(steps) if raised is None else steps.throw(raised)
            except StopIteration:
                return
            self.waits += 1
            task = asyncio.current_task()
            if self.waits == self._cancel_at and task is not None:
                self.cancelled = True
                task.cancel()
            try:
                yield waited_for
                raised = None
            except BaseException as error:  # handed on to whoever waits
                raised = error


class _Lease:
    """A hold on a picture, counted."""

    def __init__(self) -> None:
        self.holders = 1

    def retain(self) -> None:
        self.holders += 1

    def release(self) -> None:
        self.holders -= 1


def _with_leases(packets: Sequence[Packet]) -> tuple[list[_Lease], list[Packet]]:
    """The same packets, each picture with a hold of its own."""
    leases, held = [], list[Packet]()
    for packet in packets:
        if isinstance(packet, Frame) and packet.lease is None:
            leases.append(_Lease())
            packet = dataclasses.replace(packet, lease=leases[-1])
        held.append(packet)
    return leases, held


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


async def _run(stage: AnyStage, inbox: MergingInbox[Packet], outbox: FanOut[Packet]) -> None:
    if isinstance(stage, Source):
        await stage.run(outbox)
    elif isinstance(stage, Sink):
        await stage.run(inbox)
    elif isinstance(stage, Stage):
        await stage.run(inbox, outbox)


def _spread(count: int, most: int) -> list[int]:
    """All of 1..count, or `most` of them with the first and the last."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({round(1 + (count - 1) * place / (most - 1)) for place in range(most)})


def _children() -> set[int]:
    """Processes that this one has begun and that are still there, the dead ones not counted."""
    pids = set[int]()
    for thread in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids.update(map(int, thread.read_text().split()))
    return {pid for pid in pids if _lives(pid)}


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _open_files() -> int:
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else 0


def _holds_a_float(annotation: object) -> bool:
    return annotation is float or any(part is float for part in get_args(annotation))


def _facts(value: Any) -> Any:
    """A value as something that can be compared; what a source numbers anew is left out."""
    if isinstance(value, np.ndarray):
        return (value.shape, value.tobytes())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # A picture may lie in memory that has been given back, and each life of a source is an
        # epoch of its own.
        skipped = {"picture", "lease", "epoch"}
        return tuple(
            (field.name, _facts(getattr(value, field.name)))
            for field in dataclasses.fields(value)
            if field.name not in skipped
        )
    if isinstance(value, list | tuple):
        return tuple(_facts(item) for item in value)
    return value


def _not_finite(value: Any, where: str = "") -> str | None:
    """The name of the first number in a packet that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return where
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
        return where
    parts: list[tuple[str, Any]] = []
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [(f"{where or type(value).__name__}.{field.name}", getattr(value, field.name))
                 for field in dataclasses.fields(value)]  # fmt: skip
    elif isinstance(value, list | tuple):
        parts = [(where, item) for item in value]
    elif isinstance(value, dict):
        parts = [(f"{where}.{key}", item) for key, item in value.items()]
    return next((found for name, item in parts if (found := _not_finite(item, name))), None)


_NOISE: Final = np.random.default_rng(0).integers(40, 200, (180, 320), np.uint8)


def _a_frame(facts: dict[str, Any]) -> Frame:
    grey = np.ascontiguousarray(np.roll(_NOISE, 2 * facts["seq"], axis=1))
    picture = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    return Frame(picture=picture, grey=grey, source_size=(320, 180), **facts)


def _a_motion(facts: dict[str, Any]) -> Motion:
    return Motion(speed=0.8, moving_share=0.2, confidence=0.6, **facts)


def _some_people(facts: dict[str, Any]) -> People:
    joints = np.zeros((2, 17, 3), np.float32)
    joints[:, :, 0] = 0.4 + 0.01 * np.arange(17) + np.array([[0.0], [0.5]])
    joints[:, :, 1] = np.linspace(0.2, 0.9, 17)
    joints[:, :, 2] = 0.9
    joints[:, 9, 0] += 0.1 * math.sin(2.0 * math.pi * facts["captured_at"])
    return People(
        keypoints=joints,
        ids=np.arange(1, 3, dtype=np.int64),
        scores=np.full(2, 0.9, np.float32),
        aspect=16 / 9,
        **facts,
    )


def _an_energy(facts: dict[str, Any]) -> Energy:
    level = 0.5 + 0.4 * math.sin(facts["captured_at"])
    return Energy(
        level=level, raw=level, speed=0.9, confidence=0.9, drive=level, people=9,
        eyes=("pose",), fresh_from="pose", **facts,
    )  # fmt: skip


def _a_tempo(facts: dict[str, Any]) -> Tempo:
    return Tempo(bpm=118.0, **facts)


def _a_mix(facts: dict[str, Any]) -> Mix:
    return Mix(
        at=facts["captured_at"] + 0.1, drive=0.5, confidence=0.9, bpm=118.0,
        gains=(1.0, 1.0, 0.0, 0.7), people=9, **facts,
    )  # fmt: skip


def _a_playing(facts: dict[str, Any]) -> Playing:
    at = facts["captured_at"]
    return Playing(
        sample=int(at * 44100), beat=at * 2.0, bar=int(at / 2), bpm=120.0, bpm_wanted=120.0,
        drive=0.5, phrase=0, section="groove", track="a track", next=None, bars_to_next=None,
        bars_to_drop=None, decks=(), gains=(1.0, 1.0, 0.0, 0.7), lufs=None, peak=0.5, **facts,
    )  # fmt: skip


_BUILDERS: Final = {
    Frame: _a_frame,
    Motion: _a_motion,
    People: _some_people,
    Energy: _an_energy,
    Tempo: _a_tempo,
    Mix: _a_mix,
    Playing: _a_playing,
}
