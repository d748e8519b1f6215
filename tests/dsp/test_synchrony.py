"""Facts about phases of the beat: who moves together, whatever their number and their doubts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.dsp.synchrony import BEAT_COLUMNS, in_phase, median_of


def synchrony(
    once: np.ndarray, twice: np.ndarray | None = None, *, noise: float = 0.0, size: float = 0.02
) -> float:
    """Of people who move by `size` body lengths at these phases, once a beat or twice."""
    people = len(once)
    amplitudes = np.zeros((people, 4))
    if twice is None:
        amplitudes[:, 0], amplitudes[:, 1] = size * np.cos(once), size * np.sin(once)
    else:
        amplitudes[:, 2], amplitudes[:, 3] = size * np.cos(twice), size * np.sin(twice)
    return told(amplitudes, noise)


def told(amplitudes: np.ndarray, noise: float) -> float:
    """Of people who were there all the time."""
    people = len(amplitudes)
    room = np.full((people, BEAT_COLUMNS), np.nan)
    return float(in_phase(amplitudes, np.full((people, 2), noise), np.ones(people), room))


@pytest.mark.parametrize("people", [2, 3, 40])
def test_who_moves_alike_is_together(people: int) -> None:
    """Wherever in the beat, once a beat or twice."""
    for turn in (0.0, 1.0, 4.0):
        assert synchrony(np.full(people, turn)) == pytest.approx(1.0, abs=1e-3)
        assert synchrony(np.zeros(people), np.full(people, turn)) == pytest.approx(1.0, abs=1e-3)


def test_two_who_move_against_each_other_are_not_together() -> None:
    """Half a beat apart, or a quarter."""
    assert synchrony(np.array([0.0, math.pi])) == pytest.approx(0.0, abs=1e-3)
    assert synchrony(np.array([0.0, math.pi / 2])) == pytest.approx(0.0, abs=0.03)


def test_one_alone_is_not_compared() -> None:
    """And nobody is not either."""
    assert math.isnan(synchrony(np.zeros(1)))
    assert math.isnan(synchrony(np.zeros(0)))


def test_chance_is_taken_out() -> None:
    """The square of what people at random phases show has the mean 0 for any number of them."""
    rng = np.random.default_rng(1)
    for people in (2, 5, 30):
        phases = rng.uniform(0.0, 2.0 * math.pi, (400, people))
        resultants = np.abs(np.exp(1j * phases).mean(axis=1))
        plain = float(np.mean(resultants))
        told = float(np.mean([synchrony(row) for row in phases]))
        assert told < 0.75 * plain


@given(st.floats(0.05, 1.2), st.integers(20, 60), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_it_is_the_resultant_of_many(spread: float, people: int, seed: int) -> None:
    """Of phases spread normally, as circular statistics define it."""
    phases = np.random.default_rng(seed).normal(0.0, spread, people)
    resultant = abs(np.exp(1j * phases).mean())
    unbiased = math.sqrt(max(0.0, (people * resultant**2 - 1.0) / (people - 1.0)))
    assert synchrony(phases) == pytest.approx(unbiased, abs=0.03)


@given(st.lists(st.floats(0.0, 6.28), min_size=2, max_size=40), st.floats(0.0, 6.28))
def test_where_the_beat_begins_does_not_matter(phases: list[float], turn: float) -> None:
    """And it lies between 0 and 1."""
    one = synchrony(np.array(phases))
    other = synchrony(np.array(phases) + turn)
    assert 0.0 <= one <= 1.0
    assert one == pytest.approx(other, abs=1e-4)


def test_noise_makes_nobody_less_together() -> None:
    """What it takes from each phase on average is given back; mostly noise is not compared."""
    rng = np.random.default_rng(3)
    size, people = 0.02, 400
    for share in (0.1, 0.4):
        noise = share * size**2
        both = (
            size
            + rng.normal(0.0, math.sqrt(noise / 2), people)
            + 1j * rng.normal(0.0, math.sqrt(noise / 2), people)
        )
        amplitudes = np.zeros((people, 4))
        amplitudes[:, 0], amplitudes[:, 1] = both.real, both.imag
        assert told(amplitudes, noise) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_who_moves_twice_a_beat_is_as_together_as_once_a_beat(spread: float) -> None:
    """The phase twice a beat is twice that of the beat, and its resultant the fourth power."""
    beat = np.random.default_rng(5).normal(0.0, spread, 2000)
    assert synchrony(beat, 2.0 * beat) == pytest.approx(math.exp(-(spread**2) / 2), abs=0.02)


def moving(*people: tuple[float, float, float, float]) -> np.ndarray:
    """Amplitudes of people: size and turn (in beats) once a beat, size and turn twice a beat."""
    sines = [
        (once * np.exp(2j * math.pi * turn), twice * np.exp(4j * math.pi * double))
        for once, turn, twice, double in people
    ]
    return np.array([[a.real, a.imag, b.real, b.imag] for a, b in sines])


def test_which_of_two_beats_it_is_shows_in_what_is_seen_once_a_beat() -> None:
    """Half a beat apart they are against each other, although twice a beat they look alike."""
    same = moving((0.02, 0.1, 0.04, 0.1), (0.02, 0.1, 0.04, 0.1))
    against = moving((0.02, 0.1, 0.04, 0.1), (0.02, 0.6, 0.04, 0.1))
    assert told(same, 1e-6) == pytest.approx(1.0, abs=0.02)
    assert told(against, 1e-6) == pytest.approx(0.0, abs=0.02)


def test_the_beat_is_where_the_surer_of_both_sines_says() -> None:
    """Once a beat both seem to be apart; twice a beat, which shows much better, they are not."""
    people = moving((0.012, 0.05, 0.08, 0.1), (0.012, 0.15, 0.08, 0.1))
    assert told(people, 1e-6) == pytest.approx(1.0, abs=0.05)


def test_whose_beat_is_in_doubt_is_taken_to_be_with_the_others() -> None:
    """Six are together; of the seventh only twice a beat shows, and that fits theirs."""
    six = [(0.04, 0.3, 0.0, 0.0)] * 6
    assert told(moving(*six, (0.0, 0.0, 0.04, 0.3)), 1e-6) > 0.95
    aside = told(moving(*six, (0.0, 0.0, 0.04, 0.05)), 1e-6)
    assert aside < told(moving(*six, (0.0, 0.0, 0.04, 0.3)), 1e-6)


def test_of_two_whose_beat_can_be_either_nothing_is_told() -> None:
    """One shows where their beat is, the other only where half a beat is, a quarter away."""
    assert math.isnan(told(moving((0.04, 0.0, 0.0, 0.0), (0.0, 0.0, 0.04, 0.17)), 1e-6))


def test_of_two_who_lean_to_either_beat_nothing_is_told_until_it_is_clear_which() -> None:
    """What is seen once a beat lies midway between both beats; or at one of them."""
    midway = moving((0.011, 0.41, 0.03, 0.25), (0.011, 0.22, 0.03, 0.48))
    at_one = moving((0.011, 0.25, 0.03, 0.25), (0.011, 0.48, 0.03, 0.48))
    assert math.isnan(told(midway, 1e-5))
    assert told(at_one, 1e-5) < 0.5


@given(st.floats(0.0, 1.0), st.floats(1e-6, 0.003))
def test_where_little_is_in_doubt_synchrony_is_the_root_of_the_cosine(
    synchrony: float, deviation: float
) -> None:
    """And where the root makes much of little, it errs to neither side for long."""
    found = median_of(synchrony**2, deviation**2)
    assert found == pytest.approx(synchrony, abs=math.sqrt(deviation))


@given(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), st.floats(0.001, 0.35))
def test_more_cosine_is_never_less_synchrony(one: float, other: float, deviation: float) -> None:
    """And it lies between 0 and 1 however little is known."""
    low, high = (median_of(cosine, deviation**2) for cosine in sorted((one, other)))
    assert 0.0 <= low <= high + 1e-3
    assert high <= 1.0
