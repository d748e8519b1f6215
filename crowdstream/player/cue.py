"""The cue: what comes next, for a person with headphones, before the house hears it.

A deck of its own plays the track as it is, all four stems, no band or filter turned, at the house's
loudness and on its beat. So nothing that the house hears depends on whether somebody listens.

    waiting      from its groove (or drop) on, bar on bar, round and round
    transition   exactly where the house has it, until the house has nothing else
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.dsp import fades
from crowdstream.dsp.limiter import Limiter
from crowdstream.music.lines import entry
from crowdstream.music.rules import PHRASE, Rules
from crowdstream.music.timeline import BEATS_PER_BAR, QUANTUM
from crowdstream.player.deck import Deck
from crowdstream.player.peaks import true_peak_of
from crowdstream.player.source import STEM_COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crowdstream.music.conductor import Conductor
    from crowdstream.music.library import Track

FADE_BEATS: Final = 0.25
"""One thing goes, and after as long a rest the next comes."""

AT_ONCE_DB: Final = 1000.0


class Cued(NamedTuple):
    """Something to be heard in the cue."""

    track: Track
    stems: NDArray[np.int16]
    offset: float | None
    """Beat of the track minus beat of the timeline; None: it waits, and any bar will do."""

    shift: float
    nudge: float = 0.0
    """Beats further on that its kicks fall on the house's."""


class CueDeck:
    """One deck before the fader, and its limiter."""

    def __init__(self, rate: int, rules: Rules) -> None:
        """Silent. All memory is taken here."""
        self._deck = Deck(rate, rules.loudness_lufs, engine=rules.stretch,
                          ceiling_db=rules.ceiling_db)  # fmt: skip
        self._limiter = Limiter(rate, rules.ceiling_db)
        self._sound = np.zeros((QUANTUM, 2), np.float32)
        self._limited = np.zeros((QUANTUM, 2), np.float32)
        self._cued: Cued | None = None
        self._gone_at = math.inf
        """Beat at which what is heard has gone."""

        self._round_at = math.inf
        """Beat at which a track that waits goes back to where it began."""

        self._closed = False

    @property
    def track(self) -> Track | None:
        """What is heard."""
        return self._deck.track

    @property
    def offset(self) -> float:
        """Beat of the track that is read minus beat of the timeline."""
        return self._deck.offset + self._deck.nudge

    def close(self) -> None:
        """It is the end: what is heard goes, and nothing comes."""
        self._closed = True

    def render(
        self, wanted: Cued | None, begin: float, end: float, ahead: NDArray[np.float64],
        out: NDArray[np.float32], column: int,
    ) -> None:  # fmt: skip
        """The quantum between two beats into two columns of `out`.

        Realtime-safe: yes, as far as `Deck.render` is
        """
        if self._closed:
            wanted = None
        if self._cued is None:
            if wanted is not None:
                self._load(wanted, begin)
        elif begin >= self._gone_at:
            self._cued = None
            self._deck.empty()
        elif self._gone_at == math.inf and not _same(self._cued, wanted):
            self._leave(wanted, begin)
        elif end >= self._round_at - 1.0 and self._cued.offset is None:
            self._go_round(self._cued.track)
        self._sound.fill(0.0)
        self._deck.render(begin, end, AT_ONCE_DB, self._sound, ahead)
        self._limiter.limit(self._sound, self._limited)
        out[:, column : column + 2] = self._limited

    def _load(self, cued: Cued, now: float) -> None:
        deck, track = self._deck, cued.track
        line = math.ceil(now / BEATS_PER_BAR) * BEATS_PER_BAR
        offset = _first_bar(track) * BEATS_PER_BAR - line if cued.offset is None else cued.offset
        deck.load(
            track, cued.stems, offset, shift=cued.shift,
            true_peak_db=true_peak_of(track, cued.stems), nudge=cued.nudge,
        )  # fmt: skip
        for stem in range(STEM_COUNT):
            start = now + FADE_BEATS
            deck.fade(stem, 1.0, start, start + FADE_BEATS, fades.GAIN, now)
        self._cued, self._gone_at = cued, math.inf
        self._round_at = track.bars * BEATS_PER_BAR - offset

    def _leave(self, wanted: Cued | None, now: float) -> None:
        """At once for something else; when nothing comes, on the bar line."""
        start = now
        if wanted is None and not self._closed:
            start = math.ceil(now / BEATS_PER_BAR) * BEATS_PER_BAR
        for stem in range(STEM_COUNT):
            self._deck.fade(stem, 0.0, start, start + FADE_BEATS, fades.GAIN, now)
        self._gone_at = start + FADE_BEATS

    def _go_round(self, track: Track) -> None:
        begin, line = _first_bar(track) * BEATS_PER_BAR, self._round_at
        self._deck.jump(begin - line, line)
        self._round_at = line + track.bars * BEATS_PER_BAR - begin


def to_cue(
    conductor: Conductor, decks: Sequence[Deck], standby: tuple[Track, NDArray[np.int16]] | None
) -> Cued | None:
    """What comes next: on its deck already, or waiting for it. Realtime-safe: yes"""
    transition = conductor.transition
    if transition is not None:
        deck = decks[transition.incoming.deck]
        if deck.track is not None and deck.stems is not None:
            shift = transition.incoming.shift
            return Cued(deck.track, deck.stems, deck.offset, shift, deck.nudge)
    elif standby is not None and standby[0] is conductor.next:
        return Cued(*standby, None, conductor.next_shift)
    return None


def _same(cued: Cued, wanted: Cued | None) -> bool:
    return (
        wanted is not None
        and cued.track is wanted.track
        and cued.shift == wanted.shift
        and cued.offset == wanted.offset
        and cued.nudge == wanted.nudge
    )


def _first_bar(track: Track) -> int:
    """Where a track that waits begins: what it will be like, not the way there."""
    return min(entry(track, to_drop=False, lead=0), max(track.bars - PHRASE, 0))
