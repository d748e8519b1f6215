"""`crowdstream separate`: stems that are whole and right, or not there at all, and only once."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from crowdstream.cli import main
from crowdstream.errors import ConfigError, CrowdstreamError
from crowdstream.music.separated import Separated, as_toml, read_separated
from crowdstream.offline.separate import Fast, Separation, separate, separate_beside
from crowdstream.packets import STEMS

RATE = 8000


def a_song(path: Path, seconds: float = 7.3, channels: int = 2, seed: int = 0) -> Path:
    """A tone and some noise; longer than one window of `fast`."""
    count = round(seconds * RATE)
    noise = np.random.default_rng(seed).normal(0.0, 0.1, (count, channels))
    tone = 0.3 * np.sin(2 * np.pi * 110.0 * np.arange(count) / RATE)
    soundfile.write(path, noise + tone[:, np.newaxis], RATE)
    return path


def stems_in(folder: Path) -> NDArray[np.int16]:
    return np.stack(
        [
            soundfile.read(folder / f"{stem}.flac", dtype="int16", always_2d=True)[0]
            for stem in STEMS
        ]
    )


def fast(audio: Path, out: Path, name: str | None = None) -> Separation:
    return separate(audio, out, Fast(2), name=name)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 7.3])
def test_stems_are_as_long_as_the_audio_and_add_up_to_it(
    tmp_path: Path, out: Path, channels: int, seconds: float
) -> None:
    audio = a_song(tmp_path / "song.wav", seconds, channels)
    made = fast(audio, out)
    assert made.made and made.folder == out / "song"
    assert made.error_db is None
    stems = stems_in(made.folder)
    mix = soundfile.read(audio, dtype="int16", always_2d=True)[0]
    assert stems.shape == (4, *mix.shape)
    assert (stems.sum(axis=0, dtype=np.int64) == mix).all()
    assert soundfile.info(made.folder / "drums.flac").samplerate == RATE
    assert read_separated(made.folder) == made.separated
    assert made.separated.quality == "fast"


def test_a_window_of_another_length_makes_the_same_stems(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = a_song(tmp_path / "song.wav")
    first = stems_in(fast(audio, out, "one").folder)
    monkeypatch.setattr("crowdstream.offline.separate.FAST_SECONDS", 1.5)
    # Spectra are computed several at once, which rounds the last bit otherwise.
    apart = stems_in(fast(audio, out, "two").folder).astype(int) - first
    assert np.abs(apart).max() <= 1 and np.count_nonzero(apart) < 0.001 * apart.size


def test_a_second_time_nothing_is_done(tmp_path: Path, out: Path) -> None:
    audio = a_song(tmp_path / "song.wav")
    first = fast(audio, out)
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    again = fast(audio, out)
    assert not again.made
    assert (again.folder, again.separated) == (first.folder, first.separated)
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before


def test_a_file_that_has_changed_is_separated_anew_in_the_same_place(
    tmp_path: Path, out: Path
) -> None:
    audio = a_song(tmp_path / "song.wav", seed=0)
    before = fast(audio, out).separated.sha256
    a_song(audio, seed=1)
    again = fast(audio, out)
    assert again.made and again.folder == out / "song"
    assert again.separated.sha256 != before
    assert [path.name for path in out.iterdir()] == ["song"]


def test_stems_that_are_not_whole_are_made_anew(tmp_path: Path, out: Path) -> None:
    audio = a_song(tmp_path / "song.wav")
    (fast(audio, out).folder / "bass.flac").unlink()
    assert fast(audio, out).made
    assert (out / "song" / "bass.flac").exists()


def test_what_is_not_ours_is_left_alone(tmp_path: Path, out: Path) -> None:
    """A folder of that name, and another song of that name, which is found again too."""
    (out / "song").mkdir(parents=True)
    (out / "song" / "keep.txt").write_text("mine")
    other = tmp_path / "other"
    other.mkdir()
    places = [fast(a_song(tmp_path / "song.wav", seed=0), out).folder,
              fast(a_song(other / "song.wav", seed=1), out).folder]  # fmt: skip
    assert places == [out / "song-2", out / "song-3"]
    assert [path.name for path in (out / "song").iterdir()] == ["keep.txt"]
    assert not fast(other / "song.wav", out).made


def test_better_stems_are_not_replaced_by_worse(tmp_path: Path, out: Path) -> None:
    audio = a_song(tmp_path / "song.wav")
    made = fast(audio, out)
    better = Separated(
        audio=made.separated.audio, sha256=made.separated.sha256, quality="best", method="demucs",
        samples=made.separated.samples, rate=RATE, channels=2, bits=16,
    )  # fmt: skip
    (made.folder / "stems.toml").write_text(as_toml(better))
    again = fast(audio, out)
    assert (again.made, again.separated.quality) == (False, "best")


def test_ctrl_c_leaves_what_was_there_and_nothing_half(tmp_path: Path, out: Path) -> None:
    audio = a_song(tmp_path / "song.wav", seed=0)
    fast(audio, out)
    kept = stems_in(out / "song")
    a_song(audio, seed=1)

    def interrupt(done: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate(audio, out, Fast(1), progress=interrupt)
    assert [path.name for path in out.iterdir()] == ["song"]
    assert (stems_in(out / "song") == kept).all()


def test_stems_of_a_track_come_to_lie_beside_it(tmp_path: Path) -> None:
    audio = a_song(tmp_path / "mix.wav")
    made = separate_beside(audio, Fast(1))
    assert made.folder == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["mix.wav", "stems.toml", *(f"{stem}.flac" for stem in STEMS)]
    )
    mix = soundfile.read(audio, dtype="int16")[0]
    assert (stems_in(tmp_path).sum(axis=0, dtype=int) == mix).all()


def test_progress_comes_to_its_end(tmp_path: Path, out: Path) -> None:
    told: list[tuple[float, float]] = []
    separate(
        a_song(tmp_path / "song.wav"), out, Fast(1),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == (7.3, 7.3)


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write there"):
        fast(a_song(tmp_path / "song.wav"), tmp_path / "file" / "out")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, out: Path) -> None:
    audio = a_song(tmp_path / "song.wav", 20.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(CrowdstreamError, match="a disk that is full: make room"):
            fast(audio, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(out.iterdir()) == []


def command(*arguments: object) -> int:
    return main(["separate", *map(str, arguments)])


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights; config.toml names its folders."""
    monkeypatch.setenv("CROWDSTREAM_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("CROWDSTREAM_STEMS_PYTHON", raising=False)
    (tmp_path / "models").mkdir()
    config = tmp_path / "config.toml"
    config.write_text('models_folder = "models"\n')
    return config


def test_the_command_says_what_it_made(
    tmp_path: Path, out: Path, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = a_song(tmp_path / "song.wav")
    assert command(audio, "--out", out, "--config", alone) == 0
    said, aside = capsys.readouterr()
    assert said.startswith(f"song.wav: fast stems in {out / 'song'} (")
    assert "not to be heard alone" in said
    assert "quality fast, whose stems bleed, for the weights of htdemucs are not here" in aside
    assert command(audio, "--out", out, "--config", alone, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["made"], facts["quality"], facts["samples"]) == (False, "fast", 58_400)
    assert set(facts["stems"]) == set(STEMS)
    assert all(Path(path).is_file() for path in facts["stems"].values())


def test_one_bad_file_costs_only_itself(
    tmp_path: Path, out: Path, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    good = a_song(tmp_path / "good.wav", 1.0)
    code = command(tmp_path / "bad.wav", good, tmp_path / "none.wav", "--quality", "fast",
                   "--out", out, "--config", alone)  # fmt: skip
    said, aside = capsys.readouterr()
    assert code == 69
    assert said.startswith("good.wav: fast stems")
    assert [line.split(": ")[0] for line in aside.splitlines()] == ["crowdstream separate"] * 2
    assert [path.name for path in out.iterdir()] == ["good"]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--quality", "fast", "--model", "x.th"], 2, "fast needs no weights"),
        (["--quality", "best", "--model", "x.th"], 2, "--model is for high"),
        (["--quality", "high"], 69, "no 955717e8-8726e21a.th in .*models pull htdemucs"),
        (["--quality", "best"], 69, "crowdstream models pull htdemucs-ft"),
        (["--model", "x.onnx"], 78, "x.onnx is no model for stems"),
        (["--model", "other"], 69, "no weights are called other in .*models"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, out: Path, alone: Path, capsys: pytest.CaptureFixture[str],
    options: list[str], code: int, sentence: str,
) -> None:  # fmt: skip
    manifest = Path(__file__).parents[2] / "models" / "manifest.toml"
    shutil.copy(manifest, tmp_path / "models")
    assert command(a_song(tmp_path / "s.wav"), "--out", out, "--config", alone, *options) == code
    said, aside = capsys.readouterr()
    assert said == "" and aside.count("\n") == 1
    assert re.search(sentence, aside)
    assert not out.exists()


def test_a_number_of_jobs_that_cannot_be_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["separate", "x.wav", "--jobs", "0"])
    assert caught.value.code == 2
    assert "is not between 1 and 256" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_real_program_and_nothing_half_is_left(
    tmp_path: Path, out: Path, alone: Path, number: signal.Signals, code: int
) -> None:
    audio = a_song(tmp_path / "song.wav", 900.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "crowdstream", "separate", audio, "--quality", "fast", "--out", out,
         "--config", alone],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        while not any(out.glob("*/drums.flac")):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
        process.send_signal(number)
        assert process.wait(60) == code
    assert list(out.iterdir()) == []
