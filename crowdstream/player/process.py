"""The player's process: it keeps playing well, whatever happens to the daemon.

    control thread   takes the newest wish, tells what is heard ten times a second
    render thread    quanta from the mixer into the ring, never more than the ring is deep
    callback         copies from the ring
    loader thread    decodes the next track, ahead of its time

Without a device it keeps musical time silently, says so, and looks for the device every two
seconds. When the daemon dies this process ends with it, after a short fade.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.errors import DeviceError
from crowdstream.packets import Mix
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.player.output import Output, OutputSettings, load_portaudio, refresh
from crowdstream.player.ring import SoundRing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.child import ChildSide
    from crowdstream.music.library import Track

TELL_SECONDS: Final = 0.1
LOST_SECONDS: Final = 0.25
REOPEN_SECONDS: Final = 2.0
LOADING_LOOK_SECONDS: Final = 0.25
RENDER_PAUSE_SECONDS: Final = 0.002
KEPT_TRACKS: Final = 3
"""Decoded tracks in memory: two that sound and one that comes."""


def play(child: ChildSide) -> None:
    """What the child does; arguments are those of `stages.speakers`."""
    player = _Player(child)
    try:
        player.run()
    finally:
        player.end()


class _Loader:
    """Decodes tracks on a thread of low priority; the mixer asks and gets None until it is done."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._done: dict[str, NDArray[np.int16]] = {}
        self._wanted: Track | None = None
        self._wake = threading.Event()
        self.failed: dict[str, str] = {}
        threading.Thread(target=self._work, name="loader", daemon=True).start()

    def __call__(self, track: Track) -> NDArray[np.int16] | None:
        """The stems, or None while they are on their way."""
        stems = self._done.get(track.id)
        if stems is None:
            self.want(track)
        return stems

    def want(self, track: Track | None) -> None:
        """Fetch this one next."""
        if track is None or track.id in self._done or track.id in self.failed:
            return
        self._wanted = track
        self._wake.set()

    def _work(self) -> None:
        from crowdstream.music.library import load_stems  # noqa: PLC0415

        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            self._wake.wait()
            self._wake.clear()
            track = self._wanted
            if track is None or track.id in self._done:
                continue
            try:
                stems = load_stems(track, self._rate)
            except Exception as error:  # noqa: BLE001  a broken file costs one track, not the show
                self.failed[track.id] = str(error)
                continue
            while len(self._done) >= KEPT_TRACKS:
                del self._done[next(iter(self._done))]
            self._done[track.id] = stems


