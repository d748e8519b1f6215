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

RING_HEAD: Final = 24
"""Numbers of 64 bits before the sound of a ring; see `crowdstream.player.ring`."""

RING_MADE: Final = struct.Struct("=4q")
"""The first of them: capacity in samples, width, left, right."""


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Which device, and how."""

    device: str
    """Part of its name, or empty for the system's default."""

    host_api: str
    """Part of the host API's name, or empty for any."""

    channels: tuple[int, int]
    """Left and right, counted from 1."""

    rate: int
    block_samples: int

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> OutputSettings:
        """Those among the player's arguments."""
        return cls(
            device=str(given["device"]), host_api=str(given["host_api"]),
            channels=(int(given["channels"][0]), int(given["channels"][1])),
            rate=int(given["rate"]), block_samples=int(given["block_samples"]),
        )  # fmt: skip


def make_ring(samples: int, quantum: int) -> int:
    """Shared memory for a ring of so many samples, rounded up to whole quanta; its descriptor."""
    capacity = max(2, -(-samples // quantum)) * quantum
    fd = os.memfd_create("crowdstream-sound", os.MFD_CLOEXEC)
    os.ftruncate(fd, 8 * (RING_HEAD + capacity))
    os.pwrite(fd, RING_MADE.pack(capacity, 2, 0, 1), 0)
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
    ring = make_ring(int(float(str(given["ring_seconds"])) * settings.rate), QUANTUM)
    card = None
    if given["clocked"]:
        with contextlib.suppress(OSError):  # the device thread tries again, and says so
            card = start_card(settings, ring)
    loaded("crowdstream.player.process:play")(child, ring, card)
