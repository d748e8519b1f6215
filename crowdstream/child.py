"""The inside of a killable child: its arguments, and its line to the daemon.

See `crowdstream.worker` for the other side. A child's function reads like this:

    def work(child: ChildSide) -> None:
        model = load(child.arguments["path"])
        child.ready({"inputs": 1})
        while message := child.receive():
            child.reply(message, {"answer": model(message.header)})

It ends by returning, by raising (a CrowdstreamError arrives at the owner as what it is), by the
SystemExit that `receive` and `send` raise when the daemon asks for the end or is gone, or by
SIGKILL at any moment. What it prints goes into the log.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import resource
import select
import signal
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from crowdstream.errors import CrowdstreamError, WorkerError
from crowdstream.wire import (
    BEAT,
    FAILURE,
    HELLO,
    MESSAGE,
    READY,
    REFUSAL,
    REPLY,
    STOP,
    TOLD_ERRORS,
    Cutter,
    Header,
    Json,
    Message,
    Payload,
    encode,
    receive_piece,
)


class ChildSide:
    """What the child's function is given: its arguments, and its line to the daemon."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._cutter = Cutter()
        self._arrived: deque[tuple[int, Message]] = deque()
        self._sending = threading.Lock()
        hello = self._next(timeout=10.0)
        if hello is None or hello[0] != HELLO:
            raise SystemExit(0)
        self.hello = hello[1].header
        self.name = str(self.hello["name"])
        """What the log and `ps` call this child."""
        arguments = self.hello["arguments"]
        assert isinstance(arguments, dict)
        self.arguments: dict[str, Json] = arguments
        """As the owner gave them."""
        self.fds = hello[1].fds
        """Copies of the descriptors that the owner gave, in its order."""

    def ready(self, facts: Header | None = None) -> None:
        """Say that everything is open and warm; `facts` are what `Worker.start` returns."""
        self._send(READY, 0, facts or {}, b"", ())

    def send(self, header: Header, payload: Payload = b"", fds: Sequence[int] = ()) -> None:
        """Send what nobody asked for. Blocks while the daemon does not read; any thread may."""
        self._send(MESSAGE, 0, header, payload, fds)

    def reply(
        self, message: Message, header: Header, payload: Payload = b"", fds: Sequence[int] = ()
    ) -> None:
        """Answer a message that came by `Worker.call`."""
        self._send(REPLY, message.tag, header, payload, fds)

    def refuse(self, message: Message, sentence: str) -> None:
        """Answer that it cannot be done: WorkerError for the caller, and the child lives on."""
        self._send(REFUSAL, message.tag, {"sentence": sentence}, b"", ())

    def beat(self) -> None:
        """Say that the work goes on (`Worker.age`), from the loop that does it."""
        self._send(BEAT, 0, {}, b"", ())

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message; None when `timeout` seconds brought none. For one thread.

        Raises:
            SystemExit: the daemon asks to end, or is gone.
        """
        packet = self._next(timeout)
        if packet is None:
            return None
        kind, message = packet
        if kind == STOP:
            raise SystemExit(0)
        return message

    def fail(self, error: CrowdstreamError) -> None:
        """Tell the owner why this child ends; the caller then ends."""
        name = next((c.__name__ for c in type(error).__mro__ if c.__name__ in TOLD_ERRORS), "")
        with contextlib.suppress(SystemExit):
            self._send(FAILURE, 0, {"error": name, "sentence": str(error)}, b"", ())

    def _send(
        self, kind: int, tag: int, header: Header, payload: Payload, fds: Sequence[int]
    ) -> None:
        head = memoryview(encode(kind, tag, header, len(memoryview(payload).cast("B")), len(fds)))
        try:
            with self._sending:
                sent = socket.send_fds(self._sock, [head], list(fds))
                self._sock.sendall(head[sent:])
                if len(payload):
                    self._sock.sendall(payload)
        except OSError as error:
            raise SystemExit(0) from error

    def _next(self, timeout: float | None) -> tuple[int, Message] | None:
        while not self._arrived:
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            if not poll.poll(None if timeout is None else max(0.0, timeout) * 1000.0):
                return None
            try:
                piece, fds = receive_piece(self._sock)
            except OSError:
                piece, fds = b"", []
            if not piece:
                raise SystemExit(0)
            self._arrived.extend(self._cutter.cut(piece, fds))
        return self._arrived.popleft()


def serve() -> None:
    """Be a child: the whole life of the interpreter that `Worker.start` spawned."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    end_with_parent()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # meant for the daemon, if it goes to all of us
    child = ChildSide(sock)
    if os.getppid() != child.hello["parent"]:
        return  # the parent died before the kernel had been asked to tell us
    _settle(child)
    module, _, function = str(child.hello["target"]).partition(":")
    try:
        getattr(importlib.import_module(module), function)(child)
    except CrowdstreamError as error:
        child.fail(error)
        sys.exit(1)
    except Exception as error:  # whatever it is, the owner is told
        traceback.print_exc()
        what = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")
        child.fail(WorkerError(f"the child failed: {what}"))
        sys.exit(1)


def end_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that made it ends, and for no more."""
    import ctypes

    set_parent_death_signal, set_no_new_privileges = 1, 38
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    libc.prctl(set_no_new_privileges, 1, 0, 0, 0)


def _settle(child: ChildSide) -> None:
    """Name, niceness, limits; and where a crash in C would be told."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(child.name[:15], encoding="utf-8")
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold pictures of people
    nice = child.hello["nice"]
    if isinstance(nice, int) and nice:
        with contextlib.suppress(OSError):
            os.nice(nice)
    limit = child.hello["memory_limit_bytes"]
    if isinstance(limit, int):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
