"""What receivers hear, when, and what can never hold up the chain."""

from __future__ import annotations

import asyncio
import math
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_server import AsyncIOOSCUDPServer

from crowdstream.channel import Channel, MergingInbox, WhenFull
from crowdstream.clock import Clock, SystemClock
from crowdstream.packets import Energy, Packet, Playing
from crowdstream.stage import Context
from crowdstream.testing import ManualClock, a_context, run_stage
from crowdstream.testing.stages import SilentLog
from stages import osc_out
from stages.osc_out import Beats, OscOut, OscOutConfig, OscTarget, Pace


class Ear:
    """A UDP socket that hears what was sent to it; loopback delivers before send returns."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]

    def datagrams(self) -> list[bytes]:
        """Everything that came since the last call."""
        got = []
        while True:
            try:
                got.append(self._socket.recv(65536))
            except BlockingIOError:
                return got

    def bundles(self) -> list[list[tuple[Any, ...]]]:
        """The same as (address, values...) by bundle, read by another's parser."""
        return [
            [(m.message.address, *m.message.params) for m in _messages(datagram)]
            for datagram in self.datagrams()
        ]

    def heard(self) -> list[tuple[Any, ...]]:
        """The same in one list."""
        return [message for bundle in self.bundles() for message in bundle]

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _messages(datagram: bytes) -> list[Any]:
    from pythonosc.osc_packet import OscPacket

    return list(OscPacket(datagram).messages)


@pytest.fixture
def ear() -> Iterator[Ear]:
    """A receiver on a free port."""
    ear = Ear()
    yield ear
    ear.close()


def an_energy(at: float, level: float = 0.4, **changes: Any) -> Energy:
    """Energy of a picture of moment `at`, seen by the motion eye."""
    energy = Energy(
        seq=0, captured_at=at, level=level, raw=0.5, speed=0.9, confidence=0.75, drive=0.25,
        fresh_from="motion", eyes=("motion",),
    )  # fmt: skip
    return replace(energy, **changes)


def a_playing(at: float, beat: float = 0.0, bpm: float = 120.0, **changes: Any) -> Playing:
    """What is heard at moment `at`."""
    playing = Playing(
        seq=0, captured_at=at, sample=0, beat=beat, bar=0, bpm=bpm, bpm_wanted=122.0,
        drive=0.25, phrase=3, section="groove", track="A", next=None, bars_to_next=None,
        bars_to_drop=None, decks=(), gains=(1.0, 0.75, 0.0, 0.5), lufs=None, peak=0.5,
    )  # fmt: skip
    return replace(playing, **changes)


def a_stage(
    *ports: int, clock: Clock | None = None, offline: bool = True, log: Any = None, **settings: Any
) -> OscOut:
    """osc_out to these ports of this machine."""
    targets = settings.pop("targets", [{"host": "127.0.0.1", "port": port} for port in ports])
    context = a_context("osc_out", clock=clock, offline=offline, log=log)
    return OscOut(OscOutConfig(targets=targets, **settings), context)


class Live:
    """The stage running by a manual clock, and a way to feed it."""

    def __init__(self, stage: OscOut) -> None:
        clock = stage.context.clock
        assert isinstance(clock, ManualClock)
        self.clock = clock
        self._stage = stage
        self._feed: Channel[Energy | Playing] = Channel(8, WhenFull.DROP_OLDEST)
        self._inbox = MergingInbox([self._feed], clock=clock, offline=False)

    async def __aenter__(self) -> Self:
        await self._stage.open()
        self._task = asyncio.create_task(self._stage.run(self._inbox))
        await self.clock.advance(0.0)
        return self

    async def feed(self, packet: Energy | Playing) -> None:
        """Hand a packet in and let the stage take it."""
        self._feed.send_nowait(packet)
        await self.clock.advance(0.0)

    async def __aexit__(self, *_: object) -> None:
        self._feed.close()
        async with asyncio.timeout(5):
            await self._task
        await self._stage.close()


