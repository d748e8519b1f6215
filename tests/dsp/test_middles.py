"""The middle of what is known, and the unknown filled up with it."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.dsp.middles import fill_unknown, middle_in_place, middle_of

maybe_known = st.lists(st.one_of(st.floats(-10, 10), st.just(math.nan)), max_size=30)


@given(maybe_known)
def test_the_middle_is_the_median_of_the_known(values: list[float]) -> None:
    """And nothing where nobody is known."""
    known = [value for value in values if not math.isnan(value)]
    middle = middle_of(np.array(values))
    assert middle == np.median(known) if known else math.isnan(middle)


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40), st.integers(0, 3))
def test_the_middle_in_place_is_the_median_of_those_at_the_front(
    values: list[float], more: int
) -> None:
    """Many alike among them; what stands behind them keeps its place."""
    room = np.array(values + [99.0] * more)
    assert middle_in_place(room, len(values)) == np.median(values)
    assert sorted(room[: len(values)]) == sorted(values)
    assert room[len(values) :].tolist() == [99.0] * more


@given(maybe_known)
def test_the_unknown_are_like_the_middle_of_the_others(values: list[float]) -> None:
    """Who is known stays as they are; where nobody is, it is what is said."""
    known = [value for value in values if not math.isnan(value)]
    without = 7.0 if not known else float(np.median(known))
    table = np.column_stack([np.array(values), np.zeros(len(values))])
    fill_unknown(table[:, 0], 7.0)
    assert table[:, 0].tolist() == [without if math.isnan(value) else value for value in values]
    assert not table[:, 1].any()
