"""pipelines/*.toml: one chain each, as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from crowdstream.channel import WhenFull
from crowdstream.errors import ConfigError
from crowdstream.settings import mistakes_of, nearest, read_toml, short, shown

OnFailure = Literal["go_on", "stop"]

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_RECIPE_NAME: Final = re.compile(r"[\w][\w.+-]{0,99}")


class InboxSettings(BaseModel):
    """How the edges into one stage are bounded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capacity: int | None = Field(None, ge=1, le=8, description="How many packets may wait.")
    when_full: WhenFull | None = Field(None, description="block, drop_oldest or drop_newest.")


class Entry(BaseModel):
    """One `[[stage]]` of a recipe; whatever the recipe has no word for is the stage's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    use: str
    name: str = ""
    from_: tuple[str, ...] | None = Field(None, alias="from")
    inbox: InboxSettings = InboxSettings()
    on_failure: OnFailure | None = None

    @field_validator("from_", mode="before")
    @classmethod
    def _one_name_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _name_is_a_plain_word(cls, name: str) -> str:
        """It stands in OSC addresses, in config.toml and in every line of the log."""
        if not _STAGE_NAME.fullmatch(name) or len(name) > 60:
            raise ValueError(f"is {shown(name)}; write a plain word, like front_camera")
        return name

    @property
    def settings(self) -> dict[str, Any]:
        """What belongs to the stage."""
        return dict(self.__pydantic_extra__ or {})


def name_of(entry: Entry) -> str:
    """The name that the rest of the recipe calls a stage by: its own, else what it uses."""
    return entry.name or entry.use.rpartition(":")[2]


class Recipe(BaseModel):
    """A whole chain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    offline: bool = Field(
        default=False, description="As fast as possible and without loss, for files."
    )
    stage: tuple[Entry, ...] = Field(min_length=1)

    name: str = Field("", exclude=True)
    where: str = Field("", exclude=True)
    """The file, for messages."""

    text: str = Field("", exclude=True)
    base: Path = Field(Path(), exclude=True)
    """Relative paths are relative to this folder."""


def read_recipe(path: Path) -> Recipe:
    """A recipe from its file.

    Raises:
        ConfigError: every mistake, one sentence each.
    """
    data, text = read_toml(path, "recipe")
    try:
        recipe = Recipe(**data)
    except ValidationError as error:
        raise ConfigError(*mistakes_of(error, Recipe, where=str(path), text=text)) from error
    return recipe.model_copy(
        update={"name": path.stem, "where": str(path), "text": text, "base": path.parent}
    )


def find_recipe(name: str, *, pipelines: Path | None, config: Path | None) -> Recipe:
    """The recipe called `name`: from the given folder, else beside config.toml, else ours.

    A name with a slash or `.toml` is a path.

    Raises:
        ConfigError: there is none, or it has mistakes.
    """
    if "/" in name or name.endswith(".toml"):
        return read_recipe(Path(name))
    folders = [folder for folder in (pipelines, config and config.parent / "pipelines") if folder]
    packaged = files("pipelines")
    if not _RECIPE_NAME.fullmatch(name):
        known = _names_in(folders, packaged)
        raise ConfigError(f"{shown(name)} cannot be a pipeline's name{nearest(name, known)}")
    for folder in folders:
        if (folder / f"{name}.toml").is_file():
            return read_recipe(folder / f"{name}.toml")
    if packaged.joinpath(f"{name}.toml").is_file():
        with as_file(packaged.joinpath(f"{name}.toml")) as path:
            return read_recipe(path)
    near = nearest(name, _names_in(folders, packaged))
    raise ConfigError(f"no pipeline is called {short(name)}{near}")


def _names_in(folders: Iterable[Path], packaged: Traversable) -> list[str]:
    names = {path.stem for folder in folders for path in folder.glob("*.toml")}
    names |= {Path(entry.name).stem for entry in packaged.iterdir() if entry.name.endswith(".toml")}
    return sorted(short(name) for name in names)


def with_source(recipe: Recipe, use: str, settings: dict[str, Any]) -> Recipe:
    """The same chain with another source in the place of its first stage."""
    old_name = name_of(recipe.stage[0])

    def renamed(entry: Entry) -> Entry:
        if entry.from_ is None or old_name not in entry.from_:
            return entry
        feeders = tuple(use if feeder == old_name else feeder for feeder in entry.from_)
        return entry.model_copy(update={"from_": feeders})

    source = Entry.model_validate({"use": use, **settings})
    return recipe.model_copy(
        update={"stage": (source, *(renamed(entry) for entry in recipe.stage[1:]))}
    )
