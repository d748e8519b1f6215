"""Blocking work of one stage, on a thread of its own that never holds up the end.

An ordinary executor thread that is stuck keeps the process alive after SIGTERM. This one is a
daemon thread: at the end it is simply left behind. It is for work that ends by itself (painting,
encoding, a file); what can hang in a driver belongs into a child (`crowdstream.worker`).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from crowdstream.errors import CrowdstreamError

P = ParamSpec("P")
R = TypeVar("R")

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Offload:
    """One daemon thread, started at the first call, and its bounded list of work."""

    def __init__(self, name: str) -> None:
        """`name` is the thread's, for whoever looks at the process."""
        self._name = name
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=8)
        self._thread: threading.Thread | None = None

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` on the thread and return what it returns, or raise what it raises.

        A cancelled call is not interrupted, only no longer waited for.

        Raises:
            CrowdstreamError: eight calls wait already, and nobody takes them.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        try:
            self._jobs.put_nowait((loop, future, lambda: function(*args, **kwargs)))
        except queue.Full:
            raise CrowdstreamError(
                f"{self._name}: its thread hangs, and too much work waits for it already"
            ) from None
        result: R = await future
        return result

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        if self._thread is not None:
            self._thread = None
            # It is a daemon thread: what is stuck is left behind.
            with contextlib.suppress(queue.Full):
                self._jobs.put_nowait(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, call = job
            try:
                result, error = call(), None
            except BaseException as raised:
                result, error = None, raised
            try:
                loop.call_soon_threadsafe(_answer, future, result, error)
            except RuntimeError:
                return  # the loop has closed: nobody waits any more


def _answer(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):
        # A future refuses it, and whoever waits would wait for ever.
        error = RuntimeError(f"the work raised {error!r}")
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
