"""What names of files mean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.library.names import (
    artist_and_title,
    id_of,
    is_plainly_a_stem,
    shown,
    stem_named,
    without_what_all_share,
)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("drums", "drums"), ("01 Drums", "drums"), ("kick_2", "drums"), ("Bass Drum", "drums"),
        ("HiHat", "drums"), ("Hi-Hat L", "drums"), ("Overheads", "drums"),
        ("bassguitar", "bass"), ("Bass DI", "bass"), ("808", "bass"), ("sub bass", "bass"),
        ("LeadVox2", "vocals"), ("Backing Vocals", "vocals"), ("Vox", "vocals"),
        ("clav", "other"), ("horns", "other"), ("leadguitar", "other"), ("Synth Pad", "other"),
        ("mix", "mix"), ("Full Master", "mix"), ("Instrumental", "rest"), ("no vocals", "rest"),
        ("Falcon", None), ("untitled 3", None), ("", None),
    ],
)  # fmt: skip
def test_a_name_means_a_stem(name: str, stem: str | None) -> None:
    assert stem_named(name) == stem


@pytest.mark.parametrize(
    ("name", "plainly"),
    [
        ("03 - Bass DI 2", True), ("drums", True), ("Bass Drum", True), ("lead guitar", True),
        ("Drums of Death", False), ("Kick It", False), ("Bass", True), ("mix", False),
        ("Hi-Hat L", True), ("All About That Bass", False), ("Vocals (dry)", True),
    ],
)  # fmt: skip
def test_a_song_with_a_drum_in_its_name_is_no_stem(name: str, plainly: bool) -> None:
    assert is_plainly_a_stem(name) is plainly


@pytest.mark.parametrize(
    ("names", "rests"),
    [
        (["Song (Drums)", "Song (Bass)"], ["Drums", "Bass"]),
        (["drums", "bass"], ["drums", "bass"]),
        (["A - B_drums", "A - B_lead vox"], ["drums", "lead vox"]),
        (["same", "same"], ["same", "same"]),
        (["one"], ["one"]),
    ],
)
def test_what_all_names_share_says_nothing(names: list[str], rests: list[str]) -> None:
    assert without_what_all_share(names) == rests


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("03 - Anna Ko - Low Tide", ("Anna Ko", "Low Tide")),
        ("Anna_Ko_-_Low_Tide", ("Anna Ko", "Low Tide")),
        ("01 Low Tide", ("", "Low Tide")),
        ("07 - Low Tide", ("", "Low Tide")),
        ("12. Low Tide", ("", "Low Tide")),
        ("7 Rings", ("", "7 Rings")),
        ("99 Luftballons", ("", "99 Luftballons")),
        ("Low Tide (Stems)", ("", "Low Tide")),
        ("99", ("", "99")),
        ("808", ("", "808")),
        (" - ", ("", "")),
        ("stems", ("", "")),
    ],
)
def test_who_and_what_is_in_the_name(name: str, told: tuple[str, str]) -> None:
    assert artist_and_title(name) == told


def test_ids_are_plain() -> None:
    assert id_of("Björk", "Jóga (Howie's mix)", "") == "bjork-joga-howies-mix"
    assert id_of("unknown", "Straße", "") == "strasse"
    assert id_of("", "夜に駆ける", "0123456789ab") == "track-01234567"
    assert id_of("", "夜に駆ける (A)", "0123456789ab") == "track-01234567"
    assert id_of("", "A", "") == "a"


@given(st.text(), st.text())
def test_any_id_is_a_folders_name(artist: str, title: str) -> None:
    name = id_of(artist, title, "0123456789abcdef")
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.startswith("-")


@given(st.binary(min_size=1).filter(lambda b: b"\0" not in b))
def test_any_path_can_be_printed(raw: bytes) -> None:
    text = shown(Path(os.fsdecode(raw)))
    assert text.isprintable()
    text.encode("utf-8")
