"""The sound card in a process of its own, that can be killed.

PortAudio waits ten minutes for a JACK server that is gone, for ever for a driver that hangs, and
turns on one core when a USB card is pulled. None of that can be cured from inside. So a small
process holds the card and nothing else: it takes the sound from the ring in shared memory, looks
for the card while there is none, and is killed as soon as it no longer asks for sound. The music
is not in it and knows nothing of its death.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from crowdstream.errors import DeviceError
from crowdstream.player.output import Output, OutputSettings, load_portaudio, refresh
from crowdstream.player.ring import SoundRing

LOOK_SECONDS: Final = 1.0
END_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class Said:
    """What the card's process says: it has opened the card, or why it has not."""

    output: str
    """Name of the device, or empty."""

    latency: float
    """Seconds from callback to ear."""

    why: str


class Card:
    """The player's side: one process, from its start to its end."""

    def __init__(self, settings: OutputSettings, ring: SoundRing) -> None:
        """Start it. The calling thread must live as long as the process shall."""
        here = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)
        program = "from crowdstream.player.card import hold; hold()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, str(ring.fd), json.dumps(asdict(settings)),
             str(os.getpid())],
            env={**os.environ, "PYTHONPATH": here}, pass_fds=[ring.fd],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        self._heard = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def listen(self, seconds: float) -> Said | None:
        """What it says within so many seconds, or None.

        Raises:
            EOFError: it has ended.
        """
        stdout = self._process.stdout
        assert stdout is not None
        if b"\n" not in self._heard and select.select([stdout], [], [], seconds)[0]:
            piece = os.read(stdout.fileno(), 4096)
            if not piece:
                raise EOFError
            self._heard += piece
        line, found, rest = self._heard.partition(b"\n")
        if not found:
            return None
        self._heard = rest
        return Said(**json.loads(line))

    def end(self) -> None:
        """Ask it to let go of the card; kill it when it does not do so at once."""
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


def hold() -> None:
    """Be the process: open the card, or look until it is there; end with stdin."""
    from crowdstream.child import _end_with_parent
    from crowdstream.player.mixer import QUANTUM

    _end_with_parent()
    fd, settings, parent = int(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
    if os.getppid() != parent:
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("card", encoding="utf-8")
    ring = SoundRing(fd, QUANTUM)
    output = _look(OutputSettings(**{**settings, "channels": tuple(settings["channels"])}), ring)
    if output is not None:
        _wait_for_end(None)
        # A driver that hangs does not hold up the end.
        guard = threading.Timer(END_SECONDS, os._exit, (1,))
        guard.daemon = True
        guard.start()
        output.close()
    os._exit(0)


def _look(settings: OutputSettings, ring: SoundRing) -> Output | None:
    """The open card, as soon as there is one; None when the end comes before."""
    first = True
    while True:
        try:
            with _quietly():
                if not first:
                    refresh(load_portaudio())
                output = Output(settings, ring)
        except DeviceError as error:
            _say(Said("", 0.0, str(error)))
        else:
            _say(Said(output.name, output.latency, ""))
            return output
        first = False
        if _wait_for_end(LOOK_SECONDS):
            return None


def _wait_for_end(seconds: float | None) -> bool:
    """True when the player wants no more; False when the time is over."""
    until = None if seconds is None else time.monotonic() + seconds
    left = seconds
    while left is None or left > 0:
        if select.select([0], [], [], left)[0] and not os.read(0, 64):
            return True
        left = None if until is None else until - time.monotonic()
    return False


def _say(said: Said) -> None:
    print(json.dumps(asdict(said)), flush=True)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The libraries of the sound servers complain on stderr each time they look for one."""
    kept: Any = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
