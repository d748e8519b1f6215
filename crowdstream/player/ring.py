"""Sound on its way to the card: one thread writes, the card's callback reads, nobody waits.

The writer is the player's render thread; the reader is a C function in the process that holds the
card (`crowdstream.player.card`). It needs no turn of an interpreter, so nothing that Python does
can make it late.

Counters and sound lie in one piece of memory without a name, whose descriptor is all that the
other process is given. Each counter is written by one side and only grows; a quantum is whole
before the counter says so.

A ring is as wide as what the card is given: one stereo pair as a rule, six at most. Each column
goes to a channel of the card of its own.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from crowdstream.player.early import RING_HEAD, RING_ROUTE, make_ring

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Places of the numbers before the sound.
_CAPACITY, _WIDTH, _PAIRS, _OPEN = range(4)
_WRITTEN, _READ, _MISSING, _UNDERRUNS, _CALLS, _LATE = 8, 16, 17, 18, 19, 20
_ROUTE: Final = RING_ROUTE
"""From here on the card's channel of each column, from 0; -1 where the card has none for it."""

_HEAD: Final = RING_HEAD
"""The writer's number and the reader's lie in different lines of the processor's cache."""

_OUTPUT_UNDERFLOW: Final = 4
"""PortAudio's flag: something was missing at the card before this block."""

_SOUND: Final = types.CPointer(types.float32)  # type: ignore[no-untyped-call]
_MEMORY: Final = types.CPointer(types.int64)  # type: ignore[no-untyped-call]


