"""Reading settings from TOML: one sentence for each mistake, with its line and what is near."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from crowdstream.errors import ConfigError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Keys = tuple[str | int, ...]


def read_toml(path: Path, what: str) -> tuple[dict[str, Any], str]:
    """The parsed file and its text.

    Raises:
        ConfigError: not there, not readable, not UTF-8, or not TOML; one sentence.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: no such {what}")
        if path.stat().st_size > 1_000_000:
            raise ConfigError(f"{path}: larger than 1 MB, which no {what} is")
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def line_of(text: str, keys: Keys) -> int | None:
    """The line, from 1, where a value stands: the deepest key of the path that can be found."""
    best: int | None = None
    path: list[str | int] = []
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.split("#", 1)[0].strip()
        if match := re.match(r"^\[\[\s*([^\]]+?)\s*\]\]$", stripped):
            name = tuple(_split(match[1]))
            counts[name] = counts.get(name, -1) + 1
            path = [*_counted(name[:-1], counts), name[-1], counts[name]]
            if best is None and tuple(path[:-1]) == keys:
                best = number  # the whole list: where it begins
        elif match := re.match(r"^\[\s*([^\]]+?)\s*\]$", stripped):
            path = _counted(tuple(_split(match[1])), counts)
        elif match := re.match(r"""^([A-Za-z0-9_."'-]+)\s*=""", stripped):
            here = (*path, *_split(match[1]))
            if here == keys[: len(here)]:
                return number
            continue
        else:
            continue
        if path and tuple(path) == keys[: len(path)]:
            best = number
    return best


def _split(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]


def _counted(name: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> list[str | int]:
    """The path of a table, with the number of each list of tables that it lies in."""
    path: list[str | int] = []
    for depth, part in enumerate(name, start=1):
        path.append(part)
        if name[:depth] in counts:
            path.append(counts[name[:depth]])
    return path


def nearest(word: str, known: Collection[str]) -> str:
    """What to add to a complaint: `; did you mean X?`, or the list of what is known."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(sorted(known))}" if known else ""


def mistakes_of(
    error: ValidationError,
    model: type[BaseModel],
    *,
    where: str,
    text: str = "",
    at: Keys = (),
    also: Collection[str] = (),
) -> list[str]:
    """Each mistake that pydantic found, as one plain sentence with its line.

    `at` is where in the file the model begins; `also` are further words that its table may hold.
    """
    details = error.errors(include_url=False)
    return [
        sentence_of(detail, model, where=where, text=text, at=at, also=also)
        for detail in details
        if not (detail["type"] == "too_short" and _is_told_already(detail, details))
    ]


def _is_told_already(short: ErrorDetails, details: Collection[ErrorDetails]) -> bool:
    """A list is too short only because what is in it is wrong, which is said of each."""
    loc = short["loc"]
    return any(d["loc"][: len(loc)] == loc and len(d["loc"]) > len(loc) for d in details)


def sentence_of(
    detail: ErrorDetails,
    model: type[BaseModel],
    *,
    where: str,
    text: str = "",
    at: Keys = (),
    also: Collection[str] = (),
) -> str:
    """One mistake that pydantic found, as one plain sentence with its line."""
    keys: Keys = tuple(detail["loc"])
    line = line_of(text, (*at, *keys)) if text else None
    place = f"{where}, line {line}" if line is not None else where
    name = ".".join(str(key) for key in keys) or "the whole"
    if detail["type"] == "extra_forbidden":
        known = [*_fields_at(model, keys[:-1]), *(also if len(keys) == 1 else ())]
        return f"{place}: {name}: no such setting{nearest(str(keys[-1]), known)}"
    if detail["type"] == "missing":
        field = _fields_at(model, keys[:-1]).get(str(keys[-1]))
        what = f" ({field.description.rstrip('.')})" if field and field.description else ""
        return f"{place}: {name}: is missing and must be given{what}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = detail.get("input")
    if isinstance(given, bool | int | float | str) and detail["type"] != "value_error":
        message = f"is {given!r}; {message}"
    return f"{place}: {name}: {message}"


def _fields_at(model: type[BaseModel], keys: Keys) -> dict[str, FieldInfo]:
    """The fields of the model that a path leads into; empty where it leads out of models."""
    current: type[BaseModel] = model
    for key in keys:
        if isinstance(key, int):
            continue
        field = current.model_fields.get(key)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return {}
        current = inner
    return {
        info.alias or name: info for name, info in current.model_fields.items() if not info.exclude
    }


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation is, or holds: `tuple[OscTarget, ...]`, `Rules | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
