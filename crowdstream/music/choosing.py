"""Which track comes next: by tempo, freshness, artist, key, and where the floor is heading.

Rules are given up in the order in which it is heard least: first the key (then only drums are
heard of both), then the artist, then freshness, and last the tempo (then the music cuts).
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from crowdstream.music.harmony import fits, shifted
from crowdstream.music.library import Section, Track
from crowdstream.music.rules import Rules
from crowdstream.music.steering import meets, shared, within
from crowdstream.music.voices import Voice

REMEMBERED: Final = 256
"""Tracks of a night: of ten hours and more."""

ARTIST_REST: Final = 10
"""An artist is heard once in so many tracks."""

SLOWEST_GRID: Final = 60.0
FASTEST_GRID: Final = 200.0
"""Tempos that a track may be counted at when its beats are taken twice or every second one."""

_ROOT: Final = math.sqrt(2.0)

# What counts against a track, in BPM that another may be further away.
KEY_COST: Final = 4.0
STRETCH_COST: Final = 0.2
ENERGY_COST: Final = 8.0
WEARY_COST: Final = 5.0
SHIFT_COST: Final = 1.0
OCTAVE_COST: Final = 2.0


class Heard(NamedTuple):
    """A track that was heard tonight."""

    track_id: str
    artist: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A track, and how it got chosen."""

    track: Track
    why: str
    in_key: bool
    """Whether what has a key may be heard of both."""

    shift: int = 0
    """Semitones that it is heard higher than it is."""

    relaxed: tuple[str, ...] = ()
    """Rules that no track could keep."""

    at_once: bool = False
    """It was chosen for the tempo of that moment."""


