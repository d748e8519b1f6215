"""Anchors out of a room's movement: in order, apart, or a sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.dsp.anchors import LEAST_SPAN, NotLearned, from_night, from_phases
from crowdstream.dsp.energy import energy_of


def around(v: float, count: int = 300, seed: int = 0) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(v, 0.1 * v, count))


def test_two_phases_make_still_and_full() -> None:
    anchors = from_phases(around(0.1), around(1.5), 30)
    assert 0.1 < anchors.still < 0.13
    assert 1.5 < anchors.full < 1.8
    assert energy_of(0.1, anchors) < 0.1 and energy_of(1.5, anchors) > 0.8


def test_the_middle_of_a_night_is_half() -> None:
    rng = np.random.default_rng(0)
    speeds = rng.gamma(2.0, 0.4, 5000)
    anchors = from_night(speeds, 600)
    moving = np.median(speeds[speeds > anchors.still])
    assert energy_of(float(moving), anchors) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [
        (around(0.1, 5), around(1.0), "only 5 measurements of standing still"),
        (around(0.1), around(1.0, 5), "only 5 measurements of dancing"),
        (around(0.02), around(0.1), "hardly any movement while dancing"),
        (around(1.5), around(0.8), "moved more while they were to stand still"),
        (around(0.7), around(0.8), "one level of movement only"),
        (np.full(300, np.nan), around(1.0), "only 0 measurements"),
        (around(0.1), np.full(300, 1e9), "only 0 measurements"),
    ],
)
def test_what_teaches_nothing_is_a_sentence(low: np.ndarray, high: np.ndarray, why: str) -> None:
    with pytest.raises(NotLearned, match=why):
        from_phases(low, high, 30)


@pytest.mark.parametrize(
    ("speeds", "why"),
    [
        (around(1.0, 10), "only 10 moments"),
        (around(0.05, 900), "hardly anybody moved"),
        (around(1.0, 900), "one level of movement only"),
    ],
)
def test_a_night_that_teaches_nothing_is_a_sentence(speeds: np.ndarray, why: str) -> None:
    with pytest.raises(NotLearned, match=why):
        from_night(speeds, 600)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 5), st.floats(0, 5), st.floats(0, 2), st.booleans())
def test_what_is_learned_is_always_in_order_and_apart(
    seed: int, low: float, high: float, spread: float, night: bool
) -> None:
    rng = np.random.default_rng(seed)
    one, other = (np.abs(rng.normal(v, spread, 400)) for v in (low, high))
    try:
        if night:
            anchors = from_night(np.concatenate([one, other]), 300)
        else:
            anchors = from_phases(one, other, 30)
    except NotLearned:
        return
    assert 0.0 < anchors.still < anchors.half < anchors.full <= 8.0
    assert anchors.full - anchors.still >= LEAST_SPAN - 1e-3
