"""The library: what is written is read again, and what is wrong is said in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.errors import ConfigError, CrowdstreamError, MediaError
from crowdstream.music.library import (
    SECTION_NAMES,
    Cue,
    Section,
    Source,
    Track,
    load_stems,
    read_library,
    read_track,
    write_track,
)
from crowdstream.packets import STEMS

RATE = 8000


def a_track(folder: Path, **said: object) -> Track:
    """Four bars at 120 BPM, without files."""
    track = Track(
        id=folder.name,
        title="Four Bars",
        artist="nobody",
        bpm=120.0,
        key="8A",
        bars=4,
        first_beat_seconds=0.0,
        seconds=8.0,
        rate=RATE,
        loudness_lufs=-14.0,
        sections=(Section("intro", 0, 2), Section("drop", 2, 2)),
        stops=((7.0, 1.0),),
        folder=folder,
        files={stem: f"{stem}.wav" for stem in STEMS},
    )
    return replace(track, **said)  # type: ignore[arg-type]


def on_disk(track: Track, samples: int = 8 * RATE) -> Track:
    """The track with its stems, each a constant that tells which it is."""
    write_track(track)
    for number, name in enumerate(track.files.values(), 1):
        soundfile.write(track.folder / name, np.full((samples, 2), number, np.int16), track.rate)
    return track


def change(track: Track, old: str, new: str) -> None:
    """Edit track.toml as a person would."""
    path = track.folder / "track.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """A track survives its file unchanged."""
    track = on_disk(a_track(tmp_path / "four"))
    assert read_track(track.folder) == track


@given(
    title=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    bpm=st.floats(40.0, 260.0),
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=8),
    names=st.lists(st.sampled_from(SECTION_NAMES), min_size=8, max_size=8),
    first=st.floats(0.0, 600.0),
    loudness=st.floats(-70.0, 0.0),
)
def test_any_track_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    title: str,
    bpm: float,
    lengths: list[int],
    names: list[str],
    first: float,
    loudness: float,
) -> None:
    """Titles with quotes, controls and any script; every tempo, to the last digit; written over
    another, so that both ways of writing are tried."""
    folder = tmp_path_factory.mktemp("track")
    write_track(a_track(folder))
    sections: list[Section] = []
    for name, bars in zip(names, lengths, strict=False):
        sections.append(Section(name, sum(s.bars for s in sections), bars))
    bars = sum(lengths)
    track = a_track(
        folder,
        title=title,
        bpm=bpm,
        bars=bars,
        sections=tuple(sections),
        first_beat_seconds=first,
        loudness_lufs=loudness,
        seconds=min(7200.0, first + bars * 240.0 / bpm + 1.0),
        stops=(),
    )
    write_track(track)
    for name in track.files.values():
        (folder / name).touch()
    assert read_track(folder) == track


def test_beats_lie_on_a_straight_line(tmp_path: Path) -> None:
    """A beat at 120 BPM is half a second, counted from the first downbeat."""
    track = a_track(tmp_path, first_beat_seconds=0.25)
    assert [track.beat_sample(b) for b in (0, 1, 2.5)] == [2000.0, 6000.0, 12000.0]


def test_every_bar_has_a_section(tmp_path: Path) -> None:
    """Before the track the first is meant, after it the last."""
    track = a_track(tmp_path)
    assert [track.section_at(bar).name for bar in (-1, 0, 1.99, 2, 99)] == [
        "intro", "intro", "intro", "drop", "drop",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("bpm = 120.0", "bpm = nan", "bpm is nan; it must be 40 to 260"),
        ("bpm = 120.0", 'bpm = "fast"', "bpm is 'fast'; it must be a number"),
        ("bars = 4", "bars = 4.5", "bars is 4.5; it must be a whole number"),
        ('key = "8A"', 'key = "13A"', "key is '13A'; it must be Camelot, 1A to 12B"),
        ('name = "drop"', 'name = "chorus"', "'chorus'; it must be one of intro, groove"),
        ("bar = 2,", "bar = 3,", "it must begin at bar 2, where the one before ends"),
        ("bars = 2 },\n]", "bars = 1 },\n]", "the sections end at bar 3; the track has 4"),
        ("beat = 7.0", "beat = 70.0", "a stop at beat 70.0 for 1.0 beats is not in it"),
        ('drums = "drums.wav"', 'drums = "../drums.wav"', "it must lie in the folder"),
        ('bass = "bass.wav"\n', "", "files must name the four stems"),
        ("seconds = 8.0", "seconds = 5.0", "4 bars at 120 BPM end at 8.0 s"),
        ("artist", "artits", "artits is not known"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    """The sentence names the file, what is wrong and what would be right."""
    track = on_disk(a_track(tmp_path / "four"))
    change(track, old, new)

    with pytest.raises(ConfigError) as wrong:
        read_track(track.folder)

    assert says in str(wrong.value)
    assert str(track.folder / "track.toml") in str(wrong.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Nobody wants to mend a file one run at a time."""
    track = on_disk(a_track(tmp_path / "four"))
    change(track, "bpm = 120.0", "bpm = 0")
    change(track, 'key = "8A"', 'key = "A minor"')
    with pytest.raises(ConfigError) as wrong:
        read_track(track.folder)
    assert len(wrong.value.mistakes) == 2


