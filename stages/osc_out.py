"""Tell lights, visuals and other programs by OSC what the crowd does and what is heard.

Root `/crowdstream`, types i, f and s only, one bundle an update with an immediate timetag:

    /energy f  /energy/raw f  /energy/drive f  /confidence f      0 to 1
    /count i  /attention f  /sync f  /bpm/crowd ff (bpm, confidence)   only while known
    /bpm f  /bpm/wanted f                                         beats per minute
    /density f  /flow ff (x, y)                                   people, body lengths per second
    /zone/NAME/energy f  /zone/NAME/count i                       each zone of config.toml
    /beat iif (beat, bar, bpm)                                    once, on each beat; never again
    /bar i  /phrase i                                             counted from 0
    /stem/{drums,bass,vocals,other}/gain f                        factors
    /next ifs (bars until then, bpm, what)  /drop i (bars)        only while decided
    /state s    ok, stale, dark, flashing, hold, alone, panic, silent, degraded, ...

What is not known is not sent; a number that is not finite never is. Values go out when they
change, at most `rate_hz` bundles a second (beats come on top), the newest always, and all of
them again each second, for datagrams get lost and receivers start late.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from crowdstream.channel import Inbox, WhenFull
from crowdstream.packets import STEMS, Energy, Eye, Playing, Tick
from crowdstream.stage import Context, Intake, Sink, StageConfig

FULL_STATE_SECONDS: Final = 1.0
RESOLVE_SECONDS: Final = 30.0
SILENT_SECONDS: Final = 60.0
"""About one target that fails, one line at most in so long."""

LOST_SECONDS: Final = 2.0
"""Without an Energy or a Playing for so long, the state says so, and no more beats are told."""

LATE_SECONDS: Final = 0.1
"""A beat that is later than this is left out: it would be felt as a wrong one."""

# Ethernet's 1500 less the headers, with some room for tunnels; longer ones get lost as a whole
# when one part does.
_MAX_DATAGRAM: Final = 1400
_MAX_TEXT: Final = 120

# The prototype told 4 times the movement per processed frame, in halves of box width + height.
# This gives what it showed of the same dance at 30 frames per second, for a standing person's
# box, whose half is about 0.7 body lengths.
_PROTOTYPE_SCALE: Final = 4.0 / (30.0 * 0.7)

Preset = Literal["crowdstream", "prototype"]
_ROOTS: Final[dict[Preset, str]] = {"crowdstream": "/crowdstream", "prototype": "/dance"}


class OscTarget(BaseModel):
    """One receiver."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        min_length=1, max_length=253, description="Address, broadcast address or name."
    )
    port: int = Field(ge=1, le=65535, description="UDP port.")
    preset: Preset = Field(
        "crowdstream", description="Which addresses: ours, or `/dance/...` of the prototype."
    )
    root: str = Field("", description="What every address begins with; empty: the preset's own.")

    @field_validator("root")
    @classmethod
    def _is_a_root(cls, root: str) -> str:
        forbidden = set(" #*,?[]{}")
        if root and (
            not root.startswith("/")
            or root.endswith("/")
            or "//" in root
            or not (root.isascii() and root.isprintable())
            or forbidden & set(root)
        ):
            raise ValueError(
                f"{root!r} is no OSC address; it is like /crowdstream, without spaces, "
                "#*,?[]{} and without a / at its end"
            )
        return root


class OscOutConfig(StageConfig):
    """Settings of `osc_out`.

    Example:
        [[stage]]
        use = "osc_out"
        from = ["measure_energy", "speakers"]
        targets = [{ host = "127.0.0.1", port = 7000 }]
    """

    targets: tuple[OscTarget, ...] = Field(
        (), max_length=32, description="Who is told; nobody by default."
    )
    rate_hz: float = Field(
        32.0,  # a little above a camera's 30, so that one late picture does not delay all after it
        ge=1,
        le=120,
        description="At most so many bundles a second to each, beats aside.",
    )
    beat_lead_seconds: float = Field(
        0.0, ge=0, le=0.5, description="Tell beats earlier, for receivers that are slow to show."
    )


class Line(NamedTuple):
    """One OSC message below the root."""

    address: str
    types: str
    values: tuple[float | int | str, ...]


