"""Who and what lies in which zone of the picture, and the energy of each zone.

Labels are 32 bits per place: bit k is the k-th zone with an energy, `WHOLE` is the crowd as a
whole. A place with no bit set is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from crowdstream.dsp.energy import SEEN, Anchors, energy_of
from crowdstream.dsp.follow import Follower

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE: Final = 1 << 31

RASTER: Final = (360, 640)
"""Rows and columns in which people are looked up: a place is found to a fraction of a foot."""

POSE_WEIGHT: Final = 1.0
MOTION_WEIGHT: Final = 0.2
"""Of what flow says of a zone while joints are there too: as for the whole."""


class Area(NamedTuple):
    """One zone as it is drawn; corners from 0 to 1 from the top left."""

    name: str
    polygon: tuple[tuple[float, float], ...]
    ignore: bool = False
    floor: bool = False


class ZoneMap:
    """All zones of one picture. Looked up in rasters that are made once per size."""

    def __init__(self, areas: Sequence[Area]) -> None:
        """At most 31 of the areas may have an energy of their own."""
        self._areas = tuple(areas)
        self.names = tuple(area.name for area in areas if not area.ignore)
        """Zones with an energy, in the order of their bits."""
        self._has_floor = any(area.floor for area in areas)
        self._people = self.labels(*RASTER)

    def labels(self, rows: int, cols: int) -> NDArray[np.uint32]:
        """Label of each place of a raster, shape (rows, cols); a place is where its middle is."""
        x = (np.arange(cols) + 0.5) / cols
        y = ((np.arange(rows) + 0.5) / rows)[:, np.newaxis]
        labels = np.full((rows, cols), 0 if self._has_floor else WHOLE, np.uint32)
        number = 0
        for area in self._areas:
            if area.ignore:
                continue
            bits = np.uint32(1 << number) | np.uint32(WHOLE if area.floor else 0)
            labels[_inside(area.polygon, x, y)] |= bits
            number += 1
        for area in self._areas:
            if area.ignore:
                labels[_inside(area.polygon, x, y)] = 0
        return labels

    def cell_labels(
        self, rows: int, cols: int, side: int, *, body_rows: int = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
        """Which pixels of a small picture are ignored, and the labels of its cells.

        A pixel beside an ignored one is ignored too, for pictures are made small by averaging. A
        cell of side x side pixels lies where all its pixels lie. Who stands on a floor rises
        above it in the picture by up to `body_rows`, which belong to it; but not what is ignored
        by a zone of its own.
        """
        labels = self.labels(rows, cols)
        self._stand_up(labels, body_rows)
        ignored = labels == 0
        grown = ignored.copy()
        grown[1:] |= ignored[:-1]
        grown[:-1] |= ignored[1:]
        across = grown.copy()
        grown[:, 1:] |= across[:, :-1]
        grown[:, :-1] |= across[:, 1:]
        labels[grown] = 0
        high, wide = rows // side, cols // side
        blocks = labels[: high * side, : wide * side].reshape(high, side, wide, side)
        cells = np.bitwise_and.reduce(np.bitwise_and.reduce(blocks, axis=3), axis=1)
        return grown, np.ascontiguousarray(cells)

    def _stand_up(self, labels: NDArray[np.uint32], body_rows: int) -> None:
        """Let every floor reach upwards into what no zone speaks of, in place."""
        rows, cols = labels.shape
        x = (np.arange(cols) + 0.5) / cols
        y = ((np.arange(rows) + 0.5) / rows)[:, np.newaxis]
        free = labels == 0
        for area in self._areas:
            free &= ~_inside(area.polygon, x, y)
        for _ in range(min(rows, body_rows)):
            reached = free[:-1] & (labels[:-1] == 0)
            labels[:-1][reached] = labels[1:][reached]

    def of_people(self, keypoints: NDArray[np.float32], aspect: float) -> NDArray[np.uint32]:
        """Label of each person, shape (people,), by where they stand.

        That is the middle of the ankles that are seen, else of the hips, else of the shoulders,
        else of whatever is: zones are drawn on the floor, and who dances before a screen has only
        the head in it, while a person on the screen, or in the mirror, stands there. `keypoints`
        has the shape (people, 17, 3), in picture heights; `aspect` is width over height.
        """
        return _labels_of(keypoints, self._people, max(aspect, 1e-6))


def _inside(
    polygon: tuple[tuple[float, float], ...], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which places lie inside, by the number of edges to the right of them."""
    inside = np.zeros((y.shape[0], x.shape[0]), np.bool_)
    for (ax, ay), (bx, by) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if ay == by:
            continue
        between = (ay > y) != (by > y)
        inside ^= between & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


