"""The daemon as a process of its own, with everything around it that systemd would be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
"""Until READY=1 on a machine that has much else to do."""


def until(what: str, condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `condition`; fails when it does not come."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return value


class Daemon:
    """`crowdstream run` with folders of its own."""

    def __init__(self, folder: Path, cache: Path, *arguments: str, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.runtime = folder / "runtime"
        self._log = folder / "log"
        self._notified: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        address = folder / "notify"
        address.unlink(missing_ok=True)
        self._socket.bind(str(address))
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CROWDSTREAM_", "ALSA_"))}
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
        return self.process.pid

    def notified(self) -> list[str]:
        """Every line that systemd would have got."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._notified += self._socket.recv(4096).decode().splitlines()
        return self._notified

    def until_ready(self) -> None:
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
        self.process.send_signal(number)

    def ends(self, seconds: float) -> int:
        """Its exit status, within so many seconds."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the daemon did not end within {seconds:g} s:\n{self.text()[-3000:]}")

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
            pytest.fail(f"the daemon has ended with {self.process.returncode}:\n{self.text()[-3000:]}")
        return False


Run = Callable[..., Daemon]


@pytest.fixture
def run(tmp_path: Path, warm_cache: Path) -> Iterator[Run]:
    """`run("--source", …)`: a daemon that plays; it is gone after the test."""
    running: list[Daemon] = []

    def start(*arguments: str, name: str = "daemon", ready: bool = True, **environment: str) -> Daemon:
        daemon = Daemon(tmp_path / name, warm_cache, *arguments, **environment)
        running.append(daemon)
        if ready:
            daemon.until_ready()
        return daemon

    yield start
    for daemon in running:
        daemon.end()


@pytest.fixture(scope="module")
def playing(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> Iterator[Daemon]:
    """One daemon for all facts that leave it as it was: a drawn crowd, no sound card."""
    daemon = Daemon(tmp_path_factory.mktemp("playing"), warm_cache, "--source", "crowd:n=5")
    try:
        daemon.until_ready()
        yield daemon
    finally:
        daemon.end()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a square that swings, at 30 pictures a second; begins and ends mid-swing.

    Every picture stands for itself (MJPEG): what moves was moved, and not sharpened by a codec.
    """
    import cv2
    import numpy as np

    path = tmp_path_factory.mktemp("clip") / "swing.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (320, 240))
    texture = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    still = cv2.GaussianBlur(texture, (0, 0), 3)
    moving = cv2.GaussianBlur(texture[::-1], (0, 0), 2)[60:180, :80]
    for k in range(60):
        picture = still.copy()
        x = int(120 + 60 * np.sin(2 * np.pi * 0.8 * k / 30 + 0.7))
        picture[60:180, x : x + 80] = moving
        writer.write(picture)
    writer.release()
    return path


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_process(process: psutil.Process) -> None:
    """SIGKILL to one process that we looked up."""
    process.send_signal(signal.SIGKILL)
