"""Counters and ages, known by wrapping and not by asking."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from crowdstream.observers.latest import Latest
from crowdstream.observers.meters import NEWEST, Ages, Meter
from crowdstream.packets import Energy, Frame, Mix, Motion, Packet, Tempo
from crowdstream.testing.check import some_packets


def an(kind: type[Packet], **changes: Any) -> Packet:
    (packet, *_) = some_packets([kind])
    return dataclasses.replace(packet, **changes)


def test_work_is_counted_from_taking_to_asking_or_sending() -> None:
    """Waiting for a packet, and waiting for a reader, is no work."""
    meter = Meter()
    meter.on_asked(0.0)
    meter.on_taken(an(Motion), 5.0)
    assert meter.busy_since == 5.0
    meter.on_sending(5.010)
    assert meter.busy_since is None
    meter.on_sent(an(Tempo, captured_at=4.0), 9.0)
    meter.on_asked(9.0)
    meter.on_taken(an(Motion), 10.0)
    meter.on_asked(10.030)
    work = meter.work.latency()
    assert (work.count, work.largest) == (2, pytest.approx(30.0))
    assert (meter.taken, meter.sent, meter.last_sent) == (2, 1, 9.0)


def test_the_age_of_an_energy_is_told_for_each_eye_and_not_for_ticks() -> None:
    meter = Meter()
    meter.on_sent(an(Energy, captured_at=1.0, fresh_from="pose"), 1.05)
    meter.on_sent(an(Energy, captured_at=1.0, fresh_from="motion"), 1.01)
    meter.on_sent(an(Energy, captured_at=1.0, fresh_from=None), 1.0)
    meter.on_sent(an(Mix, captured_at=1.0), 1.02)
    ages = {kind: age.latency().p50 for kind, age in meter.ages.items()}
    assert ages == pytest.approx({"pose": 50.0, "motion": 10.0, "Mix": 20.0})
    assert meter.sent == 4


def test_what_was_dropped_for_it_is_counted() -> None:
    meter = Meter()
    meter.on_dropped(an(Frame), 1.0)
    assert meter.dropped == 1


def test_percentiles_are_those_of_the_newest_and_memory_does_not_grow() -> None:
    ages = Ages()
    assert ages.latency().count == 0
    for _ in range(NEWEST):
        ages.add(9.0)
    for number in range(NEWEST):
        ages.add(number / NEWEST)
    latency = ages.latency()
    assert latency.count == 2 * NEWEST
    assert (latency.p50, latency.p95) == pytest.approx((500.0, 950.0), abs=1.0)
    assert latency.largest < 1000.0


def test_the_newest_of_each_kind_is_kept_but_no_picture() -> None:
    """A picture must not outlive its slot."""
    latest = Latest()
    assert latest.get(Energy) is None
    for packet in some_packets([Frame, Energy]):
        latest.on_sent("stage", packet)
    newest = latest.get(Energy)
    assert newest is not None
    assert newest.seq == 11
    assert latest.get(Frame) is None
