"""What stands on the conductor's desk: what is heard, what comes, and who has the say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crowdstream.music.arc import Arc
from crowdstream.music.choosing import Choice, Choosing
from crowdstream.music.floor import COOLING_BARS, Floor
from crowdstream.music.library import Track
from crowdstream.music.lines import beat_of
from crowdstream.music.listening import Listening
from crowdstream.music.orders import Jump, Knob, Order, Start, Sweep
from crowdstream.music.rules import BASS, DRUMS, PHRASE, VOCALS, Rules
from crowdstream.music.staying import Loop
from crowdstream.music.transitions import FLAT, Transition
from crowdstream.music.voices import Plan, Voice


@dataclass(slots=True)
class Desk:
    """The state of the music, and the few things that everybody does with it."""

    rules: Rules
    listening: Listening
    choosing: Choosing
    floor: Floor
    arc: Arc = field(default_factory=Arc)
    voice: Voice | None = None
    """What is heard; in a transition the track that is left."""

    transition: Transition | None = None
    next: Track | None = None
    """What plays next; None while that is open."""

    choice: Choice | None = None
    leave_bar: int | None = None
    """Bar of the timeline at which the next track will begin to be heard."""

    loop: Loop | None = None
    """The place that the track will jump to, and when."""

    drive_at_start: float = 0.0
    """Of the floor for which the track came in."""

    knobs: tuple[dict[Knob, float], ...] = field(default_factory=lambda: (dict(FLAT), dict(FLAT)))
    """Where the knobs of each deck stand, or are on their way to."""

    def leading(self, bar: int) -> Voice | None:
        """Whose sections count: the incoming track's from the swap on."""
        transition = self.transition
        if transition is not None and bar >= transition.swap:
            return transition.incoming
        return self.voice

    def protected(self, bar: int) -> bool:
        """In a break, a build, or the first bars of a drop, unless people leave."""
        voice = self.leading(bar)
        if voice is None or self.floor.people_left():
            return False
        if self.arc.drop_bar() is not None:
            return True
        section = voice.section(bar)
        return section.name in ("break", "build") or (
            section.name == "drop" and voice.bar(bar) - section.bar < PHRASE
        )

    def wished_stems(self) -> list[int]:
        """Drums and bass always; the others where the wish has them, or the arc."""
        gains, arc = self.listening.wish.gains, self.arc
        wished = {DRUMS, BASS, *arc.there()} | {stem for stem in range(4) if gains[stem] > 0.0}
        return sorted(wished - set(arc.away()) - ({VOCALS} if self.voice_rests() else set()))

    def voice_rests(self) -> bool:
        """A voice that began anew in the middle of its phrase would tell of the loop."""
        return self.loop is not None and self.loop.within_phrase

    def wants_another(self, voice: Voice, bar: int) -> bool:
        """The floor is another than the one this track came in for."""
        if bar - voice.since < 2 * PHRASE:
            return False
        floor = self.floor
        if floor.cooled and not floor.empty and bar - voice.since >= COOLING_BARS:
            # One that has only just come in is part of the answer.
            return voice.since < floor.cooled_at
        return floor.changed_since(self.drive_at_start, self.rules.strong_change)

    def go_to(self, voice: Voice, bar: int, track_bar: int, plan: Plan) -> None:
        """The same track, elsewhere."""
        voice.offset = track_bar - bar
        plan.orders.append(Jump(voice.deck, beat_of(bar), voice.offset))
        self.loop, self.leave_bar = None, None

    def load(self, voice: Voice, knobs: dict[Knob, float], plan: Plan) -> None:
        """A track on a deck that nobody hears yet, and its knobs as they shall stand."""
        plan.orders.append(Start(voice.deck, voice.track, voice.offset, voice.shift))
        self.set_knobs(voice, knobs, plan)

    def set_knobs(self, voice: Voice, knobs: dict[Knob, float], plan: Plan) -> None:
        """Before a deck is heard; what stands flat and shall be flat needs no order."""
        at = beat_of(voice.since) - 1.0
        for knob, to in knobs.items():
            if to != FLAT[knob] or self.knobs[voice.deck][knob] != FLAT[knob]:
                plan.orders.append(Sweep(voice.deck, knob, to, at, at))

    def flatten(self, voice: Voice, bar: int, plan: Plan) -> None:
        """All knobs of a deck that is heard back to where nobody has touched them."""
        line = beat_of(bar)
        for knob, to in FLAT.items():
            if self.knobs[voice.deck][knob] != to:
                plan.orders.append(Sweep(voice.deck, knob, to, line - 0.5, line))

    def note_knobs(self, orders: Sequence[Order]) -> None:
        """Where these orders move the knobs."""
        for order in orders:
            if isinstance(order, Sweep):
                self.knobs[order.deck][order.knob] = order.to

    def now_playing(self, voice: Voice) -> None:
        """From here on this is what is heard, and what comes is open."""
        self.voice, self.transition = voice, None
        self.next, self.leave_bar, self.choice = None, None, None
        self.loop = None
        self.listening.skip_asked = False
        self.choosing.note(voice.track)
        self.drive_at_start = self.listening.wish.drive
