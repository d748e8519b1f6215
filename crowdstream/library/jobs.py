"""Several tracks at once: children that work through a list, and are replaced when they fall."""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

from crowdstream.errors import CrowdstreamError

SILENT_SECONDS: Final = 600.0
"""A child that has not said a word for so long hangs; the longest step takes a tenth of it."""

Job = dict[str, Any]


class Step(NamedTuple):
    """What goes on with a job; `name` is empty when it has not been begun yet or is done."""

    number: int
    name: str


class Answer(NamedTuple):
    """How a job ended: the last line of its child, as `library_job` describes it."""

    number: int
    said: dict[str, Any]


class Jobs:
    """Children that work through jobs. Leaving the context ends them, done or not."""

    def __init__(
        self, count: int, prepare: Callable[[int], Job | None], is_known: Callable[[str], bool]
    ) -> None:
        """`count` children; the others are asked on their threads.

        `prepare` makes the job of an index, or None where there is nothing to do. `is_known` says
        whether a sound is in the library already.
        """
        self._count = count
        self._prepare = prepare
        self._is_known = is_known
        self._todo: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[Step | Answer | BaseException] = queue.SimpleQueue()
        self._children: set[subprocess.Popen[str]] = set()
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()

    def __enter__(self) -> Jobs:
        """Nothing starts before there is work."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the children; what they were working on stays undone."""
        self._ending.set()
        for child in tuple(self._children):
            child.kill()
        for thread in self._threads:
            thread.join()  # from here on nothing is written any more

    def work(self, indices: Sequence[int]) -> Iterator[Step | Answer]:
        """Steps as they happen, and one answer for each index, in the order in which they are done.

        Raises:
            CrowdstreamError: nothing more can be made.
        """
        for index in indices:
            self._todo.put(index)
        for number in range(self._count):
            self._todo.put(None)
            thread = threading.Thread(target=self._thread, name=f"library {number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        left = len(indices)
        while left:
            told = self._told.get()
            if isinstance(told, BaseException):
                raise told
            left -= isinstance(told, Answer)
            yield told

    def _thread(self) -> None:
        """The life of one child after another."""
        child: _Child | None = None
        try:
            while (index := self._todo.get()) is not None and not self._ending.is_set():
                job = self._prepare(index)
                if job is None:
                    self._told.put(Answer(index, {}))
                    continue
                if child is None:
                    child = _Child(self._children)
                if self._ending.is_set():
                    break
                said = child.do(job, lambda name, i=index: self._told.put(Step(i, name)),  # type: ignore[misc]
                                self._is_known)  # fmt: skip
                if said is None:
                    said = {"refused": child.why_it_fell()}
                    child = None
                if "stop" in said:
                    raise CrowdstreamError(said["stop"])
                self._told.put(Answer(index, said))
        except BaseException as error:  # the main thread raises it
            self._told.put(error)
        finally:
            if child is not None:
                child.end()


class _Child:
    """One process of `library_job`."""

    def __init__(self, children: set[subprocess.Popen[str]]) -> None:
        here = os.pathsep.join(str(Path(place).absolute()) for place in sys.path if place)
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._children = children
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "crowdstream.library.job", str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            encoding="utf-8", bufsize=1, start_new_session=True,
            # Tracks share the cores already; threads within one would only be in the way.
            env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1",
                 "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        )  # fmt: skip
        children.add(self._process)
        self._hung = False
        self._read = b""

    def do(
        self, job: Job, step: Callable[[str], None], is_known: Callable[[str], bool]
    ) -> dict[str, Any] | None:
        """What the child answers; None if it has fallen."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            while (said := self._next()) is not None:
                if "step" in said:
                    step(said["step"])
                elif "sound" in said:
                    known = {"known": is_known(said["sound"])}
                    self._process.stdin.write(json.dumps(known) + "\n")
                else:
                    return said
        except (OSError, ValueError):
            pass
        return None

    def why_it_fell(self) -> str:
        """A sentence about its end; nothing more can be asked of it."""
        self._process.kill()
        status = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read()[-2000:].strip().splitlines()[-1:]
        self.end()
        if self._hung:
            return f"could not be decoded and measured within {SILENT_SECONDS / 60:.0f} minutes"
        why = f"signal {-status}" if status < 0 else f"exit status {status}"
        if status == -9:
            why += ", perhaps for want of memory"
        return f"broke the process that read it ({why}{': ' + last[0] if last else ''})"

    def end(self) -> None:
        """It has nothing more to do."""
        self._process.kill()
        self._process.communicate()
        self._children.discard(self._process)
        self._errors.close()

    def _next(self) -> dict[str, Any] | None:
        """Its next line; None when it has ended or hangs."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._read:
            ready, _, _ = select.select([pipe], [], [], SILENT_SECONDS)
            if not ready:
                self._hung = True
                return None
            block = os.read(pipe, 1 << 16)
            if not block:
                return None
            self._read += block
        line, _, self._read = self._read.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said
