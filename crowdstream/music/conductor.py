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
    again       a player that was lost goes on where it would be by now (`place.py`)
"""

from __future__ import annotations

from collections.abc import Sequence

from crowdstream.errors import ConfigError
from crowdstream.music.announcing import Announcing, bars_to_drop, coming
from crowdstream.music.arranging import Arranging
from crowdstream.music.choosing import Choosing, Heard
from crowdstream.music.desk import Desk
from crowdstream.music.floor import Floor
from crowdstream.music.gesture import Gestures
from crowdstream.music.library import Track
from crowdstream.music.lines import beat_of, entry
from crowdstream.music.listening import Listening
from crowdstream.music.moving_on import MovingOn
from crowdstream.music.orders import Fade, Jump, Knob, Law, Order, Start, Stop, Sweep
from crowdstream.music.place import Place, bar_of, go_on, hear_again, is_within, track_of
from crowdstream.music.rules import PHRASE, Rules
from crowdstream.music.staying import Loop
from crowdstream.music.steering import Steering, within
from crowdstream.music.transitions import FLAT, Transition
from crowdstream.music.voices import Plan, Said, Voice
from crowdstream.packets import Gains, Mix

# The orders are imported from here by name as well.
__all__ = [
    "PHRASE", "Conductor", "Fade", "Heard", "Jump", "Knob", "Law", "Order", "Plan", "Rules",
    "Said", "Start", "Stop", "Sweep", "Voice",
]  # fmt: skip


class Conductor:
    """Decides at bar lines. Deterministic: the same wishes at the same bars, the same music.

    `state`, `coming` and `bars_to_drop` may be asked by another thread than the one that plans.
    """

    def __init__(
        self, tracks: Sequence[Track], rules: Rules, *, seed: int = 0,
        history: Sequence[Heard] = (), place: Place | None = None,
    ) -> None:  # fmt: skip
        """Nothing plays yet; `next` is the track to begin with.

        `history` is what was heard tonight before, the oldest first; `place` is where a player
        that was lost would be by now. Raises ConfigError when there is nothing to play.
        """
        if not tracks:
            raise ConfigError("the library has no track that can be played; add one")
        self._rules = rules
        self._listening = Listening(rules)
        self._choosing = Choosing(tracks, rules, seed=seed, history=history)
        self._floor = Floor(rules.programme_drive, 0 if place is None else bar_of(place.beat))
        self._desk = Desk(rules, self._listening, self._choosing, self._floor)
        self._desk.next = self._choosing.first(rules.programme_bpm)
        self._desk.drive_at_start = rules.programme_drive
        self._arranging = Arranging(self._desk)
        self._moving_on = MovingOn(self._desk, self._arranging)
        self._announcing = Announcing(self._desk)
        self._steering = Steering(rules)
        self._gestures = Gestures()
        self._least = 10.0 ** (rules.floor_db / 20.0)
        self._bar = 0
        self._place: Place | None = None
        again = None if place is None else track_of(place, self._choosing)
        if again is not None and place is not None:
            self._place, self._desk.next = place, again
            hear_again(place, self._listening)

    def give_up(self, track_id: str) -> bool:
        """This track cannot be loaded: choose another. False when none is left."""
        self._choosing.give_up(track_id)
        return bool(self._choosing.left)

    def renew(self, track: Track) -> None:
        """It has stems now: when it is chosen next it comes with them. Any thread may call."""
        self._choosing.renew(track)

    @property
    def goes_on(self) -> bool:
        """It begins where it was; False as soon as something is heard."""
        return self._place is not None

    @property
    def first_bpm(self) -> float:
        """The tempo to begin with."""
        if self._place is not None:
            return self._place.bpm
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
        cooled = self._floor.cooled and not self.alone
        self._listening.take_in(protected=self._desk.protected(self._bar), cooled=cooled)

    def levels(self) -> Gains:
        """Level of each stem while it is heard: the wish's, 0 where it says nothing about it."""
        gains = self.wish.gains
        return (max(gains[0], self._least), max(gains[1], self._least), gains[2], gains[3])

    def levels_alone(self) -> Gains:
        """Level of each stem of a track that is alone now: 0 where it is not wished for."""
        wished, levels = self._desk.wished_stems(), self.levels()
        drums, bass, vocals, rest = (
            levels[stem] if stem in wished else 0.0 for stem in range(len(levels))
        )
        return (drums, bass, vocals, rest)

    def gesture(self, beat: float) -> list[Order]:
        """What the newest wish moves at once, between bar lines; at most once in two beats."""
        desk, voice = self._desk, self._desk.voice
        if voice is None or desk.transition is not None or self._listening.commanded:
            return []
        share = self.wish.drive / max(self._listening.programme_drive, 0.05)
        orders = self._gestures.move(voice.deck, desk.knobs[voice.deck]["high"], share, beat)
        desk.note_knobs(orders)
        return orders

    # ---- what is heard, and what comes -----------------------------------------------------

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
        return "hold: break" if self._desk.protected(self._bar) else "ok"

    @property
    def voice(self) -> Voice | None:
        """What is heard; in a transition the track that is left."""
        return self._desk.voice

    @property
    def transition(self) -> Transition | None:
        """From this track to the next, while both are heard."""
        return self._desk.transition

    def since(self, track: Track) -> int | None:
        """Bar of the timeline at which a track that is heard came in."""
        voice, transition = self._desk.voice, self._desk.transition
        voices = [voice] if transition is None else [voice, transition.incoming]
        return next((v.since for v in voices if v is not None and v.track is track), None)

    @property
    def next(self) -> Track | None:
        """What plays next; None while that is open."""
        return self._desk.next

    @property
    def next_shift(self) -> int:
        """Semitones that it will be heard higher than it is."""
        choice = self._desk.choice
        return choice.shift if choice is not None and choice.track is self._desk.next else 0

    @property
    def leave_bar(self) -> int | None:
        """Bar of the timeline at which the next track will begin to be heard."""
        return self._desk.leave_bar

    def coming(self, bar: int) -> tuple[Track | None, int | None]:
        """The next track, and bars until it begins to be heard, once either is settled."""
        return coming(self._desk, bar)

    def bars_to_drop(self, bar: int) -> int | None:
        """Bars until the next drop that will be played."""
        return bars_to_drop(self._desk, bar)

    # ---- once per bar ----------------------------------------------------------------------

    def plan(self, bar: int, *, bpm: float, ready: bool) -> Plan:
        """What happens at the line of `bar`, asked a beat ahead; call for each bar in order.

        Args:
            bar: of the timeline.
            bpm: tempo that will be reached at this line.
            ready: whether the stems of `next` are there.
        """
        plan, desk = Plan(), self._desk
        drop_due = self.bars_to_drop(bar - 1) == 1
        self._bar = bar
        self._floor.follow(self._listening.newest, self._listening.programme_drive)
        self._take_in()
        voice, transition = desk.voice, desk.transition
        if voice is None:
            self._begin(bar, bpm, ready, plan)
        elif self._listening.newest.panic:
            self._be_safe(voice, bar, bpm, ready, plan)
        elif transition is not None:
            # The deck that is left is free a bar later: nothing else begins at this line.
            self._moving_on.go_on(transition, bar, plan)
        elif bar > voice.since:
            self._play_on(voice, bar, bpm, ready, plan)
        desk.note_knobs(plan.orders)
        if self._gestures.told:
            plan.say(bar, "gesture", f"{self._gestures.told}: drive {self.wish.drive:.2f}")
            self._gestures.told = ""
        self._announcing.say(bar, plan, state=self.state, drop_due=drop_due)
        if not plan.at_once:
            self._steer(bar, bpm, plan)
        return plan

    def _play_on(self, voice: Voice, bar: int, bpm: float, ready: bool, plan: Plan) -> None:
        arranging, moving_on = self._arranging, self._moving_on
        # A floor that comes up now gets its drop now; the next track can wait.
        if arranging.lift(voice, bar, plan):
            return
        jumped, loaded = arranging.jump(voice, bar, plan), self._desk.next
        moving_on.look_ahead(voice, bar, bpm, from_bar=voice.bar(bar) + jumped)
        ready = ready and self._desk.next is loaded
        if moving_on.leave(voice, bar, bpm, ready, plan):
            return
        arranging.turn(voice, bar, plan)
        arranging.stay(voice, bar)
        arranging.rearrange(voice, bar, plan)

    def _be_safe(self, voice: Voice, bar: int, bpm: float, ready: bool, plan: Plan) -> None:
        """One whole track, and nothing done to it."""
        transition = self._desk.transition
        if transition is not None:
            voice = self._moving_on.end_now(transition, bar, plan)
            if voice.bar(bar) >= voice.track.bars:
                self._arranging.go_round(voice, bar, ready, plan)
            self._arranging.turn(voice, bar, plan)
            self._arranging.rearrange(voice, bar, plan)
        elif bar > voice.since:
            self._play_on(voice, bar, bpm, ready, plan)
        self._desk.flatten(voice, bar, plan)

    def _begin(self, bar: int, bpm: float, ready: bool, plan: Plan) -> None:
        """The very first track."""
        desk, track, place = self._desk, self._desk.next, self._place
        if place is not None and track is not None:
            over = not is_within(place, track, bar)
            if over or self._choosing.is_broken(track):
                self._place = None
                desk.next = self._choosing.first(self._rules.programme_bpm)
            elif ready:
                self._place = None
                go_on(place, track, desk, bar, plan)
                plan.bpm = bpm
            return
        if track is not None and self._choosing.is_broken(track):
            desk.next = self._choosing.first(self._rules.programme_bpm)
            return
        if track is None or not ready:
            return
        # An empty floor hears an inviting track, not the way into one: it begins in the groove,
        # whose first phrase is heard twice, as long as the intro and it would have been.
        start = min(entry(track, to_drop=False, lead=0), max(track.bars - PHRASE, 0))
        voice = Voice.silent(0, track, bar, start)
        desk.load(voice, FLAT, plan)
        for stem in desk.wished_stems():
            voice.on[stem] = True
            plan.orders.append(Fade(0, stem, 1.0, beat_of(bar) - 0.5, beat_of(bar)))
        plan.bpm = within(bpm, [track], self._rules.leash)
        plan.at_once = plan.bpm != bpm  # nothing is heard yet: nobody notices
        desk.now_playing(voice)
        desk.loop = Loop(bar + PHRASE, start, within_phrase=False, why="")
        why = f"the tempo of the programme is {self._listening.programme_bpm:g} BPM"
        plan.say(bar, "start", why, to=track.id, title=track.title)

    def _steer(self, bar: int, bpm: float, plan: Plan) -> None:
        """The tempo at the line after this one."""
        plan.bpm = bpm
        desk, listening = self._desk, self._listening
        if desk.voice is None or listening.held:
            return
        audible = [desk.voice.track]
        coming_then = None
        if desk.transition is not None:
            audible.append(desk.transition.incoming.track)
        elif desk.next is not None and desk.leave_bar is not None:
            coming_then = (desk.next, desk.leave_bar)
        wanted = desk.voice.track.bpm if listening.newest.panic else self.wish.bpm
        wanted = within(wanted, audible[-1:], self._rules.leash)
        plan.bpm, must, towards = self._steering.next_bpm(bar, bpm, wanted, audible, coming_then)
        if towards is not None:
            why = "to meet the next track" if must else f"drive {self.wish.drive:.2f}"
            plan.say(
                bar, "tempo", why, towards=round(float(towards), 2), bpm=round(float(bpm), 2)
            )  # fmt: skip
