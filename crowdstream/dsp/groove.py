"""The tempo that a crowd moves at, where in the beat it is, and how much it moves together.

Everyone's height over the last seconds is turned into a spectrum (`bounce.py`). A body votes with
the share of its own movement that a frequency explains, so that one who dances wildly counts as
one; what all do at the same moment counts half as much again, because chance does not do that.
People go down on the beat, or twice a beat, or once in two: the votes for half a tempo, for the
tempo and for twice the tempo are one vote, and the tempo is told within one octave.

Synchrony is the resultant R of the people's phases with the level of chance taken out, which is
the root of the mean cosine between all pairs: sqrt((N R^2 - 1) / (N - 1)) (pairwise phase
consistency: Vinck and others, NeuroImage 51, 2010). The root gives it the scale of R: of many
people whose phases are spread normally, it is their resultant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.dsp.bounce import LEAST_SECONDS, BounceRing, SpeedRing, transform

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

LOOK_SECONDS: Final = 0.4
"""So often the spectrum is computed; between, the beat goes on by itself."""

_MARGIN: Final = 1.09
_STEP: Final = 1.017
_BPMS: Final = (SLOWEST_BPM / _MARGIN) * _STEP ** np.arange(
    math.ceil(math.log(2.0 * _MARGIN * _MARGIN) / math.log(_STEP)) + 1
)
# The octave and a little to both sides, in steps of a twelfth of what the window can tell apart.

_MULTIPLES: Final = (0.5, 1.0, 2.0)
_HERTZ: Final = np.concatenate([multiple * _BPMS for multiple in _MULTIPLES]) / 60.0
_VOTES: Final = (0.5, 1.0, 1.0)
# Slow swaying is also how people stand about: at half the tempo it counts half.

_TOGETHER: Final = 0.5
# What all do at the same moment counts so much more.

_RIVAL: Final = 0.12
# Tempi whose ratio is further than this from 1 or 2, as a logarithm, are others.

_STILL: Final = 0.002**2
# Mean square of a height, in body lengths, of which one cannot say that it is movement.

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
        self._heights = BounceRing()
        self._speeds = SpeedRing()
        self._pose = _Followed()
        self._motion = _Followed()

    def jump(self) -> None:
        """The source of the joints jumped: what was seen before is of another time."""
        self._heights.clear()
        self._pose = _Followed()

    def jump_motion(self) -> None:
        """The source of the motion jumped."""
        self._speeds.clear()
        self._motion = _Followed()

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
        if not self._heights.write(ids, keypoints, bodies, at) or not self._pose.is_due(at):
            return
        series, power, presence, times = self._heights.settled()
        known = times.size > 0 and -times[0] >= LEAST_SECONDS and presence.size > 0
        self._pose.follow(_Spectrum(series, power, presence, times) if known else None, at)

    def take_motion(self, speed: float, confidence: float, *, at: float) -> None:
        """Flow saw this much movement, in body lengths per second, and trusts it so far."""
        if not self._speeds.write(speed, confidence, at) or not self._motion.is_due(at):
            return
        series, power, times, trust = self._speeds.settled()
        known = times.size > 0 and -times[0] >= LEAST_SECONDS and trust > 0.0
        spectrum = _Spectrum(series, power, np.ones(1), times) if known else None
        self._motion.follow(spectrum, at, trust=MOTION_TRUST * trust)

    def reading(self, at: float) -> Groove:
        """What is known at `at`: from joints where they tell a tempo, else from motion alone."""
        pose = self._pose.reading(at)
        if pose.groove_bpm is not None:
            return pose
        motion = self._motion.reading(at)
        if motion.groove_bpm is None:
            return Groove(None, max(pose.groove_confidence, motion.groove_confidence), None, None)
        # Speed is greatest twice a beat, or once: where in the beat that is, it does not say.
        return Groove(motion.groove_bpm, motion.groove_confidence, None, None)


class _Followed:
    """One eye's groove from look to look: a tempo that stays in its octave, and its beat."""

    def __init__(self) -> None:
        self._due_at = -math.inf
        self._looked_at = -math.inf
        self._bpm = 0.0
        self._confidence = 0.0
        self._known = False
        self._phase: float | None = None
        self._synchrony: float | None = None

    def is_due(self, at: float) -> bool:
        """Whether it is time to look again."""
        if at < self._due_at:
            return False
        self._due_at = at + LOOK_SECONDS
        return True

    def follow(self, spectrum: _Spectrum | None, at: float, *, trust: float = 1.0) -> None:
        """Take what a look gave; None is a look that saw too little."""
        found = spectrum.peak() if spectrum is not None else None
        if spectrum is None or found is None:
            self._confidence *= 0.6
            if self._phase is not None:
                self._phase = self._phase_at(at)
        else:
            bpm, sure = self._in_octave(found[0]), trust * found[1]
            if abs(bpm - self._bpm) > _SWITCHES * self._bpm:
                # Another tempo than a moment ago: one of the two was chance.
                self._confidence = min(self._confidence, 0.5 * sure)
                self._phase = None
            self._confidence += 0.4 * (sure - self._confidence)
            expected = None if self._phase is None else self._phase_at(at)
            self._bpm = bpm
            self._synchrony, self._phase = spectrum.beat(bpm / 60.0, expected)
        self._looked_at = at
        self._known = self._confidence >= (UNSURE if self._known else SURE)

    def reading(self, at: float) -> Groove:
        """The groove at `at`; it grows old when nobody looks."""
        age = at - self._looked_at
        if age > STALE_SECONDS:
            return NO_GROOVE
        if not self._known:
            return Groove(None, self._confidence, None, None)
        phase = None if self._phase is None else self._phase_at(at)
        return Groove(self._bpm, self._confidence, phase, self._synchrony)

    def _phase_at(self, at: float) -> float:
        phase = self._phase if self._phase is not None else 0.0
        return (phase + (at - self._looked_at) * self._bpm / 60.0) % 1.0

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


