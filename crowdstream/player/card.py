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
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from crowdstream.errors import DeviceError
from crowdstream.music.quantum import QUANTUM
from crowdstream.player.lines import END_SECONDS, LineProcess, be_spoken_with, ended_within, tell
from crowdstream.player.output import Output, OutputSettings, load_portaudio, refresh
from crowdstream.player.ring import SoundRing

LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """What the card's process says: it has opened the card, or why it has not."""

    output: str
    """Name of the device, or empty."""

    latency: float
    """Seconds from callback to ear."""

    why: str
    lacks: str = ""
    """Which of the wanted channels the card does not have, or empty."""


LOADED: Final = Said("", 0.0, "")
"""The first word: all that it needs is loaded, which the very first time is compiled."""


class Card:
    """The player's side: one process, from its start to its end."""

    def __init__(self, process: LineProcess) -> None:
        """From now on it is looked after here; `crowdstream.player.early` starts it."""
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def listen(self, seconds: float) -> Said | None:
        """What it says within so many seconds, or None.

        Raises:
            EOFError: it has ended.
            ValueError, TypeError: it said nonsense.
        """
        facts = self._process.listen(seconds)
        return None if facts is None else Said(**facts)

    def end(self) -> None:
        """Ask it to let go of the card; kill it when it does not do so at once."""
        self._process.end()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()


def hold() -> None:
    """Be the process: open the card, or look until it is there; end with stdin."""
    fd, said = be_spoken_with("card")
    tell(asdict(LOADED))
    settings = json.loads(said)
    ring = SoundRing(int(fd), QUANTUM)
    output = _look(OutputSettings(**{**settings, "channels": tuple(settings["channels"])}), ring)
    if output is not None:
        ended_within(None)
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
            tell(asdict(Said("", 0.0, str(error))))
        else:
            tell(asdict(Said(output.name, output.latency, "", output.lacks)))
            return output
        first = False
        if ended_within(LOOK_SECONDS):
            return None


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
