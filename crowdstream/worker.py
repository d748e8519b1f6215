"""The life of a killable child process: what may block or crash in C lives in one.

A thread that is stuck in a driver can be neither cancelled nor left behind. A process can: it is
killed and a new one is made. This file owns that life and nothing else: spawn, ready, age,
deadline, kill, end with the parent, a clean environment, its words into the log. What the child
does is a function, named `package.module:function`, that is given a `ChildSide`.

    the daemon's event loop                 the child
    worker = Worker("a.b:work", ...)
    facts = await worker.start()    <----   child.ready({...})
    reply = await worker.call({..}) ---->   message = child.receive()
                                    <----   child.reply(message, {...})
    frame = await worker.receive()  <----   child.send({...})
    await worker.stop()             ---->   SystemExit out of child.receive()

A message is a JSON object, optionally with bytes and file descriptors, over a socket that only
these two hold. Nothing is ever pickled: whatever becomes of the child, it can only send data.

One object is one life. What to do after a death is the owner's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from crowdstream.ends import Ear, Log, WireEnd
from crowdstream.errors import CrowdstreamError, WorkerError
from crowdstream.wire import (
    CALL,
    FAILURE,
    HELLO,
    MESSAGE,
    READY,
    REFUSAL,
    REPLY,
    TOLD_ERRORS,
    Header,
    Json,
    Message,
    Payload,
    pack_arrays,
)

__all__ = ["Header", "Json", "Log", "Message", "Payload", "Worker", "pack_arrays"]

T = TypeVar("T")

# The child may be this far ahead of its reader; then it is not read, and blocks in `send`.
_MOST_WAITING: Final = 64

# What a child may know of our environment: where things lie and how people here write. Nothing
# that could be a secret; whoever needs more says so by `environment`.
_INHERITED: Final = (
    "PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
    "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT",
    "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG",
)  # fmt: skip


class Worker:
    """One child, from the event loop's side. Every method belongs to the loop that started it."""

    def __init__(
        self,
        target: str,
        *,
        name: str,
        log: Log,
        arguments: Mapping[str, Json] | None = None,
        environment: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        ready_seconds: float = 10.0,
        nice: int = 0,
        memory_limit_bytes: int | None = None,
    ) -> None:
        """Describe a child; nothing is started yet.

        Args:
            target: `package.module:function`; called in the child with its `ChildSide`.
            name: what the log, `ps` and errors call it.
            log: where its words and its death are written.
            arguments: what the function finds in `ChildSide.arguments`. Not on the command line.
            environment: variables beside the few that every child inherits.
            fds: descriptors that the child gets copies of, in `ChildSide.fds`; ours stay ours.
            ready_seconds: it has so long from spawn to `ChildSide.ready`.
            nice: added to its niceness.
            memory_limit_bytes: limit of its address space (RLIMIT_AS).
        """
        self.name = name
        self._target = target
        self._log = log
        self._hello: dict[str, Json] = {
            "target": target,
            "name": name,
            "arguments": dict(arguments or {}),
            "parent": os.getpid(),
            "nice": nice,
            "memory_limit_bytes": memory_limit_bytes,
        }
        self._environment = dict(environment or {})
        self._fds = tuple(fds)
        self._ready_seconds = ready_seconds

        self._loop: asyncio.AbstractEventLoop | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int = -1
        self._wire: WireEnd | None = None
        self._ear: Ear | None = None
        self._arrived: deque[Message] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._ready: asyncio.Future[dict[str, Json]] | None = None
        self._call: tuple[int, asyncio.Future[Message]] | None = None
        self._tags = 0
        self._calling = asyncio.Lock()
        self._dead: asyncio.Event = asyncio.Event()
        self._ended: CrowdstreamError | None = None
        self._reason: str | None = None
        self._failure: tuple[str, str] | None = None
        self._heard_at = -math.inf

    @property
    def pid(self) -> int | None:
        """Process id, None before start."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """It runs: started, and its end has not been noticed."""
        return self._process is not None and not self._dead.is_set()

    @property
    def age(self) -> float:
        """Seconds since it last said anything (a beat counts); infinite before its first word."""
        return math.inf if self._loop is None else self._loop.time() - self._heard_at

    async def start(self) -> dict[str, Json]:
        """Spawn the child and wait until it is ready; its facts.

        Raises:
            WorkerError: it died, or was not ready in time (then it is dead).
            MediaError, DeviceError, ConfigError: it said so itself.
        """
        if self._loop is not None:
            raise WorkerError(f"{self.name}: this child was started before; make a new one")
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        spawning = _in_spawning_thread(lambda: _spawn(self.name, self._environment, theirs))
        try:
            self._process = await asyncio.shield(asyncio.wrap_future(spawning))
        except BaseException as error:
            ours.close()
            spawning.add_done_callback(_disown)
            if isinstance(error, OSError):
                raise WorkerError(f"{self.name}: no child could be made: {error}") from error
            raise
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._died)
        self._ear = Ear(self._loop, self._process.stdout, self.name, self._log)
        self._wire = WireEnd(self._loop, ours, on_packet=self._took, on_broken=self.kill)
        self._ready = self._loop.create_future()
        self._wire.write(HELLO, 0, self._hello, b"", self._fds)
        try:
            return await self._within(self._ready, self._ready_seconds, "was not ready")
        except BaseException:
            await self.stop(grace=0.0)
            raise

    async def call(
        self, header: Header, payload: Payload = b"", fds: Sequence[int] = (), *, deadline: float
    ) -> Message:
        """Send and wait for the reply, at most `deadline` seconds; one call at a time.

        A call that is cancelled leaves the child at its work; its reply is thrown away.

        Raises:
            WorkerError: the child died, refused, or is late (then it is killed).
        """
        async with self._calling:
            wire = self._alive_wire()
            self._tags = self._tags % 0xFFFFFFFF + 1
            assert self._loop is not None
            answer: asyncio.Future[Message] = self._loop.create_future()
            self._call = (self._tags, answer)
            try:
                wire.write(CALL, self._tags, header, payload, fds)
                return await self._within(answer, deadline, "gave no answer")
            finally:
                self._call = None

    async def receive(self, *, deadline: float | None = None) -> Message:
        """The next message that is not a reply; for one reader.

        Args:
            deadline: seconds without a word after which the child is killed; its beats are
                words. None waits for ever.

        Raises:
            WorkerError: the child is dead (what it sent before is delivered first), or late.
        """
        if not self._arrived:
            wire = self._alive_wire()
            assert self._loop is not None
            self._reader = self._loop.create_future()
            try:
                wire.resume()
                await self._within(self._reader, deadline, "sent nothing", beats_count=True)
            finally:
                self._reader = None
        message = self._arrived.popleft()
        if self._wire is not None and len(self._arrived) < _MOST_WAITING // 2:
            self._wire.resume()
        return message

    def send_nowait(self, header: Header, payload: Payload = b"", fds: Sequence[int] = ()) -> bool:
        """Send if the child has taken everything before; False, and not sent, if it has not.

        Raises:
            WorkerError: the child is dead.
        """
        wire = self._alive_wire()
        if wire.unsent:
            return False
        wire.write(MESSAGE, 0, header, payload, fds)
        return True

    async def send(self, header: Header, payload: Payload = b"", fds: Sequence[int] = ()) -> None:
        """Send, after the child has taken everything before.

        Raises:
            WorkerError: the child is dead, or died meanwhile.
        """
        while True:
            wire = self._alive_wire()
            if not wire.unsent:
                break
            await wire.drained()
        wire.write(MESSAGE, 0, header, payload, fds)

    def kill(self, reason: str = "was killed") -> None:
        """SIGKILL, now. Its end is noticed and reaped by the loop. Harmless when it is dead."""
        if self._process is None or self._dead.is_set():
            return
        if self._reason is None:
            self._reason = reason
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def stop(self, grace: float = 0.5) -> None:
        """Ask it to end, give it `grace` seconds, kill it, reap it, close everything.

        May be called twice, and after its death. Takes at most `grace` and a second.
        """
        if self._process is None:
            return
        try:
            if not self._dead.is_set():
                self._reason = self._reason or "was stopped"
                if grace > 0.0 and self._wire is not None:
                    self._wire.farewell()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(grace):
                            await self._dead.wait()
                self.kill()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._dead.wait()
        finally:
            self.kill()  # also when this very wait was cancelled
            if not self._dead.is_set():
                self._abandon()

    def _alive_wire(self) -> WireEnd:
        if self._ended is not None:
            raise type(self._ended)(str(self._ended))
        if self._wire is None:
            raise WorkerError(f"{self.name}: the child is not running")
        return self._wire

    async def _within(
        self,
        future: asyncio.Future[T],
        seconds: float | None,
        what: str,
        *,
        beats_count: bool = False,
    ) -> T:
        """The future's result; when it is late, the child is killed and WorkerError raised."""
        assert self._loop is not None
        loop = self._loop
        if seconds is None:
            return await future
        begun = loop.time()
        timer = loop.call_later(seconds, lambda: late())  # noqa: PLW0108  it is defined below

        def late() -> None:
            nonlocal timer
            # If it was this loop that slept, the answer may already lie in the socket.
            if self._wire is not None:
                self._wire.read()
            if future.done():
                return
            silent_since = max(begun, self._heard_at) if beats_count else begun
            if loop.time() < silent_since + seconds - 0.001:
                timer = loop.call_at(silent_since + seconds, late)
                return
            sentence = f"{what} within {seconds:g} s"
            self.kill(sentence)
            future.set_exception(WorkerError(f"{self.name}: the child {sentence}"))

        try:
            return await future
        finally:
            timer.cancel()

    def _took(self, kind: int, message: Message) -> None:
        """Called by the wire for each packet of the child."""
        assert self._loop is not None and self._wire is not None
        self._heard_at = self._loop.time()
        if kind == MESSAGE:
            self._arrived.append(message)
            if len(self._arrived) >= _MOST_WAITING:
                self._wire.pause()
            if self._reader is not None and not self._reader.done():
                self._reader.set_result(None)
            return
        for fd in message.fds if kind != REPLY else ():
            os.close(fd)
        if kind in (REPLY, REFUSAL):
            if self._call is None or self._call[0] != message.tag or self._call[1].done():
                for fd in message.fds:
                    os.close(fd)
            elif kind == REPLY:
                self._call[1].set_result(message)
            else:
                sentence = str(message.header.get("sentence"))
                self._call[1].set_exception(WorkerError(f"{self.name}: {sentence}"))
        elif kind == READY and self._ready is not None and not self._ready.done():
            self._ready.set_result(message.header)
        elif kind == FAILURE:
            header = message.header
            self._failure = (str(header.get("error")), str(header.get("sentence")))

    def _died(self) -> None:
        """The process has ended: hear its last words, reap it, tell whoever waits."""
        if self._dead.is_set():
            return
        assert self._process is not None and self._loop is not None
        if self._wire is not None:
            self._wire.read_all()
            self._wire.close()
        if self._ear is not None:
            self._ear.listen()
            self._ear.close()
        status = self._process.wait()  # it is a zombie: this returns at once
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended = self._obituary(status)
        self._dead.set()
        # An end that was asked for, or that came after the work was done, is no news; one whose
        # cause the child itself has told is its owner's to tell.
        told = self._failure is not None
        expected = self._reason in ("was stopped", "was killed") or status == 0 or told
        said = self._log.debug if expected else self._log.warning
        said("child_ended", child=self.name, pid=self._process.pid, why=str(self._ended))
        for future in (self._ready, self._reader, self._call[1] if self._call else None):
            if future is not None and not future.done():
                future.set_exception(type(self._ended)(str(self._ended)))

    def _obituary(self, status: int) -> CrowdstreamError:
        """The error that says in one sentence why the child is dead."""
        if self._failure is not None:
            kind, sentence = self._failure
            return TOLD_ERRORS.get(kind, WorkerError)(f"{self.name}: {sentence}")
        if self._reason is not None:
            return WorkerError(f"{self.name}: the child {self._reason}")
        if status < 0:
            with contextlib.suppress(ValueError):
                how = f"died of {signal.Signals(-status).name}"
                return WorkerError(f"{self.name}: the child {how}{self._last_words()}")
        how = "ended by itself" if status == 0 else f"ended with status {status}"
        return WorkerError(f"{self.name}: the child {how}{self._last_words()}")

    def _last_words(self) -> str:
        words = self._ear.last_line if self._ear is not None else ""
        return f" ({words})" if words else ""

    def _abandon(self) -> None:
        """Not even SIGKILL helped: it hangs in the kernel. Leave it, and go on without it."""
        assert self._process is not None and self._loop is not None
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._wire is not None:
            self._wire.close()
        if self._ear is not None:
            self._ear.close()
        self._ended = WorkerError(f"{self.name}: the child hangs in the kernel and was left behind")
        self._dead.set()
        self._log.warning("child_left_behind", child=self.name, pid=self._process.pid)
        # Its exit status is never asked for; without this, Popen would complain about that.
        self._process.returncode = -signal.SIGKILL


