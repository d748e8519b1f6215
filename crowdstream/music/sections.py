"""The form of a track: intro, groove, break, build, drop, outro, in whole 8-bar units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.music.library import Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]


def find_sections(bars: int) -> tuple[Section, ...]:
    """One groove, for now."""
    return (Section("groove", 0, bars),)
