"""What `crowdstream calibrate` has learned of this room, in the state folder: learned.toml.

config.toml overrules it key by key. A file that is broken, newer than this program or at odds
with config.toml is left aside with a warning: a show never fails to start because of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crowdstream.errors import ConfigError, CrowdstreamError
from crowdstream.settings import read_toml

FILE: Final = "learned.toml"
VERSION: Final = 1
ANCHORS: Final = ("still", "half", "full")
STAGE: Final = "measure_energy"

FASTEST: Final = 10.0
"""Body lengths per second: no crowd moves so."""


@dataclass(frozen=True, slots=True)
class Learned:
    """The anchors that were learned; empty when there are none that can be used."""

    path: Path | None = None
    anchors: Mapping[str, float] = field(default_factory=dict)
    """`still`, `half` and `full` in body lengths per second, all or none."""

    warning: str = ""
    """Why a file that is there is not used; one sentence."""


def read_learned(state: Path, given: Mapping[str, Any]) -> Learned:
    """What the state folder holds; `given` is what config.toml sets of `measure_energy`."""
    path = state / FILE
    try:
        if not path.exists():
            return Learned()
        data, _ = read_toml(path, "learned file")
    except (ConfigError, OSError) as error:
        return Learned(path, {}, f"{error}; it is ignored")
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        return Learned(path, {}, f"{path}: says no version; it is ignored")
    if version > VERSION:
        return Learned(
            path, {}, f"{path}: is of version {version}, and this program knows {VERSION}; it is"
            " ignored",
        )  # fmt: skip
    table = data.get(STAGE)
    anchors = _anchors(table) if isinstance(table, dict) else None
    if anchors is None:
        return Learned(
            path, {}, f"{path}: [{STAGE}] must hold still < half < full; it is ignored"
        )  # fmt: skip
    if not _rise({**anchors, **given}):
        return Learned(
            path, {}, f"{path}: with what config.toml sets, still, half and full do not rise;"
            " it is ignored",
        )  # fmt: skip
    return Learned(path, anchors)


def write_learned(
    state: Path, anchors: Mapping[str, float], *, learned_at: str, source: str
) -> Path | None:
    """Write learned.toml whole, and keep the old one beside it; the backup, if there was one.

    Raises:
        CrowdstreamError: it cannot be written; the old one is as it was.
    """
    path, part, backup = state / FILE, state / f".{FILE}.part", state / f"{FILE}.bak"
    lines = [
        "# Written by crowdstream calibrate. What config.toml sets of these counts more.",
        f"version = {VERSION}",
        f"learned_at = {_text(learned_at)}",
        f"source = {_text(source)}",
        "",
        f"[{STAGE}]",
        *(f"{name} = {float(anchors[name]):.4f}" for name in ANCHORS),
        "",
    ]
    try:
        state.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write("\n".join(lines))
            file.flush()
            os.fsync(file.fileno())
        kept = None
        if path.is_file():
            # A copy, so that there is a learned.toml at every moment.
            spare = state / f".{FILE}.bak.part"
            spare.write_bytes(path.read_bytes())
            spare.replace(backup)
            kept = backup
        part.replace(path)
    except OSError as error:
        raise CrowdstreamError(f"{path}: cannot be written: {error.strerror}") from error
    return kept


def _anchors(table: Mapping[str, Any]) -> dict[str, float] | None:
    found = {name: table.get(name) for name in ANCHORS}
    return {k: float(v) for k, v in found.items() if v is not None} if _rise(found) else None


def _rise(anchors: Mapping[str, Any]) -> bool:
    values = [anchors.get(name) for name in ANCHORS]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(ANCHORS) or not all(math.isfinite(number) for number in numbers):
        return False
    still, half, full = numbers
    return 0.0 <= still < half < full <= FASTEST


def _text(text: str) -> str:
    """As TOML writes it."""
    plain = "".join(c if c.isprintable() else "?" for c in text[:200])
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
