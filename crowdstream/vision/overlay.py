"""What the eyes see, drawn: people as coloured limbs, flow as arrows, zones, and a legend.

Pure: numbers in, a picture out. On black unless a picture is handed in; what is drawn tells where
joints are and how much moves, and nothing else of whoever was filmed.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import cv2 as _cv2
import numpy as np

from crowdstream.vision.legend import Legend, draw_legend, unit_of
from crowdstream.vision.lettering import Colour, write
from crowdstream.vision.skeleton import HIPS, SEEN, SHOULDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Its stubs do not know that a picture of bytes stays one.
cv2: Any = _cv2

SHIFT: Final = 4
"""Fractional bits of coordinates: limbs move by a sixteenth of a pixel, not by whole ones."""

PICTURE_SHARE: Final = 0.55
"""Brightness of the picture under what is drawn on it."""

GOLDEN: Final = 0.6180339887498949
"""Turns of the wheel of hues from one id to the next: neighbours never look alike."""

LIMBS: Final = (
    (11, 13, "leg"), (13, 15, "shin"), (12, 14, "leg"), (14, 16, "shin"),
    (5, 11, "torso"), (6, 12, "torso"), (11, 12, "torso"), (5, 6, "torso"),
    (5, 7, "arm"), (7, 9, "hand"), (6, 8, "arm"), (8, 10, "hand"),
)  # fmt: skip
"""From joint to joint, in the order of drawing: arms last, for they are in front."""

TONES: Final = {
    "torso": (0.45, 0.82, 1.0), "leg": (0.62, 0.80, 1.0), "shin": (0.70, 0.66, 0.8),
    "arm": (0.50, 0.98, 0.9), "hand": (0.38, 1.00, 0.7), "head": (0.22, 1.00, 1.0),
}  # fmt: skip
"""Saturation and brightness of each part of a body, and its width at the far end."""

FLOW_COLOUR: Final[Colour] = (235, 170, 92)
ZONE_COLOUR: Final[Colour] = (255, 125, 140)
IGNORED_COLOUR: Final[Colour] = (122, 112, 108)

FLOW_SPEED: Final = 0.35
"""Picture heights per second at which an arrow is two thirds of its full length."""


class ZoneShape(NamedTuple):
    """A named part of the floor."""

    name: str
    points: tuple[tuple[float, float], ...]
    """Corners, 0 to 1 of the picture's width and height from the top left."""

    energy: float | None = None
    ignored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One moment, as it is drawn."""

    aspect: float
    """Width over height of the picture that was looked at."""

    keypoints: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 17, 3), np.float32))
    """Shape (people, 17, 3), as in People."""

    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    flow: NDArray[np.float32] | None = None
    """Shape (rows, cols, 2), as in Motion."""

    zones: tuple[ZoneShape, ...] = ()
    legend: Legend | None = None
    """What stands at the bottom edge; None for nothing."""


def draw(
    scene: Scene, size: tuple[int, int], picture: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """The scene as a picture of (width, height) `size`, shape (height, width, 3), BGR.

    `picture`, if there is one, lies under it, darker than it was; without one it is black there.
    Nothing of it is kept. Joints and flow that are not finite are left out.
    """
    width, height = size
    place = _Place.within(size, scene.aspect)
    canvas = np.zeros((height, width, 3), np.uint8)
    if picture is not None:
        _lay_under(canvas, picture, place)
    unit = unit_of(size)
    _draw_zones(canvas, scene.zones, place, unit)
    if scene.flow is not None:
        _draw_flow(canvas, scene.flow, place, unit)
    bodies = _bodies(scene, place)
    _add_glow(canvas, bodies, unit)
    for body in bodies:
        _draw_body(canvas, body)
    for body in bodies:
        _name(canvas, body, unit)
    if scene.legend is not None:
        draw_legend(canvas, scene.legend)
    return canvas


class _Place(NamedTuple):
    """Where in the canvas the picture lies: all of it, in the middle."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def within(cls, size: tuple[int, int], aspect: float) -> _Place:
        width, height = size
        if width / height < aspect:
            inner = width / aspect
            # A pixel more or less is the rounding of a picture's size, not another shape.
            return cls(0.0, 0.0 if height - inner < 2 else (height - inner) / 2, width, inner)
        inner = height * aspect
        return cls(0.0 if width - inner < 2 else (width - inner) / 2, 0.0, inner, height)


class _Body(NamedTuple):
    """One person in pixels of the canvas."""

    points: NDArray[np.float64]
    """Shape (17, 2)."""

    seen: NDArray[np.bool_]
    size: float
    """Height or width of what is seen, whichever is more."""

    radius: float
    """Half the width of a limb."""

    id: int