def test_a_missing_stem_is_a_matter_of_the_media(tmp_path: Path) -> None:
    """It is found when the library is read, not when the track should sound."""
    track = on_disk(a_track(tmp_path / "four"))
    (track.folder / "vocals.wav").unlink()
    with pytest.raises(MediaError, match=r"vocals\.wav: this stem of 'Four Bars' is missing"):
        read_track(track.folder)


def test_a_broken_track_does_not_hide_the_others(tmp_path: Path) -> None:
    """The library gives what can be played, and a sentence for what cannot."""
    good = on_disk(a_track(tmp_path / "b-good"))
    also = on_disk(a_track(tmp_path / "a-good"))
    broken = on_disk(a_track(tmp_path / "broken"))
    (broken.folder / "track.toml").write_text("bpm = ", encoding="utf-8")
    (tmp_path / "no-track").mkdir()

    tracks, complaints = read_library(tmp_path)

    assert tracks == (also, good)
    assert len(complaints) == 1
    assert "cannot be read as TOML" in complaints[0]


def test_an_id_belongs_to_one_track(tmp_path: Path) -> None:
    """Two tracks of one id could not be told apart in a set list."""
    on_disk(a_track(tmp_path / "one", id="same"))
    on_disk(a_track(tmp_path / "two", id="same"))
    tracks, complaints = read_library(tmp_path)
    assert [track.folder.name for track in tracks] == ["one"]
    assert "'same' is already that of" in complaints[0]


def test_a_library_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """A venue without own music has no mistake to mend."""
    assert read_library(tmp_path / "nothing") == ((), ())


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes no track away, and leaves nothing half written."""
    track = on_disk(a_track(tmp_path / "four"))

    def full(*_: object) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_track(replace(track, title="Other"))

    assert read_track(track.folder).title == "Four Bars"
    assert len(list(track.folder.iterdir())) == 5


def test_stems_come_in_the_order_of_the_packets(tmp_path: Path) -> None:
    """Drums, bass, vocals, other, as 16-bit stereo, bit for bit."""
    track = on_disk(a_track(tmp_path / "four"))
    stems = load_stems(track, RATE)
    assert stems.shape == (4, 8 * RATE, 2)
    assert stems.dtype == np.int16
    assert [np.unique(stem).tolist() for stem in stems] == [[1], [2], [3], [4]]


def test_mono_and_short_stems_are_filled(tmp_path: Path) -> None:
    """Both ears get a mono stem; a short one ends in silence."""
    track = on_disk(a_track(tmp_path / "four"))
    soundfile.write(track.folder / "bass.wav", np.full(100, 9, np.int16), RATE)
    bass = load_stems(track, RATE)[1]
    assert bass[:100].tolist() == [[9, 9]] * 100
    assert not bass[100:].any()


def _tone(rate: int) -> NDArray[np.float64]:
    return np.asarray(0.5 * np.sin(2 * np.pi * 440.0 * np.arange(8 * rate) / rate))


def test_another_rate_keeps_pitch_and_place(tmp_path: Path) -> None:
    """A tone resampled is the tone at that rate."""
    track = on_disk(a_track(tmp_path / "four"))
    soundfile.write(track.folder / "other.wav", np.stack([_tone(RATE)] * 2, axis=1), RATE)
    other = load_stems(track, 44100)[3] / 32768.0
    assert other.shape == (8 * 44100, 2)
    middle = slice(1000, -1000)
    assert np.abs(other[middle, 0] - _tone(44100)[middle]).max() < 1e-3


def test_a_stem_at_another_rate_than_it_says_is_refused(tmp_path: Path) -> None:
    """It would play at the wrong speed."""
    track = on_disk(a_track(tmp_path / "four"))
    soundfile.write(track.folder / "other.wav", np.zeros((100, 2), np.int16), 16000)
    with pytest.raises(MediaError, match=r"is at 16000 Hz; its track\.toml says 8000 Hz"):
        load_stems(track, RATE)


@pytest.mark.parametrize("content", [b"", b"hello, this is a text"])
def test_a_text_named_wav_is_refused(tmp_path: Path, content: bytes) -> None:
    """One sentence with the file's name."""
    track = on_disk(a_track(tmp_path / "four"))
    (track.folder / "drums.wav").write_bytes(content)
    with pytest.raises(CrowdstreamError, match=r"drums\.wav: is not a sound file"):
        load_stems(track, RATE)


