"""Filling shapes with soft edges and a little shading: the brush of the drawn crowd.

A shape is a row of NUMBERS: its kind, opacity, blue, green, red, then where it is, in pixels:

    ROD       x y r, x y r                                 between two circles
    ELLIPSE   x y, axis_x axis_y, half_length half_width   the axis has the length 1
    SHADOW    the same                                     only darkens, and has no edge
    PATCH     x y, x y, x y, x y, r                        a convex quadrilateral, grown by r
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROD: Final = 0
ELLIPSE: Final = 1
SHADOW: Final = 2
PATCH: Final = 3
NUMBERS: Final = 14

BRIGHTEST: Final = 238.0
"""No colour may be brighter: shading makes it up to 1.06 times as bright."""

_EDGE: Final = 0.8
# Share of full cover that an edge gains in a pixel: as soft as a lens.


# The strokes stand above `fill`: a kernel with a signature compiles when it is read. Divisions are
# by what cannot be zero, and the kernels are compiled without a test for it (error_model). Along a
# row they first reckon cover and shade without a branch, which the compiler turns into vector
# instructions, and then lay the colour on: half the time of doing both pixel by pixel.


@njit(
    "void(uint8[::1], int64, int64, float32[::1], float32[::1], float32[::1])",
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def _lay(
    pixels: NDArray[np.uint8], first: int, count: int, shape: NDArray[np.float32],
    cover: NDArray[np.float32], shade: NDArray[np.float32],
) -> None:  # fmt: skip
    """Lay the shape's colour, shaded, over `count` pixels; `cover` and `shade` start at 0."""
    blue, green, red = shape[2], shape[3], shape[4]
    one, half = np.float32(1.0), np.float32(0.5)
    part = pixels[3 * first : 3 * (first + count)]
    for k in range(count):
        share = cover[k]
        rest, light = one - share, share * shade[k]
        # An index without a sign needs no test for one, and the loop becomes vectors.
        b = np.uint64(3 * k)
        g, r = b + np.uint64(1), b + np.uint64(2)
        part[b] = np.uint8(np.int32(blue * light + rest * np.float32(part[b]) + half))
        part[g] = np.uint8(np.int32(green * light + rest * np.float32(part[g]) + half))
        part[r] = np.uint8(np.int32(red * light + rest * np.float32(part[r]) + half))


_STROKE: Final = "void(uint8[:,:,::1], float32[::1], float32[::1], float32[::1])"


@njit(_STROKE, cache=True, nogil=True, error_model="numpy")
def _rod(
    picture: NDArray[np.uint8], shape: NDArray[np.float32],
    cover: NDArray[np.float32], shade: NDArray[np.float32],
) -> None:  # fmt: skip
    height, width = picture.shape[:2]
    pixels = picture.reshape(-1)
    opacity = shape[1]
    x0, y0, r0 = shape[5], shape[6], shape[7]
    dx, dy, dr = shape[8] - x0, shape[9] - y0, shape[10] - r0
    one, zero = np.float32(1.0), np.float32(0.0)
    half, soft = np.float32(0.5), np.float32(_EDGE)
    per_square = one / max(dx * dx + dy * dy, np.float32(1e-6))
    widest = max(r0, r0 + dr) + one
    # Along a row, only what is near the line through both circles.
    aside = widest / np.sqrt(per_square)
    left, right = min(x0, x0 + dx) - widest, max(x0, x0 + dx) + widest
    first_y = max(0, int(np.floor(min(y0, y0 + dy) - widest)))
    last_y = min(height - 1, int(np.floor(max(y0, y0 + dy) + widest)))
    for y in range(first_y, last_y + 1):
        py = np.float32(y) + half - y0
        low, high = left, right
        if abs(dy) > np.float32(1e-3):
            middle, reach = x0 + py * dx / dy, aside / abs(dy)
            low, high = max(low, middle - reach), min(high, middle + reach)
        first_x = max(0, int(np.floor(low)))
        count = min(width - 1, int(np.floor(high))) + 1 - first_x
        begin = np.float32(first_x) + half - x0
        down = py * dy * per_square
        for k in range(count):
            px = begin + np.float32(k)
            along = px * dx * per_square + down
            along = max(zero, along)
            along = min(one, along)
            radius = r0 + along * dr
            ax, ay = px - along * dx, py - along * dy
            away = ax * ax + ay * ay
            edge = half + soft * (radius - np.sqrt(away))
            edge = max(zero, edge)
            edge = min(one, edge)
            cover[k] = opacity * edge
            rim = away / (radius * radius)
            shade[k] = np.float32(1.06) - np.float32(0.34) * (min(one, rim))
        _lay(pixels, y * width + first_x, count, shape, cover, shade)


