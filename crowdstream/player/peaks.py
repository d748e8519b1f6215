"""How high the peaks of a track are: measured once, by whoever loads it, off the audio path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crowdstream.dsp.peak import true_peak_db
from crowdstream.player.measured import OncePerStems

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crowdstream.music.library import Track

_MEASURED: Final[OncePerStems[float]] = OncePerStems()


def true_peak_of(track: Track, stems: NDArray[np.int16]) -> float:
    """True peak of a track in dB of full scale, all stems together.

    What its description says, else measured at the first call for these stems, which takes about
    a fifth of a second: a loader asks before the player does.
    """
    said: float | None = getattr(track, "true_peak_db", None)
    if said is not None:
        return said
    return _MEASURED.get(stems, lambda: true_peak_db(stems))


def remember_peak(stems: NDArray[np.int16], peak_db: float) -> None:
    """It was measured before."""
    _MEASURED.get(stems, lambda: peak_db)
