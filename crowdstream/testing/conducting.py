"""A night without sound: what a conductor did over many bars, its decks followed beat by beat."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from crowdstream.music.conductor import Conductor, Heard, Rules
from crowdstream.music.library import Track
from crowdstream.music.orders import Fade, Jump, Knob, Order, Start, Stop, Sweep
from crowdstream.music.place import Place, bar_of
from crowdstream.music.rules import BASS, DRUMS, VOCALS
from crowdstream.music.transitions import FLAT
from crowdstream.music.voices import Said
from crowdstream.packets import Gains, Mix

Wish = Callable[[int], Mix]

AUDIBLE: Final = 1e-3


def a_wish(
    drive: float = 0.5, *, bpm: float | None = None, gains: Gains | None = None,
    hold: bool = False, skip: int = 0, panic: bool = False, people: int | None = None,
) -> Mix:  # fmt: skip
    """As crossfade_stems and map_tempo would make it of a drive."""
    if gains is None:
        gains = (1.0, 1.0, 1.0 if drive > 0.45 else 0.0, 1.0 if drive > 0.2 else 0.0)
    return Mix(
        seq=0, captured_at=0.0, at=0.1, drive=drive, confidence=1.0,
        bpm=100.0 + 30.0 * drive if bpm is None else bpm, gains=gains, hold=hold, skip=skip,
        panic=panic, people=people,
    )  # fmt: skip


@dataclass
class Course:
    """A gain or a knob over the beats of the timeline."""

    moves: list[tuple[float, float, float, float, float, bool]]
    """Of each: when it was ordered, its start and end, from, to, and whether power is kept."""

    @classmethod
    def constant(cls, value: float) -> Course:
        """Has always been there."""
        return cls([(-math.inf, -math.inf, -math.inf, value, value, False)])

    def move(self, to: float, start: float, end: float, now: float, *, power: bool) -> None:
        """As a deck does: what is under way is taken over where it is."""
        before = self.at(now)
        if self.moves[-1][2] > now:
            start = min(start, now)
        start = max(start, now)
        self.moves.append((now, start, max(end, now), before, to, power))

    def at(self, beat: float) -> float:
        """The value at a beat."""
        _, start, end, before, to, power = next(m for m in reversed(self.moves) if m[0] <= beat)
        if beat >= end:
            return to
        if beat <= start:
            return before
        s = math.sin(0.5 * math.pi * (beat - start) / (end - start)) ** 2
        if power:
            return math.sqrt(before**2 + (to**2 - before**2) * s)
        return before + (to - before) * s


@dataclass
class DeckRun:
    """A track on a deck, from its start to its stop."""

    deck: int
    track: Track
    start: float
    stop: float = math.inf
    stems: list[Course] = field(default_factory=lambda: [Course.constant(0.0) for _ in range(4)])
    knobs: dict[Knob, Course] = field(
        default_factory=lambda: {knob: Course.constant(value) for knob, value in FLAT.items()}
    )
    offsets: list[tuple[float, int]] = field(default_factory=list)

    def gain(self, stem: int, beat: float) -> float:
        """What is heard of a stem."""
        if not self.start <= beat < self.stop:
            return 0.0
        return self.stems[stem].at(beat) * self.knobs["gain"].at(beat)

    def low(self, beat: float) -> float:
        """What is heard below 150 Hz: of the drums or the bass, whichever is more."""
        groove = max(self.gain(DRUMS, beat), self.gain(BASS, beat))
        return groove * self.knobs["low"].at(beat)

    def offset(self, beat: float) -> int:
        """Bar of the track minus bar of the timeline."""
        return next(offset for at, offset in reversed(self.offsets) if at <= beat)


@dataclass
class Night:
    """What a conductor did over many bars."""

    tempi: list[float] = field(default_factory=list)
    """At each bar line."""

    states: list[str] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    tracks: list[tuple[int, Track, int]] = field(default_factory=list)
    """Bar, track, offset of each start and each jump."""

    runs: list[DeckRun] = field(default_factory=list)
    fades: list[tuple[Fade, Track, int]] = field(default_factory=list)
    """Each fade, with track and offset of its deck."""

    heard: list[dict[int, dict[int, float]]] = field(default_factory=list)
    """For each bar, deck -> stem -> factor, once all fades of its line are done."""

    audible: list[list[Track]] = field(default_factory=list)
    levels: list[Gains] = field(default_factory=list)
    coming: list[tuple[str | None, int | None, int | None]] = field(default_factory=list)
    """For each bar what was announced: the next track's id, bars to it, bars to the drop."""

    def changes(self) -> list[tuple[int, Track, int]]:
        """The starts that brought another track, not another place of the same."""
        first = self.tracks[:1]
        return first + [b for a, b in pairwise(self.tracks) if a[1].id != b[1].id]

    def place(self, bar: int) -> tuple[Track, int]:
        """What was playing just before a bar line, and its offset."""
        return next((t, o) for start, t, o in reversed(self.tracks) if start < bar)

    def events(self, name: str) -> list[Said]:
        """All decisions of one kind."""
        return [said for said in self.said if said.event == name]

    def together(self, step: float = 0.125) -> Iterator[tuple[float, DeckRun, DeckRun]]:
        """Every eighth of a beat at which two decks are taken, and which."""
        for one, other in pairwise(self.runs):
            end = min(one.stop, len(self.tempi) * 4.0)
            beat = other.start
            while beat < end:
                yield beat, one, other
                beat += step


