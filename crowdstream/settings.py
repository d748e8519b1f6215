"""Reading settings from TOML: one sentence for each mistake, with its line and what is near."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from crowdstream.errors import ConfigError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Keys = tuple[str | int, ...]

MAX_SHOWN: Final = 80
"""Characters of a value that a sentence shows."""

MAX_NAME: Final = 300
"""Characters of a file's name that a sentence shows: it should be found by it."""

MAX_DEPTH: Final = 12
"""Tables within tables; what is deeper is no setting."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def read_toml(path: Path, what: str) -> tuple[dict[str, Any], str]:
    """The parsed file and its text.

    Raises:
        ConfigError: not there, not readable, not UTF-8, or not TOML; one sentence.
    """
    name = short(str(path), MAX_NAME)
    try:
        if not path.is_file():
            if path.is_dir():
                raise ConfigError(f"{name}: is a folder, no file; name the {what} in it")
            if path.exists():
                raise ConfigError(f"{name}: is no file; name a {what}")
            raise ConfigError(f"{name}: no such {what}")
        if path.stat().st_size > 1_000_000:
            raise ConfigError(f"{name}: larger than 1 MB, which no {what} is")
        # Editors of other systems begin a file with a mark that is no character of it.
        text = path.read_text(encoding="utf-8-sig")
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: is not TOML: {printable(str(error))}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested deeper than any {what}") from error
    except ValueError as error:  # more digits than Python turns into a number
        raise ConfigError(f"{name}: holds a number of too many digits") from error
    if why := _odd(data):
        line = line_of(text, why[0])
        place = f"{name}, line {line}" if line is not None else name
        raise ConfigError(f"{place}: {_dotted(why[0])}: {why[1]}")
    return data, text


def _odd(data: Mapping[str, Any]) -> tuple[Keys, str] | None:
    """The first thing that TOML allows and no setting is: where it stands, and what it is."""
    waiting: list[tuple[Keys, Any]] = [((), data)]
    while waiting:
        keys, value = waiting.pop()
        if len(keys) > MAX_DEPTH:
            return keys[:3], "is nested deeper than any setting"
        if isinstance(value, dict):
            waiting += [((*keys, key), inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [((*keys, index), inner) for index, inner in enumerate(value)][::-1]
        for word in (keys[-1] if keys else "", value):
            found = _CONTROL.search(word) if isinstance(word, str) else None
            if found:
                return keys, f"holds the control character {found[0]!r}, which no setting has"
    return None


def printable(text: str) -> str:
    """The text with what a terminal would obey, or not show, as Python writes it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def short(text: str, length: int = MAX_SHOWN) -> str:
    """The text, printable, and not longer than can be read."""
    text = printable(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def shown(value: object) -> str:
    """A value as TOML writes it, on one line, cut where it is long."""
    return short(_as_toml(value))


def _as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value[: 2 * MAX_SHOWN]}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_toml, value[:MAX_SHOWN]))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {_as_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)


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
        elif best is None and tuple(path[: len(keys)]) == keys:
            best = number  # a table of tables: where the first of them begins
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
    close = difflib.get_close_matches(word[:MAX_SHOWN], known, n=1, cutoff=0.6)
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
    return [
        sentence_of(detail, model, where=where, text=text, at=at, also=also)
        for detail in details_of(error)
    ]


