"""Which joints of a drawn crowd cannot be seen, because somebody nearer stands before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PARTS: Final = (
    ((5, 6), (11, 12), 0.105), ((5, 11), (6, 12), 0.060), ((3, 4), (3, 4), 0.085),
    ((5,), (7,), 0.034), ((7,), (9,), 0.030), ((6,), (8,), 0.034), ((8,), (10,), 0.030),
    ((11,), (13,), 0.056), ((13,), (15,), 0.042), ((12,), (14,), 0.056), ((14,), (16,), 0.042),
)  # fmt: skip
# What a body hides: from the middle of some joints to the middle of others, so wide in body
# heights to either side.


def hidden_joints(joints: NDArray[np.float32], heights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Shape (people, 17): True where somebody nearer is in the way.

    `joints` has the shape (people, 17, 2 or more), farthest people first; `heights` are body
    heights in the same unit. The bodies are taken as a few thick lines, which is nearly what is
    painted.
    """
    places = joints[:, :, :2].astype(np.float64)
    parts = np.empty((len(places), len(_PARTS), 5))
    for number, (begin, end, half_width) in enumerate(_PARTS):
        parts[:, number, 0:2] = places[:, begin].mean(axis=1)
        parts[:, number, 2:4] = places[:, end].mean(axis=1)
        parts[:, number, 4] = half_width * heights
    hidden = np.zeros((len(places), 17), np.bool_)
    _hide(np.ascontiguousarray(places), parts, hidden)
    return hidden


@njit("void(float64[:,:,::1], float64[:,:,::1], boolean[:,::1])", cache=True, nogil=True)
def _hide(
    places: NDArray[np.float64], parts: NDArray[np.float64], hidden: NDArray[np.bool_]
) -> None:
    people = places.shape[0]
    for near in range(1, people):
        left, right, top, bottom = 1e9, -1e9, 1e9, -1e9
        for part in range(parts.shape[1]):
            wide = parts[near, part, 4]
            left = min(left, parts[near, part, 0] - wide, parts[near, part, 2] - wide)
            right = max(right, parts[near, part, 0] + wide, parts[near, part, 2] + wide)
            top = min(top, parts[near, part, 1] - wide, parts[near, part, 3] - wide)
            bottom = max(bottom, parts[near, part, 1] + wide, parts[near, part, 3] + wide)
        for far in range(near):
            for joint in range(17):
                x, y = places[far, joint, 0], places[far, joint, 1]
                if hidden[far, joint] or x < left or x > right or y < top or y > bottom:
                    continue
                for part in range(parts.shape[1]):
                    x0, y0 = parts[near, part, 0], parts[near, part, 1]
                    dx, dy = parts[near, part, 2] - x0, parts[near, part, 3] - y0
                    square = dx * dx + dy * dy
                    along = 0.0
                    if square > 0.0:
                        along = min(1.0, max(0.0, ((x - x0) * dx + (y - y0) * dy) / square))
                    aside_x, aside_y = x - x0 - along * dx, y - y0 - along * dy
                    wide = parts[near, part, 4]
                    if aside_x * aside_x + aside_y * aside_y < wide * wide:
                        hidden[far, joint] = True
                        break
