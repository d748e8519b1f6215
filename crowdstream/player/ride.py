"""A hand on the fader: while one track gives way to another, the sum gets no louder than it should.

What two tracks will be together is known before it is heard: how loud each bar of each stem is
(`dsp/bar_levels.py`), and where faders and knobs will stand. It should lie on the line from how
loud it was before to how loud the new track will be alone; what is above is taken back. Nothing is
ever raised: what leaves takes its loudness along.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crowdstream.dsp.bar_levels import BANDS, bar_powers
from crowdstream.player.measured import OncePerStems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crowdstream.music.library import Track
    from crowdstream.music.transitions import Transition
    from crowdstream.player.deck import Deck

MOST_DB: Final = 4.0
"""A sum that were louder by more is a mistake of the forecast."""

AROUND_BARS: Final = 8
"""Of the past, and of the new track alone, between which the line is drawn."""

RAMP_BEATS: Final = 0.5
"""Before a bar line, in which tracks change hands too."""

BEATS_PER_BAR: Final = 4

ALIKE: Final = 0.2
"""How much two tracks have in common that are mixed on the beat and in key: their sum is louder
than that of two unrelated ones by up to 0.8 dB."""

_MEASURED: Final[OncePerStems[NDArray[np.float32]]] = OncePerStems()

_LEAST_POWER: Final = 1e-7
# Of silence no line is drawn.


def levels_of(track: Track, stems: NDArray[np.int16], rate: int) -> NDArray[np.float32]:
    """Power of each bar, stem and band; see `bar_powers`.

    Measured at the first call for these stems, which takes a second or two for five minutes: a
    loader asks before the player does.
    """
    return _MEASURED.get(
        stems, lambda: bar_powers(stems, rate, track.first_beat_seconds, track.bpm)
    )


def remember_levels(stems: NDArray[np.int16], levels: NDArray[np.float32]) -> None:
    """They were measured before."""
    _MEASURED.get(stems, lambda: levels)


class _Bar(NamedTuple):
    """What a deck will be in a bar.

    How loud that is, is asked when a transition wants to know: the first track of all is heard
    before it is measured.
    """

    track: Track
    stems: NDArray[np.int16]
    at: int
    """Bar of the track."""

    gains: NDArray[np.float64]
    bands: NDArray[np.float64]


class Ride:
    """The factor of everything, from bar to bar."""

    def __init__(self, rate: int) -> None:
        """Nothing was heard yet."""
        self._rate = rate
        self._past: deque[list[_Bar]] = deque(maxlen=AROUND_BARS)
        self._transition: Transition | None = None
        self._before_db = self._after_db = 0.0

    def factor(
        self, bar: int, decks: Sequence[Deck], transition: Transition | None,
        after: Sequence[float],
    ) -> float:  # fmt: skip
        """The factor for the bar that begins at this bar line, at most 1.

        Args:
            bar: of the timeline, all orders for whose line have been carried out.
            decks: both.
            transition: the one under way.
            after: level of each stem of the incoming track when it will be alone.
        """
        heard = [one for deck in decks if (one := self._heard(deck, bar)) is not None]
        if transition is None or transition.end <= transition.begin:
            self._transition = None
            self._past.append(heard)
            return 1.0
        together = _sum([self._power(one) for one in heard])
        if transition is not self._transition:
            self._transition = transition
            past = sum(self._power(one) for bar_heard in self._past for one in bar_heard)
            self._before_db = _db(past / max(1, len(self._past)))
            deck = decks[transition.incoming.deck]
            alone = self._alone(deck, transition.end, after)
            self._after_db = _db(alone) if alone > _LEAST_POWER else self._before_db
        if self._before_db <= _db(_LEAST_POWER) or bar >= transition.end:
            return 1.0
        share = (bar + 0.5 - transition.begin) / (transition.end - transition.begin)
        line = self._before_db + (self._after_db - self._before_db) * share
        off = min(0.0, max(-MOST_DB, line - _db(together)))
        return float(10.0 ** (off / 20.0))

    def _heard(self, deck: Deck, bar: int) -> _Bar | None:
        """A deck in a bar, as faders and knobs will stand in its middle; None when it is empty."""
        beat = (bar + 0.5) * BEATS_PER_BAR
        if beat >= deck.stops_at > 0.0:
            return None
        gains, knobs = deck.will_be(beat)
        return self._bar_of(deck, bar, gains, _bands(knobs))

    def _alone(self, deck: Deck, bar: int, levels: Sequence[float]) -> float:
        gains = np.array(levels) * deck.scale
        flat = np.ones(BANDS)
        some = [self._bar_of(deck, bar + later, gains, flat) for later in range(AROUND_BARS)]
        return sum(self._power(one) for one in some if one is not None) / len(some)

    def _bar_of(
        self, deck: Deck, bar: int, gains: NDArray[np.float64], bands: NDArray[np.float64]
    ) -> _Bar | None:
        track, stems = deck.track, deck.stems
        if track is None or stems is None:
            return None
        return _Bar(track, stems, bar + round(deck.offset / BEATS_PER_BAR), gains, bands)

    def _power(self, one: _Bar) -> float:
        powers = levels_of(one.track, one.stems, self._rate)
        if not 0 <= one.at < len(powers):
            return 0.0
        return float(np.square(one.gains) @ powers[one.at] @ np.square(one.bands))


def _sum(powers: Sequence[float]) -> float:
    """Power of what is heard together."""
    mixed = math.prod(powers) if len(powers) == 2 else 0.0
    return sum(powers) + 2.0 * ALIKE * math.sqrt(mixed)


def _bands(knobs: Sequence[float]) -> NDArray[np.float64]:
    """Factor of each band, from a deck's row of knobs; the filters roughly."""
    low, mid, high, lowpass, highpass, _, gain = knobs
    bands = np.array([low, mid, high]) * gain
    # The filters run from 10 Hz to 2 kHz and from 20 kHz to 200 Hz: half way they are past a band.
    bands[0] *= 1.0 - min(1.0, highpass / 0.55)
    bands[1] *= (1.0 - 0.6 * max(0.0, highpass - 0.5) / 0.5) * min(1.0, lowpass / 0.5 + 0.2)
    bands[2] *= min(1.0, max(0.0, (lowpass - 0.4) / 0.5))
    return bands


def _db(power: float) -> float:
    return 10.0 * math.log10(max(power, 1e-12))
