"""Facts about `wav_file`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.packets import Mix, Packet, Playing
from crowdstream.testing import a_context, run_stage
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks
from stages.wav_file import WavFile, WavFileConfig

RATE = 44100
QUICK = {"slope_up": 1.0, "slope_down": 1.0, "bars_per_track": 16, "fade_in_seconds": 0.0}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short tracks of clicks."""
    folder = tmp_path_factory.mktemp("library")
    write_clicks(
        folder,
        [a_track("left", bpm=116.0, form=SHORT_FORM), a_track("right", bpm=122.0, form=SHORT_FORM)],
    )
    return folder


def wishes(seconds: float, every: float = 0.0667) -> list[Mix]:
    """From a floor that slowly wakes up."""
    return [
        Mix(
            seq=k, captured_at=k * every, at=k * every + 0.1, drive=min(1.0, k / 400),
            confidence=1.0, bpm=114.0 + k / 60, gains=(1.0, 1.0, 0.0, 1.0),
        )
        for k in range(int(seconds / every) + 1)
    ]  # fmt: skip


async def rendered(
    path: Path, library: Path, packets: Sequence[Packet], **settings: Any
) -> list[Playing]:
    """What the stage said while it wrote `path`."""
    config = WavFileConfig(path=path, library=library, **{"rules": QUICK, **settings})
    stage = WavFile(config, a_context("wav_file", folder=path.parent))
    return [packet for packet in await run_stage(stage, packets) if isinstance(packet, Playing)]


async def test_the_same_wishes_make_the_same_bytes(tmp_path: Path, library: Path) -> None:
    """The whole file, header and all."""
    for name in ("one.wav", "other.wav"):
        await rendered(tmp_path / name, library, wishes(20.0), seconds=20.0)
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "other.wav").read_bytes()


async def test_the_file_is_as_long_as_asked_to_the_sample(tmp_path: Path, library: Path) -> None:
    """Also when the wishes end before or after."""
    lengths = []
    for wished in (2.0, 9.0):
        await rendered(tmp_path / "mix.wav", library, wishes(wished), seconds=5.03)
        lengths.append(soundfile.info(tmp_path / "mix.wav").frames)
    assert lengths == [round(5.03 * RATE)] * 2


async def test_without_a_length_it_ends_with_the_wishes_and_a_fade(
    tmp_path: Path, library: Path
) -> None:
    """Two seconds after the last wish has taken effect, in silence."""
    await rendered(tmp_path / "mix.wav", library, wishes(6.0))
    sound, _ = soundfile.read(tmp_path / "mix.wav")
    last = wishes(6.0)[-1].at
    assert len(sound) / RATE == pytest.approx(last + 2.0, abs=0.01)
    assert np.abs(sound[-400:]).max() < 0.01 * np.abs(sound).max()
    assert np.abs(sound[: 3 * RATE]).max() > 0.1


async def test_what_is_heard_is_told_ten_times_a_second(tmp_path: Path, library: Path) -> None:
    """Each at the moment of its sample, in order, counted."""
    told = await rendered(tmp_path / "mix.wav", library, wishes(5.0), seconds=8.0)
    assert [playing.seq for playing in told] == list(range(len(told)))
    assert [round(playing.captured_at * 10) for playing in told] == list(range(80))
    assert all(playing.captured_at == playing.sample / RATE for playing in told)


async def test_what_is_told_for_a_moment_is_of_that_moment(tmp_path: Path, library: Path) -> None:
    """At most a quantum before each tenth of a second: a line of the show reads it then."""
    told = await rendered(tmp_path / "mix.wav", library, wishes(3.0), seconds=3.0)
    early = [k / 10 - playing.captured_at for k, playing in enumerate(told)]
    assert len(early) == 30
    assert all(-1e-9 <= seconds < 256 / RATE for seconds in early)


async def test_what_is_told_is_never_older_than_what_was_promised(
    tmp_path: Path, library: Path
) -> None:
    """A Playing is never behind the wish that was just taken: a merge downstream stays in order."""
    packets = wishes(5.0, every=0.2)
    told = await rendered(tmp_path / "mix.wav", library, packets, seconds=5.0)
    times = [playing.captured_at for playing in told]
    assert all(later > earlier for earlier, later in pairwise(times))


