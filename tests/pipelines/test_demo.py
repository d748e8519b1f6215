"""The demo, whole: what the crowd does is heard, and the same seed is the same show."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.stats import spearmanr

from crowdstream.config import Config
from crowdstream.music.compose import builtin_library
from crowdstream.offline.demo import DemoResult, DemoSettings, play_demo
from crowdstream.offline.show import Show, read_show
from crowdstream.stage import Places
from crowdstream.testing.stages import SilentLog

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

LINES_PER_SECOND = 10


def a_demo(out: Path, cache: Path, *, seconds: float, seed: int = 1) -> DemoResult:
    """What `crowdstream demo` does, without its terminal."""
    settings = DemoSettings(seconds=seconds, out=out, seed=seed, video=None, command="demo")
    return asyncio.run(
        play_demo(
            settings,
            config=Config(),
            places=Places(cache, out / "state", out / "no models"),
            log=SilentLog(),
            look=lambda *_: None,
            say=lambda _: None,
        )
    )


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, warm_cache: Path
) -> tuple[Path, DemoResult, Show]:
    """One whole show of three minutes."""
    out = tmp_path_factory.mktemp("demo")
    result = a_demo(out, warm_cache, seconds=180.0)
    return out, result, read_show(out / "show.jsonl")


def smooth(values: NDArray[np.float64], seconds: float = 1.0) -> NDArray[np.float64]:
    """A running mean."""
    length = int(seconds * LINES_PER_SECOND)
    return np.convolve(np.nan_to_num(values), np.ones(length) / length, "same")


def rank_correlation(
    cause: NDArray[np.float64],
    effect: NDArray[np.float64],
    *,
    lag_seconds: float = 0.0,
    where: NDArray[np.bool_] | None = None,
) -> float:
    """Spearman's, of the effect with what was the cause so long ago."""
    lag = int(lag_seconds * LINES_PER_SECOND)
    before, after = cause[: len(cause) - lag], effect[lag:]
    known = np.isfinite(before) & np.isfinite(after)
    if where is not None:
        known &= where[lag:]
    return float(spearmanr(before[known], after[known])[0])


def test_measured_energy_follows_the_true_one(demo: tuple[Path, DemoResult, Show]) -> None:
    """The eye that needs no model sees how the drawn people move."""
    show = demo[2]
    assert rank_correlation(smooth(show.energy_true), show.energy, lag_seconds=0.7) >= 0.95


def test_the_tempo_asked_for_follows_the_drive(demo: tuple[Path, DemoResult, Show]) -> None:
    """With the lag of its smoothing."""
    show = demo[2]
    assert rank_correlation(show.drive, show.bpm_wanted, lag_seconds=2.5) >= 0.97


def test_the_mix_is_as_intense_as_the_crowd_drives_it(
    demo: tuple[Path, DemoResult, Show],
) -> None:
    """Loudness, gains, and audible stems with loudness; times in which a break holds left out."""
    show = demo[2]
    free = np.array([not state.startswith("hold") for state in show.state])
    gains = np.nansum(show.gains, axis=1)  # of both decks, shape (lines, stems)
    heard = gains.sum(axis=1)
    stems = (gains > 0.05).sum(axis=1)
    assert rank_correlation(show.drive, show.lufs, lag_seconds=2, where=free) >= 0.85
    assert rank_correlation(show.drive, heard, lag_seconds=2, where=free) >= 0.8
    both = standard(stems) + standard(show.lufs)
    assert rank_correlation(show.drive, both, lag_seconds=2, where=free) >= 0.8


def standard(values: NDArray[Any]) -> NDArray[np.float64]:
    """In units of its own deviation, so that two quantities weigh the same."""
    result: NDArray[np.float64] = (values - np.nanmean(values)) / np.nanstd(values)
    return result


def test_the_night_has_its_transitions_and_its_drop(demo: tuple[Path, DemoResult, Show]) -> None:
    """At least three from track to track, and a drop while the crowd's own chapter of it lasts."""
    _, result, show = demo
    assert result.transitions >= 3
    drops = [float(str(event["t"])) for event in show.events if event["event"] == "drop"]
    assert any(100.0 <= at <= 132.0 for at in drops)
    assert result.answer_seconds is not None
    assert result.answer_seconds < 5.0


def test_the_music_is_never_silent_and_never_clips(demo: tuple[Path, DemoResult, Show]) -> None:
    """No 50 ms below -60 dBFS outside the first and last moments; no peak above the ceiling."""
    out, result, _ = demo
    sound, rate = soundfile.read(out / "mix.wav", dtype="float32")
    assert len(sound) == 180 * rate
    assert result.true_peak_db <= -1.0
    quiet = np.abs(sound[rate // 2 : -2 * rate]).max(axis=1) < 1e-3
    edges = np.flatnonzero(np.diff(np.r_[0, quiet.astype(np.int8), 0]))
    longest = (edges[1::2] - edges[::2]).max(initial=0)
    assert longest / rate < 0.05


def test_no_sample_jumps_more_than_the_tracks_do(
    demo: tuple[Path, DemoResult, Show], warm_cache: Path
) -> None:
    """The largest second difference of the mix is one that the music has of itself."""
    out, _, _ = demo
    sound, _ = soundfile.read(out / "mix.wav", dtype="float32")
    own = 0.0
    for track in builtin_library(warm_cache / "music"):
        stems = [soundfile.read(track.folder / name)[0] for name in track.files.values()]
        own = max(own, float(np.abs(np.diff(sum(stems), 2, axis=0)).max()))
    # Played up to 4 % faster a jump is so much larger in the square.
    assert float(np.abs(np.diff(sound, 2, axis=0)).max()) <= own * 1.04**2


def test_the_show_is_all_there(demo: tuple[Path, DemoResult, Show]) -> None:
    """Four files, and no half ones beside them."""
    out, _, show = demo
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        "mix.wav",
        "show.jsonl",
        "report.html",
        "report.png",
    }
    assert show.meta["seed"] == 1
    assert len(show.joints) == len(show.times)


def test_the_same_seed_is_the_same_show_bit_for_bit(tmp_path: Path, warm_cache: Path) -> None:
    """And another seed is another."""
    for name, seed in (("one", 3), ("other", 3), ("another", 4)):
        a_demo(tmp_path / name, warm_cache, seconds=20.0, seed=seed)
    files = ("mix.wav", "show.jsonl")
    one, other, another = (
        [(tmp_path / name / file).read_bytes() for file in files]
        for name in ("one", "other", "another")
    )
    assert one == other
    assert one[1] != another[1]
