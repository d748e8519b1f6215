"""The tempo that a crowd moves at, where in the beat it is, and how much it moves together.

Everyone's height over the last seconds is turned into a spectrum (`bounce.py`). A body votes with
the share of its own movement that a frequency explains, so that one who dances wildly counts as
one; what all do at the same moment counts half as much again, because chance does not do that.
People go down on the beat, or twice a beat, or once in two: the votes for half a tempo, for the
tempo and for twice the tempo are one vote, and the tempo is told within one octave.

Then, at that tempo, everyone's phase is found (`phases.py`).
Synchrony, how much all move together, is told from those (`synchrony.py`).
"""

from __future__ import annotations

import cmath
import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.dsp.bounce import ROWS, SLOTS, BounceRing, SpeedRing
from crowdstream.dsp.follow import Follower
from crowdstream.dsp.phases import Phases
from crowdstream.dsp.spectrum import Look, peak

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLOWEST_BPM: Final = 85.0
FASTEST_BPM: Final = 170.0
"""The octave in which a tempo is told, around the 120 BPM at which most people like to move."""

STICKS: Final = 1.06
"""A tempo that is being followed may leave the octave by so much before it is told in another."""

SURE: Final = 0.3
UNSURE: Final = 0.2
"""From the one confidence on a tempo is told, and below the other no longer."""

MOTION_TRUST: Final = 0.6
"""Largest confidence without joints: light can beat, too."""

STALE_SECONDS: Final = 2.0
"""A groove that nobody has looked at for so long is no longer told."""

GONE_SECONDS: Final = 1.0
"""A floor on which nobody has been seen for so long has no groove."""

LOOK_SECONDS: Final = 0.4
"""So often the spectrum is computed; between, the beat goes on by itself."""

LEAST_SECONDS: Final = 4.0
"""Of the past, before anything can be said: five beats of the slowest tempo."""

_MARGIN: Final = 1.09
_STEP: Final = 1.02
_BPMS: Final = (SLOWEST_BPM / _MARGIN) * _STEP ** np.arange(
    math.ceil(math.log(2.0 * _MARGIN * _MARGIN) / math.log(_STEP)) + 1
)
# The octave and a little to both sides, in steps much finer than the window can tell apart.

_MULTIPLES: Final = (0.5, 1.0, 2.0)
_LOGS: Final = np.log(_BPMS)
_HERTZ: Final = np.concatenate([multiple * _BPMS for multiple in _MULTIPLES]) / 60.0
_VOTES: Final = np.array([0.5, 1.0, 1.0])
# Slow swaying is also how people stand about: at half the tempo it counts half.

_TOGETHER: Final = 0.5
# What all do at the same moment counts so much more.

_RIVAL: Final = 0.12
# Tempi whose ratio is further than this from 1 or 2, as a logarithm, are others.

_SWITCHES: Final = 0.08
# A tempo that differs by a larger share from the last look's is another.

_IN_PHASE: Final = 0.2
# With less synchrony there is no beat that the crowd has in common.


class Groove(NamedTuple):
    """What is known about the crowd's groove. The fields are those of `packets.Energy`."""

    groove_bpm: float | None
    """Within the octave, or a little outside while it is followed there; None if unknown."""

    groove_confidence: float
    """0 to 1; of motion alone at most `MOTION_TRUST`."""

    beat_phase: float | None
    """0 to 1 in the crowd's beat; 0 is where bodies are lowest. None where they have no common
    beat, or only motion is seen."""

    synchrony: float | None
    """0 to 1; None where fewer than two people can be compared."""


NO_GROOVE: Final = Groove(None, 0.0, None, None)


class GrooveMeter:
    """Takes joints, or motion alone, and says what is known. Time is handed in; nothing grows."""

    def __init__(self) -> None:
        """Knows nothing yet; all memory it will ever use is taken here."""
        self._heights = BounceRing(_HERTZ)
        self._pose = _Watched(ROWS, Phases(ROWS, SLOTS))
        self._speeds = SpeedRing(_HERTZ)
        self._motion = _Watched(1)
        self._trust = Follower(2.0, 2.0)
        self._looked_at = -math.inf
        self._seen_at = -math.inf

    def jump(self) -> None:
        """The source of the joints jumped: what was seen before is of another time."""
        self._heights.clear()
        self._pose.forget()
        self._looked_at = self._seen_at = -math.inf

    def jump_motion(self) -> None:
        """The source of the motion jumped."""
        self._speeds.clear()
        self._motion.forget()
        self._trust.reset()

    def take_people(
        self,
        keypoints: NDArray[np.float32],
        ids: NDArray[np.int64],
        bodies: Floats,
        *,
        at: float,
    ) -> None:
        """Pose saw these people: shapes (n, 17, 3), (n,), and body lengths (n,), NaN if unknown.

        A time that is not later than the last is left out.
        """
        if self._heights.write(ids, keypoints, bodies, at):
            self._pose.look(self._heights, at)
            self._looked_at = at
            if len(ids):
                self._seen_at = at

    def take_motion(self, speed: float, confidence: float, *, at: float) -> None:
        """Flow saw this much movement, in body lengths per second, and trusts it so far."""
        if self._speeds.write(speed, at):
            trust = min(1.0, max(0.0, self._trust.follow(confidence, at)))
            self._motion.look(self._speeds, at, trust=MOTION_TRUST * trust)

    def reading(self, at: float) -> Groove:
        """What is known at `at`: from joints where they tell a tempo, else from motion alone."""
        if self._looked_at - self._seen_at > GONE_SECONDS and at - self._looked_at < GONE_SECONDS:
            # An empty floor: what still moves is light.
            return NO_GROOVE
        pose = self._pose.reading(at)
        if pose.groove_bpm is not None:
            return pose
        motion = self._motion.reading(at)
        if motion.groove_bpm is None:
            return Groove(None, max(pose.groove_confidence, motion.groove_confidence), None, None)
        # Speed is greatest twice a beat, or once: where in the beat that is, it does not say.
        return Groove(motion.groove_bpm, motion.groove_confidence, None, None)


