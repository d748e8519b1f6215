"""The built-in music: what a dancer, a mixer and a disk may count on."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import TextIO

import numpy as np
import pyloudnorm
import pytest
import soundfile
from numpy.typing import NDArray
from scipy import signal

from crowdstream.errors import MediaError, UsageError
from crowdstream.music import compose as composing
from crowdstream.music.compose import builtin_library, compose
from crowdstream.music.compose_drums import kicks
from crowdstream.music.compose_score import Score
from crowdstream.music.compose_songs import SONGS, Song, melody
from crowdstream.music.compose_tones import play_bass
from crowdstream.music.compose_voice import SINGING
from crowdstream.music.library import Track, load_stems
from crowdstream.music.synth import (
    RATE,
    above,
    below,
    clouds,
    duck,
    harmonics,
    place,
    points,
    room,
    shaped,
    softened,
)
from crowdstream.packets import STEMS

# Whichever test comes first composes a song, which takes some seconds of a busy processor.
pytestmark = pytest.mark.timeout(120)

Stems = dict[str, NDArray[np.float32]]

SONG = SONGS[3]
SCORE = Score.of(SONG)


@pytest.fixture(scope="session")
def stems() -> Stems:
    """The stems of one song, composed here."""
    return compose(SONG.id)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Track, ...]:
    """All five tracks, made in a fresh folder."""
    return builtin_library(tmp_path_factory.mktemp("music"))


def true_peak_db(sound: NDArray[np.float32]) -> float:
    """dBTP by four times oversampling."""
    pieces = [sound[max(0, at - 100) : at + 10 * RATE] for at in range(0, len(sound), 10 * RATE)]
    peak = max(float(np.abs(signal.resample_poly(p, 4, 1, axis=0)).max()) for p in pieces)
    return 20.0 * float(np.log10(peak))


def loudness(sound: NDArray[np.float32]) -> float:
    """LUFS, integrated."""
    return float(pyloudnorm.Meter(RATE).integrated_loudness(sound))


def phrases(sound: NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
    """Some of the ten phrases of 8 bars."""
    return sound[SCORE.at(first * 32) : SCORE.at(last * 32)]


def side_below_120(sound: NDArray[np.float32]) -> float:
    """What differs between left and right below 120 Hz, in dB against all of the sound."""
    low = signal.butter(6, 120.0, fs=RATE, output="sos")
    side = signal.sosfilt(low, sound[:, 0] - sound[:, 1])
    return 10.0 * float(np.log10((side**2).mean() / ((sound.sum(axis=1)) ** 2).mean() + 1e-20))


def quiet_windows(sound: NDArray[np.float32]) -> list[int]:
    """Numbers of the windows of 50 ms, from the first beat to the last, that stay under -60 dBFS."""
    window = RATE // 20
    whole = np.abs(sound[: SCORE.at(320) // window * window]).max(axis=1)
    return list(np.flatnonzero(whole.reshape(-1, window).max(axis=1) < 1e-3))


# One song ---------------------------------------------------------------------------------------


def test_stems_are_equally_long_and_finite(stems: Stems) -> None:
    """Four stems of 80 bars and a bar to ring out, in the order that everybody expects."""
    assert tuple(stems) == STEMS
    assert {sound.shape for sound in stems.values()} == {(SCORE.at(324), 2)}
    assert all(np.isfinite(sound).all() for sound in stems.values())


def test_the_sum_leaves_headroom(stems: Stems) -> None:
    """True peak of the full mix at most -1 dB, and of every part of it."""
    assert true_peak_db(np.sum(list(stems.values()), axis=0)) <= -1.0
    for pair in combinations(STEMS, 2):
        assert np.abs(stems[pair[0]] + stems[pair[1]]).max() < 0.9


def test_the_bottom_is_mono(stems: Stems) -> None:
    """Nothing below 120 Hz differs between left and right: subwoofers are one."""
    mix = np.sum(list(stems.values()), axis=0)
    assert max(side_below_120(sound) for sound in (*stems.values(), mix)) < -40.0


def test_every_kick_is_on_its_beat(stems: Stems) -> None:
    """Where the drums begin to move after a still moment is within a millisecond of the beat."""
    low = np.abs(stems["drums"].mean(axis=1))
    late: list[float] = []
    for beat in range(2 * 32, 2 * 32 + 28):
        at = round(beat * 60.0 / SONG.bpm * RATE)
        around = low[at - 200 : at + 400]
        floor = around[:150].max()
        begins = int(np.argmax(around > max(2.0 * floor, 0.1 * around.max()))) - 200
        late.append(begins / RATE)
    assert np.median(np.abs(late)) < 0.001
    assert len(kicks(SONG, SCORE)) > 200


def test_the_first_beat_is_the_first_sample(stems: Stems) -> None:
    """A track that is started on a beat sounds on it."""
    assert np.abs(stems["drums"][: RATE // 100]).max() > 0.1


def test_the_drop_is_the_loudest_and_the_break_the_softest(stems: Stems) -> None:
    """The form can be heard: break, intro, groove, drop."""
    mix = np.sum(list(stems.values()), axis=0)
    level = {
        name: loudness(phrases(mix, first, last))
        for name, first, last in (
            ("intro", 0, 2), ("groove", 2, 4), ("break", 4, 5), ("build", 5, 6), ("drop", 6, 8),
            ("outro", 8, 10),
        )
    }  # fmt: skip
    assert max(level, key=lambda name: level[name]) == "drop"
    assert 0.8 < level["drop"] - level["groove"] < 2.5
    assert 2.0 < level["groove"] - level["break"] < 6.0
    assert level["intro"] < level["groove"] > level["outro"]


def test_the_drop_is_brighter_than_the_groove(stems: Stems) -> None:
    """More above 2 kHz, against all of it."""
    mix = np.sum(list(stems.values()), axis=0).mean(axis=1)[:, np.newaxis]
    f, groove = signal.welch(phrases(mix, 3, 4)[:, 0], RATE, nperseg=8192)
    _, drop = signal.welch(phrases(mix, 6, 7)[:, 0], RATE, nperseg=8192)
    high = f > 2000.0
    assert drop[high].sum() / drop.sum() > 1.1 * groove[high].sum() / groove.sum()


def test_stems_stand_in_balance(stems: Stems) -> None:
    """In the groove the drums lead, the bass is 3 LU below, the voice is heard."""
    level = {name: loudness(phrases(sound, 3, 4)) for name, sound in stems.items()}
    assert level["bass"] - level["drums"] == pytest.approx(-3.0, abs=0.7)
    assert level["vocals"] - level["drums"] == pytest.approx(-4.5, abs=0.9)
    assert level["other"] - level["drums"] == pytest.approx(-5.0, abs=0.9)


def test_it_never_falls_silent_but_where_it_is_written(stems: Stems) -> None:
    """Not the mix and not the drums alone, for 50 ms; the written stop is silent in all stems."""
    stop, drop = 192 - SONG.stop_beats, 192
    written = range(SCORE.at(stop) * 20 // RATE, SCORE.at(drop) * 20 // RATE + 1)
    mix = np.sum(list(stems.values()), axis=0)
    assert set(quiet_windows(mix)) <= set(written)
    assert set(quiet_windows(stems["drums"])) <= set(written)
    inside = slice(SCORE.at(stop) + RATE // 20, SCORE.at(drop))
    assert all(not sound[inside].any() for sound in stems.values())


def test_drums_begin_and_drums_and_bass_end(stems: Stems) -> None:
    """Eight bars of drums alone, then bass; at the end no voice begins any more."""
    first = {name: np.abs(phrases(sound, 0, 1)).max() for name, sound in stems.items()}
    last = {name: loudness(phrases(sound, 9, 10)) for name, sound in stems.items()}
    assert first["drums"] > 0.3
    assert max(first["bass"], first["vocals"]) == 0.0
    assert np.abs(phrases(stems["bass"], 1, 2)).max() > 0.1
    assert last["drums"] > last["bass"] > last["other"] + 6.0 > last["vocals"]
    assert SINGING[9] == ""


def test_the_break_has_no_kick(stems: Stems) -> None:
    """Below 80 Hz the drums are 30 dB softer than in the groove."""
    low = signal.butter(4, 80.0, fs=RATE, output="sos")
    deep = signal.sosfilt(low, stems["drums"].mean(axis=1))[:, np.newaxis]
    ratio = np.std(phrases(deep, 4, 5)) / np.std(phrases(deep, 3, 4))
    assert 20.0 * np.log10(ratio) < -30.0


def test_the_bass_makes_room_for_the_kick(stems: Stems) -> None:
    """Side-chain is within the stem: the bass right on the beat is far below its middle level."""
    bass = np.abs(phrases(stems["bass"], 6, 8)).max(axis=1)
    beat = 60.0 / SONG.bpm * RATE
    place_in_beat = (np.arange(len(bass)) % beat) / beat
    on = np.sqrt((bass[place_in_beat < 0.06] ** 2).mean())
    off = np.sqrt((bass[(place_in_beat > 0.5) & (place_in_beat < 0.9)] ** 2).mean())
    assert on < 0.4 * off


def test_the_same_song_is_the_same_bytes() -> None:
    """Nothing depends on what was played before."""
    beats = kicks(SONG, SCORE)
    once, again = play_bass(SONG, SCORE, beats), play_bass(SONG, SCORE, beats)
    assert once.tobytes() == again.tobytes()


def test_an_unknown_song_is_refused_with_the_known_ones() -> None:
    """The sentence helps to type the right one."""
    with pytest.raises(UsageError, match="no built-in track 'nothing'; there are low-tide, "):
        compose("nothing")


# What is written ----------------------------------------------------------------------------------


def test_songs_neighbour_in_tempo_and_key() -> None:
    """Each is within 8 % of the next, and one step around the wheel or less."""
    assert [song.bpm for song in SONGS] == [100.0, 107.0, 115.0, 123.0, 132.0]
    assert [song.key for song in SONGS] == ["8A", "9A", "9B", "10B", "10A"]


@pytest.mark.parametrize("one", SONGS, ids=lambda song: song.id)
def test_every_note_is_in_the_key(one: Song) -> None:
    """Chords, their roots and melodies keep to the seven notes of the key."""
    notes = {n for chord in one.chords for n in (chord.root, *chord.notes)}
    notes |= {note.midi for line in one.melody for note in melody(line)}
    assert {n % 12 for n in notes} <= set(one.scale)


@pytest.mark.parametrize("one", SONGS, ids=lambda song: song.id)
def test_a_melody_never_crosses_its_two_bars(one: Song) -> None:
    """Whoever cuts at a line of two bars cuts between phrases; each leaves a beat to breathe."""
    ends = [melody(line)[-1].beat + melody(line)[-1].beats for line in one.melody]
    assert max(ends) <= 7.0


# The means ----------------------------------------------------------------------------------------


def test_a_duck_is_deep_on_the_kick_and_gone_before_the_next() -> None:
    """Full depth at the kick, nothing 4 ms before, and no step anywhere, however dense."""
    bus = np.ones(RATE, np.float32)
    duck(bus, [4410, 8820, 30000], 0.8, 0.2)
    assert bus[4410] == pytest.approx(0.2)
    assert bus[4410 - 200] == 1.0
    assert bus[29000] == 1.0
    assert np.abs(np.diff(bus)).max() < 0.02


def test_softened_peaks_stay_below_the_ceiling_and_in_place() -> None:
    """What is under half of the ceiling is untouched; middle and side keep their ratio."""
    sound = np.array([[0.1, 0.9, -2.0], [0.05, 0.3, 0.5]], np.float32)
    before = sound.copy()
    softened(sound, 0.5)
    assert np.abs(sound).sum(axis=0).max() <= 0.5
    assert sound[:, 0].tolist() == before[:, 0].tolist()
    assert np.allclose(sound[1] / sound[0], before[1] / before[0])


def test_harmonics_are_at_their_multiples() -> None:
    """A third harmonic alone is a sine of three times the frequency."""
    levels = np.array([[0.0], [0.0], [1.0]], np.float32)
    t = np.arange(4410) / RATE
    assert np.allclose(harmonics(200.0, levels, 4410), np.sin(2 * np.pi * 600.0 * t), atol=1e-4)
    assert points(4410) == 70


@pytest.mark.parametrize(
    "wide", [clouds("test", [(55.0, 1.0)], below(3000.0), 1.0, 20.0), room("test", 1.0)]
)
def test_a_side_has_no_bottom(wide: NDArray[np.float32]) -> None:
    """An ensemble on a low A, and a room: hardly any of their side is below 120 Hz."""
    side = np.abs(np.fft.rfft(wide[1])) ** 2
    f = np.fft.rfftfreq(wide.shape[1], 1.0 / RATE)
    assert 10.0 * np.log10(side[f < 120.0].sum() / side.sum()) < -25.0


def test_what_hangs_over_the_end_is_cut() -> None:
    """Placing at the edge of a bus neither fails nor wraps around."""
    bus = np.zeros((2, 10), np.float32)
    place(bus, np.ones(4, np.float32), 8)
    place(bus, np.ones(4, np.float32), -2)
    assert bus[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]


def test_curves_let_through_what_they_say() -> None:
    """A low-pass is 3 dB down at its corner."""
    f = np.array([100.0, 1000.0, 10000.0], np.float32)
    assert below(1000.0)(f)[1] == pytest.approx(0.7071, abs=1e-3)
    assert above(1000.0)(f)[1] == pytest.approx(0.7071, abs=1e-3)
    click = np.zeros(100, np.float32)
    click[50] = 1.0
    assert shaped(click, below(1e9)) == pytest.approx(click, abs=1e-5)


# All five, on disk --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_five_tracks_at_one_loudness(library: tuple[Track, ...], stems: Stems) -> None:
    """-14 LUFS within 0.1, true peak at most -1 dB; and the same bytes as composed in here."""
    assert [track.id for track in library] == [song.id for song in SONGS]
    for track in library:
        mix = load_stems(track, RATE).astype(np.float32).sum(axis=0) / 32767.0
        assert loudness(mix) == pytest.approx(-14.0, abs=0.1)
        assert true_peak_db(mix) <= -1.0
        assert track.seconds == pytest.approx(len(mix) / RATE)
        assert track.bars == 80
    written = soundfile.read(library[3].folder / "bass.flac", dtype="int16")[0]
    assert np.array_equal(written, np.rint(stems["bass"] * 32767.0))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_made_library_is_only_read(library: tuple[Track, ...]) -> None:
    """The second call gives the same tracks and touches nothing, on a read-only disk too."""
    home = library[0].folder.parent
    before = sorted((path, path.stat().st_mtime_ns) for path in home.parent.rglob("*"))
    assert builtin_library(home.parent) == library
    assert sorted((path, path.stat().st_mtime_ns) for path in home.parent.rglob("*")) == before
    assert [path.name for path in home.parent.iterdir() if path.is_dir()] == [home.name]


def test_a_library_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """A file where the folder should be is one sentence, and nothing is left."""
    (tmp_path / "music").write_text("not a folder", encoding="utf-8")
    with pytest.raises(MediaError, match="the built-in music cannot be made here"):
        builtin_library(tmp_path / "music")


def test_a_composer_that_dies_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the song; no half library is ever seen, and what a killed one left goes."""
    (tmp_path / f".builtin-{composing.COMPOSER_VERSION}-old").mkdir()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MediaError, match="could not be composed"):
        builtin_library(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".builtin.lock"]


def test_of_two_processes_one_works_and_one_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second finds the library that the first has made."""
    home = tmp_path / f"builtin-{composing.COMPOSER_VERSION}"
    first = subprocess.Popen(
        [sys.executable, "-c", _MAKE_WHEN_TOLD, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    tell, really_lock = first.stdin, fcntl.flock

    def lock(file: TextIO, how: int) -> None:
        tell.close()
        really_lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    with pytest.raises(MediaError, match=r"low-tide: there is no track\.toml"):
        builtin_library(tmp_path)  # takes the (here empty) folder of the other, and makes none

    assert first.wait(10) == 0
    first.stdout.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".builtin.lock", home.name]


_MAKE_WHEN_TOLD = """
import fcntl, pathlib, sys
home = pathlib.Path(sys.argv[1])
with (home.parent / ".builtin.lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
    home.mkdir()
"""
