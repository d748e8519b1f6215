"""What the player does before it has loaded anything: it starts the process that holds the card.

To load numba and the kernels takes both of them most of a second, so they do it side by side. A
player that is started again is heard again the sooner.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from crowdstream.music.quantum import QUANTUM
from crowdstream.player.lines import LineProcess, loaded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crowdstream.child import ChildSide

RING_HEAD: Final = 40
"""Numbers of 64 bits before the sound of a ring; see `crowdstream.player.ring`."""

RING_MADE: Final = struct.Struct("=3q")
"""The first of them: capacity in samples, the card's channels, stereo pairs."""

RING_ROUTE: Final = 24
"""From this one on, the card's channel of each column, from 0."""

MOST_PAIRS: Final = 6
"""The house, a cue, and four stems."""


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Which device, and how."""

    device: str
    """Part of its name, or empty for the system's default."""

    host_api: str
    """Part of the host API's name, or empty for any."""

    channels: tuple[int, ...]
    """Where each column of the ring goes, left and right of each pair, counted from 1."""

    rate: int
    block_samples: int
    needed: int = 0
    """Channels without which the card is of no use; 0: all. The others are left out."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> OutputSettings:
        """Those among the player's arguments."""
        return cls(
            device=str(given["device"]), host_api=str(given["host_api"]),
            channels=tuple(int(channel) for channel in given["channels"]),
            rate=int(given["rate"]), block_samples=int(given["block_samples"]),
            needed=int(given["needed"]),
        )  # fmt: skip


def make_ring(samples: int, quantum: int, pairs: int = 1) -> int:
    """Shared memory for a ring of so many samples, rounded up to whole quanta; its descriptor.

    It holds so many stereo `pairs` side by side, each column for the channel of its number.
    """
    if not 1 <= pairs <= MOST_PAIRS:
        raise ValueError(f"a ring holds 1 to {MOST_PAIRS} pairs, not {pairs}")
    capacity = max(2, -(-samples // quantum)) * quantum
    fd = os.memfd_create("crowdstream-sound", os.MFD_CLOEXEC)
    os.ftruncate(fd, 8 * (RING_HEAD + capacity * pairs))
    os.pwrite(fd, RING_MADE.pack(capacity, 2 * pairs, pairs), 0)
    os.pwrite(fd, struct.pack(f"={2 * pairs}q", *range(2 * pairs)), 8 * RING_ROUTE)
    return fd


def start_card(settings: OutputSettings, ring: int) -> LineProcess:
    """The process that holds the card, for the ring in this descriptor.

    The calling thread must live as long as the process shall.

    Raises:
        OSError: no process can be made.
    """
    arguments = [str(ring), json.dumps(asdict(settings))]
    return LineProcess("crowdstream.player.card:hold", arguments, [ring])


def play(child: ChildSide) -> None:
    """What the child does; `child.arguments` are those of `stages.speakers`."""
    given = child.arguments
    settings = OutputSettings.of(given)
    samples = int(float(str(given["ring_seconds"])) * settings.rate)
    ring = make_ring(samples, QUANTUM, len(settings.channels) // 2)
    card = None
    if given["clocked"]:
        with contextlib.suppress(OSError):  # the device thread tries again, and says so
            card = start_card(settings, ring)
    loaded("crowdstream.player.process:play")(child, ring, card)