class _Spectrum:
    """What is in the heights of everyone, at the tempi of the octave."""

    def __init__(
        self, series: NDArray[np.float32], power: Floats, presence: Floats, times: Floats
    ) -> None:
        self._series = series
        self._times = times
        self._presence = presence
        self._scale = 1.0 / (power + _STILL)
        self._amplitudes = self._transform(_HERTZ)

    def peak(self) -> tuple[float, float] | None:
        """The tempo that explains most, in BPM, and how sure that is, 0 to 1.

        None where no tempo stands out from its neighbours.
        """
        votes = self._votes()
        inner = votes[1:-1]
        tops = np.flatnonzero((inner > votes[:-2]) & (inner >= votes[2:])) + 1
        if not tops.size:
            return None
        top = int(tops[np.argmax(votes[tops])])
        apart = np.abs(np.log(_BPMS / _BPMS[top]))
        apart = np.minimum(apart, np.abs(apart - math.log(2.0)))
        floor = float(np.median(votes))
        rival = max(floor, float(votes[apart > _RIVAL].max()))
        clear = max(0.0, 1.0 - rival / votes[top])
        stands_out = (votes[top] - floor - 0.1) / 0.25
        sure = min(1.0, 1.25 * clear) * min(1.0, max(0.0, stands_out))
        # The top of the parabola through three neighbours.
        before, here, after = np.log(votes[top - 1 : top + 2])
        bend = before - 2.0 * here + after
        aside = 0.5 * (before - after) / bend if bend < 0.0 else 0.0
        return float(_BPMS[top] * _STEP ** min(0.5, max(-0.5, aside))), float(sure)

    def beat(self, hertz: float, expected: float | None) -> tuple[float | None, float | None]:
        """Synchrony, and the phase of the beat now; `expected` is where it should be."""
        once, twice = self._transform(np.array([hertz, 2.0 * hertz])).T
        noise = np.quantile(np.abs(self._amplitudes) ** 2, 0.3, axis=1) / -math.log(0.7)
        synchrony = _synchrony(once, twice, noise, self._presence)
        if synchrony is not None and synchrony < _IN_PHASE:
            return synchrony, None
        weights = self._presence * np.sqrt(self._scale)
        first, second = complex(weights @ once), complex(weights @ twice)
        phase = float(np.angle(first)) / (2.0 * math.pi) % 1.0
        if abs(first) < 0.7 * abs(second):
            # They move twice a beat, and which of the two is the beat shows in what is left.
            if expected is not None:
                phase = expected
            half = float(np.angle(second)) / (4.0 * math.pi)
            phase = (half + 0.5 * round(2.0 * (phase - half))) % 1.0
        return synchrony, phase

    def _votes(self) -> Floats:
        """Share of everyone's movement that a tempo explains, over `_BPMS`."""
        weight = self._presence.sum()
        each = 0.5 * np.abs(self._amplitudes) ** 2 * self._scale[:, None]
        shares = self._presence @ each / weight
        pairs = weight * weight - (self._presence**2).sum()
        if len(each) > 1 and pairs > 0.0:
            together = np.abs((self._presence * np.sqrt(0.5 * self._scale)) @ self._amplitudes) ** 2
            in_phase = (together - self._presence**2 @ each) / pairs
            shares = shares + _TOGETHER * np.maximum(0.0, in_phase)
        votes = np.zeros(_BPMS.size)
        for number, vote in enumerate(_VOTES):
            votes += vote * shares[number * _BPMS.size : (number + 1) * _BPMS.size]
        return np.maximum(votes, 1e-9)

    def _transform(self, hertz: Floats) -> NDArray[np.complex128]:
        """Amplitude and phase now of everyone at some frequencies: shape (bodies, hertz)."""
        angles = 2.0 * np.pi * self._times[:, None] * hertz
        turns = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1).astype(np.float32)
        out = np.empty((len(self._series), turns.shape[1]), np.float32)
        transform(self._series, turns, out)
        return out[:, : hertz.size] + 1j * out[:, hertz.size :].astype(np.float64)