async def test_everything_known_is_told_with_its_type(ear: Ear) -> None:
    """Every address of the vocabulary, i, f and s only, under the root."""
    energy = an_energy(
        0.0, people=7, attention=0.125, synchrony=0.5, groove_bpm=121.0, groove_confidence=0.25
    )
    playing = a_playing(0.0, beat=8.0, next="B", bars_to_next=6, bars_to_drop=14)
    await run_stage(a_stage(ear.port), [energy, playing])
    told = {address: tuple(values) for address, *values in ear.heard()}
    assert told == {
        "/crowdstream/energy": (pytest.approx(0.4),),
        "/crowdstream/energy/raw": (0.5,),
        "/crowdstream/energy/drive": (0.25,),
        "/crowdstream/confidence": (0.75,),
        "/crowdstream/attention": (0.125,),
        "/crowdstream/count": (7,),
        "/crowdstream/sync": (0.5,),
        "/crowdstream/bpm/crowd": (121.0, 0.25),
        "/crowdstream/bpm": (120.0,),
        "/crowdstream/bpm/wanted": (122.0,),
        "/crowdstream/beat": (8, 2, 120.0),
        "/crowdstream/bar": (2,),
        "/crowdstream/phrase": (3,),
        "/crowdstream/stem/drums/gain": (1.0,),
        "/crowdstream/stem/bass/gain": (0.75,),
        "/crowdstream/stem/vocals/gain": (0.0,),
        "/crowdstream/stem/other/gain": (0.5,),
        "/crowdstream/next": (6, 120.0, "B"),
        "/crowdstream/drop": (14,),
        "/crowdstream/state": ("ok",),
    }


async def test_an_update_is_one_bundle_for_at_once(ear: Ear) -> None:
    """One datagram with the immediate timetag."""
    await run_stage(a_stage(ear.port), [an_energy(0.0)])
    (datagram,) = ear.datagrams()
    assert datagram[:16] == b"#bundle\0" + (1).to_bytes(8, "big")
    assert OscBundle(datagram).num_contents == 5


async def test_what_is_unknown_is_not_told(ear: Ear) -> None:
    """No count without a pose eye, no next before it is decided: nothing is invented."""
    await run_stage(a_stage(ear.port), [an_energy(0.0), a_playing(0.0)])
    addresses = {message[0].removeprefix("/crowdstream") for message in ear.heard()}
    assert not addresses & {"/count", "/sync", "/bpm/crowd", "/next", "/drop"}


NUMBERS = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 1e300])


@settings(max_examples=50, deadline=None)
@given(
    level=NUMBERS, bpm=NUMBERS, beat=NUMBERS, gain=NUMBERS, title=st.text(),
    people=st.integers(), bars=st.integers(),
)  # fmt: skip
def test_only_what_osc_can_hold_is_told(
    level: float, bpm: float, beat: float, gain: float, title: str, people: int, bars: int
) -> None:
    """Whatever the packets hold: finite floats, 32-bit integers, clean strings, no exception."""
    ear = Ear()
    packets: list[Packet] = [
        an_energy(0.0, level, people=people, synchrony=gain),
        a_playing(0.0, 0.0, bpm, next=title, bars_to_next=bars, gains=(gain,) * 4),
        a_playing(0.1, beat, 120.0),
    ]
    asyncio.run(run_stage(a_stage(ear.port), packets))
    datagrams = ear.datagrams()
    ear.close()
    values = [v for d in datagrams for m in _messages(d) for v in m.message.params]
    assert all(math.isfinite(v) for v in values if not isinstance(v, str))
    assert all("\0" not in v and len(v) <= 120 for v in values if isinstance(v, str))
    assert max(map(len, datagrams)) <= 1400


