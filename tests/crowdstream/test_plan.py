"""A recipe, a config and the registry make a plan: checked, or every mistake at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from crowdstream.channel import WhenFull
from crowdstream.config import Config, read_config
from crowdstream.errors import ConfigError
from crowdstream.packets import Energy, Frame, Motion
from crowdstream.plan import Edge, Plan, make_plan
from crowdstream.recipe import find_recipe, read_recipe
from crowdstream.stage import Source, StageConfig, Transform
from stages.measure_motion import MeasureMotion

HERE = __name__


class EarConfig(StageConfig):
    """Settings of a stage for these tests."""

    place: Path | None = Field(None, description="A path.")
    low: float = Field(0.0, description="Below high.")
    must: int = Field(description="Has no default.")


class Ear(Source[Energy]):
    Config = EarConfig

    async def run(self, outbox: Any) -> None: ...


class Both(Source[Frame | Motion]):
    async def run(self, outbox: Any) -> None: ...


class Hear(Transform[Energy, Energy]):
    def process(self, packet: Energy, /) -> Energy | None: ...


def plan_of(
    folder: Path, text: str, config: str | None = None, **kwargs: Any
) -> tuple[Plan | None, list[str]]:
    """The plan of a recipe file and a config file, or what is wrong with them."""
    recipe = folder / "r.toml"
    recipe.write_text(text)
    machine = Config()
    if config is not None:
        (folder / "config.toml").write_text(config)
        machine = read_config(folder / "config.toml")
    try:
        return make_plan(read_recipe(recipe), machine, **kwargs), []
    except ConfigError as error:
        return None, [m.replace(f"{folder}/", "") for m in error.mistakes]


def stages(*uses: str) -> str:
    return "\n".join(f'[[stage]]\nuse = "{use}"' for use in uses) + "\n"


def test_each_stage_takes_from_the_one_above_that_sends(tmp_path: Path) -> None:
    text = stages("energy_curve", "map_tempo", "report", "crossfade_stems")
    plan, wrong = plan_of(tmp_path, text)
    assert not wrong
    assert plan is not None
    assert [[edge.feeder for edge in stage.edges] for stage in plan.stages] == [
        [],
        ["energy_curve"],
        ["map_tempo"],
        ["map_tempo"],
    ]


def test_capacity_and_policy_are_the_recipes_else_the_stages_own(tmp_path: Path) -> None:
    text = stages("camera", "measure_motion", "measure_energy")
    text += 'inbox = { capacity = 2, when_full = "drop_newest" }\n'
    plan, _ = plan_of(tmp_path, text)
    assert plan is not None
    assert plan.stage("measure_motion").edges == (Edge("camera", *MeasureMotion.intake),)
    assert plan.stage("measure_energy").edges == (Edge("measure_motion", 2, WhenFull.DROP_NEWEST),)


def test_offline_every_edge_blocks_and_every_fault_ends_it(tmp_path: Path) -> None:
    text = "offline = true\n" + stages("energy_curve", "map_tempo")
    plan, _ = plan_of(tmp_path, text + 'inbox = { when_full = "drop_oldest" }\n')
    assert plan is not None
    assert plan.stage("map_tempo").edges[0].when_full is WhenFull.BLOCK
    assert {stage.on_failure for stage in plan.stages} == {"stop"}


def test_neighbours_that_do_not_fit_are_told(tmp_path: Path) -> None:
    _, wrong = plan_of(tmp_path, stages("camera", "map_tempo", "measure_motion"))
    assert wrong == [
        "r.toml: stage 2 (map_tempo): takes Energy, but camera gives Frame",
        "r.toml: stage 3 (measure_motion): takes Frame, but map_tempo gives Tempo",
    ]


def test_a_sink_gives_nothing(tmp_path: Path) -> None:
    text = stages("energy_curve", "report", "map_tempo") + 'from = "report"\n'
    _, wrong = plan_of(tmp_path, text)
    assert wrong == ["r.toml: stage 3 (map_tempo): takes Energy, but report gives nothing"]


def test_all_that_is_sent_must_be_taken(tmp_path: Path) -> None:
    """A stage is never given a packet that it does not know."""
    _, wrong = plan_of(tmp_path, stages(f"{HERE}:Both", "measure_motion"))
    assert wrong == [
        "r.toml: stage 2 (measure_motion): takes Frame, but Both gives Frame or Motion"
    ]


def test_every_mistake_of_a_recipe_is_told_at_once(tmp_path: Path) -> None:
    text = (
        stages("camara", "measure_motion")
        + 'form = "camera"\nperson_height = nan\n'
        + stages("measure_energy")
        + 'from = ["measure_motion", "estimate_pose", "measure_motion"]\n'
        + stages("estimate_pose", "map_tempo")
        + 'from = ["map_tempo"]\n'
        + stages("report", "report")
    )
    _, wrong = plan_of(tmp_path, text)
    assert wrong == [
        "r.toml: stage 1 (camara): no stage is called camara; did you mean camera?",
        (
            "r.toml: stage 2 (measure_motion), line 6: person_height: is nan;"
            " must be a finite number"
        ),
        "r.toml: stage 2 (measure_motion), line 5: form: no such setting; did you mean from?",
        "r.toml: stage 3 (measure_energy): from: measure_motion is named twice; once is enough",
        "r.toml: stage 3 (measure_energy): from: estimate_pose must stand above it",
        "r.toml: stage 4 (estimate_pose): takes Frame, but measure_energy gives Energy",
        "r.toml: stage 5 (map_tempo): from: map_tempo must stand above it",
        "r.toml: stage 7 (report): a second stage of this name; give it a `name`",
    ]


def test_a_chain_without_a_source_is_told_and_a_source_takes_nothing(tmp_path: Path) -> None:
    _, wrong = plan_of(tmp_path, stages("map_tempo"))
    assert wrong == ["r.toml: stage 1 (map_tempo): has nobody to take from; put a source above it"]
    _, wrong = plan_of(tmp_path, stages("energy_curve", "camera") + 'from = "energy_curve"\n')
    assert wrong == ["r.toml: stage 2 (camera): is a source and takes from nobody"]


def test_the_machine_lies_over_the_recipe_and_the_command_line_over_both(tmp_path: Path) -> None:
    text = stages("camera") + "fps = 10\nmirrored = true\nsize = [640, 480]\n"
    config = "[camera]\nfps = 20\nmirrored = false\n"
    plan, _ = plan_of(tmp_path, text, config, overrides={"camera": {"fps": 30.0}})
    assert plan is not None
    settings = plan.stage("camera").config.model_dump()
    assert (settings["fps"], settings["mirrored"], settings["size"]) == (30.0, False, (640, 480))


def test_a_mistake_is_told_where_it_stands(tmp_path: Path) -> None:
    text = stages("camera") + "fps = 0\nmirrored = 3\nsize = [1]\n"
    config = '[stages.camera]\n# here\nmirrored = "x"\nfsp = 1\n'
    _, wrong = plan_of(tmp_path, text, config, overrides={"camera": {"fps": 1000.0}})
    assert wrong == [
        "command line: camera: fps: is 1000.0; must be at most 240",
        "r.toml: stage 1 (camera), line 5: size.1: is missing and must be given",
        'config.toml: camera, line 3: mirrored: is "x"; write true or false',
        "config.toml: camera, line 4: fsp: no such setting; did you mean fps?",
    ]


def test_a_mistake_between_two_settings_is_laid_to_who_changed_one(tmp_path: Path) -> None:
    text = stages("camera", "measure_motion", "measure_energy") + "half = 0.5\n"
    _, wrong = plan_of(tmp_path, text, "[measure_energy]\nstill = 0.7\n")
    assert wrong == [
        (
            "config.toml: measure_energy, line 1: the whole: still, half and full must rise:"
            " still < half < full"
        )
    ]


def test_what_must_be_given_is_told_with_what_it_is(tmp_path: Path) -> None:
    _, wrong = plan_of(tmp_path, stages("video_file"))
    assert wrong == [
        (
            "r.toml: stage 1 (video_file), line 1: path: is missing and must be given"
            " (The video file: mp4, mov, avi, mkv, webm, gif or ts)"
        )
    ]


def test_settings_for_a_stage_that_is_nowhere_are_a_slip(tmp_path: Path) -> None:
    """Those for a stage of another recipe are not."""
    text = stages("energy_curve")
    plan, wrong = plan_of(tmp_path, text, "[stages.energy_curv]\nseconds = 1\n[osc_out]\n")
    assert plan is None
    assert wrong == [
        (
            "config.toml, line 1: stages.energy_curv: no stage is called energy_curv;"
            " did you mean energy_curve?"
        )
    ]


def test_the_command_line_cannot_set_what_the_pipeline_does_not_have(tmp_path: Path) -> None:
    overrides = {"estimate_pose": {"model": "none"}}
    _, wrong = plan_of(tmp_path, stages("energy_curve"), overrides=overrides)
    assert wrong == ["command line: the pipeline r has no stage estimate_pose"]


def test_paths_are_relative_to_the_file_they_stand_in(tmp_path: Path) -> None:
    text = stages(f"{HERE}:Ear") + 'must = 1\nplace = "a/b"\n'
    plan, _ = plan_of(tmp_path, text)
    assert plan is not None
    assert plan.stages[0].config.model_dump()["place"] == tmp_path / "a/b"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/config.toml").write_text('[stages.Ear]\nplace = "c"\n')
    config = read_config(tmp_path / "etc/config.toml")
    plan = make_plan(read_recipe(tmp_path / "r.toml"), config)
    assert plan.stages[0].config.model_dump()["place"] == tmp_path / "etc/c"
    plan, _ = plan_of(tmp_path, text.replace("a/b", "/abs"))
    assert plan is not None
    assert plan.stages[0].config.model_dump()["place"] == Path("/abs")


def test_sections_that_stages_share_are_handed_over(tmp_path: Path) -> None:
    text = stages("energy_curve", "map_tempo")
    plan, _ = plan_of(tmp_path, text, "[programme]\nbpm = 100\n")
    assert plan is not None
    assert plan.stage("map_tempo").config.model_dump()["programme"]["bpm"] == 100


def test_what_must_open_is_marked(tmp_path: Path) -> None:
    plan, _ = plan_of(tmp_path, stages("camera", "measure_motion"), must_open=["camera"])
    assert plan is not None
    assert [stage.must_open for stage in plan.stages] == [True, False]


def test_a_plan_is_read_as_text(tmp_path: Path) -> None:
    text = 'title = "T"\n' + stages("energy_curve", "map_tempo")
    plan, _ = plan_of(tmp_path, text)
    assert str(plan) == (
        "r: T (live)\n  energy_curve <- nothing (go_on)\n"
        "  map_tempo <- energy_curve [8 block] (go_on)"
    )
    assert plan is not None
    with pytest.raises(KeyError):
        plan.stage("nowhere")


def test_a_stage_that_keeps_the_time_of_a_sound_card_is_not_for_files() -> None:
    """It would play a whole night in the time that it takes to read a file."""
    recipe = find_recipe("live", pipelines=None, config=None)
    with pytest.raises(ConfigError, match="plays in real time.*use wav_file"):
        make_plan(recipe.model_copy(update={"offline": True}), Config())