class OscOut(Sink[Energy | Playing]):
    """Send what is new at once and everything each second, and never wait for a receiver."""

    Config = OscOutConfig
    # Whatever happens here, the music must not wait for it.
    intake: ClassVar[Intake] = Intake(8, WhenFull.DROP_OLDEST)

    def __init__(self, config: OscOutConfig, context: Context) -> None:
        """Touches no network before `open`."""
        super().__init__(config, context)
        self._receivers = [Receiver(target, context.log) for target in config.targets]
        voices: dict[tuple[Preset, str], Voice] = {}
        for receiver in self._receivers:
            voice = voices.setdefault(receiver.voice_key, Voice(*receiver.voice_key))
            voice.receivers.append(receiver)
        self._voices = list(voices.values())
        self._pace = Pace(config.rate_hz)
        self._beats = Beats(config.beat_lead_seconds)
        self._energy: Energy | None = None
        self._playing: Playing | None = None
        self._energy_at = self._playing_at = -math.inf
        self._newest_told = -math.inf
        self._untold: dict[Eye, float] = {}
        self._ages: dict[Eye, deque[float]] = {
            "motion": deque(maxlen=4096),
            "pose": deque(maxlen=4096),
        }
        self._next_full = -math.inf
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Numbers need no resolver; names are looked up while the chain runs."""
        for receiver in self._receivers:
            receiver.take_number()

    async def run(self, inbox: Inbox[Energy | Playing | Tick]) -> None:
        """Take packets; beats and repeats come by the clock (offline: by that of the packets)."""
        if self.context.offline:
            for receiver in self._receivers:
                await self._resolve(receiver)
            async for packet in inbox:
                self._run_until(packet.now if isinstance(packet, Tick) else packet.captured_at)
                self._take(packet, packet.now if isinstance(packet, Tick) else packet.captured_at)
            self._say_last()
            return
        async with asyncio.TaskGroup() as tasks:
            own = [tasks.create_task(self._keep_time())]
            if any(receiver.needs_resolver for receiver in self._receivers):
                own.append(tasks.create_task(self._keep_resolving()))
            try:
                async for packet in inbox:
                    # Said here and not in the other task: one turn of the loop less to wait.
                    self._take(packet, self.context.clock.now())
                    self._changed.set()
                self._say_last()
            finally:
                for task in own:
                    task.cancel()

    async def close(self) -> None:
        """Let the sockets go and say how it went."""
        for receiver in self._receivers:
            receiver.close()
        if self._receivers:
            self.context.log.info(
                "osc_sending_ended",
                sent=sum(receiver.sent for receiver in self._receivers),
                failed=sum(receiver.failed for receiver in self._receivers),
                refused=sum(voice.refused for voice in self._voices),
                **{
                    f"{eye}_age_p95_ms": round(sorted(ages)[int(0.95 * (len(ages) - 1))] * 1e3, 1)
                    for eye, ages in self._ages.items()
                    if ages
                },
            )

    def _take(self, packet: Energy | Playing | Tick, now: float) -> None:
        """Note what is new, and say it if its time has come."""
        if isinstance(packet, Energy):
            self._energy, self._energy_at = packet, now
            if packet.fresh_from is not None:
                self._untold[packet.fresh_from] = packet.captured_at
            # A newer picture goes at once. What the slower eye has to add to a picture that was
            # already told can wait for the next one, so that the faster eye is never held up.
            self._pace.want(now, urgent=packet.captured_at > self._newest_told)
        elif isinstance(packet, Playing):
            self._playing, self._playing_at = packet, now
            self._beats.follow(packet, now)
            self._pace.want(now, urgent=False)
        for voice in self._voices:
            voice.take(packet)
        self._say_due(now)

    async def _keep_time(self) -> None:
        """Say beats, repeats and what had to wait, when their time comes."""
        while True:
            self._changed.clear()
            await self.context.clock.wait(self._changed, self._next_due())
            self._say_due(self.context.clock.now())

    def _run_until(self, now: float) -> None:
        """Offline: everything that was due before the next packet, each at its own time."""
        while (due := self._next_due()) is not None and due <= now:
            self._say_due(due)

    def _next_due(self) -> float | None:
        if self._energy is None and self._playing is None:
            return None
        return min(self._pace.due, self._beats.due, self._next_full)

    def _say_due(self, now: float) -> None:
        beat = self._beats.pop(now)
        if beat is not None:
            for voice in self._voices:
                voice.send(voice.beat(beat), now)
        if now >= min(self._pace.due, self._next_full):
            self._say(now)

    def _say_last(self) -> None:
        """The inbox has ended: the last value is always sent."""
        if self._energy is not None or self._playing is not None:
            self._say(max(self._energy_at, self._playing_at))

    def _say(self, now: float) -> None:
        self._pace.said(now)
        # What goes shortly before everything is due takes it along: a bundle of its own would
        # keep the next picture waiting.
        everything = now >= self._next_full - 0.1 * FULL_STATE_SECONDS
        if everything:
            self._next_full = now + FULL_STATE_SECONDS
        state = Line("/state", "s", (self._state(now),))
        for voice in self._voices:
            voice.put(state)
            voice.send(voice.news(everything=everything), now)
        if self._energy is not None:
            self._newest_told = max(self._newest_told, self._energy.captured_at)
        for eye, captured_at in self._untold.items():
            self._ages[eye].append(now - captured_at)
        self._untold.clear()

    def _state(self, now: float) -> str:
        """One word: what a person did first, then what is broken, then what the eyes say."""
        if self._playing is not None:
            if now - self._playing_at > LOST_SECONDS:
                return "degraded"
            if self._playing.state != "ok":
                return self._playing.state
        if self._energy is None:
            return "ok"
        return "stale" if now - self._energy_at > LOST_SECONDS else self._energy.state

    async def _keep_resolving(self) -> None:
        while True:
            for receiver in self._receivers:
                await self._resolve(receiver)
            await self.context.clock.sleep(RESOLVE_SECONDS)

    async def _resolve(self, receiver: Receiver) -> None:
        """Ask for a name on the stage's own thread: a resolver may take ten seconds."""
        if receiver.needs_resolver:
            target = receiver.target
            try:
                found = await self.context.offload(_look_up, target.host, target.port)
            except (OSError, UnicodeError) as error:
                receiver.note_failure(error, self.context.clock.now())
            else:
                receiver.take_address(*found)


