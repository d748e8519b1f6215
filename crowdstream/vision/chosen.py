"""Which form of each network was chosen on this processor: the memory of `choice`.

It lies in `precision.json` in the cache folder. Each entry stands alone: one that is damaged, or
of another version of the measurement, is as if it had never been, and is measured anew.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

KEPT: Final = 32
"""Choices that are remembered; the oldest go."""

VERSION: Final = 2
"""Of the measurement: choices of another are not used."""

WhichFile = Literal["int8", "floating"]
"""`floating` is the file whose numbers are not rounded to 8 bits."""

Computed = Literal["f32", "bf16", "f16", "int8"]

_FLAGS: Final = frozenset(
    ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp")
)
# What decides how fast few bits are; two processors of one name may differ in it.


class Choice(NamedTuple):
    """What to use, why, and where and when it was found."""

    model: str
    """What the person called the network that was asked for."""

    file: WhichFile
    precision: Computed
    milliseconds: float
    """Of one look, median."""

    pixels: float
    """How far key points lie from those of the exact form, mean, in pixels of 1280x720."""

    lost: float
    """Share of the people that it did not find."""

    why: str
    """Every form that was measured, in one line."""

    reference: str
    """Which exact form the others were compared with: its file and format."""

    processor: str
    engine: str
    threads: int
    size: tuple[int, int]
    """Width and height of the pictures."""

    at: str
    """Local time, as ISO 8601 writes it."""


def remembered(cache: Path, key: str) -> Choice | None:
    """The choice of this key; None if there is none, or the file is of no use."""
    return _choice_of(_read(cache / "precision.json").get(key))


def chosen_here(cache: Path) -> list[Choice]:
    """What was chosen on this processor, the newest first; damaged entries are left out."""
    here = processor()
    choices = [_choice_of(entry) for entry in _read(cache / "precision.json").values()]
    return [each for each in reversed(choices) if each is not None and each.processor == here]


def remember(cache: Path, key: str, choice: Choice) -> None:
    """Keep it for the next start; a cache that cannot be written costs the next start its time."""
    path = cache / "precision.json"
    choices = _read(path)
    choices.pop(key, None)
    choices[key] = choice._asdict()
    newest = dict(list(choices.items())[-KEPT:])
    part = path.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump({"version": VERSION, "choices": newest}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        choices = found["choices"] if found["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return dict(choices) if isinstance(choices, dict) else {}


def _choice_of(entry: Any) -> Choice | None:
    """The choice that was written, or None if it is not one to the last field."""
    try:
        width, height = entry["size"]
        choice = Choice(**{**entry, "size": (width, height)})
    except (KeyError, TypeError, ValueError):
        return None
    amounts = (choice.milliseconds, choice.pixels, choice.lost)
    words = (choice.model, choice.why, choice.reference, choice.processor, choice.engine, choice.at)
    sound = (
        choice.file in get_args(WhichFile)
        and choice.precision in get_args(Computed)
        and all(isinstance(word, str) for word in words)
        and all(isinstance(whole, int) for whole in (choice.threads, width, height))
        and all(isinstance(x, int | float) and math.isfinite(x) and x >= 0 for x in amounts)
    )
    return choice if sound else None


def processor() -> str:
    """Name of the processor, and what of its abilities matters here."""
    name, flags = platform.machine(), ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            word, _, value = line.partition(":")
            if word.strip() == "model name":
                name = value.strip()
            elif word.strip() in ("flags", "Features"):
                flags = " ".join(sorted(_FLAGS & set(value.split())))
                break
    return f"{name} ({flags})"
