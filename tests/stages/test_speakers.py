"""Facts about `speakers`: a real player in its process, without a sound card."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from crowdstream.channel import Channel, FanOut, MergingInbox, WhenFull
from crowdstream.clock import SystemClock
from crowdstream.controls import Controls
from crowdstream.errors import ConfigError, CrowdstreamError, WorkerError
from crowdstream.packets import DeckState, Mix, Packet, Playing, ShowEvent
from crowdstream.player.facts import playing_of
from crowdstream.player.kept import FILE
from crowdstream.player.pairs import Pairs
from crowdstream.stage import Places
from crowdstream.testing.jack import JackServer
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks
from crowdstream.testing.stages import SilentLog, a_context
from stages.speakers import Speakers, SpeakersConfig, player_arguments

pytestmark = pytest.mark.timeout(60)

CLOCK = SystemClock()
STEM_CHANNELS = {"drums": (1, 2), "bass": (3, 4), "vocals": (5, 6), "other": (7, 8)}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tracks of clicks, as files."""
    folder = tmp_path_factory.mktemp("library")
    write_clicks(folder, [a_track("one", form=SHORT_FORM), a_track("two", form=SHORT_FORM)])
    return folder


class Player:
    """The stage at work, live."""

    def __init__(
        self, config: SpeakersConfig, folder: Path, controls: Controls | None = None
    ) -> None:
        self.log = SilentLog()
        context = a_context(
            "speakers", stage_class=Speakers, folder=folder, clock=CLOCK, log=self.log,
            offline=False,
        )  # fmt: skip
        if controls is not None:
            context = replace(context, controls=controls)
        self.stage = Speakers(config, context)
        self.wishes: Channel[Packet] = Channel(1, WhenFull.DROP_OLDEST, name="wishes")
        self.heard: Channel[Packet] = Channel(64, WhenFull.DROP_OLDEST, name="heard")
        self._work: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Player:
        await self.stage.open()
        outbox: FanOut[Packet] = FanOut([self.heard], clock=CLOCK)
        inbox: MergingInbox[Any] = MergingInbox([self.wishes], clock=CLOCK, offline=False)
        self._work = asyncio.create_task(self.stage.run(inbox, outbox))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._work is not None
        self._work.cancel()
        await asyncio.wait({self._work})
        await self.stage.close()

    async def ends(self) -> None:
        """The chain ends in order, before the stage does."""
        self.wishes.close()
        await asyncio.wait({self.work})

    @property
    def work(self) -> asyncio.Task[None]:
        assert self._work is not None
        return self._work

    @property
    def pid(self) -> int:
        assert self.stage._player is not None
        assert self.stage._player.pid is not None
        return self.stage._player.pid

    async def until(self, right: Any, seconds: float = 10.0) -> Playing:
        """The first Playing that is right."""
        async with asyncio.timeout(seconds):
            async for playing in self.heard:
                assert isinstance(playing, Playing)
                if right(playing):
                    return playing
        raise AssertionError("nothing more is heard")


def a_config(library: Path, **settings: Any) -> SpeakersConfig:
    return SpeakersConfig(library=library, device="no such card", **settings)


@pytest.fixture
async def player(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Player]:
    """No card of that name: it keeps time silently."""
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    async with Player(a_config(library), tmp_path) as playing:
        yield playing


def a_wish(**facts: Any) -> Mix:
    now = CLOCK.now()
    return Mix(**{
        "seq": 1, "captured_at": now, "at": now + 0.1, "drive": 0.7, "confidence": 1.0,
        "bpm": 121.0, "gains": (1.0, 1.0, 1.0, 1.0), **facts,
    })  # fmt: skip


async def test_without_a_card_the_music_goes_on_in_silence(player: Player) -> None:
    """Ten times a second, a second of music a second, and one sentence in the log."""
    first = await player.until(lambda p: True)
    later = await player.until(lambda p: p.sample > first.sample + 44100)
    assert later.seq - first.seq == pytest.approx(10, abs=2)
    assert first.state == later.state == "silent"
    assert first.callback_age is None
    sent_apart = later.captured_at - first.captured_at
    assert (later.sample - first.sample) / 44100 == pytest.approx(sent_apart, abs=0.01)
    assert [event for _, event, _ in player.log.said].count("sound_silent") == 1


