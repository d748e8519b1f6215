"""Everyone's height in a ring: small enough to be run without the compiler as well."""

from __future__ import annotations

import numpy as np
import pytest

from crowdstream.dsp.bounce import (
    SLOT_SECONDS,
    SLOTS,
    WINDOW_SECONDS,
    BounceRing,
    SlotClock,
)
from crowdstream.dsp.groove import GrooveMeter
from crowdstream.dsp.spectrum import bodies_a_packet
from crowdstream.testing.bodies import TORSO, bodies

HERTZ = np.array([1.0, 2.0])


def test_two_who_bounce_have_their_tempo_and_their_beat() -> None:
    meter = GrooveMeter()
    for frame in range(66):
        people = bodies(2, frame / 11, hz=1.9, bounce=0.4)
        meter.take_people(people, np.arange(2), np.full(2, 3.45 * TORSO), at=frame / 11)
    groove = meter.reading(6.0)
    assert groove.groove_bpm == pytest.approx(114.0, abs=1.5)
    assert groove.synchrony == pytest.approx(1.0, abs=0.02)


def test_a_slot_holds_all_pictures_of_its_time_and_no_time_holds_more_than_the_ring() -> None:
    clock = SlotClock(HERTZ)
    for frame in range(6000):
        clock.add(7.0 + frame / 60.0)
    window = clock.window()
    assert window.order.size <= SLOTS
    assert np.diff(window.times).min() >= SLOT_SECONDS - 1e-6
    assert window.times[-1] - window.times[0] == pytest.approx(7.0, abs=0.1)
    assert window.rate == pytest.approx(20.0, abs=0.5)


def test_a_height_is_in_body_lengths_and_does_not_know_where_the_body_stands() -> None:
    heights = []
    for place, size in ((0.0, 1.0), (0.5, 1.0), (0.1, 0.5)):
        ring = BounceRing(HERTZ)
        for frame in range(20):
            people = bodies(1, 0.0)
            people[..., 1] += 0.02 * (frame % 5)
            people[..., :2] *= size
            people[..., 0] += place
            ring.write(np.zeros(1, np.int64), people, np.full(1, size * 3.45 * TORSO), frame / 10)
        row = int(np.argmax(ring.sums[:, :, 2].sum(axis=1)))
        heights.append(ring.sums[row, :20, 1])
    assert np.ptp(heights[0]) == pytest.approx(0.08 / (3.45 * TORSO), rel=0.2)
    assert heights[0] == pytest.approx(heights[1], abs=1e-5)
    assert heights[0] == pytest.approx(heights[2], abs=1e-5)


def test_more_people_than_rows_are_not_an_error() -> None:
    ring = BounceRing(HERTZ)
    for frame in range(3):
        people = np.repeat(bodies(1, 0.0), 300, axis=0)
        ids = np.arange(300) + 1000 * frame
        assert ring.write(ids, people, np.full(300, 0.4), frame / 10)
    assert not ring.write(ids, people, np.full(300, 0.4), 0.2)
    assert np.isfinite(ring.sums).all()


def test_a_window_is_the_last_seven_seconds_under_hanns_curve() -> None:
    """Oldest first, without the slot that is being filled, also once round the ring."""
    clock = SlotClock(np.array([2.0]))
    for n in range(3 * SLOTS):
        clock.add(100.0 + n / 20.0)
    window = clock.window()
    assert window.origin == 100.0
    assert window.rate == pytest.approx(20.0)
    newest = (3 * SLOTS - 2) / 20.0
    assert window.times[-1] == pytest.approx(newest)
    assert np.diff(window.times) == pytest.approx(0.05)
    assert window.times[0] > newest - WINDOW_SECONDS >= window.times[0] - 0.05
    assert ((window.order[1:] - window.order[:-1]) % SLOTS == 1).all()
    turn = 2.0 * np.pi * (window.times - window.middle) / WINDOW_SECONDS
    assert window.weights == pytest.approx(0.5 + 0.5 * np.cos(turn))


def test_without_two_slots_there_is_no_window() -> None:
    clock = SlotClock(np.array([2.0]))
    assert clock.window().order.size == 0
    clock.add(1.0)
    assert clock.window().order.size == 0


def test_a_small_crowd_is_looked_at_in_few_steps_and_a_large_one_in_six() -> None:
    """Of those who have been seen lately; whoever has left costs nothing."""
    seen_at = np.full(256, -np.inf)
    assert bodies_a_packet(seen_at, 5.0, 15.0) == 16
    seen_at[:40] = 6.0
    assert bodies_a_packet(seen_at, 5.0, 15.0) == 16
    seen_at[:200] = 6.0
    assert bodies_a_packet(seen_at, 5.0, 15.0) == 34
    assert bodies_a_packet(seen_at, 6.5, 15.0) == 16
    assert bodies_a_packet(seen_at, 5.0, 5.0) == 100  # where packets are rare