class _Player:
    """Everything the process holds."""

    def __init__(self, child: ChildSide) -> None:
        from crowdstream.music.compose import builtin_library  # noqa: PLC0415
        from crowdstream.music.library import read_library  # noqa: PLC0415

        self._child = child
        given: Mapping[str, Any] = child.arguments
        self._settings = OutputSettings(
            device=str(given["device"]), host_api=str(given["host_api"]),
            channels=(int(given["channels"][0]), int(given["channels"][1])),
            rate=int(given["rate"]), block_samples=int(given["block_samples"]),
        )  # fmt: skip
        self._rate = self._settings.rate
        self._clocked = bool(given["clocked"])
        self._trim = np.float32(10.0 ** (float(given["trim_db"]) / 20.0))
        folder = given["library"]
        if folder is None:
            tracks = builtin_library(Path(str(given["cache"])) / "music")
        else:
            tracks, complaints = read_library(Path(str(folder)))
            for complaint in complaints:
                print(complaint, flush=True)
            if not tracks:
                raise DeviceError(f"{folder}: holds no track that can be played")
        self._loader = _Loader(self._rate)
        self._mixer = Mixer(
            tracks, self._loader, rate=self._rate, seed=int(given["seed"]),
            rules=Rules(**dict(given["rules"])),
        )  # fmt: skip
        self._ring = SoundRing(int(float(given["ring_seconds"]) * self._rate), QUANTUM)
        self._output: Output | None = None
        self._looked_at = -REOPEN_SECONDS
        self._why_silent = ""
        self._ending = threading.Event()
        self._silent_from = time.monotonic()
        self._silent_base = 0
        self._seq = 0
        self._direct = np.zeros((QUANTUM, 2), np.float32)
        self._direct_left = 0

    def run(self) -> None:
        """Open, be ready, play until the daemon says otherwise."""
        self._warm_up()
        self._look_for_device()
        rendering = threading.Thread(target=self._render, name="render", daemon=True)
        rendering.start()
        self._child.ready(
            {
                "output": self._output.name if self._output is not None else None,
                "why": self._why_silent,
                "rate": self._rate,
            }
        )
        # From here on nothing makes garbage in circles; a collection would be a hiccup.
        gc.collect()
        gc.freeze()
        gc.disable()
        tell_at = time.monotonic()
        while True:
            message = self._child.receive(max(0.0, tell_at - time.monotonic()))
            if message is not None and "mix" in message.header:
                self._take(message.header["mix"])
            now = time.monotonic()
            if now >= tell_at:
                tell_at = max(tell_at + TELL_SECONDS, now - TELL_SECONDS)
                if not rendering.is_alive():
                    raise DeviceError("the render thread has ended")
                self._watch_device(now)
                self._loader.want(self._mixer.prefetch())
                self._tell(now)

    def end(self) -> None:
        """Let go of the device."""
        self._ending.set()
        if self._output is not None:
            self._output.close()

    def _warm_up(self) -> None:
        """Wait for the first track, so that ready means that there is something to hear."""
        until = time.monotonic() + 20.0
        while time.monotonic() < until:
            first = self._mixer.prefetch()
            if first is None:
                return
            self._loader.want(first)
            if first.id in self._loader.failed:
                return
            time.sleep(0.01)

    def _render(self) -> None:
        """Keep the ring full; without a device let time pass as if there were one."""
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setscheduler(
                threading.get_native_id(), os.SCHED_FIFO, os.sched_param(40)
            )
        mixer, ring, trim = self._mixer, self._ring, self._trim
        while not self._ending.is_set():
            if self._output is None:
                self._pass_time(ring)
            elif not self._clocked:
                time.sleep(0.05)  # the callback renders
                continue
            quantum = ring.room()
            if quantum is None:
                time.sleep(RENDER_PAUSE_SECONDS)
                continue
            mixer.render(quantum)
            np.multiply(quantum, trim, out=quantum)
            ring.commit()

    def _pass_time(self, ring: SoundRing) -> None:
        """Take from the ring what a sound card would have taken by now."""
        due = self._silent_base + int((time.monotonic() - self._silent_from) * self._rate)
        while ring.read + QUANTUM <= min(due, ring.written):
            ring.read += QUANTUM

    def _fill(self, out: NDArray[np.float32]) -> None:
        """The sound card's thread wants a block. Realtime-safe: yes"""
        if self._clocked:
            self._ring.take(out)
            return
        # An unclocked sink (a file) takes blocks as fast as it can: render right here.
        done, wanted = 0, out.shape[0]
        while done < wanted:
            if self._direct_left == 0:
                self._mixer.render(self._direct)
                np.multiply(self._direct, self._trim, out=self._direct)
                self._direct_left = QUANTUM
                self._ring.written += QUANTUM
            count = min(wanted - done, self._direct_left)
            begin = QUANTUM - self._direct_left
            out[done : done + count, :2] = self._direct[begin : begin + count]
            self._direct_left -= count
            done += count
        self._ring.read += wanted

    def _watch_device(self, now: float) -> None:
        """Notice a device that is lost, and look for one while there is none."""
        output = self._output
        if output is not None:
            lost_after = max(LOST_SECONDS, 4.0 * self._settings.block_samples / self._rate)
            if output.age() <= lost_after:
                return
            self._lose(f"{output.name} has not asked for sound for {output.age():.2f} s")
            if not output.close():
                # PortAudio is stuck in the driver: only the end of the process helps.
                raise DeviceError(f"{output.name} does not let go; the player begins anew")
            with contextlib.suppress(Exception):
                refresh(load_portaudio())
        if now - self._looked_at >= REOPEN_SECONDS:
            self._look_for_device()

    def _look_for_device(self) -> None:
        self._looked_at = time.monotonic()
        try:
            if self._output is None and self._why_silent:
                refresh(load_portaudio())
            output = Output(self._settings, self._fill)
        except DeviceError as error:
            if not self._why_silent:
                self._lose(str(error))
            self._why_silent = str(error)
            return
        self._output = output
        self._why_silent = ""
        print(f"sound goes to {output.name}, {self._rate} Hz", flush=True)

    def _lose(self, why: str) -> None:
        self._silent_base = self._ring.read
        self._silent_from = time.monotonic()
        self._output = None
        self._why_silent = why
        print(f"no sound: {why}; keeping time silently", flush=True)

    def _heard_now(self, now: float) -> float:
        """The sample of the mix that is heard at `now`."""
        output, ring = self._output, self._ring
        if output is None:
            return self._silent_base + (now - self._silent_from) * self._rate
        since = min(now - output.called_at, 0.1)
        return ring.read + (since - output.latency) * self._rate

    def _take(self, facts: Any) -> None:
        mix = Mix(**{**facts, "gains": tuple(facts["gains"])})
        now = time.monotonic()
        sample = self._heard_now(now) + (mix.at - now) * self._rate
        self._mixer.take(mix, sample=int(max(0.0, sample)))

    def _tell(self, now: float) -> None:
        """Send what is heard, as the mixer knows it: of the newest quantum in the ring."""
        self._seq += 1
        playing = self._mixer.playing(seq=self._seq, start=0.0)
        ahead = (playing.sample - self._heard_now(now)) / self._rate
        facts = asdict(playing) | {"captured_at": now + ahead}
        output = self._output
        if output is None:
            facts["state"] = "silent"
        else:
            facts["callback_age"] = output.age()
        facts["underruns"] = self._ring.underruns
        facts["events"] = [
            {**asdict(event), "t": now + ahead - (playing.captured_at - event.t)}
            for event in self._mixer.events()
        ]
        facts["why_silent"] = self._why_silent
        self._child.send({"playing": facts})
