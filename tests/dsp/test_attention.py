"""A crowd that listens is no crowd that cools: energy is held, for a while, and never fed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.dsp.attention import HELD_BARS, Attention, raised_share
from crowdstream.dsp.crowd import CrowdMeter, Reading
from crowdstream.testing.bodies import TORSO, bodies

FPS = 15.0
STOPS_AT = 12.0
BAR = 2.0

Keypoints = NDArray[np.float32]


def hands_up(count: int, at: float, share: float = 1.0) -> Keypoints:
    """People who stand still; so many of them hold a phone before their face."""
    people = bodies(count, at)
    filming = round(share * count)
    rng = np.random.default_rng(round(at * 1000))
    people[:filming, 9, :2] = people[:filming, 0, :2] + np.float32(0.3 * TORSO)
    people[:filming, 7, 1] = people[:filming, 5, 1] + np.float32(0.4 * TORSO)
    people[:, :, :2] += rng.normal(0.0, 0.02 * TORSO, people[:, :, :2].shape)
    return people


def a_night(
    then: float = 1.0, *, seconds: float = 60.0, leave: float = 0.0, dancing_on: float = 0.0
) -> list[tuple[float, Reading]]:
    """Twelve people dance for 12 s; then a share of them films, and some leave or dance on."""
    meter = CrowdMeter(bar_seconds=BAR)
    readings = []
    for frame in range(round(seconds * FPS)):
        at = frame / FPS
        if at < STOPS_AT:
            people = bodies(12, at, speed=1.2, hz=2.0, bounce=0.2)
        else:
            people = hands_up(12, at, then)
            dancers = round(dancing_on * 12)
            if dancers:
                people[-dancers:] = bodies(12, at, speed=1.2, hz=2.0, bounce=0.2)[-dancers:]
            people = people[: 12 - round(leave * 12)]
        numbers = np.arange(1, len(people) + 1)
        readings.append((at, meter.take_people(people, numbers, at=at, intensity=0.5)))
    return readings


def at_second(readings: list[tuple[float, Reading]], second: float) -> Reading:
    """What was said then."""
    return min(readings, key=lambda pair: abs(pair[0] - second))[1]


def most_attention(readings: list[tuple[float, Reading]]) -> float:
    """The highest there was."""
    return max(reading.attention or 0.0 for _, reading in readings)


def test_everybody_filming_is_attention_and_holds_energy() -> None:
    """After two seconds attention is above 0.7, and energy stands where the dance had it."""
    night = a_night()
    dancing = at_second(night, 11.9)
    for second in (16.0, 25.0, 40.0):
        filming = at_second(night, second)
        assert filming.attention is not None
        assert filming.attention > 0.7
        assert filming.level == pytest.approx(dancing.level, rel=0.1)
        assert filming.drive == pytest.approx(dancing.drive, rel=0.1)
        assert filming.raw < 0.3 * dancing.level


def test_nothing_is_held_for_more_than_sixteen_bars() -> None:
    """Then energy is let go and falls; the crowd that still films does not hold it anew."""
    night = a_night(seconds=120.0)
    end = STOPS_AT + 1.0 + HELD_BARS * BAR
    assert at_second(night, end - 1.0).level > 0.4
    assert at_second(night, end + 6.0).level < 0.2
    assert max(reading.level for at, reading in night if at > end + 6.0) < 0.2


def test_standing_still_with_hands_down_holds_nothing() -> None:
    """That is a floor that has stopped."""
    night = a_night(then=0.0)
    assert most_attention(night) < 0.1
    assert at_second(night, 20.0).level < 0.2


def test_dancing_with_hands_up_is_dancing() -> None:
    """Arms that are up and move are no attention."""
    meter = CrowdMeter()
    for frame in range(round(10 * FPS)):
        at = frame / FPS
        people = bodies(12, at, speed=1.2, hz=2.0)
        people[:, 9:11, 1] -= np.float32(1.6 * TORSO)
        reading = meter.take_people(people, np.arange(12), at=at, intensity=0.5)
    assert reading.attention == pytest.approx(0.0, abs=0.1)


def test_half_that_films_while_half_dances_is_no_attention() -> None:
    """The dancers are who the music plays for."""
    assert most_attention(a_night(dancing_on=0.55)) < 0.5


def test_a_floor_that_empties_is_not_held_by_the_few_who_film() -> None:
    """Three quarters have gone: the count is not steady, and energy falls."""
    night = a_night(leave=0.75)
    assert most_attention([pair for pair in night if pair[0] < 18.0]) < 0.3
    assert at_second(night, 20.0).level < 0.2


def test_energy_may_rise_while_it_is_held() -> None:
    """Holding is a floor, not a ceiling."""
    attention = Attention()
    for frame in range(60):
        at = frame / FPS
        attention.see(0.0, 10, at)
        attention.lift(0.4, 0.4, at, bar_seconds=BAR)
    for frame in range(60, 120):
        at = frame / FPS
        attention.see(1.0, 10, at)
        level, drive = attention.lift(0.8, 0.7, at, bar_seconds=BAR)
    assert attention.holds
    assert (level, drive) == (0.8, 0.7)


def test_lost_eye_lets_go() -> None:
    """Without the eye that sees arms nothing is held, and energy sinks as it always does."""
    meter = CrowdMeter(bar_seconds=BAR)
    for frame in range(round(20 * FPS)):
        at = frame / FPS
        people = bodies(12, at, speed=1.2, hz=2.0) if at < 10.0 else hands_up(12, at)
        meter.take_people(people, np.arange(12), at=at, intensity=0.2)
    held = meter.wait(20.1, 0.2)
    gone = meter.wait(40.0, 0.2)
    assert held.attention == pytest.approx(1.0, abs=0.3)
    assert gone.attention is None
    assert gone.level == pytest.approx(0.2, abs=0.05)


def test_camera_that_hangs_askew_sees_the_same_hands() -> None:
    """Up is where the shoulders are from the hips."""
    people = hands_up(6, 0.0, share=0.5)
    still = np.zeros((6, 5))
    turn = math.radians(35.0)
    askew = people.copy()
    askew[:, :, 0] = math.cos(turn) * people[:, :, 0] - math.sin(turn) * people[:, :, 1]
    askew[:, :, 1] = math.sin(turn) * people[:, :, 0] + math.cos(turn) * people[:, :, 1]
    assert raised_share(people, still) == raised_share(askew, still) == 0.5


def test_nobody_whose_hands_are_seen_says_nothing() -> None:
    """Hidden hands are neither up nor down."""
    people = hands_up(4, 0.0)
    people[:, 9:11, 2] = 0.0
    assert raised_share(people, np.zeros((4, 5))) is None
    assert raised_share(people[:0], np.zeros((0, 5))) is None
