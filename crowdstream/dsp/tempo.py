"""From drive to the tempo that the crowd asks for."""

from __future__ import annotations

import math

from crowdstream.dsp.follow import DeadZone, Follower


class TempoCurve:
    """A target that lies around the programme's tempo, moves smoothly, and ignores trembling."""

    def __init__(
        self,
        slowest: float,
        fastest: float,
        *,
        reach_bpm: float = 24.0,
        smoothing_seconds: float = 3.0,
        dead_zone_bpm: float = 0.4,
    ) -> None:
        """Never below `slowest` or above `fastest`, nor further than `reach_bpm` from the line."""
        self._slowest = slowest
        self._fastest = fastest
        self._reach = reach_bpm
        self._smooth = Follower(smoothing_seconds, smoothing_seconds)
        self._hold = DeadZone(dead_zone_bpm)

    def target(self, drive: float, *, intensity: float, bpm: float) -> float:
        """The tempo of a drive: `bpm` at the programme's intensity, straight lines to both ends.

        Where the programme stands at an end (intensity 0 or 1) that side has no length.
        """
        drive = min(1.0, max(0.0, drive)) if math.isfinite(drive) else intensity
        if drive >= intensity:
            room = 1.0 - intensity
            share = (drive - intensity) / room if room > 0 else 0.0
            top = min(self._fastest, bpm + self._reach)
            asked = bpm + share * (top - bpm)
        else:
            share = (intensity - drive) / intensity
            bottom = max(self._slowest, bpm - self._reach)
            asked = bpm - share * (bpm - bottom)
        return min(self._fastest, max(self._slowest, asked))

    def follow(self, drive: float, *, intensity: float, bpm: float, at: float) -> float:
        """The smoothed target at time `at`; always finite and within the range."""
        asked = self.target(drive, intensity=intensity, bpm=bpm)
        held = self._hold.follow(self._smooth.follow(asked, at))
        return min(self._fastest, max(self._slowest, held))
