"""Finds stages by name, through entry points; loads only those that a recipe names."""

from __future__ import annotations

import importlib
import typing
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from types import UnionType
from typing import Final, get_args, get_origin

from crowdstream.errors import ConfigError
from crowdstream.packets import Packet
from crowdstream.settings import nearest
from crowdstream.stage import AnyStage, Sink, Source, Stage, Transform

GROUP: Final = "crowdstream.stages"


@dataclass(frozen=True, slots=True)
class StageTypes:
    """Which packets a stage takes and sends, read from its class line."""

    takes: tuple[type[Packet], ...]
    sends: tuple[type[Packet], ...]


def stage_names() -> dict[str, EntryPoint]:
    """Every stage that is installed, by name; imports none of them.

    Raises:
        ConfigError: two packages bring the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            owners = " and ".join(
                sorted(p.dist.name if p.dist is not None else p.value for p in (other, point))
            )
            raise ConfigError(f"two packages bring a stage called {point.name}: {owners}")
        found[point.name] = point
    return found


def load_stage(use: str) -> type[AnyStage]:
    """The class behind a `use`: a name, or an import path with a colon.

    Raises:
        ConfigError: there is none, or it cannot be imported; the cause is chained.
    """
    if ":" in use:
        module_name, _, attribute = use.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except Exception as error:  # a stranger's module may raise anything at import
            raise ConfigError(f"{use}: cannot be imported: {_why(error)}") from error
    else:
        names = stage_names()
        if use not in names:
            raise ConfigError(f"no stage is called {use}{nearest(use, list(names))}")
        try:
            found = names[use].load()
        except Exception as error:  # a stranger's module may raise anything at import
            raise ConfigError(f"{use}: cannot be imported: {_why(error)}") from error
    if not (isinstance(found, type) and issubclass(found, AnyStage)):
        raise ConfigError(f"{use}: is not a stage")
    return found


def types_of(stage: type[AnyStage]) -> StageTypes:
    """What the stage takes and sends, from `class MapTempo(Transform[Energy, Tempo])`."""
    for klass in stage.__mro__:
        for base in getattr(klass, "__orig_bases__", ()):
            origin, arguments = get_origin(base), get_args(base)
            if origin is Source:
                return StageTypes((), _packets(arguments[0]))
            if origin is Sink:
                return StageTypes(_packets(arguments[0]), ())
            if origin in (Stage, Transform):
                return StageTypes(_packets(arguments[0]), _packets(arguments[1]))
    raise ConfigError(f"{stage.__name__}: does not say which packets it takes and sends")


def _packets(annotation: object) -> tuple[type[Packet], ...]:
    if get_origin(annotation) in (typing.Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _packets(part))
    # A type variable, `Any` or a name in quotes says nothing: then it is any packet.
    if isinstance(annotation, type) and issubclass(annotation, Packet):
        return (annotation,)
    return (Packet,)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"


def name_clashes() -> list[str]:
    """Other installed packages that bring one of our three top-level names, one sentence each.

    pip overwrites silently; while both are installed this is how it is seen. It reads the file
    lists of all that is installed, which takes a moment: for `check` and `doctor`.
    """
    owners = packages_distributions()
    return [
        f"several packages bring a folder called {name}: {' and '.join(sorted(set(found)))};"
        " give crowdstream an environment of its own"
        for name in ("crowdstream", "stages", "pipelines")
        if len(set(found := [*owners.get(name, ()), "crowdstream"])) > 1
    ]
