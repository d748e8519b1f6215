"""The mixer: renders the music, a quantum of 256 samples at a time, from the newest wish.

The same object plays live and into a file, so what is tested offline is what is heard. All sound
goes two decks -> sum -> fade of everything -> limiter, and beside it, where that is asked for, to a
cue and as single stems (`player/pairs.py`); the limiter's delay is part of the timeline, so a beat
is heard exactly where the timeline says. What the stretchers must know ahead is asked of the
timeline too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.dsp import fades, limiter
from crowdstream.dsp.limiter import Limiter
from crowdstream.dsp.loudness import ShortTerm
from crowdstream.music.conductor import PHRASE, Conductor, Heard, Rules
from crowdstream.music.orders import Fade, Jump, Order, Start, Stop, Sweep
from crowdstream.music.place import Place, bar_of
from crowdstream.music.timeline import BEATS_PER_BAR, QUANTUM, Timeline
from crowdstream.packets import Mix, Playing, ShowEvent
from crowdstream.player.cue import CueDeck, to_cue
from crowdstream.player.deck import KNOBS, Deck
from crowdstream.player.facts import NO_DECK, state_of
from crowdstream.player.kept import place_of
from crowdstream.player.kicks import nudge_beats
from crowdstream.player.pairs import HOUSE, Beside, Pairs
from crowdstream.player.peaks import true_peak_of
from crowdstream.player.ride import RAMP_BEATS, Ride
from crowdstream.player.stretch import AHEAD_QUANTA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.music.library import Track

__all__ = ["QUANTUM", "Mixer", "Rules"]

LEVEL_OF_SILENT: Final = 1.0e-3
"""A stem that nobody wishes for keeps its level; a level is never 0."""

WAITING_WISHES: Final = 256
WAITING_EVENTS: Final = 256

AGAIN_SECONDS: Final = 0.2
"""Of the fade-in when the music goes on after its player was lost."""

Load = Callable[["Track"], "NDArray[np.int16] | None"]


class Mixer:
    """Two decks, the conductor over them, and one stereo sum; other pairs beside it if wanted."""

    def __init__(
        self,
        tracks: Sequence[Track],
        load: Load,
        *,
        rate: int = 44100,
        seed: int = 0,
        rules: Rules = Rules(),  # noqa: B008  frozen
        start: float = 0.0,
        history: Sequence[Heard] = (),
        pairs: Pairs = HOUSE,
        armed: bool = False,
        place: Place | None = None,
    ) -> None:
        """Ready to render; nothing is loaded yet.

        Args:
            tracks: what may be played.
            load: the stems of a track at `rate`, shape (4, samples, 2); None when they are not
                there yet: then it is asked again a bar later. Offline it decodes at once.
            rate: samples a second.
            seed: of everything that is left to chance.
            rules: how the music may be moved.
            start: seconds on the clock of the packets at sample 0, for the events.
            history: what was heard tonight before, the oldest first.
            pairs: what a quantum holds.
            armed: everything is ready and silent until `begin`.
            place: where the music that was lost is by now; it goes on there, if it can be.

        Raises:
            ConfigError: no tracks.
        """
        self.rate = rate
        self.position = 0
        """Samples rendered."""

        self.conductor = Conductor(tracks, rules, seed=seed, history=history, place=place)
        self.goes_on = self.conductor.goes_on
        """It begins where `place` is, if its track comes in time, and not with a night."""

        self.timeline = Timeline(rate, self.conductor.first_bpm, first_sample=limiter.DELAY)
        self._rules = rules
        self._load = load
        self._start = start
        first, second = (
            Deck(
                rate, rules.loudness_lufs, engine=rules.stretch, ceiling_db=rules.ceiling_db,
                apart=pairs.stems,
            )
            for _ in range(2)
        )  # fmt: skip
        self._decks = (first, second)
        self._ahead = np.zeros(AHEAD_QUANTA - 1)
        self._standby: tuple[Track, NDArray[np.int16]] | None = None
        self._wishes: deque[tuple[int, Mix]] = deque(maxlen=WAITING_WISHES)
        self._wished_at = 0
        self._next_bar = 0
        self._said: deque[tuple[float, str, str, dict[str, object]]] = deque(maxlen=WAITING_EVENTS)
        self._events: deque[ShowEvent] = deque(maxlen=WAITING_EVENTS)
        self._sum = np.zeros((QUANTUM, 2), np.float32)
        self._ramp = np.zeros((QUANTUM, 1), np.float32)
        self._steps = (np.arange(1, QUANTUM + 1, dtype=np.float32) / QUANTUM)[:, np.newaxis]
        self._ride = Ride(rate)
        self._riding = self._ride_to = 1.0
        self._limiter = Limiter(rate, rules.ceiling_db)
        self._meter = ShortTerm(rate)
        self._peak = 0.0
        self._limited = 1.0
        self._master = self._master_to = 0.0
        self._master_step = 1.0
        cue = CueDeck(rate, rules) if pairs.cue else None
        self._beside = None if pairs.only_house else Beside(pairs, cue)
        self._armed = armed
        self._told = False
        self._rises_at = math.inf
        """Beat at which the fade-in of an armed start begins."""

        if not armed:
            self.fade_to(1.0, AGAIN_SECONDS if self.goes_on else rules.fade_in_seconds)
        if self.goes_on and place is not None:
            self.begin_at(place.beat)

    def begin_at(self, beat: float) -> None:
        """This beat of the timeline is heard at sample 0; before the first quantum only."""
        bpm, ahead = self.conductor.first_bpm, limiter.DELAY / self.rate
        self.timeline = Timeline(
            self.rate, bpm, first_sample=limiter.DELAY, first_beat=beat + ahead * bpm / 60.0
        )
        self._next_bar = bar_of(self.timeline.beat)

    # ---- wishes and controls -----------------------------------------------------------------

    def take(self, mix: Mix, *, sample: int) -> None:
        """A wish; it takes effect at the first quantum at or after `sample`.

        Of those that are due the one taken last counts, and replaces all taken before it. May be
        called by another thread than the one that renders.
        """
        self._wishes.append((sample, mix))

    def fade_to(self, gain: float, seconds: float) -> None:
        """Move everything to a factor within so many seconds: a mute, the end of the night."""
        self._master_to = gain
        quanta = seconds * self.rate / QUANTUM
        self._master_step = abs(gain - self._master) / quanta if quanta >= 1.0 else 1.0

    def begin(self) -> None:
        """Armed: the music begins on the next one, with the fade-in. Any thread may call it."""
        self._told = True

    def end(self, seconds: float) -> None:
        """Everything fades out, the cue as well."""
        self.fade_to(0.0, seconds)
        if self._beside is not None and self._beside.cue is not None:
            self._beside.cue.close()

    def prefetch(self) -> Track | None:
        """What should be loaded next; None while that is open or it is here already."""
        track, standby = self.conductor.next, self._standby
        here = standby is not None and standby[0] is track
        return None if here else track

    def renew(self, track: Track) -> None:
        """It has stems now; what sounds goes on as it was. Any thread may call."""
        self.conductor.renew(track)

    def give_up(self, track: Track) -> bool:
        """This track cannot be loaded: play others. False when none is left."""
        return self.conductor.give_up(track.id)

    # ---- sound -------------------------------------------------------------------------------

    def render(self, out: NDArray[np.float32]) -> None:
        """The next quantum into `out`, shape (QUANTUM, 2), or as wide as all pairs together.

        Realtime-safe: yes, when `load` is; once a bar it plans in plain Python.
        """
        timeline, beside = self.timeline, self._beside
        self._hear()
        begin = timeline.beat
        if begin >= self._next_bar * BEATS_PER_BAR - 1.0:
            self._conduct(self._next_bar, begin)
            self._next_bar += 1
        if begin >= self._rises_at:
            self._rises_at = math.inf
            self.fade_to(1.0, self._rules.fade_in_seconds)
        timeline.advance()
        end = timeline.beat
        most_db = self._rules.slew_db_per_beat * (end - begin)
        self._sum.fill(0.0)
        house, stems = out, None
        if beside is not None:
            house, stems = beside.house, beside.stems
            if stems is not None:
                stems.fill(0.0)
        timeline.look_ahead(self._ahead)
        for deck in self._decks:
            deck.render(begin, end, most_db, self._sum, self._ahead, stems)
        self._ride_along(begin, end, stems)
        self._fade_everything(stems)
        if beside is None:
            self._limiter.limit(self._sum, house)
        else:
            self._limiter.limit(self._sum, house, beside.gains)
            beside.write(out)
            if beside.cue is not None:
                coming = to_cue(self.conductor, self._decks, self._standby)
                beside.cue.render(coming, begin, end, self._ahead, out, beside.cue_column)
        self._limited = min(self._limited, self._limiter.lowest)
        self._meter.measure(house)
        self._peak = max(self._peak, float(house.max()), -float(house.min()))
        self.position += QUANTUM
        while self._said and self._said[0][0] <= end:
            self._stamp(*self._said.popleft())

    def _hear(self) -> None:
        """Wishes that are due, and their absence."""
        conductor = self.conductor
        changed = False
        wishes = self._wishes
        due = 0
        for place in range(len(wishes)):
            if wishes[place][0] <= self.position:
                due = place + 1
        if due:
            for _ in range(due - 1):
                wishes.popleft()
            conductor.hear(wishes.popleft()[1])
            self._wished_at = self.position
            changed = True
        silent_seconds = (self.position - self._wished_at) / self.rate
        if silent_seconds > self._rules.hold_seconds and not conductor.alone:
            conductor.hear_nothing()
            changed = True
        if changed:
            self._set_levels()
            for order in conductor.gesture(self.timeline.beat):
                self._carry_out(order, self.timeline.beat)

    def _set_levels(self) -> None:
        levels = self.conductor.levels()
        for deck in self._decks:
            for stem, level in enumerate(levels):
                if level > LEVEL_OF_SILENT:
                    deck.wanted[stem] = level

    def _conduct(self, bar: int, now: float) -> None:
        """Ask what happens at the next bar line, and see to it."""
        conductor = self.conductor
        near = conductor.voice is None or (
            conductor.leave_bar is not None and conductor.leave_bar - bar < PHRASE
        )
        wanted = conductor.next
        if wanted is not None and near and self.prefetch() is not None:
            stems = self._load(wanted)
            if stems is not None:
                self._standby = (wanted, stems)
        ready = self._standby is not None and self._standby[0] is wanted
        if self._armed and not self._told:
            ready = False
        plan = conductor.plan(bar, bpm=self.timeline.bpm_at_bar_end, ready=ready)
        if self._armed and conductor.voice is not None:
            self._armed, self._rises_at = False, float(bar * BEATS_PER_BAR)
        self._set_levels()
        self.timeline.steer(plan.bpm, at_once=plan.at_once)
        for order in plan.orders:
            self._carry_out(order, now)
        self._ride_to = self._ride.factor(
            bar, self._decks, conductor.transition, conductor.levels_alone()
        )
        for said in plan.said:
            self._said.append((said.bar * BEATS_PER_BAR, said.event, said.why, said.facts))

    def _carry_out(self, order: Order, now: float) -> None:
        """Hand an order to its deck."""
        deck = self._decks[order.deck]
        match order:
            case Start():
                stems, offset = self._stems_of(order.track), order.offset * BEATS_PER_BAR
                deck.load(
                    order.track, stems, offset, shift=order.shift,
                    true_peak_db=true_peak_of(order.track, stems),
                    nudge=order.nudge
                    + nudge_beats(
                        order.track, stems, offset, self._decks[1 - order.deck], now, self.rate
                    ),
                )  # fmt: skip
            case Fade():
                law = fades.GAIN if order.law == "gain" else fades.POWER
                deck.fade(order.stem, order.to, order.start, order.end, law, now)
            case Sweep():
                deck.sweep(KNOBS.index(order.knob), order.to, order.start, order.end, now)
            case Jump():
                deck.jump(order.offset * BEATS_PER_BAR, order.beat)
            case Stop():
                deck.stops_at = order.beat

    def _stems_of(self, track: Track) -> NDArray[np.int16]:
        """From the standby, or, for a track that goes round, from the deck that plays it."""
        if self._standby is not None and self._standby[0] is track:
            stems, self._standby = self._standby[1], None
            return stems
        return next(d.stems for d in self._decks if d.track is track and d.stems is not None)

    def _ride_along(self, begin: float, end: float, stems: NDArray[np.float32] | None) -> None:
        """The factor of the next bar is reached at its line, within half a beat."""
        to, before = self._ride_to, self._riding
        left = (self._next_bar - 1) * BEATS_PER_BAR - begin
        if before != to and left < RAMP_BEATS:
            step = end - begin
            self._riding = to if left <= step else before + (to - before) * step / left
        if not before == self._riding == 1.0:
            self._scale_all(before, self._riding, stems)

    def _fade_everything(self, stems: NDArray[np.float32] | None) -> None:
        before, to = self._master, self._master_to
        if before == to == 1.0:
            return
        step = self._master_step
        self._master = min(to, before + step) if to > before else max(to, before - step)
        self._scale_all(before, self._master, stems)

    def _scale_all(self, before: float, after: float, stems: NDArray[np.float32] | None) -> None:
        """The sum, and its parts, times a factor that goes in a straight line."""
        np.multiply(self._steps, after - before, out=self._ramp)
        np.add(self._ramp, before, out=self._ramp)
        np.multiply(self._sum, self._ramp, out=self._sum)
        if stems is not None:
            np.multiply(stems, self._ramp, out=stems)

    # ---- what is heard -----------------------------------------------------------------------

    def playing(self, *, seq: int = 0, start: float | None = None) -> Playing:
        """What is heard at `position`, without events; `peak` is since the last call.

        May be called by another thread than the one that renders, outside its time.
        """
        timeline, conductor, sample = self.timeline, self.conductor, self.position
        beat = timeline.beat_at(sample)
        bar = math.floor(beat / BEATS_PER_BAR)
        # The louder deck first.
        decks = sorted(
            (state for deck in self._decks if (state := state_of(deck, beat)) is not None),
            key=lambda state: -sum(gain * gain for gain in state.gains),
        )
        louder = decks[0] if decks else NO_DECK
        coming, bars_to_next = conductor.coming(bar)
        peak, self._peak = self._peak, 0.0
        limited, self._limited = self._limited, 1.0
        return Playing(
            seq=seq, captured_at=(self._start if start is None else start) + sample / self.rate,
            sample=sample, beat=beat, bar=bar, bpm=timeline.bpm_at(sample),
            bpm_wanted=conductor.wish.bpm, drive=conductor.wish.drive,
            phrase=math.floor(louder.beat / (PHRASE * BEATS_PER_BAR)), section=louder.section,
            track=louder.track, next=coming.title if coming is not None else None,
            bars_to_next=bars_to_next, bars_to_drop=conductor.bars_to_drop(bar),
            decks=tuple(decks), gains=louder.gains, lufs=self._meter.lufs, peak=peak,
            state="armed" if self._armed else conductor.state,
            limiter_db=min(20.0 * math.log10(limited), 0.0), stretch=self._decks[0].engine,
        )  # fmt: skip

    def heard(self) -> list[tuple[int, str, float]]:
        """Of each deck that sounds: its number, its track's id, beat of the track minus beat.

        With the nudge: it tells what is read, and so is no whole number.
        """
        return [
            (number, deck.track.id, deck.offset + deck.nudge)
            for number, deck in enumerate(self._decks)
            if deck.track is not None and deck.gains.any()
        ]

    def sounding(self) -> list[tuple[str, float]]:
        """Of each deck that sounds, the cue's too: its track's id, beat of the track minus beat."""
        found = [(name, offset) for _, name, offset in self.heard()]
        cue = self._beside.cue if self._beside is not None else None
        if cue is not None and (track := cue.track) is not None:
            found.append((track.id, cue.offset))
        return found

    def place(self, sample: int) -> Place | None:
        """Where the loudest deck is at `sample`, lately rendered; None where nothing is heard.

        May be called by another thread than the one that renders, outside its time.
        """
        return place_of(self._decks, self.timeline, self.conductor, sample)

    def events(self) -> tuple[ShowEvent, ...]:
        """Decisions that came true since the last call, in order; each is given once."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return tuple(taken)

    def _stamp(self, beat: float, event: str, why: str, facts: dict[str, object]) -> None:
        sample = self.timeline.sample_at(beat)
        self._events.append(
            ShowEvent(
                t=self._start + sample / self.rate, event=event, why=why,
                facts={**facts, "sample": round(sample, 3), "beat": beat},
            )
        )  # fmt: skip
