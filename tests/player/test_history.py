"""Facts about the file that remembers the night."""

from __future__ import annotations

from pathlib import Path

from crowdstream.music.choosing import Heard
from crowdstream.packets import ShowEvent
from crowdstream.player import history
from crowdstream.player.history import Remembered, note_heard, read_history
from crowdstream.testing.music import a_track

NOW = 1_800_000_000.0


def test_what_was_noted_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "state" / "heard.jsonl"
    assert note_heard(path, "one", "A", NOW)
    assert note_heard(path, "zwölf", "Ö", NOW + 200)
    assert read_history(path, NOW + 400) == (Heard("one", "A"), Heard("zwölf", "Ö"))


def test_another_night_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    note_heard(path, "yesterday", "A", NOW - 13 * 3600)
    note_heard(path, "tonight", "A", NOW - 600)
    assert [one.track_id for one in read_history(path, NOW)] == ["tonight"]


def test_a_line_that_is_broken_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    note_heard(path, "one", "A", NOW)
    with path.open("ab") as file:
        file.write(b'{"at": 1\n\xff\xfe[]\n{"at": "nan", "id": "x", "artist": "y"}\nnull\n')
    note_heard(path, "two", "A", NOW)
    assert [one.track_id for one in read_history(path, NOW)] == ["one", "two"]


def test_no_file_is_an_empty_night_and_no_folder_is_no_fault(tmp_path: Path) -> None:
    assert read_history(tmp_path / "heard.jsonl", NOW) == ()
    (tmp_path / "file").write_text("")
    assert not note_heard(tmp_path / "file" / "heard.jsonl", "one", "A", NOW)


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    for number in range(6000):
        note_heard(path, f"track-{number}", "somebody with a long name", NOW + number * 200.0)
    assert path.stat().st_size <= history.MOST_BYTES + 200
    assert read_history(path, NOW + 6000 * 200.0)[-1].track_id == "track-5999"


def test_a_player_that_starts_again_knows_what_it_played(tmp_path: Path) -> None:
    """From its own decisions."""
    tracks = [a_track("one"), a_track("two", bpm=121.0)]
    before = Remembered(tmp_path, tracks, NOW)
    before.follow(
        [
            ShowEvent(t=0.0, event="start", why="", facts={"to": "one"}),
            ShowEvent(t=9.0, event="stem_in", why="", facts={"stem": "bass"}),
            ShowEvent(t=99.0, event="transition", why="", facts={"from": "one", "to": "two"}),
        ],
        NOW + 100.0,
    )
    after = Remembered(tmp_path, tracks, NOW + 200.0)
    assert before.tonight == ()
    assert after.tonight == (Heard("one", "nobody"), Heard("two", "nobody"))
