"""Stems with Demucs: which weights, and the processes that apply them.

The weights are hashed here and opened in the jobs only (`separate_job`), each of which has little
priority, one thread, one window of sound at a time, and can be killed at any moment.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import psutil

from crowdstream.errors import ConfigError, CrowdstreamError, MediaError, WorkerError
from crowdstream.models import ModelMissing, Weights, read_manifest, take_weights
from crowdstream.offline import separate_job
from crowdstream.offline.separate_stream import Plan, Sound
from crowdstream.packets import STEMS

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERPRETER: Final = "CROWDSTREAM_STEMS_PYTHON"
"""Names the Python that has demucs, where it is not this one."""

NOT_INSTALLED: Final = "demucs is not installed (pip install crowdstream[stems])"

BAGS: Final = {
    "high": ("htdemucs",),
    "best": (
        "htdemucs-ft-drums", "htdemucs-ft-bass", "htdemucs-ft-other", "htdemucs-ft-vocals",
    ),
}  # fmt: skip
"""Names of the weights of each quality. Of several, each gives the one stem it was tuned for."""

SOURCES: Final = ("drums", "bass", "other", "vocals")
"""What HTDemucs separates, in its own order, which is also that of a bag."""

OVERLAP: Final = 0.25
"""Of neighbouring windows, as Demucs itself has it."""

JOB_BYTES: Final = 1_600_000_000
"""What a job with one network needs, at most; measured, see `crowdstream bench stems`."""

NETWORK_BYTES: Final = 170_000_000
"""What each further network adds."""

_LAST_BYTES: Final = 4000


def find_weights(
    quality: str, folder: Path, state: Path, *, model: str | None = None, trusted: bool = False
) -> tuple[Weights, ...]:
    """The weights of a quality, or those at the path `model`, each of them hashed.

    Raises ModelMissing, or ConfigError where nobody vouches for what is there.
    """
    names = (model,) if model is not None else BAGS[quality]
    try:
        return tuple(take_weights(name, folder, state, trusted=trusted) for name in names)
    except ModelMissing as missing:
        if model is not None or len(names) == 1:
            raise
        known = {weights.part_of for weights in read_manifest(folder)}
        pull = "htdemucs-ft" if "htdemucs-ft" in known else names[0]
        raise ModelMissing(f"{missing}; all of them: crowdstream models pull {pull}") from missing


def can_run() -> bool:
    """Whether a Python with demucs seems to be here."""
    return bool(os.environ.get(INTERPRETER)) or importlib.util.find_spec("demucs") is not None


def why_unable(quality: str, folder: Path, state: Path) -> str:
    """Why a quality cannot be had here, in a sentence; empty where it can."""
    if quality == "fast":
        return ""
    if not can_run():
        return NOT_INSTALLED
    try:
        find_weights(quality, folder, state)
    except CrowdstreamError as error:
        return str(error).splitlines()[0]
    return ""


def jobs_for(networks: int, wanted: int | None) -> int:
    """How many jobs run at once: one a core, as far as memory goes; `wanted` overrules that.

    Without a network (0) a job is but a thread.
    """
    cores = len(os.sched_getaffinity(0))
    if wanted is not None or networks == 0:
        return wanted or cores
    each = JOB_BYTES + (networks - 1) * NETWORK_BYTES
    return max(1, min(cores, int(psutil.virtual_memory().available * 0.8) // each))


class Demucs:
    """Jobs that have the network open and wait for windows."""

    def __init__(self, weights: Sequence[Weights], jobs: int) -> None:
        """Start them. Raises ConfigError, MediaError or WorkerError where that does not work."""
        self.name = " + ".join(each.name for each in weights)
        self._idle: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._jobs: list[_Job] = []
        try:
            # All of them open the network at the same time.
            for _ in range(jobs):
                self._jobs.append(_Job(self.name, weights))
            for job in self._jobs:
                self.facts = job.ready()
                self._idle.put(job)
        except BaseException:
            self.stop()
            raise
        lacking = {"drums", "bass", "vocals"} - {*self.facts.sources}
        if lacking:
            self.stop()
            raise MediaError(f"{self.name} does not separate {' and '.join(sorted(lacking))}")

    def plan(self) -> Plan:
        """Windows of the network's own length, faded into each other as Demucs fades them."""
        length = self.facts.length
        rise = np.arange(1, length // 2 + 1, dtype=np.float32)
        fall = np.arange(length - length // 2, 0, -1, dtype=np.float32)
        weights = np.concatenate([rise, fall])
        return Plan(
            length=length, stride=int((1.0 - OVERLAP) * length), first=0,
            weights=weights / weights.max(), centred=True,
        )  # fmt: skip

    def split(self, window: Sound) -> Sound:
        """A window becomes its stems. Any thread may call; each takes a job that is idle."""
        job = self._idle.get()
        try:
            sources = job.split(window, len(self.facts.sources))
        finally:
            self._idle.put(job)
        place = {source: number for number, source in enumerate(self.facts.sources)}
        # Whatever else it separates belongs to `other`, which is what the three leave.
        stems = np.zeros((len(STEMS), *window.shape), np.float32)
        for number, stem in enumerate(STEMS):
            if stem in place:
                stems[number] = sources[place[stem]]
        return stems

    def peak_bytes(self) -> int:
        """The most memory that any of the jobs has had."""
        return max(job.peak_bytes() for job in self._jobs)

    def processor_seconds(self) -> float:
        """What all jobs have worked so far."""
        return sum(job.processor_seconds() for job in self._jobs)

    def stop(self) -> None:
        """End all jobs at once; whoever waits for one gets a WorkerError."""
        for job in self._jobs:
            job.kill()
        for job in self._jobs:
            job.close()


class _Facts(NamedTuple):
    rate: int
    length: int
    sources: tuple[str, ...]
    versions: str


class _Job:
    """One process, in a group of its own, of which nothing is left afterwards."""

    def __init__(self, name: str, weights: Sequence[Weights]) -> None:
        self._name = name
        self._killing = threading.Lock()
        self._asking = threading.Lock()
        """Held by whoever waits for an answer."""
        # A file, not a pipe: nobody reads it before the end, and it must not fill up.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        python = os.environ.get(INTERPRETER) or sys.executable
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        quiet = {"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            # By its path and with -P: its folder has files that are named as the packages it needs.
            self._process = subprocess.Popen(
                [python, "-P", str(separate_job.__file__)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
                env={**os.environ, **threads, **quiet}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._stderr.close()
            raise ConfigError(
                f"{python} cannot be started ({error.strerror}): let {INTERPRETER} name a Python"
                " that has demucs"
            ) from error
        mixing = None
        if len(weights) > 1:
            mixing = [[float(row == column) for column in range(len(weights))]
                      for row in range(len(weights))]  # fmt: skip
        job = {
            "parent": os.getpid(), "threads": 1, "mixing": mixing,
            "weights": [
                {"path": str(each.path), "sha256": each.sha256, "pinned": each.pinned}
                for each in weights
            ],
        }  # fmt: skip
        self._tell(json.dumps(job).encode() + b"\n")

    def ready(self) -> _Facts:
        """Wait until the network is open."""
        said = self._hear().get("ready")
        if not isinstance(said, dict):
            raise self._lost()
        return _Facts(
            int(said["rate"]), int(said["length"]), tuple(said["sources"]), str(said["versions"])
        )

    def split(self, window: Sound, sources: int) -> Sound:
        """Shape (sources, length, 2)."""
        expected = sources * window.nbytes
        with self._asking:
            self._tell(window.astype("<f4", copy=False).tobytes())
            count = self._hear().get("stems")
            assert self._process.stdout is not None
            made = self._process.stdout.read(expected) if count == expected else b""
            if len(made) != expected:
                raise self._lost()
        return np.frombuffer(made, "<f4").reshape(sources, *window.shape)

    def peak_bytes(self) -> int:
        """The most memory it has had so far; 0 when it has ended."""
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self._process.pid}/status").read_text("ascii").splitlines()
            told = next(line for line in lines if line.startswith("VmHWM:"))
            return int(told.split()[1]) * 1024
        return 0

    def processor_seconds(self) -> float:
        """What it has worked so far, opening its network included; 0 when it has ended."""
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self._process.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    def kill(self) -> None:
        """End it, and wait until it has ended. Any thread may call, any number of times."""
        with self._killing:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def close(self) -> None:
        """Give back what is left of it, once it was killed; who waited for it has heard so."""
        with self._asking:
            for stream in (self._process.stdin, self._process.stdout, self._stderr):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()

    def _tell(self, content: bytes) -> None:
        assert self._process.stdin is not None
        # A broken pipe: what it said last tells why. A closed one: it was stopped before.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(content)
            self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said: dict[str, Any] = json.loads(line)
            except ValueError:
                continue  # of a library that found the real stdout
            if "failed" not in said:
                return said
            if said.get("absent"):
                raise ConfigError(
                    f"{said['failed']}, which this quality needs: pip install crowdstream[stems],"
                    f" or let {INTERPRETER} name a Python that has it; --quality fast needs neither"
                )
            raise MediaError(f"{self._name} cannot separate: {said['failed']}")
        raise self._lost()

    def _lost(self) -> WorkerError:
        """It ended, or said what is none of the words that it has."""
        self.kill()
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - _LAST_BYTES))
        text = self._stderr.read().decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        last = lines[-1][:300] if lines else "it said nothing"
        code = self._process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else "ended without a result"
        return WorkerError(f"the job that separates with {self._name} {how}: {last}")
