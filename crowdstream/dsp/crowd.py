"""From two eyes to one crowd: how much it moves, how sure that is, and what the music hears."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from crowdstream.dsp.energy import (
    TIME_BASE_SECONDS,
    TORSO_TO_BODY,
    Anchors,
    body_speeds,
    energy_of,
    torso_lengths,
)
from crowdstream.dsp.follow import Follower
from crowdstream.dsp.groove import GrooveMeter
from crowdstream.dsp.ring import PeopleRing

if TYPE_CHECKING:
    from numpy.typing import NDArray

JITTER: Final = 0.004
"""Trembling of a key point that is taken out, standard deviation in body lengths: what a good
network leaves on a person who stands still."""

POSE_TRUST: Final = 0.92
"""Confidence of energy when joints are seen well: flow adds the rest."""

MOTION_SHARE: Final = 0.2
"""Weight of flow beside pose: it sees the same dance, and light as well."""

UNSEEN_TRUST: Final = 0.6
"""Confidence when pose looks and sees nobody: an empty floor, or people it cannot find."""

FADE_TO_PROGRAMME_SECONDS: Final = 3.0
"""A crowd that nobody sees any more sinks to the programme's level in about ten seconds."""

LARGEST_SHARE: Final = 1.0 / 8.0
"""Of the movement of all, no single body moves the music by more than this."""

PRIOR: Final = 0.1
"""Weight of what was known before, beside what the eyes see now: a glance that trusts itself
little moves little."""

NOBODY_AFTER_SECONDS: Final = 4.0
"""Flow that has seen nothing move for so long looks at an empty floor: two bars of standing
still is no dance."""

LEAST_TRUST: Final = 0.1
"""Eyes that together trust themselves less than this have seen nothing."""

BLIND_SECONDS: Final = 6.0
"""A blackout or a strobe is bridged for so long; then nobody knows any more."""

ONE_DANCER: Final = 0.25
"""Weight of the crowd against the programme when one person dances."""


class Reading(NamedTuple):
    """The crowd at one moment; the fields are those of `packets.Energy`."""

    level: float
    raw: float
    speed: float
    confidence: float
    drive: float
    people: int | None
    arms: float | None
    legs: float | None
    head: float | None
    bounce: float | None
    eyes: tuple[Literal["motion", "pose"], ...]
    state: str