async def test_a_wish_arrives_and_takes_effect(player: Player) -> None:
    """The newest one counts: its tempo and drive are in what is heard, soon after `at`."""
    await player.until(lambda p: True)
    player.wishes.send_nowait(a_wish(bpm=90.0))
    wish = a_wish(bpm=121.0, drive=0.7)
    player.wishes.send_nowait(wish)
    heard = await player.until(lambda p: p.bpm_wanted == 121.0, 5.0)
    assert heard.drive == 0.7
    assert 0.0 < heard.captured_at - wish.at < 0.4


async def test_the_player_dies_and_the_stage_says_so(player: Player) -> None:
    """The supervisor makes the next one."""
    await player.until(lambda p: True)
    os.kill(player.pid, signal.SIGKILL)
    await asyncio.wait({player.work}, timeout=5.0)
    with pytest.raises(ExceptionGroup) as failed:
        player.work.result()
    assert failed.group_contains(WorkerError, match="SIGKILL")


async def test_nothing_of_the_player_is_left_after_close(library: Path, tmp_path: Path) -> None:
    """Neither it nor the processes that look for the card and decode."""
    async with Player(a_config(library), tmp_path) as playing:
        await playing.until(lambda p: True)
        player = psutil.Process(playing.pid)
        family = [player, *player.children(recursive=True)]
        assert len(family) == 3
    _, alive = psutil.wait_procs(family, timeout=3.0)
    assert not alive


