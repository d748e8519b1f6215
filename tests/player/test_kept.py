"""Facts about the file that says where the music is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crowdstream.music.place import Place
from crowdstream.player.kept import (
    FILE,
    FIRST_SECONDS,
    YOUNG_SECONDS,
    Kept,
    PlaceFile,
    forget,
    read_place,
    told,
)  # fmt: skip

BEGAN = 1_800_000_000.0
"""When the monotonic clock was 0."""

NOW = 5000.0
PLACE = Place(
    track_id="zwölf", sound_sha256="ab" * 32, track_bpm=112.0, first_beat_seconds=0.05, offset=-7,
    since=40, gains=(1.0, 0.7, 0.0, 0.25), beat=201.5, bpm=114.0, bpm_wanted=117.0, drive=0.6,
    skip=2, nudge=0.02,
)  # fmt: skip


def written(folder: Path, at: float, place: Place = PLACE) -> None:
    """By a player that has played for a while at `at`."""
    file = PlaceFile(folder, BEGAN)
    file.follow(place, at - FIRST_SECONDS)
    assert file.follow(place, at)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """All of it."""
    written(tmp_path / "state", NOW)
    assert PlaceFile(tmp_path / "state", BEGAN).take(NOW + 2.0) == Kept(PLACE, NOW)


def test_the_music_has_gone_on_meanwhile(tmp_path: Path) -> None:
    """At the tempo that it had."""
    written(tmp_path, NOW)
    kept = PlaceFile(tmp_path, BEGAN).take(NOW + 2.0)
    assert kept is not None
    assert kept.by(NOW + 10.0) == replace(PLACE, beat=201.5 + 19.0, gone_seconds=10.0)


def test_it_is_there_only_once(tmp_path: Path) -> None:
    """Should the place itself be what kills players, the next one begins elsewhere."""
    written(tmp_path, NOW)
    assert PlaceFile(tmp_path, BEGAN).take(NOW + 1.0) is not None
    assert PlaceFile(tmp_path, BEGAN).take(NOW + 1.0) is None


def test_a_player_writes_once_it_has_played_for_a_while_and_once_a_second(tmp_path: Path) -> None:
    """Ten times a second it is asked; what is another place is written at once."""
    file = PlaceFile(tmp_path, BEGAN)
    times = [tenth / 10 for tenth in range(60) if file.follow(PLACE, tenth / 10)]
    assert times == [3.0, 4.0, 5.0]
    assert file.follow(replace(PLACE, offset=9), 5.91)
    assert file.follow(replace(PLACE, offset=9, gains=(1.0, 0.0, 0.0, 0.0)), 5.92)


@pytest.mark.parametrize(
    ("now", "began"),
    [
        (NOW + YOUNG_SECONDS + 0.1, BEGAN), (NOW + 2.0, BEGAN - 86400.0), (NOW - 60.0, BEGAN),
        (NOW + 2.0, BEGAN + 60.0), (12.0, BEGAN + NOW - 10.0),
    ],
    ids=["old", "a clock set back", "of the future", "a clock set forward", "a machine rebooted"],
)  # fmt: skip
def test_what_is_not_of_the_last_half_minute_is_left_alone(
    tmp_path: Path, now: float, began: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """By either clock. One line says so."""
    written(tmp_path, NOW)
    assert PlaceFile(tmp_path, began).take(now) is None
    assert capsys.readouterr().out.count("\n") == 1
    assert not (tmp_path / FILE).exists()


def test_a_clock_that_is_put_right_a_little_changes_nothing(tmp_path: Path) -> None:
    """The place follows from the clock that nobody sets."""
    written(tmp_path, NOW)
    assert PlaceFile(tmp_path, BEGAN + 5.0).take(NOW + 2.0) == Kept(PLACE, NOW)


def test_a_file_that_is_torn_anywhere_is_no_place() -> None:
    """Nothing else is raised than what is expected of it."""
    whole = told(Kept(PLACE, NOW), BEGAN).rstrip()
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="torn"):
            read_place(whole[:length], NOW, BEGAN)


@pytest.mark.parametrize("text", ["null", "[]", "{}", "7", '"x"', "\0" * 900, "[" * 4000])
def test_a_foreign_file_is_no_place(text: str) -> None:
    """Whatever JSON it is, or none."""
    with pytest.raises(ValueError, match="torn"):
        read_place(text.encode(), NOW, BEGAN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2}, {"beat": float("nan")}, {"beat": -1.0}, {"beat": "7"}, {"at_1970": 10**400}, {"beat": None},
        {"bpm": 0.0}, {"bpm": True}, {"offset": 1.5}, {"since": -3}, {"track_id": 7},
        {"gains": [1.0, 1.0, 1.0]}, {"gains": [0.0, 0.0, 0.0, 0.0]}, {"gains": [1.0, 1.0, 1.0, 99]},
        {"gains": ["1", 1, 1, 1]}, {"drive": 1.1}, {"at": float("inf")}, {"volume": 11},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_no_place(wrong: dict[str, Any]) -> None:
    """Each number has its limits."""
    facts = json.loads(told(Kept(PLACE, NOW), BEGAN)) | wrong
    with pytest.raises(ValueError, match="cannot be"):
        read_place(json.dumps(facts).encode(), NOW, BEGAN)


def test_a_place_that_lacks_something_is_none() -> None:
    """Any one of its facts."""
    facts = json.loads(told(Kept(PLACE, NOW), BEGAN))
    for key in facts:
        with pytest.raises(ValueError, match="torn|cannot be"):
            read_place(
                json.dumps({k: v for k, v in facts.items() if k != key}).encode(), NOW, BEGAN
            )


def test_a_long_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Somebody else's."""
    (tmp_path / FILE).write_bytes(b" " * 10**6)
    assert PlaceFile(tmp_path, BEGAN).take(NOW) is None


def test_no_file_is_no_fault_and_no_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is a folder that cannot be written."""
    assert PlaceFile(tmp_path, BEGAN).take(NOW) is None
    assert capsys.readouterr().out == ""
    (tmp_path / "file").write_text("")
    file = PlaceFile(tmp_path / "file", BEGAN)
    file.follow(PLACE, NOW)
    assert not file.follow(PLACE, NOW + 5.0)
    forget(tmp_path / "file")


def test_a_night_that_ended_in_order_has_no_place(tmp_path: Path) -> None:
    """The next one begins as one."""
    written(tmp_path, NOW)
    forget(tmp_path)
    forget(tmp_path)
    assert list(tmp_path.iterdir()) == []
