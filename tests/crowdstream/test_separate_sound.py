"""Sound files of a separation: what is read, what is refused, and that all adds up."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from crowdstream.errors import DeviceError, MediaError
from crowdstream.offline.separate_sound import (
    at_rate,
    of_length,
    read_blocks,
    read_facts,
    unfinished,
    whole_stems,
)

RATE = 8000


@given(
    arrays.arrays(np.float32, (4, 5), elements=st.floats(-2.5, 2.5, width=32)),
    arrays.arrays(np.float64, 5, elements=st.floats(-1.5, 1.5)),
    st.sampled_from([1 << 15, 1 << 23]),
)
def test_stems_of_whole_numbers_add_up_to_the_last_bit(
    stems: NDArray[np.float32], mix: NDArray[np.float64], scale: int
) -> None:
    """Also where one is beyond full scale, and the mix itself (an MP3 goes there)."""
    whole = whole_stems(mix, stems, scale)
    assert whole.min() >= -scale and whole.max() < scale
    assert (whole.sum(axis=0) == np.rint(mix * scale)).all()


@given(
    arrays.arrays(np.float32, (4, 5), elements=st.floats(-0.25, 0.25, width=32)),
)
def test_what_fits_is_only_rounded(stems: NDArray[np.float32]) -> None:
    """`other` alone takes what the others left."""
    mix = stems.sum(axis=0, dtype=np.float64)
    whole = whole_stems(mix, stems, 1 << 15) / (1 << 15)
    assert np.abs(whole[:3] - stems[:3]).max() <= 0.5 / (1 << 15) + 1e-9
    assert np.abs(whole[3] - stems[3]).max() <= 2.5 / (1 << 15)


@pytest.mark.parametrize(
    ("kind", "subtype", "bits"),
    [("wav", "PCM_16", 16), ("wav", "PCM_24", 24), ("wav", "FLOAT", 24), ("flac", "PCM_16", 16),
     ("mp3", "MPEG_LAYER_III", 16), ("ogg", "VORBIS", 16), ("aiff", "PCM_16", 16)],
)  # fmt: skip
def test_facts_of_a_file(tmp_path: Path, kind: str, subtype: str, bits: int) -> None:
    path = tmp_path / f"sound.{kind}"
    sound = np.random.default_rng(1).normal(0.1, 0.1, (RATE, 2))
    soundfile.write(path, sound, RATE, subtype)
    facts = read_facts(path)
    assert (facts.samples, facts.rate, facts.channels, facts.bits) == (RATE, RATE, 2, bits)
    assert facts.samples == sum(len(block) for block in read_blocks(path))
    if kind not in ("mp3", "ogg"):
        assert facts.mean == pytest.approx(0.1, abs=0.01)
        assert facts.deviation == pytest.approx(0.1 / np.sqrt(2), abs=0.01)


def test_what_is_refused_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="No such file"):
        read_facts(tmp_path / "none.wav")
    with pytest.raises(DeviceError, match="Is a directory"):
        read_facts(tmp_path)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(MediaError, match="give a WAV, FLAC, AIFF, MP3, OGG or M4A file"):
        read_facts(tmp_path / "text.wav")
    soundfile.write(tmp_path / "six.wav", np.zeros((10, 6)), RATE)
    with pytest.raises(MediaError, match="6 channels, and stems are made of one or two"):
        read_facts(tmp_path / "six.wav")
    soundfile.write(tmp_path / "slow.wav", np.zeros((10, 2)), 1000)
    with pytest.raises(MediaError, match="is at 1000 Hz: give it at 44100 or 48000 Hz"):
        read_facts(tmp_path / "slow.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), RATE)
    with pytest.raises(MediaError, match="no sound in it"):
        read_facts(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "nan.wav", np.full((10, 2), np.nan), RATE, "FLOAT")
    with pytest.raises(MediaError, match="no numbers"):
        read_facts(tmp_path / "nan.wav")


def test_a_flac_that_breaks_off_says_where(tmp_path: Path) -> None:
    path = tmp_path / "half.flac"
    soundfile.write(path, np.random.default_rng(1).normal(0.0, 0.1, (20 * RATE, 2)), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"breaks off or is damaged after \d+\.\d s"):
        read_facts(path)


@pytest.mark.parametrize(("before", "after"), [(48_000, 44_100), (44_100, 48_000), (8000, 44_100)])
def test_at_another_rate_nothing_is_late(before: int, after: int) -> None:
    time = np.arange(before) / before
    sound = np.sin(2 * np.pi * 440.0 * time).astype(np.float32)[:, np.newaxis]
    blocks = [sound[begin : begin + 1000] for begin in range(0, before, 1000)]
    made = np.concatenate(list(of_length(at_rate(blocks, before, after), after)))
    expected = np.sin(2 * np.pi * 440.0 * np.arange(after) / after)
    inside = slice(after // 10, -after // 10)
    assert made.shape == (after, 1)
    assert np.abs(made[inside, 0] - expected[inside]).max() < 1e-3


@given(st.lists(st.integers(0, 20), max_size=5), st.integers(0, 60))
def test_of_length_is_of_that_length(sizes: list[int], total: int) -> None:
    blocks = [np.ones((size, 3), np.float32) for size in sizes]
    made = list(of_length(blocks, total))
    assert sum(len(block) for block in made) == total
    assert sum(float(block.sum()) for block in made) == 3 * min(total, sum(sizes))


def test_what_was_left_by_somebody_who_was_killed_is_removed(tmp_path: Path) -> None:
    gone, here = tmp_path / ".separating-999999999-x", tmp_path / ".separating-1-x"
    gone.mkdir()
    here.mkdir()  # process 1 lives
    with unfinished(tmp_path) as folder:
        assert folder.is_dir()
        assert not gone.exists() and here.exists()
    assert not folder.exists()


def an_mp4(path: Path, codec: str, form: str, sound: NDArray[np.int16], rate: int) -> Path:
    av: Any = importlib.import_module("av")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        stream.codec_context.format = form
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "s16", "stereo")
        frame.rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def test_mp4_is_read_too(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the package av")
    sound = np.random.default_rng(1).integers(-9000, 9000, (4000, 2), np.int16)
    path = an_mp4(tmp_path / "song.m4a", "alac", "s16p", sound, 44_100)
    facts = read_facts(path)
    assert (facts.samples, facts.rate, facts.channels, facts.bits) == (4000, 44_100, 2, 16)
    assert (np.concatenate(list(read_blocks(path))) * 32768 == sound).all()
    aac = read_facts(an_mp4(tmp_path / "aac.m4a", "aac", "fltp", sound, 44_100))
    assert (aac.rate, aac.channels, aac.bits) == (44_100, 2, 16)
    (tmp_path / "bad.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(5000))
    with pytest.raises(MediaError, match="has no sound that can be read"):
        read_facts(tmp_path / "bad.m4a")
