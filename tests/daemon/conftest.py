"""Daemons and a clip for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crowdstream.testing.daemon import Daemon

Run = Callable[..., Daemon]


@pytest.fixture
def run(tmp_path: Path, warm_cache: Path) -> Iterator[Run]:
    """`run("--source", …)`: a daemon that plays; it is gone after the test."""
    running: list[Daemon] = []

    def start(
        *arguments: str, name: str = "daemon", ready: bool = True, **environment: str
    ) -> Daemon:
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
