"""The page of a show as a file: self-contained, complete, and safe whatever a track is called."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from crowdstream.errors import MediaError
from crowdstream.offline import page
from crowdstream.offline.page import encode, write_page
from crowdstream.offline.show import read_show
from crowdstream.testing.shows import RATE, write_a_show, write_a_sound

SECONDS = 8.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short show with its sounds."""
    folder = tmp_path_factory.mktemp("page")
    write_a_show(folder / "show.jsonl", seconds=SECONDS, people=4)
    write_a_sound(folder / "mix.wav", seconds=SECONDS)
    write_a_sound(folder / "plain.wav", seconds=SECONDS, seed=2)
    return folder


def the_page(
    folder: Path, *, sound: bool = True, title: str = "A night", command: str = "made so"
) -> str:
    """The text of a page of the show in `folder`."""
    write_page(
        read_show(folder / "show.jsonl"), folder / "report.html",
        mix=folder / "mix.wav" if sound else None, plain=folder / "plain.wav" if sound else None,
        title=title, command=command, seed=1,
    )  # fmt: skip
    return (folder / "report.html").read_text("utf-8")


def data_of(text: str) -> dict[str, object]:
    """What the script of a page reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def test_page_names_no_other_place(folder: Path) -> None:
    """No address, no import, nothing that a browser would fetch; and a policy that forbids it."""
    text = the_page(folder, sound=False)
    assert re.findall(r"https?:|//[a-z]+\.|@import|\bfetch\(|XMLHttpRequest|url\(", text) == []
    assert set(re.findall(r'\b(?:src|href)="([^"]*)"', text)) == {"data:,"}
    assert "default-src 'none'" in text


def test_page_holds_everything_that_was_recorded(folder: Path) -> None:
    """Every line, curve, lane, chapter, decision and joint of the show is in its data."""
    show = read_show(folder / "show.jsonl")
    data = data_of(the_page(folder, sound=False))
    curves, joints = data["curves"], data["joints"]
    assert isinstance(curves, dict)
    assert isinstance(joints, dict)
    assert data["lines"] == len(show.times)
    assert {len(column) for column in curves.values()} == {len(show.times)}
    lanes = np.frombuffer(base64.b64decode(str(data["gains"])), np.uint8).reshape(show.gains.shape)
    assert np.abs(lanes / page.GAIN_STEPS - show.gains).max() < 0.003
    xy = np.frombuffer(base64.b64decode(joints["xy"]), "<i2") / joints["steps"]
    assert np.abs(xy - np.concatenate(show.joints).ravel()).max() < 0.001
    events, scenes = data["events"], data["scenes"]
    assert isinstance(events, list)
    assert isinstance(scenes, list)
    assert [event["why"] for event in events] == [event["why"] for event in show.events]
    assert [scene[2] for scene in scenes][:2] == ["empty room", "first dancers"]
    assert scenes[-1][1] == show.seconds


def test_sound_in_the_page_begins_where_the_wav_begins(folder: Path) -> None:
    """The MP3 is the mix, as long as it and not a sample late."""
    text = the_page(folder)
    found = re.search(r'id="sound-crowd">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    mp3, rate = soundfile.read(io.BytesIO(base64.b64decode(found[1])))
    wav, _ = soundfile.read(folder / "mix.wav")
    assert (rate, len(mp3)) == (RATE, len(wav))
    middle = slice(3 * RATE, 3 * RATE + 8192)
    around = mp3[3 * RATE - 4000 : 3 * RATE + 8192 + 4000, 0]
    assert int(np.correlate(around, wav[middle, 0]).argmax()) == 4000
    assert 'id="sound-plain"' in text


def test_sound_has_a_constant_rate_and_says_its_padding(folder: Path) -> None:
    """160 kbit/s with an Info frame: browsers find places by arithmetic and skip the delay."""
    sound = encode(folder / "mix.wav")
    assert sound is not None
    assert 8 * len(sound.mp3) / sound.seconds / 1000 == pytest.approx(160, abs=5)
    assert b"Info" in sound.mp3[:200]
    assert b"LAME" in sound.mp3[:400]


def test_page_tells_loudness_and_peak_of_the_sound(folder: Path) -> None:
    """A sine of half of full scale has a true peak of -6 dB, whatever samples it hits."""
    t = np.arange(2 * RATE) / RATE
    # A quarter of the rate, 45 degrees off: no sample comes nearer to the crest than 3 dB.
    soundfile.write(folder / "sine.wav", 0.5 * np.sin(2 * np.pi * t * RATE / 4 + np.pi / 4), RATE)
    sound = encode(folder / "sine.wav")
    assert sound is not None
    assert sound.true_peak_db == pytest.approx(-6.0, abs=0.2)
    facts = dict(data_of(the_page(folder))["facts"])  # type: ignore[call-overload]
    assert re.fullmatch(r"-\d+\.\d LUFS", facts["loudness"])
    assert re.fullmatch(r"-\d+\.\d dBTP", facts["true peak"])
    assert (facts["made by"], facts["seed"]) == ("made so", "1")


def test_silence_has_no_loudness_and_no_peak(folder: Path) -> None:
    """What does not exist is not shown as minus infinity."""
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    sound = encode(folder / "silence.wav")
    assert sound is not None
    assert (sound.lufs, sound.true_peak_db) == (None, None)


def test_where_nothing_was_played_no_music_is_told_of(folder: Path, tmp_path: Path) -> None:
    """Of a clip that was analysed only what the crowd did is known."""
    (tmp_path / "show.jsonl").write_text(json.dumps({"t": 0, "energy": 0.5}) + "\n")
    assert "the music followed" not in the_page(tmp_path, sound=False)
    assert "the music followed" in the_page(folder, sound=False)


def test_no_name_can_break_out_of_the_page(folder: Path, tmp_path: Path) -> None:
    """A track or title that looks like markup stays text."""
    evil = '</script><script>alert("&")</script><!--'
    line = {"t": 0, "energy": 0, "track": evil, "gains": {"drums": 1}}
    (tmp_path / "show.jsonl").write_text(json.dumps(line) + "\n")
    text = the_page(tmp_path, sound=False, title=evil, command=evil)
    assert evil not in text
    assert text.count("</script>") == the_page(folder, sound=False).count("</script>")
    assert data_of(text)["tracks"] == [[[0.0, 0.0, evil]], []]


def test_a_long_night_is_thinned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page stays small: every second line, and no dancers that would jump."""
    monkeypatch.setattr(page, "MAX_PAGE_LINES", 40)
    data = data_of(the_page(folder, sound=False))
    assert (data["lines"], data["joints"]) == (40, None)


def test_sound_that_is_too_long_stays_beside_the_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page then says where the sound is, and has no switch."""
    monkeypatch.setattr(page, "MAX_SOUND_SECONDS", 1.0)
    data = data_of(the_page(folder))
    assert data["sounds"] == {}
    assert "beside this page" in dict(data["facts"])["sound"]  # type: ignore[call-overload]


def test_same_show_gives_the_same_bytes(folder: Path) -> None:
    """Nothing of the moment of writing is in the page."""
    assert the_page(folder) == the_page(folder)


def test_a_mix_that_is_no_sound_is_refused_in_one_sentence(folder: Path) -> None:
    """The sentence names the file."""
    (folder / "text.wav").write_text("no sound")
    with pytest.raises(MediaError, match=r"text\.wav: cannot be read as sound"):
        encode(folder / "text.wav")
    with pytest.raises(MediaError, match=r"none\.wav: cannot be read as sound"):
        encode(folder / "none.wav")


def test_page_says_what_to_do_without_scripts_and_on_paper(folder: Path) -> None:
    """One sentence each."""
    text = the_page(folder, sound=False)
    assert "<noscript>" in text
    assert "On paper" in text
