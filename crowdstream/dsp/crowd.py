"""From two eyes to one crowd: how much it moves, how sure that is, and what the music hears."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from crowdstream.dsp.attention import Attention, raised_share
from crowdstream.dsp.energy import (
    TIME_BASE_SECONDS,
    TORSO_TO_BODY,
    Anchors,
    body_speeds,
    energy_of,
    hide_nowhere,
    torso_lengths,
)
from crowdstream.dsp.follow import Follower
from crowdstream.dsp.gate import LightGate
from crowdstream.dsp.glances import Glances
from crowdstream.dsp.groove import GrooveMeter
from crowdstream.dsp.middles import middle_of
from crowdstream.dsp.ring import PeopleRing
from crowdstream.dsp.sides import Sides
from crowdstream.dsp.signals import Shape, Signals, means_of
from crowdstream.dsp.still import Still
from crowdstream.dsp.travel import Travellers, without_travel
from crowdstream.dsp.tremble import Tremble
from crowdstream.dsp.worth import Worth
from crowdstream.dsp.zones import WHOLE, ZoneMap, ZoneMeter, ZoneReading

if TYPE_CHECKING:
    from numpy.typing import NDArray

JITTER: Final = 0.004
"""Trembling of a key point that is taken out, standard deviation in body lengths: what a good
network leaves on a person who stands still."""

PIXEL: Final = 0.8 / 640.0
"""Trembling of a key point as a share of the picture's longer side: a network that looks at 640
pixels places a joint to about 0.8 of one, however small the person is."""

MOST_PIXELS: Final = 1.5 / 640.0
"""What goes to and fro by more than this, of the same, is movement."""

LIT_QUIET: Final = 0.025
"""Deviation of a still person's joints while light moves, in body lengths: a network puts a joint
elsewhere when a beam comes over it, too slowly to be taken for trembling. Whoever moves less then
is not told from a statue; whoever dances reads as in any light."""

POSE_TRUST: Final = 0.92
"""Confidence of energy when joints are seen well: flow adds the rest."""

MOTION_SHARE: Final = 0.2
"""Weight of flow beside pose: it sees the same dance, and light as well."""

UNSEEN_TRUST: Final = 0.6
"""Confidence when pose looks and sees nobody: an empty floor, or people it cannot find."""

FADE_TO_PROGRAMME_SECONDS: Final = 3.0
"""A crowd that nobody sees any more sinks to the programme's level in about ten seconds."""

PRIOR: Final = 0.1
"""Weight of what was known before, beside what the eyes see now: a glance that trusts itself
little moves little."""

NOBODY_AFTER_SECONDS: Final = 4.0
"""Flow that has seen nothing move for so long looks at an empty floor: two bars of standing
still is no dance."""

GAPS_TO_STALE: Final = 2.5
SLOWEST_STALE_SECONDS: Final = 2.0
"""Pose that looks seldom, because the processor is short, is stale after so many of its own gaps,
and at most after so long."""

BEAT_SECONDS: Final = 0.25
"""Smoothing before attack and release: a crowd in phase is fast and slow within each beat, and
quick attack with slow release would ride on the fast moments."""

WORTH_SECONDS: Final = 6.0
"""How slowly flow learns from joints what its own figure is worth in this picture."""

LEAST_TRUST: Final = 0.1
"""Eyes that together trust themselves less than this have seen nothing."""

