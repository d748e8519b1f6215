"""Zones: named parts of the picture, drawn in config.toml.

    [zones.bar]
    polygon = [[0.0, 0.2], [0.2, 0.2], [0.2, 1.0], [0.0, 1.0]]
    ignore = true

Whatever is ignored (an LED wall, a screen, a mirror, the bar) is not there for any eye. Once a
zone is a floor, all that is not on a floor is ignored too, except for zones of their own, which
keep an energy of their own. A flag says which is the floor, not its name: names are the venue's
words, in the venue's language, and another name must not change what is measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from crowdstream.dsp.zones import ZoneMap

MOST_ZONES: Final = 16
MOST_POINTS: Final = 64

Point = tuple[float, float]


class Zone(BaseModel):
    """Section `[zones.NAME]` of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    polygon: tuple[Point, ...] = Field(
        description="Corners in order, x and y from 0 to 1 from the top left of the picture as it"
        " is shown (mirrored, where the camera is)."
    )
    ignore: bool = Field(False, description="What is in it does not count: a screen, a mirror.")
    floor: bool = Field(False, description="It is the dance floor: all else is ignored.")

    @field_validator("polygon")
    @classmethod
    def _is_a_shape(cls, polygon: tuple[Point, ...]) -> tuple[Point, ...]:
        if not 3 <= len(polygon) <= MOST_POINTS:
            raise ValueError(
                f"has {len(polygon)} points; a polygon has at least 3, and at most {MOST_POINTS}"
            )
        for x, y in polygon:
            if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
                raise ValueError(
                    f"the point [{x:g}, {y:g}] is outside the picture; x and y go from 0 to 1, from"
                    " the top left"
                )
        if all(_side(polygon[0], polygon[1], point) == 0.0 for point in polygon):
            raise ValueError("has no inside; its points lie on one line")
        if crossing := _crossing(polygon):
            raise ValueError(
                f"crosses itself: the edges from points {crossing[0]} and {crossing[1]} meet; give"
                " the corners in their order around the shape"
            )
        return polygon

    @model_validator(mode="after")
    def _is_one_thing(self) -> Zone:
        if self.ignore and self.floor:
            raise ValueError("ignore and floor exclude each other; keep one")
        return self


def _is_a_name(name: str) -> str:
    if not (name.isascii() and name.isidentifier() and len(name) <= 32):
        raise ValueError(
            "is no name for a zone; letters, digits and _ make one, like left_bar, 32 at most"
        )
    return name


def _are_not_too_many(zones: dict[str, Zone]) -> dict[str, Zone]:
    if len(zones) > MOST_ZONES:
        raise ValueError(f"there are {len(zones)} zones; there can be {MOST_ZONES}")
    return zones


Zones = Annotated[
    dict[Annotated[str, AfterValidator(_is_a_name)], Zone], AfterValidator(_are_not_too_many)
]
"""All zones by name, checked."""


def map_of(zones: Mapping[str, Zone]) -> ZoneMap | None:
    """What the eyes look things up in; None where no zone is drawn."""
    from crowdstream.dsp.zones import Area, ZoneMap  # compiled, and config is read without it

    if not zones:
        return None
    return ZoneMap([Area(name, z.polygon, z.ignore, z.floor) for name, z in zones.items()])


def _crossing(polygon: tuple[Point, ...]) -> tuple[int, int] | None:
    """Two edges that touch and are no neighbours, by the number of their first point, from 1."""
    edges = list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))
    for (i, (a, b)), (j, (c, d)) in itertools.combinations(enumerate(edges), 2):
        neighbours = j - i == 1 or (i == 0 and j == len(edges) - 1)
        if not neighbours and _touch(a, b, c, d):
            return i + 1, j + 1
        # Neighbours share a corner, and must not run back over each other.
        if neighbours and a != b and c != d:
            shared, one, other = (b, a, d) if j - i == 1 else (a, b, c)
            if _side(shared, one, other) == 0.0 and _dot(shared, one, other) > 0.0:
                return i + 1, j + 1
    return None


def _touch(a: Point, b: Point, c: Point, d: Point) -> bool:
    sides = (_side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b))
    if sides[0] * sides[1] < 0.0 and sides[2] * sides[3] < 0.0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(
        side == 0.0 and _dot(p, q, r) >= 0.0 and _dot(q, p, r) >= 0.0
        for side, (p, q, r) in zip(sides, ends, strict=True)
    )


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _dot(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[0] - a[0]) + (b[1] - a[1]) * (c[1] - a[1])