def _spawn(
    name: str, environment: Mapping[str, str], theirs: socket.socket
) -> subprocess.Popen[bytes]:
    """Start the interpreter for a child; runs on the spawning thread."""
    clean = {key: os.environ[key] for key in _INHERITED if key in os.environ}
    clean["PYTHONPATH"] = os.pathsep.join(os.path.abspath(folder or ".") for folder in sys.path)  # noqa: PTH100  "" is here
    # Each thread that calls malloc reserves 64 MiB of address space, which the limit counts.
    clean["MALLOC_ARENA_MAX"] = "2"
    program = "from crowdstream.child import serve; serve()"
    with theirs:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", program, str(theirs.fileno()), name],
            env={**clean, **environment},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            # Ctrl-C in a terminal goes to the daemon, which ends its children in its own order.
            start_new_session=True,
        )


def _disown(spawning: Future[subprocess.Popen[bytes]]) -> None:
    """End a child that was made while nobody waited for it any more."""
    if spawning.exception() is None:
        process = spawning.result()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


_spawning_jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] | None = None


def _in_spawning_thread(job: Callable[[], T]) -> Future[T]:
    """Run `job` on the one thread that makes children.

    A child is told by the kernel when the *thread* that made it ends (PR_SET_PDEATHSIG), not the
    process: so it is made by a thread that ends only with the process.
    """
    global _spawning_jobs  # one per process, made when first needed
    if _spawning_jobs is None:
        _spawning_jobs = queue.SimpleQueue()
        thread = threading.Thread(
            target=_spawn_for_ever, args=(_spawning_jobs,), name="spawn-children", daemon=True
        )
        thread.start()
    future: Future[T] = Future()
    _spawning_jobs.put((job, future))
    return future


def _spawn_for_ever(jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]]) -> None:
    while True:
        job, future = jobs.get()
        try:
            future.set_result(job())
        except BaseException as error:  # handed to whoever waits
            future.set_exception(error)
