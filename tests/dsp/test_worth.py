"""What flow is worth where joints see the same people."""

from __future__ import annotations

import pytest

from crowdstream.dsp.worth import MOST, Worth


def test_the_worth_is_the_ratio_of_two_means() -> None:
    worth = Worth(3.0)
    assert worth.factor == 1.0
    for frame in range(300):
        worth.compare(0.5 + 0.4 * (frame % 2), 1.4, frame / 30)
    assert worth.factor == pytest.approx(0.8 / 1.5, rel=0.05)


@pytest.mark.parametrize(("one", "other"), [(50.0, 0.0), (0.0, 50.0)])
def test_and_never_beyond_its_bounds(one: float, other: float) -> None:
    worth = Worth(1.0)
    for frame in range(60):
        worth.compare(one, other, frame / 30)
    assert worth.factor in (MOST, 1.0 / MOST)
