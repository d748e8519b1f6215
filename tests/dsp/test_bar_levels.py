"""Facts about how loud each bar is: BS.1770 beside it, bands that add up, bars that lie right."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm
import pytest

from crowdstream.dsp.bar_levels import bar_powers

RATE = 44100
BPM = 120.0


def one_stem(sound: np.ndarray, stem: int = 0) -> np.ndarray:
    """On one of four stems; `sound` has the shape (samples, 2)."""
    stems = np.zeros((4, len(sound), 2), np.int16)
    stems[stem] = np.rint(sound * 32767)
    return stems


def tone(hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    wave = 0.25 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)
    return np.stack([wave, 0.5 * wave], axis=1)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("hz", [60.0, 500.0, 4000.0])
def test_it_is_the_loudness_of_the_standard(hz: float, rate: int) -> None:
    sound = tone(hz, 10.0, rate)
    told = bar_powers(one_stem(sound), rate, 0.0, BPM).sum(axis=(1, 2))
    truth = pyloudnorm.Meter(rate).integrated_loudness(sound)
    assert 10.0 * np.log10(told[1:4]) - 0.691 == pytest.approx(truth, abs=0.15)


@pytest.mark.parametrize(("hz", "band"), [(80.0, 0), (700.0, 1), (6000.0, 2), (15000.0, 2)])
def test_a_tone_lies_in_its_band(hz: float, band: int) -> None:
    powers = bar_powers(one_stem(tone(hz, 6.0), stem=2), RATE, 0.0, BPM)
    assert powers[1, 2, band] > 0.98 * powers[1].sum()


def test_noise_is_as_loud_as_the_standard_has_it() -> None:
    """What folds down because every second sample is left out stays where it counts the same."""
    noise = np.random.default_rng(1).normal(0.0, 0.1, (10 * RATE, 2))
    told = bar_powers(one_stem(noise), RATE, 0.0, BPM).sum(axis=(1, 2)).mean()
    truth = pyloudnorm.Meter(RATE).integrated_loudness(noise)
    assert 10.0 * math.log10(told) - 0.691 == pytest.approx(truth, abs=0.3)


def test_each_bar_is_its_own() -> None:
    """The second bar alone sounds, where the grid has it."""
    sound = np.zeros((int(8.5 * RATE), 2))
    begin = int(2.3 * RATE)
    sound[begin : begin + 2 * RATE] = tone(300.0, 2.0)
    powers = bar_powers(one_stem(sound), RATE, 0.3, BPM).sum(axis=(1, 2))
    assert len(powers) == 4
    assert powers[1] > 1e-3
    assert powers[[0, 2, 3]].max() < 1e-3 * powers[1]


@pytest.mark.parametrize("samples", [0, 1, 5000])
def test_hardly_any_sound_has_no_bars(samples: int) -> None:
    assert len(bar_powers(np.zeros((4, samples, 2), np.int16), RATE, 0.0, BPM)) == 0
