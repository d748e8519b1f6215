"""The daemon's ends of the two lines to a child: its socket, and the pipe of what it prints.

Both live in the event loop and never block it, whatever the child does or does not do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from crowdstream.wire import STOP, Cutter, Header, Message, Payload, encode, receive_piece

# A child that says more than this is counted, not quoted: the log is for people.
_LINES_AT_ONCE: Final = 20
_LINES_PER_SECOND: Final = 1.0
_LONGEST_LINE: Final = 500


class Log(Protocol):
    """As much of a structlog logger as is used here."""

    def debug(self, event: str, **facts: Any) -> Any:
        """Say what only a developer wants to know."""

    def info(self, event: str, **facts: Any) -> Any:
        """Say what happened."""

    def warning(self, event: str, **facts: Any) -> Any:
        """Say what went wrong and is being mended."""


class WireEnd:
    """The loop's end of the socket: cuts its bytes into packets, and never blocks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_packet: Callable[[int, Message], None],
        on_broken: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._on_packet = on_packet
        self._on_broken = on_broken
        self._cutter = Cutter()
        self._out: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._empty: asyncio.Future[None] | None = None
        self._open = True
        self._reading = False
        self._at_end = False
        self.resume()

    @property
    def unsent(self) -> bool:
        """Something was written that the child has not taken."""
        return bool(self._out)

    def resume(self) -> None:
        """Listen again."""
        if self._open and not self._reading and not self._at_end:
            self._reading = True
            self._loop.add_reader(self._sock, self.read)

    def pause(self) -> None:
        """Do not listen: the child then blocks in its sending."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock)

    def read(self) -> bool:
        """Take what lies in the socket, one piece; True if there may be more."""
        if not self._open or self._at_end:
            return False
        try:
            piece, fds = receive_piece(self._sock)
        except BlockingIOError:
            return False
        except OSError:
            piece, fds = b"", []
        if not piece:
            self._at_end = True
            self.pause()
            # A child that closed its end but lives on is of no use to anybody.
            self._loop.call_later(0.5, self._on_broken, "closed its connection")
            return False
        try:
            for kind, message in self._cutter.cut(piece, fds):
                self._on_packet(kind, message)
        except (ValueError, RecursionError) as error:
            self._at_end = True
            self.pause()
            self._on_broken(f"sent what is no message: {error}")
            return False
        return True

    def read_all(self) -> None:
        """Take everything; only when the child is dead, else it might never end."""
        while self.read():
            pass

    def write(
        self, kind: int, tag: int, header: Header, payload: Payload, fds: Sequence[int]
    ) -> None:
        """Send now what the socket takes, and the rest when it takes more."""
        head = encode(kind, tag, header, len(payload), len(fds))
        idle = not self._out
        # Descriptors that wait must outlive the caller's.
        self._out.append((memoryview(head), tuple(fds) if idle else tuple(map(os.dup, fds))))
        if len(payload):
            self._out.append((memoryview(payload).cast("B"), ()))
        if not idle:
            self._out[-1] = (memoryview(bytes(self._out[-1][0])), self._out[-1][1])
            return
        self._flush(ours=False)
        if self._out:
            # What waits is ours: a copy of the bytes, and of the descriptors.
            self._out = deque((memoryview(bytes(v)), tuple(map(os.dup, f))) for v, f in self._out)
            self._loop.add_writer(self._sock, self._flush)

    def farewell(self) -> None:
        """Ask the child to end. If it does not read, the closed socket will tell it."""
        if self._open:
            with contextlib.suppress(OSError):
                if not self._out:
                    self._sock.send(encode(STOP, 0, {}, 0, 0))
                self._sock.shutdown(socket.SHUT_WR)

    async def drained(self) -> None:
        """Return once everything is sent, or never will be."""
        if self._out and self._open:
            if self._empty is None or self._empty.done():
                self._empty = self._loop.create_future()
            await asyncio.shield(self._empty)

    def close(self) -> None:
        """Let go of the socket."""
        if self._open:
            self.pause()
            self._loop.remove_writer(self._sock)
            self._open = False
            self._sock.close()
            self._cutter.close()
            self._forget()

    def _flush(self, *, ours: bool = True) -> None:
        """Send on. `ours`: the descriptors are copies of ours, to be closed once sent."""
        try:
            while self._out:
                view, fds = self._out[0]
                sent = socket.send_fds(self._sock, [view], fds) if fds else self._sock.send(view)
                if ours:
                    for fd in fds:
                        os.close(fd)
                if sent < len(view):
                    self._out[0] = (view[sent:], ())
                else:
                    self._out.popleft()
        except BlockingIOError:
            return
        except OSError:
            # The child is gone or going: its death will be noticed by itself.
            self._forget(ours=ours)
        if ours:
            self._loop.remove_writer(self._sock)
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _forget(self, *, ours: bool = True) -> None:
        for _, fds in self._out if ours else ():
            for fd in fds:
                os.close(fd)
        self._out.clear()
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)


class Ear:
    """Hears what the child writes to stderr and stdout; writes it into the log, within limits."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pipe: Any, name: str, log: Log) -> None:
        self._loop = loop
        self._pipe = pipe
        self._fd: int = pipe.fileno()
        self._name = name
        self._log = log
        self._rest = b""
        self._credit = float(_LINES_AT_ONCE)
        self._filled_at = loop.time()
        self._unsaid = 0
        self.last_line = ""
        os.set_blocking(self._fd, False)
        loop.add_reader(self._fd, self.listen)

    def listen(self) -> None:
        """Take what lies in the pipe, at most one pipe full."""
        try:
            piece = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._loop.remove_reader(self._fd)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        for line in lines:
            self._say(line)

    def close(self) -> None:
        """Let go of the pipe, and say what was left."""
        self._loop.remove_reader(self._fd)
        self._pipe.close()
        self._say(self._rest)
        if self._unsaid:
            self._log.info("child_said_more", child=self._name, lines=self._unsaid)

    def _say(self, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode(errors="replace").rstrip()
        if not text:
            return
        self.last_line = text.strip()
        now = self._loop.time()
        self._credit += (now - self._filled_at) * _LINES_PER_SECOND
        self._credit = min(self._credit, float(_LINES_AT_ONCE))
        self._filled_at = now
        if self._credit < 1.0:
            self._unsaid += 1
            return
        self._credit -= 1.0
        self._log.info("child_said", child=self._name, line=text)
