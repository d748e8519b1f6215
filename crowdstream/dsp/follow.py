"""Values that follow other values in time: with attack and release, and with a dead zone."""

from __future__ import annotations

import math


class Follower:
    """Follows a value exponentially: quickly up, slowly down, at any rate of samples.

    Stays within the range of what it was given, and never becomes NaN.
    """

    def __init__(
        self, attack_seconds: float, release_seconds: float, *, begins_as_mean: bool = False
    ) -> None:
        """Times after which 63 % of a step is done, up and down; 0 means at once.

        With `begins_as_mean` it stands at the mean of what it was given until it is as old as
        those times, so that no first value counts for all.
        """
        self._attack = attack_seconds
        self._release = release_seconds
        self._begins_as_mean = begins_as_mean
        self._value: float | None = None
        self._at = 0.0
        self._watched = 0.0

    @property
    def value(self) -> float:
        """Where it stands; 0 before the first value."""
        return 0.0 if self._value is None else self._value

    def follow(self, target: float, at: float) -> float:
        """Move towards `target`; `at` is in seconds. A time that goes back moves nothing."""
        if not math.isfinite(target):
            return self.value
        if self._value is None:
            self._value, self._at, self._watched = target, at, 0.0
            return target
        seconds = at - self._at
        if seconds > 0.0:
            self._watched += seconds
            time = self._attack if target > self._value else self._release
            if self._begins_as_mean:
                time = min(time, self._watched)
            share = 1.0 if time <= 0.0 else -math.expm1(-seconds / time)
            step = target - self._value
            # Of two that are further apart than a number can say it takes the new one.
            self._value = self._value + share * step if math.isfinite(step) else target
            self._at = at
        return self._value

    def hold(self, at: float) -> None:
        """Time passes until `at`, and nothing is known of the value: it stands where it stood."""
        self._at = max(self._at, at)

    def reset(self) -> None:
        """Forget everything: the next value is taken as it is."""
        self._value = None


class DeadZone:
    """Ignores changes smaller than a width: a value that trembles moves nothing."""

    def __init__(self, width: float) -> None:
        """`width` is how far the input may stray from the output, in its own unit."""
        self._width = width
        self._value: float | None = None

    def follow(self, target: float) -> float:
        """The held value, dragged along once the target leaves the zone around it.

        A target that is not finite moves nothing.
        """
        if not math.isfinite(target):
            return 0.0 if self._value is None else self._value
        if self._value is None:
            self._value = target
        elif target > self._value + self._width:
            self._value = target - self._width
        elif target < self._value - self._width:
            self._value = target + self._width
        return self._value


class Switch:
    """On or off by a level, with two thresholds, so that it does not chatter."""

    def __init__(self, on_above: float, off_below: float, *, is_on: bool = False) -> None:
        """`off_below` must lie under `on_above`."""
        self._on_above = on_above
        self._off_below = off_below
        self.is_on = is_on

    def follow(self, level: float) -> bool:
        """Whether it is on now."""
        if level >= self._on_above:
            self.is_on = True
        elif level < self._off_below:
            self.is_on = False
        return self.is_on
