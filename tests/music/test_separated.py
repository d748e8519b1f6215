"""`stems.toml` and `Track.separation`: what is written is read, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.errors import ConfigError, MediaError
from crowdstream.music.library import Section, Track, read_track, write_track
from crowdstream.music.separated import STEMS_FILE, Quality, Separated, as_toml, read_separated
from crowdstream.packets import STEMS


def separated(audio: str = "/music/song.flac", quality: Quality = "fast") -> Separated:
    return Separated(
        audio=audio, sha256="0" * 64, quality=quality, method="fast 1", samples=1000, rate=500,
        channels=2, bits=16,
    )  # fmt: skip


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, audio: str) -> None:
    folder = tmp_path_factory.mktemp("stems")
    (folder / STEMS_FILE).write_text(as_toml(separated(audio)), encoding="utf-8")
    assert read_separated(folder) == separated(audio)


def test_a_folder_without_it_has_none(tmp_path: Path) -> None:
    assert read_separated(tmp_path) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [("samples = 1000", 'samples = "x"'), ('"fast"', '"good"'), ("rate = 500", "rate = 0"),
     ("bits = 16", "bits ="), ("channels = 2\n", "")],
)  # fmt: skip
def test_one_that_is_wrong_is_one_sentence(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / STEMS_FILE).write_text(as_toml(separated()).replace(old, new))
    with pytest.raises(MediaError, match="separate the track again") as caught:
        read_separated(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def a_track(folder: Path, separation: str) -> Track:
    track = Track(
        id="t", title="T", artist="A", bpm=120.0, key="8A", bars=1, first_beat_seconds=0.0,
        seconds=2.0, rate=8000, loudness_lufs=-14.0, sections=(Section("groove", 0, 1),), stops=(),
        folder=folder, files={stem: f"{stem}.wav" for stem in STEMS}, separation=separation,
    )  # fmt: skip
    write_track(track)
    for name in track.files.values():
        soundfile.write(folder / name, np.zeros((16_000, 2), np.int16), 8000)
    return track


@pytest.mark.parametrize("separation", ["", "fast", "high", "best"])
def test_a_track_says_how_it_was_separated(tmp_path: Path, separation: str) -> None:
    assert read_track(a_track(tmp_path, separation).folder).separation == separation


def test_a_track_of_before_has_stems_of_its_own(tmp_path: Path) -> None:
    a_track(tmp_path, "")
    assert "separation" not in (tmp_path / "track.toml").read_text()


def test_a_separation_that_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    a_track(tmp_path, "good")
    with pytest.raises(ConfigError, match="separation is 'good'; it must be fast, high or best"):
        read_track(tmp_path)