def _lay_under(canvas: NDArray[np.uint8], picture: NDArray[np.uint8], place: _Place) -> None:
    left, top = round(place.left), round(place.top)
    width = min(canvas.shape[1] - left, max(1, round(place.width)))
    height = min(canvas.shape[0] - top, max(1, round(place.height)))
    small = picture.shape[0] >= height
    how = cv2.INTER_AREA if small else cv2.INTER_LINEAR
    fitted = cv2.resize(picture, (width, height), interpolation=how)
    canvas[top : top + height, left : left + width] = cv2.convertScaleAbs(
        fitted, alpha=PICTURE_SHARE
    )


def _bodies(scene: Scene, place: _Place) -> list[_Body]:
    """Everyone of whom something is seen, the smallest (the farthest away) first."""
    bodies = []
    for keypoints, number in zip(scene.keypoints, scene.ids.tolist(), strict=True):
        # What lies far outside is no joint of somebody in the picture.
        near = np.isfinite(keypoints).all(axis=1) & (np.abs(keypoints[:, :2]) < 10.0).all(axis=1)
        seen = near & (keypoints[:, 2] >= SEEN)
        if seen.sum() < 2:
            continue
        points = np.where(seen[:, None], keypoints[:, :2], 0.0).astype(np.float64)
        points = points * place.height + (place.left, place.top)
        size = float(np.ptp(points[seen], axis=0).max())
        radius = 0.5 * min(max(0.026 * size, 1.6), 0.03 * place.height)
        bodies.append(_Body(points, seen, size, radius, number))
    return sorted(bodies, key=lambda body: body.size)


