"""config.toml: this machine and this show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crowdstream.errors import ConfigError
from crowdstream.learned import ANCHORS, STAGE, read_learned
from crowdstream.programme import Programme
from crowdstream.registry import stage_names
from crowdstream.settings import Keys, details_of, line_of, nearest, read_toml, sentence_of, short
from crowdstream.stage import Places
from crowdstream.zones import Zones

SYSTEM_CONFIG: Final = Path("/etc/crowdstream/config.toml")


class Section(BaseModel):
    """A table of config.toml: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Log(Section):
    """Section `[log]`."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important thing that is said."
    )
    format: Literal["auto", "json", "console", "journal"] = Field(
        "auto",
        description="`auto`: console on a terminal, journal under systemd, JSON lines elsewhere.",
    )


class Health(Section):
    """Section `[health]`."""

    stall_after_seconds: float = Field(
        2.0, gt=0, le=60, description="A stage busy with one packet for so long is stuck."
    )
    grace_seconds: float = Field(
        3.0, gt=0, le=30, description="How long a stop may take before it is made hard."
    )


class Config(Section):
    """The whole of config.toml."""

    pipeline: str = Field("live", description="The recipe to run.")
    models_folder: Path | None = Field(
        None, description="Folder of weights; default: models/ beside config.toml, if it exists."
    )
    log: Log = Log()
    health: Health = Health()
    programme: Programme = Programme()
    zones: Zones = Field(
        default_factory=dict, description="Named parts of the picture: each `[zones.NAME]`."
    )
    stages: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Settings laid over the recipe's, by stage name."
    )

    path: Path | None = Field(None, exclude=True)
    """Where it was read; None for the defaults."""

    text: str = Field("", exclude=True)
    """The file as it was, to name lines."""

    learned: dict[str, float] = Field(default_factory=dict, exclude=True)
    """Anchors of `measure_energy` out of learned.toml, under those of config.toml."""

    learned_warning: str = Field("", exclude=True)
    """Why a learned.toml that is there is not used."""

    at_top: frozenset[str] = Field(frozenset(), exclude=True)
    """Stages whose settings stand at the top: `[speakers]` is short for `[stages.speakers]`."""

    def keys_of(self, stage: str) -> Keys:
        """Where in the file the settings of a stage stand."""
        return (stage,) if stage in self.at_top else ("stages", stage)


_NOT_IN_THE_FILE: Final = frozenset(k for k, f in Config.model_fields.items() if f.exclude)


def find_config(given: Path | None) -> Path | None:
    """The config that counts: the given one, else the system's, else the working folder's."""
    if given is not None:
        return given
    here = Path("config.toml")
    return next((path for path in (SYSTEM_CONFIG, here) if path.is_file()), None)


def read_config(path: Path | None) -> Config:
    """config.toml, checked; the defaults where there is no file.

    Raises:
        ConfigError: every mistake, one sentence each.
    """
    config, mistakes = examine_config(path)
    if mistakes:
        raise ConfigError(*mistakes)
    return config


def examine_config(path: Path | None) -> tuple[Config, tuple[str, ...]]:
    """What of config.toml can be used, and every mistake: for whoever looks for more than one.

    The parts that are wrong are the defaults. A file that cannot be read at all is one mistake.
    """
    if path is None:
        return Config(), ()
    try:
        data, text = read_toml(path, "configuration")
    except ConfigError as error:
        return Config(path=path), error.mistakes
    mistakes: list[str] = []
    at_top = _lift_stages(data, path, text, mistakes)
    facts = {"path": path, "text": text, "at_top": at_top}
    try:
        return Config(**data, **facts), tuple(mistakes)
    except ValidationError as error:
        for detail in details_of(error):
            first, *rest = detail["loc"]
            if first == "stages" and rest and rest[0] in at_top:
                detail["loc"] = tuple(rest)
            mistakes.append(sentence_of(detail, Config, where=str(path), text=text, also=at_top))
            data.pop(str(first), None)
    return Config(**data, **facts), tuple(mistakes)


def _lift_stages(
    data: dict[str, Any], path: Path, text: str, mistakes: list[str]
) -> frozenset[str]:
    """Move the stages that stand at the top level into `stages`; tell of tables nobody knows.

    `[speakers]` is what people write; `[stages.NAME]` is for stages that a recipe has named.
    """
    known = {key for key in Config.model_fields if key not in _NOT_IN_THE_FILE}
    names = frozenset(stage_names())
    stages = data.setdefault("stages", {})
    lifted = set()
    for name in [key for key in data if key not in known]:
        value = data.pop(name)
        line = line_of(text, (name,))
        place = f"{path}, line {line}" if line is not None else str(path)
        if name not in names:
            mistakes.append(
                f"{place}: {short(name)}: no such setting{nearest(name, known | names)}"
            )
        elif isinstance(stages, dict) and name in stages:
            mistakes.append(f"{place}: [{name}] and [stages.{name}] are both there; keep one")
        elif isinstance(stages, dict):
            stages[name] = value
            lifted.add(name)
    return frozenset(lifted)


def with_learned(config: Config) -> Config:
    """The same, with what `crowdstream calibrate` has learned of this room laid under it."""
    given = {k: v for k, v in config.stages.get(STAGE, {}).items() if k in ANCHORS}
    learned = read_learned(places_of(config).state, given)
    return config.model_copy(
        update={"learned": dict(learned.anchors), "learned_warning": learned.warning}
    )


def places_of(config: Config) -> Places:
    """This machine's folders: systemd's where it gives them, else the user's own."""
    cache = _folder(("CACHE_DIRECTORY", "CROWDSTREAM_CACHE"), "XDG_CACHE_HOME", ".cache")
    state = _folder(("STATE_DIRECTORY", "CROWDSTREAM_STATE"), "XDG_STATE_HOME", ".local/state")
    if config.models_folder is not None:
        base = config.path.parent if config.path is not None else Path()
        models = base / config.models_folder
    else:
        beside = (config.path.parent if config.path is not None else Path()) / "models"
        models = beside if beside.is_dir() else state / "models"
    return Places(cache=cache, state=state, models=models)


def _folder(ours: tuple[str, str], users: str, default: str) -> Path:
    """The first of systemd's folder, ours, and the user's own for all programs."""
    given = os.environ.get(ours[0]) or os.environ.get(ours[1])
    if given:
        return Path(given.split(":")[0])  # systemd lists several where the unit names several
    base = os.environ.get(users)
    return (Path(base) if base else Path.home() / default) / "crowdstream"
