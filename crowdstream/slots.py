"""Pictures in memory that several processes share, each in a slot that is lent and given back.

One camera's pictures lie in one anonymous memfd: no name, nothing to clean up, gone with the last
process that holds it. Its size is sealed, so that no child can cut the ground from under another.

    state of a slot     who changes it
    free  -> taken      the camera's child alone, when it begins to write
    taken -> free       the daemon alone, when the last holder has let go

So no byte is ever written by two, and no lock is needed. Leases are counted in the daemon's loop.
The generation of a slot counts its pictures: odd while one is being written, even when it is
whole. Whoever reads in another process compares it before and after (`holds`): a slot that was
taken back meanwhile shows.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import weakref
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_HEADER: Final = struct.Struct("<8sQQQ")  # magic, key, slots, bytes of each slot
_MAGIC: Final = b"crowdsl1"
_PAGE: Final = mmap.PAGESIZE

# Each slot's state and generation have a cache line of their own.
_RECORD_BYTES: Final = 64
_FIRST_RECORD: Final = 64
_STATE: Final = 0
_GENERATION: Final = 8
_FREE: Final = 0
_TAKEN: Final = 1

_MOST_SLOTS: Final = 64
_LARGEST_SLOT: Final = 1 << 28


class Slots:
    """A row of equal slots in shared memory. The same class serves daemon, camera and readers."""

    def __init__(self, fd: int, key: int, count: int, slot_bytes: int, *, writable: bool) -> None:
        """Map the memory; `create` and `attach` are the ways in. `fd` becomes ours."""
        self.fd = fd
        """Descriptor of the memory: give it to a child. Closed by `close` or with the object."""
        self.key = key
        """A number that no other Slots has: how a reader knows what it has attached already."""
        self.count = count
        """How many slots."""
        self.slot_bytes = slot_bytes
        """Bytes of each slot: whole pages."""
        self.forgotten = 0
        """Leases that nobody released: their slots were freed when the lease was lost."""
        self._close_fd = weakref.finalize(self, os.close, fd)
        self._leased: set[int] = set()
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        memory = mmap.mmap(fd, _head_bytes(count) + count * slot_bytes, mmap.MAP_SHARED, prot)
        self._bytes: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
        records = self._bytes[_FIRST_RECORD : _FIRST_RECORD + count * _RECORD_BYTES]
        records = records.reshape(count, _RECORD_BYTES)
        self._states: NDArray[np.uint8] = records[:, _STATE]
        self._generations: NDArray[np.uint64] = records[:, _GENERATION : _GENERATION + 8].view(
            np.uint64
        )[:, 0]

    @classmethod
    def create(cls, count: int, slot_bytes: int) -> Self:
        """New memory of `count` slots with room for `slot_bytes` each. Pages come when touched."""
        if not (1 <= count <= _MOST_SLOTS and 1 <= slot_bytes <= _LARGEST_SLOT):
            raise ValueError(f"{count} slots of {slot_bytes} bytes cannot be made")
        slot_bytes = -(-slot_bytes // _PAGE) * _PAGE
        key = int.from_bytes(os.urandom(7), "little")
        fd = os.memfd_create("crowdstream-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, _head_bytes(count) + count * slot_bytes)
            fcntl.fcntl(
                fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            )
            os.pwrite(fd, _HEADER.pack(_MAGIC, key, count, slot_bytes), 0)
            return cls(fd, key, count, slot_bytes, writable=True)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int, *, writable: bool = False) -> Self:
        """The slots that another process made; `fd` becomes ours.

        Args:
            fd: descriptor that came from the daemon.
            writable: only for the one child that writes the pictures.

        Raises:
            ValueError: this is no memory of slots.
        """
        size = os.fstat(fd).st_size
        head = os.pread(fd, _HEADER.size, 0)
        if len(head) == _HEADER.size:
            magic, key, count, slot_bytes = _HEADER.unpack(head)
            if (
                magic == _MAGIC
                and 1 <= count <= _MOST_SLOTS
                and size == _head_bytes(count) + count * slot_bytes
            ):
                return cls(fd, key, count, slot_bytes, writable=writable)
        raise ValueError(f"descriptor {fd} is no memory of frame slots")

    def close(self) -> None:
        """Close the descriptor. The memory itself goes with the last picture that lies in it."""
        self._close_fd()

    # The camera's child ---------------------------------------------------------------------

    def take(self) -> int | None:
        """A free slot, now taken and being written; None if there is none.

        Only for the one process that writes. What was taken is `whole` next, or taken anew.
        """
        for index in range(self.count):
            if self._states[index] == _FREE:
                self._states[index] = _TAKEN
                self._generations[index] |= np.uint64(1)
                return index
        return None

    def whole(self, index: int) -> int:
        """The picture of a taken slot is complete: its generation, to be told with the slot."""
        self._generations[index] += np.uint64(1)
        return int(self._generations[index])

    # The daemon -----------------------------------------------------------------------------

    def lease(self, index: int, generation: int) -> SlotLease:
        """The hold on a picture that the camera has told of; one holder to begin with.

        Raises:
            ValueError: no such picture: the child says what cannot be.
        """
        if not 0 <= index < self.count or index in self._leased:
            raise ValueError(f"slot {index} cannot be lent: there is none, or it is lent already")
        if self._states[index] != _TAKEN or not self.holds(index, generation):
            raise ValueError(f"slot {index} holds no picture of generation {generation}")
        self._leased.add(index)
        return SlotLease(self, index, generation)

    @property
    def lent(self) -> int:
        """How many slots are held now."""
        return len(self._leased)

    def _give_back(self, index: int) -> None:
        self._leased.discard(index)
        self._states[index] = _FREE

    # Whoever reads --------------------------------------------------------------------------

    def view(
        self, index: int, shape: tuple[int, ...], dtype: DTypeLike = np.uint8, offset: int = 0
    ) -> NDArray[Any]:
        """An array that lies in the slot, `offset` bytes from its begin. Read only for readers.

        It keeps the memory mapped for as long as it lives; the slot is its own only while held.

        Raises:
            ValueError: it does not fit the slot.
        """
        array = self._room(index, shape, np.dtype(dtype), offset)
        array.flags.writeable = False
        return array

    def room(
        self, index: int, shape: tuple[int, ...], dtype: DTypeLike = np.uint8, offset: int = 0
    ) -> NDArray[Any]:
        """As `view`, but to be written into, by the child that has taken the slot."""
        return self._room(index, shape, np.dtype(dtype), offset)

    def holds(self, index: int, generation: int) -> bool:
        """The slot still holds that picture, whole. Asked after use, it was right all along."""
        return generation % 2 == 0 and int(self._generations[index]) == generation

    def _room(
        self, index: int, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int
    ) -> NDArray[Any]:
        if not 0 <= index < self.count:
            raise ValueError(f"there is no slot {index}; there are {self.count}")
        if any(side < 0 for side in shape) or offset < 0:
            raise ValueError(f"an array of {shape} at {offset} cannot be")
        length = dtype.itemsize
        for side in shape:
            length *= side
        if offset + length > self.slot_bytes:
            raise ValueError(
                f"an array of {shape} ({dtype}) at {offset} does not fit {self.slot_bytes} bytes"
            )
        begin = _head_bytes(self.count) + index * self.slot_bytes + offset
        return self._bytes[begin : begin + length].view(dtype).reshape(shape)


class SlotLease:
    """A hold on one picture in a slot: the slot is free after the last release."""

    __slots__ = ("_holders", "generation", "index", "slots")

    def __init__(self, slots: Slots, index: int, generation: int) -> None:
        """One holder; made by `Slots.lease`."""
        self.slots = slots
        """Where the picture lies; keeps the memory."""
        self.index = index
        """Which slot."""
        self.generation = generation
        """Which picture of that slot."""
        self._holders = 1

    @property
    def holders(self) -> int:
        """How many hold it now."""
        return self._holders

    def retain(self) -> None:
        """Add a holder.

        Raises:
            RuntimeError: nobody holds it any more; the slot may hold another picture.
        """
        if self._holders <= 0:
            raise RuntimeError(f"slot {self.index} was given back already and cannot be held")
        self._holders += 1

    def release(self) -> None:
        """Take one holder away.

        Raises:
            RuntimeError: nobody holds it.
        """
        if self._holders <= 0:
            raise RuntimeError(f"slot {self.index} was given back already and cannot be released")
        self._holders -= 1
        if self._holders == 0:
            self.slots._give_back(self.index)

    def __del__(self) -> None:
        # A packet that was lost with a cancelled task must not cost a slot for ever.
        if self._holders > 0:
            self._holders = 0
            self.slots.forgotten += 1
            self.slots._give_back(self.index)


def _head_bytes(count: int) -> int:
    return -(-(_FIRST_RECORD + count * _RECORD_BYTES) // _PAGE) * _PAGE