class Choosing:
    """Remembers what was heard, and chooses. The same questions get the same answers."""

    def __init__(
        self, tracks: Iterable[Track], rules: Rules, *, seed: int = 0,
        history: Sequence[Heard] = (),
    ) -> None:  # fmt: skip
        """`history` is what was heard tonight before, the oldest first."""
        self._tracks = tuple(sorted(tracks, key=lambda track: (track.bpm, track.id)))
        self._rules = rules
        self._random = random.Random(seed)
        self._heard: deque[Heard] = deque(history, maxlen=REMEMBERED)
        self._broken: set[str] = set()
        self._regridded: dict[tuple[str, bool, int], Track] = {}
        self._artists = len({track.artist for track in self._tracks})
        self._energies = {track.id: energy_of(track) for track in self._tracks}
        self._own_bpm = {track.id: track.bpm for track in self._tracks}
        self._keys: dict[tuple[str, str], tuple[int, bool]] = {}

    @property
    def left(self) -> list[Track]:
        """Tracks that can be played."""
        return [track for track in self._tracks if track.id not in self._broken]

    def give_up(self, track_id: str) -> None:
        """This one cannot be loaded."""
        self._broken.add(track_id)

    def renew(self, track: Track) -> None:
        """It is another now, under the same id: from the next choice on. Any thread may call."""
        self._tracks = tuple(track if track.id == one.id else one for one in self._tracks)

    def is_broken(self, track: Track) -> bool:
        """Whether it cannot be loaded."""
        return track.id in self._broken

    def note(self, track: Track) -> None:
        """It is heard now; one that was heard last already is heard on."""
        one = Heard(track.id, track.artist)
        if not self._heard or self._heard[-1] != one:
            self._heard.append(one)

    def counted_as(self, track_id: str, bpm: float) -> Track | None:
        """The track of this id, its beats counted so that they come nearest to `bpm`."""
        found = next((track for track in self.left if track.id == track_id), None)
        return None if found is None else self.in_octave(found, bpm)

    def first(self, bpm: float) -> Track | None:
        """The track to begin with, one not heard tonight if there is one; None without any."""
        heard = {one.track_id for one in self._heard}
        left = [self.in_octave(track, bpm) for track in self.left]
        fresh = [track for track in left if track.id not in heard] or left
        return min(fresh, key=lambda track: abs(track.bpm - bpm)) if fresh else None

    def choose(
        self, now: Voice, *, wanted: float, bpm: float, bars: int, energy: float, at_once: bool
    ) -> Choice | None:
        """The track that fits best; None when there is no other.

        Args:
            now: what is heard.
            wanted: tempo that is wished for.
            bpm: tempo of now.
            bars: until the next track comes in: so far the tempo may move.
            energy: where the floor is heading, 0 to 1.
            at_once: only what meets the tempo of now, if there is such a track.
        """
        others = [
            self.in_octave(track, now.track.bpm)
            for track in self.left
            if track.id != now.track.id
        ]  # fmt: skip
        if not others:
            return None
        relaxed: list[str] = []
        leash = self._rules.leash
        pool = [t for t in others if shared([now.track, t], leash) is not None]
        if at_once:
            pool = [t for t in pool if meets(bpm, [now.track, t], leash)]
        if not pool:
            relaxed.append("no track meets this tempo")
            pool = [self.in_octave(track, wanted) for track in others]
        pool = self._fresh(pool, relaxed)
        weary = self._weariness()
        best = min(
            pool,
            key=lambda t: self._cost(t, now, wanted, bpm, bars, energy) + weary.get(t.id, 0.0),
        )
        shift, in_key = self._shift(now.key, best.key)
        key = shifted(best.key, shift) if shift else best.key
        if not in_key:
            known = now.key and key
            relaxed.append(f"{now.key} and {key} clash" if known else "a key is not known")
        why = f"{best.bpm:g} BPM for a wish of {wanted:.1f}, {now.key} to {key}"
        return Choice(best, why, in_key, shift, tuple(relaxed), at_once)

    def _fresh(self, pool: list[Track], relaxed: list[str]) -> list[Track]:
        """Those that were not heard tonight, by artists not heard lately."""
        heard = {one.track_id for one in self._heard}
        fresh = [track for track in pool if track.id not in heard]
        if not fresh:
            relaxed.append("all that fit were heard tonight")
            fresh = pool
        if self._artists < 2:
            return fresh
        lately = {one.artist for one in list(self._heard)[-ARTIST_REST:]}
        others = [track for track in fresh if track.artist not in lately]
        if not others:
            relaxed.append("the artist was heard lately")
        return others or fresh

    def _cost(
        self, track: Track, now: Voice, wanted: float, bpm: float, bars: int, energy: float
    ) -> float:
        rules = self._rules
        cost = abs(within(wanted, [track], rules.leash) - wanted)
        cost += STRETCH_COST * abs(track.bpm - wanted)
        meet = shared([now.track, track], rules.leash)
        if meet is not None:
            reach = bars * (rules.slope_down if wanted < bpm else rules.slope_up)
            far = max(meet[0] - bpm, bpm - meet[1], 0.0)
            cost += max(0.0, far - reach)
        shift, in_key = self._shift(now.key, track.key)
        cost += SHIFT_COST * abs(shift) + (0.0 if in_key else KEY_COST)
        cost += ENERGY_COST * abs(self._energies[track.id] - energy)
        cost += OCTAVE_COST * (track.bpm != self._own_bpm[track.id])
        return cost + 0.01 * self._random.random()

    def _weariness(self) -> dict[str, float]:
        """Each time that a track was heard counts, and less the longer ago it is."""
        weary: dict[str, float] = {}
        for age, one in enumerate(reversed(self._heard), 1):
            weary[one.track_id] = weary.get(one.track_id, 0.0) + WEARY_COST / age
        return weary

    def _shift(self, now: str, key: str) -> tuple[int, bool]:
        """The fewest semitones by which two keys agree, and whether any do."""
        answer = self._keys.get((now, key))
        if answer is None:
            answer = self._keys[now, key] = self._find_shift(now, key)
        return answer

    def _find_shift(self, now: str, key: str) -> tuple[int, bool]:
        try:
            for size in range(self._rules.most_shift + 1):
                for shift in (size, -size):
                    if fits(now, shifted(key, shift)):
                        return shift, True
        except ValueError:
            pass  # a key that nobody knows agrees with none
        return 0, False

    def in_octave(self, track: Track, bpm: float) -> Track:
        """The track, its beats counted so that they come nearest to `bpm`: 64 fits 128.

        The same track object for the same answer.
        """
        power = int(track.bpm * _ROOT < bpm) - int(track.bpm > bpm * _ROOT)
        if power == 0 or not SLOWEST_GRID <= track.bpm * 2.0**power <= FASTEST_GRID:
            return track
        key = (track.id, track.whole, power)
        if key not in self._regridded:
            self._regridded[key] = _counted_at(track, power) or track
        return self._regridded[key]


def energy_of(track: Track) -> float:
    """How much energy a track has, 0 to 1: as its library says, or guessed from its form.

    Faster music, and music that is a drop for longer, asks more of a floor.
    """
    if track.energy is not None:
        return track.energy
    dropped = sum(section.bars for section in track.sections if section.name == "drop")
    share = dropped / track.bars if track.bars else 0.0
    guess = 0.5 + (track.bpm - 116.0) / 64.0 + 0.5 * (share - 0.2)
    return min(max(guess, 0.0), 1.0)


def _counted_at(track: Track, power: int) -> Track | None:
    """The same track with twice as many beats (power 1) or half as many (-1); None if too short."""
    factor = 2.0**power
    sections, bar = [], 0
    for section in track.sections:
        end = int((section.bar + section.bars) * factor)
        if end > bar:
            sections.append(Section(section.name, bar, end - bar))
            bar = end
    if bar < 1:
        return None
    stops = tuple((beat * factor, beats * factor) for beat, beats in track.stops)
    return replace(
        track, bpm=track.bpm * factor, bars=bar, sections=tuple(sections), stops=stops
    )  # fmt: skip
