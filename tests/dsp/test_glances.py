"""What flow saw of a picture is found by the picture's own time."""

from __future__ import annotations

import math

import pytest

from crowdstream.dsp.glances import KEPT, UNSEEN, Glances


def test_a_glance_is_found_by_its_time() -> None:
    """Also when newer pictures have been seen since."""
    glances = Glances()
    for frame in range(40):
        glances.add(frame / 30, frame / 100, (0.0, 0.0))
    assert glances.of(20 / 30).brightness == 0.2
    assert glances.of(20.4 / 30).brightness == 0.2


def test_what_is_too_far_away_says_nothing_of_the_light() -> None:
    """But how far the camera went by then is known."""
    glances = Glances()
    for frame in range(31):
        glances.add(frame / 30, 0.5, (0.3, -0.1))
    later = glances.of(2.0)
    assert later.brightness is None
    assert later.camera == (0.0, 0.0)
    assert later.shifted == pytest.approx((0.3, -0.1))
    assert glances.of(-1.0) == UNSEEN


def test_the_way_of_the_camera_adds_up_but_not_over_gaps() -> None:
    """Nor from what is no number."""
    glances = Glances()
    glances.add(0.0, 0.5, (0.0, 0.0))
    glances.add(0.1, 0.5, (1.0, 0.0))
    glances.add(0.2, 0.5, (math.nan, 1.0))
    glances.add(5.0, 0.5, (1.0, 1.0))
    assert glances.of(5.0).shifted == pytest.approx((0.1, 0.0))


def test_a_time_that_goes_back_begins_anew() -> None:
    """What was seen under the old clock is not found under the new one."""
    glances = Glances()
    glances.add(100.0, 0.5, (0.0, 0.0))
    glances.add(1.0, 0.25, (0.0, 0.0))
    assert glances.of(100.0).brightness is None
    assert glances.of(1.0).brightness == 0.25


def test_memory_is_bounded() -> None:
    """However long the night."""
    glances = Glances()
    for frame in range(10_000):
        glances.add(frame / 30, 0.5, (0.0, 0.0))
    assert len(glances._kept) == KEPT
