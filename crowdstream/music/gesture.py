"""The quick layer: what a floor hears of itself within two beats.

Hats and percussion open when it rises and close when it falls below the programme, through the
band above the voice; the levels of the stems follow in the mixer. Together at most 3 dB in two
beats, so that nothing of the arrangement moves.
"""

from __future__ import annotations

from typing import Final

from crowdstream.music.orders import Order, Sweep

MOST_CLOSED: Final = 10.0 ** (-3.0 / 20.0)
"""3 dB less of the high band, at no drive at all."""

LEAST_STEP: Final = 0.04
"""A third of a decibel: less is not heard."""

BEATS: Final = 2.0
"""From one gesture to the next, at least."""


TOLD_STEP: Final = 0.08
TOLD_BEATS: Final = 32.0
"""What is told of gestures, and how often at most: they are many and small."""


class Gestures:
    """Moves the high band of a deck with the drive."""

    def __init__(self) -> None:
        """Nothing was moved yet."""
        self._moved_at = -BEATS
        self._told_at = -TOLD_BEATS
        self.told = ""
        """The newest that is worth a word, until it is taken."""

    def move(self, deck: int, now: float, share: float, beat: float) -> list[Order]:
        """The orders at a beat of the timeline, none where there is nothing to hear.

        Args:
            deck: the one that is heard.
            now: where its high band stands.
            share: the drive as a share of the programme's; from 1 on the band is flat.
            beat: now.
        """
        to = MOST_CLOSED + (1.0 - MOST_CLOSED) * min(max(share, 0.0), 1.0)
        if beat < self._moved_at + BEATS or abs(to - now) < (LEAST_STEP if to < 1.0 else 1e-3):
            return []
        self._moved_at = beat
        if abs(to - now) >= TOLD_STEP and beat >= self._told_at + TOLD_BEATS:
            self._told_at = beat
            self.told = "the hats open" if to > now else "the hats close"
        return [Sweep(deck, "high", to, beat, beat + 1.0)]