def details_of(error: ValidationError) -> list[ErrorDetails]:
    """What pydantic found, without what only follows from another mistake."""
    details = error.errors(include_url=False)
    return [
        detail
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
    # pydantic marks what is wrong with a name in a table as `[key]` behind it.
    keys: Keys = tuple(key for key in detail["loc"] if key != "[key]")
    line = line_of(text, (*at, *keys)) if text else None
    place = f"{where}, line {line}" if line is not None else where
    name = _dotted(keys)
    if detail["type"] == "extra_forbidden":
        known = [*_fields_at(model, keys[:-1]), *(also if len(keys) == 1 else ())]
        return f"{place}: {name}: no such setting{nearest(str(keys[-1]), known)}"
    if detail["type"] == "missing":
        field = _fields_at(model, keys[:-1]).get(str(keys[-1]))
        what = f" ({field.description.rstrip('.')})" if field and field.description else ""
        return f"{place}: {name}: is missing and must be given{what}"
    if detail["type"] in ("value_error", "assertion_error"):
        message = str(detail["msg"]).removeprefix("Value error, ")
        return f"{place}: {name}: {printable(message[:1].lower() + message[1:])}"
    return f"{place}: {name}: is {shown(detail['input'])}{_right(detail, model, at)}"


def _dotted(keys: Keys) -> str:
    return ".".join(short(str(key)) for key in keys) or "the whole"


def _right(detail: ErrorDetails, model: type[BaseModel], at: Keys) -> str:
    """What to add to a value that is wrong: what would be right, in the words of the file."""
    kind, given, bounds = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "literal_error":
        known = [word.strip("'") for word in re.split(r", | or ", str(bounds["expected"]))]
        close = difflib.get_close_matches(given, known, n=1) if isinstance(given, str) else []
        guess = f"; did you mean {close[0]}?" if close else ""
        return f"; one of: {', '.join(known)}{guess}"
    if kind in ("string_type", "path_type"):
        if isinstance(given, list | dict) or len(_as_toml(given)) > MAX_SHOWN:
            return "; write it as text in quotes"
        return f'; write it as text in quotes, like "{_as_toml(given)}"'
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        if not at and len(detail["loc"]) == 1:
            return f"; write a table: [{short(str(detail['loc'][0]))}], and its settings under it"
        return f"; write a table, like {_example(_fields_at(model, tuple(detail['loc'])))}"
    for ending, words in _BOUNDS.items():
        if kind.endswith(ending):
            plain = {k: f"{v:g}" if isinstance(v, float) else v for k, v in bounds.items()}
            return f"; {words.format(**plain)}"
    for begin, words in _KINDS.items():
        if kind.startswith(begin):
            return f"; {words}"
    message = str(detail["msg"]).removeprefix("Input should ").removeprefix("be ")
    return f"; must be {printable(message[:1].lower() + message[1:])}"


_BOUNDS: Final = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length}",
    "pattern_mismatch": "must look like {pattern}",
}
"""By the end of pydantic's name for a mistake, for it says the same of several types."""

_KINDS: Final = {
    "finite_number": "must be a finite number",
    "bool_": "write true or false",
    "int_": "write a whole number",
    "float_": "write a number",
    "tuple_": "write a list in [brackets]",
    "list_": "write a list in [brackets]",
    "date_": "write a date, like 2026-01-31",
    "time_": 'write a time, like "22:00"',
}


def _example(fields: Mapping[str, FieldInfo]) -> str:
    """A table as one would write it, of the first two settings that it can hold."""
    pairs = []
    for name, field in list(fields.items())[:2]:
        value = (*(field.examples or ()), field.get_default())[0]
        written = _as_toml(value) if isinstance(value, bool | int | float | str) else "…"
        pairs.append(f"{name} = {written}")
    return f"{{ {', '.join(pairs) or 'name = …'} }}"


def _fields_at(model: type[BaseModel], keys: Keys) -> dict[str, FieldInfo]:
    """The fields of the model that a path leads into; empty where it leads out of models."""
    current: type[BaseModel] = model
    named = False
    for key in keys:
        if isinstance(key, int) or named:
            named = False
            continue
        field = current.model_fields.get(key)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return {}
        current = inner
        named = field is not None and get_origin(field.annotation) is dict
    return {
        info.alias or name: info for name, info in current.model_fields.items() if not info.exclude
    }


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation is, or holds: `tuple[OscTarget, ...]`, `Rules | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