def _add_glow(canvas: NDArray[np.uint8], bodies: list[_Body], unit: float) -> None:
    """Light around the people, as if they were neon: the same limbs, small, and blurred."""
    if not bodies:
        return
    height, width = canvas.shape[:2]
    small = np.zeros((max(1, height // 4), max(1, width // 4), 3), np.uint8)
    for body in bodies:
        less = body._replace(points=body.points / 4.0, radius=body.radius / 3.0, size=body.size / 4)
        _draw_body(small, less)
    blurred = cv2.GaussianBlur(small, (0, 0), max(0.8, 2.2 * unit))
    cv2.add(canvas, cv2.resize(blurred, (width, height)), dst=canvas)


def _draw_body(canvas: NDArray[np.uint8], body: _Body) -> None:
    points, seen = body.points, body.seen
    hue = (body.id * GOLDEN) % 1.0
    trunk = [5, 6, 12, 11]
    if seen[trunk].all():
        _fill(canvas, points[trunk], _colour(hue, 0.75, 0.30))
    for one, other, part in LIMBS:
        if not (seen[one] and seen[other]):
            continue
        saturation, brightness, taper = TONES[part]
        colour = _colour(hue, saturation, brightness)
        _limb(canvas, points[one], points[other], body.radius, body.radius * taper, colour)
    _draw_head(canvas, body, hue)


def _draw_head(canvas: NDArray[np.uint8], body: _Body, hue: float) -> None:
    points, seen = body.points, body.seen
    face = np.flatnonzero(seen[:5])
    if face.size == 0:
        return
    middle = points[face].mean(axis=0)
    shoulders = [joint for joint in SHOULDERS if seen[joint]]
    hips = [joint for joint in HIPS if seen[joint]]
    # A head is about a fifth of a torso in radius; shoulders tell it where hips are hidden.
    spans = []
    if shoulders and hips:
        spans.append(np.linalg.norm(points[shoulders].mean(axis=0) - points[hips].mean(axis=0)))
    if len(shoulders) == 2:
        spans.append(1.2 * np.linalg.norm(points[5] - points[6]))
    if seen[3] and seen[4]:
        spans.append(2.2 * np.linalg.norm(points[3] - points[4]))
    radius = 0.2 * float(max(spans)) if spans else 0.08 * body.size
    radius = min(max(radius, 1.5 * body.radius), 0.25 * body.size)
    saturation, brightness, _ = TONES["head"]
    colour = _colour(hue, saturation, brightness)
    if shoulders:
        neck = points[shoulders].mean(axis=0)
        away = middle - neck
        length = float(np.hypot(*away))
        if length > radius:
            end = middle - away / length * radius
            _limb(canvas, neck, end, 0.8 * body.radius, 0.8 * body.radius, colour)
    _disc(canvas, middle, radius + 0.5 * body.radius, colour)
    _disc(canvas, middle, max(0.0, radius - 0.5 * body.radius), _colour(hue, 0.75, 0.30))


def _name(canvas: NDArray[np.uint8], body: _Body, unit: float) -> None:
    """The id above the head, where there is room for it."""
    if body.size < 26.0 * unit:
        return
    top = body.points[body.seen]
    over = top[np.argmin(top[:, 1])]
    above = 0.085 * body.size + 3.0 * unit
    # A live daemon's numbers begin at its clock: the last digits tell people apart as well.
    word = str(body.id if body.id < 10_000 else body.id % 1000)
    at = (float(over[0]), max(11.0 * unit, float(over[1]) - above))
    write(
        canvas, word, at, size=11.0 * unit, colour=_colour((body.id * GOLDEN) % 1.0, 0.3, 1.0),
        anchor="ms",
    )  # fmt: skip


def _draw_flow(
    canvas: NDArray[np.uint8], flow: NDArray[np.float32], place: _Place, unit: float
) -> None:
    """An arrow in the middle of each block that moves: the longer and the brighter, the faster."""
    rows, cols = flow.shape[:2]
    if rows == 0 or cols == 0:
        return
    block = min(place.width / cols, place.height / rows)
    speeds = np.hypot(flow[..., 0], flow[..., 1])
    speeds[~np.isfinite(speeds)] = 0.0
    for row, col in np.argwhere(speeds > 0.0).tolist():
        speed = float(speeds[row, col])
        strength = 1.0 - math.exp(-speed / FLOW_SPEED)
        way = flow[row, col].astype(np.float64) / speed
        middle = np.array(
            [
                place.left + (col + 0.5) * place.width / cols,
                place.top + (row + 0.5) * place.height / rows,
            ]
        )
        length = 0.92 * block * max(0.25, strength)
        tail, tip = middle - way * length / 2, middle + way * length / 2
        across = np.array([-way[1], way[0]])
        head = min(0.42 * length, 5.5 * unit)
        neck = tip - way * head
        brightness = 0.25 + 0.6 * strength
        blue, green, red = (int(part * brightness) for part in FLOW_COLOUR)
        colour = (blue, green, red)
        _limb(canvas, tail, neck, 0.25 * unit, 0.7 * unit, colour)
        wing = across * head * 0.42
        _fill(canvas, np.array([tip, neck + wing, neck - wing]), colour)


def _draw_zones(
    canvas: NDArray[np.uint8], zones: tuple[ZoneShape, ...], place: _Place, unit: float
) -> None:
    """Each zone filled the brighter, the more moves in it; what is ignored is grey."""
    named: list[tuple[float, float]] = []
    for zone in zones:
        points = np.array(zone.points, np.float64).reshape(-1, 2)
        if len(points) < 3 or not np.isfinite(points).all():
            continue
        corners = np.clip(points, -1.0, 2.0) * (place.width, place.height)
        corners += (place.left, place.top)
        colour = IGNORED_COLOUR if zone.ignored else ZONE_COLOUR
        energy = zone.energy if zone.energy is not None and math.isfinite(zone.energy) else 0.0
        share = 0.10 if zone.ignored else 0.06 + 0.24 * min(1.0, max(0.0, energy))
        filled = canvas.copy()
        cv2.fillPoly(filled, [_fixed(corners)], colour, cv2.LINE_AA, SHIFT)
        cv2.addWeighted(filled, share, canvas, 1.0 - share, 0.0, dst=canvas)
        cv2.polylines(
            canvas, [_fixed(corners)], True, colour, max(1, round(unit)), cv2.LINE_AA, SHIFT
        )
        words = zone.name if not zone.ignored else f"{zone.name} (ignored)"
        if zone.energy is not None and not zone.ignored:
            words += f"  {energy:.2f}"
        first = corners[np.argmin(corners.sum(axis=1))]
        at = (max(4.0, float(first[0]) + 6.0 * unit), max(4.0, float(first[1]) + 5.0 * unit))
        # Zones that begin at one corner have their names one below the other.
        while any(math.hypot(at[0] - x, at[1] - y) < 8.0 * unit for x, y in named):
            at = (at[0], at[1] + 13.0 * unit)
        named.append(at)
        write(canvas, words, at, size=10.0 * unit, colour=colour, anchor="la")


def _limb(
    canvas: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    start_radius: float,
    end_radius: float,
    colour: Colour,
) -> None:
    """A line with round ends that may be wider at one of them."""
    along = end - start
    length = float(np.hypot(*along))
    if length > 1e-6:
        across = np.array([-along[1], along[0]]) / length
        a, b = across * start_radius, across * end_radius
        _fill(canvas, np.array([start + a, end + b, end - b, start - a]), colour)
    _disc(canvas, start, start_radius, colour)
    _disc(canvas, end, end_radius, colour)


def _disc(
    canvas: NDArray[np.uint8], middle: NDArray[np.float64], radius: float, colour: Colour
) -> None:
    if radius <= 0.0:
        return
    x, y = (int(part) for part in _fixed(middle[None])[0])
    cv2.circle(canvas, (x, y), max(1, round(radius * 2**SHIFT)), colour, -1, cv2.LINE_AA, SHIFT)


def _fill(canvas: NDArray[np.uint8], corners: NDArray[np.float64], colour: Colour) -> None:
    cv2.fillPoly(canvas, [_fixed(corners)], colour, cv2.LINE_AA, SHIFT)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.round(points * 2**SHIFT).astype(np.int32)
    return fixed


def _colour(hue: float, saturation: float, brightness: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, brightness)
    return round(255 * blue), round(255 * green), round(255 * red)
