"""config.toml: what is right is taken, and every mistake is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from crowdstream.config import Config, examine_config, find_config, places_of, read_config
from crowdstream.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    return [mistake.replace(str(path), "C") for mistake in caught.value.mistakes]


def test_without_a_file_the_defaults_hold() -> None:
    assert read_config(None) == Config()
    assert read_config(None).pipeline == "live"


def test_a_stage_may_stand_at_the_top_or_under_stages(tmp_path: Path) -> None:
    config = read_config(
        write(tmp_path, "[speakers]\nrate = 48000\n[stages.front]\ndevice = '1'\n")
    )
    assert config.stages == {"front": {"device": "1"}, "speakers": {"rate": 48000}}
    assert config.keys_of("speakers") == ("speakers",)
    assert config.keys_of("front") == ("stages", "front")


def test_the_same_stage_in_both_places_is_told(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, "[stages.camera]\nfps = 5\n[camera]\nfps = 6\n")
    assert mistake == "C, line 3: [camera] and [stages.camera] are both there; keep one"


def test_every_mistake_at_once_with_line_and_what_is_near(tmp_path: Path) -> None:
    text = (
        "pipline = 'live'\n[log]\nlevel = 'loud'\n[healt]\n[health]\nstall_after_seconds = nan\n"
        "[speaker]\n[programme]\nbpm = 300\n"
    )
    assert sorted(mistakes(tmp_path, text)) == [
        "C, line 1: pipline: no such setting; did you mean pipeline?",
        'C, line 3: log.level: is "loud"; one of: debug, info, warning, error',
        "C, line 4: healt: no such setting; did you mean health?",
        "C, line 6: health.stall_after_seconds: is nan; must be a finite number",
        "C, line 7: speaker: no such setting; did you mean speakers?",
        "C, line 9: programme.bpm: is 300; must be at most 180",
    ]


def test_a_stage_that_is_no_table_is_told(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, "speakers = 5\n")
    assert (
        mistake == "C, line 1: speakers: is 5; write a table: [speakers], and its settings under it"
    )


@pytest.mark.parametrize("word", ["path", "text", "at_top"])
def test_what_is_ours_cannot_be_set(word: str, tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, f"{word} = 'x'\n")
    assert mistake.startswith(f"C, line 1: {word}: no such setting")


def test_what_of_a_wrong_file_can_be_used_is_used(tmp_path: Path) -> None:
    """So that `check` can go on to the recipe, and `doctor` can print its page."""
    path = write(tmp_path, "pipeline = 'demo'\n[health]\ngrace_seconds = -1\n[camera]\nfps = 5\n")
    config, wrong = examine_config(path)
    assert len(wrong) == 1
    assert (config.pipeline, config.health, config.stages) == (
        "demo",
        Config().health,
        {"camera": {"fps": 5}},
    )
    config, wrong = examine_config(tmp_path / "nowhere.toml")
    assert (len(wrong), config.log) == (1, Config().log)


def test_the_given_file_counts_then_the_systems_then_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "etc.toml"
    monkeypatch.setattr("crowdstream.config.SYSTEM_CONFIG", system)
    monkeypatch.chdir(tmp_path)
    assert find_config(None) is None
    write(tmp_path, "")
    assert find_config(None) == Path("config.toml")
    system.write_text("")
    assert find_config(None) == system
    assert find_config(Path("mine.toml")) == Path("mine.toml")


def test_folders_are_systemds_then_ours_then_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CACHE_DIRECTORY", "STATE_DIRECTORY", "CROWDSTREAM_CACHE", "CROWDSTREAM_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x/cache")
    monkeypatch.setenv("XDG_STATE_HOME", "/x/state")
    monkeypatch.chdir(tmp_path)
    places = places_of(Config())
    assert places.cache == Path("/x/cache/crowdstream")
    assert places.state == Path("/x/state/crowdstream")
    assert places.models == Path("/x/state/crowdstream/models")
    monkeypatch.setenv("CROWDSTREAM_CACHE", "/ours")
    assert places_of(Config()).cache == Path("/ours")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/one:/var/cache/two")
    assert places_of(Config()).cache == Path("/var/cache/one")


def test_models_lie_beside_the_configuration_or_where_it_says(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, ""))
    (tmp_path / "models").mkdir()
    assert places_of(config).models == tmp_path / "models"
    config = read_config(write(tmp_path, "models_folder = 'weights'\n"))
    assert places_of(config).models == tmp_path / "weights"
