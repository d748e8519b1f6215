"""What the spine costs: the chain around the work, the demo, the start, and memory."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from crowdstream.clock import SystemClock
from crowdstream.config import Config
from crowdstream.offline.bench import Row, Say, row
from crowdstream.packets import Energy, Mix, People, Tempo
from crowdstream.plan import make_plan
from crowdstream.recipe import Recipe
from crowdstream.stage import Places
from crowdstream.supervisor import Supervisor
from crowdstream.testing import a_context
from crowdstream.testing.fakes import FakeModel, a_frame

FRAMES: Final = 600
ROUNDS: Final = 3

CHAIN: Final = {
    "title": "a model that answers at once",
    "offline": True,
    "stage": [
        {"use": "crowdstream.testing.fakes:FakeCamera", "frames": FRAMES},
        {"use": "crowdstream.testing.fakes:FakeModel"},
        {"use": "measure_energy"},
        {"use": "map_tempo"},
        {"use": "crossfade_stems", "from": ["measure_energy", "map_tempo"]},
        {"use": "crowdstream.testing.fakes:Collect"},
    ],
}


def spine(say: Say) -> list[Row]:
    """All rows of `crowdstream bench spine`."""
    say("the chain around the work…")
    rows = _chain()
    rows += _drawn()
    say("the demo, 60 s of show…")
    rows += _demo()
    say("the start, cold and warm…")
    rows += _start()
    return rows


def _chain() -> list[Row]:
    """The chain's own cost, beside the same work called in a bare loop and over asyncio.Queue."""
    chained, bare, queued = [], [], []
    asyncio.run(_run_chain())  # warm
    _run_bare()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        asyncio.run(_run_chain())
        chained.append((time.perf_counter() - began) / FRAMES * 1e3)
        began = time.perf_counter()
        _run_bare()
        bare.append((time.perf_counter() - began) / FRAMES * 1e3)
        began = time.perf_counter()
        asyncio.run(_run_queues())
        queued.append((time.perf_counter() - began) / FRAMES * 1e3)
    overhead = median(c - b for c, b in zip(chained, bare, strict=True))
    rival = median(q - b for q, b in zip(queued, bare, strict=True))
    return [
        row(
            "overhead_per_frame", "six stages, model answers at once", overhead, "ms",
            rival="asyncio.Queue, no policy, no merge", rival_value=rival, goal=2.0,
            met=overhead < 2.0,
        ),
        row("whole_chain_per_frame", "the same, the work included", median(chained), "ms"),
    ]  # fmt: skip


async def _run_chain() -> None:
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder), Path(folder), Path(folder))
        plan = make_plan(Recipe.model_validate(CHAIN), Config())
        log = a_context().log
        await Supervisor(plan, clock=SystemClock(), log=log, places=places).run(asyncio.Event())


def _stages() -> tuple[Any, Any, Any, Any]:
    from crowdstream.registry import load_stage

    context = a_context()
    made = [
        (stage := load_stage(use))(stage.Config(), context)
        for use in ("measure_energy", "map_tempo", "crossfade_stems")
    ]
    return FakeModel(None, context), made[0], made[1], made[2]


def _one(stages: tuple[Any, Any, Any, Any], seq: int) -> Mix | None:
    model, energy_stage, tempo_stage, mix_stage = stages
    people: People = model.process(a_frame(seq))
    energy: Energy = energy_stage.process(people)
    tempo: Tempo = tempo_stage.process(energy)
    mix_stage.process(energy)
    mix: Mix | None = mix_stage.process(tempo)
    return mix


def _run_bare() -> None:
    stages = _stages()
    for seq in range(FRAMES):
        _one(stages, seq)


async def _run_queues() -> None:
    """The same hand-overs with the standard library's queue, one task per step."""
    model, energy_stage, tempo_stage, mix_stage = _stages()
    queues: list[asyncio.Queue[Any]] = [asyncio.Queue(8) for _ in range(5)]

    async def camera() -> None:
        for seq in range(FRAMES):
            await queues[0].put(a_frame(seq))
        await queues[0].put(None)

    async def step(index: int, work: Callable[[Any], Any]) -> None:
        while (packet := await queues[index].get()) is not None:
            await queues[index + 1].put(work(packet))
        await queues[index + 1].put(None)

    def tempo(energy: Energy) -> tuple[Energy, Tempo]:
        return energy, tempo_stage.process(energy)

    def mix(pair: tuple[Energy, Tempo]) -> Any:
        mix_stage.process(pair[0])
        return mix_stage.process(pair[1])

    async def sink() -> None:
        while await queues[4].get() is not None:
            pass

    await asyncio.gather(
        camera(), step(0, model.process), step(1, energy_stage.process), step(2, tempo),
        step(3, mix), sink(),
    )  # fmt: skip


def _drawn() -> list[Row]:
    """A picture of forty drawn people with its truth, in time of one core."""
    from crowdstream.vision.drawn import Crowd
    from crowdstream.vision.drawn_picture import Painter

    crowd, painter = Crowd(people=40, energy=0.6, seed=1), Painter(1280, 720, seed=1)
    taken = []
    for k in range(60):
        began = time.process_time()  # of all our threads: neighbours on the machine do not count
        truth = crowd.truth(k / 30.0)
        painter.paint(truth.joints, truth.ids, k / 30.0)
        taken.append((time.process_time() - began) * 1e3)
    cost = median(taken)
    case = "40 people, 1280x720, one core"
    return [row("drawn_crowd_frame", case, cost, "ms", goal=10.0, met=cost < 10.0)]


def _demo() -> list[Row]:
    """Pictures a second of the whole demo, without weights; the show must outrun its own time."""
    seconds = 60.0
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "crowdstream", "demo", "--seconds", f"{seconds:g}",
            "--out", folder,
        ]  # fmt: skip
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall = time.perf_counter() - began
    return [
        row("demo_frames_per_second", "60 s of show, page included", seconds * 15 / wall, "1/s"),
        row(
            "demo_speed", "seconds of show per second", seconds / wall, "x", goal=1.2,
            met=seconds / wall > 1.2,
        ),
    ]  # fmt: skip


def _start() -> list[Row]:
    """From spawn to READY=1 with empty and with full caches, and the memory once it plays."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in ("cold", "warm"):
            seconds, memory = _ready_time(Path(folder))
            rows.append(row("start_to_ready", f"{case} caches", seconds, "s"))
        for name, megabytes in memory.items():
            rows.append(row("memory_pss", name, megabytes, "MB"))
    return rows


def _ready_time(folder: Path) -> tuple[float, dict[str, float]]:
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        Path(address).unlink(missing_ok=True)
        notify.bind(address)
        notify.settimeout(120)
        environment = {
            **os.environ, "NOTIFY_SOCKET": address, "CROWDSTREAM_RUNTIME": str(folder / "run"),
            "CROWDSTREAM_CACHE": str(folder / "cache"), "CROWDSTREAM_STATE": str(folder / "state"),
            "NUMBA_CACHE_DIR": str(folder / "numba"),
        }  # fmt: skip
        began = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "crowdstream", "run", "--source", "crowd:n=20,fps=30"],
            env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            ready = time.perf_counter() - began
            time.sleep(3.0)
            memory = _memory(child.pid)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(timeout=20)
    return ready, memory


def _memory(pid: int) -> dict[str, float]:
    """Proportional memory of the daemon and each of its children, in MB."""
    import psutil

    found: dict[str, float] = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        name = "daemon" if process.pid == pid else process.name()
        found[name] = float(np.round(process.memory_full_info().pss / 1e6, 1))
    return found
