"""`crowdstream calibrate` and learned.toml: asked for, shown, backed up, and never in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crowdstream.cli import main
from crowdstream.config import Config, with_learned
from crowdstream.learned import read_learned, write_learned
from crowdstream.plan import make_plan
from crowdstream.recipe import find_recipe

ANCHORS = {"still": 0.1, "half": 0.7, "full": 1.8}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    for name in ("STATE", "RUNTIME"):
        monkeypatch.setenv(f"CROWDSTREAM_{name}", str(tmp_path / name.lower()))
        monkeypatch.delenv(f"{name}_DIRECTORY", raising=False)

    def call(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def a_night(path: Path, speeds: np.ndarray) -> None:
    lines = [
        {"t": n / 10, "energy": 0.5, "speed": float(v), "confidence": 0.9, "people": 5,
         "eyes": ["motion", "pose"], "state": "ok"}
        for n, v in enumerate(speeds)
    ]  # fmt: skip
    empty = [{**lines[0], "speed": 0.0, "people": 0} for _ in range(5000)]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *empty]) + "no json\n")


def busy() -> np.ndarray:
    return np.random.default_rng(0).gamma(2.0, 0.4, 2000)


def test_a_recorded_night_is_learned_from_and_counts_from_then_on(run: Run) -> None:
    a_night(Path("night.jsonl"), busy())
    code, out, err = run("calibrate", "--from", "night.jsonl", "--yes", "--json")
    told = json.loads(out)
    assert (code, told["written"], told["moments"]) == (0, True, 2000)
    assert "written: " in err
    plan = make_plan(find_recipe("live", pipelines=None, config=None), with_learned(Config()))
    settings = plan.stage("measure_energy").config.model_dump()
    assert {k: settings[k] for k in ANCHORS} == told["new"]


def test_it_asks_and_without_a_terminal_refuses(run: Run) -> None:
    a_night(Path("night.jsonl"), busy())
    code, _, err = run("calibrate", "--from", "night.jsonl")
    assert (code, "add --yes" in err) == (2, True)
    assert not Path("state/learned.toml").exists()


def test_the_old_one_is_kept(run: Run) -> None:
    write_learned(Path("state"), ANCHORS, learned_at="then", source='a "night"\\')
    before = Path("state/learned.toml").read_bytes()
    a_night(Path("night.jsonl"), busy())
    assert run("calibrate", "--from", "night.jsonl", "--yes")[0] == 0
    assert Path("state/learned.toml.bak").read_bytes() == before
    assert sorted(p.name for p in Path("state").iterdir()) == ["learned.toml", "learned.toml.bak"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--from", "nowhere.jsonl"], 1, "nowhere.jsonl: cannot be read"),
        (["--from", "flat.jsonl"], 1, "one level of movement only"),
        (["--from", "flat.jsonl", "--source", "0"], 2, "give one of them"),
        (["--low", "nan"], 2, "--low: nan is not 2 to 3600 seconds"),
        (["--source", "nowhere.mp4"], 69, "nowhere.mp4"),
    ],
)
def test_what_cannot_be_learned_from_is_one_sentence(
    run: Run, argv: list[str], code: int, said: str
) -> None:
    a_night(Path("flat.jsonl"), np.full(2000, 0.8))
    found, out, err = run("calibrate", *argv, "--yes")
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
    assert not Path("state/learned.toml").exists()


def test_a_drawn_crowd_that_does_the_same_all_the_time_is_one_level(run: Run) -> None:
    """The eyes run in earnest, and nothing is written."""
    argv = ["--source", "crowd:n=6,energy=0.5", "--low", "2", "--high", "2", "--yes"]
    code, _, err = run("calibrate", *argv)
    assert code == 1
    assert "stand still" in err and "dance" in err and "nothing was written" in err
    assert not Path("state/learned.toml").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("version = 1\n[measure_energy]\nstill = 1.0\nhalf = 0.5\nfull = 2.0\n", "still < half"),
        ("version = 1\n[measure_energy]\nstill = 0.1\nhalf = nan\nfull = 2.0\n", "still < half"),
        ("version = 1\n[measure_energy]\nstill = true\nhalf = 1\nfull = 2.0\n", "still < half"),
        ("version = 1\n", "still < half"),
        ("version = 2\n", "is of version 2"),
        ("half = 1", "says no version"),
        ("not toml", "is not TOML"),
        ("\0\0\xff", "TOML"),
    ],
)
def test_a_learned_file_that_is_broken_or_newer_is_left_aside(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "learned.toml").write_text(text)
    learned = read_learned(tmp_path, {})
    assert not learned.anchors
    assert why in learned.warning and "ignored" in learned.warning


def test_config_toml_counts_more_key_by_key_and_check_says_so(run: Run) -> None:
    write_learned(Path("state"), ANCHORS, learned_at="now", source="x")
    Path("config.toml").write_text("[measure_energy]\nhalf = 0.5\n")
    code, _, err = run("check", "--config", "config.toml")
    assert code == 0
    assert "still 0.1 from state/learned.toml" in err.replace(f"{Path.cwd()}/", "")
    assert "half 0.5 from config.toml" in err


def test_one_that_is_at_odds_with_config_toml_is_no_failed_start(run: Run) -> None:
    write_learned(Path("state"), ANCHORS, learned_at="now", source="x")
    Path("config.toml").write_text("[measure_energy]\nhalf = 2.0\n")
    code, _, err = run("check", "--config", "config.toml")
    assert code == 0
    assert "do not rise; it is ignored" in err


def test_without_one_nothing_is_said(tmp_path: Path) -> None:
    assert read_learned(tmp_path, {}) == read_learned(tmp_path / "nowhere", {})
    assert not read_learned(tmp_path, {}).warning
