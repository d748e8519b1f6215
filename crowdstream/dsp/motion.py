"""What moves in a small grey picture: numbers over a field of optical flow, without a camera.

The picture is cut into cells of CELL x CELL pixels. A cell counts as moving when the flow says
so *and* the picture there has changed by more than its noise; then the crowd's speed is

    mean over the moving cells of ( flow against the flow around it, as far as a body reaches
                                  + vertical flow of what is around it )

which is the definition of v in `crowdstream.dsp.energy` with cells for joints and the
neighbourhood for the torso. Because it is a mean over what moves, one dancer and forty who dance
alike read alike; because the surroundings are taken out, walking through the picture counts less
than dancing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from crowdstream.dsp.energy import TIME_BASE_SECONDS
from crowdstream.dsp.zones import WHOLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL: Final = 3
"""Side of a cell in pixels of the picture that flow is measured in (90 rows)."""

DARK_LEVEL: Final = 24
"""Grey levels below this are the dark of a room, not something lit."""

MOVES_PIXELS: Final = 0.3
"""Flow below this, in pixels of 90 rows over the time base, is the tremble of the method."""

SWING_EXPONENT: Final = 0.3
"""The longer between two pictures, the more of a swing to and fro is cut short: read flow falls
with about this power of the time. Taken out where the time base cannot be met (15 or 25 pictures
a second allow 0.07 or 0.13, 0.08 or 0.12 s), so that no frame rate reads higher than another."""

FASTEST_SPEED: Final = 6.0
"""Body lengths per second: more than any body does, so what reads more is not one."""


class Cells(NamedTuple):
    """What is known of each cell; every array has the shape (rows, cols)."""

    now: NDArray[np.float32]
    then: NDArray[np.float32]
    """Mean grey level now and, brightness matched, then."""

    spread: NDArray[np.float32]
    """Standard deviation of grey levels now, over the cell and its eight neighbours."""

    likeness: NDArray[np.float32]
    """Over the same nine cells: how alike the patterns now and then are at the same place, up
    to 1, whatever their brightness; near 0 where there is no pattern."""

    change: NDArray[np.float32]
    """Mean absolute change of grey level at the same place."""

    rest: NDArray[np.float32]
    """The same after following the flow: what the flow does not explain."""


class Signs(NamedTuple):
    """What the flow and its failures say about the picture. All finite."""

    speed: float
    """Mean over the moving cells as above, in picture heights per second."""

    moving_share: float
    """Share of the picture that moves."""

    changed_share: float
    """Share of the picture whose grey level changed clearly: what the next three rest on."""

    unexplained: float
    """0 to about 1: change left over after following the flow, over all change."""

    lamp: float
    """Brightness of what changes over the middle brightness of the picture; 1 when nothing does.
    People reflect about as much as the room; what shines itself is many times as bright."""

    relit_share: float
    """Share of what changed whose pattern stood still while its brightness changed."""

    dark_share: float
    """Share of the picture that lies in the dark."""

    resting_share: float
    """Share of the picture that is lit and did not change, but for the camera."""

    detail_share: float
    """Share of the picture with a pattern above the noise: where flow can be known at all."""


@njit("Tuple((float32[:,::1], float32[:,::1]))(float32[:,:,::1])", cache=True, nogil=True)
def cell_flow(
    flow: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean flow of each cell, x and y apart; `flow` has the shape (height, width, 2)."""
    rows = flow.shape[0] // CELL
    cols = flow.shape[1] // CELL
    flow_x = np.empty((rows, cols), np.float32)
    flow_y = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            x_sum = np.float32(0.0)
            y_sum = np.float32(0.0)
            for y in range(row * CELL, row * CELL + CELL):
                for x in range(col * CELL, col * CELL + CELL):
                    x_sum += flow[y, x, 0]
                    y_sum += flow[y, x, 1]
            flow_x[row, col] = x_sum / np.float32(CELL * CELL)
            flow_y[row, col] = y_sum / np.float32(CELL * CELL)
    return flow_x, flow_y


