"""How a deck is nudged so that its kicks fall on those of the deck that plays already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from crowdstream.dsp.kicks import kick_lags, usual_lag
from crowdstream.player.measured import OncePerStems

if TYPE_CHECKING:
    from crowdstream.music.library import Track
    from crowdstream.player.deck import Deck

MOST_SECONDS: Final = 0.03
"""A grid that is further off is wrong in another way."""

BACK_SECONDS: Final = 0.001
"""So much of a nudge is given back with each track: or, of many tracks whose grids are a little
askew, the music would wander away from the timeline."""

LOOK_BEATS: Final = 32
"""In which the kicks of both decks are compared, from where the transition begins."""

_MEASURED: Final[OncePerStems[NDArray[np.float64]]] = OncePerStems()


def kicks_of(track: Track, stems: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """How late each beat's kick sounds, in seconds of the track; see `kick_lags`.

    Measured at the first call for these stems, which takes about a second for five minutes: a
    loader asks before the player does.
    """
    return _MEASURED.get(
        stems, lambda: kick_lags(stems[0], rate, track.first_beat_seconds, track.bpm)
    )


def remember_kicks(stems: NDArray[np.int16], kicks: NDArray[np.float64]) -> None:
    """They were measured before."""
    _MEASURED.get(stems, lambda: kicks)


def nudge_beats(
    coming: Track, stems: NDArray[np.int16], offset: float, playing: Deck, beat: float, rate: int
) -> float:
    """How far ahead of its grid a track should be read so that both kicks are one, in its beats.

    0 where the kicks of either do not say.

    Args:
        coming: the track that comes in, which nobody hears yet.
        stems: how it sounds.
        offset: its beat minus the timeline's.
        playing: the deck that is heard.
        beat: of the timeline, where it begins to be heard.
        rate: samples a second of the stems.
    """
    if playing.track is None or playing.stems is None:
        return 0.0
    theirs = usual_lag(
        kicks_of(playing.track, playing.stems, rate), round(beat + playing.offset), LOOK_BEATS
    )
    own = usual_lag(kicks_of(coming, stems, rate), round(beat + offset), LOOK_BEATS)
    if theirs is None or own is None:
        return 0.0
    # As heard: a track that is played faster has its lags shortened, in beats they stay.
    beats = own * coming.bpm / 60.0 - (theirs * playing.track.bpm / 60.0 - playing.nudge)
    most, back = (seconds * coming.bpm / 60.0 for seconds in (MOST_SECONDS, BACK_SECONDS))
    beats = min(max(beats, -most), most)
    return beats - min(max(beats, -back), back)