class Pace:
    """At most so many a second on average, without holding up what comes evenly but not quite.

    One may come a gap early, and then the ones after it are counted from when it was due. So
    pictures of a camera with about this rate go at once, although they never come quite evenly.
    """

    def __init__(self, rate_hz: float) -> None:
        self.due = math.inf
        """When the next bundle should go; infinite while nothing is new."""
        self._gap = 1.0 / rate_hz
        self._even = -math.inf  # when the next one would be due if all came evenly

    def want(self, now: float, *, urgent: bool) -> None:
        """Something is new; what is not urgent lets what is come first, for half a gap."""
        earliest = self._even - self._gap if urgent else self._even + self._gap / 2.0
        self.due = min(self.due, max(now, earliest))

    def said(self, now: float) -> None:
        """A bundle has gone."""
        self._even = max(now, self._even) + self._gap
        self.due = math.inf


class Beat(NamedTuple):
    """One beat of the musical timeline, as it is told."""

    number: int
    bar: int
    bpm: float


class Beats:
    """Foretells the beats from the newest Playing, and gives each of them once."""

    def __init__(self, lead_seconds: float = 0.0) -> None:
        self.due = math.inf
        """When the next beat is to be told."""
        self._lead = lead_seconds
        self._playing: Playing | None = None
        self._last = -1

    def follow(self, playing: Playing, now: float) -> None:
        """Take the newest mapping of beats to time; a jump begins anew behind it."""
        # Not for music, but for whatever may come: no tempo here makes beats without end, and
        # every beat has a number that OSC can hold. NaN is in neither range.
        if not (1.0 <= playing.bpm <= 1000.0 and abs(playing.beat) < 2**31 - 1):
            return
        before, self._playing = self._playing, playing
        beat = self._beat_at(now)
        if before is None or not self._last - 1.0 <= beat < self._last + 2.0:
            # The beats that were heard before this moment are over; one just beginning is not.
            self._last = math.ceil(beat - 1e-6) - 1
        self._plan()

    def pop(self, now: float) -> Beat | None:
        """The beat whose time has come, if any; missed ones are left out."""
        playing = self._playing
        if playing is None or now < self.due:
            return None
        self._last = max(self._last + 1, math.floor(self._beat_at(now) + 1e-6))
        late = now - self._time_of(self._last)
        number = self._last
        self._plan()
        return Beat(number, number // 4, playing.bpm) if late <= LATE_SECONDS else None

    def _plan(self) -> None:
        assert self._playing is not None
        due = self._time_of(self._last + 1)
        # Without news of the player, nobody knows whether it still plays.
        self.due = due if due <= self._playing.captured_at + LOST_SECONDS else math.inf

    def _beat_at(self, now: float) -> float:
        assert self._playing is not None
        seconds = now + self._lead - self._playing.captured_at
        return self._playing.beat + seconds * self._playing.bpm / 60.0

    def _time_of(self, number: int) -> float:
        assert self._playing is not None
        seconds = (number - self._playing.beat) * 60.0 / self._playing.bpm
        return self._playing.captured_at + seconds - self._lead


class Voice:
    """What is said with one preset under one root, and to whom."""

    def __init__(self, preset: Preset, root: str) -> None:
        self.receivers: list[Receiver] = []
        self.refused = 0
        """Values that were not finite, or too large for OSC."""
        self._preset = preset
        self._root = root
        self._state: dict[str, Line] = {}
        self._changed: dict[str, Line] = {}

    def take(self, packet: Energy | Playing | Tick) -> None:
        """Note the values of a packet."""
        for line in _lines_of(packet, self._preset):
            self.put(line)

    def put(self, line: Line) -> None:
        """Note one value; it is news if it differs from what was said last."""
        if self._preset == "prototype" and line.address == "/state":
            return
        if not all(map(_fits, line.values)):
            self.refused += 1
        elif self._state.get(line.address) != line:
            self._state[line.address] = self._changed[line.address] = line

    def beat(self, beat: Beat) -> list[Line]:
        """The beat itself, and its bar on the one."""
        if self._preset == "prototype":
            return []
        lines = [Line("/beat", "iif", tuple(beat))]
        bar = Line("/bar", "i", (beat.bar,))
        if self._state.get("/bar") != bar:
            self._state["/bar"] = bar
            lines.append(bar)
        return lines

    def news(self, *, everything: bool) -> list[Line]:
        """What changed since the last call, or all there is to know."""
        lines = list((self._state if everything else self._changed).values())
        self._changed.clear()
        return lines

    def send(self, lines: Iterable[Line], now: float) -> None:
        """Hand the lines to every receiver, in as few datagrams as they fit into."""
        for datagram in _datagrams(self._root, lines):
            for receiver in self.receivers:
                receiver.send(datagram, now)


class Receiver:
    """One address that datagrams go to; whatever is wrong with it is counted, never raised."""

    def __init__(self, target: OscTarget, log: Any) -> None:
        self.target = target
        self.voice_key: tuple[Preset, str] = (target.preset, target.root or _ROOTS[target.preset])
        self.needs_resolver = False
        self.sent = 0
        self.failed = 0
        self._log = log
        self._address: tuple[socket.AddressFamily, Any] | None = None
        self._socket: socket.socket | None = None
        self._again_at = -math.inf
        self._said_at = -math.inf
        self._failed_when_said = 0

    def take_number(self) -> None:
        """Use the host if it is a number; else a resolver is needed."""
        try:
            found = _look_up(self.target.host, self.target.port, socket.AI_NUMERICHOST)
            self.take_address(*found)
        except (OSError, UnicodeError):
            self.needs_resolver = True

    def take_address(self, family: socket.AddressFamily, address: Any) -> None:
        """Send there from now on."""
        if self._address != (family, address):
            self.close()
            self._address = (family, address)
            self._again_at = -math.inf

    def send(self, datagram: bytes, now: float) -> None:
        """Send, or count why not. Never waits."""
        if self._address is None or now < self._again_at:
            self.failed += 1
            return
        try:
            if self._socket is None:
                self._socket = self._connected(*self._address)
            try:
                self._socket.send(datagram)
            except ConnectionRefusedError as error:
                # The answer to an earlier datagram: nobody listened. This one has not left yet.
                self.note_failure(error, now)
                self._socket.send(datagram)
            self.sent += 1
        except OSError as error:  # no route, no buffer left, the address of this machine changed
            self.note_failure(error, now)
            if not isinstance(error, BlockingIOError | ConnectionRefusedError):
                self.close()
                self._again_at = now + FULL_STATE_SECONDS

    def note_failure(self, error: Exception, now: float) -> None:
        """Count it, and say so once a minute."""
        self.failed += 1
        if now - self._said_at >= SILENT_SECONDS:
            self._said_at = now
            self._log.warning(
                "osc_target_failed",
                target=f"{self.target.host}:{self.target.port}",
                error=getattr(error, "strerror", None) or str(error),
                failures=self.failed - self._failed_when_said,
            )
            self._failed_when_said = self.failed

    def close(self) -> None:
        """Let the socket go; the next `send` opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @staticmethod
    def _connected(family: socket.AddressFamily, address: Any) -> socket.socket:
        # Connected, because only then does the kernel tell that nobody listens.
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made


def _look_up(host: str, port: int, flags: int = 0) -> tuple[socket.AddressFamily, Any]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=flags)
    # IPv4 first: `localhost` is ::1 too, where hardly any OSC receiver listens.
    best = min(found, key=lambda info: info[0] != socket.AF_INET)
    return best[0], best[4]


def _lines_of(packet: Energy | Playing | Tick, preset: Preset) -> Iterator[Line]:
    """The values of a packet in the words of a preset; what is unknown is left out."""
    if isinstance(packet, Energy):
        yield from _crowd(packet) if preset == "crowdstream" else _prototype(packet)
    elif isinstance(packet, Playing) and preset == "crowdstream":
        yield from _music(packet)


def _crowd(energy: Energy) -> Iterator[Line]:
    yield Line("/energy", "f", (energy.level,))
    yield Line("/energy/raw", "f", (energy.raw,))
    yield Line("/energy/drive", "f", (energy.drive,))
    yield Line("/confidence", "f", (energy.confidence,))
    if energy.attention is not None:
        yield Line("/attention", "f", (energy.attention,))
    if energy.people is not None:
        yield Line("/count", "i", (energy.people,))
    if energy.density is not None:
        yield Line("/density", "f", (energy.density,))
    if energy.flow is not None:
        yield Line("/flow", "ff", energy.flow)
    for zone in energy.zones:
        if zone.level is not None:
            yield Line(f"/zone/{zone.name}/energy", "f", (zone.level,))
        if zone.people is not None:
            yield Line(f"/zone/{zone.name}/count", "i", (zone.people,))
    if energy.synchrony is not None:
        yield Line("/sync", "f", (energy.synchrony,))
    if energy.groove_bpm is not None:
        yield Line("/bpm/crowd", "ff", (energy.groove_bpm, energy.groove_confidence))


def _music(playing: Playing) -> Iterator[Line]:
    yield Line("/bpm", "f", (playing.bpm,))
    yield Line("/bpm/wanted", "f", (playing.bpm_wanted,))
    yield Line("/phrase", "i", (playing.phrase,))
    for stem, gain in zip(STEMS, playing.gains, strict=True):
        yield Line(f"/stem/{stem}/gain", "f", (gain,))
    if playing.next is not None and playing.bars_to_next is not None:
        yield Line("/next", "ifs", (playing.bars_to_next, playing.bpm, _clean(playing.next)))
    if playing.bars_to_drop is not None:
        yield Line("/drop", "i", (playing.bars_to_drop,))


def _prototype(energy: Energy) -> Iterator[Line]:
    if energy.people is not None:
        yield Line("/person_count", "i", (energy.people,))
    for address, speed in (
        ("/total_movement", energy.speed),
        ("/arm_movement", energy.arms),
        ("/leg_movement", energy.legs),
        ("/head_movement", energy.head),
    ):
        if speed is not None:
            yield Line(address, "f", (speed * _PROTOTYPE_SCALE,))


def _clean(text: str) -> str:
    """Fit for an OSC string: no zero byte, nothing unprintable, not too long for a datagram."""
    return "".join(c if c.isprintable() else " " for c in text)[:_MAX_TEXT]


def _fits(value: float | int | str) -> bool:  # noqa: PYI041  they are told apart here
    """Whether OSC's 32 bits can hold it."""
    if isinstance(value, str):
        return True
    if isinstance(value, int):
        return -(2**31) <= value < 2**31
    return math.isfinite(value) and abs(value) < 3.4e38


def _datagrams(root: str, lines: Iterable[Line]) -> Iterator[bytes]:
    """Bundles of all the lines, none of them too long for one Ethernet packet."""
    waiting: list[OscMessage] = []
    size = 0
    for line in lines:
        builder = OscMessageBuilder(root + line.address)
        for kind, value in zip(line.types, line.values, strict=True):
            builder.add_arg(value, kind)
        message = builder.build()
        if waiting and 16 + size + 4 + message.size > _MAX_DATAGRAM:
            yield _bundle(waiting)
            waiting, size = [], 0
        waiting.append(message)
        size += 4 + message.size
    if waiting:
        yield _bundle(waiting)


def _bundle(messages: Iterable[OscMessage]) -> bytes:
    # Immediate, for receivers differ in what they do with a time: some keep what is for later
    # until memory is full.
    builder = OscBundleBuilder(IMMEDIATELY)
    for message in messages:
        builder.add_content(message)
    return bytes(builder.build().dgram)
