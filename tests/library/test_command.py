"""`crowdstream library`: what people give it, what it says, and what is there afterwards."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from crowdstream.cli import main
from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.library.keep import open_library
from crowdstream.library.stems import give_stems, whole_tracks
from crowdstream.music.library import read_library, read_track, write_track
from crowdstream.packets import STEMS
from crowdstream.testing.crates import (
    a_tune,
    write_a_mess,
    write_mp4,
    write_sound,
    write_stems,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Output(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


Run = Callable[..., Output]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `crowdstream library` in an empty folder, with a state of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROWDSTREAM_STATE", str(tmp_path / "state"))

    def call(*argv: str | Path) -> Output:
        try:
            code = main(["library", *(str(word) for word in argv)])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Output(code, out, err)

    return call


@pytest.fixture(scope="module")
def tune() -> np.ndarray[Any, np.dtype[np.float32]]:
    return a_tune()


@pytest.fixture(scope="module")
def made(tune: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two tracks, `tune` that plays whole and `groove` of stems; what they are of."""
    folder = tmp_path_factory.mktemp("made")
    write_sound(folder / "in/tune.wav", tune.sum(axis=0))
    write_stems(folder / "in/groove", 0.9 * tune)
    assert main(["library", "add", str(folder / "in"), "--library", str(folder / "library")]) == 0
    return folder


@pytest.fixture
def there(made: Path, run: Run) -> Path:
    """The user's library with the two tracks of `made` in it, and `in/`."""
    shutil.copytree(made / "in", "in")
    shutil.copytree(made / "library", LIBRARY)
    return LIBRARY


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


LIBRARY = Path("state/library")


# 200 files


@pytest.mark.timeout(600)
def test_a_mess_of_files_is_taken_or_refused_each_with_its_reason(run: Run) -> None:
    told = write_a_mess(Path("mess").absolute(), 200)
    assert len(told) >= 200

    code, out, _ = run("add", "mess", "--json")

    said = json.loads(out)
    became = {entry["path"]: "added" for entry in said["added"]}
    became |= {entry["path"]: "there" for entry in said["there"]}
    became |= {entry["path"]: entry["reason"] for entry in said["refused"]}
    wrong = {
        path: (what, became.get(path))
        for path, what in told.items()
        if what not in became.get(path, "nothing")
    }
    assert (code, wrong) == (1, {})
    assert set(became) == set(told)
    assert all(reason.strip() and "\n" not in reason for reason in became.values())
    assert run("check", "--deep").code == 0
    before = snapshot(LIBRARY)
    assert not [name for name in before if name.startswith(".")]

    again = run("add", "mess", "--json").json

    assert (again["added"], again["refused"]) == ([], said["refused"])
    assert len(again["there"]) == len(said["added"]) + len(said["there"])
    assert snapshot(LIBRARY) == before


# what is taken, and how it is said


def test_a_folder_of_stems_says_which_became_what(run: Run, tune: Any) -> None:
    names = ("01 Drums", "bassguitar", "clav", "horns")
    write_stems(Path("Anna Ko - Low Tide (Stems)"), tune[[0, 1, 3, 3]], names)
    write_sound(Path("Anna Ko - Low Tide (Stems)/full mix.wav"), tune.sum(axis=0))

    code, out, err = run("add", ".")

    assert code == 0
    assert err.splitlines()[0] == f"library: {LIBRARY.absolute()} (the user's own)"
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0].startswith("added     anna-ko-low-tide: 1")
    assert "(Anna Ko - Low Tide (Stems))" in lines[0]
    assert "full mix.wav is left out: it is the sum of others" in lines
    assert {"drums = 01 Drums", "bass = bassguitar", "other = clav + horns", "no vocals"} <= {
        *lines
    }
    assert lines[-2].startswith("1 added, 0 there already, 0 refused; ")
    track = read_track(LIBRARY / "anna-ko-low-tide")
    assert (track.title, track.artist) == ("Low Tide", "Anna Ko")
    stems = {
        name: soundfile.read(track.folder / file, dtype="int16")[0]
        for name, file in track.files.items()
    }
    assert np.corrcoef(stems["other"][:, 0], tune[3][:, 0])[0, 1] > 0.9999
    both = [
        np.abs(stems[name]).max() / np.abs(tune[n]).max()
        for name, n in (("drums", 0), ("other", 3))
    ]
    assert both[1] / both[0] == pytest.approx(2.0, abs=0.01)
    assert not stems["vocals"].any()