@njit(_STROKE, cache=True, nogil=True, error_model="numpy")
def _ellipse(
    picture: NDArray[np.uint8], shape: NDArray[np.float32],
    cover: NDArray[np.float32], shade: NDArray[np.float32],
) -> None:  # fmt: skip
    height, width = picture.shape[:2]
    pixels = picture.reshape(-1)
    shadow = shape[0] == np.float32(2.0)
    opacity = shape[1]
    x0, y0, axis_x, axis_y = shape[5], shape[6], shape[7], shape[8]
    one, zero = np.float32(1.0), np.float32(0.0)
    half, soft = np.float32(0.5), np.float32(_EDGE)
    # Nothing is thinner than half a pixel: it would come and go from picture to picture.
    long, broad = max(shape[9], half), max(shape[10], half)
    reach_x = np.sqrt((axis_x * long) ** 2 + (axis_y * broad) ** 2) + one
    reach_y = np.sqrt((axis_y * long) ** 2 + (axis_x * broad) ** 2) + one
    first_y = max(0, int(np.floor(y0 - reach_y)))
    last_y = min(height - 1, int(np.floor(y0 + reach_y)))
    first_x = max(0, int(np.floor(x0 - reach_x)))
    count = min(width - 1, int(np.floor(x0 + reach_x))) + 1 - first_x
    along_x, along_y = axis_x / long, axis_y / long
    across_x, across_y = -axis_y / broad, axis_x / broad
    per_long, per_broad = one / long, one / broad
    begin = np.float32(first_x) + half - x0
    for y in range(first_y, last_y + 1):
        py = np.float32(y) + half - y0
        for k in range(count):
            px = begin + np.float32(k)
            u = px * along_x + py * along_y
            v = px * across_x + py * across_y
            q = u * u + v * v
            inside = one - q
            if shadow:
                inside = max(zero, inside)
                cover[k] = opacity * inside * inside
                shade[k] = one
            else:
                # Distance to the edge, nearly: how far q is from 1 over how fast it changes.
                u, v = u * per_long, v * per_broad
                slope = np.float32(2.0) * np.sqrt(u * u + v * v) + np.float32(1e-9)
                edge = half + soft * inside / slope
                edge = max(zero, edge)
                edge = min(one, edge)
                cover[k] = opacity * edge
                shade[k] = np.float32(1.06) - np.float32(0.26) * (min(one, q))
        _lay(pixels, y * width + first_x, count, shape, cover, shade)


@njit(_STROKE, cache=True, nogil=True, error_model="numpy")
def _patch(
    picture: NDArray[np.uint8], shape: NDArray[np.float32],
    cover: NDArray[np.float32], shade: NDArray[np.float32],
) -> None:  # fmt: skip
    height, width = picture.shape[:2]
    pixels = picture.reshape(-1)
    opacity = shape[1]
    one, zero = np.float32(1.0), np.float32(0.0)
    half, soft = np.float32(0.5), np.float32(_EDGE)
    radius = shape[13]
    corners = shape[5:13].reshape(4, 2)
    turn = zero
    for k in range(4):
        x0, y0 = corners[k]
        x1, y1 = corners[(k + 1) % 4]
        turn += x0 * y1 - x1 * y0
    sign = one if turn >= zero else -one
    edges = np.empty((4, 5), np.float32)
    for k in range(4):
        x0, y0 = corners[k]
        dx, dy = corners[(k + 1) % 4, 0] - x0, corners[(k + 1) % 4, 1] - y0
        long = max(np.sqrt(dx * dx + dy * dy), np.float32(1e-6))
        edges[k, 0], edges[k, 1] = x0, y0
        edges[k, 2], edges[k, 3], edges[k, 4] = dx / long, dy / long, long
    wide = radius + one
    per_rim = one / max(np.float32(1.6) * radius, np.float32(1e-6))
    first_y = max(0, int(np.floor(corners[:, 1].min() - wide)))
    last_y = min(height - 1, int(np.floor(corners[:, 1].max() + wide)))
    first_x = max(0, int(np.floor(corners[:, 0].min() - wide)))
    count = min(width - 1, int(np.floor(corners[:, 0].max() + wide))) + 1 - first_x
    begin = np.float32(first_x) + half
    for y in range(first_y, last_y + 1):
        py = np.float32(y) + half
        for k in range(count):
            cover[k] = np.float32(-1e9)
            shade[k] = np.float32(1e18)
        # For each edge: how far outside it, and how far (squared) from it.
        for number in range(4):
            ex, ey, ux, uy, long = edges[number]
            for k in range(count):
                ax, ay = begin + np.float32(k) - ex, py - ey
                out = sign * (ax * uy - ay * ux)
                cover[k] = max(cover[k], out)
                along = ax * ux + ay * uy
                along = max(zero, along)
                along = min(long, along)
                ax, ay = ax - along * ux, ay - along * uy
                away = ax * ax + ay * ay
                shade[k] = min(shade[k], away)
        for k in range(count):
            outside = cover[k]
            away = np.sqrt(shade[k])
            depth = radius - (away if outside > zero else -away)
            edge = half + soft * depth
            edge = max(zero, edge)
            edge = min(one, edge)
            cover[k] = opacity * edge
            rim = one - depth * per_rim
            rim = max(zero, rim)
            rim = min(one, rim)
            shade[k] = np.float32(1.04) - np.float32(0.32) * rim * rim
        _lay(pixels, y * width + first_x, count, shape, cover, shade)


@njit("void(uint8[:,:,::1], float32[:,::1])", cache=True, nogil=True, error_model="numpy")
def fill(picture: NDArray[np.uint8], shapes: NDArray[np.float32]) -> None:
    """Lay shapes over a picture, (height, width, 3), in order: (shapes, NUMBERS), see above.

    Colours are at most BRIGHTEST. What lies outside the picture is left out. Holds no lock of
    the interpreter.
    """
    cover = np.empty(picture.shape[1], np.float32)
    shade = np.empty(picture.shape[1], np.float32)
    for number in range(shapes.shape[0]):
        shape = shapes[number]
        if not shape[1] > np.float32(0.0):
            continue
        if shape[0] == np.float32(0.0):
            _rod(picture, shape, cover, shade)
        elif shape[0] == np.float32(3.0):
            _patch(picture, shape, cover, shade)
        else:
            _ellipse(picture, shape, cover, shade)