@njit("uint32[::1](float32[:,:,::1], uint32[:,::1], float64)", cache=True, nogil=True)
def _labels_of(
    keypoints: NDArray[np.float32], labels: NDArray[np.uint32], aspect: float
) -> NDArray[np.uint32]:
    rows, cols = labels.shape
    out = np.empty(keypoints.shape[0], np.uint32)
    for person in range(keypoints.shape[0]):
        x = 0.0
        y = 0.0
        seen = 0
        for first, last in ((15, 17), (11, 13), (5, 7), (0, 17)):
            for joint in range(first, last):
                if keypoints[person, joint, 2] >= SEEN:
                    x += keypoints[person, joint, 0]
                    y += keypoints[person, joint, 1]
                    seen += 1
            if seen > 0:
                break
        share_x = x / max(1, seen) / aspect
        share_y = y / max(1, seen)
        # Feet below the picture stand at its edge.
        col = int(min(cols - 1.0, max(0.0, share_x * cols)))
        row = int(min(rows - 1.0, max(0.0, share_y * rows)))
        out[person] = labels[row, col]
    return out


class ZoneReading(NamedTuple):
    """One zone at one moment; what is not known is None."""

    name: str
    level: float | None
    people: int | None


class ZoneMeter:
    """Follows the energy of each zone, from what both eyes say of it. Nothing grows."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        anchors: Anchors,
        attack_seconds: float,
        release_seconds: float,
    ) -> None:
        """Nothing is known yet; the anchors and times are those of the whole."""
        self._names = tuple(names)
        self._anchors = anchors
        self._followers = tuple(Follower(attack_seconds, release_seconds) for _ in names)
        self._pose_speeds = [0.0] * len(self._names)
        self._counts = [0] * len(self._names)
        self._motion_speeds: tuple[float, ...] = (0.0,) * len(self._names)
        self._motion_trust = 0.0
        self._levels: list[float | None] = [None] * len(self._names)

    def take_people(self, labels: NDArray[np.uint32], speeds: NDArray[np.float64]) -> None:
        """Labels of the people, and the v of each (NaN where nobody knows), shape (people,)."""
        known = np.isfinite(speeds)
        for number in range(len(self._names)):
            here = (labels & np.uint32(1 << number)) != 0
            self._counts[number] = int(here.sum())
            told = here & known
            if told.any():
                self._pose_speeds[number] = float(speeds[told].mean())
            elif not self._counts[number]:
                self._pose_speeds[number] = 0.0

    def take_motion(self, speeds: Sequence[float], trust: float) -> None:
        """What flow says of each zone, in body lengths per second; nothing else is taken."""
        if len(speeds) == len(self._names) and all(map(math.isfinite, speeds)):
            self._motion_speeds = tuple(speeds)
            self._motion_trust = trust

    def read(self, at: float, *, pose: bool, motion: bool) -> tuple[ZoneReading, ...]:
        """All zones now; `pose` and `motion` say whose word is fresh."""
        share = self._motion_trust * (MOTION_WEIGHT if pose else 1.0) if motion else 0.0
        weight = (POSE_WEIGHT if pose else 0.0) + share
        readings = []
        for number, name in enumerate(self._names):
            if weight >= 0.1:
                speed = share * self._motion_speeds[number]
                speed += self._pose_speeds[number] if pose else 0.0
                followed = self._followers[number].follow(speed / weight, at)
                self._levels[number] = energy_of(followed, self._anchors)
            elif not (pose or motion):
                self._levels[number] = None
                self._followers[number].reset()
            readings.append(
                ZoneReading(name, self._levels[number], self._counts[number] if pose else None)
            )
        return tuple(readings)