async def test_a_player_that_ends_in_order_writes_nothing_into_the_log(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No library in C complains that something of its own was left."""
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    async with Player(a_config(library), tmp_path) as playing:
        await playing.until(lambda p: True)
        before = len(playing.log.said)
        await playing.ends()
    assert [said for said in playing.log.said[before:] if said[1] == "child_said"] == []


@pytest.mark.timeout(120)
async def test_a_library_without_music_plays_the_built_in_one(
    tmp_path: Path, warm_cache: Path
) -> None:
    """A wrong folder in config.toml is told, and costs no silence."""
    log = SilentLog()
    places = Places(cache=warm_cache, state=tmp_path, models=tmp_path)
    context = a_context("speakers", places=places, clock=CLOCK, log=log, offline=False)
    stage = Speakers(a_config(tmp_path / "empty"), context)
    try:
        await stage.open()
        async with asyncio.timeout(10):
            while not any("holds no track" in str(said) for said in log.said):
                await asyncio.sleep(0.01)
    finally:
        await stage.close()


async def test_a_library_that_cannot_be_decoded_ends_the_player(tmp_path: Path) -> None:
    """Every track is named in the log; then it is said that none is left."""
    write_clicks(tmp_path / "library", [a_track("broken", form=SHORT_FORM)])
    (tmp_path / "library" / "broken" / "drums.wav").write_bytes(b"RIFF but not for long")
    playing = Player(a_config(tmp_path / "library"), tmp_path)
    with pytest.raises(CrowdstreamError, match="no track of the library can be decoded"):
        await playing.stage.open()
    await playing.stage.close()
    said = [facts["line"] for _, event, facts in playing.log.said if event == "child_said"]
    assert any("Broken is left out" in line for line in said)


def test_what_the_player_tells_becomes_the_packet_again() -> None:
    """Through JSON values and back, with decks and events."""
    deck = DeckState(
        track="One", track_id="one", beat=3.5, section="groove", gains=(1.0, 0.5, 0.0, 0.0)
    )
    playing = Playing(
        seq=1, captured_at=2.0, sample=88200, beat=4.0, bar=1, bpm=120.0, bpm_wanted=121.0,
        drive=0.5, phrase=0, section="groove", track="One", next=None, bars_to_next=None,
        bars_to_drop=3, decks=(deck,), gains=deck.gains, lufs=None, peak=0.5,
    )  # fmt: skip
    event = ShowEvent(t=1.0, event="drop", why="energy", facts={"sample": 3.5})
    facts = asdict(playing) | {
        "gains": list(playing.gains), "events": [asdict(event)], "why_silent": "no card", "lacks": "",
        "decks": [{**asdict(deck), "gains": list(deck.gains)} for deck in playing.decks],
    }  # fmt: skip
    again = playing_of(facts)
    assert again.events == (event,)
    assert again.decks == playing.decks
    assert again.gains == playing.gains


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": (1, 1)}, {"channels": (0, 1)}, {"channels": (1, 65)}, {"rate": 22050},
        {"block_samples": 10}, {"ring_seconds": 2.0}, {"trim_db": 3.0}, {"trim_db": float("nan")},
        {"volume": 11}, {"rules": {"leash": 0.5}}, {"start": "soon"},
        {"cue_channels": (3, 3)}, {"cue_channels": (2, 3)}, {"cue_channels": (3,)},
        {"stem_channels": {"drums": (1, 2)}}, {"channels": (1, 2), "stem_channels": STEM_CHANNELS},
        {"stem_channels": STEM_CHANNELS | {"bass": (2, 3)}},
        {"stem_channels": STEM_CHANNELS | {"piano": (9, 10)}},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    """Before anything is started."""
    with pytest.raises((ValidationError, ConfigError)):
        SpeakersConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "channels", "pairs", "needed"),
    [
        ({}, [1, 2], (True, False, False), 2),
        ({"channels": (4, 3)}, [4, 3], (True, False, False), 4),
        ({"cue_channels": (3, 4)}, [1, 2, 3, 4], (True, True, False), 2),
        ({"stem_channels": STEM_CHANNELS}, [*range(1, 9)], (False, False, True), 8),
        (
            {"stem_channels": STEM_CHANNELS, "channels": (9, 10), "cue_channels": (11, 12)},
            [9, 10, 11, 12, *range(1, 9)], (True, True, True), 10,
        ),
    ],
)  # fmt: skip
def test_the_player_is_told_which_pairs_go_where(
    settings: dict[str, Any], channels: list[int], pairs: tuple[bool, ...], needed: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    """House, cue, stems, in this order; a card may lack the cue and nothing else."""
    arguments = player_arguments(SpeakersConfig(**settings), tmp_path)
    assert arguments["channels"] == channels
    assert Pairs(**arguments["pairs"]) == Pairs(*pairs)
    assert Pairs(*pairs).count * 2 == len(channels)
    assert arguments["needed"] == needed


async def test_an_armed_player_begins_when_the_control_is_turned_and_is_not_armed_again(
    library: Path, tmp_path: Path
) -> None:
    """The next player, made anew in mid-show, plays by itself."""
    config = a_config(library, start="armed", rules={"fade_in_seconds": 0.0})
    first = Player(config, tmp_path)
    controls = first.stage.context.controls
    async with first:
        waiting = await first.until(lambda p: p.beat > 5.0)
        assert (waiting.track, waiting.decks) == ("", ())
        controls.set("speakers.start", 1.0)
        await first.until(lambda p: p.track)
    async with Player(config, tmp_path, controls) as second:
        heard = await second.until(lambda p: p.track)
        assert heard.beat < 4.0


def test_the_player_is_told_of_the_programme(tmp_path: Path) -> None:
    """Its tempo and intensity are where the music goes when nobody wishes anything."""
    config = SpeakersConfig(programme={"bpm": 124.0, "intensity": 0.8})
    rules = player_arguments(config, tmp_path)["rules"]
    assert (rules["programme_bpm"], rules["programme_drive"]) == (124.0, 0.8)


async def test_what_was_heard_is_not_heard_first_after_a_restart(
    library: Path, tmp_path: Path
) -> None:
    """Two lives of the player, minutes of one night: each begins with another track."""
    begun = []
    for _ in range(2):
        async with Player(a_config(library), tmp_path) as playing:
            heard = await playing.until(lambda p: (p.track and p.events) or p.beat > 2.0)
            begun.append(heard.track)
            await playing.until(lambda p, beat=heard.beat: p.beat > beat + 1.0)
            await playing.ends()
    assert sorted(begun) == ["One", "Two"]
    kept = list(tmp_path.rglob("heard.jsonl"))
    lines = [json.loads(line) for line in kept[0].read_text().splitlines()]
    now = CLOCK.local_time().timestamp()
    assert [line["id"].title() for line in lines] == begun
    assert all(now - 120.0 < line["at"] <= now + 1.0 for line in lines)


def place_file(folder: Path) -> Path | None:
    """Where the player says where the music is, if it does."""
    return next(folder.rglob(FILE), None)


@pytest.mark.timeout(120)
async def test_a_player_that_is_killed_goes_on_where_the_music_would_be(
    library: Path, tmp_path: Path
) -> None:
    """The same track, the same count of beats, the same stems, as if it had played on silently."""
    wish = {"drive": 0.3, "gains": (0.9, 0.8, 0.0, 0.5), "bpm": 121.0}
    async with Player(a_config(library), tmp_path) as playing:
        playing.wishes.send_nowait(a_wish(**wish))
        before = await playing.until(lambda p: p.beat > 8.0 and place_file(tmp_path) is not None)
        os.kill(playing.pid, signal.SIGKILL)
        await asyncio.wait({playing.work}, timeout=5.0)
    async with Player(a_config(library), tmp_path) as playing:
        told: list[ShowEvent] = []

        def noted(p: Playing) -> Playing:
            told.extend(event for event in p.events if event.event in ("start", "again"))
            return p

        after = await playing.until(lambda p: noted(p).track)
        heard = await playing.until(lambda p: noted(p).beat > after.beat + 4.0)
        assert not place_file(tmp_path)  # until it has played for a while
    beats = (after.captured_at - before.captured_at) * before.bpm / 60.0
    assert after.beat - before.beat == pytest.approx(beats, abs=0.1)
    assert after.bpm == pytest.approx(before.bpm, abs=0.3)
    assert (after.track, after.decks[0].track_id) == (before.track, before.decks[0].track_id)
    offsets = [p.decks[0].beat - p.beat for p in (before, after, heard)]
    assert offsets == pytest.approx([offsets[0]] * 3, abs=1e-6)
    assert after.gains == pytest.approx(before.gains, abs=0.05)
    assert [event.event for event in told] == ["again"]
    assert re.fullmatch(r"the player was lost for \d+\.\d s", told[0].why)


async def test_a_night_that_ended_in_order_is_not_gone_on_with(
    library: Path, tmp_path: Path
) -> None:
    """Whatever was written, the end takes it away."""
    async with Player(a_config(library), tmp_path) as playing:
        await playing.until(lambda _: place_file(tmp_path) is not None)
        await playing.ends()
    assert not place_file(tmp_path)


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_player_that_is_killed_is_soon_heard_again_on_the_beat(
    library: Path, tmp_path: Path, jack: JackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a card that keeps time. How soon depends on the machine: see with `pytest -s`."""
    for name, value in jack.environment.items():
        monkeypatch.setenv(name, value)
    config = SpeakersConfig(library=library)
    before: Playing | None = None
    for _ in range(3):
        begun = CLOCK.now()
        async with Player(config, tmp_path) as playing:
            after = await playing.until(lambda p: p.peak > 0.01 and p.state != "silent", 30.0)
            seconds = CLOCK.now() - begun
            if before is not None:
                gone = after.captured_at - before.captured_at
                off = after.beat - before.beat - gone * (before.bpm + after.bpm) / 120.0
                told = f"heard again after {seconds:.2f} s, {off:+.4f} beats off"
                print(told, f"{after.underruns} underruns")
                assert after.track == before.track
                assert abs(off) < 0.05 or after.underruns  # what a busy machine loses is late
                assert seconds < 20.0
            await playing.until(lambda p, beat=after.beat: p.beat > beat + 8.0)
            before = await playing.until(lambda _: place_file(tmp_path) is not None)
            os.kill(playing.pid, signal.SIGKILL)
            await asyncio.wait({playing.work}, timeout=5.0)
