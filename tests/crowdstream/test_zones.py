"""Zones as they are drawn in config.toml: each mistake one sentence, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from crowdstream.config import Config, examine_config
from crowdstream.plan import make_plan
from crowdstream.recipe import find_recipe
from crowdstream.zones import map_of

SQUARE = "polygon = [[0, 0], [1, 0], [1, 1], [0, 1]]"


def examined(tmp_path: Path, text: str) -> tuple[Config, tuple[str, ...]]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return examine_config(path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[zones.a]\npolygon = [[0, 0], [1, 1]]", 2, "has 2 points; a polygon has at least 3"),
        ("[zones.a]\npolygon = [[0, 0], [1.5, 0], [1, 1]]", 2, "[1.5, 0] is outside the picture"),
        (
            "[zones.a]\npolygon = [[0, 0], [1, 1], [1, 0], [0, 1]]",
            2,
            "crosses itself: the edges from points 1 and 3 meet",
        ),
        ("[zones.a]\npolygon = [[0, 0], [0.5, 0.5], [1, 1]]", 2, "its points lie on one line"),
        ("[zones.a]\npolygon = [[0, 0], [1, 0], [0.5, 0], [0, 1]]", 2, "crosses itself"),
        ("[zones.a]\nignore = true", 1, "polygon: is missing and must be given"),
        (f"[zones.a]\n{SQUARE}\nignore = true\nfloor = true", 1, "ignore and floor exclude"),
        (f"\n[zones.'the bar']\n{SQUARE}", 2, "zones.the bar: is no name for a zone"),
        (f"[zones.a]\n{SQUARE}\nignor = true", 3, "did you mean ignore?"),
        ("[zones.a]\npolygon = [[0, 0], [nan, 0], [1, 1]]", 2, "finite number"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    config, mistakes = examined(tmp_path, text)
    assert len(mistakes) == 1
    assert f"config.toml, line {line}: zones." in mistakes[0]
    assert words in mistakes[0]
    assert config.zones == {}


def test_there_are_sixteen_at_most(tmp_path: Path) -> None:
    text = "\n".join(f"[zones.z{n}]\n{SQUARE}" for n in range(17))
    mistakes = examined(tmp_path, text)[1]
    assert mistakes == (
        f"{tmp_path}/config.toml, line 1: zones: there are 17 zones; there can be 16",
    )
    assert examined(tmp_path, text.split("[zones.z16]")[0])[1] == ()


def test_both_eyes_get_them(tmp_path: Path) -> None:
    config, mistakes = examined(tmp_path, f"[zones.bar]\n{SQUARE}\nignore = true")
    assert mistakes == ()
    plan = make_plan(find_recipe("live", pipelines=None, config=None), config)
    for name in ("measure_motion", "measure_energy"):
        assert plan.stage(name).config.zones["bar"].ignore  # type: ignore[attr-defined]


def test_without_zones_nothing_is_looked_up() -> None:
    assert map_of({}) is None
