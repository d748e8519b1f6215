"""The messages between the daemon and a child: JSON, bytes and descriptors over a socket.

    kind, descriptors, tag, two lengths | header, a JSON object | payload, bytes

Whatever a broken child sends is either a message or a ValueError, and bounded in size.
"""

from __future__ import annotations

import array
import json
import math
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crowdstream.errors import ConfigError, CrowdstreamError, DeviceError, MediaError, WorkerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Header = Mapping[str, Json]
Payload = bytes | bytearray | memoryview

HELLO, READY, MESSAGE, CALL, REPLY, REFUSAL, FAILURE, BEAT, STOP = range(9)
"""Kinds of packets, in the order of a child's life."""

_PREFIX: Final = struct.Struct("<BBxxIII")  # kind, descriptors, tag, bytes of header, of payload
_LARGEST_HEADER: Final = 1 << 20
_LARGEST_PAYLOAD: Final = 1 << 26
_MOST_DESCRIPTORS: Final = 16
_READ_BYTES: Final = 1 << 18

TOLD_ERRORS: Final[Mapping[str, type[CrowdstreamError]]] = {
    error.__name__: error for error in (MediaError, DeviceError, WorkerError, ConfigError)
}
"""Errors that a child can tell of and that arrive as themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one side sent to the other."""

    header: dict[str, Json]
    payload: bytes = b""
    fds: tuple[int, ...] = ()
    """Open descriptors; whoever receives the message owns and closes them."""

    tag: int = 0
    """Which call this belongs to; 0 when to none."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that `pack_arrays` put in, read-only views of the payload.

        Raises:
            WorkerError: they do not fit the payload, or are not plain numbers.
        """
        return _unpack_arrays(self.header, self.payload)


class Cutter:
    """Cuts a stream of bytes, and the descriptors that came along, into packets."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._fds: deque[int] = deque()

    def cut(self, piece: bytes, fds: Sequence[int]) -> Iterator[tuple[int, Message]]:
        """The packets that are whole now; to be read to the end.

        Raises:
            ValueError: the stream is not one of ours.
        """
        self._bytes += piece
        self._fds.extend(fds)
        while len(self._bytes) >= _PREFIX.size:
            kind, descriptors, tag, head, body = _PREFIX.unpack_from(self._bytes)
            if head > _LARGEST_HEADER or body > _LARGEST_PAYLOAD:
                raise ValueError(f"{head} and {body} bytes are too many")
            whole = _PREFIX.size + head + body
            if len(self._bytes) < whole:
                break
            if descriptors > len(self._fds):
                raise ValueError("a descriptor is missing")
            with memoryview(self._bytes) as view:
                header = json.loads(bytes(view[_PREFIX.size : _PREFIX.size + head]))
                payload = bytes(view[_PREFIX.size + head : whole])
            del self._bytes[:whole]
            if not isinstance(header, dict):
                raise ValueError("the header is no object")  # noqa: TRY004  as all that is broken
            taken = tuple(self._fds.popleft() for _ in range(descriptors))
            yield kind, Message(header=header, payload=payload, fds=taken, tag=tag)

    def close(self) -> None:
        """Close descriptors whose packet never became whole."""
        while self._fds:
            os.close(self._fds.popleft())


def encode(kind: int, tag: int, header: Header, payload_bytes: int, descriptors: int) -> bytes:
    """One packet but for its payload.

    Raises ValueError when it would be larger than the other side takes.
    """
    head = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    if len(head) > _LARGEST_HEADER or payload_bytes > _LARGEST_PAYLOAD:
        raise ValueError(f"a message of {len(head)} and {payload_bytes} bytes is too large")
    if descriptors > _MOST_DESCRIPTORS:
        raise ValueError(f"{descriptors} descriptors are too many for one message")
    return _PREFIX.pack(kind, descriptors, tag, len(head), payload_bytes) + head


def receive_piece(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One piece of the stream and the descriptors that came with it, not inheritable."""
    room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
    piece, extra, _, _ = sock.recvmsg(_READ_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, words in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(words[: len(words) - len(words) % fds.itemsize])
    return piece, list(fds)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Json], bytes]:
    """A header and a payload that carry named arrays of plain numbers; see `Message.arrays`.

    The header may be joined with one's own: `{**mine, **header}`; its only key is `arrays`.
    """
    import numpy as np

    plan: dict[str, Json] = {}
    parts = []
    for name, numbers in arrays.items():
        if numbers.dtype.kind not in "biuf":
            raise TypeError(f"{name}: only plain numbers can be sent, not {numbers.dtype}")
        plan[name] = [numbers.dtype.str, list(numbers.shape)]
        parts.append(np.ascontiguousarray(numbers).tobytes())
    return {"arrays": plan}, b"".join(parts)


def _unpack_arrays(header: Mapping[str, Json], payload: bytes) -> dict[str, NDArray[Any]]:
    import numpy as np

    try:
        arrays, at = {}, 0
        for name, (code, shape) in header["arrays"].items():  # type: ignore[union-attr,misc,str-unpack]
            dtype = np.dtype(str(code))
            if dtype.kind not in "biuf":
                raise ValueError(f"{name} is of {dtype}")
            numbers = np.frombuffer(payload, dtype, math.prod(shape), at).reshape(shape)  # type: ignore[arg-type]
            arrays[name] = numbers
            at += numbers.nbytes
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkerError(f"the child sent arrays that do not fit: {error}") from error
    return arrays