@intrinsic
def _fence(typing: Any) -> Any:  # noqa: ARG001  numba hands it over by name
    """Reads and writes before it happen before those after it, on any processor."""

    def make(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("acq_rel")
        return context.get_dummy_value()

    return types.void(), make


@njit("void(int64[::1], float32[:,::1])", cache=True, nogil=True)
def _take(memory: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Fill a block of the card. Realtime-safe: yes"""
    wanted = out.shape[0]
    columns = 2 * memory[_PAIRS]
    straight = memory[_WIDTH] == columns
    for column in range(columns):
        straight = straight and memory[_ROUTE + column] == column
    if not straight:
        out[:, :] = np.float32(0.0)
    there = np.int64(0)
    if memory[_OPEN]:
        there = min(np.int64(wanted), memory[_WRITTEN] - memory[_READ])
        _fence()  # type: ignore[call-arg]
        capacity = memory[_CAPACITY]
        sound = memory[_HEAD:].view(np.float32)
        place = memory[_READ] % capacity
        for i in range(there):
            for column in range(columns):
                if memory[_ROUTE + column] >= 0:
                    out[i, memory[_ROUTE + column]] = sound[columns * place + column]
            place += 1
            if place == capacity:
                place = 0
        _fence()
        memory[_READ] += there
        if there < wanted:
            memory[_MISSING] += wanted - there
            memory[_UNDERRUNS] += 1
    for i in range(there, wanted):
        for column in range(columns):
            if memory[_ROUTE + column] >= 0:
                out[i, memory[_ROUTE + column]] = np.float32(0.0)
    memory[_CALLS] += 1


@cfunc(
    types.intc(
        types.voidptr, _SOUND, types.ulong, types.voidptr, types.ulong, _MEMORY
    ),
    cache=True,
)  # fmt: skip
def _asked(_sound_in: Any, out: Any, samples: int, _time: Any, flags: int, memory: Any) -> int:
    """PortAudio's callback; `memory` is that of a ring. Realtime-safe: yes"""
    head = carray(memory, (_HEAD,))
    if flags & _OUTPUT_UNDERFLOW and head[_OPEN]:
        head[_LATE] += 1
    size = _HEAD + head[_CAPACITY] * head[_PAIRS]
    _take(carray(memory, (size,)), carray(out, (samples, head[_WIDTH])))
    return 0


CALLBACK_ADDRESS: Final = int(_asked.address or 0)
"""A `PaStreamCallback` whose user data is `SoundRing.address`."""


class SoundRing:
    """Samples of one or more stereo pairs between the render thread and the card."""

    def __init__(self, fd: int, quantum: int) -> None:
        """Map the ring that lies in `fd`; the descriptor stays its owner's."""
        self.fd = fd
        size = os.fstat(fd).st_size
        # One number of 64 bits is one stereo sample.
        self._memory = np.frombuffer(mmap.mmap(fd, size), np.int64)
        self.capacity = int(self._memory[_CAPACITY])
        self._columns = 2 * int(self._memory[_PAIRS])
        self._quantum = quantum
        sound = self._memory[_HEAD:].view(np.float32).reshape(-1, self._columns)
        self._quanta = [sound[i : i + quantum] for i in range(0, self.capacity, quantum)]

    @classmethod
    def make(cls, samples: int, quantum: int, pairs: int = 1) -> Self:
        """A ring of its own, for `samples` rounded up to whole quanta; closed at first.

        It holds so many stereo `pairs` side by side, MOST_PAIRS at most.
        """
        return cls(make_ring(samples, quantum, pairs), quantum)

    @property
    def address(self) -> int:
        """Of the memory that the callback reads; it lives as long as this ring."""
        return int(self._memory.ctypes.data)

    def route(self, channels: Sequence[int], width: int | None = None) -> None:
        """Each column goes to one of the card's `width` channels, counted from 1.

        Those that the card does not have are left out. Only while no card reads.
        """
        if len(channels) != self._columns:
            raise ValueError(f"{len(channels)} channels for a ring of {self._columns} columns")
        width = max(channels) if width is None else width
        self._memory[_WIDTH] = width
        for column, channel in enumerate(channels):
            self._memory[_ROUTE + column] = channel - 1 if channel <= width else -1

    # ---- the writer ----------------------------------------------------------------------------

    def room(self) -> NDArray[np.float32] | None:
        """Where the next quantum goes, shape (quantum, 2 * pairs); None while the ring is full.

        Realtime-safe: yes
        """
        written = self._memory[_WRITTEN]
        if written - self._memory[_READ] > self.capacity - self._quantum:
            return None
        quantum: NDArray[np.float32] = self._quanta[(written // self._quantum) % len(self._quanta)]
        return quantum

    def commit(self) -> None:
        """The quantum from `room` is whole. Realtime-safe: yes"""
        self._memory[_WRITTEN] += self._quantum

    def open(self) -> None:
        """From now on the card takes from here; before, it gets silence."""
        self._memory[_OPEN] = 1

    def close(self) -> None:
        """The card gets silence; who keeps time calls `skip`."""
        self._memory[_OPEN] = 0

    def skip(self, samples: int) -> int:
        """Take so many samples away that nobody hears, at most what is there; how many it were.

        Only while the ring is closed.
        """
        taken = max(0, min(samples, self.filled))
        self._memory[_READ] += taken
        return taken

    # ---- what both may ask ---------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """The card takes from here."""
        return bool(self._memory[_OPEN])

    @property
    def filled(self) -> int:
        """Samples that wait to be read."""
        return int(self._memory[_WRITTEN] - self._memory[_READ])

    @property
    def written(self) -> int:
        """Samples that the writer has finished."""
        return int(self._memory[_WRITTEN])

    @property
    def read(self) -> int:
        """Samples that were taken; what was missing is not counted."""
        return int(self._memory[_READ])

    @property
    def missing(self) -> int:
        """Samples of silence that the card got because nothing was there."""
        return int(self._memory[_MISSING])

    @property
    def underruns(self) -> int:
        """How many blocks were not whole, or came to the card too late."""
        return int(self._memory[_UNDERRUNS] + self._memory[_LATE])

    @property
    def calls(self) -> int:
        """How often the card has asked."""
        return int(self._memory[_CALLS])

    # ---- the reader ----------------------------------------------------------------------------

    def take(self, out: NDArray[np.float32]) -> None:
        """What the card's callback does, for a reader in Python. Realtime-safe: yes

        `out`, of shape (samples, width), gets what is there and silence for the rest.
        """
        _take(self._memory, out)
