"""Facts about kicks: where they sound beside the grid, and when nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.dsp.kicks import kick_lags, usual_lag

RATE = 44100
BPM = 120.0


def drums(
    late: list[float], *, first: float = 0.3, hz: float = 55.0, decay: float = 0.12,
    gain: float = 0.5, rate: int = RATE,
) -> np.ndarray:  # fmt: skip
    """One kick for each beat, so many seconds after it; NaN for a beat without."""
    samples = int((first + len(late) * 60.0 / BPM + 0.5) * rate)
    sound = np.zeros(samples)
    for beat, lag in enumerate(late):
        if math.isfinite(lag):
            at = (first + beat * 60.0 / BPM + lag) * rate
            index = np.arange(math.ceil(at), min(samples, math.ceil(at) + rate // 2))
            since = (index - at) / rate
            turns = hz * since + 2.0 * (1.0 - np.exp(-40.0 * since))
            sound[index] += gain * np.exp(-since / decay) * np.sin(2 * math.pi * turns)
    return np.rint(np.repeat(sound[:, np.newaxis], 2, axis=1) * 32767).astype(np.int16)


def lag_of(late: list[float], **how: float) -> float:
    """The usual lag of all beats."""
    rate = int(how.pop("rate", RATE))
    sound = drums(late, rate=rate, **how)
    found = usual_lag(kick_lags(sound, rate, how.get("first", 0.3), BPM), 0, len(late))
    assert found is not None
    return found


@given(st.floats(-0.028, 0.028))
@settings(deadline=None, max_examples=20)
def test_a_kick_that_is_later_is_found_so_much_later(lag: float) -> None:
    assert lag_of([lag] * 16) - lag_of([0.0] * 16) == pytest.approx(lag, abs=0.0007)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("gain", [0.05, 0.9])
def test_neither_level_nor_rate_move_it(rate: int, gain: float) -> None:
    assert lag_of([0.0] * 16, rate=rate, gain=gain) == pytest.approx(lag_of([0.0] * 16), abs=0.0006)


@pytest.mark.parametrize(("hz", "decay"), [(48.0, 0.2), (62.0, 0.06)])
def test_another_kick_is_nearly_at_the_same_place(hz: float, decay: float) -> None:
    assert lag_of([0.0] * 16, hz=hz, decay=decay) == pytest.approx(lag_of([0.0] * 16), abs=0.004)


def test_a_beat_without_a_kick_has_no_lag() -> None:
    lags = kick_lags(drums([0.0, math.nan] * 10), RATE, 0.3, BPM)
    assert np.isfinite(lags[0:20:2]).all()
    assert np.isnan(lags[1:20:2]).all()


def test_a_tone_that_goes_on_is_no_kick() -> None:
    seconds = np.arange(20 * RATE) / RATE
    tone = np.rint(8000 * np.sin(2 * math.pi * 60.0 * seconds)).astype(np.int16)
    lags = kick_lags(np.stack([tone, tone], axis=1), RATE, 0.3, BPM)
    assert usual_lag(lags, 0, 64) is None


@pytest.mark.parametrize("samples", [0, 1, 1000])
def test_of_hardly_any_sound_nothing_is_said(samples: int) -> None:
    lags = kick_lags(np.zeros((samples, 2), np.int16), RATE, 0.3, BPM)
    assert usual_lag(lags, 0, 64) is None


def test_kicks_that_do_not_agree_say_nothing() -> None:
    late = [0.028 if beat % 2 else -0.028 for beat in range(16)]
    assert usual_lag(kick_lags(drums(late), RATE, 0.3, BPM), 0, 16) is None


def test_only_the_bars_that_are_asked_for_count() -> None:
    """A drummer who drifts is met where the transition is."""
    late = [0.0] * 32 + [0.015] * 32
    lags = kick_lags(drums(late), RATE, 0.3, BPM)
    early, later = usual_lag(lags, 0, 32), usual_lag(lags, 32, 32)
    assert early is not None
    assert later is not None
    assert later - early == pytest.approx(0.015, abs=0.001)


def test_pieces_join_without_a_seam() -> None:
    """A track is looked at half a minute at a time; kicks at the seams are like all others."""
    lags = kick_lags(drums([0.004] * 130, first=0.02), RATE, 0.02, BPM)
    known = lags[np.isfinite(lags)]
    assert len(known) >= 128
    assert np.ptp(known) < 0.001
