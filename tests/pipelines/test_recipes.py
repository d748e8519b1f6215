"""Every recipe makes a plan, and the plan is the one that somebody looked at."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest

from crowdstream.config import Config
from crowdstream.plan import make_plan
from crowdstream.recipe import find_recipe
from crowdstream.registry import types_of

NAMES: Final = sorted(
    Path(entry.name).stem for entry in files("pipelines").iterdir() if entry.name.endswith(".toml")
)

# What only the command line can know.
GIVEN: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "analyze": {"video_file": {"path": "clip.mp4"}},
    "rehearsal": {"video_file": {"path": "clip.mp4"}},
}

PLANS: Final = Path(__file__).parent / "plans.txt"
LINE: Final = "-" * 60


def plan_of(name: str) -> Any:
    recipe = find_recipe(name, pipelines=None, config=None)
    return make_plan(recipe, Config(), overrides=GIVEN.get(name))


def test_the_plans_are_those_that_were_looked_at() -> None:
    """On a difference the new ones are written beside the old; a person looks and accepts."""
    plans = f"\n{LINE}\n".join(str(plan_of(name)) for name in NAMES) + "\n"
    beside = PLANS.with_name("plans.txt.new")
    if plans != PLANS.read_text():
        beside.write_text(plans)
    assert plans == PLANS.read_text(), f"look at {beside}; if it is right, mv it over plans.txt"
    beside.unlink(missing_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    recipe = find_recipe(name, pipelines=None, config=None)
    assert recipe.title
    assert recipe.text.startswith("# ")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_measured_for_nobody(name: str) -> None:
    """Whatever a stage sends is taken by another; only what is heard may end in the air."""
    plan = plan_of(name)
    taken = {edge.feeder for stage in plan.stages for edge in stage.edges}
    unread = {s.name for s in plan.stages if types_of(s.stage).sends and s.name not in taken}
    assert unread <= {"wav_file", "speakers"}


@pytest.mark.parametrize("name", NAMES)
def test_live_recipes_take_the_newest_picture_and_never_make_the_music_wait(name: str) -> None:
    plan = plan_of(name)
    for stage in plan.stages:
        for edge in stage.edges:
            if plan.offline:
                assert edge.when_full == "block"
            elif stage.name in ("measure_motion", "estimate_pose", "speakers", "osc_out"):
                assert edge.when_full == "drop_oldest", stage.name
