"""Facts about which sample is heard when."""

from __future__ import annotations

import random

from crowdstream.player.heard import HeardClock

RATE = 44100
BLOCK = 512


def followed(
    clock: HeardClock, seconds: float, *, drift: float = 0.0, late: float = 0.002
) -> float:
    """A card that takes blocks, each noticed up to `late` seconds after; the time then."""
    chance = random.Random(1)
    now, taken = 100.0, 0
    while now < 100.0 + seconds:
        taken += BLOCK
        now = 100.0 + taken / RATE * (1.0 + drift)
        clock.observe(taken, now + chance.uniform(0.0, late))
    return now


def test_callbacks_that_are_noticed_late_do_not_make_time_tremble() -> None:
    """Two milliseconds of jitter become a fifth of one."""
    clock = HeardClock(RATE, 100.0)
    now = followed(clock, 10.0)
    off = [clock.taken_at(100.0 + k * BLOCK / RATE) - k * BLOCK for k in (800, 801, 850)]
    assert max(abs(sample / RATE + 0.001) for sample in off) < 0.0003
    assert clock.taken_at(now) > 9.9 * RATE


def test_a_card_that_runs_fast_is_followed() -> None:
    """A crystal that is off by a hundred parts in a million: an hour would be 0.36 s."""
    clock = HeardClock(RATE, 100.0)
    now = followed(clock, 60.0, drift=1e-4, late=0.0)
    taken = round((now - 100.0) / (1.0 + 1e-4) * RATE)
    assert abs(clock.taken_at(now) - taken) < 0.001 * RATE


def test_lost_blocks_are_believed_at_once() -> None:
    """After a gap of 0.2 s time is where the card says it is."""
    clock = HeardClock(RATE, 100.0)
    clock.observe(RATE, 101.2)
    assert abs(clock.taken_at(101.2) - RATE) < 1e-3


def test_without_a_card_time_goes_on_from_where_it_was() -> None:
    """Nobody observes: a second is still `rate` samples."""
    clock = HeardClock(RATE, 100.0)
    now = followed(clock, 2.0)
    assert abs(clock.taken_at(now + 5.0) - clock.taken_at(now) - 5 * RATE) < 1e-3


def test_heard_and_when_heard_are_inverse_and_know_the_latency() -> None:
    """What is taken now is heard `latency` later."""
    clock = HeardClock(RATE, 100.0)
    clock.latency = 0.02
    assert abs(clock.when_heard(RATE) - 101.02) < 1e-9
    assert abs(clock.heard_at(clock.when_heard(12345.0)) - 12345.0) < 1e-3
