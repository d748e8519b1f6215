"""The player's process: it keeps playing well, whatever happens to the daemon.

    card process     holds the sound card and copies from the ring, in C
    render thread    quanta from the mixer into the ring, never more than the ring is deep;
                     keeps time when no card does
    device thread    starts the card's process, notices when it is lost, starts the next one
    loader thread    has the next track decoded, in a process of its own, and touches its pages
    control thread   takes the newest wish, and writes down what is heard, ten times a second
    teller thread    sends that to the daemon, and may wait for it

Only the card and the render thread must be in time, and they wait for nobody. Without a card
musical time goes on silently. A daemon that hangs changes nothing; when it dies the kernel ends
this process too.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from crowdstream.errors import CrowdstreamError, DeviceError, MediaError
from crowdstream.music.library import read_track
from crowdstream.packets import Mix, ShowEvent
from crowdstream.player.card import LOADED, Card
from crowdstream.player.early import OutputSettings, start_card
from crowdstream.player.facts import mix_of
from crowdstream.player.heard import HeardClock
from crowdstream.player.history import Remembered
from crowdstream.player.kept import PlaceFile
from crowdstream.player.loader import Loader
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.player.output import BlockCutter, Output
from crowdstream.player.pairs import Pairs
from crowdstream.player.ring import SoundRing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crowdstream.child import ChildSide
    from crowdstream.music.library import Track
    from crowdstream.music.place import Place
    from crowdstream.player.lines import LineProcess

T = TypeVar("T")

TELL_SECONDS: Final = 0.1
LOST_SECONDS: Final = 0.25
"""A card that has not asked for so long, or for four blocks, is lost."""

RESPAWN_SECONDS: Final = 1.0
"""From one start of a card's process to the next, at least."""

ANSWER_SECONDS: Final = 10.0
"""A sound server that hangs may take so long to open the card."""

LOADING_SECONDS: Final = 60.0
"""And so long it may take before, on a slow machine that compiles all there is."""

LOOK_SECONDS: Final = 0.05

FADE_OUT_SECONDS: Final = 0.25
TIDY_SECONDS: Final = 60.0
LOOK_AGAIN_SECONDS: Final = 60.0
"""From one look for new stems to the next."""

RENDER_PAUSE_SECONDS: Final = 0.002
LOST_TIME_SECONDS: Final = 5.0
"""Silent time that lags by more was not played through: the whole machine stood still."""

WAITING_EVENTS: Final = 256


def play(child: ChildSide, ring: int, card: LineProcess | None) -> None:
    """What the child does, once all is loaded; `crowdstream.player.early` has begun it.

    `ring` is the descriptor of a ring, `card` the process that was started to read it.
    """
    player = _Player(child, SoundRing(ring, QUANTUM), card)
    try:
        player.run()
    finally:
        player.end()


class _Teller:
    """Sends the newest facts on a thread of its own: a daemon that hangs holds up nobody."""

    def __init__(
        self, child: ChildSide, memory: Remembered | None, kept: PlaceFile | None,
        began_1970: float,
    ) -> None:  # fmt: skip
        self._child = child
        self._memory = memory
        self._kept = kept
        self._began_1970 = began_1970
        self._newest: dict[str, Any] | None = None
        self._place: Place | None = None
        self._events: deque[dict[str, Any]] = deque(maxlen=WAITING_EVENTS)
        self._wake = threading.Event()
        threading.Thread(target=self._work, name="teller", daemon=True).start()

    def tell(
        self, facts: dict[str, Any], events: Sequence[dict[str, Any]], place: Place | None
    ) -> None:
        """Replaces what was not sent yet; events are kept."""
        self._events.extend(events)
        self._newest, self._place = facts, place
        self._wake.set()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            facts, self._newest, place = self._newest, None, self._place
            if facts is None:
                continue
            events: list[Any] = []
            while self._events:
                events.append(self._events.popleft())
            # Files are written here, because that may wait for a disk.
            if self._kept is not None and place is not None:
                self._kept.follow(place, float(facts["captured_at"]))
            self._child.send({"playing": {**facts, "events": events}})
            if self._memory is not None:
                now = self._began_1970 + time.monotonic()
                self._memory.follow((ShowEvent(**event) for event in events), now)


