"""Stems for tracks that play whole: by the command, in the background, and in a running player."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdstream.cli import main
from crowdstream.commands.background import separating
from crowdstream.library.keep import open_library
from crowdstream.library.stems import whole_tracks
from crowdstream.music.library import load_stems, read_track
from crowdstream.offline.separate import Fast, separate
from crowdstream.offline.separate_library import (
    AGAIN_SECONDS,
    TRIES_FILE,
    Given,
    separate_library,
)
from crowdstream.testing.crates import a_tune, write_sound

pytestmark = pytest.mark.timeout(180)

DAY = 1_800_000_000.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of one track, `tune`, that plays whole."""
    folder = tmp_path_factory.mktemp("made")
    write_sound(folder / "tune.wav", a_tune().sum(axis=0))
    assert main(["library", "add", str(folder / "tune.wav"), "--library", str(folder / "l")]) == 0
    return folder / "l"


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "library")
    return tmp_path / "library"


def all_of(library: Path, *, now: float = DAY, only: tuple[str, ...] = ()) -> list[Given]:
    scratch = library.parent / "scratch"
    return list(separate_library(library, Fast(1), scratch, only=only, now=now))


def test_a_whole_track_gets_stems_that_add_up_to_it_and_are_kept_together(library: Path) -> None:
    whole = read_track(library / "tune")
    mix = load_stems(whole, whole.rate)

    (given,) = all_of(library)

    assert (given.why, given.track.whole, given.track.separation) == ("", False, "fast")
    assert read_track(library / "tune") == given.track
    stems = load_stems(given.track, whole.rate)
    assert np.array_equal(stems.sum(axis=0, dtype=np.int16), mix.sum(axis=0, dtype=np.int16))
    assert given.track.bpm == whole.bpm
    assert not whole_tracks(library)
    assert list((library.parent / "scratch").glob("*")) == []
    assert all_of(library) == []


def test_stems_that_were_finished_before_an_end_are_not_made_again(library: Path) -> None:
    """Ended between separating and giving, the next run gives what is there."""
    track = read_track(library / "tune")
    scratch = library.parent / "scratch"
    separate(track.folder / "mix.flac", scratch, Fast(1), name="tune")
    made_at = (scratch / "tune/drums.flac").stat().st_mtime_ns
    begun: list[int] = []

    (given,) = separate_library(
        library, Fast(1), scratch, now=DAY,
        begin=lambda _: begun.append((scratch / "tune/drums.flac").stat().st_mtime_ns),
    )  # fmt: skip

    assert (given.why, begun) == ("", [made_at])


def test_a_failure_costs_its_track_and_is_tried_again_after_a_day(library: Path) -> None:
    shutil.copytree(library / "tune", library / "broken")
    path = library / "broken/track.toml"
    path.write_text(path.read_text().replace('id = "tune"', 'id = "broken"'))
    sound = library / "broken/mix.flac"
    sound.write_bytes(sound.read_bytes()[:20000])

    assert [(one.track.id, bool(one.why)) for one in all_of(library)] == [
        ("broken", True), ("tune", False),
    ]  # fmt: skip
    assert json.loads((library / TRIES_FILE).read_text())["broken"]["at"] == DAY
    assert all_of(library, now=DAY + 3600.0) == []
    assert [one.track.id for one in all_of(library, now=DAY + AGAIN_SECONDS)] == ["broken"]
    assert [one.track.id for one in all_of(library, only=("broken",))] == ["broken"]


def test_a_list_of_failures_that_nobody_can_read_is_forgotten(library: Path) -> None:
    (library / TRIES_FILE).write_text('{"tune": 3')
    assert [one.why for one in all_of(library)] == [""]
    assert not (library / TRIES_FILE).exists()


def test_a_library_that_is_being_changed_is_waited_for(library: Path) -> None:
    held = open_library(library)
    held.__enter__()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            held.__exit__(None, None, None)

    (given,) = separate_library(library, Fast(1), library.parent / "s", now=DAY, wait=wait)
    assert (given.why, len(waits)) == ("", 2)


def command(library: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "crowdstream", "library", "separate", "--library", str(library),
        "--idle", "--json", *more,
    ]  # fmt: skip


def test_idle_work_takes_what_nobody_wants_and_tells_in_lines(library: Path) -> None:
    child = subprocess.Popen(
        command(library, "--quality", "fast"), stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        first = json.loads(child.stdout.readline())
        policy = os.sched_getscheduler(child.pid)
        nice = os.getpriority(os.PRIO_PROCESS, child.pid)
        rest = [json.loads(line) for line in child.stdout]
    assert (first, child.wait()) == ({"begins": "tune"}, 0)
    assert rest == [{"separated": "tune", "quality": "fast"}]
    assert (policy, nice) == (os.SCHED_IDLE, 19)


def test_killed_in_its_work_it_leaves_the_track_whole_and_goes_on_later(library: Path) -> None:
    child = subprocess.Popen(
        command(library, "--quality", "fast"), stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert read_track(library / "tune").whole
    assert [one.why for one in all_of(library)] == [""]


def test_without_a_model_it_says_what_is_missing(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROWDSTREAM_STATE", str(tmp_path / "state"))
    code = main(["library", "separate", "--library", str(library), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (code != 0, "htdemucs" in said["unable"]) == (True, True)


class Diary:
    """What was logged; an event is set at a word that is waited for."""

    def __init__(self, until: str) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.found = asyncio.Event()
        self._until = until

    def info(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts))
        if event == self._until:
            self.found.set()

    warning = info


async def background(library: Path, until: str) -> Diary:
    """The daemon's work in the background, until it logs a word; then the daemon ends."""
    diary = Diary(until)
    beside = separating(library, "fast", library.parent, None, diary, first_seconds=0.0)
    assert beside is not None
    task = asyncio.create_task(beside())
    async with asyncio.timeout(120.0):
        await diary.found.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return diary


async def test_the_daemon_separates_in_the_background_and_says_so(library: Path) -> None:
    diary = await background(library, "track_separated")
    assert diary.lines == [
        ("track_separating", {"track": "tune"}),
        ("track_separated", {"track": "tune", "quality": "fast"}),
    ]
    assert not read_track(library / "tune").whole


async def test_an_end_of_the_daemon_ends_the_work(library: Path) -> None:
    await background(library, "track_separating")
    assert read_track(library / "tune").whole


def test_what_is_off_is_not_done(library: Path) -> None:
    assert separating(library, "off", library.parent, None, Diary("")) is None
