"""What the light does, from how bright and how rich in contrast one small picture is after another.

A jump of brightness within a picture is a change of light, never of people: an exposure, a switch,
a camera's flash. Several within a second are a strobe. Contrast that is gone while it is not dark
is haze, or glare.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

LIKE_BRIGHTNESS: Final = 0.25
"""Pictures whose mean levels differ by more than this (natural logarithm) are not alike."""

JUMPS_THAT_FLASH: Final = 3
"""So many jumps of brightness within a second, and the light is flashing."""

CHANGED_SECONDS: Final = 0.6
"""How long a jump is told of: a strobe of one flash a second is told of without a gap."""

HAZY_SHARE: Final = 0.72
"""Contrast below this share of what the room showed before is haze."""

CONTRAST_SECONDS: Final = 90.0
"""How long the room's contrast is remembered: haze comes in puffs, a new backdrop stays."""


def alike(one: float, other: float) -> bool:
    """Whether two pictures of these mean levels (0 to 255) are about as bright."""
    # 4 levels above black: in the dark a ratio says nothing.
    return abs(math.log((one + 4.0) / (other + 4.0))) < LIKE_BRIGHTNESS


class LightWatch:
    """Remembers the last jumps of brightness and the room's contrast."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._jumps: deque[float] = deque(maxlen=16)
        self._at = -math.inf
        self._brightness: float | None = None
        self._contrast = 0.0
        self._relative = 1.0

    def clear(self) -> None:
        """The source has jumped."""
        self.__init__()  # type: ignore[misc]

    def see(self, at: float, brightness: float, contrast: float) -> None:
        """A picture with this mean level and deviation of levels, both 0 to 255."""
        if self._brightness is not None and not alike(self._brightness, brightness):
            self._jumps.append(at)
        while self._jumps and at - self._jumps[0] > 1.0:
            self._jumps.popleft()
        if self._brightness is not None:
            # Contrast goes with the light; what haze takes, it takes from both or adds to one.
            now = contrast / (brightness + 4.0)
            fade = math.exp(-max(0.0, min(1.0, at - self._at)) / CONTRAST_SECONDS)
            if not self._jumps:
                self._contrast = max(now, self._contrast * fade + now * (1.0 - fade))
                self._relative = now / self._contrast if self._contrast > 0.0 else 1.0
        self._brightness, self._at = brightness, at

    @property
    def flashing(self) -> bool:
        """A strobe."""
        return len(self._jumps) >= JUMPS_THAT_FLASH

    @property
    def changing(self) -> bool:
        """The light has just jumped."""
        return bool(self._jumps) and self._at - self._jumps[-1] <= CHANGED_SECONDS

    @property
    def hazy(self) -> bool:
        """Contrast has gone, and it has not become dark."""
        return self._relative < HAZY_SHARE