def test_a_track_that_plays_whole_stands_where_the_drums_do(tmp_path: Path) -> None:
    """No arrangement ever takes the drums away for good."""
    track = a_track(tmp_path / "whole", files={"mix": "mix.wav"})
    on_disk(track)
    assert read_track(track.folder).whole
    stems = load_stems(track, RATE)
    assert [np.unique(stem).tolist() for stem in stems] == [[1], [0], [0], [0]]


def test_a_stem_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    """A track is its folder; what it leads to may be anything."""
    track = on_disk(a_track(tmp_path / "four"))
    (track.folder / "bass.wav").rename(tmp_path / "bass.wav")
    (track.folder / "bass.wav").symlink_to(tmp_path / "bass.wav")
    with pytest.raises(MediaError, match=r"bass\.wav: is a link that leads out"):
        read_track(track.folder)


def test_a_track_that_is_being_made_is_not_in_the_library(tmp_path: Path) -> None:
    """Its folder is hidden until it is whole."""
    on_disk(a_track(tmp_path / ".making-x"))
    assert read_library(tmp_path) == ((), ())


def test_what_differs_from_what_was_measured_was_edited(tmp_path: Path) -> None:
    """So a person needs no other sign to keep a change."""
    measured = {"bpm": 120.0, "key": "8A", "sections": "intro 2, drop 2", "confidence": 0.3}
    track = on_disk(a_track(tmp_path / "four", measured=measured))
    assert (read_track(track.folder).edited, track.confidence) == ((), 0.3)
    change(track, 'bpm = 120.0\nkey = "8A" ', 'bpm = 121.0\nkey = "8A" ')
    change(track, 'name = "intro"', 'name = "groove"')
    read = read_track(track.folder)
    assert (read.edited, read.confidence) == (("bpm", "sections"), 1.0)


def test_the_file_reads_as_it_always_has(tmp_path: Path) -> None:
    """People edit it and other programs read it: a change here is a change of the format."""
    track = a_track(
        tmp_path / "four",
        cues=(Cue("Drop", 4.0),),
        measured={"bpm": 119.5, "title": "Four Bars", "confidence": 0.9},
        source=Source("Four Bars.wav", "a" * 64, "b" * 64),
    )
    assert on_disk(track) == read_track(track.folder)
    golden = Path(__file__).with_name("track.toml")
    assert (track.folder / "track.toml").read_text(encoding="utf-8") == golden.read_text(
        encoding="utf-8"
    )


def test_what_a_person_wrote_around_the_values_stays(tmp_path: Path) -> None:
    track = on_disk(a_track(tmp_path))
    path = tmp_path / "track.toml"
    text = "# mine\n" + path.read_text(encoding="utf-8").replace("bpm = ", "bpm   =   ")
    path.write_text(text.replace("[files]", "[files]  # do not rename"), encoding="utf-8")

    write_track(replace(track, energy=0.5, title="Other"))

    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# mine"
    assert "[files]  # do not rename" in lines
    assert f"bpm   =   {track.bpm!r}" in lines
    assert lines[lines.index("energy = 0.5") - 1].startswith("loudness_lufs")
    assert read_track(tmp_path) == replace(track, energy=0.5, title="Other")


@pytest.mark.parametrize(
    "old", ["", "x = [", "id = 3\n[[files]]\n", "[source]\n", "bpm.x = 1\n", "\xff"]
)
def test_a_file_that_cannot_be_changed_is_written_anew(tmp_path: Path, old: str) -> None:
    track = on_disk(a_track(tmp_path))
    (tmp_path / "track.toml").write_text(old, encoding="latin-1")
    write_track(track)
    assert read_track(tmp_path) == track
