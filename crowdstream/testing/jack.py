"""A sound card that is none, but keeps time: a private JACK server with its dummy driver.

For tests of everything that has to do with time. The server takes a name of its own, so that any
number of tests may run beside each other, and beside a server that plays for people.

    with JackServer("test-1") as server:
        with server.recording(seconds=10.0) as recording:
            ...
        sound = recording.sound()
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

START_SECONDS: Final = 10.0
_SHARED: Final = Path("/dev/shm")  # noqa: S108  where JACK itself leaves what it shares


class JackServer:
    """`jackd` with the dummy driver: some outputs, paced by the machine's clock."""

    def __init__(
        self, name: str, *, rate: int = 44100, block_samples: int = 512, channels: int = 2
    ) -> None:
        """Starts nothing yet; `name` is its own among all servers of this machine."""
        self.name = name
        self.rate = rate
        self.block_samples = block_samples
        self.channels = channels
        self._process: subprocess.Popen[bytes] | None = None
        self._dirty = False

    @staticmethod
    def missing() -> str:
        """The packages that are missing for this, or empty."""
        wanted = [] if shutil.which("jackd") else ["jackd2"]
        try:
            import jack  # noqa: F401
        except (ImportError, OSError):
            wanted.append("JACK-Client (pip)")
        return " ".join(wanted)

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find this server and no other."""
        return {
            "JACK_DEFAULT_SERVER": self.name,
            "JACK_NO_START_SERVER": "1",
            "JACK_NO_AUDIO_RESERVATION": "1",
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until clients may come."""
        command = [
            "jackd", "-R", "-P", "70", "-n", self.name, "-d", "dummy", "-C", "0",
            "-P", str(self.channels), "-r", str(self.rate), "-p", str(self.block_samples),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, env={**os.environ, **self.environment}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"jackd {self.name} does not start")

    def _answers(self) -> bool:
        done = subprocess.run(
            ["jack_wait", "-s", self.name, "-w", "-t", "2"],
            env={**os.environ, **self.environment}, capture_output=True, check=False, text=True,
        )  # fmt: skip
        return "server is available" in done.stdout

    def kill(self) -> None:
        """SIGKILL: the card is pulled. `start` puts it in again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._dirty = True

    def stop(self) -> None:
        """End it in order.

        JACK keeps a list of eight servers on a machine, and one that was killed stays in it until
        a server of its name comes and goes.
        """
        if self._process is None and self._dirty:
            with contextlib.suppress(RuntimeError):
                self.start()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        for left in _SHARED.glob(f"jack*_{self.name}_*"):
            left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def recording(self, seconds: float) -> Iterator[Recording]:
        """Hear whatever plays, from its first sample, in a process of its own."""
        recording = Recording(self, seconds)
        try:
            yield recording
        finally:
            recording.end()


class Recording:
    """What one client plays, as it reaches the card."""

    def __init__(self, server: JackServer, seconds: float) -> None:
        self._path = Path(tempfile.mkdtemp(prefix="jack-recording-")) / "sound.npy"
        self._seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [
                sys.executable, "-m", "crowdstream.testing.jack", str(seconds), str(self._path),
                str(server.channels),
            ],
            env={**os.environ, **server.environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def sound(self) -> NDArray[np.float32]:
        """Ends the recording; shape (samples, channels), from the moment somebody began to play."""
        import numpy as np

        self._finish()
        sound: NDArray[np.float32] = np.load(self._path)
        return sound

    def seconds(self) -> float:
        """How much has been recorded up to now."""
        with contextlib.suppress(OSError, ValueError):
            self._seconds = float(self._path.with_suffix(".seconds").read_text())
        return self._seconds

    def end(self) -> None:
        """Forget everything."""
        self._finish()
        shutil.rmtree(self._path.parent, ignore_errors=True)

    def _finish(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


def record(seconds: float, path: Path, channels: int) -> None:
    """Be the recorder: connect to whoever plays, keep what comes until SIGTERM.

    From the first connection on time goes on, also while nobody plays; who comes later is heard.
    """
    import jack
    import numpy as np

    client: Any = jack.Client("recorder", no_start_server=True)
    ins = [client.inports.register(f"in_{channel + 1}") for channel in range(channels)]
    sound = np.zeros((int(seconds * client.samplerate), channels), np.float32)
    state = {"heard": 0, "connected": False, "end": False}

    def hear(samples: int) -> None:
        if not state["connected"]:
            return
        begin = state["heard"]
        end = min(begin + samples, len(sound))
        for side, port in enumerate(ins):
            sound[begin:end, side] = port.get_array()[: end - begin]
        state["heard"] = end

    client.set_process_callback(hear)
    signal.signal(signal.SIGTERM, lambda *_: state.update(end=True))
    with client:
        print("ready", flush=True)
        heard, part = path.with_suffix(".seconds"), path.with_suffix(".part")
        while not state["end"]:
            # Who plays may be gone again while it is looked at.
            with contextlib.suppress(jack.JackError):
                if not all(into.connections for into in ins):
                    state["connected"] |= _connect(client, ins)
            part.write_text(str(state["heard"] / client.samplerate))
            part.replace(heard)
            time.sleep(0.01)
    np.save(path, sound[: state["heard"]])


def _connect(client: Any, ins: list[Any]) -> bool:
    """Hear the first client that plays with as many ports, if there is one."""
    outs = [
        port for port in client.get_ports(is_audio=True, is_output=True)
        if not port.name.startswith(("recorder", "system"))
    ]  # fmt: skip
    if len(outs) < len(ins):
        return False
    for out, into in zip(outs, ins, strict=False):
        client.connect(out, into)
    return True


if __name__ == "__main__":
    record(float(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
