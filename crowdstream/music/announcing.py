"""What will happen, in bars to go, and what has just happened by itself."""

from __future__ import annotations

from typing import Final

from crowdstream.music.desk import Desk
from crowdstream.music.library import Track
from crowdstream.music.lines import drop_after
from crowdstream.music.rules import PHRASE
from crowdstream.music.voices import Plan

_OTHERWISE: Final = frozenset({"drop", "transition", "loop"})
"""Decisions of a line after which a drop that was due there has come, or will not."""


def coming(desk: Desk, bar: int) -> tuple[Track | None, int | None]:
    """The next track, and bars until it begins to be heard, once either is settled."""
    transition, track, leave_bar = desk.transition, desk.next, desk.leave_bar
    if transition is not None:
        return transition.incoming.track, 0
    if track is None or leave_bar is None:
        return track, None
    return track, max(leave_bar - bar, 0)


def bars_to_drop(desk: Desk, bar: int) -> int | None:
    """Bars until the next drop that will be played."""
    transition, voice, leave_bar, loop = desk.transition, desk.voice, desk.leave_bar, desk.loop
    if transition is not None:
        if transition.to_drop and bar < transition.swap:
            return transition.swap - bar
        return None
    if voice is None:
        return None
    resolved = desk.arc.drop_bar()
    if resolved is not None and resolved > bar:
        return resolved - bar
    drop = drop_after(voice.track, voice.bar(bar))
    if drop is None:
        return None
    at = drop - voice.offset
    if (leave_bar is not None and leave_bar <= at) or (loop is not None and loop.bar <= at):
        return None
    return at - bar


class Announcing:
    """Says once what has begun: a drop, a hold, a lull."""

    def __init__(self, desk: Desk) -> None:
        """Nothing was said yet."""
        self._desk = desk
        self._held = False
        self._cooled = False

    def say(self, bar: int, plan: Plan, *, state: str, drop_due: bool) -> None:
        """Drops of a track in the course of its own, and the beginning of a hold or a lull.

        Args:
            bar: of the timeline.
            plan: what was decided for it.
            state: as `Playing.state` has it.
            drop_due: a bar ago one bar was left to the drop.
        """
        desk = self._desk
        newest, wish, floor = desk.listening.newest, desk.listening.wish, desk.floor
        if drop_due and not any(said.event in _OTHERWISE for said in plan.said):
            plan.say(bar, "drop", "the build ends here")
        if bars_to_drop(desk, bar) == PHRASE:
            plan.say(bar, "drop_ahead", "eight bars to go", bars=PHRASE)
        if floor.cooled and not self._cooled:
            why = f"{floor.why_cooled}; the programme has {desk.listening.programme_drive:.2f}"
            plan.say(bar, "programme", why)
        self._cooled = floor.cooled
        if not state.startswith("hold"):
            self._held = False
        elif not self._held:
            falls = newest.drive < wish.drive - 0.1 and not floor.cooled
            self._held = newest.hold or falls
            if self._held:
                why = f"drive {wish.drive:.2f} to {newest.drive:.2f} before the drop"
                plan.say(bar, "hold", "a person asked" if newest.hold else why)
