"""Named live values: declared by stages, turned by doors, read as a snapshot.

A stage declares what may be turned while it runs, next to its config and with the same limits:

    master_gain = Control(default=1.0, ge=0.0, le=1.5, description="Loudness of everything.")

Its address is the stage's name and its own, `speakers.master_gain`. A door validates and sets;
it never calls a stage. A stage reads at the top of its work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from crowdstream.errors import UsageError


@dataclass(frozen=True, slots=True)
class Control:
    """One value that a person may turn."""

    default: float
    ge: float
    le: float
    description: str

    def __post_init__(self) -> None:
        if not self.ge <= self.default <= self.le:
            raise ValueError(f"a default of {self.default} is not between {self.ge} and {self.le}")


@dataclass(slots=True)
class Controls:
    """All controls of a plan and their values now."""

    declared: dict[str, Control] = field(default_factory=dict)
    _values: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    """How many values were refused: not finite, out of range, or for no control."""

    def declare(self, stage: str, controls: Mapping[str, Control]) -> None:
        """Add a stage's controls under `stage.name`."""
        for name, control in controls.items():
            self.declared[f"{stage}.{name}"] = control
            self._values.setdefault(f"{stage}.{name}", control.default)

    def set(self, address: str, value: float) -> None:
        """Turn a control.

        Raises:
            UsageError: no such control, not a finite number, or out of its range.
        """
        control = self.declared.get(address)
        if control is None:
            self.refused += 1
            known = ", ".join(sorted(self.declared)) or "none"
            raise UsageError(f"no control is called {address}; there are: {known}")
        if not math.isfinite(value) or not control.ge <= value <= control.le:
            self.refused += 1
            raise UsageError(f"{address}: {value} is not between {control.ge} and {control.le}")
        self._values[address] = float(value)

    def value(self, address: str) -> float:
        """The value now."""
        return self._values[address]

    def __iter__(self) -> Iterator[tuple[str, Control, float]]:
        for address, control in sorted(self.declared.items()):
            yield address, control, self._values[address]


def controls_of(stage_class: type) -> dict[str, Control]:
    """The controls that a stage class declares, its bases included."""
    found: dict[str, Control] = {}
    for base in reversed(stage_class.__mro__):
        found.update({k: v for k, v in vars(base).items() if isinstance(v, Control)})
    return found
