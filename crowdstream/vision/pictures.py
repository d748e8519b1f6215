"""The daemon's side of a capturing child: handles come in, frames whose slots are counted go out.

`stages.camera` and `stages.video_file` differ in time only; what they share is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crowdstream.errors import WorkerError
from crowdstream.packets import GREY_HEIGHT, Frame
from crowdstream.slots import SlotLease, Slots
from crowdstream.wire import Json
from crowdstream.worker import Log, Worker

SLOT_COUNT: Final = 8
"""Pictures of one camera in memory: one being written, one in each eye, one waiting before each,
and some for whoever looks on (the page, a recorder)."""

# Room for the grey picture of a source up to 8 times as wide as high.
_GREY_BYTES: Final = GREY_HEIGHT * GREY_HEIGHT * 8

_next_epochs: dict[str, int] = {}


def next_epoch(name: str) -> int:
    """A number that the source of that name never had in this process: for live sources.

    A source that was restarted is a new object, but what it sends must not look like the
    continuation of what the old one sent.
    """
    epoch = _next_epochs.get(name, 0)
    _next_epochs[name] = epoch + 1
    return epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """Where a picture lies, and when it was taken. Becomes a Frame or is let go."""

    lease: SlotLease
    seq: int
    lap: int
    """How often the file has begun anew; 0 for a camera."""

    at: float
    """Seconds of CLOCK_MONOTONIC (camera) or of the medium (file)."""

    picture_shape: tuple[int, int, int]
    grey_shape: tuple[int, int]
    source_size: tuple[int, int]

    def frame(self, *, captured_at: float, epoch: int) -> Frame:
        """The packet. The hold on the slot goes with it."""
        slots, index = self.lease.slots, self.lease.index
        picture = slots.view(index, self.picture_shape)
        grey = slots.view(index, self.grey_shape, offset=picture.nbytes).copy()
        grey.flags.writeable = False
        return Frame(
            seq=self.seq,
            captured_at=captured_at,
            epoch=epoch,
            picture=picture,
            grey=grey,
            source_size=self.source_size,
            lease=self.lease,
        )

    def release(self) -> None:
        """Let the picture go without using it."""
        self.lease.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The file has no more pictures."""

    at: float
    """Seconds of the medium at which the last picture ends."""

    seconds: float | None
    """How long the file says it is."""

    early: bool
    """It ended well before that: it is cut off or damaged."""


class CapturingChild:
    """One child that captures, with the slots it writes to."""

    def __init__(
        self,
        target: str,
        *,
        name: str,
        log: Log,
        arguments: Mapping[str, Json],
        max_size: tuple[int, int],
        ready_seconds: float,
        memory_limit_bytes: int,
        environment: Mapping[str, str],
    ) -> None:
        """Make the memory; `open` starts the child.

        Args:
            target: the child's function; see `crowdstream.worker`.
            name: of the stage.
            log: of the stage.
            arguments: for the child; `max_size` is put in.
            max_size: width and height that no delivered picture exceeds.
            ready_seconds: how long opening may take.
            memory_limit_bytes: address space of the child.
            environment: variables for the child.
        """
        width, height = max_size
        self._name = name
        self._log = log
        self._slots = Slots.create(SLOT_COUNT, width * height * 3 + _GREY_BYTES)
        self._worker = Worker(
            target,
            name=name,
            log=log,
            arguments={**arguments, "max_size": [width, height]},
            environment=environment,
            fds=[self._slots.fd],
            ready_seconds=ready_seconds,
            memory_limit_bytes=memory_limit_bytes,
        )

    @property
    def slots(self) -> Slots:
        """The memory that the frames lie in."""
        return self._slots

    @property
    def pid(self) -> int | None:
        """Process id of the child."""
        return self._worker.pid

    async def open(self) -> dict[str, Json]:
        """Start the child; what it says of what it opened.

        Raises:
            DeviceError, MediaError: it cannot be opened; one sentence.
        """
        return await self._worker.start()

    async def next(self, deadline: float) -> Handle | End:
        """The next picture. The caller owns the hold on it.

        Args:
            deadline: seconds of silence after which the child is killed.

        Raises:
            WorkerError, DeviceError, MediaError: the child is dead, and why.
        """
        message = await self._worker.receive(deadline=deadline)
        words: Mapping[str, Any] = message.header
        try:
            if "end" in words:
                seconds = words["seconds"]
                return End(
                    at=float(words["at"]),
                    seconds=None if seconds is None else float(seconds),
                    early=bool(words["early"]),
                )
            height, width = (int(side) for side in words["picture"])
            grey_height, grey_width = (int(side) for side in words["grey"])
            source_width, source_height = (int(side) for side in words["source"])
            at = float(words["at"])
            if not math.isfinite(at):
                raise ValueError(f"a picture at {at} s")
            index, picture_shape = int(words["slot"]), (height, width, 3)
            picture = self._slots.view(index, picture_shape)
            self._slots.view(index, (grey_height, grey_width), offset=picture.nbytes)
            return Handle(
                seq=int(words["seq"]),
                lap=int(words.get("lap", 0)),
                at=at,
                picture_shape=picture_shape,
                grey_shape=(grey_height, grey_width),
                source_size=(source_width, source_height),
                lease=self._slots.lease(index, int(words["generation"])),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self._worker.kill("sent what is no picture")
            raise WorkerError(
                f"{self._name}: the child sent what is no picture: {error}"
            ) from error

    async def close(self) -> None:
        """End the child, and give up the memory; frames that are still held keep theirs."""
        await self._worker.stop(grace=0.3)
        self._slots.close()