async def test_a_bad_value_leaves_the_last_good_one(ear: Ear) -> None:
    """NaN is counted; receivers keep and are told what was true."""
    log = SilentLog()
    stage = a_stage(ear.port, log=log)
    await run_stage(stage, [an_energy(0.0, 0.5), an_energy(0.5, math.nan), an_energy(1.95, 0.25)])
    levels = [m[1] for m in ear.heard() if m[0] == "/crowdstream/energy"]
    assert levels == [0.5, 0.5, 0.25]
    assert log.said[-1][1:] == (
        "osc_sending_ended", {"sent": 3, "failed": 0, "refused": 1, "motion_age_p95_ms": 0.0},
    )  # fmt: skip


async def test_everything_is_told_again_each_second(ear: Ear) -> None:
    """Also while nothing comes: a receiver that starts late knows all within a second."""
    async with Live(a_stage(ear.port, clock=ManualClock(), offline=False)) as live:
        await live.feed(an_energy(0.0, 0.5, people=3))
        ear.datagrams()
        counts = []
        for _ in range(3):
            await live.clock.advance(0.5)
            await live.clock.advance(0.5)
            counts.append([m for m in ear.heard() if m[0] == "/crowdstream/count"])
    assert counts == [[("/crowdstream/count", 3)]] * 3


async def test_only_what_changed_is_told_in_between(ear: Ear) -> None:
    """A steady value waits for the next full second."""
    async with Live(a_stage(ear.port, clock=ManualClock(), offline=False)) as live:
        await live.feed(an_energy(0.0, 0.5))
        ear.datagrams()
        await live.clock.advance(0.1)
        await live.feed(an_energy(0.1, 0.625))
        assert ear.heard() == [("/crowdstream/energy", 0.625)]


async def test_a_new_picture_is_told_at_once(ear: Ear) -> None:
    """Without a turn of the clock: sending adds no latency at the camera's rate."""
    async with Live(a_stage(ear.port, clock=ManualClock(), offline=False)) as live:
        for frame in range(60):
            jitter = 0.012 * (frame % 2)
            await live.clock.advance(frame / 30.0 + jitter - live.clock.now())
            await live.feed(an_energy(live.clock.now(), level=frame / 100))
            assert ("/crowdstream/energy", pytest.approx(frame / 100)) in ear.heard()
            # The slower eye adds to a picture that is already told: it never delays the next.
            await live.clock.advance(0.005)
            slower = an_energy(live.clock.now() - 0.05, level=frame / 100 + 0.001)
            await live.feed(replace(slower, fresh_from="pose"))


async def test_the_last_value_is_always_told(ear: Ear) -> None:
    """A burst is thinned, but its end arrives."""
    async with Live(a_stage(ear.port, clock=ManualClock(), offline=False, rate_hz=20)) as live:
        for number in range(50):
            await live.feed(an_energy(number / 1000, level=number / 64))
        assert len(ear.datagrams()) <= 2
        await live.clock.advance(0.1)
        assert ear.heard() == [("/crowdstream/energy", 49 / 64)]
        await live.feed(an_energy(0.2, level=0.875))
        await live.feed(an_energy(0.201, level=0.9375))
    assert ear.heard()[-1] == ("/crowdstream/energy", 0.9375)


MOMENTS = st.lists(st.tuples(st.floats(0.0, 0.2), st.booleans()), max_size=80)


@given(steps=MOMENTS, rate=st.floats(1, 120))
def test_the_pace_is_kept_and_nothing_waits_long(
    steps: list[tuple[float, bool]], rate: float
) -> None:
    """Any stretch of n gaps holds at most n + 2 bundles; news waits at most two gaps and a half."""
    pace, now, said, wanted = Pace(rate), 0.0, [], math.inf

    def say_until(moment: float) -> None:
        nonlocal wanted
        if pace.due <= moment:
            assert pace.due - wanted <= 2.5 / rate + 1e-9
            said.append(max(pace.due, wanted))
            pace.said(said[-1])
            wanted = math.inf

    for step, urgent in steps:
        say_until(now + step)
        now += step
        wanted = min(wanted, now)
        pace.want(now, urgent=urgent)
        say_until(now)
    for first, last in ((i, j) for i in range(len(said)) for j in range(i, len(said))):
        assert last - first + 1 <= (said[last] - said[first]) * rate + 2 + 1e-6


