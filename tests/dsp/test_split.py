"""Splitting without a model: what each kind of sound becomes, and what always holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.split import Splitter

RATE = 22_050
SPLITTER = Splitter(RATE)
DRUMS, BASS, VOCALS, OTHER = range(4)
TIME = np.arange(3 * RATE) / RATE

Floats = NDArray[np.float32]


def sound(left: NDArray[np.float64], right: NDArray[np.float64] | None = None) -> Floats:
    """Shape (samples, 2); in the middle, unless the right channel is another."""
    return np.stack([left, left if right is None else right], axis=1).astype(np.float32)


def tone(hertz: float, octaves: float = 0.0) -> NDArray[np.float64]:
    """A tone; with octaves it slides up and down by so many, once and a half a second."""
    pitch = hertz * 2.0 ** (octaves * np.sin(2 * np.pi * 1.5 * TIME))
    return np.asarray(0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE))


def clicks() -> NDArray[np.float64]:
    """Struck four times a second."""
    noise = np.random.default_rng(1).normal(0.0, 0.3, TIME.size)
    return noise * np.exp(-(TIME % 0.25) * 60.0)


def energies(mix: Floats) -> NDArray[np.float64]:
    """Of each stem, as a share, away from the ends."""
    stems = SPLITTER.split(mix)[:, RATE:-RATE]
    found = np.square(stems, dtype=np.float64).sum(axis=(1, 2))
    return np.asarray(found / found.sum())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(-60.0, 12.0), st.sampled_from([8000, 22_050, 44_100]))
def test_the_stems_add_up_to_the_mix(seed: int, level_db: float, rate: int) -> None:
    random = np.random.default_rng(seed)
    splitter = Splitter(rate)
    mix = random.normal(0.0, 10 ** (level_db / 20), (3 * splitter.context + 77, 2)).astype(
        np.float32
    )
    error = splitter.split(mix).sum(axis=0) - mix
    assert np.abs(error).max() <= 1e-6 * np.abs(mix).max()


@pytest.mark.parametrize(
    ("what", "mix", "stem", "share"),
    [
        ("clicks are drums", sound(clicks()), DRUMS, 0.6),
        ("a low tone is bass", sound(tone(80.0)), BASS, 0.7),
        ("a steady tone to one side is other", sound(tone(900.0), 0.1 * tone(900.0)), OTHER, 0.6),
    ],
)
def test_each_kind_of_sound_goes_where_it_belongs(
    what: str, mix: Floats, stem: int, share: float
) -> None:
    found = energies(mix)
    assert found.argmax() == stem, what
    assert found[stem] > share, what


def test_what_slides_in_the_middle_is_a_voice() -> None:
    sliding = energies(sound(tone(600.0, octaves=0.5)))
    steady = energies(sound(tone(600.0)))
    aside = energies(sound(tone(600.0, octaves=0.5), 0.1 * tone(600.0, octaves=0.5)))
    assert sliding.argmax() == VOCALS
    assert sliding[VOCALS] > 2.0 * steady[VOCALS]
    assert sliding[VOCALS] > 2.0 * aside[VOCALS]


def test_a_kick_and_a_bass_note_are_told_apart() -> None:
    """Both are low: the one lasts, the other does not."""
    since = TIME % 0.5
    kick = (
        0.8
        * np.sin(2 * np.pi * (50.0 * since + 3.0 * (1 - np.exp(-since * 30))))
        * np.exp(-since * 25.0)
    )
    bass = tone(110.0)
    stems = SPLITTER.split(sound(kick + bass))[:, RATE:-RATE, 0]
    for stem, true in ((DRUMS, kick), (BASS, bass)):
        error = stems[stem] - true[RATE:-RATE]
        gain = 10 * np.log10(np.square(true[RATE:-RATE]).sum() / np.square(error).sum())
        assert gain > 3.0


def test_twice_as_loud_is_the_same_twice_as_loud() -> None:
    mix = sound(clicks() + tone(80.0), clicks() + tone(500.0))
    assert np.allclose(SPLITTER.split(4 * mix), 4 * SPLITTER.split(mix), atol=1e-6)


def test_left_and_right_may_be_exchanged() -> None:
    mix = sound(clicks() + tone(80.0), clicks() + tone(500.0))
    turned = np.ascontiguousarray(mix[:, ::-1])
    assert np.allclose(SPLITTER.split(turned)[:, :, ::-1], SPLITTER.split(mix), atol=1e-6)


def test_silence_stays_silent() -> None:
    assert not SPLITTER.split(np.zeros((2 * RATE, 2), np.float32)).any()


def test_a_sample_depends_on_no_more_than_its_context() -> None:
    """So a long sound can be cut, and comes out as if it had not been."""
    random = np.random.default_rng(2)
    context, hop = SPLITTER.context, SPLITTER.hop
    mix = random.normal(0.0, 0.3, (2 * context + 8 * hop, 2)).astype(np.float32)
    more = np.concatenate([random.normal(0.0, 1.0, (4 * hop, 2)).astype(np.float32), mix])
    more = np.concatenate([more, random.normal(0.0, 1.0, (5 * hop, 2)).astype(np.float32)])
    alone = SPLITTER.split(mix)[:, context : context + 8 * hop]
    within = SPLITTER.split(more)[:, 4 * hop + context : 12 * hop + context]
    assert (alone == within).all()
