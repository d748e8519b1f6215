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

from crowdstream.dsp.cells import (
    CELL,
    Cells,
    Levels,
    Moved,
    _lowest,
    _quantile,
    pattern_level,
)
from crowdstream.dsp.energy import TIME_BASE_SECONDS
from crowdstream.dsp.zones import WHOLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

DARK_LEVEL: Final = 24
"""Grey levels below this are the dark of a room, not something lit."""

MOVES_PIXELS: Final = 0.3
"""Flow below this, in pixels of 90 rows over the time base, is the tremble of the method."""

SWING_EXPONENT: Final = 0.3
"""The longer between two pictures, the more of a swing to and fro is cut short: read flow falls
with about this power of the time. Taken out where the time base cannot be met (15 or 25 pictures
a second allow 0.07 or 0.13, 0.08 or 0.12 s), so that no frame rate reads higher than another."""

FINE_STAYS: Final = 3.0
FINE_RANGE: Final = 4.0
"""Fine detail (`dsp.detail`) that changes by less than the first, in grey levels above its noise,
is where it was; by so much more, it went away."""

ONE_WAY: Final = (0.5, 0.85)
"""What changed, over a body, by its sum over the sum of its sizes: up to the first it moved, from
the second on it only became brighter or darker."""

RICH: Final = 6.0
SHARP: Final = 9 * 11.5
"""Nine cells together show so much fine detail, somewhere among what has this contrast, unless
the camera is out of focus."""

LIT_SHARE: Final = 0.015
"""Where more of the picture than this is lit anew, light moves."""

LIT_LEAST: Final = 4.0
"""So many times as much must move, where light moves, to be somebody."""

EDGES_WORTH: Final = 1.0 / 1.4
"""Flow of the edges alone is so much faster than that of the whole texture: edges are where limbs
are. From drawn crowds (1.5 to 1.7) and recorded ones (1.2 to 1.5)."""

FASTEST_SPEED: Final = 6.0
"""Body lengths per second: more than any body does, so what reads more is not one."""


class Signs(NamedTuple):
    """What the flow and its failures say about the picture. All finite."""

    speed: float
    """Mean over the moving cells as above, in picture heights per second."""

    moving_share: float
    """Share of the picture that moves."""

    changed_share: float
    """Share of the picture whose grey level changed clearly: what the next two rest on."""

    unexplained: float
    """0 to about 1: change left over after following the flow, over all change."""

    lamp: float
    """Brightness of what changes over the middle brightness of the picture; 1 when nothing does.
    People reflect about as much as the room; what shines itself is many times as bright."""

    dark_share: float
    """Share of the picture that lies in the dark."""

    resting_share: float
    """Share of the picture that is lit and did not change, but for the camera."""

    detail_share: float
    """Share of the picture with a pattern above the noise: where flow can be known at all."""


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
    "float64(float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], uint32[:,::1],"
    " float64, float64)",
    cache=True,
    nogil=True,
)
def _lit_share(
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    change: NDArray[np.float32],
    fine: NDArray[np.float32],
    labels: NDArray[np.uint32],
    noise: float,
    stays: float,
) -> float:
    rows, cols = now.shape
    strong = 5.0 + 3.0 * noise
    around = _sums_around(fine, 1, 1)
    cells = 0
    lit = 0
    for row in range(rows):
        high = min(rows, row + 2) - max(0, row - 1)
        for col in range(cols):
            if labels[row, col] < WHOLE:
                continue
            cells += 1
            if change[row, col] <= strong or abs(now[row, col] - then[row, col]) <= 4.0:
                continue
            ratio = (now[row, col] + 4.0) / (then[row, col] + 4.0)
            near = high * (min(cols, col + 2) - max(0, col - 1))
            if (ratio > 1.125 or ratio < 0.889) and around[row, col] <= stays * near:
                lit += 1
    return lit / max(1, cells)


def lit_share(
    levels: Levels, fine: NDArray[np.float32], labels: NDArray[np.uint32] | None = None
) -> float:
    """Share of the picture that became brighter or darker by an eighth while its detail stayed.

    That is what light does, and nothing else, where a picture is `is_sharp`. `fine` is how much
    the fine detail changed at the same place, of each cell; `labels` as in `read_signs`.
    """
    if labels is None:
        labels = np.full(fine.shape, WHOLE, np.uint32)
    stays = FINE_STAYS + _lowest(fine, labels)
    share = _lit_share(
        levels.now, levels.then, levels.change, fine, labels, _lowest(levels.change, labels), stays
    )
    return float(share)