@njit(
    "Tuple((float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1],"
    " float32[:,::1]))(uint8[:,::1], uint8[:,::1], uint8[:,::1])",
    cache=True,
    nogil=True,
)
def _compare(
    now: NDArray[np.uint8], then: NDArray[np.uint8], followed: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], ...]:
    rows = now.shape[0] // CELL
    cols = now.shape[1] // CELL
    n = np.float32(CELL * CELL)
    mean_now = np.empty((rows, cols), np.float32)
    mean_then = np.empty((rows, cols), np.float32)
    change = np.empty((rows, cols), np.float32)
    rest = np.empty((rows, cols), np.float32)
    squares = np.empty((rows, cols, 3), np.float32)
    for row in range(rows):
        for col in range(cols):
            a = 0.0
            b = 0.0
            aa = 0.0
            bb = 0.0
            ab = 0.0
            changed = 0.0
            left = 0.0
            for y in range(row * CELL, row * CELL + CELL):
                for x in range(col * CELL, col * CELL + CELL):
                    p = float(now[y, x])
                    q = float(then[y, x])
                    a += p
                    b += q
                    aa += p * p
                    bb += q * q
                    ab += p * q
                    changed += abs(p - q)
                    left += abs(p - followed[y, x])
            mean_now[row, col] = a / n
            mean_then[row, col] = b / n
            change[row, col] = changed / n
            rest[row, col] = left / n
            squares[row, col, 0] = aa / n
            squares[row, col, 1] = bb / n
            squares[row, col, 2] = ab / n
    spread = np.empty((rows, cols), np.float32)
    likeness = np.empty((rows, cols), np.float32)
    for row in range(rows):
        top = max(0, row - 1)
        bottom = min(rows, row + 2)
        for col in range(cols):
            start = max(0, col - 1)
            stop = min(cols, col + 2)
            sa = 0.0
            sb = 0.0
            saa = 0.0
            sbb = 0.0
            sab = 0.0
            for y in range(top, bottom):
                for x in range(start, stop):
                    sa += mean_now[y, x]
                    sb += mean_then[y, x]
                    saa += squares[y, x, 0]
                    sbb += squares[y, x, 1]
                    sab += squares[y, x, 2]
            count = (bottom - top) * (stop - start)
            va = max(0.0, saa / count - (sa / count) ** 2)
            vb = max(0.0, sbb / count - (sb / count) ** 2)
            cov = sab / count - sa * sb / (count * count)
            spread[row, col] = math.sqrt(va)
            # A pattern of less than two grey levels is none.
            likeness[row, col] = cov / max(4.0, math.sqrt(va * vb))
    return mean_now, mean_then, spread, likeness, change, rest


def compare(now: NDArray[np.uint8], then: NDArray[np.uint8], followed: NDArray[np.uint8]) -> Cells:
    """Compare the picture with an older one, cell by cell; all of the same shape.

    `then` is the older picture, made as bright as this one; `followed` is it again with every
    pixel moved along the flow.
    """
    return Cells(*_compare(now, then, followed))