class _Watched:
    """One eye's groove from look to look: a tempo that stays in its octave, and its beat."""

    def __init__(self, bodies: int, phases: Phases | None = None) -> None:
        """`phases` find the beat where bodies can be told apart; without there is no beat."""
        self._look = Look(bodies, SLOTS, _HERTZ.size)
        self._phases = phases
        self._peak = np.zeros(4)
        self._together = np.zeros(4)
        self.forget()

    def forget(self) -> None:
        """Know nothing."""
        self._due_at = -math.inf
        self._is_looking = False
        self._is_finding_beat = False
        self._looked_at = -math.inf
        self._bpm = 0.0
        self._confidence = 0.0
        self._known = False
        self._phase: float | None = None
        self._phase_at = 0.0
        self._synchrony: float | None = None

    def look(self, ring: BounceRing | SpeedRing, at: float, *, trust: float = 1.0) -> None:
        """Go on with a look, or begin one if it is time; each packet does a little."""
        if self._is_looking:
            if not self._look.is_done:
                self._look.go_on(ring)
                return
            self._is_looking = False
            self._take(at, trust)
        elif self._is_finding_beat:
            self._find_beat(ring)
        elif at >= self._due_at:
            self._due_at = at + LOOK_SECONDS - 1e-6
            if ring.slots.seconds < LEAST_SECONDS:
                return
            self._look.begin(ring.slots.window())
            self._is_looking = True
            if not self._look.is_done:
                self._look.go_on(ring)

    def reading(self, at: float) -> Groove:
        """The groove at `at`; it grows old when nobody looks."""
        if at - self._looked_at > STALE_SECONDS:
            return NO_GROOVE
        if not self._known:
            return Groove(None, self._confidence, None, None)
        phase = None if self._phase is None else self._phase_then(at)
        return Groove(self._bpm, self._confidence, phase, self._synchrony)

    def _take(self, at: float, trust: float) -> None:
        """What the finished look shows."""
        found = self._tempo()
        if found is None:
            self._confidence *= 0.6
        else:
            bpm, sure = self._in_octave(found[0]), trust * found[1]
            if abs(bpm - self._bpm) > _SWITCHES * self._bpm:
                # Another tempo than a moment ago: one of the two was chance.
                self._confidence = min(self._confidence, 0.5 * sure)
                self._phase = None
            self._confidence += 0.4 * (sure - self._confidence)
            self._bpm = bpm
            if self._phases is not None:
                self._phases.begin(self._look.window, bpm / 60.0)
                self._is_finding_beat = True
        self._looked_at = at
        self._known = self._confidence >= (UNSURE if self._known else SURE)

    def _tempo(self) -> tuple[float, float] | None:
        """The tempo that explains most, in BPM, and how sure that is; None where none does."""
        shares = self._look.shares(_TOGETHER)
        # What is faster than half the rate of the pictures only mirrors what is slower.
        shares[self._look.window.rate * 0.5 < _HERTZ] = 0.0
        votes = (_VOTES[:, None] * shares.reshape(len(_MULTIPLES), -1)).sum(axis=0)
        top = peak(votes, _LOGS, _RIVAL, self._peak)
        if top < 0:
            return None
        aside, height, rival, floor = self._peak
        clear = max(0.0, 1.0 - max(rival, floor) / height)
        stands_out = min(1.0, max(0.0, (height - floor - 0.1) / 0.25))
        return float(_BPMS[top] * _STEP**aside), float(min(1.0, 1.25 * clear) * stands_out)

    def _in_octave(self, bpm: float) -> float:
        """Into the octave; one that is being followed may stick out of it a little."""
        for same in (bpm, 2.0 * bpm, 0.5 * bpm):
            if (
                self._known
                and abs(same - self._bpm) <= _SWITCHES * self._bpm
                and SLOWEST_BPM / STICKS <= same <= FASTEST_BPM * STICKS
            ):
                return same
        while bpm < SLOWEST_BPM:
            bpm *= 2.0
        while bpm >= FASTEST_BPM:
            bpm *= 0.5
        return bpm

    def _find_beat(self, ring: BounceRing | SpeedRing) -> None:
        """Synchrony, and where in the beat everyone was in the middle of the window.

        In the middle, because there a tempo that is a little wrong turns no phase.
        """
        if self._phases is None or self._phases.go_on(ring):
            return
        self._is_finding_beat = False
        synchrony = self._phases.together(self._together)
        self._synchrony = synchrony if math.isfinite(synchrony) else None
        window = self._look.window
        middle = window.origin + window.middle
        expected = None if self._phase is None else self._phase_then(middle)
        if self._synchrony is not None and self._synchrony < _IN_PHASE:
            self._phase = None
            return
        first, second = complex(*self._together[:2]), complex(*self._together[2:])
        phase = (cmath.phase(first) / math.tau) % 1.0
        if abs(first) < 0.7 * abs(second):
            # They move twice a beat, and which of the two is the beat shows in what is left.
            if expected is not None:
                phase = expected
            half = cmath.phase(second) / math.tau / 2.0
            phase = (half + 0.5 * round(2.0 * (phase - half))) % 1.0
        self._phase, self._phase_at = float(phase), middle

    def _phase_then(self, at: float) -> float:
        """The phase at another time, at the tempo of now."""
        phase = self._phase if self._phase is not None else 0.0
        return (phase + (at - self._phase_at) * self._bpm / 60.0) % 1.0