def _synchrony(
    once: NDArray[np.complex128],
    twice: NDArray[np.complex128],
    noise: Floats,
    presence: Floats,
) -> float | None:
    """How much these people move in phase, from their movement once and twice a beat.

    A phase that noise has turned by chance draws the mean cosine of a pair towards 0 by a known
    factor, which is taken out; who is mostly noise counts little. Of phases that are spread
    normally with the resultant R once a beat, the resultant twice a beat is R^4: so those who
    move twice a beat tell of the beat as well.
    """
    squares = np.stack([np.abs(once) ** 2, np.abs(twice) ** 2])
    clean = np.maximum(0.0, squares - noise)
    total = clean.sum(axis=0)
    weight, mean = 0.0, 0.0
    for number, amplitudes in enumerate((once, twice)):
        share = np.divide(clean[number], total, out=np.zeros_like(total), where=total > 0.0)
        ratio = clean[number] / np.maximum(noise, 1e-12)
        sure = np.sqrt(ratio / (ratio + 0.7))
        weights = presence * sure * share
        units = amplitudes / np.maximum(np.abs(amplitudes), 1e-12)
        pairs = float(weights @ sure) ** 2 - float((weights * sure) @ (weights * sure))
        if (weights > 0.05).sum() < 2 or pairs <= 1e-6:
            continue
        cosine = (abs(complex(weights @ units)) ** 2 - float(weights @ weights)) / pairs
        resultant = math.sqrt(min(1.0, max(0.0, cosine)))
        if number == 1:
            # Where it is small, its fourth root is mostly chance.
            pairs *= 0.25 * resultant
            resultant = resultant**0.25
        weight += pairs
        mean += pairs * resultant
    return mean / weight if weight > 0.0 else None
