"""Stems that bleed are kept together, and no more than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.music.bleed import COMPANY_DB, LEAST_DB, kept_together

GAINS = st.tuples(*[st.floats(0.0, 2.0)] * 4).filter(lambda gains: max(gains) > 1e-6)
LEAST = 10 ** (LEAST_DB / 20)
COMPANY = 10 ** (COMPANY_DB / 20)


@given(GAINS)
def test_none_is_far_below_the_loudest_and_none_is_alone(gains: tuple[float, ...]) -> None:
    kept = sorted(kept_together(gains))
    assert kept[-1] == max(gains)
    assert kept[0] >= kept[-1] * LEAST * (1 - 1e-9)
    assert kept[-2] >= kept[-1] * COMPANY * (1 - 1e-9)


@given(GAINS)
def test_no_gain_falls_and_what_is_right_stays(gains: tuple[float, ...]) -> None:
    kept = kept_together(gains)
    assert all(after >= before for before, after in zip(gains, kept, strict=True))
    assert kept_together(kept) == pytest.approx(kept)


def test_a_solo_gets_company_and_a_kill_is_a_dip() -> None:
    assert kept_together((1.0, 0.0, 0.0, 0.0)) == pytest.approx((1.0, LEAST, LEAST, COMPANY))
    assert kept_together((1.0, 0.0, 1.0, 1.0)) == pytest.approx((1.0, LEAST, 1.0, 1.0))


def test_silence_is_allowed() -> None:
    assert kept_together((0.0, 0.0, 0.0, 0.0)) == (0.0, 0.0, 0.0, 0.0)
