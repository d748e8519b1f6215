"""What is measured of a decoded track: once, by the process that decodes, and kept beside it.

To measure takes seconds, and the player has none to spare while it plays. The file stands beside
the decoded one, is written under another name first, and names the grid it was measured with: a
grid that somebody edits since makes it worth nothing.
"""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.dsp.bar_levels import BANDS
from crowdstream.packets import STEMS
from crowdstream.player.decoded import measures_file
from crowdstream.player.kicks import kicks_of, remember_kicks
from crowdstream.player.peaks import remember_peak, true_peak_of
from crowdstream.player.ride import levels_of, remember_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.music.library import Track

    Stems = NDArray[np.int16]

VERSION: Final = 1
"""Of what is measured: a file of another is measured anew."""


class Measures(NamedTuple):
    """Of one track at one rate."""

    peak_db: float
    """True peak of all stems together; see `true_peak_of`."""

    kicks: NDArray[np.float64]
    """See `kick_lags`."""

    levels: NDArray[np.float32]
    """See `bar_powers`."""


def measure(track: Track, stems: Stems, rate: int) -> Measures:
    """All of it, which takes seconds."""
    return Measures(
        true_peak_of(track, stems), kicks_of(track, stems, rate), levels_of(track, stems, rate)
    )


def remember(stems: Stems, measures: Measures) -> None:
    """Nobody need measure these stems again."""
    remember_peak(stems, measures.peak_db)
    remember_kicks(stems, measures.kicks)
    remember_levels(stems, measures.levels)


def note(path: Path, track: Track, measures: Measures) -> None:
    """Keep it beside the decoded file; what cannot be written is measured again another time."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            np.savez(file, grid=_grid(track), **measures._asdict())
        part.replace(measures_file(path))
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def noted(path: Path, track: Track) -> Measures | None:
    """What stands beside a decoded file; None where there is none, or it is of another grid."""
    try:
        with (
            measures_file(path).open("rb") as file,
            np.load(file, allow_pickle=False) as found,
        ):
            grid = found["grid"]
            known = Measures(float(found["peak_db"]), found["kicks"], found["levels"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None
    sound = (
        np.array_equal(grid, _grid(track))
        and math.isfinite(known.peak_db)
        and known.kicks.ndim == 1
        and known.kicks.dtype == np.float64
        and known.levels.dtype == np.float32
        and known.levels.shape[1:] == (len(STEMS), BANDS)
    )
    return known if sound else None


def _grid(track: Track) -> NDArray[np.float64]:
    return np.array([VERSION, track.first_beat_seconds, track.bpm])
