"""Facts about the loader, with its real process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Semaphore
from typing import TypeVar

import numpy as np
import pytest
import soundfile

from crowdstream.music.library import Track, load_stems, read_track
from crowdstream.player.loader import KEPT_TRACKS, Loader
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks

pytestmark = pytest.mark.timeout(120)

RATE = 44100
T = TypeVar("T")


@pytest.fixture
def tracks(tmp_path: Path) -> list[Track]:
    """Five short tracks of clicks."""
    made = [a_track(f"t{k}", bpm=160.0 + k, form=SHORT_FORM[:1]) for k in range(5)]
    write_clicks(tmp_path / "library", made)
    return [read_track(tmp_path / "library" / track.id) for track in made]


def soon(loader: Loader, ask: Callable[[], T | None]) -> T:
    """What comes; whenever there is news it is asked for again."""
    while (answer := ask()) is None:
        assert loader.news.wait(30.0)
        loader.news.clear()
    return answer


def test_stems_come_and_are_those_of_the_track(tmp_path: Path, tracks: list[Track]) -> None:
    """First nothing, then the whole track, not to be written."""
    loader = Loader(RATE, tmp_path / "cache", 10**9)
    assert loader(tracks[0]) is None
    stems = soon(loader, lambda: loader(tracks[0]))
    assert np.array_equal(stems, load_stems(tracks[0], RATE))
    assert not stems.flags.writeable
    assert loader.failed() is None


def test_no_more_than_three_tracks_are_held(tmp_path: Path, tracks: list[Track]) -> None:
    """The oldest is let go."""
    loader = Loader(RATE, tmp_path / "cache", 10**9)
    for track in tracks:
        soon(loader, partial(loader, track))
    assert list(loader._done) == [(track.id, False) for track in tracks[-KEPT_TRACKS:]]


def test_a_broken_track_is_told_once_and_costs_only_itself(
    tmp_path: Path, tracks: list[Track]
) -> None:
    """With its file's name."""
    broken = tracks[0].folder / tracks[0].files["bass"]
    broken.write_bytes(b"fLaC" + bytes(2000))
    loader = Loader(RATE, tmp_path / "cache", 10**9)
    loader.want(tracks[0])
    track, why = soon(loader, loader.failed)
    assert (track, str(broken) in why) == (tracks[0], True)
    assert loader(tracks[0]) is None
    assert soon(loader, lambda: loader(tracks[1])) is not None
    assert loader.failed() is None


def test_a_decoder_that_is_killed_is_made_anew(tmp_path: Path, tracks: list[Track]) -> None:
    """Nobody hears of it."""
    loader = Loader(RATE, tmp_path / "cache", 10**9)
    soon(loader, lambda: loader(tracks[0]))
    assert loader._process is not None
    os.kill(loader._process.pid, signal.SIGKILL)
    assert soon(loader, lambda: loader(tracks[1])) is not None
    assert loader.failed() is None


def test_without_a_place_to_write_a_track_is_decoded_elsewhere(
    tmp_path: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that a reboot clears, or, where that cannot be written either, in memory."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    loader = Loader(RATE, Path("/proc/none/cache"), 10**9)
    assert soon(loader, lambda: loader(tracks[0])) is not None
    assert list(tmp_path.glob("crowdstream-*/decoded/*.pcm"))
    for path in tmp_path.glob("crowdstream-*"):
        path.rename(tmp_path / "away")
    (tmp_path / f"crowdstream-{os.getuid()}").write_text("a file where a folder should be")
    assert np.array_equal(soon(loader, lambda: loader(tracks[1])), load_stems(tracks[1], RATE))
    assert loader.failed() is None


def test_what_sounds_is_touched_ahead(tmp_path: Path, tracks: list[Track]) -> None:
    """Also beyond its end and before its beginning."""
    loader = Loader(RATE, tmp_path / "cache", 10**9)
    soon(loader, lambda: loader(tracks[0]))
    asked = Semaphore(0)

    def sounding() -> list[tuple[str, float]]:
        asked.release()
        return [(tracks[0].id, -3.0), (tracks[0].id, 10_000.0), ("unknown", 0.0)]

    loader.sounding = sounding
    assert asked.acquire(timeout=30.0) and asked.acquire(timeout=30.0)
    assert soon(loader, lambda: loader(tracks[1])) is not None


def test_a_track_that_was_given_stems_comes_as_the_player_knows_it(
    tmp_path: Path, tracks: list[Track]
) -> None:
    """Whole while the conductor takes it for whole, then with its stems."""
    track = tracks[0]
    mix = load_stems(track, RATE).sum(axis=0, dtype=np.int16)
    soundfile.write(track.folder / "mix.flac", mix, RATE)
    loader = Loader(RATE, tmp_path / "cache", 10**9)
    whole = soon(loader, lambda: loader(replace(track, files={"mix": "mix.flac"})))
    assert not whole[1:].any()
    assert np.array_equal(soon(loader, lambda: loader(track)), load_stems(track, RATE))
