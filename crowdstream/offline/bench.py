"""The benches behind the README's numbers: each a function that gives rows, by its name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

Say = Callable[[str], None]
Row = dict[str, Any]

BENCHES: Final = {
    "spine": "crowdstream.offline.bench_spine:spine",
    "truth": "crowdstream.offline.bench_truth:truth",
    "signals": "crowdstream.offline.bench_signals:signals",
    "player": "crowdstream.offline.bench_player:player",
    "library": "crowdstream.offline.bench_library:library",
    "vision": "crowdstream.offline.bench_vision:vision",
    "stems": "crowdstream.offline.bench_stems:stems",
}
"""Name to `module:function`. A module is only imported when its bench is asked for."""


def run_bench(name: str, say: Say) -> list[Row]:
    """All rows of one bench; `say` is told what goes on."""
    module, function = BENCHES[name].split(":")
    rows: list[Row] = getattr(importlib.import_module(module), function)(say)
    return rows


def row(
    what: str, case: str, value: float, unit: str, *, rival: str | None = None,
    rival_value: float | None = None, goal: float | None = None, met: bool | None = None,
) -> Row:  # fmt: skip
    """One measured figure, beside its rival (same unit, same run) and its goal, where there are."""
    ratio = round(value / rival_value, 3) if rival_value else None
    return {
        "what": what, "case": case, "value": round(value, 3), "unit": unit, "rival": rival,
        "rival_value": None if rival_value is None else round(rival_value, 3), "ratio": ratio,
        "goal": goal, "met": None if met is None else bool(met),  # numpy's own is no JSON
    }  # fmt: skip