class CrowdMeter:
    """Keeps what each eye saw last and fuses it. Time is handed in; nothing grows."""

    def __init__(
        self,
        *,
        anchors: Anchors = Anchors(),  # noqa: B008  a tuple
        attack_seconds: float = 0.4,
        release_seconds: float = 1.2,
        few_people: int = 8,
        stale_after_seconds: float = 0.6,
    ) -> None:
        """`few_people` dancers have full weight against the programme."""
        self._anchors = anchors
        self._few = few_people
        self._stale_after = stale_after_seconds
        self._ring = PeopleRing()
        self.groove = GrooveMeter()
        self._speed = Follower(attack_seconds, release_seconds)
        self._driving = Follower(attack_seconds, release_seconds)
        self._sinking = Follower(FADE_TO_PROGRAMME_SECONDS, FADE_TO_PROGRAMME_SECONDS)
        self._trust = Follower(0.3, 1.0)
        self._weight = Follower(1.0, 2.0)
        self._drive = Follower(1.0, 1.5)
        self._people_at = -math.inf
        self._pose_at = -math.inf
        self._count: int | None = None
        self._pose_speed: float | None = None
        self._pose_drive = 0.0
        self._parts: tuple[float | None, ...] = (None,) * 4
        self._motion_at = -math.inf
        self._motion_speed = 0.0
        self._motion_trust = 0.0
        self._light = "steady"
        self._level = 0.0
        self._known = False
        self._trusted_at = -math.inf
        self._moved_at = -math.inf
        self._body: float | None = None
        """How tall people here are, as a share of the picture's height, once joints have told."""

    def jump(self) -> None:
        """The source jumped: no speed across it; the level goes on from where it was."""
        self._ring.clear()
        self.groove.jump()
        self._pose_speed = None

    def take_people(
        self,
        keypoints: NDArray[np.float32],
        ids: NDArray[np.int64],
        *,
        at: float,
        intensity: float,
    ) -> Reading:
        """Pose saw these people (shapes (n, 17, 3) and (n,)); `intensity` is the programme's."""
        keypoints = _seen_or_not(keypoints)
        torsos = torso_lengths(keypoints)
        rows = self._ring.write(ids, keypoints, torsos, at)
        then, known, lengths = self._ring.look_back(rows, at, TIME_BASE_SECONDS)
        body = np.where(known, lengths * TORSO_TO_BODY, np.nan)
        self.groove.take_people(keypoints, ids, body, at=at)
        speeds = body_speeds(keypoints, then, body, TIME_BASE_SECONDS, JITTER)
        tall = lengths[np.isfinite(lengths)]
        if tall.size:
            self._body = float(np.median(tall)) * TORSO_TO_BODY
        if not ids.shape[0] and self._count and self._blinded(at):
            # Nobody is seen because nothing is: who was there is still there.
            return self._fuse(at, intensity)
        self._people_at = at
        self._count = int(ids.shape[0])
        seen = np.isfinite(speeds[:, 4])
        if self._count == 0:
            self._pose_at, self._pose_speed, self._pose_drive = at, 0.0, 0.0
            self._parts = (None,) * 4
        elif seen.any():
            self._pose_at = at
            self._pose_speed = float(speeds[seen, 4].mean())
            self._pose_drive = _fair_mean(speeds[seen, 4])
            self._parts = tuple(_mean(speeds[:, part]) for part in range(4))
        return self._fuse(at, intensity)

    def take_motion(
        self,
        speed: float,
        confidence: float,
        light: str,
        *,
        at: float,
        intensity: float,
        person_height: float | None = None,
    ) -> Reading:
        """Flow saw this much movement, in bodies of `person_height` (a share of the picture's).

        Where joints have told how tall people here really are, that counts.
        """
        if person_height is not None and self._body is not None:
            speed *= min(3.0, max(1.0 / 3.0, person_height / self._body))
        if math.isfinite(speed) and math.isfinite(confidence):
            self.groove.take_motion(speed, confidence, at=at)
            self._motion_at = at
            self._motion_speed = max(0.0, speed)
            self._motion_trust = min(1.0, max(0.0, confidence))
            self._light = light
        return self._fuse(at, intensity)

    def _blinded(self, at: float) -> bool:
        """Flow said, a moment ago, that the light hides the people."""
        return self._light in ("dark", "flashing") and at - self._motion_at <= self._stale_after

    def wait(self, at: float, intensity: float) -> Reading:
        """Time passed and no eye said anything."""
        return self._fuse(at, intensity)

    def _fuse(self, at: float, intensity: float) -> Reading:
        # People whose movement nobody knows yet (new ones, or new numbers for old ones) tell
        # nothing new: what was known of the others counts until it is stale.
        pose = at - self._pose_at <= self._stale_after and self._pose_speed is not None
        looking = at - self._people_at <= self._stale_after
        motion = at - self._motion_at <= self._stale_after
        eyes: tuple[Literal["motion", "pose"], ...] = ()
        weights = speed = driving = trust = 0.0
        if pose and self._pose_speed is not None:
            eyes = ("pose",)
            weight = POSE_TRUST if self._count else UNSEEN_TRUST
            weights, speed, driving = weight, weight * self._pose_speed, weight * self._pose_drive
            trust = weight
        if motion:
            eyes = ("motion", *eyes)
            # Where pose looks and sees nobody, what moves is mostly light.
            weight = self._motion_trust * (MOTION_SHARE if pose else 1.0)
            if pose and not self._count:
                weight *= 0.25
            weights += weight
            speed += weight * self._motion_speed
            driving += weight * self._motion_speed
            trust = 1.0 - (1.0 - trust) * (1.0 - weight) if pose else self._motion_trust
        if eyes and weights >= LEAST_TRUST:
            raw_speed = (speed + PRIOR * self._speed.value) / (weights + PRIOR)
            fair_speed = (driving + PRIOR * self._driving.value) / (weights + PRIOR)
            level = energy_of(self._speed.follow(raw_speed, at), self._anchors)
            wanted = energy_of(self._driving.follow(fair_speed, at), self._anchors)
            self._sinking.reset()
            self._sinking.follow(level, at)
            self._known = True
            self._trusted_at = at
            if raw_speed > self._anchors.still:
                self._moved_at = at
            state = self._light if self._light in ("dark", "flashing") and motion else "ok"
        elif (eyes or looking) and at - self._trusted_at <= BLIND_SECONDS:
            # An eye looks and trusts nothing of what it sees (dark, strobe), or the source has
            # just jumped: hold what was known.
            raw_speed, level = self._speed.value, self._level
            wanted = energy_of(self._driving.value, self._anchors)
            state = self._light if self._light != "steady" else "ok"
        else:
            # Nobody looks, or has not seen anything for long: sink to the programme, and start
            # anew from there.
            eyes = ()
            level = self._sinking.follow(intensity, at) if self._known else 0.0
            wanted, raw_speed, state = intensity, self._speed.value, "stale"
            if level == intensity or abs(level - intensity) < 0.02:
                self._speed.reset()
                self._driving.reset()
        self._level = level
        confidence = self._trust.follow(trust, at)
        weight = self._weight.follow(self._crowd_weight(at, fresh=looking) * _ramp(trust), at)
        drive = self._drive.follow(intensity + weight * (wanted - intensity), at)
        count = self._count if looking else None
        parts = self._parts if pose else (None,) * 4
        return Reading(
            level=_unit(level), raw=energy_of(raw_speed, self._anchors), speed=raw_speed,
            confidence=_unit(confidence), drive=_unit(drive), people=count,
            head=parts[0], arms=parts[1], legs=parts[2], bounce=parts[3], eyes=eyes, state=state,
        )  # fmt: skip

    def _crowd_weight(self, at: float, *, fresh: bool) -> float:
        """How much the crowd counts against the programme, by how many are there."""
        if not fresh or self._count is None:
            # Flow cannot count. But where nothing has moved for a while nobody dances.
            return 1.0 if at - self._moved_at <= NOBODY_AFTER_SECONDS else 0.0
        if self._count == 0:
            return 0.0
        share = (self._count - 1) / max(1, self._few - 1)
        return min(1.0, ONE_DANCER + (1.0 - ONE_DANCER) * share)


def _seen_or_not(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy in which joints that are nowhere (NaN, infinite) are joints that are not seen."""
    known = np.array(keypoints, np.float32, order="C")
    known[~np.isfinite(known).all(axis=2)] = 0.0
    return known


def _fair_mean(speeds: NDArray[np.float64]) -> float:
    """The mean, no one counting more than an eighth of the sum; of few, than twice the mean.

    Twice, because within one swing a limb's speed comes to 1.6 times its mean: people who dance
    alike, each at their own moment, all count whole. The sum is that of all as they are: taking
    it again of what was capped would leave, step by step, nothing of seven who dance where one
    stands.
    """
    limit = float(speeds.sum()) * max(LARGEST_SHARE, 2.0 / speeds.shape[0])
    return float(np.minimum(speeds, limit).mean())


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _ramp(trust: float) -> float:
    """0 up to a trust of 0.1, 1 from 0.5 on."""
    return min(1.0, max(0.0, (trust - 0.1) / 0.4))


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0
