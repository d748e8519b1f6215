"""Who and what lies where, and what a zone's energy is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.dsp.crowd import CrowdMeter
from crowdstream.dsp.energy import Anchors, energy_of
from crowdstream.dsp.zones import WHOLE, Area, ZoneMap, ZoneMeter
from crowdstream.testing.bodies import bodies

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
RIGHT = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
TOP = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5))


def test_without_a_floor_all_counts_that_is_not_ignored() -> None:
    labels = ZoneMap([Area("wall", TOP, ignore=True), Area("left", LEFT)]).labels(4, 4)
    assert (labels[:2] == 0).all()
    assert (labels[2:, :2] == WHOLE | 1).all()
    assert (labels[2:, 2:] == WHOLE).all()


def test_with_a_floor_all_else_is_ignored_but_zones_of_their_own() -> None:
    zones = ZoneMap([Area("balcony", RIGHT), Area("dancers", LEFT, floor=True)])
    labels = zones.labels(4, 4)
    assert zones.names == ("balcony", "dancers")
    assert (labels[:, :2] == WHOLE | 2).all()
    assert (labels[:, 2:] == 1).all()
    alone = ZoneMap([Area("dancers", LEFT, floor=True)]).labels(4, 4)
    assert (alone[:, 2:] == 0).all()


def test_ignored_wins_over_the_floor() -> None:
    labels = ZoneMap([Area("mirror", TOP, ignore=True), Area("f", LEFT, floor=True)]).labels(4, 4)
    assert (labels[:2] == 0).all()


@given(st.integers(3, 9), st.floats(0.05, 0.4), st.integers(0, 2**31))
def test_a_polygon_has_its_area(corners: int, radius: float, seed: int) -> None:
    """However it is turned, and in either sense."""
    turn = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    shape = tuple(zip(0.5 + radius * np.cos(angles), 0.5 + radius * np.sin(angles), strict=True))
    area = 0.5 * corners * radius**2 * np.sin(2 * np.pi / corners)
    for polygon in (shape, shape[::-1]):
        inside = ZoneMap([Area("a", polygon)]).labels(300, 300) & 1
        assert inside.mean() == pytest.approx(area, abs=0.01)


def test_people_are_where_their_feet_are_and_else_their_hips() -> None:
    """Who dances before a screen has only the head in it; a person on the screen stands there."""
    joints = bodies(1, 0.0)  # hips at y 0.5, feet at 0.69
    zones = ZoneMap([Area("screen", ((0, 0), (1, 0), (1, 0.6), (0, 0.6)), ignore=True)])
    assert zones.of_people(joints, 1.0).tolist() == [WHOLE]
    joints[:, 15:, 2] = 0.0
    assert zones.of_people(joints, 1.0).tolist() == [0]
    joints[:, 11:13, 2] = 0.0
    joints[:, :, 1] += 0.3
    assert zones.of_people(joints, 1.0).tolist() == [WHOLE]  # the shoulders, at 0.68
    joints[:, :, 2] = 0.0
    assert zones.of_people(joints, 1.0).shape == (1,)
    assert zones.of_people(joints[:0], 1.0).shape == (0,)


def test_x_is_a_share_of_the_width_whatever_the_aspect() -> None:
    zones = ZoneMap([Area("right", RIGHT)])
    joints = bodies(2, 0.0)  # at x 0.3 and 0.7 picture heights
    assert zones.of_people(joints, 1.0).tolist() == [WHOLE, WHOLE | 1]
    assert zones.of_people(joints, 16 / 9).tolist() == [WHOLE, WHOLE]


def test_people_who_are_ignored_change_nothing() -> None:
    """Twenty on an LED wall, or none: the same to the last digit."""
    zones = ZoneMap([Area("wall", TOP, ignore=True)])
    with_wall, without = CrowdMeter(zones=zones), CrowdMeter(zones=zones)
    for n in range(60):
        at = n / 15
        floor = bodies(4, at, speed=1.0, torso=0.05, apart=0.3)
        floor[:, :, 1] += 0.3
        wall = bodies(20, at, speed=4.0, torso=0.05, apart=0.1)
        wall[:, :, 1] -= 0.3
        both = np.concatenate([wall, floor])
        ids = np.arange(24)
        one = with_wall.take_people(both, ids, at=at, intensity=0.5, aspect=2.0)
        other = without.take_people(floor, ids[20:], at=at, intensity=0.5, aspect=2.0)
        assert one == other
    assert one.people == 4
    assert one.level > 0.3


def test_each_zone_has_its_own_energy_and_what_is_beside_the_floor_moves_nobody_else() -> None:
    zones = ZoneMap([Area("bar", RIGHT), Area("floor", LEFT, floor=True)])
    meter = CrowdMeter(zones=zones)
    for n in range(90):
        at = n / 15
        joints = bodies(4, at, speed=np.array([0.0, 0.0, 2.0, 2.0]), apart=0.3)
        joints[2:, :, 0] += 0.4  # so far that no swinging foot comes over the line
        reading = meter.take_people(joints, np.arange(4), at=at, intensity=0.5, aspect=2.4)
    bar, floor = reading.zones
    assert (bar.name, bar.people, floor.people, reading.people) == ("bar", 2, 2, 2)
    assert bar.level is not None
    assert floor.level is not None
    assert bar.level > 0.5
    assert floor.level < 0.05
    assert reading.level < 0.05


def test_flow_alone_tells_a_zones_energy_and_nobody_means_unknown() -> None:
    meter = ZoneMeter(("a", "b"), anchors=Anchors(), attack_seconds=0.1, release_seconds=0.1)
    meter.take_motion((0.9, 0.0), 0.8)
    a, b = meter.read(0.0, pose=False, motion=True)
    assert a.level == pytest.approx(energy_of(0.9))
    assert b.level == 0.0
    assert a.people is None
    meter.take_motion((9.0,), 0.8)  # of another map: not taken
    meter.take_motion((float("nan"), 0.0), 0.8)
    assert meter.read(1.0, pose=False, motion=True)[0].level == pytest.approx(energy_of(0.9))
    assert meter.read(2.0, pose=False, motion=False) == (("a", None, None), ("b", None, None))
    meter.take_motion((0.9, 0.0), 0.01)  # trusts itself next to nothing: nothing is said
    assert meter.read(3.0, pose=False, motion=True)[0].level is None


def test_cells_lie_where_all_their_pixels_lie() -> None:
    zones = ZoneMap([Area("wall", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)), ignore=True)])
    ignored, cells = zones.cell_labels(9, 18, 3)
    assert ignored.shape == (9, 18)
    assert ignored[:, :10].all()  # one more than half: pictures are made small by averaging
    assert not ignored[:, 10:].any()
    assert (cells[:, :4] == 0).all()
    assert (cells[:, 4:] == WHOLE).all()


def test_who_stands_on_the_floor_rises_above_it() -> None:
    """By a body's height, and not into what another zone speaks of."""
    floor = Area("floor", ((0, 0.5), (1, 0.5), (1, 1), (0, 1)), floor=True)
    screen = Area("screen", ((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)), ignore=True)
    bar = Area("bar", ((0.5, 0.4), (0.6, 0.4), (0.6, 0.5), (0.5, 0.5)))
    zones = ZoneMap([floor, screen, bar])
    ignored, _ = zones.cell_labels(90, 160, 3, body_rows=20)
    assert ignored[:44, :80].all()
    assert not ignored[28:44, 100:].any()
    assert ignored[:24, 100:].all()
    assert not ignored[38:44, 82:94].any()
    _, cells = zones.cell_labels(90, 160, 3, body_rows=20)
    assert cells[14, 28] == 1 << 1  # the bar's own bit, not the floor's
    assert cells[14, 40] == WHOLE | 1


def test_a_floor_of_no_body_ends_where_it_is_drawn() -> None:
    zones = ZoneMap([Area("floor", ((0, 0.5), (1, 0.5), (1, 1), (0, 1)), floor=True)])
    ignored, _ = zones.cell_labels(90, 160, 3)
    assert ignored[:45].all()
