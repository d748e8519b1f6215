"""The conductor: turns the newest wish into what happens at the next bar line.

It is asked once per bar, one beat ahead, and answers with orders for the decks and a tempo. It
knows tracks and bars, no sound and no samples. The rules it plays by:

    stems       come and go on phrase lines of the track, and stay at least 8 bars
    arc         groove, lift, tension, drop, rest: where the next phrase stands (`arc.py`)
    tempo       moves within the leash of everything heard, by so much per bar, and turns at most
                once in 16 bars (`steering.py`)
    transition  begins on a phrase line of the outgoing track and leads into the incoming one's
                groove or drop; below 150 Hz one deck at a time (`transitions.py`)
    loop        a floor that should stay hears a stretch of the track again
    break       in a break, a build and the first 8 bars of a drop, less energy changes nothing
    lull        a floor that has fallen for 32 bars gets the programme, not less and less
    never       silence: with nothing else to play, the track goes round on a phrase line
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from crowdstream.errors import ConfigError
from crowdstream.music.arc import DROP_BARS, Arc, Line
from crowdstream.music.choosing import Choice, Choosing, Heard
from crowdstream.music.floor import Floor
from crowdstream.music.gesture import Gestures
from crowdstream.music.leaving import chosen_style
from crowdstream.music.library import Track
from crowdstream.music.lines import beat_of, drop_after, entry, leave_lines, next_line, phrase_lines
from crowdstream.music.listening import Listening
from crowdstream.music.orders import Fade, Jump, Knob, Order, Start, Stop, Sweep
from crowdstream.music.rules import (
    BASS,
    DRUMS,
    LIFT_REST_BARS,
    PHRASE,
    VOCALS,
    Rules,
)
from crowdstream.music.staying import Loop, stay
from crowdstream.music.steering import Steering, meets, shared, within
from crowdstream.music.timeline import BEATS_PER_BAR
from crowdstream.music.transitions import FLAT, Transition, lengths
from crowdstream.music.voices import Plan, Voice
from crowdstream.packets import STEMS, Gains, Mix

__all__ = [
    "PHRASE", "Conductor", "Fade", "Heard", "Jump", "Order", "Rules", "Start", "Stop", "Sweep",
]  # fmt: skip

_NEVER: Final = -(10**9)

_OTHERWISE: Final = frozenset({"drop", "transition", "loop"})
"""Decisions of a line after which a drop that was due there has come, or will not."""


class Conductor:
    """Decides at bar lines. Deterministic: the same wishes at the same bars, the same music.

    `state`, `coming` and `bars_to_drop` may be asked by another thread than the one that plans.
    """

    def __init__(
        self, tracks: Sequence[Track], rules: Rules, *, seed: int = 0,
        history: Sequence[Heard] = (),
    ) -> None:  # fmt: skip
        """Nothing plays yet; `next` is the track to begin with.

        `history` is what was heard tonight before, the oldest first. Raises ConfigError when
        there is nothing to play.
        """
        if not tracks:
            raise ConfigError("the library has no track that can be played; add one")
        self._rules = rules
        self._listening = Listening(rules)
        self._choosing = Choosing(tracks, rules, seed=seed, history=history)
        self._floor = Floor(rules.programme_drive)
        self._arc = Arc()
        self._steering = Steering(rules)
        self._gestures = Gestures()
        self._least = 10.0 ** (rules.floor_db / 20.0)
        self.next: Track | None = self._choosing.first(rules.programme_bpm)
        """What plays next; None while that is open."""

        self.leave_bar: int | None = None
        """Bar of the timeline at which the next track will begin to be heard."""

        self.voice: Voice | None = None
        self.transition: Transition | None = None
        self._choice: Choice | None = None
        self._loop: Loop | None = None
        """The place that the track will jump to, and when."""

        self._bar = 0
        self._drive_at_start = rules.programme_drive
        self._lifted_at = _NEVER
        self._held_since: int | None = None
        self._said_cooled = False
        self._knobs: tuple[dict[Knob, float], ...] = (dict(FLAT), dict(FLAT))
        self._lines: dict[tuple[str, float], list[int]] = {}

    def give_up(self, track_id: str) -> bool:
        """This track cannot be loaded: choose another. False when none is left."""
        self._choosing.give_up(track_id)
        return bool(self._choosing.left)

    @property
    def first_bpm(self) -> float:
        """The tempo to begin with."""
        first = [self.next] if self.next is not None else []
        return within(self._rules.programme_bpm, first, self._rules.leash)

    # ---- wishes ----------------------------------------------------------------------------

    @property
    def wish(self) -> Mix:
        """The newest wish, as it is carried out: in a break a fall is left out."""
        return self._listening.wish

    @property
    def alone(self) -> bool:
        """No wish has come for too long."""
        return self._listening.alone

    def hear(self, mix: Mix) -> None:
        """A wish has come into effect."""
        self._listening.hear(mix)
        self._take_in()

    def hear_nothing(self) -> None:
        """No wish for too long: the programme's middle, by itself."""
        self._listening.hear_nothing()
        self._take_in()

    def _take_in(self) -> None:
        self._listening.take_in(
            protected=self._protected(self._bar), cooled=self._floor.cooled and not self.alone
        )

    @property
    def state(self) -> str:
        """As `Playing.state` has it."""
        newest = self._listening.newest
        if newest.panic:
            return "panic"
        if newest.hold:
            return "hold"
        if self.alone:
            return "alone"
        return "hold: break" if self._protected(self._bar) else "ok"

    def _protected(self, bar: int) -> bool:
        """In a break, a build, or the first bars of a drop, unless people leave."""
        voice = self._leading(bar)
        if voice is None or self._floor.people_left():
            return False
        if self._arc.drop_bar() is not None:
            return True
        section = voice.section(bar)
        return section.name in ("break", "build") or (
            section.name == "drop" and voice.bar(bar) - section.bar < PHRASE
        )

    def _leading(self, bar: int) -> Voice | None:
        """Whose sections count: the incoming track's from the swap on."""
        transition = self.transition
        if transition is not None and bar >= transition.swap:
            return transition.incoming
        return self.voice

    def levels(self) -> Gains:
        """Level of each stem while it is heard: the wish's, 0 where it says nothing about it."""
        gains = self.wish.gains
        return (max(gains[0], self._least), max(gains[1], self._least), gains[2], gains[3])

    def gesture(self, beat: float) -> list[Order]:
        """What the newest wish moves at once, between bar lines; at most once in two beats."""
        voice = self.voice
        if voice is None or self.transition is not None or self._listening.commanded:
            return []
        share = self.wish.drive / max(self._listening.programme_drive, 0.05)
        orders = self._gestures.move(voice.deck, self._knobs[voice.deck]["high"], share, beat)
        self._note_knobs(orders)
        return orders

    # ---- once per bar ----------------------------------------------------------------------

    def plan(self, bar: int, *, bpm: float, ready: bool) -> Plan:
        """What happens at the line of `bar`, asked a beat ahead; call for each bar in order.

        Args:
            bar: of the timeline.
            bpm: tempo that will be reached at this line.
            ready: whether the stems of `next` are there.
        """
        plan = Plan()
        drop_due = self.bars_to_drop(bar - 1) == 1
        self._bar = bar
        self._floor.follow(self._listening.newest, self._listening.programme_drive)
        self._take_in()
        voice = self.voice
        if voice is None:
            self._begin(bar, bpm, ready, plan)
        elif self.transition is not None:
            # The deck that is left is free a bar later: nothing else begins at this line.
            self._continue(bar, plan)
        # A floor that comes up now gets its drop now; the next track can wait.
        elif bar > voice.since and not self._lift(voice, bar, plan):
            jumped = self._jump(voice, bar, plan)
            self._look_ahead(voice, bar, bpm, from_bar=voice.bar(bar) + jumped)
            if not self._leave(voice, bar, bpm, ready, plan):
                self._turn(voice, bar, plan)
                self._stay(voice, bar)
                self._rearrange(voice, bar, plan)
        self._note_knobs(plan.orders)
        self._say_what_happens(bar, plan, drop_due=drop_due)
        if not plan.at_once:
            self._steer(bar, bpm, plan)
        return plan

    def _begin(self, bar: int, bpm: float, ready: bool, plan: Plan) -> None:
        """The very first track."""
        track = self.next
        if track is not None and self._choosing.is_broken(track):
            self.next = self._choosing.first(self._rules.programme_bpm)
            return
        if track is None or not ready:
            return
        # An empty floor hears an inviting track, not the way into one: it begins in the groove,
        # whose first phrase is heard twice, as long as the intro and it would have been.
        start = min(entry(track, to_drop=False, lead=0), max(track.bars - PHRASE, 0))
        voice = Voice.silent(0, track, bar, start)
        self._load(voice, FLAT, plan)
        for stem in self._wished_stems():
            voice.on[stem] = True
            plan.orders.append(Fade(0, stem, 1.0, beat_of(bar) - 0.5, beat_of(bar)))
        plan.bpm = within(bpm, [track], self._rules.leash)
        plan.at_once = plan.bpm != bpm  # nothing is heard yet: nobody notices
        self._now_playing(voice, bar)
        self._loop = Loop(bar + PHRASE, start, within_phrase=False, why="")
        plan.say(
            bar, "start", f"the tempo of the programme is {self._listening.programme_bpm:g} BPM",
            to=track.id, title=track.title,
        )  # fmt: skip

    def _load(self, voice: Voice, knobs: dict[Knob, float], plan: Plan) -> None:
        plan.orders.append(Start(voice.deck, voice.track, voice.offset, voice.shift))
        self._set_knobs(voice, knobs, plan)

    def _set_knobs(self, voice: Voice, knobs: dict[Knob, float], plan: Plan) -> None:
        """Before a deck is heard; what stands flat and shall be flat needs no order."""
        at = beat_of(voice.since) - 1.0
        for knob, to in knobs.items():
            if to != FLAT[knob] or self._knobs[voice.deck][knob] != FLAT[knob]:
                plan.orders.append(Sweep(voice.deck, knob, to, at, at))

    def _note_knobs(self, orders: Sequence[Order]) -> None:
        for order in orders:
            if isinstance(order, Sweep):
                self._knobs[order.deck][order.knob] = order.to

    def _now_playing(self, voice: Voice, bar: int) -> None:
        self.voice, self.transition = voice, None
        self.next, self.leave_bar, self._choice = None, None, None
        self._loop = None
        self._listening.skip_asked = False
        self._choosing.note(voice.track)
        self._drive_at_start = self.wish.drive

    def _wished_stems(self) -> list[int]:
        """Drums and bass always; the others where the wish has them, or the arc."""
        gains, arc = self.wish.gains, self._arc
        wished = {DRUMS, BASS, *arc.there()} | {stem for stem in range(4) if gains[stem] > 0.0}
        return sorted(wished - set(arc.away()) - ({VOCALS} if self._voice_rests() else set()))

    def _voice_rests(self) -> bool:
        """A voice that began anew in the middle of its phrase would tell of the loop."""
        return self._loop is not None and self._loop.within_phrase

    # ---- within a track --------------------------------------------------------------------

    def _turn(self, voice: Voice, bar: int, plan: Plan) -> None:
        """On a phrase line: where in the arc the next phrase stands."""
        arc, listening = self._arc, self._listening
        if listening.newest.panic or (listening.held and voice.on_line(bar)):
            arc.restart(bar)
            return
        if listening.held or not voice.on_line(bar):
            return
        section = voice.section(bar)
        leaves = self.leave_bar is not None and self.leave_bar <= bar + PHRASE
        drop = drop_after(voice.track, voice.bar(bar))
        line = Line(
            bar=bar,
            section=section.name,
            section_began=section.bar - voice.offset,
            own_drop=None if drop is None else drop - voice.bar(bar),
            bass_free=voice.on[BASS]
            and bar - voice.changed[BASS] >= max(PHRASE, self._rules.min_stay_bars)
            and not leaves
            and self._loop is None
            and next_line(voice.track, voice.bar(bar) + 1) == voice.bar(bar) + PHRASE
            and voice.bar(bar) + 2 * PHRASE <= voice.track.bars
            and not listening.skip_asked,
            drop_from=self._rules.drop_from,
        )
        why = arc.turn(line, self._floor)
        if why is not None and arc.ours and arc.phase != "groove":
            plan.say(bar, arc.phase, why, track=voice.track.id)

    def _rearrange(
        self, voice: Voice, bar: int, plan: Plan, *, may_come: Sequence[int] = range(4)
    ) -> None:
        """Let stems come and go, on a phrase line of the track."""
        panic = self._listening.newest.panic
        returns = BASS not in self._arc.away() and not voice.on[BASS]
        if self._listening.held and not returns:
            return
        if not voice.on_line(bar) and not panic:
            return
        wished = self._wished_stems()
        for stem in range(4):
            on = stem in wished
            stayed = bar - voice.changed[stem]
            if on == voice.on[stem] or (stayed < self._rules.min_stay_bars and not panic):
                continue
            if (on and stem not in may_come) or (self._listening.held and stem != BASS):
                continue
            self._switch(voice, stem, on, bar, plan)

    def _switch(self, voice: Voice, stem: int, on: bool, bar: int, plan: Plan) -> None:
        """A stem comes or goes at this line."""
        voice.on[stem], voice.changed[stem] = on, bar
        line = beat_of(bar)
        # What comes is there on the one; what goes rings into it.
        start, end = (line - 0.5, line) if on else (line - 0.25, line + 0.5)
        if stem == BASS and voice.track_is_whole:
            plan.orders.append(Sweep(voice.deck, "low", float(on), start, end))
        else:
            plan.orders.append(Fade(voice.deck, stem, float(on), start, end))
        plan.say(
            bar, "stem_in" if on else "stem_out", self._why_stem(stem, on), stem=STEMS[stem]
        )  # fmt: skip

    def _why_stem(self, stem: int, on: bool) -> str:
        if self._listening.newest.panic:
            return "panic"
        if stem == VOCALS and not on and self._voice_rests():
            return "it rests while bars are repeated"
        arc = self._arc
        if arc.ours and (stem in arc.away() or (on and stem == BASS)):
            return f"{arc.phase}; 8-bar line"
        if self._floor.cooled:
            return f"{self._floor.why_cooled}: back to the programme; 8-bar line"
        return f"drive {self.wish.drive:.2f}; 8-bar line"

    def _lift(self, voice: Voice, bar: int, plan: Plan) -> bool:
        """The floor has come up by itself: on the next phrase line it gets this track's drop."""
        floor, listening = self._floor, self._listening
        if not voice.on_line(bar) or listening.commanded or listening.skip_asked:
            return False
        if bar - voice.since < PHRASE or bar - self._lifted_at < LIFT_REST_BARS:
            return False  # it has only just come in, or has been lifted lately
        drop = next((s for s in voice.track.sections if s.name == "drop"), None)
        if drop is None or voice.section(bar).name not in ("groove", "outro"):
            return False
        # Two thirds of a strong change within one phrase is a floor that comes up by itself.
        if floor.rise() < self._rules.strong_change * 2 / 3:
            return False
        if floor.heading() < self._rules.drop_from - 0.1:
            return False
        self._lifted_at = bar
        self._go_to(voice, bar, drop.bar, plan)
        self._arc.dropped(bar)
        why = f"drive {floor.ago(PHRASE):.2f} to {floor.drive:.2f}; 8-bar line"
        plan.say(bar, "drop", why, track=voice.track.id, to_bar=drop.bar)
        self._rearrange(voice, bar, plan)
        return True

    def _go_to(self, voice: Voice, bar: int, track_bar: int, plan: Plan) -> None:
        """The same track, elsewhere."""
        voice.offset = track_bar - bar
        plan.orders.append(Jump(voice.deck, beat_of(bar), voice.offset))
        self._loop, self.leave_bar = None, None

    def _jump(self, voice: Voice, bar: int, plan: Plan) -> bool:
        """What was decided before: the same stretch once more."""
        loop = self._loop
        if loop is None or bar < loop.bar:
            return False
        self._loop = None
        asked = self._listening.skip_asked or self._listening.commanded
        if bar > loop.bar or asked:
            return False
        self._go_to(voice, bar, loop.to_bar, plan)
        if loop.why:
            voice.loops += 1
            plan.say(bar, "loop", loop.why, track=voice.track.id, to_bar=loop.to_bar)
        return True

    def _stay(self, voice: Voice, bar: int) -> None:
        """On a phrase line: whether the stretch that begins or goes on here is heard again."""
        if self._loop is not None or self._listening.commanded or self._listening.skip_asked:
            return
        if self._arc.away() or self._wants_another(voice, bar):
            return
        self._loop = stay(voice, bar, self._floor, self._rules, self.leave_bar)

    # ---- from track to track ---------------------------------------------------------------

    def _look_ahead(self, voice: Voice, bar: int, bpm: float, *, from_bar: int) -> None:
        """Choose the next track and the line to leave on, as long as neither is settled.

        The track is not left before its bar `from_bar`.
        """
        listening, track = self._listening, voice.track
        if listening.skip_asked or listening.commanded:
            self._loop = None
        loop = self._loop
        # What will be heard again is already known to be.
        offset = voice.offset if loop is None else loop.to_bar - loop.bar
        track_bar = bar + offset
        lines = self._lines_of(track)
        heard_enough = voice.since + self._rules.bars_per_track - PHRASE + offset
        if self._wants_another(voice, bar):
            heard_enough = track_bar
        # A drop is heard out.
        heard_enough = max(heard_enough, self._arc.dropped_at + DROP_BARS + offset)
        if listening.skip_asked:
            heard_enough = track_bar
            lines = phrase_lines(track, tail_bars=PHRASE)
        first = from_bar if loop is None else loop.to_bar + 1
        later = [line for line in lines if line >= first]
        line = next((line for line in later if line >= heard_enough), later[-1] if later else None)
        if listening.commanded or line is None:
            self.leave_bar = None
            return
        self.leave_bar = line - offset
        settled = (
            self.next is not None
            and not self._choosing.is_broken(self.next)
            and (self.leave_bar - bar < PHRASE or not voice.on_line(bar))
        )
        if listening.skip_asked and self.next is not None:
            settled = meets(bpm, [track, self.next], self._rules.leash)
        if not settled:
            self._choose(voice, bpm, self.leave_bar - bar)

    def _lines_of(self, track: Track) -> list[int]:
        key = (track.id, track.bpm)
        if key not in self._lines:
            if len(self._lines) >= 64:
                self._lines.clear()
            self._lines[key] = leave_lines(track, tail_bars=PHRASE)
        return self._lines[key]

    def _wants_another(self, voice: Voice, bar: int) -> bool:
        """The floor is another than the one this track came in for."""
        if bar - voice.since < 2 * PHRASE:
            return False
        strong = self._rules.strong_change
        return self._floor.cooled or self._floor.changed_since(self._drive_at_start, strong)

    def _choose(self, voice: Voice, bpm: float, bars: int) -> None:
        # What comes next is for the floor as it is, also while a break lets nothing fall.
        newest = self._listening.newest
        wanted = self.wish.bpm if self._floor.cooled else newest.bpm
        choice = self._choosing.choose(
            voice, wanted=wanted, bpm=bpm, bars=bars,
            energy=max(self._floor.heading(), self.wish.drive if self._floor.cooled else 0.0),
            at_once=self._listening.skip_asked,
        )  # fmt: skip
        self._choice = choice
        self.next = None if choice is None else choice.track

    def _leave(self, voice: Voice, bar: int, bpm: float, ready: bool, plan: Plan) -> bool:
        """Begin a transition at this line if it is time; otherwise make sure the music goes on."""
        if voice.bar(bar) >= voice.track.bars:
            self._go_round(voice, bar, ready, plan)  # it is over: a short track, or an odd one
            return True
        if not voice.on_line(bar):
            return False
        choice, skip = self._choice, self._listening.skip_asked
        if self.leave_bar == bar and choice is not None and ready:
            met = meets(bpm, [voice.track, choice.track], self._rules.leash)
            # A step of the tempo is for when there is no other way.
            apart = shared([voice.track, choice.track], self._rules.leash) is None
            if met or apart or skip:
                self._hand_over(voice, choice, bar, bpm, met, plan)
                return True
        if voice.bar(bar) + 2 * PHRASE > voice.track.bars:
            self._go_round(voice, bar, ready, plan)
            return True
        return False

    def _hand_over(
        self, voice: Voice, choice: Choice, bar: int, bpm: float, met: bool, plan: Plan
    ) -> None:
        """Begin a transition at this line."""
        rules, floor, track = self._rules, self._floor, choice.track
        to_drop = min(floor.heading(), floor.drive) >= rules.drop_from and not floor.cooled
        style, why_style = chosen_style(
            rules.style, voice, track, bar, floor, in_key=choice.in_key, met=met,
            to_drop=to_drop, skip=self._listening.skip_asked, drop_from=rules.drop_from,
        )  # fmt: skip
        lead, total = lengths(style, rules.overlap_at(bpm), voice.track.bars - voice.bar(bar))
        start = min(entry(track, to_drop=to_drop, lead=lead), max(track.bars - PHRASE, 0))
        to_drop = track.section_at(start + lead).name == "drop"
        incoming = Voice.silent(1 - voice.deck, track, bar, start, choice.shift)
        transition = Transition(
            style, voice, incoming, bar, bar + lead, bar + total, to_drop, choice.in_key
        )
        cause = self._cause(voice, bar)
        self._arc.restart(bar)
        if lead:
            # This line is one on which stems may come and go, and the next is eight bars away.
            # The voice stays the outgoing track's until the swap; its pads only go.
            self._rearrange(voice, bar, plan, may_come=(BASS, VOCALS))
        plan.say(
            bar, "transition", "; ".join([cause, choice.why, why_style, *choice.relaxed]),
            **{"from": voice.track.id}, to=track.id, title=track.title, style=style,
            start_beat=beat_of(bar), beats=transition.bars * BEATS_PER_BAR, bars=transition.bars,
            into="drop" if to_drop else "groove", relaxed=list(choice.relaxed),
        )  # fmt: skip
        self.transition, self.leave_bar = transition, None
        if not met:
            plan.bpm, plan.at_once = within(self.wish.bpm, [track], rules.leash), True
        self._continue(bar, plan)

    def _continue(self, bar: int, plan: Plan) -> None:
        """The steps of a transition at this line."""
        transition = self.transition
        assert transition is not None
        orders = transition.steps(bar, self._wished_stems())
        for order in orders:
            plan.orders.append(order)
            if isinstance(order, Start):
                self._set_knobs(transition.incoming, transition.knobs, plan)
        incoming = transition.incoming
        if bar == transition.swap:
            self._arc.restart(bar)
            if transition.to_drop:
                self._arc.dropped(bar)
                why = "the drive was heading up; the next track came in by it"
                plan.say(bar, "drop", why, track=incoming.track.id)
        if incoming.bar(bar) >= incoming.track.bars:
            self._go_to(incoming, bar, entry(incoming.track, to_drop=False, lead=0), plan)
        if bar == transition.end:
            self._now_playing(incoming, bar)
        elif bar > transition.swap:
            self._rearrange(incoming, bar, plan, may_come=(VOCALS,))

    def _go_round(self, voice: Voice, bar: int, ready: bool, plan: Plan) -> None:
        """Back to the same track's groove or drop, so that the music never ends."""
        to_drop = self.wish.drive >= self._rules.drop_from
        target = min(entry(voice.track, to_drop=to_drop, lead=0), voice.bar(bar))
        self._go_to(voice, bar, target, plan)
        voice.since = bar
        why = "the tempo of the next track is not met yet" if ready else "no other track is there"
        if self._listening.commanded:
            why = "a person asked to hold" if self._listening.newest.hold else "panic"
        plan.say(bar, "loop", why, track=voice.track.id, to_bar=target)
        self._arc.restart(bar)
        self._rearrange(voice, bar, plan)

    def _cause(self, voice: Voice, bar: int) -> str:
        if self._listening.skip_asked:
            return "a person asked for the next track"
        if self._floor.cooled and self._wants_another(voice, bar):
            return self._floor.why_cooled
        if self._wants_another(voice, bar):
            return f"drive {self._drive_at_start:.2f} to {self.wish.drive:.2f}"
        return "phrase end"

    # ---- announcements ---------------------------------------------------------------------

    def coming(self, bar: int) -> tuple[Track | None, int | None]:
        """The next track, and bars until it begins to be heard, once either is settled."""
        transition, track, leave_bar = self.transition, self.next, self.leave_bar
        if transition is not None:
            return transition.incoming.track, 0
        if track is None or leave_bar is None:
            return track, None
        return track, max(leave_bar - bar, 0)

    def bars_to_drop(self, bar: int) -> int | None:
        """Bars until the next drop that will be played."""
        transition, voice, leave_bar, loop = self.transition, self.voice, self.leave_bar, self._loop
        if transition is not None:
            if transition.to_drop and bar < transition.swap:
                return transition.swap - bar
            return None
        if voice is None:
            return None
        resolved = self._arc.drop_bar()
        if resolved is not None and resolved > bar:
            return resolved - bar
        drop = drop_after(voice.track, voice.bar(bar))
        if drop is None:
            return None
        at = drop - voice.offset
        if (leave_bar is not None and leave_bar <= at) or (loop is not None and loop.bar <= at):
            return None
        return at - bar

    def _say_what_happens(self, bar: int, plan: Plan, *, drop_due: bool) -> None:
        """Drops of a track in the course of its own, and the beginning of a hold or a lull."""
        if drop_due and not any(said.event in _OTHERWISE for said in plan.said):
            plan.say(bar, "drop", "the build ends here")
        if self.bars_to_drop(bar) == PHRASE:
            plan.say(bar, "drop_ahead", "eight bars to go", bars=PHRASE)
        newest, cooled = self._listening.newest, self._floor.cooled
        if cooled and not self._said_cooled:
            plan.say(
                bar, "programme", f"{self._floor.why_cooled}; the programme has "
                f"{self._listening.programme_drive:.2f}",
            )  # fmt: skip
        self._said_cooled = cooled
        falls = newest.drive < self.wish.drive - 0.1 or newest.hold
        if not (falls and self.state.startswith("hold")):
            self._held_since = None
        elif self._held_since is None:
            self._held_since = bar
            why = f"drive {self.wish.drive:.2f} to {newest.drive:.2f} before the drop"
            plan.say(bar, "hold", "a person asked" if newest.hold else why)

    # ---- tempo -----------------------------------------------------------------------------

    def _steer(self, bar: int, bpm: float, plan: Plan) -> None:
        """The tempo at the line after this one."""
        plan.bpm = bpm
        voice, transition = self.voice, self.transition
        if voice is None or self._listening.held:
            return
        audible = [voice.track]
        if transition is not None:
            audible.append(transition.incoming.track)
        coming = None
        if self.next is not None and self.leave_bar is not None and transition is None:
            coming = (self.next, self.leave_bar)
        panic = self._listening.newest.panic
        wanted = voice.track.bpm if panic else self.wish.bpm
        wanted = within(wanted, audible[-1:], self._rules.leash)
        plan.bpm, must, towards = self._steering.next_bpm(bar, bpm, wanted, audible, coming)
        if towards is not None:
            why = "to meet the next track" if must else f"drive {self.wish.drive:.2f}"
            plan.say(
                bar, "tempo", why, towards=round(float(towards), 2), bpm=round(float(bpm), 2)
            )  # fmt: skip
