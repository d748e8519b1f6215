"""Within a track: which stems are heard, where in the arc it stands, and what is heard again."""

from __future__ import annotations

from collections.abc import Sequence

from crowdstream.music.arc import LIFT, Line
from crowdstream.music.desk import Desk
from crowdstream.music.lines import beat_of, drop_after, next_line, place_to_go_round
from crowdstream.music.orders import Fade, Sweep
from crowdstream.music.rules import BASS, LIFT_REST_BARS, PHRASE, VOCALS
from crowdstream.music.staying import stay
from crowdstream.music.voices import Plan, Voice
from crowdstream.packets import STEMS


class Arranging:
    """Decides on phrase lines, and remembers when the floor was last lifted."""

    def __init__(self, desk: Desk) -> None:
        """Nothing was lifted yet."""
        self._desk = desk
        self._lifted_at = -LIFT_REST_BARS

    # ---- stems -----------------------------------------------------------------------------

    def turn(self, voice: Voice, bar: int, plan: Plan) -> None:
        """On a phrase line: where in the arc the next phrase stands."""
        desk = self._desk
        arc, listening = desk.arc, desk.listening
        if listening.newest.panic or (listening.held and voice.on_line(bar)):
            arc.restart(bar)
            return
        if listening.held or not voice.on_line(bar):
            return
        section, here = voice.section(bar), voice.bar(bar)
        drop = drop_after(voice.track, here)
        line = Line(
            bar=bar,
            section=section.name,
            section_began=section.bar - voice.offset,
            own_drop=None if drop is None else drop - here,
            bass_free=self._bass_is_free(voice, bar),
            leaves_next=desk.leave_bar == bar + PHRASE,
            drop_from=desk.rules.drop_from,
        )
        why = arc.turn(line, desk.floor)
        if why is not None and arc.ours and arc.phase != "groove":
            plan.say(bar, arc.phase, why, track=voice.track.id)

    def _bass_is_free(self, voice: Voice, bar: int) -> bool:
        """Whether the bass may go here and come back on the next line, whatever happens."""
        desk, here = self._desk, voice.bar(bar)
        # On the next line the next track may bring it back, sooner it may not be left.
        leaves = desk.leave_bar is not None and desk.leave_bar < bar + PHRASE
        stayed = bar - voice.changed[BASS] >= max(PHRASE, desk.rules.min_stay_bars)
        return (
            voice.on[BASS] and stayed and not leaves
            and desk.loop is None
            and not desk.listening.skip_asked
            and next_line(voice.track, here + 1) == here + PHRASE
            and here + 2 * PHRASE <= voice.track.bars
        )  # fmt: skip

    def rearrange(
        self, voice: Voice, bar: int, plan: Plan, *, may_come: Sequence[int] = range(4)
    ) -> None:
        """Let stems come and go, on a phrase line of the track."""
        desk = self._desk
        panic, held = desk.listening.newest.panic, desk.listening.held
        if not voice.on_line(bar) and not panic:
            return
        wished = desk.wished_stems()
        for stem in range(4):
            on = stem in wished
            stayed = bar - voice.changed[stem]
            if on == voice.on[stem] or (stayed < desk.rules.min_stay_bars and not panic):
                continue
            # A person who wants all to stay as it is does not mean a bass that is away.
            if (on and stem not in may_come) or (held and not (on and stem == BASS)):
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
        event = "stem_in" if on else "stem_out"
        plan.say(bar, event, self._why_stem(stem, on), stem=STEMS[stem])

    def _why_stem(self, stem: int, on: bool) -> str:
        desk = self._desk
        if desk.listening.newest.panic:
            return "panic"
        if stem == VOCALS and not on and desk.voice_rests():
            return "it rests while bars are repeated"
        arc = desk.arc
        if arc.ours and (stem in arc.away() or (on and stem == BASS)):
            return f"{arc.phase}; 8-bar line"
        if desk.floor.cooled:
            return f"{desk.floor.why_cooled}: back to the programme; 8-bar line"
        return f"drive {desk.listening.wish.drive:.2f}; 8-bar line"

    # ---- elsewhere in the same track -------------------------------------------------------

    def lift(self, voice: Voice, bar: int, plan: Plan, *, within: int = PHRASE) -> bool:
        """The floor has come up by itself: on the next phrase line it gets this track's drop.

        It came up `within` so many bars.
        """
        desk = self._desk
        floor, listening = desk.floor, desk.listening
        if not voice.on_line(bar) or listening.commanded or listening.skip_asked:
            return False
        if bar - voice.since < PHRASE or bar - self._lifted_at < LIFT_REST_BARS:
            return False  # it has only just come in, or has been lifted lately
        drop = next((s for s in voice.track.sections if s.name == "drop"), None)
        if drop is None or voice.section(bar).name not in ("groove", "outro"):
            return False
        # Two thirds of a strong change within one phrase is a floor that comes up by itself.
        if floor.rise(within) < desk.rules.strong_change * 2 / 3:
            return False
        if floor.heading() < desk.rules.drop_from - 0.1:
            return False
        self._lifted_at = bar
        desk.go_to(voice, bar, drop.bar, plan)
        desk.arc.dropped(bar)
        why = f"drive {floor.ago(within):.2f} to {floor.drive:.2f}; 8-bar line"
        plan.say(bar, "drop", why, track=voice.track.id, to_bar=drop.bar)
        self.rearrange(voice, bar, plan)
        return True

    def jump(self, voice: Voice, bar: int, plan: Plan) -> bool:
        """What was decided before: the same stretch once more. True if it is taken here."""
        desk = self._desk
        loop = desk.loop
        if loop is None or bar < loop.bar:
            return False
        desk.loop = None
        if bar > loop.bar or desk.listening.skip_asked or desk.listening.commanded:
            return False
        if loop.why and desk.floor.drive < desk.rules.drop_from - LIFT:
            return False  # the floor that should stay has changed its mind
        desk.go_to(voice, bar, loop.to_bar, plan)
        if loop.why:
            voice.loops += 1
            plan.say(bar, "loop", loop.why, track=voice.track.id, to_bar=loop.to_bar)
        return True

    def stay(self, voice: Voice, bar: int) -> None:
        """On a phrase line: whether the stretch that begins or goes on here is heard again."""
        desk = self._desk
        if desk.loop is not None or desk.listening.commanded or desk.listening.skip_asked:
            return
        if desk.arc.away() or desk.wants_another(voice, bar):
            return
        loop = stay(voice, bar, desk.floor, desk.rules, desk.leave_bar)
        just_came = bar - voice.changed[VOCALS] < desk.rules.min_stay_bars
        if loop is not None and loop.within_phrase and voice.on[VOCALS] and just_came:
            return  # the voice could not leave before the jump
        desk.loop = loop

    def go_round(self, voice: Voice, bar: int, ready: bool, plan: Plan) -> None:
        """Back to the same track's groove or drop, so that the music never ends."""
        desk = self._desk
        to_drop = desk.listening.wish.drive >= desk.rules.drop_from
        target = place_to_go_round(voice.track, voice.bar(bar), to_drop=to_drop)
        desk.go_to(voice, bar, target, plan)
        why = "the tempo of the next track is not met yet" if ready else "no other track is there"
        if desk.listening.commanded:
            why = "a person asked to hold" if desk.listening.newest.hold else "panic"
        plan.say(bar, "loop", why, track=voice.track.id, to_bar=target)
        desk.arc.restart(bar)
        self.rearrange(voice, bar, plan)
