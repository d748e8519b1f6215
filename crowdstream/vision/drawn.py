"""A crowd that is drawn: people whose movement is known exactly.

It is the source of the demo, the simulator that a venue rehearses with, and the ground truth of
tests. `Crowd` says where everybody's joints are at any moment, and what energy that is by the
published formula; `crowdstream.vision.drawn_picture.Painter` makes pictures of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crowdstream.dsp.energy import (
    TIME_BASE_SECONDS,
    TORSO_TO_BODY,
    Anchors,
    body_speeds,
    crowd_speed,
    energy_of,
    torso_lengths,
)
from crowdstream.errors import UsageError
from crowdstream.packets import Truth
from crowdstream.settings import nearest
from crowdstream.vision.drawn_hiding import hidden_joints
from crowdstream.vision.drawn_motion import (
    MOST_VIGOUR,
    Manners,
    between,
    dance,
    joints_of,
    smooth,
    walk,
)
from crowdstream.vision.drawn_story import SHORTEST_SECONDS, Curve, Story

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_PEOPLE: Final = 120
SLOWEST_BPM: Final = 60.0
FASTEST_BPM: Final = 180.0

HIDDEN: Final = 0.3
"""Confidence of a joint that cannot be seen."""

_EVER: Final = 1e12
_WALK_SPEED: Final = 0.9  # body heights per second
_NEAREST_FOOT: Final = 0.955  # of the picture's height

_VIGOURS: Final = np.array(
    [0.0, 0.06, 0.15, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.125, 2.25, 2.375, 2.5, 2.625,
     2.75, 2.875, 3.0, 3.5, MOST_VIGOUR]
)  # fmt: skip
_SPEEDS: Final = np.linspace(0.0, 3.2, 65)
_WIDTHS: Final = np.linspace(0.0, 2.8, 113)
# Deviations of the phases of a crowd, in radians, from all in phase to none.
_MOMENTS: Final = 29
# At which a dance is measured, over four beats. A prime, so that they fall on as many phases of
# whatever comes round once or twice a beat.


class Crowd:
    """People who dance, as a function of time: any moment can be asked for, in any order.

    The same arguments give the same crowd, to the bit.
    """

    def __init__(
        self,
        *,
        people: int = 12,
        bpm: float = 120.0,
        energy: float = 0.5,
        synchrony: float = 0.7,
        seed: int = 0,
        aspect: float = 16 / 9,
        story: Story | None = None,
    ) -> None:
        """A steady crowd, or, with a story, at most `people` at a time who live through it.

        A story brings its own energy, tempo and synchrony. `energy` 0 to 1 is what the crowd's
        truth comes to over a few beats; `aspect` is width over height of the picture.
        """
        rng = np.random.default_rng((seed, 0xC7))
        self._aspect = aspect
        self._story = story
        self._energy = story.energy if story else Curve([(0.0, energy)])
        self._bpm = story.bpm if story else Curve([(0.0, bpm)])
        self._synchrony = story.synchrony if story else Curve([(0.0, synchrony)])
        spots = _spots(people, aspect, rng)
        self._cast = _cast(spots, story, aspect, rng)
        size = self._cast.x.size
        self._manners = Manners.of(size, rng)
        self._parity = rng.integers(0, 2, size).astype(np.float64)
        self._scatter = _spread_normally(size, rng)
        # With few people chance is a large part of their resultant: the width that gives a
        # synchrony depends on who is there.
        self._synchronies = np.minimum.accumulate(
            [synchrony_of(width * self._scatter) for width in _WIDTHS]
        )
        # The mean over the people stays 1: some dance more than others, the crowd as it is asked.
        zeal = 1.0 + 0.15 * _spread_normally(size, rng).clip(-1.6, 1.6)
        self._zeal = zeal / zeal.mean() if size else zeal
        slowest, fastest = self._bpm.range
        self._tempi = np.unique(np.linspace(slowest, fastest, 4))
        self._vigour_for = self._measure_vigour()
        self._correction = 1.0
        if story is None and people > 0 and energy > 0.0:
            self._correction = self._correct(energy)

    def joints(self, t: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Everyone in view `t` seconds after the beginning, farthest first.

        Joints have the shape (people, 17, 3): x and y in picture heights, y down, then 1 where
        seen and 0.3 where hidden behind somebody or outside the picture. With them the number of
        each person, never used for another.
        """
        joints, ids, _ = self._view(t, np.array([0.0]))
        return joints[0], ids

    def truth(self, t: float) -> Truth:
        """What can be known about the crowd `t` seconds after the beginning."""
        joints, ids, who = self._view(t, np.array([0.0, -TIME_BASE_SECONDS]))
        speed = 0.0
        if ids.size:
            now, then = _all_seen(joints[0]), _all_seen(joints[1])
            speed = crowd_speed(
                body_speeds(now, then, torso_lengths(now) * TORSO_TO_BODY, TIME_BASE_SECONDS, 0.0)
            )
        local = self._local(t)
        at = np.array(local)
        return Truth(
            joints=joints[0],
            ids=ids,
            speed=speed,
            energy=energy_of(speed),
            bpm=float(self._bpm(at)),
            beat_phase=float(self._beats(at) % 1.0),
            synchrony=self._in_phase(at, who),
            scene=self._story.scene(local) if self._story else "",
        )

    def light(self, t: float) -> float:
        """Factor on the light of the room: what the story does to it."""
        return self._story.light(self._local(t)) if self._story else 1.0

    def _local(self, t: float) -> float:
        return t % self._story.seconds if self._story else t

    def _view(
        self, t: float, before: Floats
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.intp]]:
        """Joints at some moments around t of the people who are in view at t: ids, and who."""
        local = self._local(t)
        cast = self._cast
        here = np.flatnonzero((cast.arrives <= local) & (local <= cast.gone))
        places = self._figures((local + before)[:, None], here)
        first = places[0]
        inside = (
            (first[..., 0] >= 0.0) & (first[..., 0] <= self._aspect)
            & (first[..., 1] >= 0.0) & (first[..., 1] <= 1.0)
        )  # fmt: skip
        in_view = inside.any(axis=1)
        here, places, inside = here[in_view], places[:, in_view], inside[in_view]
        joints = np.empty((*places.shape[:3], 3), np.float32)
        joints[..., :2] = places
        joints[..., 2] = 1.0
        hidden = hidden_joints(joints[0], cast.height[here]) | ~inside
        joints[..., 2][:, hidden] = HIDDEN
        night = int(t // self._story.seconds) if self._story else 0
        ids = cast.number[here] + night * cast.x.size
        return joints, ids, here

    def _figures(self, seconds: Floats, who: NDArray[np.intp]) -> Floats:
        """Joints in picture heights, shape (times, who, 17, 2), at times of shape (times, 1)."""
        cast, manners = self._cast, self._manners.take(who)
        x, walking = cast.where(seconds, who)
        speed = self._asked_speed(seconds) * self._zeal[who]
        vigour = self._vigour(self._bpm(seconds), speed, who)
        posture = dance(manners, seconds, self._own_beats(seconds, who), vigour)
        if walking.any():
            steps = walk(manners, seconds, x / cast.height[who])
            posture = between(posture, steps, walking)
        joints = joints_of(posture)
        height = cast.height[who][:, None]
        joints[..., 0] = x[..., None] + height * joints[..., 0]
        joints[..., 1] = cast.foot[who][:, None] - height * joints[..., 1]
        return joints

    def _asked_speed(self, seconds: Floats) -> Floats:
        """v that makes the energy of the moment."""
        return self._correction * speed_of(self._energy(seconds))

    def _beats(self, seconds: Floats) -> Floats:
        return self._bpm.integral(seconds) / 60.0

    def _own_beats(self, seconds: Floats, who: NDArray[np.intp]) -> Floats:
        """Each person's own count: late or early, and starting with either foot."""
        beats = self._beats(seconds) + self._lag(seconds, who)
        return np.asarray(_pace(self._bpm(seconds)) * beats + self._parity[who])

    def _lag(self, seconds: Floats, who: NDArray[np.intp]) -> Floats:
        """In beats: normally spread, and so wide that the synchrony of all is what was asked."""
        width = np.interp(-self._synchrony(seconds), -self._synchronies, _WIDTHS)
        return np.asarray(width / (2.0 * np.pi) * self._scatter[who])

    def _in_phase(self, at: Floats, who: NDArray[np.intp]) -> float:
        """How much these people move in phase, with what chance alone would give taken out."""
        return synchrony_of(2.0 * np.pi * self._lag(at, who))

    def _measure_vigour(self) -> Floats:
        """Vigour that gives each of _SPEEDS, shape (tempi, speeds, people): found by dancing."""
        people = self._cast.x.size
        vigours = np.zeros((self._tempi.size, _SPEEDS.size, people))
        shares = np.arange(_MOMENTS)[:, None] / _MOMENTS
        for number, bpm in enumerate(self._tempi):
            # Four beats of the slower movements: long enough for everything to come round once.
            pace = float(_pace(np.array(bpm)))
            period = 4.0 * 60.0 / (bpm * pace)
            speeds = np.zeros((_VIGOURS.size, people))
            for row, vigour in enumerate(_VIGOURS):
                now, then = (
                    joints_of(
                        dance(
                            self._manners, seconds, seconds * bpm * pace / 60.0 + np.zeros(people),
                            np.full((_MOMENTS, people), vigour),
                        )
                    )
                    for seconds in (shares * period, shares * period - TIME_BASE_SECONDS)
                )  # fmt: skip
                speeds[row] = _speeds(now, then).mean(axis=0)
            # A larger vigour is never less movement, or there would be no way back.
            speeds = np.maximum.accumulate(speeds, axis=0)
            for person in range(people):
                vigours[number, :, person] = np.interp(_SPEEDS, speeds[:, person], _VIGOURS)
        return vigours

    def _vigour(self, bpm: Floats, speed: Floats, who: NDArray[np.intp]) -> Floats:
        """How hard each of these people must dance: between the lines of the measured table."""
        row = np.clip(np.interp(bpm, self._tempi, np.arange(self._tempi.size)), 0, None)
        column = np.clip(speed / (_SPEEDS[1] - _SPEEDS[0]), 0.0, _SPEEDS.size - 1.001)
        low_row, low_column = row.astype(np.intp), column.astype(np.intp)
        high_row = np.minimum(low_row + 1, self._tempi.size - 1)
        low = self._vigour_for[low_row, low_column, who]
        high = self._vigour_for[low_row, low_column + 1, who]
        slower = low + (column - low_column) * (high - low)
        low = self._vigour_for[high_row, low_column, who]
        high = self._vigour_for[high_row, low_column + 1, who]
        faster = low + (column - low_column) * (high - low)
        return np.asarray(slower + (row - low_row) * (faster - slower))

    def _correct(self, energy: float) -> float:
        """Factor on v with which the mean energy comes out: the curve of energy is not straight."""
        bpm = float(self._bpm(np.array(0.0)))
        period = 4.0 * 60.0 / (bpm * float(_pace(np.array(bpm))))
        seconds: Floats = np.arange(float(_MOMENTS))[:, None] * (period / _MOMENTS)
        everyone = np.arange(self._cast.x.size)
        too_little, too_much = 0.5, 1.6
        for _ in range(10):
            self._correction = 0.5 * (too_little + too_much)
            now = self._figures(seconds, everyone)
            then = self._figures(seconds - TIME_BASE_SECONDS, everyone)
            each = _speeds(now, then).mean(axis=1)
            if np.mean([energy_of(float(speed)) for speed in each]) < energy:
                too_little = self._correction
            else:
                too_much = self._correction
        return self._correction


def synchrony_of(phases: Floats) -> float:
    """How much people of these phases (radians, one each) move together, 0 to 1.

    The root of the mean cosine between all pairs, which is their resultant R with the level of
    chance taken out: sqrt((N R^2 - 1) / (N - 1)), and 0 where that is less than chance.
    """
    if phases.size < 2:
        return 0.0
    resultant = abs(np.exp(1j * phases).mean())
    return math.sqrt(max(0.0, (phases.size * resultant**2 - 1.0) / (phases.size - 1.0)))


def speed_of(energy: Floats, anchors: Anchors = Anchors()) -> Floats:  # noqa: B008
    """v that gives an energy: the way back of `energy_of`. Energy 0 is a v of 0."""
    span = anchors.full - anchors.still
    exponent = math.log((anchors.half - anchors.still) / span) / math.log(0.5)
    level = np.clip(energy, 0.0, 1.0)
    # From standing to the smallest energy without a jump.
    return np.asarray((anchors.still + span * level**exponent) * np.minimum(1.0, level / 0.02))


class _Spots(NamedTuple):
    """Places on the floor, farthest first. Arrays of one shape, in picture heights."""

    x: Floats
    foot: Floats
    """Where the ground is."""

    height: Floats
    """Of a body there."""


def _spots(people: int, aspect: float, rng: np.random.Generator) -> _Spots:
    """Rows from far to near, farther rows with smaller people and more of them."""
    if people == 0:
        return _Spots(np.zeros(0), np.zeros(0), np.zeros(0))
    rows = round(float(np.interp(people, [2, 5, 12, 24, 40, 80, 120], [1, 2, 2, 3, 5, 7, 8])))
    nearest_height = float(
        np.interp(people, [1, 3, 8, 20, 40, 80, 120], [0.62, 0.58, 0.50, 0.44, 0.37, 0.30, 0.26])
    )
    farthest_height = nearest_height * (1.0 if rows == 1 else max(0.62, 1.0 - 0.09 * rows))
    # The farthest must have room above for arms in the air.
    farthest_foot = max(_NEAREST_FOOT - 0.105 * (rows - 1), 1.25 * farthest_height + 0.03)
    depth = np.linspace(0.0, 1.0, rows) if rows > 1 else np.array([1.0])
    heights = farthest_height + depth * (nearest_height - farthest_height)
    feet = farthest_foot + depth * (_NEAREST_FOOT - farthest_foot)
    share = np.cumsum(1.0 / heights) / np.sum(1.0 / heights)
    ends = np.round(share * people).astype(int)
    x, foot, height = [], [], []
    for row, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        count = end - begin
        margin = 0.36 * heights[row]
        room = max(aspect - 2.0 * margin, 0.0)
        gap = room / max(count, 1)
        # Each row stands in the gaps of the row before it.
        slots = (np.arange(count) + 0.5 + (0.25 if row % 2 else -0.25) * (rows > 1)) * gap
        x.append(margin + slots + rng.uniform(-0.12, 0.12, count) * gap)
        near = np.full(count, feet[row]) + rng.uniform(-0.010, 0.010, count) * (rows > 1)
        foot.append(near)
        height.append(heights[row] * rng.uniform(0.94, 1.05, count))
    all_x, all_foot, all_height = (np.concatenate(part) for part in (x, foot, height))
    order = np.argsort(all_foot, kind="stable")
    return _Spots(all_x[order], all_foot[order], all_height[order])


@dataclass(frozen=True, slots=True)
class _Cast:
    """Everyone of a night, farthest first. Every array has one number per person."""

    number: NDArray[np.int64]
    x: Floats
    foot: Floats
    height: Floats
    arrives: Floats
    """When they begin to walk in."""

    leaves: Floats
    """When they begin to walk out."""

    gone: Floats
    """When they have walked out."""

    comes_from: Floats
    goes_to: Floats
    """Where, beside the picture."""

    walk_in: Floats
    walk_out: Floats
    """Seconds that the way takes."""

    def where(self, seconds: Floats, who: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """x of each of these people, and how much they walk (0 dances, 1 walks)."""
        since = seconds - self.arrives[who]
        way = np.clip(since / self.walk_in[who], 0.0, 1.0)
        x = self.comes_from[who] + (self.x - self.comes_from)[who] * (1.0 - (1.0 - way) ** 1.3)
        coming = 1.0 - smooth((since - self.walk_in[who] + 0.5) / 1.0)
        since = seconds - self.leaves[who]
        way = np.clip(since / self.walk_out[who], 0.0, 1.0)
        x = x + (self.goes_to - self.x)[who] * way**1.3
        going = smooth((since + 0.4) / 0.9)
        return x, np.maximum(coming, going)


def _cast(spots: _Spots, story: Story | None, aspect: float, rng: np.random.Generator) -> _Cast:
    """Who comes when, to which spot, and leaves when."""
    if story is None:
        visits = [(spot, -_EVER, _EVER) for spot in range(spots.x.size)]
    else:
        visits = _visits(spots, story, aspect, rng)
    spot = np.array([place for place, _, _ in visits], np.intp)
    order = np.argsort(spot, kind="stable")
    spot = spot[order]
    arrives = np.array([at for _, at, _ in visits], np.float64)[order]
    leaves = np.array([at for _, _, at in visits], np.float64)[order]
    x, foot, height = spots.x[spot], spots.foot[spot], spots.height[spot]
    entry = _door(x, height, aspect, rng.random(x.size))
    door = _door(x, height, aspect, rng.random(x.size))
    walk_out = np.abs(door - x) / (_WALK_SPEED * height)
    if story is not None:
        # The last are out of the room before the night ends.
        leaves = np.minimum(leaves, story.seconds - walk_out - 0.2)
    return _Cast(
        number=order.astype(np.int64),
        x=x, foot=foot, height=height, arrives=arrives, leaves=leaves, gone=leaves + walk_out,
        comes_from=entry, goes_to=door, walk_in=np.abs(entry - x) / (_WALK_SPEED * height),
        walk_out=walk_out,
    )  # fmt: skip


def _door(x: Floats, height: Floats, aspect: float, chance: Floats) -> Floats:
    """The side on which somebody comes or goes: most often the nearer one."""
    left = np.where(chance < 0.9, x < 0.5 * aspect, x >= 0.5 * aspect)
    return np.asarray(np.where(left, -0.36 * height, aspect + 0.36 * height))


def _visits(
    spots: _Spots, story: Story, aspect: float, rng: np.random.Generator
) -> list[tuple[int, float, float]]:
    """(spot, arrives, leaves) of everyone, in the order of their coming."""
    free = _by_choice(spots, aspect, rng)
    visits: list[tuple[int, float, float]] = []
    here: list[int] = []
    stay = 0.05 * story.seconds
    for tenth in range(int(story.seconds * 10.0)):
        at = tenth / 10.0
        wanted = round(float(story.heads(np.array(at))) * spots.x.size)
        if wanted > len(here) and free:
            here.append(len(visits))
            visits.append((free.pop(0), at, story.seconds))
        elif wanted < len(here):
            # Who has just come stays for a while.
            settled = [visit for visit in here if visits[visit][1] < at - stay] or here
            visit = settled[int(rng.integers(len(settled)))]
            here.remove(visit)
            spot, arrived, _ = visits[visit]
            visits[visit] = (spot, arrived, at)
            free.append(spot)
    return visits


def _by_choice(spots: _Spots, aspect: float, rng: np.random.Generator) -> list[int]:
    """Spots as people choose them: the middle and the front first, and not too near to others."""
    dislike = np.abs(spots.x / aspect - 0.5) + 0.5 * np.abs(spots.foot - 0.82)
    dislike += rng.uniform(0.0, 0.12, spots.x.size)
    chosen: list[int] = []
    for _ in range(spots.x.size):
        spot = int(np.argmin(dislike))
        chosen.append(spot)
        dislike += 0.6 * np.exp(-(((spots.x - spots.x[spot]) / (0.5 * spots.height)) ** 2))
        dislike[spot] = np.inf
    return chosen


def _spread_normally(people: int, rng: np.random.Generator) -> Floats:
    """Numbers of mean 0 and deviation 1, evenly drawn: as normal with few as with many."""
    if people < 2:
        return np.zeros(people)
    normal = NormalDist()
    values = np.array([normal.inv_cdf((k + 0.5) / people) for k in range(people)])
    return np.asarray(rng.permutation(values / values.std()))


def _pace(bpm: Floats) -> Floats:
    """Movements per beat: to very slow music people move twice a beat, to fast in half time."""
    return np.where(bpm < 78.0, 2.0, np.where(bpm > 150.0, 0.5, 1.0))


def _speeds(now: Floats, then: Floats) -> Floats:
    """v of each person at each time, for joints of shape (times, people, 17, 2)."""
    times, people = now.shape[:2]
    first, last = (
        _all_seen(np.asarray(joints.reshape(-1, 17, 2), np.float32)) for joints in (now, then)
    )
    each = body_speeds(first, last, torso_lengths(first) * TORSO_TO_BODY, TIME_BASE_SECONDS, 0.0)
    return np.asarray(each[:, 4].reshape(times, people))


def _all_seen(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same joints with confidence 1: what moves does so behind somebody, too."""
    seen = np.ones((len(joints), 17, 3), np.float32)
    seen[..., :2] = joints[..., :2]
    return seen


class _Key(NamedTuple):
    """A word of `crowd:…`: the setting of `drawn_crowd` that it gives, and its bounds."""

    setting: str
    least: float
    most: float
    whole: bool = False


_KEYS: Final = {
    "n": _Key("people", 0, MOST_PEOPLE, whole=True),
    "bpm": _Key("bpm", SLOWEST_BPM, FASTEST_BPM),
    "energy": _Key("energy", 0, 1),
    "synchrony": _Key("synchrony", 0, 1),
    "seed": _Key("seed", 0, 2**31 - 1, whole=True),
    "fps": _Key("fps", 1, 120),
    "strobe": _Key("strobe_hz", 0, 25),
    "dark": _Key("darkness", 0, 1),
    "noise": _Key("noise", 0, 60),
    "seconds": _Key("seconds", 0.1, 86_400),
}
_OTHER_KEYS: Final = ("size", "story")
SMALLEST_SIZE: Final = (64, 64)
LARGEST_SIZE: Final = (3840, 2160)
STORIES: Final = ("none", "demo")


def parse_crowd(text: str) -> dict[str, Any]:
    """Settings of the stage `drawn_crowd` from words like `crowd:n=40,bpm=124,energy=0.6,seed=1`.

    Only what is named is in the result. Raises UsageError, one sentence.
    """
    kind, _, words = text.partition(":")
    if kind.strip() != "crowd":
        raise UsageError(f"{text!r} is no drawn crowd; one looks like crowd:n=40,bpm=124")
    settings: dict[str, Any] = {}
    for word in words.split(",") if words.strip() else ():
        key, equals, value = (part.strip() for part in word.partition("="))
        if key not in _KEYS and key not in _OTHER_KEYS:
            raise UsageError(
                f"crowd: there is no {key!r} in a drawn crowd{nearest(key, [*_KEYS, *_OTHER_KEYS])}"
            )
        if not equals or not value:
            raise UsageError(f"crowd: {key} has no value; write {key}=…")
        setting, parsed = _parse(key, value)
        if setting in settings:
            raise UsageError(f"crowd: {key} is given twice; once is enough")
        settings[setting] = parsed
    if settings.get("story", "none") != "none":
        for key in ("bpm", "energy", "synchrony"):
            if key in settings:
                raise UsageError(f"crowd: a story has its own {key}; leave out {key} or the story")
        if settings.get("seconds", SHORTEST_SECONDS) < SHORTEST_SECONDS:
            raise UsageError(
                f"crowd: a story takes at least {SHORTEST_SECONDS:g} seconds, not"
                f" {settings['seconds']:g}"
            )
    return settings


def _parse(key: str, value: str) -> tuple[str, Any]:
    if key == "story":
        if value not in STORIES:
            raise UsageError(f"crowd: there is no story {value!r}{nearest(value, STORIES)}")
        return "story", value
    if key == "size":
        width, _, height = value.lower().partition("x")
        if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
            raise UsageError(f"crowd: size is {value!r}; write it like 1280x720")
        size = (int(width[:6]), int(height[:6]))
        if not all(
            low <= side <= high
            for low, side, high in zip(SMALLEST_SIZE, size, LARGEST_SIZE, strict=True)
        ):
            raise UsageError(
                f"crowd: size is {value}; it lies between {SMALLEST_SIZE[0]}x{SMALLEST_SIZE[1]} and"
                f" {LARGEST_SIZE[0]}x{LARGEST_SIZE[1]}"
            )
        return "size", size
    rule = _KEYS[key]
    kind = "a whole number" if rule.whole else "a number"
    try:
        number = int(value) if rule.whole else float(value)
    except ValueError:
        number = math.nan
    # Not a number is in no range, so that one test refuses both.
    if not rule.least <= number <= rule.most:
        raise UsageError(
            f"crowd: {key} is {value!r}; it is {kind} from {rule.least:g} to {rule.most:.10g}"
        )
    return rule.setting, number
