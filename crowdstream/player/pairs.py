"""What leaves the mixer beside the house: a cue for headphones, and the stems for a mixer.

A quantum is as wide as these pairs together, in the order house, cue, drums, bass, vocals, other.
All of them are heard at the same moment, the limiter's delay included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.dsp.limiter import Parts
from crowdstream.music.timeline import QUANTUM
from crowdstream.player.source import STEM_COUNT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.player.cue import CueDeck


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which stereo pairs a quantum holds."""

    house: bool = True
    cue: bool = False
    stems: bool = False

    @property
    def count(self) -> int:
        """How many they are."""
        return int(self.house) + int(self.cue) + STEM_COUNT * int(self.stems)

    @property
    def only_house(self) -> bool:
        """The house and nothing else, as it mostly is."""
        return self == HOUSE


HOUSE: Final = Pairs()


class Beside:
    """Memory for all pairs but the house's, and for the house while others are beside it."""

    def __init__(self, pairs: Pairs, cue: CueDeck | None) -> None:
        """All memory is taken here."""
        self.house = np.zeros((QUANTUM, 2), np.float32)
        """The limited sum of this quantum."""

        self.gains = np.ones(QUANTUM)
        """What the limiter multiplied each sample of it by."""

        self.stems = np.zeros((STEM_COUNT, QUANTUM, 2), np.float32) if pairs.stems else None
        """The stems of all decks, before the limiter."""

        self.cue = cue
        self._pairs = pairs
        self._parts = Parts(STEM_COUNT)

    def write(self, out: NDArray[np.float32]) -> None:
        """Put everything but the cue into a quantum, shape (QUANTUM, 2 * count).

        Realtime-safe: yes
        """
        if self._pairs.house:
            out[:, :2] = self.house
        if self.stems is not None:
            self._parts.follow(self.stems, self.gains, out, out.shape[1] - 2 * STEM_COUNT)

    @property
    def cue_column(self) -> int:
        """Where the cue's left is."""
        return 2 * int(self._pairs.house)