def test_a_stem_file_becomes_the_stems_that_it_names(run: Run, tune: Any) -> None:
    streams = [tune.sum(axis=0), tune[3], tune[0], 0.5 * tune[1], 0.5 * tune[1]]
    said = json.dumps({"stems": [{"name": n} for n in ("Synth", "Drums", "Bass", "Sub")]})
    write_mp4(Path("a.stem.mp4"), streams, stem=said.encode())
    entry = run("add", "a.stem.mp4", "--json").json["added"][0]
    assert entry["notes"] == ["Synth is other", "Sub is bass", "no vocals"]
    track = read_track(Path(entry["folder"]))
    bass, _ = soundfile.read(track.folder / "bass.flac", dtype="float32")
    middle = slice(len(bass) // 4, len(bass) // 2)
    assert np.corrcoef(bass[middle, 0], tune[1][middle, 0])[0, 1] > 0.99


def test_tags_count_more_than_names(run: Run, tune: Any) -> None:
    from mutagen.flac import FLAC

    path = write_sound(Path("07 - somebody - something.flac"), tune.sum(axis=0))
    tags = FLAC(path)
    tags["title"], tags["artist"], tags["bpm"], tags["initialkey"] = "Tide", "Anna", "240", "Am"
    tags.save()
    entry = run("add", path, "--json").json["added"][0]
    assert (entry["id"], entry["key"], entry["stems"]) == ("anna-tide", "8A", [])
    assert entry["bpm"] == pytest.approx(120.0, abs=0.1)
    assert "twice of what is clearly heard; " in entry["notes"][0]


@pytest.mark.assets
def test_a_real_stem_file_is_taken_when_its_shortness_is_wanted(run: Run, assets: Path) -> None:
    path = assets / "stems/falcon69/falcon69.stem.mp4"
    refused = run("add", path)
    assert (refused.code, "a track has at least 8" in refused.out) == (1, True)
    entry = run("add", path, "--short", "--json").json["added"][0]
    assert (entry["title"], entry["notes"][0]) == ("falcon69", "Vox is vocals")
    bass = Path(entry["folder"]) / "bass.flac"
    assert soundfile.info(bass).frames == 268288


# safe to stop, and to run again


FILES = 10  # so many that the last is not done before the signal comes


def test_interrupted_it_leaves_nothing_half_made_and_goes_on_there(
    tmp_path: Path, run: Run, tune: Any
) -> None:
    for number in range(FILES):
        write_sound(Path(f"in/{number}.wav"), (0.5 + 0.02 * number) * tune.sum(axis=0))
    command = [sys.executable, "-m", "crowdstream", "library", "add", "in", "--jobs", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        code = process.returncode
    assert first.startswith("added     0: ")
    assert code == 130
    assert err.splitlines()[-1].startswith("interrupted: ")
    done = 1 + out.count("added")
    tracks, complaints = read_library(LIBRARY)
    assert (len(tracks), complaints) == (done, ())
    assert not list(LIBRARY.glob(".making-*"))

    said = run("add", "in", "--json").json
    assert (len(said["added"]), len(said["there"])) == (FILES - done, done)


def test_of_two_at_once_one_is_told_to_try_again(run: Run) -> None:
    with open_library(LIBRARY):
        code, _, err = run("add", ".")
    assert code == 75
    assert "another crowdstream library command works in" in err


def test_what_a_killed_command_left_is_taken_away(run: Run) -> None:
    (LIBRARY / ".making-abc").mkdir(parents=True)
    (LIBRARY / ".making-abc/track.toml").write_text("")
    assert run("add", ".").code == 0
    assert not (LIBRARY / ".making-abc").exists()


def test_a_file_that_breaks_its_decoder_costs_itself(
    run: Run, tune: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is killed where it decodes; the next file gets another child."""
    write_sound(Path("in/a.wav"), tune.sum(axis=0))
    write_sound(Path("in/b.wav"), 0.9 * tune.sum(axis=0))
    Path("trap").mkdir()
    Path("trap/mutagen.py").write_text(
        "import os\ndef File(path):\n    if str(path).endswith('a.wav'):\n        os.abort()\n"
    )
    monkeypatch.syspath_prepend(str(Path("trap").absolute()))
    said = run("add", "in", "--json", "--jobs", "1").json
    assert [entry["id"] for entry in said["added"]] == ["b"]
    assert "broke the process that read it (signal 6" in said["refused"][0]["reason"]


# by hand


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_what_was_changed_by_hand_survives_measuring_again(run: Run, there: Path) -> None:
    path = there / "tune/track.toml"
    first = read_track(path.parent)
    edit(path, f'key = "{first.key}"', 'key = "3B"')
    edit(path, f"bpm = {first.bpm!r}", "bpm = 60.0")
    edit(path, f"bars = {first.bars}\n", "bars = 4\n")
    edit(path, f"bars = {first.bars} }}", "bars = 4 }")
    edit(path, f"loudness_lufs = {first.loudness_lufs!r}", "loudness_lufs = -9.0")
    edited = read_track(path.parent)
    assert edited.edited == ("bpm", "key", "bars", "loudness_lufs", "sections")
    assert edited.confidence == 1.0

    code, out, _ = run("measure", "tune")

    assert code == 0
    assert "set by hand: bpm, key, bars, loudness_lufs, sections" in out
    assert read_track(path.parent) == edited
    assert "set by hand" in run("show", "tune").out
    assert run("add", "in/tune.wav", "--json").json["there"][0]["id"] == "tune"


def test_measuring_again_mends_what_nobody_has_touched(run: Run, there: Path) -> None:
    right = read_track(there / "tune")
    wrong = {**right.measured, "bpm": 121.0, "key": "1A"}
    write_track(dataclasses.replace(right, bpm=121.0, key="1A", measured=wrong))
    said = run("measure", "tune", "--json").json["tracks"][0]
    assert (said["changed"], said["bpm"], said["kept"]) == (True, right.bpm, [])
    assert read_track(there / "tune") == right
    before = snapshot(there)
    assert [track["changed"] for track in run("measure", "--json").json["tracks"]] == [False] * 2
    assert snapshot(there) == before


def test_comments_and_order_of_a_person_survive_measuring_again(run: Run, there: Path) -> None:
    path = there / "tune/track.toml"
    right = path.read_text(encoding="utf-8")
    bpm = read_track(path.parent).bpm
    edit(path, "# One track", "# Anna's, from the white label\n# One track")
    edit(path, 'key = "', 'key    = "')
    by_hand = path.read_text(encoding="utf-8")
    wrong = by_hand.replace(f"bpm = {bpm!r}", "bpm = 121.0   # a guess")
    assert wrong.count("121.0") == 2  # above and under [measured]: nobody has touched it
    path.write_text(wrong, encoding="utf-8")

    assert run("measure", "tune", "--json").json["tracks"][0]["changed"]

    assert path.read_text(encoding="utf-8") == by_hand.replace(
        f"bpm = {bpm!r}", f"bpm = {bpm!r}   # a guess"
    )
    assert right != by_hand


def test_tags_written_into_the_files_of_a_track_count_when_it_is_measured_again(
    run: Run, there: Path
) -> None:
    import mutagen

    sound: Any = mutagen.File(there / "tune/mix.flac")
    sound.update({"title": "Low Tide", "artist": "Anna", "initialkey": "Am", "bpm": "97"})
    sound.save()
    said = run("measure", "tune", "--json").json["tracks"][0]
    assert (said["title"], said["artist"], said["key"]) == ("Low Tide", "Anna", "8A")
    assert "its tag says 97 BPM; measured were 1" in said["notes"][0]
    assert not run("measure", "tune", "--json").json["tracks"][0]["changed"]


def test_a_slip_in_track_toml_is_told_and_the_music_is_not_added_twice(
    run: Run, there: Path
) -> None:
    edit(there / "tune/track.toml", "bpm = ", "bpm = fast # ")
    assert run("add", "in/tune.wav", "--json").json["there"][0]["id"] == "tune"
    listed = run("list")
    assert (listed.code, "cannot be read as TOML" in listed.err) == (0, True)
    checked = run("check")
    assert (checked.code, checked.out.splitlines()[-1]) == (1, "1 of 2 tracks are right")
    shown = run("show", "tune")
    assert (shown.code, "cannot be read as TOML" in shown.err) == (1, True)


# list, show, check, remove


def test_an_empty_library_says_what_to_do(run: Run) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, f"library: {LIBRARY.absolute()} (the user's own)\n")
    assert out == "no tracks yet; the built-in music plays (crowdstream library add FOLDER)\n"
    assert run("list", "--json").json == {
        "library": str(LIBRARY.absolute()), "tracks": [], "broken": [],
    }  # fmt: skip
    assert run("check").out == "no tracks yet\n"


def test_the_library_is_the_one_that_the_configuration_names(run: Run) -> None:
    Path("config.toml").write_text('[speakers]\nlibrary = "music"\n')
    assert run("list").err == f"library: {Path('music').absolute()} (config.toml)\n"
    assert run("list", "--library", "x").err == f"library: {Path('x').absolute()} (--library)\n"


def test_check_says_what_to_mend(run: Run, there: Path) -> None:
    assert run("check", "--deep").out == "2 of 2 tracks are right\n"
    for name in ("half", "link", "torn", "other"):
        shutil.copytree(there / "groove", there / name)
        edit(there / name / "track.toml", 'id = "groove"', f'id = "{name}"')
    half, rate = soundfile.read(there / "half/bass.flac", dtype="int16")
    soundfile.write(there / "half/bass.flac", half[: len(half) // 2], rate)
    (there / "link/drums.flac").unlink()
    (there / "link/drums.flac").symlink_to("/etc/hostname")
    (there / "torn/other.flac").write_bytes(b"fLaC")
    (there / "what").mkdir()
    code, out, _ = run("check")
    assert code == 1
    assert out.splitlines() == [
        "half: bass.flac is 9.2 s long, the longest stem 18.3 s",
        "link: drums.flac: is a link that leads out of the track's folder",
        "torn: other.flac cannot be decoded: copy it again",
        "what: has no track.toml: add the music, or take it out",
        "3 of 7 tracks are right",
    ]
    sound, rate = soundfile.read(there / "other/bass.flac", dtype="int16")
    sound[1000] += 100
    soundfile.write(there / "other/bass.flac", sound, rate)
    assert "other: its sound is not that which was added" in run("check", "--deep").out


def test_remove_asks_where_somebody_can_answer(
    run: Run, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = run("remove", "tune")
    assert (code, "add --yes" in err) == (2, True)
    answers = iter(["n", "y"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _question: next(answers))
    assert run("remove", "tune").err.splitlines()[-1] == "nothing was removed"
    assert (there / "tune").is_dir()
    assert run("remove", "tune").out == "removed tune\n"
    assert sorted(path.name for path in there.iterdir()) == [".lock", "groove"]
    code, _, err = run("remove", "tune", "--yes")
    assert (code, "has no track 'tune'" in err) == (2, True)


@pytest.mark.parametrize("name", ["..", "../state", ".", "/", ".making-x", ""])
def test_remove_takes_nothing_but_tracks(run: Run, name: str) -> None:
    Path("state/library").mkdir(parents=True)
    Path("state/track.toml").write_text("")
    assert run("remove", "--yes", name).code == 2
    assert Path("state/library").is_dir()


def test_a_track_that_is_a_link_is_unlinked_only(run: Run, there: Path) -> None:
    (there / "tune").rename("elsewhere")
    (there / "tune").symlink_to(Path("elsewhere").absolute())
    assert run("remove", "tune", "--yes").code == 0
    assert read_track(Path("elsewhere")).title == "tune"


# export, and in again


@pytest.mark.parametrize("out", ["g.zip", "somewhere/g"])
def test_an_exported_track_is_the_same_on_another_machine(run: Run, there: Path, out: str) -> None:
    edit(there / "groove/track.toml", 'title = "groove"', 'title = "Älter"  # by hand')
    assert run("export", "groove", "--out", out).code == 0
    code, _, err = run("export", "groove", "--out", out)
    assert (code, "is there already" in err) == (1, True)

    entry = run("add", out, "--library", "new", "--json").json["added"][0]

    assert (entry["id"], entry["edited"]) == ("alter", ["title"])
    one, other = read_track(there / "groove"), read_track(Path("new/alter"))
    assert dataclasses.replace(other, id=one.id, folder=one.folder) == one
    assert run("add", out, "in/groove", "--library", "new", "--json").json["there"] == [
        {"path": str(Path(path).absolute()), "id": "alter"} for path in (out, "in/groove")
    ]


def test_the_same_track_makes_the_same_archive(run: Run, there: Path) -> None:
    run("export", "groove")
    run("export", "groove", "--out", "b.zip")
    assert Path("groove.zip").read_bytes() == Path("b.zip").read_bytes()


def test_archives_that_are_none_and_tracks_that_were_changed_are_refused(
    run: Run, there: Path
) -> None:
    text = (there / "groove/track.toml").read_text()
    drums = (there / "groove/drums.flac").read_bytes()

    def archive(name: str, files: dict[str, bytes | str]) -> None:
        with zipfile.ZipFile(name, "w") as packed:
            for file, content in files.items():
                packed.writestr(file, content)

    Path("text.zip").write_text("no archive")
    archive("empty.zip", {})
    archive("two.zip", {"a/track.toml": text, "b/track.toml": text})
    archive("out.zip", {"../track.toml": text, "../drums.flac": drums})
    archive("long.zip", {"track.toml": "#" * (2 << 20)})
    swapped = {f"{stem}.flac": drums for stem in ("drums", "bass", "vocals", "other")}
    archive("swapped.zip", {"track.toml": text, **swapped})
    before = snapshot(Path("state"))
    reasons = {
        Path(entry["path"]).name: entry["reason"]
        for entry in run("add", *sorted(Path().glob("*.zip")), "--json").json["refused"]
    }
    assert {name: reason[:34] for name, reason in reasons.items()} == {
        "text.zip": "is no archive that can be read: Fi",
        "empty.zip": "holds no track.toml: it is no expo",
        "two.zip": "holds more than one track; export ",
        "out.zip": "is no track that can be taken: bas",
        "long.zip": "its track.toml is too large",
        "swapped.zip": "has other sound in it than its tra",
    }
    assert snapshot(Path("state")) == before


# usage


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["add"], "FILE|FOLDER"),
        (["add", ".", "--jobs", "0"], "--jobs: 0 is not 1 to 64"),
        (["show", "nothing"], "has no track 'nothing'"),
        (["export", "nothing"], "has no track 'nothing'"),
        (["burn"], "invalid choice"),
        (["import-rekordbox", "x.xml", "--root", "nowhere"], "there is no such folder"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(run: Run, argv: list[str], says: str) -> None:
    code, _, err = run(*argv)
    assert (code, says in err) == (2, True)


def test_a_path_that_is_not_there_is_refused(run: Run) -> None:
    code, out, _ = run("add", "nowhere.wav", "__init__.py")
    assert code == 1
    assert out.splitlines()[0] == "refused   nowhere.wav: there is no such file or folder"
    Path("a.txt").write_text("words")
    assert "is no sound file by its name; known are aif, aifc" in run("add", "a.txt").out


def test_names_cannot_play_with_the_terminal(run: Run) -> None:
    os.makedirs(b"in")
    for name in (b"in/\xff\xfe.wav", b"in/a\x1b[2Jb\n.wav"):
        Path(os.fsdecode(name)).write_bytes(b"x")
    code, out, _ = run("add", "in")
    assert code == 1
    assert "\x1b" not in out
    assert len(out.splitlines()) == 3
    assert len(run("add", "in", "--json").json["refused"]) == 2


def test_many_tracks_are_made_in_the_order_of_their_names(run: Run, tune: Any) -> None:
    """Whoever is first gets the plain id, however the cores are shared."""
    for number in range(4):
        write_sound(Path(f"in/{number}/same.wav"), (0.6 + 0.1 * number) * tune.sum(axis=0))
    said = run("add", "in", "--jobs", "4", "--json").json["added"]
    assert [(Path(entry["path"]).parent.name, entry["id"]) for entry in said] == [
        ("0", "same"), ("1", "same-2"), ("2", "same-3"), ("3", "same-4"),
    ]  # fmt: skip


# stems, later


def test_a_track_that_played_whole_is_given_stems(run: Run, there: Path) -> None:
    (track,) = whole_tracks(there)
    mix, rate = soundfile.read(track.folder / track.files["mix"], dtype="int16")
    Path("stems").mkdir()
    for name in STEMS:
        soundfile.write(f"stems/{name}.flac", mix // 4, rate)
    give_stems(track, Path("stems"))
    now = read_track(track.folder)
    assert (now.whole, now.bpm, now.measured) == (False, track.bpm, track.measured)
    assert run("check", "--deep").code == 0
    assert run("add", "in/tune.wav", "--json").json["there"][0]["id"] == "tune"
    with pytest.raises(CrowdstreamError, match="has stems already"):
        give_stems(now, Path("stems"))


def test_stems_of_other_sound_are_refused_and_the_track_is_what_it_was(there: Path) -> None:
    (track,) = whole_tracks(there)
    before = snapshot(there)
    Path("stems").mkdir()
    for name in STEMS:
        soundfile.write(f"stems/{name}.flac", np.zeros((441, 2)), 44100)
    with pytest.raises(MediaError, match="has 441 samples at 44100 Hz; the sound of tune has"):
        give_stems(track, Path("stems"))
    assert snapshot(there) == before
