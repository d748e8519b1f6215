"""Facts about `crowdstream render`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.cli import main
from crowdstream.errors import MediaError
from crowdstream.offline.render import read_curve
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks

Render = Callable[..., tuple[int, str, str]]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two short tracks of clicks."""
    folder = tmp_path / "library"
    write_clicks(
        folder,
        [a_track("left", bpm=116.0, form=SHORT_FORM), a_track("right", bpm=120.0, form=SHORT_FORM)],
    )
    return folder


@pytest.fixture
def render(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Render:
    """Call the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROWDSTREAM_STATE", str(tmp_path / "state"))

    def call(*argv: str | Path) -> tuple[int, str, str]:
        try:
            code = main(["render", *(str(word) for word in argv)])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def curve(text: str, name: str = "night.csv") -> Path:
    Path(name).write_text(text)
    return Path(name)


def test_a_curve_becomes_a_mix_and_its_journal(render: Render, library: Path) -> None:
    """As long as asked; the journal names the tracks, and every beat at its sample."""
    drawn = curve("seconds,energy\n0,0.2\n10,0.9\n")
    code, out, err = render(
        "--energy", drawn, "--out", "mix.wav", "--library", library, "--seconds", "12", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert json.loads(Path("mix.json").read_text()) == told
    sound, rate = soundfile.read("mix.wav")
    assert (len(sound), told["frames"], told["rate"]) == (12 * rate, 12 * rate, rate)
    assert {deck["track"] for deck in told["decks"]} <= {"left", "right"}
    assert np.abs(sound[: 8 * rate]).max() > 0.1
    assert "mix.wav" not in err


@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_block_does_not_change_the_mix(render: Render, library: Path, rate: int) -> None:
    """Nor its journal, at either rate."""
    drawn = curve("0,0.3\n5,0.8\n")
    # How it is stretched does not matter here; as a record it takes less time.
    Path("quick.toml").write_text('[stages.wav_file.rules]\nstretch = "varispeed"\n')
    made = []
    for block in (128, 256, 1000, 65536):
        code, _, _ = render(
            "--energy", drawn, "--out", "mix.wav", "--library", library, "--seconds", "4.5",
            "--config", "quick.toml", "--block", str(block), "--rate", str(rate),
        )  # fmt: skip
        assert code == 0
        made.append((Path("mix.wav").read_bytes(), Path("mix.json").read_bytes()))
    assert soundfile.info("mix.wav").frames == round(4.5 * rate)
    assert len(set(made)) == 1


def test_more_energy_is_louder(render: Render, library: Path) -> None:
    """The curve is what the floor does."""
    levels = []
    for energy in (0.0, 1.0):
        drawn = curve(f"0,{energy}\n20,{energy}\n")
        render("--energy", drawn, "--out", "mix.wav", "--library", library)
        sound, rate = soundfile.read("mix.wav")
        levels.append(float(np.sqrt(np.mean(sound[5 * rate : 17 * rate] ** 2))))
    assert levels[1] > 1.1 * levels[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no point"),
        ("seconds,energy\n", "holds no point"),
        ("0,0.5\n1;0.6\n", "line 2: '1;0.6' is no point"),
        ("0,0.5\n1,1.6\n", "line 2: energy is 1.6; it must be 0 to 1"),
        ("0,0.5\n1,nan\n", "line 2: '1,nan' is no point"),
        ("-1,0.5\n", "line 1: seconds are -1"),
        ("0,0.5\n5,0.6\n5,0.7\n", "line 3: seconds are 5 after 5; they must rise"),
    ],
)
def test_what_is_no_curve_is_one_sentence(render: Render, text: str, said: str) -> None:
    """The file, the line, what is wrong, what would be right; nothing is written."""
    code, _, err = render("--energy", curve(text), "--out", "mix.wav")
    assert code == 1
    assert said in err and err.startswith("crowdstream render: night.csv")
    assert len(err.splitlines()) == 1
    assert not Path("mix.wav").exists()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--out", "mix.mp3"), 2, "ends in .wav"),
        (("--out", "mix.wav", "--seconds", "0"), 2, "not between 1 and 86400"),
        (("--out", "mix.wav", "--block", "1"), 2, "--block: 1 is not between"),
        (("--out", "mix.wav", "--seed", "-1"), 2, "--seed: -1"),
        (("--out", "mix.wav", "--library", "nowhere"), 2, "nowhere is not a folder"),
        (("--out", "mix.wav"), 2, "say how long the mix shall be"),
        (("--out", "mix.wav", "--seconds", "5", "--library", "."), 1, "holds no track"),
    ],
)
def test_wrong_options_are_one_sentence(
    render: Render, more: tuple[str, ...], code: int, said: str
) -> None:
    """With the right exit code."""
    got, _, err = render("--energy", curve("0,0.5\n"), *more)
    assert (got, len(err.splitlines())) == (code, 1)
    assert said in err


@given(
    st.lists(st.tuples(st.floats(0, 86_400), st.floats(0, 1)), min_size=1, max_size=40,
             unique_by=lambda point: point[0]),
    st.booleans(),
)  # fmt: skip
def test_any_curve_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[float, float]], heading: bool
) -> None:
    """With or without a heading, comments and empty lines."""
    points.sort()
    path = tmp_path_factory.mktemp("curve") / "c.csv"
    lines = [f"{seconds!r}, {energy!r}" for seconds, energy in points]
    path.write_text("\n".join((["seconds,energy"] if heading else []) + ["# drawn", "", *lines]))
    assert read_curve(path) == tuple(points)


def test_a_curve_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(MediaError, match="none.csv: cannot be read"):
        read_curve(tmp_path / "none.csv")