def _beats_of(playings: list[Playing], until: float, lead: float = 0.0) -> list[tuple[float, int]]:
    """When which beat is told, if nobody is ever late."""
    beats, told = Beats(lead), []
    for playing, following in zip(playings, [*playings[1:], None], strict=True):
        beats.follow(playing, playing.captured_at)
        end = until if following is None else following.captured_at
        while beats.due < end:
            due = beats.due
            beat = beats.pop(due)
            assert beat is not None
            told.append((due, beat.number))
    return told


@given(
    bpm=st.floats(60, 200), start=st.floats(0, 1000), latency=st.floats(-0.2, 0.2),
    lead=st.floats(0, 0.3),
)  # fmt: skip
def test_each_beat_is_told_once_and_on_time(
    bpm: float, start: float, latency: float, lead: float
) -> None:
    """Ten Playings a second, heard sooner or later: beats fall where the music has them."""
    playings = [
        a_playing(k / 10 + latency, start + (k / 10 + latency) * bpm / 60, bpm) for k in range(50)
    ]
    told = _beats_of(playings, 5.0 + latency, lead)
    numbers = [number for _, number in told]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= 4.5 * bpm / 60 - 1
    errors = [moment + lead - (number - start) * 60 / bpm for moment, number in told]
    assert max(map(abs, errors)) < 1e-6


@given(slopes=st.lists(st.floats(-0.5, 0.5), min_size=20, max_size=60))
def test_a_gliding_tempo_drops_and_doubles_no_beat(slopes: list[float]) -> None:
    """The mapping moves a little under our feet ten times a second."""
    beat, bpm, playings = 0.0, 120.0, []
    for step, slope in enumerate(slopes):
        playings.append(a_playing(step / 10, beat, bpm))
        beat += bpm / 600
        bpm += slope
    numbers = [number for _, number in _beats_of(playings, len(slopes) / 10)]
    assert numbers == list(range(len(numbers)))


def test_a_jump_of_the_music_begins_anew() -> None:
    """A player that starts again counts from 0; nothing is told twice or made up for."""
    before = [a_playing(k / 10, 100 + k / 5) for k in range(10)]
    after = [a_playing(1 + k / 10, k / 5, epoch=1) for k in range(10)]
    numbers = [number for _, number in _beats_of(before + after, 1.95)]
    assert numbers == [100, 101, 0, 1]
    back = [a_playing(1 + k / 10, 50 + k / 5) for k in range(10)]
    assert [n for _, n in _beats_of(before + back, 1.95)] == [100, 101, 50, 51]


def test_a_late_beat_is_left_out() -> None:
    """After the loop was held up, the next beat is right; the missed ones stay missed."""
    beats = Beats()
    beats.follow(a_playing(0.0, 0.5), 0.0)
    assert beats.due == pytest.approx(0.25)
    assert beats.pop(0.9) is None
    assert beats.due == pytest.approx(1.25)
    beat = beats.pop(1.26)
    assert beat is not None and beat.number == 3


def test_a_lead_begins_with_a_beat_that_can_still_be_told() -> None:
    """Beat 1 would have had to go before now."""
    beats = Beats(lead_seconds=0.3)
    beats.follow(a_playing(0.0, 0.9), 0.0)
    assert beats.due == pytest.approx(0.25)


def test_a_camera_that_reconnects_moves_no_beat() -> None:
    """The epoch is the picture's; the music goes on, and no beat is told twice."""
    beats = Beats()
    beats.follow(a_playing(0.0, 3.75), 0.0)
    assert beats.pop(beats.due) is not None
    beats.follow(a_playing(0.125, 3.99, epoch=1), 0.125)
    assert beats.due == pytest.approx(0.125 + 1.01 / 2)


