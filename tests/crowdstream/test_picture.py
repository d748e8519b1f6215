"""The picture of a show: made without a screen, for whole, bare and endless shows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowdstream.offline.picture import STEM_COLOURS, write_picture
from crowdstream.offline.show import read_show
from crowdstream.testing.shows import write_a_show


def a_picture(folder: Path, *lines: dict[str, object]) -> np.ndarray:
    """Pixels of the picture of these lines, or of a made-up show."""
    if lines:
        (folder / "show.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    else:
        write_a_show(folder / "show.jsonl", seconds=60, people=2)
    write_picture(read_show(folder / "show.jsonl"), folder / "report.png")
    picture = cv2.imread(str(folder / "report.png"))
    assert picture is not None
    return picture


def has(picture: np.ndarray, colour: str) -> bool:
    """Whether at least a hundred pixels have this colour."""
    bgr = [int(colour[at : at + 2], 16) for at in (5, 3, 1)]
    return int((np.abs(picture.astype(int) - bgr).max(axis=2) < 6).sum()) > 100


def test_picture_has_its_size_and_all_stems(tmp_path: Path) -> None:
    """1600 by 1000 points, and each stem in its colour."""
    picture = a_picture(tmp_path)
    assert picture.shape == (1000, 1600, 3)
    assert [has(picture, colour) for colour in STEM_COLOURS] == [True] * 4


def test_same_show_gives_the_same_picture(tmp_path: Path) -> None:
    """Bit for bit: no date, no version of the library in the file."""
    a_picture(tmp_path)
    first = (tmp_path / "report.png").read_bytes()
    a_picture(tmp_path)
    assert (tmp_path / "report.png").read_bytes() == first


def test_a_show_of_one_bare_line_has_a_picture(tmp_path: Path) -> None:
    """Nothing is known but a moment: the axes are drawn, and no warning is given."""
    assert a_picture(tmp_path, {"t": 0.0, "energy": None, "scene": "empty room"}).shape == (
        1000,
        1600,
        3,
    )


def test_where_nothing_was_played_the_lanes_of_the_decks_are_left_out(tmp_path: Path) -> None:
    """Movement has the room, as in `analyze`: its curve begins where the first deck's lanes did."""
    seen: list[dict[str, object]] = [
        {"t": 0.1 * k, "energy": 1.0, "drive": 1.0, "bpm_wanted": 120} for k in range(50)
    ]
    heard = [{**line, "track": "one", "gains": {"bass": 1}} for line in seen]
    drive = "#ff6fb1"
    assert has(a_picture(tmp_path, *seen)[:200], drive)
    with_decks = a_picture(tmp_path, *heard)
    assert not has(with_decks[:200], drive)
    assert has(with_decks[:200], STEM_COLOURS[1])


def test_a_long_command_leaves_the_title_alone(tmp_path: Path) -> None:
    """Its end, which tells most, is there; nothing is drawn over the title."""
    line: dict[str, object] = {"t": 0.0, "energy": 0.5}
    begun: dict[str, object] = {"t": 0.0, "event": "show", "why": "begin", "command": ""}
    bare = a_picture(tmp_path, begun, line)
    long = a_picture(tmp_path, {**begun, "command": "crowdstream analyze " + "x" * 300}, line)
    assert (bare != long).any()
    assert (bare[:75, :900] == long[:75, :900]).all()


def test_a_night_of_hours_and_hundreds_of_events_has_a_picture(tmp_path: Path) -> None:
    """Words are limited to what can be read."""
    lines: list[dict[str, object]] = [
        {"t": 10 * i, "energy": 0.5, "bpm": 120, "track": f"track {i // 20}", "gains": {"drums": 1}}
        for i in range(2500)
    ]
    lines += [{"t": 20 * i, "event": "transition", "why": ""} for i in range(1000)]
    assert a_picture(tmp_path, *lines).shape == (1000, 1600, 3)


def test_picture_needs_no_pyplot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyplot would look for a screen and hold the figure."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert a_picture(tmp_path, {"t": 0.0, "energy": 0.5}).any()


def test_where_nobody_counted_the_others_have_the_room(tmp_path: Path) -> None:
    """An empty panel would say that there was nobody; the loudness reaches to the foot instead."""
    lines: list[dict[str, object]] = [{"t": i / 10, "energy": 0.5, "lufs": -14} for i in range(50)]
    without = a_picture(tmp_path, *lines)
    counted = a_picture(tmp_path, *[line | {"people": 3} for line in lines])
    assert has(counted, "#266d6a")
    foot = slice(860, 930)
    assert not np.array_equal(without[foot], counted[foot])
    assert not has(without, "#266d6a")


@pytest.mark.parametrize("title", ["a\x1b[31m\x00b", "$x^{$", "Größe — 夜"])
def test_any_title_can_be_drawn(title: str, tmp_path: Path) -> None:
    """Terminal codes, formulas and letters that the font lacks: none of them ends the report."""
    lines: list[dict[str, object]] = [
        {"t": i, "energy": 0.5, "track": title, "section": title, "scene": title, "bpm": 120}
        for i in range(20)
    ]
    show: dict[str, object] = {"t": 0, "event": "show", "command": title}
    assert a_picture(tmp_path, show, *lines).any()
