"""Facts about the true peak of a track."""

from __future__ import annotations

import numpy as np
import pytest

from crowdstream.dsp.peak import SILENCE_DB, true_peak_db


def test_a_peak_between_samples_is_seen() -> None:
    """A tone at a quarter of the rate, whose samples all miss its top by 3 dB."""
    turn = np.pi / 2 * np.arange(4000) + np.pi / 4
    stems = np.zeros((4, 4000, 2), np.int16)
    stems[0, 500:3500, 1] = np.rint(16384 * np.sin(turn))[500:3500]
    assert 20 * np.log10(np.abs(stems).max() / 32768) == pytest.approx(-9.0, abs=0.1)
    assert true_peak_db(stems) == pytest.approx(-6.0, abs=0.5)


def test_stems_are_taken_together() -> None:
    """Four at a quarter are one at full scale; two against each other are nothing."""
    stems = np.zeros((4, 100, 2), np.int16)
    stems[:, 50] = 8191
    assert true_peak_db(stems) == pytest.approx(0.0, abs=0.1)
    stems[2:] = -stems[2:]
    assert true_peak_db(stems) == SILENCE_DB


def test_the_last_sample_counts() -> None:
    """And memory that cannot be written is read."""
    stems = np.zeros((4, 100, 2), np.int16)
    stems[1, 99, 0] = 16384
    stems.flags.writeable = False
    assert true_peak_db(stems) == pytest.approx(-6.0, abs=0.1)
