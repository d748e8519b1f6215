"""From track to track: when the next one comes, which it is, and what happens on the way."""

from __future__ import annotations

from typing import Final

from crowdstream.music.arc import DROP_BARS
from crowdstream.music.arranging import Arranging
from crowdstream.music.choosing import Choice
from crowdstream.music.desk import Desk
from crowdstream.music.leaving import chosen_style
from crowdstream.music.library import Track
from crowdstream.music.lines import (
    beat_of,
    can_be_left_at_its_end,
    entry,
    is_last_line,
    leave_lines,
    phrase_lines,
)
from crowdstream.music.orders import Fade, Start, Stop
from crowdstream.music.rules import BASS, PHRASE, VOCALS
from crowdstream.music.steering import meets, shared, within
from crowdstream.music.timeline import BEATS_PER_BAR
from crowdstream.music.transitions import Transition, lengths
from crowdstream.music.voices import Plan, Voice

REMEMBERED_TRACKS: Final = 64
"""Of so many the lines to leave on are kept."""


class MovingOn:
    """Looks ahead on each bar line, and leads from one track to the next."""

    def __init__(self, desk: Desk, arranging: Arranging) -> None:
        """Nothing was looked at yet."""
        self._desk = desk
        self._arranging = arranging
        self._lines: dict[tuple[str, float], list[int]] = {}

    # ---- before ----------------------------------------------------------------------------

    def look_ahead(self, voice: Voice, bar: int, bpm: float, *, from_bar: int) -> None:
        """Choose the next track and the line to leave on, as long as neither is settled.

        The track is not left before its bar `from_bar`.
        """
        desk = self._desk
        listening, track = desk.listening, voice.track
        if listening.skip_asked or listening.commanded:
            desk.loop = None
        loop = desk.loop
        # What will be heard again is already known to be.
        offset = voice.offset if loop is None else loop.to_bar - loop.bar
        first = from_bar if loop is None else loop.to_bar + 1
        lines = self._lines_of(track)
        if listening.skip_asked:
            lines = phrase_lines(track, tail_bars=PHRASE)
        later = [line for line in lines if line >= first]
        enough = self._heard_enough(voice, bar) + offset
        line = next((line for line in later if line >= enough), later[-1] if later else None)
        if line is None and track.bars >= enough and can_be_left_at_its_end(track):
            line = track.bars
        if listening.commanded or line is None:
            desk.leave_bar = None
            return
        desk.leave_bar = line - offset
        if not self._settled(voice, bar, bpm, desk.leave_bar - bar):
            self._choose(voice, bpm, desk.leave_bar - bar)

    def _settled(self, voice: Voice, bar: int, bpm: float, bars: int) -> bool:
        """Whether the next track is known and stays so: it takes a while to load."""
        desk = self._desk
        choice = desk.choice
        if choice is None or desk.choosing.is_broken(choice.track):
            return False
        if desk.listening.skip_asked:
            met = meets(bpm, [voice.track, choice.track], desk.rules.leash)
            return met or choice.at_once
        return bars < PHRASE or not voice.on_line(bar)

    def _heard_enough(self, voice: Voice, bar: int) -> int:
        """Bar of the timeline from which on the track may be left."""
        desk = self._desk
        if desk.listening.skip_asked:
            return bar
        if desk.floor.empty:
            # Whoever comes in hears a whole inviting track.
            return voice.track.bars - voice.offset
        enough = voice.since + desk.rules.bars_per_track - PHRASE
        if desk.wants_another(voice, bar):
            enough = bar
        # A drop is heard out.
        return max(enough, desk.arc.dropped_at + DROP_BARS)

    def _lines_of(self, track: Track) -> list[int]:
        key = (track.id, track.bpm)
        if key not in self._lines:
            if len(self._lines) >= REMEMBERED_TRACKS:
                self._lines.clear()
            self._lines[key] = leave_lines(track, tail_bars=PHRASE)
        return self._lines[key]

    def _choose(self, voice: Voice, bpm: float, bars: int) -> None:
        desk = self._desk
        floor, wish = desk.floor, desk.listening.wish
        # What comes next is for the floor as it is, also while a break lets nothing fall.
        newest = desk.listening.newest
        desk.choice = desk.choosing.choose(
            voice, wanted=wish.bpm if floor.cooled else newest.bpm, bpm=bpm, bars=bars,
            energy=max(floor.heading(), wish.drive if floor.cooled else 0.0),
            at_once=desk.listening.skip_asked,
        )  # fmt: skip
        desk.next = None if desk.choice is None else desk.choice.track
        if desk.choice is None:
            desk.listening.skip_asked = False  # there is no other: what was asked for cannot be

    # ---- the line --------------------------------------------------------------------------

    def leave(self, voice: Voice, bar: int, bpm: float, ready: bool, plan: Plan) -> bool:
        """Begin a transition at this line if it is time; otherwise make sure the music goes on."""
        desk = self._desk
        over_at = voice.track.bars - voice.offset
        over = bar >= over_at
        if not (voice.on_line(bar) or over):
            return False
        choice = desk.choice
        if desk.leave_bar == bar and choice is not None and ready:
            met = meets(bpm, [voice.track, choice.track], desk.rules.leash)
            # A step of the tempo is for when there is no other way.
            apart = shared([voice.track, choice.track], desk.rules.leash) is None
            if met or apart or desk.listening.skip_asked:
                self._begin(voice, choice, bar, bpm, met, plan)
                return True
        if over or (desk.leave_bar != over_at and is_last_line(voice.track, voice.bar(bar))):
            self._arranging.go_round(voice, bar, ready, plan)
            return True
        return False

    def _begin(
        self, voice: Voice, choice: Choice, bar: int, bpm: float, met: bool, plan: Plan
    ) -> None:
        """Begin a transition at this line."""
        desk = self._desk
        rules, floor, track = desk.rules, desk.floor, choice.track
        tense = desk.arc.drop_bar() == bar
        # A drop that was promised comes, also for a floor that has thought better of it.
        to_drop = tense or (
            min(floor.heading(), floor.drive) >= rules.drop_from and not floor.cooled
        )
        style, why_style = chosen_style(
            rules.style, voice, track, bar, floor, in_key=choice.in_key, met=met,
            to_drop=to_drop, tense=tense,
            skip=desk.listening.skip_asked, drop_from=rules.drop_from,
        )  # fmt: skip
        lead, total = lengths(style, rules.overlap_at(bpm), voice.track.bars - voice.bar(bar))
        start = min(entry(track, to_drop=to_drop, lead=lead), max(track.bars - PHRASE, 0))
        to_drop = track.section_at(start + lead).name == "drop"
        incoming = Voice.silent(1 - voice.deck, track, bar, start, choice.shift)
        desk.transition = transition = Transition(
            style, voice, incoming, bar, bar + lead, bar + total, to_drop, choice.in_key
        )
        why = "; ".join([self._cause(voice, bar), choice.why, why_style, *choice.relaxed])
        desk.arc.restart(bar)
        if lead:
            # This line is one on which stems may come and go, and the next is eight bars away.
            # The voice stays the outgoing track's until the swap; its pads only go.
            self._arranging.rearrange(voice, bar, plan, may_come=(BASS, VOCALS))
        plan.say(
            bar, "transition", why, **{"from": voice.track.id}, to=track.id, title=track.title,
            style=style, start_beat=beat_of(bar), beats=transition.bars * BEATS_PER_BAR,
            bars=transition.bars, into="drop" if to_drop else "groove",
            relaxed=list(choice.relaxed),
        )  # fmt: skip
        desk.leave_bar = None
        if not met:
            wanted = desk.listening.wish.bpm
            plan.bpm, plan.at_once = within(wanted, [track], rules.leash), True
        self.go_on(transition, bar, plan)

    def _cause(self, voice: Voice, bar: int) -> str:
        desk = self._desk
        if desk.listening.skip_asked:
            return "a person asked for the next track"
        if desk.wants_another(voice, bar):
            if desk.floor.cooled:
                return desk.floor.why_cooled
            return f"drive {desk.drive_at_start:.2f} to {desk.listening.wish.drive:.2f}"
        return "phrase end"

    def go_on(self, transition: Transition, bar: int, plan: Plan) -> None:
        """The steps of a transition at this line."""
        desk = self._desk
        incoming = transition.incoming
        for order in transition.steps(bar, desk.wished_stems()):
            plan.orders.append(order)
            if isinstance(order, Start):
                desk.set_knobs(incoming, transition.knobs, plan)
        if bar == transition.swap:
            desk.arc.restart(bar)
            if transition.to_drop:
                desk.arc.dropped(bar)
                why = "the drive was heading up; the next track came in by it"
                plan.say(bar, "drop", why, track=incoming.track.id)
        if incoming.bar(bar) >= incoming.track.bars:
            desk.go_to(incoming, bar, entry(incoming.track, to_drop=False, lead=0), plan)
        if bar == transition.end:
            desk.now_playing(incoming)
            if transition.end > transition.begin:
                # A floor that came up meanwhile has waited long enough.
                waited = bar - transition.begin + PHRASE
                self._arranging.lift(incoming, bar, plan, within=waited)
        elif bar > transition.swap:
            self._arranging.rearrange(incoming, bar, plan, may_come=(VOCALS,))

    def end_now(self, transition: Transition, bar: int, plan: Plan) -> Voice:
        """A person wants one whole track at once: the one that has the bass stays."""
        desk = self._desk
        swapped = bar > transition.swap
        stays, goes = transition.incoming, transition.outgoing
        if not swapped:
            stays, goes = goes, stays
        line = beat_of(bar)
        for stem in range(len(goes.on)):
            if goes.on[stem]:
                plan.orders.append(Fade(goes.deck, stem, 0.0, line - 0.5, line - 0.1))
        plan.orders.append(Stop(goes.deck, line + 0.5))
        if swapped:
            desk.now_playing(stays)
        else:
            desk.transition, desk.next, desk.choice = None, None, None
        return stays
