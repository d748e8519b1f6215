"""Collections of rekordbox: read safely, found within the given folders, checked by ear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from crowdstream.cli import main
from crowdstream.errors import MediaError
from crowdstream.library.rekordbox import locate, read_collection
from crowdstream.music.library import read_track
from crowdstream.testing.crates import a_tune, write_sound

GRID = '<TEMPO Inizio="{first}" Bpm="{bpm}" Metro="4/4" Battito="{beat}"/>'


def a_collection(path: Path, *tracks: str) -> Path:
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<DJ_PLAYLISTS Version="1.0.0">'
        f"<COLLECTION>{''.join(tracks)}</COLLECTION>"
        '<PLAYLISTS><NODE Name="ROOT"><TRACK Key="1"/></NODE></PLAYLISTS></DJ_PLAYLISTS>',
        encoding="utf-8",
    )
    return path


def a_track(location: str, inside: str = "", **said: str) -> str:
    words = "".join(f' {key}="{value}"' for key, value in said.items())
    return (
        f'<TRACK TrackID="1" Location="file://localhost{quote(location)}"{words}>{inside}</TRACK>'
    )


def test_what_stands_in_a_collection(tmp_path: Path) -> None:
    marks = (
        '<POSITION_MARK Name="Drop" Type="0" Start="61.2" Num="-1"/>'
        '<POSITION_MARK Name="" Type="0" Start="12.5" Num="1"/>'
        '<POSITION_MARK Name="" Type="4" Start="90" End="92" Num="-1"/>'
        '<POSITION_MARK Name="lost" Type="0" Start="nan" Num="-1"/>'
    )
    grid = GRID.format(first="0.525", bpm="120.00", beat="2") + GRID.format(
        first="60.525", bpm="120.00", beat="2"
    )
    path = a_collection(
        tmp_path / "r.xml",
        a_track("/Users/anna/Low Tide.mp3", grid + marks, Name="Low &amp; Tide", Artist="Anna",
                AverageBpm="120.00", Tonality="Am"),
    )  # fmt: skip
    (prepared,) = read_collection(path)
    assert prepared.location == "/Users/anna/Low Tide.mp3"
    assert prepared.hints == {
        "title": "Low & Tide", "artist": "Anna", "bpm": 120.0, "key": "8A",
        "grid_bpm": 120.0, "grid_first_beat_seconds": pytest.approx(0.025),
        "cues": [("hot cue B", 12.5), ("Drop", 61.2), ("loop", 90.0)],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (GRID.format(first="0", bpm="120", beat="1") + GRID.format(first="60", bpm="124", beat="1"),
         "its grid changes (120 to 124 BPM)"),
        (GRID.format(first="0", bpm="120", beat="1") + GRID.format(first="60.2", bpm="120", beat="1"),
         "its grid changes"),
        (GRID.format(first="0", bpm="120", beat="1").replace("4/4", "3/4"), "its grid is in 3/4"),
        (GRID.format(first="zero", bpm="120", beat="1"), "its grid cannot be read"),
        (GRID.format(first="0", bpm="120", beat="5"), "its grid cannot be read"),
    ],
)  # fmt: skip
def test_a_grid_that_is_not_one_line_is_not_taken(tmp_path: Path, grid: str, says: str) -> None:
    (prepared,) = read_collection(a_collection(tmp_path / "r.xml", a_track("/a.mp3", grid)))
    assert "grid_bpm" not in prepared.hints
    assert says in prepared.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><DJ_PLAYLISTS>&a;</DJ_PLAYLISTS>', "a document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><DJ_PLAYLISTS/>', "a document type"),
        ("<html></html>", "is no rekordbox collection: it begins with html"),
        ("<DJ_PLAYLISTS><COLLECTION>", "is no XML that can be read"),
        ("", "is no XML that can be read"),
    ],
)
def test_what_is_no_collection_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "r.xml"
    path.write_text(text)
    with pytest.raises(MediaError, match=says):
        list(read_collection(path))


def test_files_are_found_by_the_longest_end_of_their_path(tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    for name in ("Music/a.mp3", "a.mp3"):
        (usb / name).parent.mkdir(parents=True, exist_ok=True)
        (usb / name).touch()
    assert locate("/Users/anna/Music/a.mp3", [usb]) == usb / "Music/a.mp3"
    assert locate("/C:/Users/anna/a.mp3", [usb]) == usb / "a.mp3"
    assert locate(str(usb / "a.mp3"), [usb]) == usb / "a.mp3"
    assert locate("/Users/anna/b.mp3", [usb]) is None


def test_nothing_outside_the_given_folders_is_found(tmp_path: Path) -> None:
    usb, secret = tmp_path / "usb", tmp_path / "secret.mp3"
    usb.mkdir()
    secret.touch()
    (usb / "link.mp3").symlink_to(secret)
    for location in (str(secret), "/../secret.mp3", "/x/link.mp3", "/etc/passwd", "\0.mp3", ".mp3"):
        assert locate(location, [usb]) is None, location


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_grid_is_checked_by_ear_and_a_constant_shift_is_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The grid of a decoder that begins 26 ms later; and one that fits nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROWDSTREAM_STATE", str(tmp_path / "state"))
    mix = a_tune().sum(axis=0)
    for number, name in enumerate(("late", "wrong")):
        write_sound(Path(f"usb/{name}.wav"), (1.0 - 0.1 * number) * mix)
    shifted = GRID.format(first="2.026", bpm="120.00", beat="1")
    cue = '<POSITION_MARK Name="Drop" Type="0" Start="8.026" Num="0"/>'
    wrong = GRID.format(first="0", bpm="131.00", beat="1")
    a_collection(
        Path("r.xml"),
        a_track("/music/late.wav", shifted + cue, Name="Late", Artist="Anna", Tonality="1m"),
        a_track("/music/wrong.wav", wrong, Name="Wrong"),
        a_track("/music/gone.wav", wrong, Name="Gone"),
    )

    def run() -> tuple[int, Any]:
        code = main(["library", "import-rekordbox", "r.xml", "--root", "usb", "--json"])
        out, err = capsys.readouterr()
        assert out, err
        return code, json.loads(out)

    code, said = run()

    assert code == 1
    assert said["refused"] == [{"name": "Gone", "reason": "its file is not there"}]
    late, bad = said["added"]
    assert (late["id"], late["key"], late["confidence"] > 0.8) == ("anna-late", "8A", True)
    assert late["first_beat_seconds"] % 2.0 == pytest.approx(0.0, abs=0.006)
    assert late["cues"][0]["name"] == "Drop"
    assert late["cues"][0]["seconds"] == pytest.approx(8.0, abs=0.006)
    assert "fits, moved by -2" in late["notes"][0]
    assert bad["bpm"] == pytest.approx(120.0, abs=0.05)
    assert bad["notes"][0].startswith("the given grid is not taken: ")
    before = {path: path.read_bytes() for path in Path("state/library").glob("*/track.toml")}

    again = run()[1]

    assert (again["added"], [track["id"] for track in again["there"]]) == (
        [], ["anna-late", "wrong"],
    )  # fmt: skip
    assert {path: path.read_bytes() for path in before} == before
    assert read_track(Path("state/library/anna-late")).edited == ()