def test_no_beats_without_a_player() -> None:
    """Two seconds after the last Playing, beats end."""
    told = _beats_of([a_playing(0.0, 0.0)], until=60.0)
    assert [number for _, number in told] == [0, 1, 2, 3, 4]


async def test_beats_come_between_packets_by_the_clock(ear: Ear) -> None:
    """A beat has its own datagram, with the bar on the one; it is no part of the repeats."""
    async with Live(a_stage(ear.port, clock=ManualClock(), offline=False)) as live:
        await live.feed(a_playing(0.0, 2.5))
        ear.datagrams()
        await live.clock.advance(0.25)
        first = ear.bundles()
        await live.clock.advance(0.5)
        second = ear.bundles()
        await live.clock.advance(0.3)
        third = [m for m in ear.heard() if "/beat" in m[0]]
    assert first == [[("/crowdstream/beat", 3, 0, 120.0), ("/crowdstream/bar", 0)]]
    assert second == [[("/crowdstream/beat", 4, 1, 120.0), ("/crowdstream/bar", 1)]]
    assert third == []


async def test_the_state_says_what_matters_most(ear: Ear) -> None:
    """Holds and a lost player before eyes that see nothing."""

    def state() -> list[str]:
        return [m[1] for m in ear.heard() if m[0] == "/crowdstream/state"]

    async with Live(a_stage(ear.port, clock=ManualClock(), offline=False)) as live:
        await live.feed(an_energy(0.0, state="dark"))
        assert state() == ["dark"]
        await live.feed(a_playing(0.0, state="hold"))
        await live.clock.advance(0.2)
        assert state() == ["hold"]
        await live.feed(a_playing(0.2))
        await live.clock.advance(0.2)
        assert state() == ["dark"]
        await live.clock.advance(1.7)
        await live.feed(a_playing(2.1))
        await live.clock.advance(0.5)
        await live.clock.advance(0.5)
        assert state()[-1] == "stale"
        await live.clock.advance(1.5)
        await live.clock.advance(1.0)
        assert state()[-1] == "degraded"


async def test_several_receivers_hear_their_own_words(ear: Ear) -> None:
    """Ours under another root, and the prototype's for a drop-in replacement."""
    other = Ear()
    targets = [
        {"host": "127.0.0.1", "port": ear.port, "root": "/venue/crowd"},
        {"host": "127.0.0.1", "port": other.port, "preset": "prototype"},
    ]
    energy = an_energy(0.0, speed=0.9, people=4, arms=2.1)
    await run_stage(a_stage(targets=targets), [energy, a_playing(0.0)])
    assert {m[0].split("/")[1] for m in ear.heard()} == {"venue"}
    assert other.heard() == [
        ("/dance/person_count", 4),
        ("/dance/total_movement", pytest.approx(0.171, abs=1e-3)),
        ("/dance/arm_movement", pytest.approx(0.4)),
    ]
    other.close()


async def test_nobody_listening_is_counted_and_said_once_a_minute(ear: Ear) -> None:
    """Refused datagrams harm neither the chain nor the other receiver."""
    deaf = Ear()
    deaf.close()
    log = SilentLog()
    stage = a_stage(deaf.port, ear.port, log=log)
    await run_stage(stage, [an_energy(k / 10, k / 2000) for k in range(1210)])
    warnings = [facts for level, _, facts in log.said if level == "warning"]
    assert [facts["target"] for facts in warnings] == [f"127.0.0.1:{deaf.port}"] * 3
    assert warnings[0]["error"] == "Connection refused"
    assert 500 < warnings[1]["failures"] < 1300
    assert len([m for m in ear.heard() if m[0].endswith("/energy")]) >= 1210


async def test_a_receiver_that_comes_back_misses_nothing_from_then_on() -> None:
    """The kernel's answer to an old datagram does not eat a new one."""
    ear = Ear()
    port = ear.port
    ear.close()
    async with Live(a_stage(port, clock=ManualClock(), offline=False)) as live:
        await live.feed(an_energy(0.0, 0.1))
        ear = Ear(port)
        await live.clock.advance(0.1)
        await live.feed(an_energy(0.1, 0.5))
        assert ("/crowdstream/energy", 0.5) in ear.heard()
    ear.close()


