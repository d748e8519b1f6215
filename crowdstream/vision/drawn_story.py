"""The night that a drawn crowd lives through: who is there, how they dance, what the light does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DEMO_SECONDS: Final = 180.0
SHORTEST_SECONDS: Final = 20.0
"""A shorter night has no time for people to walk in and out."""

STROBE_HZ: Final = 8.0
NEARLY_DARK: Final = 0.05
"""Light between two flashes, as a factor."""


class Curve:
    """Straight lines between points, level before the first and after the last."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        """`points` are (seconds, value), in order of time."""
        self._at = np.array([at for at, _ in points], np.float64)
        self._value = np.array([value for _, value in points], np.float64)
        steps = np.diff(self._at) * 0.5 * (self._value[1:] + self._value[:-1])
        self._area = np.concatenate([[0.0], np.cumsum(steps)])

    def __call__(self, seconds: Floats) -> Floats:
        """The value then."""
        return np.asarray(np.interp(seconds, self._at, self._value))

    def integral(self, seconds: Floats) -> Floats:
        """From the first point to then; negative before it."""
        piece = np.clip(np.searchsorted(self._at, seconds, side="right") - 1, 0, None)
        since = seconds - self._at[piece]
        area = self._area[piece] + 0.5 * since * (self._value[piece] + self(seconds))
        # Before the first point the value is level, which the trapezoid gives as well.
        return np.asarray(area)

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return float(self._value.min()), float(self._value.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One night. Times in seconds from its beginning."""

    seconds: float
    """How long it takes; then it begins again."""

    chapters: tuple[tuple[float, str], ...]
    """When each begins, and its name."""

    heads: Curve
    """Share of all the people that is wanted on the floor."""

    energy: Curve
    bpm: Curve
    synchrony: Curve
    strobes: tuple[tuple[float, float], ...] = ()
    """From when to when the light flashes."""

    blackouts: tuple[tuple[float, float], ...] = ()

    @classmethod
    def demo(cls, seconds: float = DEMO_SECONDS) -> Story:
        """The night of the demo, told in so many seconds (at least SHORTEST_SECONDS)."""
        scale = seconds / DEMO_SECONDS

        def curve(*points: tuple[float, float]) -> Curve:
            return Curve([(at * scale, value) for at, value in points])

        def span(begin: float, length: float) -> tuple[float, float]:
            # A flash is a flash: it stays as long as it is, unless the night is very short.
            return begin * scale, begin * scale + length * min(1.0, scale)

        return cls(
            seconds=seconds,
            chapters=tuple(
                (at * scale, name)
                for at, name in (
                    (0.0, "empty room"), (12.0, "first dancers"), (40.0, "the floor fills"),
                    (78.0, "a lull"), (100.0, "the drop"), (132.0, "strobe and blackout"),
                    (154.0, "people leave"),
                )
            ),
            heads=curve(
                (9.0, 0.0), (12.0, 0.06), (38.0, 0.17), (42.0, 0.22), (72.0, 0.85), (80.0, 0.85),
                (88.0, 0.6), (98.0, 0.6), (105.0, 1.0), (150.0, 1.0), (173.0, 0.03), (175.0, 0.0),
            ),
            energy=curve(
                (10.0, 0.05), (18.0, 0.10), (38.0, 0.28), (50.0, 0.42), (72.0, 0.68), (78.0, 0.66),
                (84.0, 0.14), (97.0, 0.10), (100.0, 0.16), (102.0, 0.45), (103.5, 0.93),
                (128.0, 0.95), (134.0, 0.86), (152.0, 0.82), (158.0, 0.50), (168.0, 0.22),
                (176.0, 0.08),
            ),
            bpm=curve(
                (12.0, 102.0), (40.0, 108.0), (76.0, 120.0), (84.0, 112.0), (98.0, 114.0),
                (104.0, 126.0), (150.0, 128.0), (164.0, 110.0), (180.0, 104.0),
            ),
            synchrony=curve(
                (12.0, 0.35), (40.0, 0.5), (72.0, 0.75), (84.0, 0.4), (100.0, 0.6), (105.0, 0.92),
                (150.0, 0.85), (165.0, 0.4),
            ),
            strobes=(span(133.5, 9.0),),
            blackouts=(span(146.0, 2.5),),
        )  # fmt: skip

    def scene(self, seconds: float) -> str:
        """Name of the chapter at a moment of the night."""
        return [name for begin, name in self.chapters if begin <= seconds + 1e-9][-1]

    def light(self, seconds: float) -> float:
        """Factor on the light at a moment of the night: 1 is as bright as the room gets."""
        for begin, end in self.blackouts:
            if begin <= seconds < end:
                return 0.0
        for begin, end in self.strobes:
            if begin <= seconds < end:
                return strobe(seconds - begin, STROBE_HZ)
        return 1.0


def strobe(seconds: float, hz: float) -> float:
    """Light of a strobe, as a factor: on for half of each turn, beginning with a flash."""
    return 1.0 if math.floor(2.0 * hz * seconds + 1e-6) % 2 == 0 else NEARLY_DARK
