"""How much key points tremble, whatever the people do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.tremble import Tremble
from crowdstream.testing.bodies import bodies


def trembling(
    sigma: float, *, fps: float = 30.0, speed: float = 0.0, seed: int = 0, hz: float = 1.0
) -> NDArray[np.float64]:
    """What is known of three people's trembling after three seconds."""
    rng, tremble, rows = np.random.default_rng(seed), Tremble(), np.arange(3)
    for frame in range(round(3 * fps)):
        joints = bodies(3, frame / fps, speed=speed, hz=hz, apart=0.3)
        joints[..., :2] += rng.normal(0.0, sigma, (3, 17, 2)) if sigma else 0.0
        found = tremble.see(rows, rows, joints, frame / fps, least=1e-5, most=0.05)
    return found


@pytest.mark.parametrize("fps", [10.0, 15.0, 30.0, 60.0])
def test_the_deviation_of_noise_is_found(fps: float) -> None:
    assert np.mean([trembling(0.004, fps=fps, seed=n).mean() for n in range(4)]) == pytest.approx(
        0.0046, rel=0.25  # of a limb against a torso, whose middle trembles too
    )  # fmt: skip


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_a_dance_does_not_tremble(fps: float) -> None:
    """A tenth of what its limbs do within a tenth of a second, at most."""
    assert trembling(0.0, fps=fps, speed=1.5, hz=2.0).max() < 0.1 * 1.5 * 0.1 * 0.414


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.0, 0.6))
def test_whatever_comes_it_is_within_its_bounds(seed: int, share: float) -> None:
    rng, tremble = np.random.default_rng(seed), Tremble()
    at = 0.0
    for _ in range(20):
        at += float(rng.choice([-0.1, 0.0, 0.03, 0.3]))
        joints = rng.random((4, 17, 3)).astype(np.float32)
        joints[..., 2][rng.random((4, 17)) < share] = 0.0
        found = tremble.see(
            np.array([0, 1, 2, -1]), rng.integers(0, 3, 4), joints, at, least=0.001, most=0.01
        )
        assert ((found >= 0.001) & (found <= 0.01)).all()
