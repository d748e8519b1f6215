"""What happens to the picture as a whole: the light's gain, and the camera's own movement.

Both are fitted to two pictures, or to the flow between them, so that people who move are left out;
then they are taken out, and what remains is for `crowdstream.dsp.motion` to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from crowdstream.dsp.cells import CELL

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIPPED_DARK: Final = 4
CLIPPED_BRIGHT: Final = 250
"""Grey levels beyond which a sensor tells nothing: left out where gain is fitted."""

FOLLOWS_PIXELS: Final = 0.4
"""Flow nearer than this to the camera's is the background's."""


@njit("float64(uint8[:,::1], uint8[:,::1], float64, float64)", cache=True, nogil=True)
def _misses(then: NDArray[np.uint8], now: NDArray[np.uint8], gain: float, offset: float) -> float:
    """How far `gain * then + offset` lies from `now` in the better half of the picture."""
    counts = np.zeros(256, np.int64)
    seen = 0
    for row in range(1, then.shape[0], 3):
        for col in range(1, then.shape[1], 3):
            level = min(255.0, max(0.0, gain * then[row, col] + offset))
            counts[int(abs(now[row, col] - level))] += 1
            seen += 1
    total = 0.0
    passed = 0
    for miss in range(256):
        taken = min(counts[miss], seen // 2 - passed)
        total += taken * (miss + 0.5)
        passed += taken
    return total / max(1, passed)


@njit("UniTuple(float64, 2)(uint8[:,::1], uint8[:,::1])", cache=True, nogil=True)
def fit_gain(then: NDArray[np.uint8], now: NDArray[np.uint8]) -> tuple[float, float]:
    """Gain and offset (grey levels) that make `then` as bright as `now`, both shape (rows, cols).

    The levels that the same shares of both pictures lie below, joined by a line: that does not
    mind what moved, nor the camera. Then least squares at the same places. Each is kept only if
    the better half of the picture agrees clearly more than without it; else (1, 0).
    """
    counts = np.zeros((2, 256), np.int64)
    seen = 0
    for row in range(1, then.shape[0], 3):
        for col in range(1, then.shape[1], 3):
            counts[0, then[row, col]] += 1
            counts[1, now[row, col]] += 1
            seen += 1
    best = _misses(then, now, 1.0, 0.0)
    if best < 1.5:
        return 1.0, 0.0
    # Nine shares of the pixels, 10 % to 90 %: the level that each ends at, then and now.
    sums = np.zeros(5)
    below = np.zeros(2, np.int64)
    level = np.zeros(2, np.int64)
    for step in range(1, 10):
        for side in range(2):
            while level[side] < 255 and below[side] + counts[side, level[side]] < step * seen // 10:
                below[side] += counts[side, level[side]]
                level[side] += 1
        x = float(level[0])
        y = float(level[1])
        if min(x, y) < CLIPPED_DARK or max(x, y) > CLIPPED_BRIGHT:
            continue
        sums[0] += 1.0
        sums[1] += x
        sums[2] += y
        sums[3] += x * x
        sums[4] += x * y
    gain = 1.0
    offset = 0.0
    found_gain = 1.0
    found_offset = 0.0
    for turn in range(4):
        spread = sums[3] - sums[1] * sums[1] / max(1.0, sums[0])
        if sums[0] < 3.0 or spread / sums[0] < 4.0:
            # Too little, or a plain wall, where an offset cannot be told from a gain.
            break
        found_gain = min(8.0, max(0.125, (sums[4] - sums[1] * sums[2] / sums[0]) / spread))
        found_offset = (sums[2] - found_gain * sums[1]) / sums[0]
        misses = _misses(then, now, found_gain, found_offset)
        if misses < 0.7 * best or (turn > 0 and misses < best and gain != 1.0):
            best = misses
            gain = found_gain
            offset = found_offset
        limit = 3.0 + 2.0 * best
        sums[:] = 0.0
        for row in range(1, then.shape[0], 3):
            for col in range(1, then.shape[1], 3):
                x = float(then[row, col])
                y = float(now[row, col])
                if min(x, y) < CLIPPED_DARK or max(x, y) > CLIPPED_BRIGHT:
                    continue
                if abs(y - gain * x - offset) < limit:
                    sums[0] += 1.0
                    sums[1] += x
                    sums[2] += y
                    sums[3] += x * x
                    sums[4] += x * y
    return gain, offset


@njit(
    "Tuple((float64[::1], float64, float64))(float32[:,::1], float32[:,::1], float32[:,::1])",
    cache=True,
    nogil=True,
)
def fit_camera(
    flow_x: NDArray[np.float32], flow_y: NDArray[np.float32], weight: NDArray[np.float32]
) -> tuple[NDArray[np.float64], float, float]:
    """The camera's own movement: an affine flow that the background follows, people left out.

    Shapes (rows, cols), flow in pixels, weight 0 where flow cannot be known. Returns
    (ax, bx, cx, ay, by, cy), so that the background's flow in cell (row, col) is
    ax + bx * (col - cols / 2) + cx * (row - rows / 2) and the like for y; the share of the weight
    that follows it; and the share that stands still. Reweighted least squares from the mean of
    the flow, the tolerance narrowing from 4 pixels to 0.5.
    """
    rows, cols = flow_x.shape
    answer = np.zeros(6)
    total = 0.0
    still = 0.0
    for row in range(rows):
        for col in range(cols):
            w = weight[row, col]
            total += w
            if flow_x[row, col] ** 2 + flow_y[row, col] ** 2 < FOLLOWS_PIXELS**2:
                still += w
    if total < 12.0:
        return answer, 1.0, 1.0
    middle_row = rows / 2.0
    middle_col = cols / 2.0
    # The widest tolerance must already hold the background, so begin at the median of a sample.
    sample_x = np.empty(rows * cols)
    sample_y = np.empty(rows * cols)
    count = 0
    for row in range(0, rows, 2):
        for col in range(0, cols, 2):
            if weight[row, col] > 0.0:
                sample_x[count] = flow_x[row, col]
                sample_y[count] = flow_y[row, col]
                count += 1
    if count > 0:
        answer[0] = np.median(sample_x[:count])
        answer[3] = np.median(sample_y[:count])
    tolerance = 4.0
    for _turn in range(6):
        # Normal equations of (1, column, row); a little stiffness keeps slopes at 0 where the
        # background is too small to tell.
        m = np.zeros((3, 3))
        right = np.zeros((3, 2))
        for row in range(rows):
            dy = row - middle_row
            for col in range(cols):
                w = weight[row, col]
                if w == 0.0:
                    continue
                dx = col - middle_col
                miss_x = flow_x[row, col] - (answer[0] + answer[1] * dx + answer[2] * dy)
                miss_y = flow_y[row, col] - (answer[3] + answer[4] * dx + answer[5] * dy)
                near = 1.0 + (miss_x * miss_x + miss_y * miss_y) / (tolerance * tolerance)
                w /= near * near
                m[0, 0] += w
                m[0, 1] += w * dx
                m[0, 2] += w * dy
                m[1, 1] += w * dx * dx
                m[1, 2] += w * dx * dy
                m[2, 2] += w * dy * dy
                right[0, 0] += w * flow_x[row, col]
                right[1, 0] += w * dx * flow_x[row, col]
                right[2, 0] += w * dy * flow_x[row, col]
                right[0, 1] += w * flow_y[row, col]
                right[1, 1] += w * dx * flow_y[row, col]
                right[2, 1] += w * dy * flow_y[row, col]
        stiff = 0.02 * total
        m[0, 0] += 1e-6 * total
        m[1, 1] += stiff * cols
        m[2, 2] += stiff * rows
        # Symmetric 3 x 3, solved by cofactors: no library call inside the kernel.
        c00 = m[1, 1] * m[2, 2] - m[1, 2] * m[1, 2]
        c01 = m[0, 2] * m[1, 2] - m[0, 1] * m[2, 2]
        c02 = m[0, 1] * m[1, 2] - m[0, 2] * m[1, 1]
        c11 = m[0, 0] * m[2, 2] - m[0, 2] * m[0, 2]
        c12 = m[0, 1] * m[0, 2] - m[0, 0] * m[1, 2]
        c22 = m[0, 0] * m[1, 1] - m[0, 1] * m[0, 1]
        det = m[0, 0] * c00 + m[0, 1] * c01 + m[0, 2] * c02
        if not det > 1e-12:
            break
        for axis in range(2):
            r0 = right[0, axis]
            r1 = right[1, axis]
            r2 = right[2, axis]
            answer[3 * axis] = (c00 * r0 + c01 * r1 + c02 * r2) / det
            answer[3 * axis + 1] = (c01 * r0 + c11 * r1 + c12 * r2) / det
            answer[3 * axis + 2] = (c02 * r0 + c12 * r1 + c22 * r2) / det
        tolerance = max(0.5, 0.6 * tolerance)
    follows = 0.0
    for row in range(rows):
        dy = row - middle_row
        for col in range(cols):
            dx = col - middle_col
            miss_x = flow_x[row, col] - (answer[0] + answer[1] * dx + answer[2] * dy)
            miss_y = flow_y[row, col] - (answer[3] + answer[4] * dx + answer[5] * dy)
            if miss_x * miss_x + miss_y * miss_y < FOLLOWS_PIXELS**2:
                follows += weight[row, col]
    return answer, follows / total, still / total


@njit(
    "Tuple((float32[:,::1], float32[:,::1], boolean[:,::1]))"
    "(float32[:,::1], float32[:,::1], float64[::1])",
    cache=True,
    nogil=True,
)
def without_camera(
    flow_x: NDArray[np.float32], flow_y: NDArray[np.float32], camera: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """The flow of the cells less the camera's own, and which cells have just come into view.

    Those are within three cells (a patch of the flow) of what the older picture did not show;
    flow is only guessed there, and is 0 in the answer.
    """
    rows, cols = flow_x.shape
    out_x = np.zeros((rows, cols), np.float32)
    out_y = np.zeros((rows, cols), np.float32)
    fresh = np.zeros((rows, cols), np.bool_)
    for row in range(rows):
        dy = row - rows / 2.0
        for col in range(cols):
            dx = col - cols / 2.0
            x = camera[0] + camera[1] * dx + camera[2] * dy
            y = camera[3] + camera[4] * dx + camera[5] * dy
            if x * x + y * y > 0.5:
                from_col = col + x / CELL
                from_row = row + y / CELL
                if (x < 0 and from_col < 3.0) or (x > 0 and from_col > cols - 4.0):
                    fresh[row, col] = True
                if (y < 0 and from_row < 3.0) or (y > 0 and from_row > rows - 4.0):
                    fresh[row, col] = True
            if not fresh[row, col]:
                out_x[row, col] = flow_x[row, col] - x
                out_y[row, col] = flow_y[row, col] - y
    return out_x, out_y, fresh
