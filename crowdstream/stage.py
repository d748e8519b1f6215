"""The central idea: a stage takes packets from its inbox and sends packets to its outbox.

Three strengths of the same thing; choose the weakest that does:

    Transform         `process`: one packet in, one or none out. The loop is given.
    Stage             `run`: when the work waits for something besides its inbox, sends many for
                      one, or hands work to a child.
    Source and Sink   `run` with only an outbox, or only an inbox.

A stage that must act while no packet comes declares `tick_seconds`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from crowdstream.channel import Inbox as Inbox
from crowdstream.channel import Outbox as Outbox
from crowdstream.channel import WhenFull
from crowdstream.clock import Clock
from crowdstream.controls import Controls
from crowdstream.packets import Packet, Tick

In = TypeVar("In", bound=Packet)
Out = TypeVar("Out", bound=Packet)

RECIPE_WORDS: Final = frozenset({"use", "name", "from", "inbox", "on_failure"})
"""Keys of a recipe that belong to the recipe; a stage cannot have settings of these names."""


class StageConfig(BaseModel):
    """Settings of a stage: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    from_machine: ClassVar[tuple[str, ...]] = ()
    """Sections of config.toml that are handed over as the setting of the same name."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if taken := RECIPE_WORDS & set(cls.model_fields):
            raise TypeError(f"{cls.__name__}: {sorted(taken)} are words of the recipe")


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of this machine; the install itself may be read-only."""

    cache: Path
    """What can be made again: compiled kernels, the built-in music."""

    state: Path
    """What must be kept: what was learned, hashes that were noted."""

    models: Path
    """Weights, with their manifest."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage is given at birth, beside its own settings. Small, on purpose."""

    name: str
    """The stage's name in its recipe."""

    log: Any
    """A structlog logger bound to the name: `log.info("camera_opened", device=...)`."""

    clock: Clock
    """The machine's. Offline it is no stage's business: there time comes with the packets."""

    places: Places
    controls: Controls
    offload: Callable[..., Awaitable[Any]]
    """`await offload(function, *args)`: blocking work on this stage's own thread."""

    offline: bool = False
    """As fast as possible, nothing may be lost, and time is that of the packets."""


class Intake(NamedTuple):
    """How an edge into a stage is bounded unless the recipe says otherwise."""

    capacity: int
    when_full: WhenFull


class AnyStage(ABC):  # noqa: B024  its kinds have the abstract method
    """What sources, transforms and sinks share. It owns what it opens and nothing else.

    It does not know its neighbours, count its packets, restart itself or read a wall clock.
    """

    Config: ClassVar[type[StageConfig]] = StageConfig

    intake: ClassVar[Intake] = Intake(8, WhenFull.BLOCK)
    """Cheap and in order by default; stages for which only the newest counts say so."""

    tick_seconds: ClassVar[float | None] = None
    """After so long without a packet the inbox yields a `Tick`."""

    silence_is_normal: ClassVar[bool] = False
    """A source that may well send nothing for a long time."""

    note: str = ""
    """What a technician should know while it works, in a few words; empty while all is well."""

    def __init__(self, config: Any, context: Context) -> None:
        """Store settings; touch nothing of the world before `open`."""
        self.config = config
        self.context = context

    async def open(self) -> None:  # noqa: B027  optional
        """Acquire what must exist before the first packet: a device, a model, a port."""

    async def close(self) -> None:  # noqa: B027  optional
        """Release what open() acquired. Called once, whatever happened."""


class Stage(AnyStage, Generic[In, Out]):
    """One step of the chain: packets in, packets out."""

    @abstractmethod
    async def run(self, inbox: Inbox[In | Tick], outbox: Outbox[Out]) -> None:
        """Work until the inbox ends."""


class Transform(Stage[In, Out]):
    """A step that turns one packet into one packet, or into nothing."""

    @abstractmethod
    def process(self, packet: In, /) -> Out | None:
        """Turn one packet into one packet, or into nothing. Plain and synchronous."""

    def tick(self, now: float) -> Out | None:
        """Act on time passing without a packet; only called when `tick_seconds` is declared."""
        del now
        return None

    async def run(self, inbox: Inbox[In | Tick], outbox: Outbox[Out]) -> None:
        """The loop: take, process, send."""
        async for packet in inbox:
            out = self.tick(packet.now) if isinstance(packet, Tick) else self.process(packet)
            if out is not None:
                await outbox.send(out)


class Source(AnyStage, Generic[Out]):
    """A step without an inbox: a camera, a file."""

    @abstractmethod
    async def run(self, outbox: Outbox[Out]) -> None:
        """Send until there is nothing more to send."""


class Sink(AnyStage, Generic[In]):
    """A step without an outbox: OSC, a report."""

    @abstractmethod
    async def run(self, inbox: Inbox[In | Tick]) -> None:
        """Work until the inbox ends."""
