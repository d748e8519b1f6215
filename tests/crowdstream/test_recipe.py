"""A chain as it was written: the recipe's own words, and where it is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from crowdstream.errors import ConfigError
from crowdstream.recipe import Recipe, find_recipe, name_of, read_recipe, with_source

ONE = '[[stage]]\nuse = "energy_curve"\n'


def write(folder: Path, text: str, name: str = "r") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    return [mistake.replace(str(path), "R") for mistake in caught.value.mistakes]


def test_what_the_recipe_has_no_word_for_is_the_stages(tmp_path: Path) -> None:
    text = (
        'title = "t"\n[[stage]]\nuse = "my.own:Stage"\nname = "mine"\nfrom = "a"\n'
        'inbox = { capacity = 2, when_full = "drop_newest" }\non_failure = "stop"\nspeed = 3\n'
    )
    recipe = read_recipe(write(tmp_path, text))
    (entry,) = recipe.stage
    assert entry.settings == {"speed": 3}
    assert (entry.from_, entry.inbox.capacity, entry.on_failure) == (("a",), 2, "stop")
    assert (recipe.name, recipe.base, recipe.offline) == ("r", tmp_path, False)


def test_a_stage_is_called_by_what_it_uses_unless_it_has_a_name() -> None:
    recipe = Recipe.model_validate(
        {"stage": [{"use": "camera"}, {"use": "a.b:Confetti"}, {"use": "camera", "name": "back"}]}
    )
    assert [name_of(entry) for entry in recipe.stage] == ["camera", "Confetti", "back"]


def test_mistakes_of_the_recipe_itself_are_told_with_their_line(tmp_path: Path) -> None:
    text = ONE + "inbox = { capacity = 0 }\non_failure = 'retry'\n[[stage]]\n[[stages]]\nx = 1\n"
    assert mistakes(tmp_path, text) == [
        "R, line 3: stage.0.inbox.capacity: is 0; must be at least 1",
        'R, line 4: stage.0.on_failure: is "retry"; one of: go_on, stop',
        "R, line 5: stage.1.use: is missing and must be given",
        "R, line 6: stages: no such setting; did you mean stage?",
    ]


def test_a_recipe_without_stages_is_none(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "title = 'nothing'\n") == ["R: stage: is missing and must be given"]
    (mistake,) = mistakes(tmp_path, "stage = []\n")
    assert mistake.startswith("R, line 1: stage: is []; must hold at least 1")


def test_the_given_folder_counts_then_the_one_beside_the_configuration_then_ours(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.toml"
    ours = find_recipe("live", pipelines=None, config=config)
    assert ours.title == "Camera to speakers"
    write(tmp_path / "pipelines", f"title = 'beside'\n{ONE}", "live")
    assert find_recipe("live", pipelines=None, config=config).title == "beside"
    write(tmp_path / "given", f"title = 'given'\n{ONE}", "live")
    found = find_recipe("live", pipelines=tmp_path / "given", config=config)
    assert (found.title, found.base) == ("given", tmp_path / "given")


def test_a_name_with_a_slash_is_a_path(tmp_path: Path) -> None:
    path = write(tmp_path, ONE, "x")
    assert find_recipe(str(path), pipelines=None, config=None).name == "x"
    with pytest.raises(ConfigError, match="no such recipe"):
        find_recipe("./nowhere", pipelines=None, config=None)


def test_an_unknown_name_is_told_with_what_is_near() -> None:
    with pytest.raises(ConfigError) as caught:
        find_recipe("rehersal", pipelines=None, config=None)
    assert str(caught.value) == "no pipeline is called rehersal; did you mean rehearsal?"
    with pytest.raises(ConfigError, match="there are: analyze, demo, live"):
        find_recipe("\0", pipelines=None, config=None)


def test_another_source_takes_the_place_of_the_first_stage() -> None:
    """Whoever took from the old one takes from the new one; nothing else changes."""
    recipe = find_recipe("live", pipelines=None, config=None)
    other = with_source(recipe, "video_file", {"path": "x.mp4"})
    assert other.stage[0].settings == {"path": "x.mp4"}
    assert [entry.from_ for entry in other.stage] == [
        tuple("video_file" if name == "camera" else name for name in entry.from_)
        if entry.from_
        else None
        for entry in recipe.stage
    ]
    assert other.stage[3:] == recipe.stage[3:]


@pytest.mark.parametrize("name", ["x" * 5000, "live\x1b[31m", "live now", "", ".", "-"])
def test_what_cannot_be_a_name_is_told_in_one_short_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_recipe(name, pipelines=tmp_path, config=None)
    assert "cannot be a pipeline's name" in str(caught.value)
    assert len(str(caught.value)) < 220
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Front", "front left", "2nd", "a/b", "#"])
def test_the_name_of_a_stage_is_a_plain_word(name: str, tmp_path: Path) -> None:
    """It stands in OSC addresses and in every line of the log."""
    (mistake,) = mistakes(tmp_path, f'{ONE}name = "{name}"\n')
    assert mistake == f'R, line 3: stage.0.name: is "{name}"; write a plain word, like front_camera'