LONGEST_FLASH_SECONDS: Final = 0.4
"""How long to wait for a look at joints that no darkness lies within."""

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
    attention: float | None
    contraction: float | None
    smoothness: float | None
    density: float | None
    flow: tuple[float, float] | None
    zones: tuple[ZoneReading, ...]


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
        bar_seconds: float = 2.0,
        zones: ZoneMap | None = None,
    ) -> None:
        """`few_people` dancers have full weight against the programme.

        A bar of the music takes about `bar_seconds`: what attention holds is held for bars.
        People are looked up in `zones`: some do not count, some have an energy of their own.
        """
        self._anchors = anchors
        self._few = few_people
        self._stale_after = stale_after_seconds
        self._bar = bar_seconds
        self._pose_stale_after = stale_after_seconds
        self._ring = PeopleRing()
        self._attention = Attention()
        self._gate = LightGate()
        self._glances = Glances()
        self._sides = Sides()
        self._travellers = Travellers()
        self._tremble = Tremble()
        self._still = Still()
        self._signals = Signals()
        self._zones = zones
        self._zone_meter = ZoneMeter(
            zones.names if zones is not None else (),
            anchors=anchors,
            attack_seconds=attack_seconds,
            release_seconds=release_seconds,
        )
        self._beat = Follower(BEAT_SECONDS, BEAT_SECONDS, begins_as_mean=True)
        self._fair_beat = Follower(BEAT_SECONDS, BEAT_SECONDS, begins_as_mean=True)
        self._worth = Worth(WORTH_SECONDS)
        self.groove = GrooveMeter()
        self._speed = Follower(attack_seconds, release_seconds, begins_as_mean=True)
        self._driving = Follower(attack_seconds, release_seconds, begins_as_mean=True)
        self._sinking = Follower(FADE_TO_PROGRAMME_SECONDS, FADE_TO_PROGRAMME_SECONDS)
        self._trust = Follower(0.3, 1.0)
        self._weight = Follower(1.0, 2.0)
        self._drive = Follower(1.0, 1.5)
        self._people_at = -math.inf
        self._pose_at = -math.inf
        self._lit_since: float | None = -math.inf
        """When the first picture after the last that was left out was taken."""
        self._whole_at = -math.inf
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
        self._gate.clear()
        self._forget_joints()
        self.groove.jump()
        self._pose_speed = None

    def take_people(
        self,
        keypoints: NDArray[np.float32],
        ids: NDArray[np.int64],
        *,
        at: float,
        intensity: float,
        aspect: float = 1.0,
    ) -> Reading:
        """Pose saw these people (shapes (n, 17, 3) and (n,)); `intensity` is the programme's.

        `aspect` is the width over the height of the picture.
        """
        glance = self._glances.of(at)
        gate = self._gate.judge(glance.brightness, at)
        if gate == "leave":
            self._lit_since = None
            # Between two flashes, or while the lights are out, nobody is seen; all are there.
            self._people_at = at if self._count is not None else self._people_at
            return self._fuse(at, intensity)
        if self._lit_since is None:
            self._lit_since = at
        if gate == "anew":
            # The groove goes on: where a body was it nearly is, in any light.
            self._ring.clear()
            self._forget_joints()
        keypoints = np.array(keypoints, np.float32, order="C")  # ours, to be changed
        hide_nowhere(keypoints)
        ids = np.ascontiguousarray(ids, np.int64)
        labels = self._zones.of_people(keypoints, aspect) if self._zones is not None else None
        if labels is not None and not labels.all():
            there = labels != 0
            keypoints, ids, labels = keypoints[there], ids[there], labels[there]
        torsos = torso_lengths(keypoints)
        rows = self._ring.rows_of(ids, at)
        self._sides.keep(rows, ids, keypoints, torsos, at)
        self._still.doubt(rows, ids, keypoints, torsos, at)
        self._ring.write(ids, keypoints, torsos, at, rows)
        then, known, lengths = self._ring.look_back(rows, at, TIME_BASE_SECONDS)
        body = np.where(known, lengths * TORSO_TO_BODY, np.nan)
        longer = max(1.0, aspect)
        trembles = self._tremble.see(
            rows, ids, keypoints, at, least=PIXEL * longer, most=MOST_PIXELS * longer
        )
        jitter = np.hypot(JITTER, trembles / body)
        moving_light = self._light == "moving" and at - self._motion_at <= self._stale_after
        speeds = without_travel(
            body_speeds(keypoints, then, body, TIME_BASE_SECONDS, jitter),
            keypoints, then, body, self._travellers.see(rows, ids, keypoints, at, glance.shifted),
            seconds=TIME_BASE_SECONDS, jitter=jitter,
            camera_y=glance.camera[1] * TIME_BASE_SECONDS,
        )  # fmt: skip
        quiet = np.hypot(jitter, LIT_QUIET) if moving_light else jitter
        self._still.quieten(rows, ids, speeds, quiet, at)
        if labels is not None:
            self._zone_meter.take_people(labels, speeds[:, 4])
            counted = labels >= WHOLE
            if not counted.all():
                # A zone beside the floor counts for itself alone.
                rows, ids, lengths = rows[counted], ids[counted], lengths[counted]
                keypoints, then, speeds = keypoints[counted], then[counted], speeds[counted]
                body = body[counted]
        self.groove.take_people(keypoints, ids, body, at=at)
        self._signals.see(
            rows, ids, keypoints, then, lengths * TORSO_TO_BODY, speeds, at,
            camera=glance.camera,
        )  # fmt: skip
        if math.isfinite(tall := middle_of(lengths)):
            self._body = tall * TORSO_TO_BODY
        if not ids.shape[0] and self._count and self._blinded(at):
            # Nobody is seen because nothing is: who was there is still there.
            return self._fuse(at, intensity)
        gap = at - self._people_at
        self._pose_stale_after = max(
            self._stale_after, min(SLOWEST_STALE_SECONDS, GAPS_TO_STALE * gap)
        )
        self._people_at = at
        self._count = int(ids.shape[0])
        self._attention.see(raised_share(keypoints, speeds), self._count, at)
        if self._count == 0:
            self._pose_at, self._pose_speed, self._pose_drive = at, 0.0, 0.0
            # Who has left has no beat to be smoothed over.
            self._beat.reset()
            self._fair_beat.reset()
            self._parts = (None,) * 4
        else:
            *parts, speed, fair = means_of(speeds)
            # Where pictures were left out within the time base a swing to and fro is cut short;
            # so wait for two pictures of the same flash, if flashes are as long as that.
            whole = at - self._lit_since >= TIME_BASE_SECONDS - 1e-6
            if math.isfinite(speed) and (whole or at - self._whole_at > LONGEST_FLASH_SECONDS):
                self._whole_at = at if whole else self._whole_at
                self._pose_at, self._pose_speed, self._pose_drive = at, speed, fair
                self._parts = tuple(part if math.isfinite(part) else None for part in parts)
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
        camera: tuple[float, float] = (0.0, 0.0),
        brightness: float | None = None,
        zones: tuple[float, ...] = (),
    ) -> Reading:
        """Flow saw this much movement, in bodies of `person_height` (a share of the picture's).

        Where joints have told how tall people here really are, that counts; `camera` is how fast
        the camera's own movement shifts the picture, `brightness` its mean grey level, 0 to 1,
        and `zones` the same speed in each zone.
        """
        if person_height is not None and self._body is not None:
            taller = min(3.0, max(1.0 / 3.0, person_height / self._body))
            speed *= taller
            zones = tuple(one * taller for one in zones)
        if math.isfinite(speed) and math.isfinite(confidence):
            self._glances.add(at, brightness, camera)
            self.groove.take_motion(speed, confidence, at=at)
            self._motion_at = at
            self._motion_speed = max(0.0, speed)
            self._motion_trust = min(1.0, max(0.0, confidence))
            self._light = light
            self._zone_meter.take_motion(zones, self._motion_trust)
        return self._fuse(at, intensity)

    def _forget_joints(self) -> None:
        """What was learned of each body does not go on."""
        self._sides.clear()
        self._travellers.clear()
        self._tremble.clear()
        self._still.clear()
        self._signals.clear()

    def _blinded(self, at: float) -> bool:
        """Flow said, a moment ago, that the light hides the people."""
        return self._light in ("dark", "flashing") and at - self._motion_at <= self._stale_after

    def wait(self, at: float, intensity: float) -> Reading:
        """Time passed and no eye said anything."""
        return self._fuse(at, intensity)

    def _fuse(self, at: float, intensity: float) -> Reading:
        # People whose movement nobody knows yet (new ones, or new numbers for old ones) tell
        # nothing new: what was known of the others counts until it is stale.
        pose = at - self._pose_at <= self._pose_stale_after and self._pose_speed is not None
        looking = at - self._people_at <= self._pose_stale_after
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
            moved = self._motion_speed * self._worth_of_flow(at, pose=pose)
            if pose and self._pose_speed is not None:
                # Where the two contradict each other joints are right: light has none.
                ratio = (moved + self._anchors.still) / (self._pose_speed + self._anchors.still)
                weight *= min(ratio, 1.0 / ratio)
            weights += weight
            speed += weight * moved
            driving += weight * moved
            trust = 1.0 - (1.0 - trust) * (1.0 - weight) if pose else self._motion_trust
        if eyes and weights >= LEAST_TRUST:
            raw_speed = (speed + PRIOR * self._speed.value) / (weights + PRIOR)
            fair_speed = (driving + PRIOR * self._driving.value) / (weights + PRIOR)
            steady, fair = self._beat.follow(raw_speed, at), self._fair_beat.follow(fair_speed, at)
            level = energy_of(self._speed.follow(steady, at), self._anchors)
            wanted = energy_of(self._driving.follow(fair, at), self._anchors)
            self._sinking.reset()
            self._sinking.follow(level, at)
            self._known = True
            self._trusted_at = at
            if raw_speed > self._anchors.still:
                self._moved_at = at
            state = self._light if self._light != "steady" and motion else "ok"
        elif (eyes or looking) and at - self._trusted_at <= BLIND_SECONDS:
            # An eye looks and trusts nothing of what it sees (dark, strobe), or the source has
            # just jumped: hold what was known. What is held does not fall behind: else the first
            # glance after it would count for all that was not seen.
            for follower in (self._speed, self._driving, self._beat, self._fair_beat):
                follower.hold(at)
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
                for follower in (self._speed, self._driving, self._beat, self._fair_beat):
                    follower.reset()
        self._level = level
        confidence = self._trust.follow(trust, at)
        weight = self._weight.follow(self._crowd_weight(at, fresh=looking) * _ramp(trust), at)
        drive = self._drive.follow(intensity + weight * (wanted - intensity), at)
        if not looking:
            self._attention.blind()
        level, drive = self._attention.lift(level, drive, at, bar_seconds=self._bar)
        count = self._count if looking else None
        parts = self._parts if pose else (None,) * 4
        return Reading(
            level=_unit(level), raw=energy_of(raw_speed, self._anchors), speed=raw_speed,
            confidence=_unit(confidence), drive=_unit(drive), people=count,
            head=parts[0], arms=parts[1], legs=parts[2], bounce=parts[3], eyes=eyes, state=state,
            attention=self._attention.level if looking else None,
            zones=self._zone_meter.read(at, pose=looking, motion=motion),
            **(self._signals.shape if looking else Shape())._asdict(),
        )  # fmt: skip

    def _worth_of_flow(self, at: float, *, pose: bool) -> float:
        """Factor on what flow says: how it compared with joints while both saw the same people.

        Flow sees sleeves and shadows, whole bodies where they walk, and how tall people are it
        does not know: what it is worth in this picture joints can teach it.
        """
        if pose and self._count and self._pose_speed is not None:
            self._worth.compare(self._pose_speed, self._motion_speed, at)
        return self._worth.factor

    def _crowd_weight(self, at: float, *, fresh: bool) -> float:
        """How much the crowd counts against the programme, by how many are there."""
        if not fresh or self._count is None:
            # Flow cannot count. But where nothing has moved for a while nobody dances.
            return 1.0 if at - self._moved_at <= NOBODY_AFTER_SECONDS else 0.0
        if self._count == 0:
            return 0.0
        share = (self._count - 1) / max(1, self._few - 1)
        return min(1.0, ONE_DANCER + (1.0 - ONE_DANCER) * share)


def _ramp(trust: float) -> float:
    """0 up to a trust of 0.1, 1 from 0.5 on."""
    return min(1.0, max(0.0, (trust - 0.1) / 0.4))


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0
