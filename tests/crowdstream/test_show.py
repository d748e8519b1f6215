"""Reading a recorded show: what it gives, what it forgives, what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.errors import MediaError
from crowdstream.offline import show as reading
from crowdstream.offline.show import Show, clock_text, heard, read_show, spans, write_setlist
from crowdstream.testing.shows import write_a_show

LINE = {"t": 0.0, "energy": 0.5, "bpm": 120.0}


def a_file(folder: Path, *lines: object) -> Path:
    """A recording of these lines; a string is written as it is."""
    path = folder / "show.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def a_show(folder: Path, *lines: object) -> Show:
    """These lines, read back."""
    return read_show(a_file(folder, *lines))


def test_columns_have_one_entry_for_each_line(tmp_path: Path) -> None:
    """Every column of a whole show is as long as its times."""
    write_a_show(tmp_path / "show.jsonl", seconds=20, people=3)
    show = read_show(tmp_path / "show.jsonl")
    columns = (
        show.times, show.energy, show.lufs, show.people, show.gains, show.tracks, show.section,
        show.deck_sections, show.eyes, show.state, show.scene, show.joints, show.ids,
    )  # fmt: skip
    assert {len(column) for column in columns} == {200}
    assert show.gains.shape == (200, 2, 4)
    assert show.meta["seed"] == 1
    assert show.meta["aspect"] == 1.778
    assert show.seconds == 19.9


def test_what_is_not_known_stays_unknown(tmp_path: Path) -> None:
    """null, a missing key, a word and a number too large for a float are NaN, not zero."""
    show = a_show(tmp_path, LINE | {"lufs": None, "drive": "high", "bar": True, "beat": 10**400})
    unknown = [show.lufs, show.drive, show.groove, show.bar, show.beat]
    assert [math.isnan(column[0]) for column in unknown] == [True] * 5
    assert show.energy[0] == 0.5


def test_lines_of_an_unknown_kind_are_skipped_and_counted(tmp_path: Path) -> None:
    """Half a line, a list, a line without time and one of a later version do no harm."""
    show = a_show(tmp_path, LINE, '{"t": 0.1, "ener', [1], {"energy": 1}, {"t": 0.2, "smoke": 1},
                  "", LINE | {"t": 0.3})  # fmt: skip
    assert show.times.tolist() == [0.0, 0.3]
    assert show.meta["lines_skipped"] == 5


def test_event_lines_come_in_order_of_time(tmp_path: Path) -> None:
    """An event that was written late stands at its own time, with everything it says."""
    show = a_show(
        tmp_path, LINE, {"t": 5, "event": "drop", "why": "energy up"},
        {"t": 2, "event": "stem_in", "stem": "bass", "why": None}, LINE | {"t": 6.0},
    )  # fmt: skip
    assert show.events == [
        {"t": 2.0, "event": "stem_in", "stem": "bass", "why": ""},
        {"t": 5.0, "event": "drop", "why": "energy up"},
    ]


def test_a_recording_that_was_appended_to_goes_on_in_time(tmp_path: Path) -> None:
    """The second run follows the first, with an event that says so."""
    header = {"t": 0, "event": "show", "why": "begin", "seed": 3}
    show = a_show(
        tmp_path, header, LINE, LINE | {"t": 9.0}, header | {"seed": 4}, LINE, LINE | {"t": 1.0}
    )
    assert show.times.tolist() == pytest.approx([0.0, 9.0, 9.1, 10.1])
    assert [event["event"] for event in show.events] == ["restart"]
    assert show.meta["seed"] == 3


def test_a_track_keeps_its_deck_while_the_other_one_changes(tmp_path: Path) -> None:
    """A deck that leaves the list does not move the one that stays."""

    def line(t: float, *tracks: str) -> dict[str, object]:
        return LINE | {
            "t": t,
            "decks": [{"track": track, "gains": {"bass": 1}} for track in tracks],
        }

    show = a_show(
        tmp_path, line(0, "A"), line(1, "A", "B"), line(2, "B"), line(3, "C", "B"), line(4, "C")
    )
    assert show.tracks == [("A", ""), ("A", "B"), ("", "B"), ("C", "B"), ("C", "")]
    assert show.gains[2].tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]


def test_lines_without_decks_show_the_one_track_they_name(tmp_path: Path) -> None:
    """The track and gains of the line itself are the first deck."""
    show = a_show(tmp_path, LINE | {"track": "A", "section": "drop", "gains": {"drums": 1.0}})
    assert (show.tracks, show.deck_sections) == ([("A", "")], [("drop", "")])
    assert show.gains[0, 0].tolist() == [1, 0, 0, 0]


def test_joints_that_are_no_people_are_left_out(tmp_path: Path) -> None:
    """Too few numbers, words or no numbers: nobody is drawn there."""
    person = [0.5] * 34
    show = a_show(
        tmp_path, LINE | {"joints": [person], "ids": [7]}, LINE | {"t": 0.1, "joints": [[1, 2]]},
        LINE | {"t": 0.2, "joints": ["arm"]},
        '{"t": 0.3, "energy": 0, "joints": [[' + "NaN," * 33 + "1]]}",
        LINE | {"t": 0.4, "joints": [person], "ids": [1, 2]}, LINE | {"t": 0.5, "joints": None},
    )  # fmt: skip
    assert [len(joints) for joints in show.joints] == [1, 0, 0, 0, 0, 0]
    assert show.ids[0].tolist() == [7]


def test_a_show_without_joints_has_none(tmp_path: Path) -> None:
    """No list of empty arrays for a night of real people."""
    assert a_show(tmp_path, LINE).joints == []


def test_reading_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines, events and joints over the limits are left out, and that is said."""
    monkeypatch.setattr(reading, "MAX_LINES", 3)
    monkeypatch.setattr(reading, "MAX_EVENTS", 1)
    monkeypatch.setattr(reading, "MAX_JOINT_NUMBERS", 34)
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1000)
    lines = [LINE | {"t": i / 10, "joints": [[0.5] * 34], "ids": [1]} for i in range(5)]
    events = [{"t": i, "event": "hold", "why": ""} for i in range(3)]
    show = a_show(tmp_path, *lines, *events, {"t": 1.0, "energy": 0.1, "track": "x" * 5000})
    assert (len(show.times), len(show.events)) == (3, 1)
    assert sum(len(joints) for joints in show.joints) <= 2
    assert show.meta["lines_left_out"] == 4
    assert show.meta["lines_skipped"] == 1


