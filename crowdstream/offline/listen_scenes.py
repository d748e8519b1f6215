"""What the listening page lets one hear: the conductor's styles and rules, one scene for each.

All of them together take three minutes, so each is cut close around what it is about.
"""

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
    bars_before: float = 2.0
    bars_after: float = 3.0

    def is_it(self, event: dict[str, object]) -> bool:
        """Whether this event is the one that the scene is for."""
        return event.get("event") == self.event and all(
            event.get(key) == value for key, value in self.facts.items()
        )


_STEADY: Final = ((0.0, 0.55),)


def _style(name: str, listen: str, *, before: float = 2.0, after: float = 3.0) -> Scene:
    return Scene(
        name[:1].upper() + name[1:], listen, "transition", _STEADY, 120.0, {"style": name},
        {"style": name, "bars_per_track": 16}, before, after,
    )  # fmt: skip


SCENES: Final = (
    _style(
        "stem swap",
        "The drums change hands first, then bass and kick together within half a beat before the"
        " one, then the rest: never two basses, never a hole.",
        before=1.0, after=9.0,
    ),
    _style(
        "long blend",
        "Both tracks are heard for sixteen bars and more; the low end belongs to one of them at a"
        " time, and changes hands on a phrase line.",
        before=1.0, after=17.0,
    ),
    _style("cut", "On the one, without a gap; the beat goes on."),
    _style("echo out", "The old track leaves in an echo on the beat; the new one is there."),
    _style(
        "filter out", "The old track thins out upwards under the new one, and is gone.", after=5.0,
    ),
    Scene(
        "The voice comes in",
        "The floor warms up: the voice is there on the one of an 8-bar line, not before.",
        "stem_in", ((0.0, 0.3), (20.0, 0.3), (32.0, 0.7)), 80.0, {"stem": "vocals"},
    ),
    Scene(
        "The voice goes",
        "The floor cools down: the voice ends with its phrase, and the groove stays whole.",
        "stem_out", ((0.0, 0.7), (25.0, 0.7), (32.0, 0.3)), 80.0, {"stem": "vocals"}, {}, 3.0,
    ),
    Scene(
        "A gesture",
        "Within two beats of what the floor does the hats open or close; nothing else moves.",
        "gesture", ((0.0, 0.6), (20.0, 0.6), (21.0, 0.15), (60.0, 0.15)), 60.0,
    ),
    Scene(
        "The floor gets its drop",
        "Energy jumps up: on the next 8-bar line the track goes to its drop.",
        "drop", ((0.0, 0.3), (24.0, 0.3), (30.0, 0.95)), 80.0,
    ),
    Scene(
        "Tension",
        "The bass goes for a few bars while the floor is high, and is back on the one.",
        "tension", ((0.0, 0.3), (40.0, 0.3), (46.0, 0.9)), 120.0, {}, {"bars_per_track": 24},
        1.0, 9.0,
    ),
    Scene(
        "A floor that should stay",
        "High and steady: the best stretch of the track is heard again, on a line, without a seam.",
        "loop", ((0.0, 0.7),), 200.0, {}, {"bars_per_track": 96},
    ),
    Scene(
        "A break is not disturbed",
        "Energy falls inside a break: the build is played to its end, and the drop comes.",
        "hold", ((0.0, 0.7), (30.0, 0.7), (62.0, 0.7), (64.0, 0.2), (120.0, 0.2)), 140.0, {},
        {"bars_per_track": 96}, 1.0, 8.0,
    ),
)  # fmt: skip
