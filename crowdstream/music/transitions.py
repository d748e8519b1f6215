"""The ways from one track to the next, each as what happens at which bar line.

All of them keep three things apart: what lies below 150 Hz, the bass and the voice are one deck's
at a time. They change hands within half a beat before a phrase begins, so that the one is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crowdstream.music.lines import OPEN, all_in, beat_of, drop_after
from crowdstream.music.orders import Fade, Knob, Law, Order, Start, Stop, Sweep
from crowdstream.music.rules import BASS, DRUMS, OTHER, PHRASE, VOCALS, Style
from crowdstream.music.voices import Voice

FLAT: Final[dict[Knob, float]] = {
    "low": 1.0, "mid": 1.0, "high": 1.0, "lowpass": 1.0, "highpass": 0.0, "echo": 0.0, "gain": 1.0,
}  # fmt: skip
"""A deck that nobody has touched."""

HANDOVER_BEATS: Final = 0.5
GAP_BEATS: Final = 0.1
"""Of these the last part: what goes is gone before what comes is there."""

HALF: Final = 0.7071
"""Half the power."""

MADE_ROOM: Final = 0.5
"""What is left of the outgoing track's highs once the new hats are there."""

BESIDE: Final = 0.75
"""How loud the new drums are beside the old ones: what is twice there would be louder."""

# Bands of a blend at its swap: the new track has no bass and no voice yet, so both together are
# about as loud as one of them.
LEAVING_HALFWAY: Final = 0.85
COMING_HALFWAY: Final = 0.75

LEAST_BLEND_BARS: Final = 16
FILTER_BARS: Final = 4
ECHO_BARS: Final = 2
"""Of the tail that is heard after the one."""