class _Player:
    """Everything the process holds."""

    def __init__(self, child: ChildSide, ring: SoundRing, card: LineProcess | None) -> None:
        self._child = child
        given: Mapping[str, Any] = child.arguments
        self._settings = OutputSettings.of(given)
        self._rate = self._settings.rate
        self._clocked = bool(given["clocked"])
        self._trim = np.float32(10.0 ** (float(given["trim_db"]) / 20.0))
        self._tracks = _patiently(child, lambda: _tracks(given["library"], Path(given["cache"])))
        self._rules = Rules(**dict(given["rules"]))
        self._pairs = Pairs(**dict(given["pairs"]))
        self._loader = Loader(
            self._rate, Path(given["cache"]) / "decoded", int(float(given["cache_gb"]) * 1e9)
        )
        self._loader.hurried = True
        self._began_1970 = 0.0
        """When the monotonic clock was 0, in seconds since 1970: a night outlives the machine's."""

        self._memory: Remembered | None = None
        self._place_file: PlaceFile | None = None
        self._lost = None
        """Where the music of a player before this one was, and when."""

        now = time.monotonic()
        if given.get("state") is not None:
            self._began_1970 = float(given["monotonic_began_1970"])
            folder = Path(str(given["state"]))
            self._memory = Remembered(folder, self._tracks, self._began_1970 + now)
            self._place_file = PlaceFile(folder, self._began_1970)
            self._lost = self._place_file.take(now)
        self._look_at = now + LOOK_AGAIN_SECONDS
        armed = bool(given["armed"])
        self._mixer = Mixer(
            self._tracks, self._loader, rate=self._rate, seed=int(given["seed"]),
            rules=self._rules, history=self._memory.tonight if self._memory is not None else (),
            pairs=self._pairs, armed=armed,
            place=self._lost.by(now) if self._lost is not None and not armed else None,
        )  # fmt: skip
        self._loader.sounding = self._sounding
        self._wishes: deque[tuple[int, Mix]] = deque(maxlen=16)
        """From the control thread to the thread that renders."""

        self._ring = ring
        self._first_card = card
        self._clock = HeardClock(self._rate, time.monotonic())
        self._output = ""
        """Name of the open card, or empty. Set by the device thread only."""

        self._asked_at = 0.0
        """When the card was last seen to ask."""

        self._calls_seen = 0
        self._why_silent = ""
        self._lacks = ""
        """What of the cue or the house is left out, because the card has no channels for it."""

        self._looked = threading.Event()
        self._fading = False
        self._ending = threading.Event()
        self._let_go = threading.Event()
        """The device thread has ended."""

        self._seq = 0
        self._cutter = BlockCutter(self._next_quantum, QUANTUM, self._settings.channels)

    # ---- control thread ------------------------------------------------------------------------

    def run(self) -> None:
        """Open, be ready, play until the daemon says otherwise."""
        sys.setswitchinterval(0.001)
        _lock_memory()
        self._warm_up()
        work = self._look_after_card if self._clocked else self._feed_unclocked
        device = threading.Thread(target=work, name="device", daemon=True)
        device.start()
        self._looked.wait(LOADING_SECONDS + ANSWER_SECONDS + 1.0)
        self._begin()
        rendering = threading.Thread(target=self._render, name="render", daemon=True)
        rendering.start()
        # From here on hardly anything makes garbage in circles, and nobody tidies up by chance.
        gc.collect()
        gc.freeze()
        gc.disable()
        self._child.ready(
            {
                "output": self._output or None,
                "why": self._why_silent,
                "lacks": self._lacks,
                "rate": self._rate,
            }
        )
        self._loader.hurried = False
        self._control(device, rendering, self._loader.thread)

    def _control(self, *threads: threading.Thread) -> None:
        teller = _Teller(self._child, self._memory, self._place_file, self._began_1970)
        tell_at = tidy_at = time.monotonic()
        while True:
            message = self._child.receive(max(0.0, tell_at - time.monotonic()))
            if message is not None and "mix" in message.header:
                self._take(message.header["mix"])
            elif message is not None and "begin" in message.header:
                self._mixer.begin()
            now = time.monotonic()
            if now < tell_at:
                continue
            tell_at = max(tell_at + TELL_SECONDS, now)
            for thread in threads:
                if not thread.is_alive():
                    raise CrowdstreamError(f"the {thread.name} thread has ended")
            self._look_after_tracks()
            self._tell(teller, now)
            if now >= tidy_at:
                tidy_at = now + TIDY_SECONDS
                gc.collect()

    def end(self) -> None:
        """Fade out and let go of the card."""
        if self._output and self._clocked:
            self._fading = True
            in_the_ring = self._ring.capacity / self._rate
            self._ending.wait(FADE_OUT_SECONDS + in_the_ring + self._clock.latency + 0.05)
        self._ending.set()
        self._let_go.wait(0.6)
        # What was kept from the collector would be told as lost by libraries in C.
        gc.unfreeze()

    def _begin(self) -> None:
        """Musical time begins now; that of music that was lost has gone on meanwhile."""
        clock, taken = self._clock, self._ring.read
        clock.observe(taken, time.monotonic())
        if self._lost is not None and self._mixer.goes_on and self._clocked:
            self._mixer.begin_at(self._lost.by(clock.when_heard(taken)).beat)

    def _warm_up(self) -> None:
        """Wait for the first track, so that ready means that there is something to hear.

        A mixer that nobody hears plays a little of it: what is slow the first time was slow then.
        """
        first = self._mixer.prefetch()
        until = time.monotonic() + 20.0
        while first is not None and time.monotonic() < until:
            stems = self._loader(first)
            if stems is not None:
                unheard = Mixer(
                    [first], self._loader, rate=self._rate, rules=self._rules, pairs=self._pairs
                )
                quantum = np.zeros((QUANTUM, 2 * self._pairs.count), np.float32)
                for _ in range(20):
                    unheard.render(quantum)
                unheard.playing()
                return
            if self._look_after_tracks():
                return
            self._loader.news.wait(0.1)
            self._loader.news.clear()

    def _look_after_tracks(self) -> bool:
        """Fetch what comes next, leave out what is broken; True if something was.

        Raises:
            MediaError: no track can be decoded.
        """
        failed = self._loader.failed()
        if failed is not None:
            track, why = failed
            print(f"{track.title} is left out: {why}", flush=True)
            if not self._mixer.give_up(track) and not self._mixer.heard():
                raise MediaError("no track of the library can be decoded")
        wanted = self._mixer.prefetch()
        if wanted is not None:
            self._loader.want(wanted)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_AGAIN_SECONDS
            threading.Thread(target=self._look_for_stems, name="library", daemon=True).start()
        return failed is not None

    def _look_for_stems(self) -> None:
        """Tracks that played whole and have been separated since come with stems when chosen next.

        On a thread of its own: a disk may make it wait.
        """
        for track in self._tracks:
            if not track.whole:
                continue
            with contextlib.suppress(CrowdstreamError, OSError):
                now = read_track(track.folder)
                if not now.whole and now.id == track.id:
                    self._tracks = [now if one.id == now.id else one for one in self._tracks]
                    self._mixer.renew(now)
                    print(f"{now.title} has stems now", flush=True)

    def _sounding(self) -> list[tuple[str, float]]:
        """Of each deck that sounds: its track's id, and seconds into its files."""
        beat, tracks = self._mixer.timeline.beat, {track.id: track for track in self._tracks}
        return [
            (name, tracks[name].first_beat_seconds + (beat + offset) * 60.0 / tracks[name].bpm)
            for name, offset in self._mixer.sounding()
        ]

    def _take(self, facts: Any) -> None:
        mix = mix_of(facts)
        self._wishes.append((max(0, int(self._clock.heard_at(mix.at))), mix))

    def _tell(self, teller: _Teller, now: float) -> None:
        """What is heard, as the mixer knows it: of the newest quantum in the ring."""
        self._seq += 1
        clock = self._clock
        playing = self._mixer.playing(seq=self._seq, start=0.0)
        facts = asdict(playing) | {
            "captured_at": clock.when_heard(playing.sample),
            "underruns": self._ring.underruns,
            "why_silent": self._why_silent,
            "lacks": self._lacks,
        }
        if not self._output:
            facts["state"] = "silent"
        else:
            facts["callback_age"] = max(0.0, now - self._asked_at)
        events = [
            asdict(event) | {"t": clock.when_heard(event.t * self._rate)}
            for event in self._mixer.events()
        ]
        teller.tell(facts, events, self._mixer.place(playing.sample))

    # ---- render thread -------------------------------------------------------------------------

    def _render(self) -> None:
        """Keep the ring full; without a card let time pass as if there were one."""
        with contextlib.suppress(OSError, AttributeError):  # where the limits allow it
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(40))
        ring = self._ring
        while not self._ending.is_set():
            if self._output and not self._clocked:
                time.sleep(0.05)  # the card's own thread renders
                continue
            self._keep_time()
            quantum = ring.room()
            if quantum is None:
                time.sleep(RENDER_PAUSE_SECONDS)
                continue
            self._next_quantum(quantum)
            ring.commit()

    def _keep_time(self) -> None:
        """See what the card has taken; without one, take away what it would have taken."""
        ring, clock, calls = self._ring, self._clock, self._ring.calls
        now = time.monotonic()
        asked = calls != self._calls_seen
        if asked:
            self._calls_seen, self._asked_at = calls, now
        if ring.is_open:
            if asked:
                clock.observe(ring.read, now)
            return
        due = clock.taken_at(now) - ring.read
        if due > LOST_TIME_SECONDS * self._rate:
            clock.observe(ring.read, now)
        elif due >= 1.0:
            due -= ring.skip(int(due))
        # Not before the ring is full of what is due: the beat is where time has it.
        if asked and self._output and due < 1.0 and ring.filled >= ring.capacity - 2 * QUANTUM:
            ring.open()

    def _next_quantum(self, out: NDArray[np.float32]) -> None:
        mixer = self._mixer
        while self._wishes:
            sample, mix = self._wishes.popleft()
            mixer.take(mix, sample=sample)
        if self._fading:
            self._fading = False
            mixer.end(FADE_OUT_SECONDS)
        mixer.render(out)
        np.multiply(out, self._trim, out=out)

    def _fill(self, out: NDArray[np.float32]) -> None:
        """A block for a sink without a clock."""
        self._cutter.fill(out)
        self._asked_at = time.monotonic()
        self._clock.observe(self._cutter.samples, self._asked_at)

    # ---- device thread -------------------------------------------------------------------------

    def _look_after_card(self) -> None:
        """Start the process that holds the card; when it is lost, kill it and start the next."""
        while not self._ending.is_set():
            started_at = time.monotonic()
            try:
                first, self._first_card = self._first_card, None
                card = Card(first or start_card(self._settings, self._ring.fd))
            except OSError as error:
                self._say_silent(f"no process for the sound card could be made: {error}")
            else:
                self._hold(card)
            self._looked.set()
            self._ending.wait(started_at + RESPAWN_SECONDS - time.monotonic())
        self._let_go.set()

    def _hold(self, card: Card) -> None:
        """One life of the card's process."""
        try:
            self._say_silent(self._watch(card))
        except (ValueError, TypeError, KeyError) as error:
            self._say_silent(f"the process that holds the sound card said nonsense: {error}")
        finally:
            # Time goes on from where the card was; nothing is rendered twice or left out.
            self._output = ""
            self._ring.close()
            card.end() if self._ending.is_set() else card.kill()

    def _watch(self, card: Card) -> str:
        """Until the card is lost, or the end comes; why it is lost."""
        lost_after = max(LOST_SECONDS, 4.0 * self._settings.block_samples / self._rate)
        answered_at, patience = time.monotonic(), LOADING_SECONDS
        while not self._ending.is_set():
            try:
                said = card.listen(LOOK_SECONDS)
            except EOFError:
                return "the process that holds the sound card has ended"
            now = time.monotonic()
            if said == LOADED:
                answered_at, patience = now, ANSWER_SECONDS
            elif said is not None:
                answered_at = self._asked_at = now
                if said.output:
                    self._card_is_open(said.output, said.latency, said.lacks)
                else:
                    self._say_silent(said.why)
                self._looked.set()
            elif self._output and now - self._asked_at > lost_after:
                return f"{self._output} has not asked for sound for {now - self._asked_at:.2f} s"
            elif not self._output and now - answered_at > patience:
                return "the sound card does not answer"
        return ""

    def _card_is_open(self, name: str, latency: float, lacks: str) -> None:
        self._clock.latency = latency
        self._output, self._why_silent, self._lacks = name, "", lacks
        print(f"sound goes to {name}, {self._rate} Hz", flush=True)

    def _feed_unclocked(self) -> None:
        """A sink without a clock takes as fast as we can render: for tests, and in this process."""
        try:
            output = Output(self._settings, self._ring, self._fill)
        except DeviceError as error:
            self._say_silent(str(error))
            self._looked.set()
        else:
            self._card_is_open(output.name, output.latency, output.lacks)
            self._looked.set()
            self._ending.wait()
            output.close()
        self._ending.wait()
        self._let_go.set()

    def _say_silent(self, why: str) -> None:
        """Once for each time that the sound goes away; the newest cause is kept for who asks."""
        if why and not self._why_silent:
            print(f"no sound: {why}; keeping time silently", flush=True)
        self._why_silent = why