async def test_no_route_is_counted_and_tried_again_each_second(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is away, then it is there: the first datagram after that arrives."""
    real = osc_out.Receiver._connected

    def away(*_: Any) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(osc_out.Receiver, "_connected", staticmethod(away))
    log = SilentLog()
    async with Live(a_stage(ear.port, clock=ManualClock(), offline=False, log=log)) as live:
        await live.feed(an_energy(0.0, 0.1))
        monkeypatch.setattr(osc_out.Receiver, "_connected", staticmethod(real))
        await live.clock.advance(0.5)
        await live.feed(an_energy(0.5, 0.25))
        assert ear.heard() == []
        await live.clock.advance(0.6)
        assert ("/crowdstream/energy", 0.25) in ear.heard()
    assert [f["error"] for level, _, f in log.said if level == "warning"] == [
        "Network is unreachable"
    ]


class Names:
    """A resolver that a test holds in its hand; it stands where the stage's thread stands."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def __call__(self, _function: Any, host: str, _port: int) -> Any:
        self.asked.append(host)
        return await self.answer


async def test_a_name_that_does_not_resolve_holds_up_nobody(ear: Ear) -> None:
    """Others are told meanwhile; the address is used as soon as it is known, and kept."""
    named = Ear()
    clock, names, log = ManualClock(), Names(), SilentLog()
    context = replace(a_context(clock=clock, offline=False, log=log), offload=names)
    targets = ({"host": "lights.local", "port": 9}, {"host": "127.0.0.1", "port": ear.port})
    stage = OscOut(OscOutConfig(targets=targets), context)
    async with Live(stage) as live:
        await live.feed(an_energy(0.0, 0.1))
        assert ear.heard() and not named.heard()
        names.answer.set_result((socket.AF_INET, ("127.0.0.1", named.port)))
        await clock.advance(0.1)
        await live.feed(an_energy(0.1, 0.5))
        assert ("/crowdstream/energy", 0.5) in named.heard()

        names.answer = asyncio.get_running_loop().create_future()
        names.answer.set_exception(socket.gaierror(-3, "Temporary failure in name resolution"))
        await clock.advance(30.0)
        await clock.advance(0.1)
        await live.feed(an_energy(30.2, 0.75))
        assert ("/crowdstream/energy", 0.75) in named.heard()
    assert names.asked == ["lights.local"] * 2
    assert [f["error"] for level, _, f in log.said if level == "warning"] == [
        "Temporary failure in name resolution"
    ]
    named.close()


async def test_localhost_means_where_receivers_listen(ear: Ear) -> None:
    """The name resolves to IPv4 first, through the stage's real thread."""
    stage = a_stage(targets=[{"host": "localhost", "port": ear.port}])
    await run_stage(stage, [an_energy(0.0)])
    assert ear.heard()


async def test_stopping_hard_leaves_nothing_behind(ear: Ear) -> None:
    """Cancelled in the middle: the sockets are closed and the tasks are gone."""
    stage = a_stage(ear.port, clock=ManualClock(), offline=False)
    feed: Channel[Energy | Playing] = Channel(8, WhenFull.DROP_OLDEST)
    await stage.open()
    task = asyncio.create_task(
        stage.run(MergingInbox([feed], clock=stage.context.clock, offline=False))
    )
    feed.send_nowait(an_energy(0.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stage.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_with_nobody_to_tell_the_stage_only_listens() -> None:
    """No targets is a valid setting."""
    assert await run_stage(a_stage(), [an_energy(0.0), a_playing(0.1)]) == []


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ({"host": "a", "port": 0}, "port"),
        ({"host": "a", "port": 70000}, "port"),
        ({"host": "", "port": 1}, "host"),
        ({"host": "a", "port": 1, "root": "crowd"}, "is no OSC address"),
        ({"host": "a", "port": 1, "root": "/crowd/"}, "is no OSC address"),
        ({"host": "a", "port": 1, "root": "/two words"}, "is no OSC address"),
        ({"host": "a", "port": 1, "preset": "resolum"}, "preset"),
        ({"host": "a", "port": 1, "prot": 1}, "prot"),
    ],
)
def test_wrong_targets_are_refused(target: dict[str, Any], sentence: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        OscTarget(**target)


async def _for_real(port: int) -> None:
    """Half a second of real time: 15 pictures and six Playings, through the machine's clock."""
    clock = SystemClock()
    context: Context = a_context(clock=clock, offline=False)
    config = OscOutConfig(targets=({"host": "127.0.0.1", "port": port},))
    stage = OscOut(config, context)
    feed: Channel[Energy | Playing] = Channel(8, WhenFull.DROP_OLDEST)
    await stage.open()
    task = asyncio.create_task(stage.run(MergingInbox([feed], clock=clock, offline=False)))
    begin = clock.now()
    for frame in range(15):
        now = clock.now()
        feed.send_nowait(an_energy(now, frame / 20, people=frame))
        if frame % 3 == 0:
            feed.send_nowait(a_playing(now, (now - begin) * 4, 240.0, next="Ärger", bars_to_next=2))
        await clock.sleep(1 / 30)
    feed.close()
    await task
    await stage.close()


async def test_a_python_server_understands(unused_port: int) -> None:
    """python-osc's own server, in this loop."""
    heard: list[tuple[Any, ...]] = []
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *values: heard.append((address, *values)))
    server = AsyncIOOSCUDPServer(
        ("127.0.0.1", unused_port), dispatcher, asyncio.get_running_loop()  # type: ignore[arg-type]
    )  # fmt: skip
    transport, _ = await server.create_serve_endpoint()
    await _for_real(unused_port)
    await asyncio.sleep(0)
    transport.close()
    assert [m[1] for m in heard if m[0] == "/crowdstream/count"][-1] == 14
    beats = [m[1] for m in heard if m[0] == "/crowdstream/beat"]
    assert beats == list(range(beats[0], beats[0] + len(beats))) and len(beats) >= 2
    assert ("/crowdstream/next", 2, 240.0, "Ärger") in heard


@pytest.fixture
def unused_port() -> int:
    """A port that was free a moment ago."""
    ear = Ear()
    ear.close()
    return ear.port


@pytest.mark.system
async def test_oscdump_understands(unused_port: int) -> None:
    """liblo's own receiver prints addresses, types and values."""
    if shutil.which("oscdump") is None or shutil.which("stdbuf") is None:
        pytest.skip("oscdump is missing: install the package liblo-tools")
    process = await asyncio.create_subprocess_exec(
        "stdbuf", "-oL", "oscdump", "-L", str(unused_port), stdout=asyncio.subprocess.PIPE
    )
    try:
        await _until_bound(unused_port)
        await _for_real(unused_port)
        assert process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(5):
            while not any("/crowdstream/count i 14" in line for line in lines):
                lines.append((await process.stdout.readline()).decode())
    finally:
        process.kill()
        await process.communicate()
    text = "".join(lines)
    assert re.search(r"/crowdstream/beat iif \d+ \d+ 240.0", text)
    assert re.search(r"/crowdstream/stem/bass/gain f 0.75", text)
    assert re.search(r'/crowdstream/state s "ok"', text)


async def _until_bound(port: int) -> None:
    """Wait until somebody has the port, by asking the kernel."""
    wanted = f":{port:04X} "
    async with asyncio.timeout(5):
        while True:
            with open("/proc/net/udp", encoding="ascii") as v4, open("/proc/net/udp6") as v6:  # noqa: ASYNC230
                if wanted in v4.read() + v6.read():
                    return
            await asyncio.sleep(0.02)
