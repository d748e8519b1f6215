"""The config.toml at the top: complete, right, and nothing but the defaults."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from pydantic import BaseModel

from crowdstream.cli import main
from crowdstream.config import Config, read_config
from crowdstream.recipe import find_recipe
from crowdstream.registry import load_stage

ROOT: Final = Path(__file__).resolve().parent.parent
FILE: Final = ROOT / "config.toml"
LIVE: Final = [entry.use for entry in find_recipe("live", pipelines=None, config=None).stage]


def with_examples() -> str:
    """The file with every example in a comment made a setting."""
    text = FILE.read_text()
    text = re.sub(r"^points = \[\]\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^targets = \[\]\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)


def settings_of(model: type[BaseModel], not_in_file: set[str]) -> set[str]:
    return set(model.model_fields) - not_in_file


def test_it_is_what_holds_without_it() -> None:
    config = read_config(FILE)
    plain = Config()
    assert config.model_dump(exclude={"stages"}) == plain.model_dump(exclude={"stages"})
    assert set(config.stages) == set(LIVE)
    for use, settings in config.stages.items():
        model = load_stage(use).Config
        assert model(**settings) == model(), use


def test_every_setting_for_live_use_is_in_it() -> None:
    """Set, or where there is no value for "none", as an example in a comment."""
    data = tomllib.loads(with_examples())
    sections = settings_of(
        Config, {"stages", "path", "text", "at_top", "learned", "learned_warning"}
    )
    assert set(data) == sections | set(LIVE)
    for section in ("log", "health", "programme"):
        model = type(getattr(Config(), section))
        assert set(data[section]) == settings_of(model, set()), section
    for use in LIVE:
        model = load_stage(use).Config
        assert set(data[use]) == settings_of(model, set(model.from_machine)), use
        for key, value in model().__dict__.items():
            if isinstance(value, BaseModel) and key not in model.from_machine:
                assert set(data[use][key]) == settings_of(type(value), set()), f"{use}.{key}"


def test_its_examples_are_right_too(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(with_examples())
    config = read_config(path)
    assert len(config.programme.points) == 3
    assert [z.ignore for z in config.zones.values()] == [True, False, False]
    for use, settings in config.stages.items():
        load_stage(use).Config(**settings)
    assert config.stages["osc_out"]["targets"][0]["port"] == 7000


def test_check_finds_everything_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["check", "--config", "config.toml"]) == 0
    out, err = capsys.readouterr()
    assert out == "everything is right\n"
    assert err == "configuration: config.toml\n"


def test_it_is_narrow_enough_for_a_terminal_at_night() -> None:
    assert max(len(line) for line in FILE.read_text().splitlines()) <= 100