def a_night(
    bars: int, wish: Wish, *, rules: Rules, library: Sequence[Track],
    ready: Callable[[int], bool] = lambda _: True, seed: int = 0, history: Sequence[Heard] = (),
    broken: Sequence[str] = (), place: Place | None = None,
) -> Night:  # fmt: skip
    """Let it conduct for so many bars, from `place` on; `wish` is asked for each."""
    conductor = Conductor(library, rules, seed=seed, history=history, place=place)
    for track_id in broken:
        conductor.give_up(track_id)
    night = Night()
    bpm = after = conductor.first_bpm
    decks: dict[int, DeckRun] = {}
    first = bar_of(place.beat) if place is not None and conductor.goes_on else 0
    for bar in range(first, first + bars):
        now = 4.0 * bar - 1.0
        conductor.hear(wish(bar))
        _carry_out(conductor.gesture(now - 1.0), now - 1.0, bar, decks, night)
        loaded = conductor.next
        plan = conductor.plan(bar, bpm=after, ready=ready(bar))
        started = [order.track for order in plan.orders if isinstance(order, Start)]
        assert all(track is loaded for track in started), "what was not loaded is started"
        for deck in [deck for deck, run in decks.items() if run.stop <= 4 * bar]:
            del decks[deck]
        _carry_out(plan.orders, now, bar, decks, night)
        bpm, after = plan.bpm if plan.at_once else after, plan.bpm
        night.tempi.append(bpm)
        night.states.append(conductor.state)
        night.said += plan.said
        night.levels.append(conductor.levels())
        targets = {
            deck: {stem: run.stems[stem].moves[-1][4] for stem in range(4)}
            for deck, run in decks.items()
        }
        night.heard.append(targets)
        night.audible.append([run.track for run in decks.values()])
        track, to_next = conductor.coming(bar)
        night.coming.append((track.id if track else None, to_next, conductor.bars_to_drop(bar)))
    return night


def _carry_out(
    orders: Sequence[Order], now: float, bar: int, decks: dict[int, DeckRun], night: Night
) -> None:
    for order in orders:
        if isinstance(order, Start):
            assert order.deck not in decks, "a deck that still plays is started"
            run = DeckRun(order.deck, order.track, now, offsets=[(now, order.offset)])
            decks[order.deck] = run
            night.runs.append(run)
            night.tracks.append((bar, order.track, order.offset))
            continue
        run = decks[order.deck]
        if isinstance(order, Fade):
            night.fades.append((order, run.track, run.offsets[-1][1]))
            course = run.stems[order.stem]
            course.move(order.to, order.start, order.end, now, power=order.law == "power")
        elif isinstance(order, Sweep):
            run.knobs[order.knob].move(order.to, order.start, order.end, now, power=False)
        elif isinstance(order, Jump):
            run.offsets.append((order.beat, order.offset))
            night.tracks.append((bar, run.track, order.offset))
        elif isinstance(order, Stop):
            run.stop = order.beat


def clashes(night: Night) -> list[tuple[float, str]]:
    """Moments at which two decks have the bass, the voice or the low band.

    The beat before a line, in which the low band changes hands, counts for the low band only if
    both have more than all of it together.
    """
    found = []
    for beat, one, other in night.together():
        for stem, name in ((BASS, "bass"), (VOCALS, "voice")):
            if min(one.gain(stem, beat), other.gain(stem, beat)) > AUDIBLE:
                found.append((beat, name))
        low = one.low(beat), other.low(beat)
        phrase_begins = math.ceil(beat / 4.0) * 4.0 - beat <= 1.0
        if min(low) > AUDIBLE and not (phrase_begins and sum(low) <= 1.0 + 1e-6):
            found.append((beat, "low"))
    return found