@njit("float32[:,::1](uint8[:,::1], uint8[:,::1])", cache=True, nogil=True)
def cell_change(now: NDArray[np.uint8], then: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean absolute difference of the two pictures in each cell, in grey levels."""
    rows = now.shape[0] // CELL
    cols = now.shape[1] // CELL
    change = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            total = 0.0
            for y in range(row * CELL, row * CELL + CELL):
                for x in range(col * CELL, col * CELL + CELL):
                    total += abs(float(now[y, x]) - float(then[y, x]))
            change[row, col] = total / (CELL * CELL)
    return change


@njit("float64(float64)", cache=True, nogil=True)
def pattern_level(noise: float) -> float:
    """Spread of grey levels above which there is a pattern to follow, and not only noise."""
    return 2.0 + 2.0 * noise


@njit("float64(float32[:,::1], float64)", cache=True, nogil=True)
def _quantile(values: NDArray[np.float32], share: float) -> float:
    flat = np.sort(values.ravel())
    return float(flat[min(flat.size - 1, int(share * flat.size))])


def noise_of(cells: Cells, labels: NDArray[np.uint32] | None = None) -> float:
    """Standard deviation of the sensor's noise, in grey levels.

    From the quarter of the picture that is explained best, which is at rest or followed well.
    What is ignored (`labels` as in `read_signs`) tells nothing.
    """
    rest = cells.rest
    if labels is not None and labels.any():
        rest = np.ascontiguousarray(rest[labels != 0])[np.newaxis]
    return _quantile(rest, 0.25)


@njit("float32[:,::1](float32[:,::1], int64, int64)", cache=True, nogil=True)
def _sums_around(values: NDArray[np.float32], up: int, aside: int) -> NDArray[np.float32]:
    """Sum over the cells within `up` rows and `aside` columns, what lies outside being 0."""
    rows, cols = values.shape
    across = np.empty((rows, cols), np.float32)
    for row in range(rows):
        running = 0.0
        for col in range(min(aside, cols)):
            running += values[row, col]
        for col in range(cols):
            if col + aside < cols:
                running += values[row, col + aside]
            if col - aside - 1 >= 0:
                running -= values[row, col - aside - 1]
            across[row, col] = running
    out = np.empty((rows, cols), np.float32)
    for col in range(cols):
        running = 0.0
        for row in range(min(up, rows)):
            running += across[row, col]
        for row in range(rows):
            if row + up < rows:
                running += across[row + up, col]
            if row - up - 1 >= 0:
                running -= across[row - up - 1, col]
            out[row, col] = running
    return out


@njit(
    "UniTuple(float64, 9)"
    "(float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1],"
    " float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], uint32[:,::1],"
    " float64[:,::1], float64, float64, float64, float64)",
    cache=True,
    nogil=True,
)
def _read_signs(
    flow_x: NDArray[np.float32],
    flow_y: NDArray[np.float32],
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    spread: NDArray[np.float32],
    likeness: NDArray[np.float32],
    change: NDArray[np.float32],
    rest: NDArray[np.float32],
    steadied_change: NDArray[np.float32],
    labels: NDArray[np.uint32],
    zones: NDArray[np.float64],
    noise: float,
    moves: float,
    pace: float,
    person_cells: float,
) -> tuple[float, ...]:
    rows, cols = flow_x.shape
    cells = 0.0
    threshold = 1.2 + 2.0 * noise
    # What light does is read from clear changes only: faint ones are half noise.
    strong = 5.0 + 3.0 * noise
    pattern = pattern_level(noise)
    tell = 0.0
    moving = np.zeros((rows, cols), np.float32)
    masked_x = np.zeros((rows, cols), np.float32)
    masked_y = np.zeros((rows, cols), np.float32)
    relit = 0.0
    dark = 0.0
    resting = 0.0
    detailed = 0.0
    all_change = 0.0
    all_rest = 0.0
    shine = 0.0
    for row in range(rows):
        for col in range(cols):
            if labels[row, col] == 0:
                continue
            # A zone that lies outside the floor counts for itself alone.
            whole = labels[row, col] >= WHOLE
            if whole:
                cells += 1.0
                if now[row, col] < DARK_LEVEL:
                    dark += 1.0
                elif steadied_change[row, col] <= threshold:
                    resting += 1.0
                if spread[row, col] > pattern:
                    detailed += 1.0
            is_relit = False
            if change[row, col] > strong and whole:
                tell += 1.0
                all_change += change[row, col] - noise
                all_rest += max(0.0, rest[row, col] - noise)
                shine += max(now[row, col], then[row, col])
                step = now[row, col] - then[row, col]
                ratio = (now[row, col] + 4.0) / (then[row, col] + 4.0)
                # A pattern that is where it was, an eighth brighter or darker: light moved.
                is_relit = (
                    likeness[row, col] > 0.85
                    and abs(step) > 4.0
                    and (ratio > 1.125 or ratio < 0.889)
                )
                if is_relit:
                    relit += 1.0
            x = flow_x[row, col]
            y = flow_y[row, col]
            if is_relit or x * x + y * y < moves * moves:
                continue
            # The inside of a plain sleeve moves without changing: ask the neighbours too. And
            # what following the camera explains for the most part is the room.
            seen = False
            for r in range(max(0, row - 1), min(rows, row + 2)):
                for c in range(max(0, col - 1), min(cols, col + 2)):
                    own = steadied_change[r, c]
                    if own > threshold and own > 0.5 * change[r, c] and spread[r, c] > pattern:
                        seen = True
            if seen:
                moving[row, col] = 1.0
                masked_x[row, col] = x
                masked_y[row, col] = y
    up = max(1, round(0.4 * person_cells))
    aside = max(1, round(0.25 * person_cells))
    count = _sums_around(moving, up, aside)
    around_x = _sums_around(masked_x, up, aside)
    around_y = _sums_around(masked_y, up, aside)
    total = 0.0
    area = 0.0
    for row in range(rows):
        for col in range(cols):
            if moving[row, col] == 0.0:
                continue
            mean_x = around_x[row, col] / max(1.0, count[row, col])
            mean_y = around_y[row, col] / max(1.0, count[row, col])
            dx = flow_x[row, col] - mean_x
            dy = flow_y[row, col] - mean_y
            pace_here = math.sqrt(dx * dx + dy * dy) + abs(mean_y)
            if labels[row, col] >= WHOLE:
                total += pace_here
                area += 1.0
            for zone in range(zones.shape[0]):
                if (labels[row, col] >> np.uint32(zone)) & np.uint32(1):
                    zones[zone, 0] += pace_here
                    zones[zone, 1] += 1.0
    # A few cells that tremble are nobody: the mean is over a hand and 0.3 % of the picture at
    # least. (A body covers about 0.15 of the square of its height.)
    cells = max(1.0, cells)
    least = 0.02 * person_cells * person_cells + 0.003 * cells
    speed = total / max(area, least) * pace
    for zone in range(zones.shape[0]):
        zones[zone, 0] *= pace / max(zones[zone, 1], least)
    middle = _quantile(now, 0.5)
    lamp = 1.0
    if tell > 0.0:
        lamp = shine / tell / (middle + 4.0)
    unexplained = all_rest / all_change if all_change > 0.0 else 0.0
    return (
        speed,
        area / cells,
        tell / cells,
        unexplained,
        lamp,
        relit / max(tell, least),
        dark / cells,
        resting / cells,
        detailed / cells,
    )


def read_signs(
    flow_x: NDArray[np.float32],
    flow_y: NDArray[np.float32],
    cells: Cells,
    steadied_change: NDArray[np.float32],
    *,
    noise: float,
    camera_pixels: float,
    seconds: float,
    person_cells: float,
    labels: NDArray[np.uint32] | None = None,
    zones: NDArray[np.float64] | None = None,
) -> Signs:
    """What moves and how it goes with the light.

    `flow_x` and `flow_y` are of the cells, with the camera's movement taken out, and so is
    `steadied_change`, which must bear the flow out; `cells` compare the pictures as they are.
    The camera shifted the picture by up to `camera_pixels`; `seconds` lie between the two
    pictures; `person_cells` is the height of a person in cells.
    `labels` are those of `dsp.zones`: cells without one do not count, and shares are of the rest;
    into `zones`, shape (zones, 2), go the speed over the cells of each zone, and how many moved.
    """
    rows = flow_x.shape[0]
    if labels is None:
        labels = np.full(flow_x.shape, WHOLE, np.uint32)
    if zones is None:
        zones = np.zeros((0, 2))
    pace = TIME_BASE_SECONDS / seconds
    # Along a straight edge flow errs by a share of how far the camera shifted it.
    moves = MOVES_PIXELS / pace + 0.08 * camera_pixels
    speed, *others = _read_signs(
        flow_x, flow_y, *cells, steadied_change, labels, zones, noise, moves, pace, person_cells
    )
    scale = (seconds / TIME_BASE_SECONDS) ** SWING_EXPONENT / (rows * CELL) / TIME_BASE_SECONDS
    zones[:, 0] *= scale
    return Signs(speed * scale, *others)


def speed_of(flow: float) -> float:
    """v in body lengths per second, of the mean flow in person heights per second.

    A power above one, because a mean over what moves leaves out the parts of a body that hold
    still, and the less people dance the more of them does. Fitted to drawn crowds of 1 to 40
    people, 0.15 to 0.8 of the picture high, whose v was known. Never above FASTEST_SPEED.
    """
    return float(min(FASTEST_SPEED, 0.87 * (max(0.0, flow) / 0.3) ** 1.5))


def people_likelihood(signs: Signs, room_share: float, flow: float) -> float:
    """0 to 1: how far what moves looks like people in a room rather than like light.

    `room_share` of what can be followed stands still (but for the camera); `flow` is in person
    heights per second. Each measure is a product's factor, 1 where people are beyond doubt.
    """
    # Flow carries a person's picture along; a light's edge crosses the pictures of things.
    explained = 1.0 - rising(signs.unexplained, 0.70, 0.88)
    # People reflect what the room has; what shines itself stands out from it.
    reflecting = 1.0 - rising(signs.lamp, 1.75, 2.75)
    # A pattern that stayed while its brightness changed was lit, not moved.
    moved = 1.0 - rising(signs.relit_share, 0.2, 0.5)
    # The three rest on what changed clearly; where next to nothing did, they say nothing.
    told = rising(signs.changed_share, 0.005, 0.03)
    # Somewhere there must be a room that stays, or so much light that its people fill it.
    room = max(
        rising(room_share, 0.2, 0.5),
        rising(signs.resting_share, 0.05, 0.2),
        0.6 * (1.0 - rising(signs.dark_share, 0.2, 0.5)),
    )
    # Nobody dances with the whole body at more than about four body lengths per second.
    human = 1.0 - 0.8 * rising(flow, 0.9, 1.5)
    return float((explained * reflecting * moved) ** told * room * human)


def sight(signs: Signs, camera_speed: float, seconds: float) -> float:
    """0 to 1: how well movement could be seen at all, whoever made it.

    `camera_speed` in picture heights per second, `seconds` between the pictures.
    """
    return (
        rising(signs.detail_share, 0.0, 0.15)
        * (1.0 - 0.5 * rising(signs.dark_share, 0.4, 0.9))
        * (1.0 - 0.6 * rising(camera_speed, 0.3, 1.0))
        * (1.0 - 0.6 * rising(seconds, 0.15, 0.4))
    )


def rising(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, straight between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
