"""Facts about fades, the limiter and the loudness meter."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.fades import GAIN, POWER, constant_fades, fade, follow
from crowdstream.dsp.limiter import DELAY, Limiter
from crowdstream.dsp.loudness import ShortTerm

RATE = 44100
SHARES = st.floats(0, 1)


@given(SHARES)
def test_two_opposed_fades_keep_the_power(share: float) -> None:
    """a*a + b*b == 1 all the way."""
    a = fade(share, 0.0, 1.0, 1.0, 0.0, POWER)
    b = fade(share, 0.0, 1.0, 0.0, 1.0, POWER)
    assert a * a + b * b == pytest.approx(1.0, abs=1e-12)


@given(SHARES)
def test_two_opposed_fades_of_like_sounds_keep_the_gain(share: float) -> None:
    """a + b == 1 all the way."""
    a = fade(share, 0.0, 1.0, 1.0, 0.0, GAIN)
    b = fade(share, 0.0, 1.0, 0.0, 1.0, GAIN)
    assert a + b == pytest.approx(1.0, abs=1e-12)


@given(SHARES, SHARES, SHARES, st.sampled_from([POWER, GAIN]))
def test_a_fade_stays_between_its_ends(share: float, before: float, after: float, law: int) -> None:
    """Never louder than the louder end, never quieter than the quieter."""
    value = fade(share, 0.0, 1.0, before, after, law)
    assert min(before, after) - 1e-12 <= value <= max(before, after) + 1e-12


def test_outside_a_fade_nothing_moves() -> None:
    """Before it the old factor, after it the new one, also where it is a step."""
    assert [fade(b, 4.0, 8.0, 0.25, 0.75, POWER) for b in (-1e9, 4.0, 8.0, 1e9)] == [
        0.25, 0.25, 0.75, 0.75,
    ]  # fmt: skip
    assert [fade(b, 4.0, 4.0, 0.0, 1.0, POWER) for b in (3.9, 4.0)] == [0.0, 1.0]


def test_a_level_that_is_heard_moves_slowly_and_one_that_is_not_at_once() -> None:
    """At most so many dB; a silent stem is ready at the level it will come in with."""
    fades = constant_fades(2, 1.0)
    fades[1] = constant_fades(1, 0.0)[0]
    levels, gains = np.array([1.0, 1.0]), np.zeros(2)
    follow(0.0, fades, levels, np.array([0.25, 0.25]), 0.5, 2.0, gains)
    assert levels == pytest.approx([10 ** (-0.5 / 20), 0.25])
    assert gains == pytest.approx([2.0 * 10 ** (-0.5 / 20), 0.0])


def limited(sound: NDArray[np.float32], ceiling_db: float = -1.0) -> NDArray[np.float32]:
    """In quanta, with the delay taken out."""
    limiter = Limiter(RATE, ceiling_db)
    padded = np.vstack([sound, np.zeros((512, 2), np.float32)])
    out = np.zeros_like(padded)
    for begin in range(0, len(padded) - 255, 256):
        limiter.limit(padded[begin : begin + 256], out[begin : begin + 256])
    return out[DELAY : DELAY + len(sound)]


@given(st.integers(0, 1000), st.floats(0.1, 8.0))
def test_nothing_is_above_the_ceiling(seed: int, loud: float) -> None:
    """Whatever comes, also far above full scale."""
    rng = np.random.default_rng(seed)
    sound = (loud * rng.standard_normal((2048, 2))).astype(np.float32)
    assert np.abs(limited(sound)).max() <= 10 ** (-1 / 20)


def test_quiet_sound_goes_through_untouched() -> None:
    """Bit for bit, only later."""
    rng = np.random.default_rng(1)
    sound = (0.1 * rng.uniform(-1, 1, (4096, 2))).astype(np.float32)
    assert np.array_equal(limited(sound), sound)


def test_peaks_between_samples_count() -> None:
    """A tone whose samples miss its peaks by 3 dB is limited by what a converter makes of it."""
    tone = 1.2 * np.sin(np.pi / 2 * np.arange(8192) + np.pi / 4)
    out = limited(np.stack([tone, tone], axis=1).astype(np.float32))
    inside = out[2048:6144, 0].astype(np.float64)
    spectrum = np.fft.rfft(inside)
    finer = np.fft.irfft(
        np.concatenate([spectrum, np.zeros(7 * len(inside) // 2)]), 8 * len(inside)
    )
    assert 8 * np.abs(finer[1024:-1024]).max() <= 10 ** (-0.9 / 20)


def test_the_limiter_makes_no_click() -> None:
    """A slow tone that rises above the ceiling bends no faster than the tone itself, within 10 %."""
    time = np.arange(RATE) / RATE
    tone = (0.3 + 1.2 * time) * np.sin(2 * np.pi * 1000 * time)
    out = limited(np.stack([tone, tone], axis=1).astype(np.float32))
    own = 0.9 * (2 * np.pi * 1000 / RATE) ** 2
    assert np.abs(np.diff(out[:, 0].astype(np.float64), 2)).max() <= 1.1 * own


def test_the_gain_goes_down_along_a_line_before_a_peak() -> None:
    """A single sample of twice full scale on a steady sound: no step of the gain, on either side."""
    sound = np.full((2048, 2), 0.5, np.float32)
    sound[1000] = 2.0
    gain = np.delete(limited(sound)[:, 0].astype(np.float64), 1000) / 0.5
    deepest = 1.0 - gain.min()
    assert deepest > 0.5
    assert np.abs(np.diff(gain)).max() < 1.2 * deepest / 64


@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_meter_agrees_with_pyloudnorm(rate: int) -> None:
    """The last three seconds, within a tenth of a loudness unit."""
    rng = np.random.default_rng(2)
    sound = (0.1 * rng.standard_normal((4 * rate, 2))).astype(np.float32)
    meter = ShortTerm(rate)
    assert meter.lufs is None
    for begin in range(0, len(sound), 256):
        meter.measure(sound[begin : begin + 256])
    judge = pyloudnorm.Meter(rate, block_size=3.0)
    assert meter.lufs == pytest.approx(judge.integrated_loudness(sound[-3 * rate :]), abs=0.1)


def test_silence_has_a_loudness_too() -> None:
    """A number, never minus infinity."""
    meter = ShortTerm(RATE)
    for _ in range(700):
        meter.measure(np.zeros((256, 2), np.float32))
    assert meter.lufs == -70.0