@dataclass(slots=True)
class Transition:
    """A transition under way."""

    style: Style
    outgoing: Voice
    incoming: Voice
    begin: int
    """Bar of the timeline at which the incoming track begins to be heard."""

    swap: int
    """Bar at which the low band, the bass and the voice change hands."""

    end: int
    """Bar from which on only the incoming track is heard."""

    to_drop: bool
    in_key: bool
    """Whether what has a key may be heard of both."""

    @property
    def knobs(self) -> dict[Knob, float]:
        """How the incoming deck stands before it is heard."""
        if self.style in ("cut", "echo out"):
            return dict(FLAT)
        if self.style == "long blend":
            return {**FLAT, "low": 0.0, "mid": 0.0, "high": 0.0}
        return {**FLAT, "low": 0.0, "gain": BESIDE if self.swap > self.begin else 1.0}

    @property
    def bars(self) -> int:
        """How long both are heard."""
        return ECHO_BARS if self.style == "echo out" else self.end - self.begin

    def steps(self, bar: int, wished: Sequence[int]) -> list[Order]:
        """What happens at this bar line; ask for each from `begin` to `end`, in order.

        `wished` are the stems that the floor should hear.
        """
        orders: list[Order] = []
        if bar == self.begin:
            incoming = self.incoming
            orders.append(Start(incoming.deck, incoming.track, incoming.offset, incoming.shift))
            if self.style in ("cut", "echo out"):
                return [*orders, *self._cut(wished)]
            orders += self._open(wished)
        if bar == self._rest_from:
            orders += self._hand_over_the_rest(bar, wished)
        if bar == self.swap:
            orders += self._swap(wished)
        if bar == self.end:
            orders += self._close()
        return orders

    # ---- swaps and blends ----------------------------------------------------------------------

    def _open(self, wished: Sequence[int]) -> list[Order]:
        """The incoming drums without their lows, or everything behind closed bands."""
        going, coming = self.outgoing, self.incoming
        if self.swap == self.begin:
            return []
        line, swap = beat_of(self.begin), beat_of(self.swap)
        if self.style != "long blend":
            return [
                _fade(coming, DRUMS, self.begin, line, swap - 1.0),
                Sweep(going.deck, "high", MADE_ROOM, line, swap - 1.0),
            ]
        stems = [stem for stem in wished if stem in (DRUMS, OTHER)]
        orders: list[Order] = [_fade(coming, s, self.begin, line - 0.5, line) for s in stems]
        there = swap - 1.0  # when the next orders come
        for knob in _BLENDED:
            orders.append(Sweep(coming.deck, knob, COMING_HALFWAY, line, there))
            orders.append(Sweep(going.deck, knob, LEAVING_HALFWAY, line, there))
        return orders

    @property
    def _rest_from(self) -> int | None:
        """When pads and plucks begin to change places; None where that is done otherwise."""
        if self.style != "stem swap" or not self.in_key:
            return None
        if self.end > self.swap:
            return self.swap
        return (self.begin + self.swap) // 2

    def _hand_over_the_rest(self, bar: int, wished: Sequence[int]) -> list[Order]:
        line, end = beat_of(bar), beat_of(self.end)
        orders: list[Order] = []
        if self.outgoing.on[OTHER]:
            orders.append(_fade(self.outgoing, OTHER, bar, line, end, on=False))
        if OTHER in wished:
            orders.append(_fade(self.incoming, OTHER, bar, line, end))
        return orders

    def _swap(self, wished: Sequence[int]) -> list[Order]:
        """The low band and everything that there is only one of."""
        going, coming, bar = self.outgoing, self.incoming, self.swap
        line = beat_of(bar)
        begin, gap = line - HANDOVER_BEATS, line - GAP_BEATS
        orders: list[Order] = [
            Sweep(going.deck, "low", 0.0, begin, line),
            Sweep(coming.deck, "low", 1.0, begin, line),
        ]
        leaving, arriving = [BASS, VOCALS], [BASS, *(s for s in (VOCALS,) if s in wished)]
        if self._rest_from is None and self.style != "long blend":
            # Both would be heard where only one may be, or the whole track leaves as it is.
            leaving += [OTHER] if self.style != "filter out" or not self.in_key else []
            arriving += [OTHER] if OTHER in wished else []
        elif self.style == "long blend" and OTHER in wished and not coming.on[OTHER]:
            orders.append(_fade(coming, OTHER, bar, line, beat_of(self.end)))
        gone = [stem for stem in leaving if going.on[stem]]
        orders += [_fade(going, stem, bar, begin, gap, on=False) for stem in gone]
        orders += [_fade(coming, stem, bar, gap, line) for stem in arriving]
        if not coming.on[DRUMS]:
            orders.append(_fade(coming, DRUMS, bar, begin, line, law="gain"))
        coming.changed = [bar] * len(coming.changed)
        if self.style == "long blend":
            end = beat_of(self.end)
            for knob in _BLENDED:
                orders.append(Sweep(coming.deck, knob, 1.0, line, line + (end - line) / 4))
                orders.append(Sweep(going.deck, knob, 0.0, line, end))
        elif self.style == "filter out":
            orders.append(Sweep(going.deck, "gain", HALF, begin, line))
            orders.append(Sweep(going.deck, "highpass", 1.0, line, beat_of(self.end)))
        else:
            if self.swap > self.begin:
                orders.append(Sweep(coming.deck, "gain", 1.0, begin, line))
            orders.append(_fade(going, DRUMS, bar, begin, line, on=False, law="gain"))
        return orders

    def _close(self) -> list[Order]:
        """Whatever is left of the outgoing track goes, and its deck is free."""
        going, line = self.outgoing, beat_of(self.end)
        orders: list[Order] = [
            _fade(going, stem, self.end, line - HANDOVER_BEATS, line, on=False)
            for stem in range(len(going.on))
            if going.on[stem]
        ]
        return [*orders, Stop(going.deck, line + 1.0)]

    # ---- on the one ----------------------------------------------------------------------------

    def _cut(self, wished: Sequence[int]) -> list[Order]:
        going, coming, bar = self.outgoing, self.incoming, self.begin
        line = beat_of(bar)
        orders: list[Order] = []
        if self.style == "echo out":
            # The last beat goes into the echo without its lows: they are the new track's now.
            orders.append(Sweep(going.deck, "low", 0.0, line - 1.0, line - 0.75))
            orders.append(Sweep(going.deck, "echo", 1.0, line - 1.0, line - 0.75))
        soon, gone, there = line - 0.25, line - 0.05, line
        orders += [
            _fade(going, stem, bar, soon, gone, on=False)
            for stem in range(len(going.on))
            if going.on[stem]
        ]
        orders += [_fade(coming, stem, bar, gone, there) for stem in wished]
        return [*orders, Stop(going.deck, line + 0.5)]


_BLENDED: Final[tuple[Knob, ...]] = ("mid", "high")


def _fade(
    voice: Voice, stem: int, bar: int, start: float, end: float, *, on: bool = True,
    law: Law = "power",
) -> Fade:  # fmt: skip
    """A stem comes or goes, and the voice knows it."""
    voice.on[stem], voice.changed[stem] = on, bar
    return Fade(voice.deck, stem, float(on), start, end, law)


def lengths(style: Style, overlap: int, left: int) -> tuple[int, int]:
    """Bars from the beginning to the swap, and to the end, of a transition.

    Args:
        style: not one that is over at once.
        overlap: bars that both should be heard.
        left: bars that the outgoing track still has.
    """
    if style in ("cut", "echo out"):
        return 0, 0
    if style == "filter out":
        return 0, min(FILTER_BARS, left)
    if style == "long blend":
        overlap = max(overlap, LEAST_BLEND_BARS)
    overlap = min(overlap, left // 4 * 4)
    if overlap < PHRASE:
        return 0, overlap
    lead = max(1, overlap // 2 // PHRASE) * PHRASE
    return lead, lead if style == "drums only" else overlap


def can_blend(voice: Voice, bar: int, bars: int) -> bool:
    """Whether the track has so many bars more, and no promise among them that would be broken.

    A break in its second half only helps: by then the other track carries the floor.
    """
    here, half = voice.bar(bar), bars // 2
    drop = drop_after(voice.track, here)
    if drop is not None and drop < here + bars:
        return False
    return all_in(voice.track, here, half, OPEN) and all_in(
        voice.track, here + half, bars - half, OPEN | {"break"}
    )