async def test_a_wish_takes_effect_at_its_moment(tmp_path: Path, library: Path) -> None:
    """Not when it was sent, and not earlier because the machine is fast."""
    packets = wishes(4.0)
    told = await rendered(tmp_path / "mix.wav", library, packets, seconds=4.0)
    for playing in told[5:-5]:
        due = [mix.bpm for mix in packets if mix.at * RATE <= playing.sample - 256 + 1e-3]
        assert playing.bpm_wanted == due[-1]


async def test_the_sound_is_what_the_journal_says(tmp_path: Path, library: Path) -> None:
    """Every click within a millisecond of its beat; transitions with begin and end."""
    await rendered(
        tmp_path / "mix.wav", library, wishes(60.0), seconds=60.0, journal=True,
        rules={**QUICK, "style": "stem swap", "stretch": "varispeed"},
    )  # fmt: skip
    told = json.loads((tmp_path / "mix.json").read_text())
    sound, rate = soundfile.read(tmp_path / "mix.wav")
    assert (told["rate"], told["frames"]) == (rate, len(sound))
    beats = np.array([beat[1] for deck in told["decks"] for beat in deck["beats"]])
    assert len(beats) > 100
    edge = np.abs(np.diff(sound[:, 0], 2))
    strong = []
    for at in beats[(beats > 500) & (beats < len(sound) - 3 * RATE)]:
        around = edge[int(at) - 200 : int(at) + 200]
        if around.max() > 2e-4:
            strong.append(
                abs((np.arange(400) * around**2).sum() / (around**2).sum() + int(at) - 199 - at)
            )
    assert len(strong) > 80
    assert np.percentile(strong, 95) / rate < 0.001
    first = told["transitions"][0]
    assert (first["from"], first["to"], first["style"], first["beats"]) == (
        "left",
        "right",
        "stem swap",
        32,
    )
    assert first["end_sample"] - first["start_sample"] == pytest.approx(
        32 * 60 / 119 * rate, rel=0.03
    )


async def test_a_run_that_breaks_leaves_no_file(tmp_path: Path, library: Path) -> None:
    """Neither under its name nor under another."""
    (tmp_path / "mix.wav").write_text("the one from before")
    config = WavFileConfig(path=tmp_path / "mix.wav", library=library)
    stage = WavFile(config, a_context("wav_file", folder=tmp_path))
    await stage.open()
    assert len(list(tmp_path.iterdir())) == 2
    await stage.close()
    assert [path.name for path in tmp_path.iterdir()] == ["mix.wav"]
    assert (tmp_path / "mix.wav").read_text() == "the one from before"


async def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path, library: Path) -> None:
    """In one sentence, before anything is played."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CrowdstreamError, match=r"mix\.wav: cannot be written"):
        await rendered(tmp_path / "file" / "mix.wav", library, wishes(1.0))


async def test_an_empty_library_is_said_at_once(tmp_path: Path) -> None:
    """With its folder."""
    (tmp_path / "none").mkdir()
    with pytest.raises(MediaError, match="none: holds no track"):
        await rendered(tmp_path / "mix.wav", tmp_path / "none", wishes(1.0))


async def test_a_track_that_cannot_be_decoded_costs_only_itself(tmp_path: Path) -> None:
    """The other one plays, and the log says why."""
    folder = tmp_path / "library"
    write_clicks(
        folder,
        [a_track("bad", bpm=112.0, form=SHORT_FORM), a_track("good", bpm=117.0, form=SHORT_FORM)],
    )
    (folder / "bad" / "bass.wav").write_text("this is no sound")
    context = a_context("wav_file", folder=tmp_path)
    config = WavFileConfig.model_validate(
        {"path": tmp_path / "mix.wav", "library": folder, "seconds": 12.0, "rules": QUICK}
    )
    out = await run_stage(WavFile(config, context), wishes(12.0))
    last = out[-1]
    assert isinstance(last, Playing)
    assert last.track == "Good"
    assert [event for _, event, _ in context.log.said] == ["track_refused"]