def is_sharp(
    levels: Levels, fine: NDArray[np.float32], labels: NDArray[np.uint32] | None = None
) -> bool:
    """Whether the edges of bodies are sharp: out of focus they are as soft as those of light.

    `fine` is how much fine detail each cell shows.
    """
    rich = levels.spread > RICH
    if labels is not None:
        rich &= labels != 0
    if not rich.any():
        return False
    return _quantile(np.ascontiguousarray(_sums_around(fine, 1, 1)[rich])[np.newaxis], 0.9) > SHARP


@njit(
    "UniTuple(float64, 8)"
    "(float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1],"
    " float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1],"
    " uint32[:,::1], float64[:,::1], float64, float64, float64, float64, float64, float64,"
    " boolean)",
    cache=True,
    nogil=True,
)
def _read_signs(
    flow_x: NDArray[np.float32],
    flow_y: NDArray[np.float32],
    now: NDArray[np.float32],
    then: NDArray[np.float32],
    spread: NDArray[np.float32],
    change: NDArray[np.float32],
    rest: NDArray[np.float32],
    steadied_change: NDArray[np.float32],
    steadied_fine: NDArray[np.float32],
    labels: NDArray[np.uint32],
    zones: NDArray[np.float64],
    noise: float,
    level_noise: float,
    stays: float,
    moves: float,
    pace: float,
    person_cells: float,
    lit: bool,
) -> tuple[float, ...]:
    rows, cols = flow_x.shape
    cells = 0.0
    threshold = 1.2 + 2.0 * noise
    # What is not explained is read from clear changes only: faint ones are half noise.
    strong = 5.0 + 3.0 * noise
    pattern = pattern_level(noise)
    dark = 0.0
    resting = 0.0
    detailed = 0.0
    step = np.zeros((rows, cols), np.float32)
    steps = np.zeros((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            if labels[row, col] == 0:
                continue
            brighter = now[row, col] - then[row, col]
            if abs(brighter) > level_noise:
                step[row, col] = brighter
                steps[row, col] = abs(brighter)
            # A zone that lies outside the floor counts for itself alone.
            if labels[row, col] < WHOLE:
                continue
            cells += 1.0
            if now[row, col] < DARK_LEVEL:
                dark += 1.0
            elif steadied_change[row, col] <= threshold:
                resting += 1.0
            if spread[row, col] > pattern:
                detailed += 1.0
    up = max(1, round(0.4 * person_cells))
    aside = max(1, round(0.25 * person_cells))
    limb_up = max(1, round(0.2 * person_cells))
    limb_aside = max(1, round(0.15 * person_cells))
    step = _sums_around(step, limb_up, limb_aside)
    steps = _sums_around(steps, limb_up, limb_aside)
    fine = _sums_around(steadied_fine, 1, 1)
    moving = np.zeros((rows, cols), np.float32)
    masked_x = np.zeros((rows, cols), np.float32)
    masked_y = np.zeros((rows, cols), np.float32)
    tell = 0.0
    all_change = 0.0
    all_rest = 0.0
    shine = 0.0
    for row in range(rows):
        high = min(rows, row + 2) - max(0, row - 1)
        for col in range(cols):
            if labels[row, col] == 0:
                continue
            weight = 1.0
            if lit:
                # How far its fine detail has gone, as it does with bodies and not with light.
                near = high * (min(cols, col + 2) - max(0, col - 1))
                weight = (fine[row, col] / near - stays) / FINE_RANGE
            elif steps[row, col] > 0.0:
                # What moves brightens one place and darkens another; light does one of both.
                one_way = abs(step[row, col]) / steps[row, col]
                weight = 1.0 - (one_way - ONE_WAY[0]) / (ONE_WAY[1] - ONE_WAY[0])
            if weight <= 0.0:
                continue
            weight = min(1.0, weight)
            if labels[row, col] >= WHOLE and change[row, col] > strong:
                tell += weight
                all_change += weight * (change[row, col] - noise)
                all_rest += weight * max(0.0, rest[row, col] - noise)
                shine += weight * max(now[row, col], then[row, col])
            x = flow_x[row, col]
            y = flow_y[row, col]
            if x * x + y * y < moves * moves:
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
                moving[row, col] = weight
                masked_x[row, col] = weight * x
                masked_y[row, col] = weight * y
    count = _sums_around(moving, up, aside)
    around_x = _sums_around(masked_x, up, aside)
    around_y = _sums_around(masked_y, up, aside)
    total = 0.0
    area = 0.0
    for row in range(rows):
        for col in range(cols):
            weight = moving[row, col]
            if weight == 0.0:
                continue
            mean_x = around_x[row, col] / max(1e-3, count[row, col])
            mean_y = around_y[row, col] / max(1e-3, count[row, col])
            dx = flow_x[row, col] - mean_x
            dy = flow_y[row, col] - mean_y
            pace_here = weight * (math.sqrt(dx * dx + dy * dy) + abs(mean_y))
            if labels[row, col] >= WHOLE:
                total += pace_here
                area += weight
            for zone in range(zones.shape[0]):
                if (labels[row, col] >> np.uint32(zone)) & np.uint32(1):
                    zones[zone, 0] += pace_here
                    zones[zone, 1] += weight
    # A few cells that tremble are nobody: the mean is over a hand and 0.3 % of the picture at
    # least. (A body covers about 0.15 of the square of its height.) Where light moves it leaves
    # more of them.
    cells = max(1.0, cells)
    least = 0.035 * person_cells * person_cells + 0.003 * cells
    if lit:
        least *= LIT_LEAST
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
        dark / cells,
        resting / cells,
        detailed / cells,
    )


def read_signs(
    flow_x: NDArray[np.float32],
    flow_y: NDArray[np.float32],
    levels: Levels,
    cells: Cells,
    moved: Moved,
    *,
    noise: float,
    camera_pixels: float,
    seconds: float,
    person_cells: float,
    lit: bool = False,
    labels: NDArray[np.uint32] | None = None,
    zones: NDArray[np.float64] | None = None,
) -> Signs:
    """What moves and how it goes with the light.

    `flow_x` and `flow_y` are of the cells, with the camera's movement taken out, and so is
    `moved`, which must bear the flow out; `levels` and `cells` compare the pictures as they are.
    The camera shifted the picture by up to `camera_pixels`; `seconds` lie between the two
    pictures; `person_cells` is the height of a person in cells.
    Where light moves the flow is that of the `edges` (`lit`), and only what has taken its fine
    detail along counts.
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
    stays = FINE_STAYS + _lowest(moved.fine, labels)
    level_noise = _lowest(levels.change, labels)
    speed, *others = _read_signs(
        flow_x, flow_y, levels.now, levels.then, levels.spread, *cells, *moved, labels, zones,
        noise, level_noise, stays, moves, pace, person_cells, lit,
    )  # fmt: skip
    scale = (seconds / TIME_BASE_SECONDS) ** SWING_EXPONENT / (rows * CELL) / TIME_BASE_SECONDS
    if lit:
        scale *= EDGES_WORTH
    zones[:, 0] *= scale
    return Signs(speed * scale, *others)


def speed_of(flow: float) -> float:
    """v in body lengths per second, of the mean flow in person heights per second.

    A power above one, because a mean over what moves leaves out the parts of a body that hold
    still, and the less people dance the more of them does. Fitted to drawn crowds of 1 to 40
    people, 0.15 to 0.8 of the picture high, whose v was known. Never above FASTEST_SPEED.
    """
    return float(min(FASTEST_SPEED, 1.04 * (max(0.0, flow) / 0.3) ** 1.6))


def people_likelihood(signs: Signs, room_share: float, flow: float) -> float:
    """0 to 1: how far what moves looks like people in a room rather than like light.

    `room_share` of what can be followed stands still (but for the camera); `flow` is in person
    heights per second. Each measure is a product's factor, 1 where people are beyond doubt.
    """
    # Flow carries a person's picture along; a light's edge crosses the pictures of things.
    explained = 1.0 - rising(signs.unexplained, 0.70, 0.88)
    # People reflect what the room has; what shines itself stands out from it.
    reflecting = 1.0 - rising(signs.lamp, 1.75, 2.75)
    # Both rest on what changed clearly; where next to nothing did, they say nothing.
    told = rising(signs.changed_share, 0.005, 0.03)
    # Somewhere there must be a room that stays, or so much light that its people fill it.
    room = max(
        rising(room_share, 0.2, 0.5),
        rising(signs.resting_share, 0.05, 0.2),
        0.6 * (1.0 - rising(signs.dark_share, 0.2, 0.5)),
    )
    # Nobody dances with the whole body at more than about four body lengths per second.
    human = 1.0 - 0.8 * rising(flow, 0.9, 1.5)
    return float((explained * reflecting) ** told * room * human)


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