@pytest.mark.parametrize(
    "content", ["", "hello\nthere\n", '{"t": 0, "event": "show"}\n', "\x00\xff" * 99]
)
def test_a_file_that_is_no_show_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    """The sentence names the file and what would be right."""
    path = tmp_path / "notes.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(
        MediaError, match=r"notes\.txt: holds no line of a show; record one"
    ) as told:
        read_show(path)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """A missing file and a folder are told alike."""
    with pytest.raises(MediaError, match="no such file"):
        read_show(tmp_path / "none.jsonl")
    with pytest.raises(MediaError, match="is a directory"):
        read_show(tmp_path)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_bytes_can_break_the_reading(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    """Whatever stands between two good lines, both are read."""
    path = tmp_path_factory.mktemp("bytes") / "show.jsonl"
    good = [json.dumps(LINE | {"t": t}).encode() for t in (0.0, 1e6)]
    path.write_bytes(b"\n".join([good[0], *lines, good[1]]))
    assert {0.0, 1e6} <= set(read_show(path).times.tolist())


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_time_always_grows(tmp_path_factory: pytest.TempPathFactory, times: list[float]) -> None:
    """Times in any order give times that grow."""
    path = a_file(
        tmp_path_factory.mktemp("time"), LINE, *(LINE | {"t": t} for t in times if abs(t) < 1e9)
    )
    assert (np.diff(read_show(path).times) > 0).all()


def test_set_list_says_what_was_heard_and_how_long(tmp_path: Path) -> None:
    """A loaded but silent deck is not heard; a track that comes again is a new row."""

    def line(t: float, track: str, gain: float) -> dict[str, object]:
        return LINE | {"t": t, "decks": [{"track": track, "gains": {"drums": gain}}]}

    show = a_show(
        tmp_path, line(0, "Ada - First, light", 0.0), line(10, "Ada - First, light", 1.0),
        line(20, "Second", 0.8), line(3600, "Ada - First, light", 1.0), line(3630, "", 0.0),
    )  # fmt: skip
    write_setlist(show, tmp_path / "setlist.csv")
    assert (tmp_path / "setlist.csv").read_text("utf-8").splitlines() == [
        "time,title,artist,seconds heard",
        '0:00:10,"First, light",Ada,10.0',
        "0:00:20,Second,,3580.0",
        '1:00:00,"First, light",Ada,30.0',
    ]


def test_both_tracks_of_a_transition_are_heard(tmp_path: Path) -> None:
    """Two decks that overlap both count their seconds."""
    write_a_show(tmp_path / "show.jsonl", seconds=60, people=1)
    rows = heard(read_show(tmp_path / "show.jsonl"))
    assert [track for _, _, track in rows] == ["Night Bus", "Glass Floor"]
    assert sum(seconds for _, seconds, _ in rows) > 60


def test_spans_cover_everything_once() -> None:
    """Runs of equal words, from the first line to the last."""
    assert spans(["a", "a", "", "b"]) == [(0, 2, "a"), (2, 3, ""), (3, 4, "b")]
    assert spans([]) == []


def test_clock_text_is_read_at_a_glance() -> None:
    """Hours, minutes, seconds."""
    assert [clock_text(s) for s in (0, 61.9, 3723)] == ["0:00:00", "0:01:01", "1:02:03"]


def test_a_time_that_cannot_be_is_no_line(tmp_path: Path) -> None:
    """It would leave the whole night in the first pixel of the picture."""
    path = tmp_path / "show.jsonl"
    lines = ({"t": t, "energy": 0.5, "lufs": -1e300} for t in (0, 1e300, 1, -1e300, 2))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    show = read_show(path)
    assert list(show.times) == [0.0, 1.0, 2.0]
    assert show.meta["lines_skipped"] == 2
    assert np.isnan(show.lufs).all()
