"""The daemon as a process of its own, with everything around it that systemd would be."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil

REPOSITORY: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 180.0
"""Until READY=1 on a machine that has much else to do, and may have to compile all kernels."""

T = TypeVar("T")


def until(what: str, condition: Callable[[], T | None], seconds: float = 20.0) -> T:
    """The first true value of `condition`.

    Raises:
        AssertionError: it did not come in time.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return value


class Daemon:
    """`crowdstream run` with folders of its own, and a socket for what it tells systemd."""

    def __init__(self, folder: Path, cache: Path, *arguments: str, **environment: str) -> None:
        """Start it; `folder` keeps what it writes, `cache` has the built-in music."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.runtime = folder / "runtime"
        self._log = folder / "log"
        self._notified: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        address = folder / "notify"
        address.unlink(missing_ok=True)
        self._socket.bind(str(address))
        ours = ("CROWDSTREAM_", "ALSA_", "JACK_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "crowdstream", "run", *arguments],
                cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={
                    **clean, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "1000000",
                    "CROWDSTREAM_CACHE": str(cache), "CROWDSTREAM_STATE": str(folder / "state"),
                    "CROWDSTREAM_RUNTIME": str(self.runtime), "PYTHONPATH": str(REPOSITORY),
                    **environment,
                },
            )  # fmt: skip
        self._seen: dict[int, psutil.Process] = {}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def notified(self) -> list[str]:
        """Every line that systemd would have got."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._notified += self._socket.recv(4096).decode().splitlines()
        return self._notified

    def until_ready(self) -> None:
        """Wait for READY=1."""
        until("READY=1", lambda: "READY=1" in self.notified() or self._ended(), START_SECONDS)

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it has logged, of one event or all."""
        lines = []
        for line in self.text().splitlines():
            if line.startswith("{") and line.endswith("}"):
                facts = json.loads(line)
                if event in (None, facts.get("event")):
                    lines.append(facts)
        return lines

    def text(self) -> str:
        """All that it wrote."""
        return self._log.read_text()

    def status(self) -> dict[str, Any]:
        """Its newest status.json, or nothing."""
        try:
            facts: dict[str, Any] = json.loads((self.runtime / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return facts

    def children(self) -> list[psutil.Process]:
        """All processes under it that live now; remembered, so that none is lost sight of."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                self._seen.setdefault(child.pid, child)
        return [child for child in self._seen.values() if _lives(child)]

    def child(self, name: str) -> psutil.Process | None:
        """The living child of that name, which is what `ps` shows."""
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name() == name:
                    return child
        return None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ends(self, seconds: float) -> int:
        """Its exit status, within so many seconds."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the daemon did not end within {seconds:g} s:\n{self.text()[-3000:]}"
            ) from None

    def end(self) -> None:
        """Whatever is left of it."""
        for child in [*self.children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.kill()
        self.process.wait()
        self._socket.close()

    def _ended(self) -> bool:
        if self.process.poll() is not None:
            status = self.process.returncode
            raise AssertionError(f"the daemon has ended with {status}:\n{self.text()[-3000:]}")
        return False


def _lives(process: psutil.Process) -> bool:
    """It runs, and is no zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
