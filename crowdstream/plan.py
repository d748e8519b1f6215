"""A recipe, a config and the registry make a plan: checked, or every error at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from crowdstream.channel import WhenFull
from crowdstream.config import Config
from crowdstream.errors import ConfigError
from crowdstream.recipe import Entry, OnFailure, Recipe, name_of
from crowdstream.registry import StageTypes, load_stage, stage_names, types_of
from crowdstream.settings import details_of, line_of, nearest, sentence_of, short
from crowdstream.stage import RECIPE_WORDS, AnyStage, StageConfig

LEARNS: Final = "measure_energy"
"""The stage whose anchors `crowdstream calibrate` learns."""

LIVE_ONLY: Final = {"speakers": "wav_file"}
"""Stages that keep the time of a sound card, and what an offline recipe has in their place."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One channel to be: from whom, and how it is bounded."""

    feeder: str
    capacity: int
    when_full: WhenFull


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage, checked."""

    name: str
    use: str
    stage: type[AnyStage]
    config: StageConfig
    edges: tuple[Edge, ...]
    on_failure: OnFailure
    must_open: bool = False
    """The command line named it: if it does not come up the first time, the run ends."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole chain, checked."""

    name: str
    title: str
    offline: bool
    stages: tuple[PlannedStage, ...]

    def __str__(self) -> str:
        """The plan as text, one line a stage: what the golden files hold."""
        lines = [f"{self.name}: {self.title} ({'offline' if self.offline else 'live'})"]
        for stage in self.stages:
            edges = ", ".join(
                f"{edge.feeder} [{edge.capacity} {edge.when_full}]" for edge in stage.edges
            )
            lines.append(f"  {stage.name} <- {edges or 'nothing'} ({stage.on_failure})")
        return "\n".join(lines)

    def stage(self, name: str) -> PlannedStage:
        """The stage of that name.

        Raises:
            KeyError: there is none.
        """
        found = next((stage for stage in self.stages if stage.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


def make_plan(
    recipe: Recipe,
    config: Config,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    must_open: Collection[str] = (),
) -> Plan:
    """Check everything that can be checked without touching a device.

    `overrides` are settings from the command line, by stage name; they count most. `must_open`
    names the stages that the command line asked for.

    Raises:
        ConfigError: every mistake of the recipe and of the stages' settings.
    """
    return _Planner(recipe, config, overrides or {}, must_open).plan()


class _Planner:
    """Collects mistakes while it goes down the recipe."""

    def __init__(
        self,
        recipe: Recipe,
        config: Config,
        overrides: Mapping[str, Mapping[str, Any]],
        must_open: Collection[str],
    ) -> None:
        self._must_open = must_open
        self._recipe = recipe
        self._config = config
        self._overrides = overrides
        self._mistakes: list[str] = []
        self._planned: dict[str, PlannedStage] = {}
        self._types: dict[str, StageTypes] = {}

    def plan(self) -> Plan:
        names = [name_of(entry) for entry in self._recipe.stage]
        above: str | None = None
        for number, (entry, name) in enumerate(zip(self._recipe.stage, names, strict=True), 1):
            where = f"{self._recipe.where}: stage {number} ({name})"
            if name in names[: number - 1]:
                self._mistakes.append(f"{where}: a second stage of this name; give it a `name`")
                continue
            try:
                stage = load_stage(entry.use)
                types = self._types[name] = types_of(stage)
            except ConfigError as error:
                self._mistakes += [f"{where}: {mistake}" for mistake in error.mistakes]
                above = name  # whoever takes from it is not blamed for that
                continue
            if self._recipe.offline and entry.use in LIVE_ONLY:
                self._mistakes.append(
                    f"{where}: plays in real time, and the recipe is offline = true; use"
                    f" {LIVE_ONLY[entry.use]}, or take that line out"
                )
            edges = self._edges(entry, stage, where, above, names, number - 1)
            settings = self._settings(entry, name, stage, number - 1, where)
            if settings is not None:
                self._planned[name] = PlannedStage(
                    name, entry.use, stage, settings, edges,
                    entry.on_failure or ("stop" if self._recipe.offline else "go_on"),
                    name in self._must_open,
                )  # fmt: skip
            if types.sends:
                above = name
        self._unused_settings(names)
        if self._mistakes:
            raise ConfigError(*self._mistakes)
        return Plan(
            self._recipe.name, self._recipe.title, self._recipe.offline,
            tuple(self._planned.values()),
        )  # fmt: skip

    def _edges(
        self,
        entry: Entry,
        stage: type[AnyStage],
        where: str,
        above: str | None,
        names: list[str],
        index: int,
    ) -> tuple[Edge, ...]:
        """Who feeds the stage, which is the one at `index` of `names`."""
        earlier = names[:index]
        takes = types_of(stage).takes
        if not takes:
            if entry.from_ is not None:
                self._mistakes.append(f"{where}: is a source and takes from nobody")
            return ()
        feeders = entry.from_ if entry.from_ is not None else ((above,) if above else ())
        if not feeders:
            self._mistakes.append(f"{where}: has nobody to take from; put a source above it")
        edges = []
        for feeder in dict.fromkeys(feeders):
            if feeders.count(feeder) > 1:
                self._mistakes.append(f"{where}: from: {feeder} is named twice; once is enough")
            if feeder in names and feeder not in earlier:
                self._mistakes.append(f"{where}: from: {feeder} must stand above it")
                continue
            if feeder not in earlier:
                self._mistakes.append(
                    f"{where}: from: no stage is called {short(feeder)}{nearest(feeder, earlier)}"
                )
                continue
            if feeder not in self._types:
                continue  # its own mistake is in the list
            sends = self._types[feeder].sends
            # All that a stage sends goes to everyone who takes from it.
            if not sends or not all(issubclass(sent, takes) for sent in sends):
                self._mistakes.append(
                    f"{where}: takes {_either(takes)}, but {feeder} gives {_either(sends)}"
                )
            capacity = entry.inbox.capacity or stage.intake.capacity
            policy = entry.inbox.when_full or stage.intake.when_full
            edges.append(Edge(feeder, capacity, WhenFull.BLOCK if self._recipe.offline else policy))
        return tuple(edges)

    def _settings(
        self, entry: Entry, name: str, stage: type[AnyStage], index: int, where: str
    ) -> StageConfig | None:
        """The recipe's settings, under the machine's, under the command line's."""
        recipe_settings = _from_base(stage.Config, entry.settings, self._recipe.base)
        machine = self._config.stages.get(name, {})
        base = self._config.path.parent if self._config.path is not None else Path()
        shared = {section: getattr(self._config, section) for section in stage.Config.from_machine}
        settings = {
            **shared,
            **recipe_settings,
            # What was learned is of this machine: over the recipe, under config.toml.
            **(self._config.learned if entry.use == LEARNS else {}),
            **_from_base(stage.Config, machine, base),
            **self._overrides.get(name, {}),
        }
        try:
            return stage.Config(**settings)
        except ValidationError as error:
            for detail in details_of(error):
                # What is wrong between several settings is laid to whoever changed the recipe.
                keys = {detail["loc"][0]} if detail["loc"] else {*settings} - {*shared}
                if keys & {*self._overrides.get(name, {})}:
                    mistake = sentence_of(detail, stage.Config, where=f"command line: {name}")
                elif keys & {*machine}:
                    mistake = sentence_of(
                        detail,
                        stage.Config,
                        where=f"{self._config.path}: {name}",
                        text=self._config.text,
                        at=self._config.keys_of(name),
                    )
                else:
                    mistake = sentence_of(
                        detail,
                        stage.Config,
                        where=where,
                        text=self._recipe.text,
                        at=("stage", index),
                        also=RECIPE_WORDS,
                    )
                self._mistakes.append(mistake)
            return None

    def _unused_settings(self, names: list[str]) -> None:
        """Settings for a stage that exists nowhere are a slip of the pen."""
        known = set(names) | set(stage_names())
        for name in self._config.stages:
            if name not in known:
                line = line_of(self._config.text, ("stages", name))
                place = f"{self._config.path}, line {line}" if line else str(self._config.path)
                self._mistakes.append(
                    f"{place}: stages.{short(name)}: no stage is called {short(name)}"
                    f"{nearest(name, known)}"
                )
        for name in self._overrides:
            if name not in names:
                self._mistakes.append(
                    f"command line: the pipeline {self._recipe.name} has no stage {name}"
                )


def _either(kinds: tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in kinds) or "nothing"


def _from_base(
    config: type[StageConfig], settings: Mapping[str, Any], base: Path
) -> dict[str, Any]:
    """Settings whose type is a path, made relative to the folder of the file they stand in."""
    result = dict(settings)
    for key, value in settings.items():
        field = config.model_fields.get(key)
        if field is None or not isinstance(value, str):
            continue
        kinds = getattr(field.annotation, "__args__", (field.annotation,))
        if Path in kinds and not Path(value).is_absolute():
            result[key] = base / value
    return result
