"""Tags and their many spellings."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import mutagen.flac
import mutagen.id3
import mutagen.wave
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.library.tags import Tags, bpm_of, read_tags, stem_names


@pytest.mark.parametrize(
    ("said", "bpm"),
    [("128", 128.0), ("127,98", 127.98), ("124.00 BPM", 124.0), ("0", None), ("12800", None),
     ("fast", None), (None, None), ("", None)],
)  # fmt: skip
def test_tempos_are_read_as_people_write_them(said: str | None, bpm: float | None) -> None:
    assert bpm_of(said) == bpm


def a_sound(path: Path) -> Path:
    soundfile.write(path, np.zeros(4410), 44100)
    return path


def test_id3_in_a_wav_and_comments_in_a_flac(tmp_path: Path) -> None:
    wav = mutagen.wave.WAVE(a_sound(tmp_path / "a.wav"))
    wav.add_tags()
    for frame in (
        mutagen.id3.TIT2(text="Low\nTide"), mutagen.id3.TPE1(text="Anna Ko"),
        mutagen.id3.TBPM(text="124"), mutagen.id3.TKEY(text="Am"),
    ):  # fmt: skip
        wav.tags.add(frame)
    wav.save()
    flac = mutagen.flac.FLAC(a_sound(tmp_path / "a.flac"))
    flac["title"], flac["artist"], flac["bpm"], flac["initialkey"] = (
        "Low Tide",
        "Anna Ko",
        "124",
        "1m",
    )
    flac.save()
    told = Tags("Low Tide", "Anna Ko", 124.0, "8A")
    assert [read_tags(tmp_path / name) for name in ("a.wav", "a.flac")] == [told, told]


def test_without_tags_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "b.mp3").write_bytes(b"ID3\x04\x00\x00\xff\xff\xff\xff" + bytes(200))
    assert read_tags(a_sound(tmp_path / "a.wav")) == Tags()
    assert read_tags(tmp_path / "b.mp3") == Tags()


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def test_the_stems_of_an_mp4_are_named_in_it(tmp_path: Path) -> None:
    said = json.dumps({"stems": [{"name": n} for n in ("Kick", "Bass", "Synth", "Vox")]})
    stem = box(b"moov", box(b"trak", bytes(30)) + box(b"udta", box(b"stem", said.encode())))
    path = tmp_path / "a.stem.mp4"
    path.write_bytes(box(b"ftyp", b"M4A ") + stem)
    assert stem_names(path) == ("Kick", "Bass", "Synth", "Vox")


@pytest.mark.assets
def test_a_real_stem_file_names_its_stems(assets: Path) -> None:
    assert stem_names(assets / "stems/falcon69/falcon69.stem.mp4") == (
        "Drums", "Bass", "Other", "Vox",
    )  # fmt: skip


@given(st.binary(max_size=200))
def test_broken_boxes_name_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("box") / "a.mp4"
    path.write_bytes(box(b"moov", box(b"udta", box(b"stem", content))) + content)
    assert isinstance(stem_names(path), tuple)
