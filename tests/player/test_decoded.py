"""Facts about decoded tracks on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from crowdstream.errors import MediaError
from crowdstream.music.library import Track, load_stems, read_track
from crowdstream.player.decoded import DecodedCache, map_stems, name_of
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks

RATE = 44100


@pytest.fixture
def tracks(tmp_path: Path) -> list[Track]:
    """Four short tracks of clicks."""
    made = [a_track(f"t{k}", bpm=160.0 + k, form=SHORT_FORM[:1]) for k in range(4)]
    write_clicks(tmp_path / "library", made)
    return [read_track(tmp_path / "library" / track.id) for track in made]


def test_what_is_mapped_is_what_is_decoded(tmp_path: Path, tracks: list[Track]) -> None:
    """To the sample, and nobody can write into it."""
    cache = DecodedCache(tmp_path / "cache", 10**9)
    for rate in (RATE, 48000):
        stems = map_stems(cache.fetch(tracks[0], rate))
        assert np.array_equal(stems, load_stems(tracks[0], rate))
        assert not stems.flags.writeable


def test_a_track_is_decoded_once(tmp_path: Path, tracks: list[Track]) -> None:
    """And again when its files have changed, or its file in the cache is cut short."""
    cache = DecodedCache(tmp_path / "cache", 10**9)
    path = cache.fetch(tracks[0], RATE)
    inode = path.stat().st_ino
    assert cache.fetch(tracks[0], RATE).stat().st_ino == inode
    with path.open("r+b") as file:
        file.truncate(1001)
    assert len(map_stems(cache.fetch(tracks[0], RATE))[0]) > 1000
    stem = tracks[0].folder / tracks[0].files["drums"]
    os.utime(stem, (1, 1))
    assert cache.fetch(tracks[0], RATE) != path


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, tracks: list[Track]) -> None:
    """The newest three stay, however small the budget."""
    cache = DecodedCache(tmp_path / "cache", 1)
    paths = [cache.fetch(track, RATE) for track in tracks[:3]]
    for age, path in enumerate(paths):
        os.utime(path, (100 + age, 100 + age))
    cache.fetch(tracks[0], RATE)  # used again
    fourth = cache.fetch(tracks[3], RATE)
    assert sorted(cache.folder.iterdir()) == sorted([paths[0], paths[2], fourth])


def test_a_file_that_goes_stays_with_who_has_mapped_it(tmp_path: Path, tracks: list[Track]) -> None:
    """The sound goes on."""
    cache = DecodedCache(tmp_path / "cache", 10**9)
    path = cache.fetch(tracks[0], RATE)
    stems = map_stems(path)
    path.unlink()
    assert np.array_equal(stems, load_stems(tracks[0], RATE))


def test_nothing_half_written_is_left(tmp_path: Path, tracks: list[Track]) -> None:
    """What a process that died has begun is removed; what another still writes is not."""
    cache = DecodedCache(tmp_path / "cache", 10**9)
    path = cache.fetch(tracks[0], RATE)
    dead, living = path.with_name(".a.pcm.99999999"), path.with_name(f".b.pcm.{os.getpid()}")
    dead.touch()
    living.touch()
    cache.tidy()
    assert sorted(cache.folder.iterdir()) == sorted([path, living])


def test_a_missing_stem_is_one_sentence(tracks: list[Track]) -> None:
    """With the file's name."""
    (tracks[0].folder / tracks[0].files["bass"]).unlink()
    with pytest.raises(MediaError, match=r"bass.* is missing"):
        name_of(tracks[0], RATE)
