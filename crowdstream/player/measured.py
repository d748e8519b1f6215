"""What is measured of a track's stems once, by whoever loads them, off the audio path."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Stems = NDArray[np.int16]

T = TypeVar("T")


class OncePerStems(Generic[T]):
    """Remembers what was found for stems, for as long as these are in memory."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._known: dict[int, tuple[weakref.ref[Stems], T]] = {}

    def get(self, stems: Stems, measure: Callable[[], T]) -> T:
        """What is known, or, the first time, what `measure` says."""
        known = self._known.get(id(stems))
        if known is not None and known[0]() is stems:
            return known[1]
        key, found = id(stems), measure()

        def forget(_: object) -> None:
            self._known.pop(key, None)

        self._known[key] = (weakref.ref(stems, forget), found)
        return found
