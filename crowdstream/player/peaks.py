"""How high the peaks of a track are: measured once, by whoever loads it, off the audio path."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from crowdstream.dsp.peak import true_peak_db

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crowdstream.music.library import Track

_measured: dict[int, tuple[weakref.ref[NDArray[np.int16]], float]] = {}
"""By the identity of the stems, for as long as they are in memory."""


def true_peak_of(track: Track, stems: NDArray[np.int16]) -> float:
    """True peak of a track in dB of full scale, all stems together.

    What its description says, else measured at the first call for these stems, which takes about
    a fifth of a second: a loader asks before the player does.
    """
    said: float | None = getattr(track, "true_peak_db", None)
    if said is not None:
        return said
    known = _measured.get(id(stems))
    if known is not None and known[0]() is stems:
        return known[1]
    key = id(stems)
    peak = true_peak_db(stems)

    def forget(_: object) -> None:
        _measured.pop(key, None)

    _measured[key] = (weakref.ref(stems, forget), peak)
    return peak
