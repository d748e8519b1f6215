"""What may be known from outside: states, counts, latencies, as plain data."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class StageState(enum.StrEnum):
    """The words for where a stage is in its life."""

    OPENING = "opening"
    RUNNING = "running"
    RESTARTING = "restarting"
    FAILED = "failed"
    FINISHED = "finished"
    STOPPED = "stopped"


class ChainState(enum.StrEnum):
    """The words for the whole."""

    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Latency:
    """Ages of what a stage sends, or its times of work, in milliseconds, of the newest packets."""

    count: int
    p50: float
    p95: float
    largest: float


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage, seen from outside."""

    name: str
    state: StageState
    why: str
    """The cause of the last failure, or empty."""

    restarts: int
    taken: int
    sent: int
    dropped: int
    busy_seconds: float
    """How long it has been at the packet in hand; 0 while it waits."""

    since_sent_seconds: float | None
    """Since it last sent; None if it never did."""

    latency: dict[str, Latency]
    """By eye for energy, by packet type elsewhere."""

    work: Latency
    """How long it is at one packet."""

    note: str = ""
    """What it says of itself while it works, like `looks at most 5 times a second`; empty if all
    is well."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of one stage's state."""

    at: float
    stage: str
    state: StageState
    why: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole chain, seen from outside."""

    state: ChainState
    stages: tuple[StageStatus, ...]
    changes: tuple[StateChange, ...] = field(default=())
    """The newest state changes, oldest first, at most twenty."""

    def stage(self, name: str) -> StageStatus | None:
        """The stage of that name, if the plan has it."""
        return next((stage for stage in self.stages if stage.name == name), None)