def _tracks(folder: Any, cache: Path) -> Sequence[Track]:
    """What may be played: a library's, or the built-in music where there is none. Never nothing.

    The built-in music is made in the cache, or, when that cannot be written, in a folder that is
    gone after a reboot.
    """
    from crowdstream.music.compose import builtin_library
    from crowdstream.music.library import read_library

    if folder is not None:
        try:
            tracks, complaints = read_library(Path(str(folder)))
        except (CrowdstreamError, OSError) as error:
            tracks, complaints = (), (str(error),)
        for complaint in complaints:
            print(complaint, flush=True)
        if tracks:
            return tracks
        print(f"{folder} holds no track that can be played; the built-in music plays", flush=True)
    try:
        return builtin_library(cache / "music")
    except (CrowdstreamError, OSError) as error:
        print(f"{cache} cannot be used: {error}; composing elsewhere", flush=True)
        return builtin_library(Path(tempfile.gettempdir()) / f"crowdstream-{os.getuid()}" / "music")


def _patiently(child: ChildSide, work: Callable[[], T]) -> T:
    """The result of long work on another thread, while this one hears if the daemon wants an end.

    Raises:
        SystemExit: it does; the work is left undone.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # handed on below
            failed.append(error)

    thread = threading.Thread(target=run, name="first work", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.02)
        child.receive(0.0)  # there is no message before ready
    if failed:
        raise failed[0]
    return done[0]


def _lock_memory() -> None:
    """Nothing that is in memory leaves it again, where the limits allow that without a bound."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return
    current_future_and_when_touched = 1 | 2 | 4
    ctypes.CDLL(None, use_errno=True).mlockall(current_future_and_when_touched)
