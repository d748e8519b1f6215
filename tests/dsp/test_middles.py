"""The middle of what is known, and the unknown filled up with it."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.dsp.middles import fill_unknown, middle_of

maybe_known = st.lists(st.one_of(st.floats(-10, 10), st.just(math.nan)), max_size=30)


@given(maybe_known)
def test_the_middle_is_the_median_of_the_known(values: list[float]) -> None:
    """And nothing where nobody is known."""
    known = [value for value in values if not math.isnan(value)]
    middle = middle_of(np.array(values))
    assert middle == np.median(known) if known else math.isnan(middle)


@given(maybe_known)
def test_the_unknown_are_like_the_middle_of_the_others(values: list[float]) -> None:
    """Who is known stays as they are; where nobody is, it is what is said."""
    known = [value for value in values if not math.isnan(value)]
    without = 7.0 if not known else float(np.median(known))
    table = np.column_stack([np.array(values), np.zeros(len(values))])
    fill_unknown(table[:, 0], 7.0)
    assert table[:, 0].tolist() == [without if math.isnan(value) else value for value in values]
    assert not table[:, 1].any()
