"""Does a camera that has come back still look at the same place?

After a reconnect it may have been turned, or be another one: zones and what was calibrated are
then wrong, and somebody must be told. What stands in the room is compared, not how bright it is and
not who is there: block by block, and three quarters of the blocks may be full of people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import cv2 as _cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

cv2: Any = _cv2

ROWS, COLS = 48, 80
BLOCK: Final = 8

PICTURES: Final = 12
"""Of the new view so many are averaged before it is judged: people and noise blur away."""

LATEST_SHARE: Final = 0.05
"""How much of the remembered view each picture is."""

LEAST_PATTERN: Final = 1.2
"""Blocks with less deviation than this, in grey levels, show a bare wall or the dark."""

LEAST_BLOCKS: Final = 8
BEST_PERCENT: Final = 75
LIKENESS: Final = 0.45
"""Correlation that a quarter of the blocks must reach. Of two places it is under 0.4 (lines that
lie level are everywhere); of one it is above 0.5, though the floor is packed."""


class View:
    """Remembers what a camera looks at, through its epochs."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._epoch: int | None = None
        self._known: NDArray[np.float32] | None = None
        self._new: NDArray[np.float32] | None = None
        self._count = 0

    def look(self, grey: NDArray[np.uint8], epoch: int) -> bool:
        """Whether it has just been found that an epoch looks at another place than the one before.

        `grey` is the small grey picture. Told once for each epoch, a few pictures after it began.
        """
        small: NDArray[np.float32] = cv2.resize(
            grey, (COLS, ROWS), interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        if epoch != self._epoch:
            # An epoch too short to be judged leaves what was known before it.
            self._epoch, self._new, self._count = epoch, np.zeros_like(small), 0
        if self._new is None:
            if self._known is None:
                self._known = small
            self._known += np.float32(LATEST_SHARE) * (small - self._known)
            return False
        self._new += small
        self._count += 1
        if self._count < PICTURES:
            return False
        new, self._new = self._new / np.float32(self._count), None
        known, self._known = self._known, new
        return known is not None and is_elsewhere(known, new)


def is_elsewhere(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two views, shape (ROWS, COLS), show different places; False where nobody can tell."""
    blocks = [_blocks(view - cv2.GaussianBlur(view, (0, 0), 6.0)) for view in (one, other)]
    deviations = [part.std(axis=1) for part in blocks]
    tells = np.minimum(*deviations) > LEAST_PATTERN
    if int(tells.sum()) < LEAST_BLOCKS:
        return False
    centred = [part - part.mean(axis=1, keepdims=True) for part in blocks]
    likeness = (centred[0] * centred[1]).mean(axis=1) / np.maximum(
        1e-6, deviations[0] * deviations[1]
    )
    return float(np.percentile(likeness[tells], BEST_PERCENT)) < LIKENESS


def _blocks(view: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (blocks, pixels)."""
    tall, wide = ROWS // BLOCK, COLS // BLOCK
    cut = view.reshape(tall, BLOCK, wide, BLOCK).transpose(0, 2, 1, 3)
    return np.asarray(cut.reshape(tall * wide, BLOCK * BLOCK), np.float32)
