"""Reads a track's stems at any step: a windowed sinc between the samples, and loops in place.

A position is in samples of the track at the machine's rate and need not be whole. Where a loop is
due the reader crosses over to another place of the track within some milliseconds, so that the new
place is there in full at the very sample of the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit, types

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEM_COUNT: Final = 4
CHANNELS: Final = 2 * STEM_COUNT
"""Left and right of each stem, in this order."""

TAPS: Final = 32
"""Source samples that make one heard sample."""

STEPS: Final = 512
"""Places between two source samples for which the taps are known; between them straight lines."""

_CUTOFF: Final = 0.93
"""Of half the rate. Above lies what a faster tempo would fold back."""

_KAISER: Final = 8.0

FULL_SCALE: Final = 1.0 / 32768.0

# Memory of the loader may be mapped read-only; both kinds of array go through this signature.
_STEMS = types.Array(types.int16, 3, "C", readonly=True)
_READ = types.void(
    _STEMS, types.float64, types.float64, types.int64, types.float64, types.float64, types.float64,
    types.boolean[::1], types.float32[:, ::1], types.float32[::1], types.float32[:, ::1],
)  # fmt: skip
_READ_ONE = types.void(
    _STEMS, types.float64, types.float64, types.boolean[::1], types.float32[:, ::1],
    types.float32[::1], types.float32[:, ::1], types.int64,
)  # fmt: skip


@njit(_READ_ONE, cache=True, nogil=True)
def _read_one(
    stems: NDArray[np.int16],
    at: float,
    share_of_it: float,
    wanted: NDArray[np.bool_],
    table: NDArray[np.float32],
    taps: NDArray[np.float32],
    out: NDArray[np.float32],
    i: int,
) -> None:
    """Add the sample at the position `at`, times `share_of_it`, to column i of `out`."""
    length = stems.shape[1]
    whole = int(np.floor(at))
    first = whole - TAPS // 2 + 1
    if first < -TAPS or first >= length:
        return
    scale = np.float32(share_of_it * FULL_SCALE)
    if at == whole:
        if 0 <= whole < length:
            for stem in range(STEM_COUNT):
                if wanted[stem]:
                    out[2 * stem, i] += scale * np.float32(stems[stem, whole, 0])
                    out[2 * stem + 1, i] += scale * np.float32(stems[stem, whole, 1])
        return
    place = (at - whole) * STEPS
    row = int(place)
    share = np.float32(place - row)
    for tap in range(TAPS):
        taps[tap] = table[row, tap] + share * (table[row + 1, tap] - table[row, tap])
    begin = max(0, -first)
    end = min(TAPS, length - first)
    for stem in range(STEM_COUNT):
        if not wanted[stem]:
            continue
        left = np.float32(0.0)
        right = np.float32(0.0)
        if end - begin == TAPS:
            for tap in range(TAPS):
                left += taps[tap] * np.float32(stems[stem, first + tap, 0])
                right += taps[tap] * np.float32(stems[stem, first + tap, 1])
        else:
            for tap in range(begin, end):
                left += taps[tap] * np.float32(stems[stem, first + tap, 0])
                right += taps[tap] * np.float32(stems[stem, first + tap, 1])
        out[2 * stem, i] += scale * left
        out[2 * stem + 1, i] += scale * right


@njit(_READ, cache=True, nogil=True)
def read(
    stems: NDArray[np.int16],
    position: float,
    step: float,
    samples: int,
    jump_at: float,
    jump_by: float,
    jump_samples: float,
    wanted: NDArray[np.bool_],
    table: NDArray[np.float32],
    taps: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """The next `samples` of all stems into `out`, from `position` on. Realtime-safe: yes

    From the position `jump_at` on, what is `jump_by` further on is read instead; during the
    `jump_samples` before it both are heard, and their factors add up to 1. Outside the files there
    is silence, and stems that are not `wanted` are silent too.

    Shapes: stems (4, samples, 2) of 16 bits; wanted (4,); table as `sinc_table()` gives it; taps
    (TAPS,); out (8, at least `samples`), a row per stem and side, full scale 1.
    """
    for i in range(samples):
        for row in range(CHANNELS):
            out[row, i] = np.float32(0.0)
        at = position + step * i
        if at >= jump_at:
            _read_one(stems, at + jump_by, 1.0, wanted, table, taps, out, i)
        elif at > jump_at - jump_samples:
            x = (at - (jump_at - jump_samples)) / jump_samples
            new = np.sin(0.5 * np.pi * x) ** 2
            _read_one(stems, at, 1.0 - new, wanted, table, taps, out, i)
            _read_one(stems, at + jump_by, new, wanted, table, taps, out, i)
        else:
            _read_one(stems, at, 1.0, wanted, table, taps, out, i)


def sinc_table() -> NDArray[np.float32]:
    """Shape (STEPS + 1, TAPS): a Kaiser-windowed sinc for each place between two samples."""
    place = np.arange(STEPS + 1)[:, np.newaxis] / STEPS
    x = np.arange(TAPS)[np.newaxis, :] - (TAPS // 2 - 1) - place
    window = np.i0(_KAISER * np.sqrt(np.clip(1.0 - (x / (TAPS // 2)) ** 2, 0.0, 1.0)))
    table = _CUTOFF * np.sinc(_CUTOFF * x) * window
    # Each row has the same sum, so a steady sound does not tremble as the place wanders.
    table /= table.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(table, np.float32)
