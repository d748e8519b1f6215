"""One process from start to end: the chain, and around it the watchdog, the status and the line.

The music has its own process and outlives a hang of this one; what runs here only looks after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from crowdstream import systemd
from crowdstream.begun import Show
from crowdstream.clock import Clock, SystemClock
from crowdstream.config import Health
from crowdstream.errors import Busy
from crowdstream.observers.latest import Latest
from crowdstream.offload import Offload
from crowdstream.packets import Energy, Playing
from crowdstream.plan import Plan
from crowdstream.stage import Places
from crowdstream.status import ChainState, StageState, StateChange, Status
from crowdstream.supervisor import Supervisor

LOOP_LAG_SECONDS: Final = 1.0
"""A loop that is later than this is not well, and the watchdog is not fed."""

PLAYER_SILENT_SECONDS: Final = 8.0
"""A running player tells ten times a second, and its stage kills one that is silent for three."""

STATUS_SECONDS: Final = 1.0
LINE_SECONDS: Final = 0.25
PLAYER: Final = "speakers"

Draw = Callable[[Status, "Energy | None", "Playing | None"], None]
"""Draws the live line; called four times a second."""


async def run(
    plan: Plan,
    stop: asyncio.Event,
    *,
    begin: asyncio.Event | None = None,
    places: Places,
    log: Any,
    health: Health = Health(),  # noqa: B008  frozen
    clock: Clock | None = None,
    runtime: Path | None = None,
    seconds: float | None = None,
    draw: Draw | None = None,
    on_stopping: Callable[[], None] | None = None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Status:
    """Run the plan until `stop` is set, or for so many `seconds`, or until its sources end.

    A show that is armed begins when `begin` is set, or at once if it went on when the last daemon
    died. Tells systemd when the music plays, feeds the watchdog while this loop and the player
    live, and writes `status.json` into `runtime` once a second for `crowdstream doctor`. Calls
    `on_stopping` when `seconds` have passed. `beside` runs with it, and is cancelled at its end.

    Raises:
        StageFailed: a stage that had to work did not.
    """
    clock = clock if clock is not None else SystemClock()
    latest = Latest()

    unwell: set[str] = set()

    def on_state(change: StateChange) -> None:
        # What is as it should be is no news; a restart is said where its cause is known.
        if change.state is StageState.RESTARTING:
            unwell.add(change.stage)
        elif change.state is StageState.RUNNING and change.stage in unwell:
            unwell.discard(change.stage)
            log.info("stage_well_again", stage=change.stage)
        elif change.why:
            log.warning("stage_ended", stage=change.stage, state=str(change.state), why=change.why)
        else:
            log.debug("stage_changed", stage=change.stage, state=str(change.state))

    supervisor = Supervisor(
        plan,
        clock=clock,
        log=log,
        places=places,
        observers=[latest],
        on_state=on_state,
        stall_after_seconds=health.stall_after_seconds,
        grace_seconds=health.grace_seconds,
    )
    log.info("daemon_started", pipeline=plan.name, pid=os.getpid())
    players = [stage for stage in plan.stages if stage.use == PLAYER]
    armed = [stage.name for stage in players if getattr(stage.config, "start", "") == "armed"]
    show = Show(armed, supervisor.controls, places.state, clock, log)
    try:
        async with asyncio.TaskGroup() as services:
            around = [
                services.create_task(_say_ready(supervisor, latest, log), name="ready"),
                services.create_task(
                    _feed_watchdog(supervisor, latest, clock, log), name="watchdog"
                ),
                services.create_task(
                    _stop_after(seconds, stop, supervisor, clock, on_stopping), name="timer"
                ),
            ]
            if begin is not None:
                around.append(services.create_task(show.follow(begin), name="show"))
            if runtime is not None:
                around.append(
                    services.create_task(
                        _write_status(supervisor, latest, runtime, clock), name="status"
                    )
                )
            if beside is not None:
                around.append(services.create_task(beside(), name="beside"))
            if draw is not None:
                around.append(
                    services.create_task(_draw(supervisor, latest, draw, clock), name="line")
                )
            try:
                await supervisor.run(stop)
                show.over()
            finally:
                systemd.stopping("stopping")
                for task in around:
                    task.cancel()
    except BaseExceptionGroup as group:
        # One thing failed; the group around it says nothing more.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
    log.info("daemon_stopped")
    return supervisor.status()


async def _say_ready(supervisor: Supervisor, latest: Latest, log: Any) -> None:
    """READY=1 once the player plays, or keeps silent time because there is no device."""
    await supervisor.started.wait()
    if any(stage.use == PLAYER for stage in supervisor.plan.stages):
        while latest.get(Playing) is None:  # noqa: ASYNC110  nobody sets an event for a packet
            await asyncio.sleep(0.05)
    systemd.ready("playing")
    log.info("daemon_ready")
    while True:
        systemd.status(status_sentence(supervisor.status(), latest))
        await asyncio.sleep(STATUS_SECONDS)


async def _feed_watchdog(supervisor: Supervisor, latest: Latest, clock: Clock, log: Any) -> None:
    """Feed it from this loop, so that a loop that hangs starves it; never because of an eye."""
    period = systemd.watchdog_seconds()
    if period is None:
        return
    every = min(period / 3.0, LOOP_LAG_SECONDS)
    player = next((stage.name for stage in supervisor.plan.stages if stage.use == PLAYER), None)
    heard_at = clock.now()
    while True:
        due = clock.now() + every
        await clock.sleep(every)
        now = clock.now()
        state = supervisor.status().stage(player) if player is not None else None
        if state is None or state.state is not StageState.RUNNING:
            heard_at = now  # opening, or being made anew: that is its reopen routine
        elif latest.get(Playing) is not None and (state.since_sent_seconds or 0.0) < every:
            heard_at = now
        lives = now - heard_at < PLAYER_SILENT_SECONDS
        if now - due < LOOP_LAG_SECONDS and lives:
            systemd.watchdog()
        else:
            log.error("watchdog_not_fed", late_seconds=round(now - due, 2), player_lives=lives)


async def _stop_after(
    seconds: float | None,
    stop: asyncio.Event,
    supervisor: Supervisor,
    clock: Clock,
    on_stopping: Callable[[], None] | None,
) -> None:
    if seconds is None:
        return
    await supervisor.started.wait()
    await clock.sleep(seconds)
    if supervisor.status().state is not ChainState.STOPPING:  # a second signal would be a hard one
        stop.set()
        if on_stopping is not None:
            on_stopping()


async def _write_status(
    supervisor: Supervisor, latest: Latest, runtime: Path, clock: Clock
) -> None:
    """A small file, replaced whole; a full disk costs the file and nothing else."""
    offload = Offload("status")
    target = runtime / "status.json"
    try:
        while True:
            text = json.dumps(status_facts(supervisor.status(), latest, clock.now()), default=str)

            def write(text: str = text) -> None:
                part = target.with_suffix(".part")
                part.write_text(text, encoding="utf-8")
                part.replace(target)

            with contextlib.suppress(OSError):
                await offload(write)
            await clock.sleep(STATUS_SECONDS)
    finally:
        # On the same thread, after whatever it is still writing.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await offload(target.unlink, missing_ok=True)
        offload.close()


async def _draw(supervisor: Supervisor, latest: Latest, draw: Draw, clock: Clock) -> None:
    """On a thread: a terminal that is held with Ctrl-S, or gone, stops nothing but itself."""
    offload = Offload("line")
    try:
        while True:
            with contextlib.suppress(OSError, ValueError):
                await offload(draw, supervisor.status(), latest.get(Energy), latest.get(Playing))
            await clock.sleep(LINE_SECONDS)
    finally:
        offload.close()


def status_sentence(status: Status, latest: Latest) -> str:
    """One line for `systemctl status`."""
    energy, playing = latest.get(Energy), latest.get(Playing)
    parts = [str(status.state)]
    if energy is not None:
        parts.append(f"energy {energy.level:.2f}")
    if playing is not None:
        parts.append(f"{playing.bpm:.1f} BPM, {playing.track}, {playing.state}")
        parts.append(f"underruns {playing.underruns}")
    unwell = [f"{s.name} {s.state}: {s.why}" for s in status.stages if s.why]
    notes = [f"{s.name} {s.note}" for s in status.stages if s.note]
    return ", ".join(parts + unwell + notes)


def status_facts(status: Status, latest: Latest, now: float) -> dict[str, Any]:
    """What `doctor` shows of a running daemon, as plain data."""
    energy, playing = latest.get(Energy), latest.get(Playing)
    return {
        "pid": os.getpid(),
        "at": now,
        "state": str(status.state),
        "stages": [asdict(stage) for stage in status.stages],
        "changes": [asdict(change) for change in status.changes],
        "energy": None
        if energy is None
        else {
            "level": energy.level,
            "speed": energy.speed,
            "drive": energy.drive,
            "confidence": energy.confidence,
            "people": energy.people,
            "eyes": list(energy.eyes),
            "state": energy.state,
            "zones": {
                zone.name: {"level": zone.level, "people": zone.people} for zone in energy.zones
            },
        },
        "playing": None
        if playing is None
        else {
            "bpm": playing.bpm,
            "track": playing.track,
            "section": playing.section,
            "state": playing.state,
            "lufs": playing.lufs,
            "underruns": playing.underruns,
            "callback_age": playing.callback_age,
            "limiter_db": playing.limiter_db,
            "stretch": playing.stretch,
        },
    }


def runtime_folder() -> Path:
    """Where the lock and the status live: gone after a reboot."""
    given = os.environ.get("RUNTIME_DIRECTORY") or os.environ.get("CROWDSTREAM_RUNTIME")
    if given:
        return Path(given)
    user = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(user) if user else Path(tempfile.gettempdir())
    return base / ("crowdstream" if user else f"crowdstream-{os.getuid()}")


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold this machine's daemon lock; the kernel lets go of it however the process ends.

    Raises:
        Busy: another daemon holds it. Nothing of its was touched.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise Busy(f"{folder}: is another user's; set CROWDSTREAM_RUNTIME to a folder of yours")
    descriptor = os.open(folder / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise Busy(
                f"another crowdstream runs already (process {other}); stop it first"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
