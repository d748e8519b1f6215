"""A small process of the player's own, spoken with in lines of JSON.

What may hang or crash in C is not in the player: the sound card's driver, a decoder with a broken
file. Each lives in such a process, which ends with its stdin, with the player, or by SIGKILL.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

END_SECONDS: Final = 0.3


class LineProcess:
    """The player's side: one process, from its start to its end."""

    def __init__(self, target: str, arguments: Sequence[str], fds: Sequence[int] = ()) -> None:
        """Start `package.module:function`, which begins with `be_spoken_with`.

        `fds` are inherited under their numbers. The thread that calls this must live as long as
        the process shall: the kernel ends a child with the thread that made it.

        Raises:
            OSError: no process can be made.
        """
        here = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)
        program = f"from crowdstream.player.lines import loaded; loaded({target!r})()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, str(os.getpid()), *arguments],
            env={**os.environ, "PYTHONPATH": here}, pass_fds=fds,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        self._heard = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, facts: dict[str, Any]) -> None:
        """One line to it.

        Raises:
            EOFError: it has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(facts).encode() + b"\n")
        except OSError as error:
            raise EOFError from error

    def listen(self, seconds: float) -> dict[str, Any] | None:
        """What it says within so many seconds, or None.

        Raises:
            EOFError: it has ended.
            ValueError: it said no JSON.
        """
        stdout = self._process.stdout
        assert stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._heard:
            left = max(0.0, until - time.monotonic())
            if not select.select([stdout], [], [], left)[0]:
                return None
            piece = os.read(stdout.fileno(), 65_536)
            if not piece:
                raise EOFError
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        facts = json.loads(line)
        if not isinstance(facts, dict):
            raise ValueError("a line that is no object")  # noqa: TRY004  it is no value of ours
        return facts

    def end(self) -> None:
        """Ask it to end; kill it when it does not do so at once."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel: leave it
            self._process.wait(1.0)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def loaded(target: str) -> Callable[..., None]:
    """The function `package.module:function`, and all that it needs, in little time.

    Modules make no garbage in circles, and to look for it takes a quarter of the time. Another
    quarter goes into scipy, which numba asks for products of matrices that nobody wants here.
    """
    module, _, function = target.partition(":")
    hidden = "scipy" not in sys.modules
    gc.disable()
    try:
        if hidden:
            sys.modules["scipy"] = None  # type: ignore[assignment]  # to import it fails
        found: Callable[..., None] = getattr(importlib.import_module(module), function)
    finally:
        if hidden:
            sys.modules.pop("scipy", None)
        gc.enable()
    return found


# ---- inside the process --------------------------------------------------------------------------


def be_spoken_with(name: str) -> list[str]:
    """The first thing in the process: end with the player, be called `name` in `ps`.

    Returns the arguments that `LineProcess` was given. Ends at once if the player has gone.
    """
    from crowdstream.child import end_with_parent

    end_with_parent()
    if os.getppid() != int(sys.argv[1]):
        os._exit(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="utf-8")
    return sys.argv[2:]


def tell(facts: dict[str, Any]) -> None:
    """One line to the player."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def ended_within(seconds: float | None) -> bool:
    """True when the player wants no more; False when the time is over. For who hears no lines."""
    until = None if seconds is None else time.monotonic() + seconds
    left = seconds
    while left is None or left > 0:
        if select.select([0], [], [], left)[0] and not os.read(0, 64):
            return True
        left = None if until is None else until - time.monotonic()
    return False
