"""What the listening page lets one hear: the conductor's styles and rules, one scene for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Scene:
    """An energy curve that makes the conductor do one thing, and how to find it."""

    title: str
    listen: str
    """What to listen for, in one sentence."""

    event: str
    """The event that tells of it."""

    curve: tuple[tuple[float, float], ...]
    seconds: float
    facts: dict[str, object] = field(default_factory=dict)
    """What the event must say besides."""

    rules: dict[str, Any] = field(default_factory=dict)
    bars_before: float = 4.0
    bars_after: float = 8.0

    def is_it(self, event: dict[str, object]) -> bool:
        """Whether this event is the one that the scene is for."""
        return event.get("event") == self.event and all(
            event.get(key) == value for key, value in self.facts.items()
        )


_STEADY: Final = ((0.0, 0.5),)
_SOON: Final = {"bars_per_track": 16}

SCENES: Final = (
    Scene(
        "Stem swap",
        "The drums change first, then the bass within one beat on the line, then the rest: never"
        " two basses, never a hole.",
        "transition", _STEADY, 90.0, {"style": "stem swap"}, _SOON, 2.0, 10.0,
    ),
    Scene(
        "A stem comes in",
        "The floor warms up: the pads are there on the one of an 8-bar line, not before.",
        "stem_in", ((0.0, 0.05), (8.0, 0.05), (20.0, 0.6)), 60.0, {"stem": "other"},
    ),
    Scene(
        "A stem goes",
        "The floor cools down: the voice ends with its phrase and the groove stays whole.",
        "stem_out", ((0.0, 0.8), (25.0, 0.8), (32.0, 0.3)), 80.0, {"stem": "vocals"},
    ),
    Scene(
        "The floor gets its drop",
        "Energy jumps up: on the next 8-bar line the track goes to its drop.",
        "drop", ((0.0, 0.3), (24.0, 0.3), (30.0, 0.95)), 80.0,
    ),
    Scene(
        "A break is not disturbed",
        "Energy falls inside a break: the build is played to its end, and the drop comes.",
        "hold", ((0.0, 0.7), (40.0, 0.7), (44.0, 0.1), (80.0, 0.1)), 120.0, {},
        {"bars_per_track": 64}, 4.0, 10.0,
    ),
)  # fmt: skip
