"""From drive, and from the tempo that people move at, to the tempo that the crowd asks for.

People move to what they hear: the tempo of a crowd is mostly the music's own, come back. So a
groove that agrees with the music asks for nothing, and one that differs asks for a part of the
difference, which is forgotten again: a loop of gain `GAIN` with a leak, which no constant error of
ears or eyes can drive further than `GAIN` times itself, nor beyond the leash.
"""

from __future__ import annotations

import math
from typing import Final

from crowdstream.dsp.follow import DeadZone, Follower

GAIN: Final = 3.0
"""How often a difference counts: a crowd that insists on its tempo gets three quarters of the way
there, from where the music would be without it."""

AGREES: Final = 0.02
"""So small a difference from the music, as a share, is people who dance to it: engagement."""

OTHER_METRE: Final = 0.19
"""A tempo that differs by more, octaves aside, counts something else than the music's beats."""

HEARD_SLEW: Final = 0.12
"""BPM a second: so slowly at most does the music go where it is asked to (a quarter a bar)."""

SLOWEST_BPM: Final = 20.0
FASTEST_BPM: Final = 500.0
"""What lies outside is no tempo of people."""

LONGEST_STEP_SECONDS: Final = 1.0
LEAST_CONFIDENCE: Final = 0.3
FULL_CONFIDENCE: Final = 0.7


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
        return self.smooth(self.target(drive, intensity=intensity, bpm=bpm), at=at)

    def smooth(self, asked: float, *, at: float) -> float:
        """The same for a target that was made up elsewhere."""
        held = self._hold.follow(self._smooth.follow(asked, at))
        return min(self._fastest, max(self._slowest, held))


class GroovePull:
    """How far the crowd's own tempo pulls the music away from where it would be, in BPM."""

    def __init__(self, *, reach_bpm: float = 24.0, forget_seconds: float = 30.0) -> None:
        """Never more than `reach_bpm` to either side; gone to a third after `forget_seconds`."""
        self._reach = reach_bpm
        self._forget = forget_seconds
        self._pull = 0.0
        self._sent: float | None = None
        self._heard = 0.0
        self._at = 0.0

    def follow(
        self, groove_bpm: float | None, confidence: float, *, weight: float = 1.0, at: float
    ) -> float:
        """The pull at time `at`. `weight` (0 to 1) is how much the groove counts at all.

        Before each, `sent` must have told which tempo was asked for. A time that goes back
        changes nothing.
        """
        seconds = min(LONGEST_STEP_SECONDS, at - self._at)
        if self._sent is None or not seconds > 0.0:
            return self._pull
        self._at = at
        step = HEARD_SLEW * seconds
        self._heard += min(step, max(-step, self._sent - self._heard))
        share = -math.expm1(-seconds / self._forget) if self._forget > 0.0 else 1.0
        counts = min(1.0, max(0.0, weight)) if math.isfinite(weight) else 0.0
        if math.isfinite(confidence):
            ramp = (confidence - LEAST_CONFIDENCE) / (FULL_CONFIDENCE - LEAST_CONFIDENCE)
            counts *= min(1.0, max(0.0, ramp))
        else:
            counts = 0.0
        # Towards what is asked, and with nothing asked towards none.
        asked = GAIN * counts * self._difference(groove_bpm)
        self._pull += share * (asked - self._pull)
        self._pull = min(self._reach, max(-self._reach, self._pull))
        return self._pull

    def sent(self, bpm: float, *, at: float) -> None:
        """This tempo was asked for at time `at`."""
        if self._sent is None:
            self._heard, self._at = bpm, at
        self._sent = bpm

    def _difference(self, groove_bpm: float | None) -> float:
        """How far the groove is from all that the music may be at now, in BPM, 0 if it is not.

        What is heard is on its way from where it was to what was asked for. Half and double
        tempo are the same tempo.
        """
        if groove_bpm is None or self._sent is None or not SLOWEST_BPM < groove_bpm < FASTEST_BPM:
            return 0.0
        groove = groove_bpm * 2.0 ** -round(math.log2(groove_bpm / self._heard))
        low = min(self._heard, self._sent) * (1.0 - AGREES)
        high = max(self._heard, self._sent) * (1.0 + AGREES)
        if abs(groove / self._heard - 1.0) > OTHER_METRE:
            return 0.0
        return min(0.0, groove - low) + max(0.0, groove - high)
