"""The tempo: towards what is wished, within the leash of what is heard, and turning rarely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from crowdstream.music.library import Track
from crowdstream.music.rules import Rules

LEAST_TURN_BPM: Final = 0.3
"""A turn is rare: not for less than can be heard."""

SPARE_BARS: Final = 2


def shared(tracks: Sequence[Track], leash: float) -> tuple[float, float] | None:
    """The tempos at which all of these can be heard; None when there is none."""
    bpms = [track.bpm for track in tracks]
    low, high = max(bpms) * (1.0 - leash), min(bpms) * (1.0 + leash)
    return (low, high) if low <= high else None


def within(bpm: float, tracks: Sequence[Track], leash: float) -> float:
    """The nearest tempo at which all of these can be heard; `bpm` where there is none."""
    both = shared(tracks, leash) if tracks else None
    return bpm if both is None else min(max(bpm, both[0]), both[1])


def meets(bpm: float, tracks: Sequence[Track], leash: float) -> bool:
    """Whether all of these can be heard at `bpm`."""
    both = shared(tracks, leash)
    # A tempo that was steered to the edge is on it but for rounding.
    return both is not None and both[0] - 1e-6 <= bpm <= both[1] + 1e-6


class Steering:
    """The tempo's course from bar line to bar line."""

    def __init__(self, rules: Rules) -> None:
        """It has not moved yet."""
        self._rules = rules
        self._direction = 0
        self._turned_at = -(10**9)

    def next_bpm(
        self, bar: int, bpm: float, wanted: float, audible: Sequence[Track],
        coming: tuple[Track, int] | None,
    ) -> tuple[float, bool, float | None]:  # fmt: skip
        """The tempo at the line after this one, whether it must, and its aim when it turns.

        Args:
            bar: of the timeline.
            bpm: tempo at this line.
            wanted: tempo that is wished for.
            audible: what is heard; not empty.
            coming: the track that comes next and the bar at which it does, once both are known.
        """
        rules = self._rules
        target = within(wanted, audible, rules.leash)
        must = False
        if coming is not None:
            both = shared([audible[0], coming[0]], rules.leash)
            if both is not None:
                met = min(max(target, both[0]), both[1])
                slope = rules.slope_up if met > bpm else rules.slope_down
                wait = max(0, self._turned_at + rules.turn_bars - bar)
                # Some bars to spare, and the time until the tempo may turn again.
                if coming[1] - bar <= abs(met - bpm) / slope + SPARE_BARS + wait:
                    target, must = met, True
        step = min(max(target - bpm, -rules.slope_down), rules.slope_up)
        smallest = 1e-9 if must else LEAST_TURN_BPM
        direction = int(step > 0) - int(step < 0)
        turns = None
        if direction not in (0, self._direction):
            if bar - self._turned_at < rules.turn_bars or abs(target - bpm) < smallest:
                return bpm, must, None
            if self._direction:
                turns = target
                self._turned_at = bar
            self._direction = direction
        return bpm + step, must, turns
