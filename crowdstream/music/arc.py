"""Where in the arc of a set the next phrase stands: groove, lift, tension, drop or rest.

Asked on phrase lines. A track that has a break, a build and a drop has an arc of its own, and that
one counts; elsewhere the arc is made of stems.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from crowdstream.music.floor import HIGH, HIGH_BARS, Floor
from crowdstream.music.rules import BASS, OTHER, PHRASE, VOCALS

Phase = Literal["groove", "lift", "tension", "drop", "rest"]

TENSION_REST_BARS: Final = 64
"""From one tension to the next, at least: what comes with every track is none."""

DROP_REST_BARS: Final = 32
"""From a drop to the next tension, at least."""

DROP_BARS: Final = 16
"""So much of a drop is heard before the track is left."""

OVERDUE_BARS: Final = 16

OWN_DROP_BARS: Final = 32
"""A track that drops by itself so soon needs no tension of ours."""

LIFT: Final = 0.1
"""So much more drive within a phrase lifts the music."""

_OF_SECTIONS: Final[dict[str, Phase]] = {"break": "rest", "build": "tension"}

LEFT_OUT: Final[dict[Phase, tuple[int, ...]]] = {"tension": (BASS,), "rest": (BASS, VOCALS)}
"""Stems that are away in a phase of ours."""

LEFT_IN: Final[dict[Phase, tuple[int, ...]]] = {
    "lift": (OTHER,),
    "drop": (OTHER,),
    "rest": (OTHER,),
}
"""Stems that are there even if the floor does not ask for them."""


class Line(NamedTuple):
    """What the arc has to know at a phrase line."""

    bar: int
    section: str
    section_began: int
    """Bar of the timeline."""

    own_drop: int | None
    """Bars until the track drops by itself, if it will."""

    bass_free: bool
    """The bass is there, has been for a phrase, and may go for one."""

    leaves_next: bool
    """The track is left on the next line."""

    drop_from: float


class Arc:
    """Remembers which phase it is, since when, and when the last peak was."""

    def __init__(self) -> None:
        """A night begins in the groove."""
        self.phase: Phase = "groove"
        self.since = 0
        self.ours = False
        """The phase is made of stems, not by the track itself."""

        self._tense_at = -TENSION_REST_BARS
        self.dropped_at = 0
        """Bar of the newest drop, or of the beginning."""

    def away(self) -> tuple[int, ...]:
        """Stems that are left out now."""
        return LEFT_OUT.get(self.phase, ()) if self.ours else ()

    def there(self) -> tuple[int, ...]:
        """Stems that are heard now, wished for or not."""
        return LEFT_IN.get(self.phase, ()) if self.ours else ()

    def drop_bar(self) -> int | None:
        """The bar at which a tension of ours is resolved."""
        return self.since + PHRASE if self.ours and self.phase == "tension" else None

    def dropped(self, bar: int) -> None:
        """A drop came otherwise: of the track, or with the next one."""
        self.phase, self.since, self.ours, self.dropped_at = "drop", bar, False, bar

    def restart(self, bar: int) -> None:
        """Another track, or a person, has the say: nothing is left out."""
        self.phase, self.since, self.ours = "groove", bar, False

    def turn(self, line: Line, floor: Floor) -> str | None:
        """The phase of the phrase that begins here; the cause if it is another than before."""
        before = self.phase, self.ours
        phase, ours, why = self._next(line, floor)
        if phase == "drop" and self.phase != "drop":
            self.dropped_at = line.bar
        if phase == "rest":
            floor.rested()
        if phase == "tension" and ours:
            self._tense_at = line.bar
        if (phase, ours) == before:
            return None
        self.phase, self.ours, self.since = phase, ours, line.bar
        return why

    def _next(self, line: Line, floor: Floor) -> tuple[Phase, bool, str]:
        own = _OF_SECTIONS.get(line.section)
        if own is not None:
            return own, False, f"the track's own {line.section}"
        if line.section == "drop" and line.bar - line.section_began < PHRASE:
            return "drop", False, "the track's own drop"
        if self.ours and self.phase == "tension":
            return "drop", True, "the bass is back on the one"
        if self.ours and self.phase == "rest":
            if floor.drive > HIGH:
                return "drop", True, "the rest is over; everything is back on the one"
            return "groove", True, "the rest is over"
        until_drop = line.own_drop if line.own_drop is not None else 2 * OWN_DROP_BARS
        # A drop is heard out before the rest, but for one that is long overdue.
        overdue = floor.high_bars >= HIGH_BARS + OVERDUE_BARS
        heard_out = line.bar - self.dropped_at >= (PHRASE if overdue else DROP_BARS)
        if floor.needs_rest():
            if line.bass_free and heard_out and until_drop > PHRASE:
                return "rest", True, f"{HIGH_BARS} bars above {HIGH:g}"
        elif line.bass_free and until_drop > OWN_DROP_BARS and not floor.cooled:
            # Before the next track the drop is that track's, and may come sooner.
            since_drop = PHRASE if line.leaves_next else DROP_REST_BARS
            rested = (
                line.bar - self.dropped_at >= since_drop
                and line.bar - self._tense_at >= TENSION_REST_BARS
            )
            wild = floor.mean() >= line.drop_from and floor.heading() >= line.drop_from
            wild = wild and (floor.steady() or not line.leaves_next)
            if rested and wild and floor.rise() > -LIFT / 2:
                return "tension", True, f"drive {floor.mean():.2f}; eight bars without the bass"
        if floor.rise() >= LIFT and floor.heading() >= line.drop_from - LIFT:
            return "lift", True, f"drive {floor.ago(PHRASE):.2f} to {floor.drive:.2f}"
        return "groove", True, f"drive {floor.drive:.2f}"
