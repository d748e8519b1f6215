"""config.toml: this machine and this show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crowdstream.errors import ConfigError
from crowdstream.programme import Programme
from crowdstream.settings import mistakes_of, read_toml
from crowdstream.stage import Places

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
    stages: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Settings laid over the recipe's, by stage name."
    )

    path: Path | None = Field(None, exclude=True)
    """Where it was read; None for the defaults."""

    text: str = Field("", exclude=True)
    """The file as it was, to name lines."""


# Stages that people look for at the top level: `[speakers]` is `[stages.speakers]`.
TOP_LEVEL_STAGES: Final = (
    "camera", "video_file", "drawn_crowd", "measure_motion", "estimate_pose", "measure_energy",
    "map_tempo", "crossfade_stems", "speakers", "wav_file", "osc_out", "report",
)  # fmt: skip


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
    if path is None:
        return Config()
    data, text = read_toml(path, "configuration")
    mistakes = []
    for reserved in ("path", "text"):
        if reserved in data:
            mistakes.append(f"{path}: {reserved}: no such setting")
            del data[reserved]
    stages = data.get("stages", {})
    if isinstance(stages, dict):
        for name in TOP_LEVEL_STAGES:
            if name not in data:
                continue
            if name in stages:
                mistakes.append(f"{path}: [{name}] and [stages.{name}] are both there; keep one")
            stages[name] = data.pop(name)
        data["stages"] = stages
    try:
        config = Config(**data)
    except ValidationError as error:
        mistakes += mistakes_of(error, Config, where=str(path), text=text)
        raise ConfigError(*mistakes) from error
    if mistakes:
        raise ConfigError(*mistakes)
    return config.model_copy(update={"path": path, "text": text})


def places_of(config: Config) -> Places:
    """This machine's folders: systemd's where it gives them, else the user's own."""
    home = Path.home()
    cache = os.environ.get("CACHE_DIRECTORY") or os.environ.get("CROWDSTREAM_CACHE")
    state = os.environ.get("STATE_DIRECTORY") or os.environ.get("CROWDSTREAM_STATE")
    if config.models_folder is not None:
        base = config.path.parent if config.path is not None else Path()
        models = base / config.models_folder
    else:
        beside = (config.path.parent if config.path is not None else Path()) / "models"
        models = beside if beside.is_dir() else Path(state or home / ".local/state/crowdstream") / "models"
    return Places(
        cache=Path(cache or os.environ.get("XDG_CACHE_HOME") or home / ".cache") / ("" if cache else "crowdstream"),
        state=Path(state) if state else home / ".local" / "state" / "crowdstream",
        models=models,
    )
