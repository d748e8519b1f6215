"""The built-in music: five tracks that the program writes and plays itself, once.

`builtin_library` makes them in a cache folder at the first call and only reads them afterwards.
What a song is stands in `compose_songs`; how it sounds in `compose_drums`, `compose_tones` and
`compose_voice`; here the stems are balanced, brought to one loudness and written.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.errors import MediaError, UsageError
from crowdstream.music.compose_drums import kicks, play_drums
from crowdstream.music.compose_score import DROP_BEAT, Score
from crowdstream.music.compose_songs import ARTIST, BARS, FORM, PHRASE_BARS, SONGS, Song
from crowdstream.music.compose_tones import play_bass, play_other
from crowdstream.music.compose_voice import play_vocals
from crowdstream.music.library import Section, Track, read_track, write_track
from crowdstream.music.synth import RATE, decibels, softened
from crowdstream.packets import STEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from crowdstream.music.synth import Sound

COMPOSER_VERSION: Final = 2
"""Counts up whenever a built-in track would sound different: it names the cache."""

LOUDNESS_LUFS: Final = -14.0
"""Every full mix, integrated."""

# Loudness of each stem in the second half of the groove, in LU against the drums.
BALANCE: Final = {"drums": 0.0, "bass": -3.0, "vocals": -4.5, "other": -5.0}

# No stem goes above this, as a factor of full scale; their sum then stays below -1 dBTP, because
# the others make room where the kick is.
CEILINGS: Final = {"drums": 0.55, "bass": 0.32, "vocals": 0.31, "other": 0.30}


HIGHEST_PEAK: Final = decibels(-1.4)
"""Of any sample of a full mix; between samples it may rise by some tenths of a dB."""

MOST_AT_ONCE: Final = 4
"""Songs that are composed side by side; each needs about 0.6 GB."""


def compose(name: str) -> dict[str, Sound]:
    """The stems of a built-in song, balanced and at LOUDNESS_LUFS: name -> (samples, 2), float32.

    The same bytes every time. Raises UsageError for a name that is no built-in song's id.
    """
    song = next((song for song in SONGS if song.id == name), None)
    if song is None:
        known = ", ".join(song.id for song in SONGS)
        raise UsageError(f"there is no built-in track {name!r}; there are {known}")
    return _compose(song)


def builtin_library(
    folder: Path, *, progress: Callable[[str, float], None] | None = None
) -> tuple[Track, ...]:
    """The five built-in tracks under `folder`, made there if they are not yet, sorted by tempo.

    `progress` is told the title of each track that is ready and how much of all is, 0 to 1. Of
    two processes that call it at once, one works and the other waits for it. Raises MediaError
    when the tracks cannot be made there.
    """
    home = folder / f"builtin-{COMPOSER_VERSION}"
    if not home.is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".builtin.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not home.is_dir():
                    _make(home, progress)
        except OSError as refused:
            raise MediaError(
                f"{folder}: the built-in music cannot be made here: {refused}"
            ) from refused
    return tuple(read_track(home / song.id) for song in SONGS)


def _make(home: Path, progress: Callable[[str, float], None] | None) -> None:
    """All tracks, in a folder beside `home` that takes its name when all is done."""
    for left_behind in home.parent.glob(f".{home.name}-*"):  # by a process that was killed
        shutil.rmtree(left_behind, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    unfinished.chmod(0o755)
    children: list[subprocess.Popen[str]] = []
    pool = ThreadPoolExecutor(min(MOST_AT_ONCE, os.cpu_count() or 1), "compose")
    try:
        # The slowest songs are the longest, and SONGS begins with them.
        jobs = {pool.submit(_write_apart, song, unfinished, children): song for song in SONGS}
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            if progress is not None:
                progress(jobs[job].title, done / len(SONGS))
        unfinished.rename(home)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.kill()
        pool.shutdown()
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_apart(song: Song, library: Path, children: list[subprocess.Popen[str]]) -> None:
    """`write_song` in a process of its own: two cores, and no copy of the caller's threads."""
    here = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "crowdstream.music.compose", song.id, str(library),
         str(os.getpid())],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": here},
    )  # fmt: skip
    children.append(child)
    _, complaint = child.communicate()
    if child.returncode:
        last = complaint.strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
        raise MediaError(f"{library}: {song.title!r} could not be composed: {last[0]}")


def write_song(name: str, library: Path) -> None:
    """Compose one built-in song and write it as a track of `library`."""
    import soundfile

    song = next(song for song in SONGS if song.id == name)
    stems = _compose(song)
    folder = library / song.id
    folder.mkdir(parents=True)
    files = {stem: f"{stem}.flac" for stem in STEMS}

    def write(stem: str) -> None:
        whole = np.rint(stems[stem] * 32767.0).astype(np.int16)
        # FLAC at its quickest: a tenth of a second a stem, two thirds of the size of WAV.
        soundfile.write(folder / files[stem], whole, RATE, "PCM_16", compression_level=0.0)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, STEMS))
    score = Score.of(song)
    stops = ((DROP_BEAT - song.stop_beats, song.stop_beats),) if song.stop_beats else ()
    write_track(Track(
        id=song.id, title=song.title, artist=ARTIST, bpm=song.bpm, key=song.key, bars=BARS,
        first_beat_seconds=0.0, seconds=score.samples / RATE, rate=RATE,
        loudness_lufs=LOUDNESS_LUFS, sections=_sections(), stops=stops,
        folder=folder, files=files,
    ))  # fmt: skip


def _sections() -> tuple[Section, ...]:
    sections: list[Section] = []
    bar = 0
    for name, phrases in FORM:
        sections.append(Section(name, bar, phrases * PHRASE_BARS))
        bar += phrases * PHRASE_BARS
    return tuple(sections)


def _compose(song: Song) -> dict[str, Sound]:
    """The stems, (samples, 2) each, together at LOUDNESS_LUFS."""
    score = Score.of(song)
    beats = kicks(song, score)
    wide = {
        "drums": play_drums(song, score),
        "bass": play_bass(song, score, beats),
        "vocals": play_vocals(song, score, beats),
        "other": play_other(song, score, beats),
    }
    _hush(score, wide)
    begin, end = score.at(3 * 32), score.at(4 * 32)
    for stem, sound in wide.items():
        sound *= decibels(BALANCE[stem] - _power(sound[:, begin:end]))

    # The mean power of ten phrases is close; what bending the peaks costs is put back at the end.
    parts = [_power(_part(score, wide.values(), phrase)) for phrase in range(BARS // PHRASE_BARS)]
    gain = decibels(LOUDNESS_LUFS - 10.0 * float(np.log10(np.mean(10.0 ** (np.array(parts) / 10)))))
    for stem, sound in wide.items():
        sound *= np.float32(gain)
        softened(sound, CEILINGS[stem])
    stems = {stem: _left_right(wide.pop(stem)) for stem in STEMS}
    mix = np.zeros_like(stems["drums"])
    for sound in stems.values():
        mix += sound
    trim = np.float32(decibels(LOUDNESS_LUFS - _loudness(mix)))
    for sound in (mix, *stems.values()):
        sound *= trim
    _leave_headroom(mix, stems)
    return stems


def _leave_headroom(mix: Sound, stems: dict[str, Sound]) -> None:
    """Where all stems happen to peak at once, turn all down by a hair for a twentieth of a second.

    Two or three places a song, half a dB at most: one gain for all, so that the stems still add up.
    """
    reach = round(0.025 * RATE)
    dip = np.hanning(2 * reach + 1).astype(np.float32)[:, np.newaxis]
    peaks = np.abs(mix).max(axis=1)
    while peaks[at := int(peaks.argmax())] > HIGHEST_PEAK:
        depth = 1.0 - 0.999 * HIGHEST_PEAK / float(peaks[at])
        begin, end = max(0, at - reach), min(len(mix), at + reach + 1)
        gain = 1.0 - np.float32(depth) * dip[begin - at + reach : end - at + reach]
        peaks[begin:end] *= gain[:, 0]
        for sound in stems.values():
            sound[begin:end] *= gain


def _hush(score: Score, stems: dict[str, Sound]) -> None:
    """The written silence before the drop: every tail ends with it."""
    if not score.stop_beats:
        return
    begin, end = score.at(DROP_BEAT - score.stop_beats), score.at(DROP_BEAT)
    out = round(0.03 * RATE)
    ramp = 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, out, dtype=np.float32))
    for sound in stems.values():
        sound[:, begin : begin + out] *= ramp
        sound[:, begin + out : end] = 0.0


def _part(score: Score, stems: Iterable[Sound], phrase: int) -> Sound:
    """One phrase of all stems together."""
    begin, end = score.at(phrase * 32), score.at((phrase + 1) * 32)
    total = np.zeros((2, end - begin), np.float32)
    for sound in stems:
        total += sound[:, begin:end]
    return total


def _left_right(sound: Sound) -> Sound:
    """Middle and side (2, samples) as left and right (samples, 2)."""
    middle, side = sound
    pair = np.empty((len(middle), 2), np.float32)
    block = 1 << 14  # left and right lie side by side: write both while they are at hand
    for at in range(0, len(middle), block):
        here = slice(at, at + block)
        np.add(middle[here], side[here], out=pair[here, 0])
        np.subtract(middle[here], side[here], out=pair[here, 1])
    return pair


def _power(sound: Sound) -> float:
    """Loudness of middle and side (2, samples), without gates, in LUFS."""
    block = 1 << 14
    blocks = sound.shape[1] // block
    whole = sound[:, : blocks * block].reshape(2, blocks, block)
    power = np.square(np.abs(np.fft.rfft(whole))).sum(axis=(0, 1), dtype=np.float64)
    f = np.arange(block // 2 + 1) * (RATE / block)
    weighted = float((power * _k_weight(f)).sum())
    # Half of a spectrum counts twice; left² + right² is 2 (middle² + side²).
    mean_square = 2.0 * 2.0 * weighted / block / (blocks * block)
    return -0.691 + 10.0 * float(np.log10(max(mean_square, 1e-12)))


def _k_weight(f: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """|H|² of the two filters of BS.1770, as analogue filters: a shelf and a high-pass."""
    s = 2j * np.pi * np.maximum(f, 1.0)
    w1, q1, high = 2 * np.pi * 1681.97, 0.7071752, decibels(3.99984)
    middle = high**0.4996667741545416
    shelf = (high * s**2 + middle * w1 / q1 * s + w1**2) / (s**2 + w1 / q1 * s + w1**2)
    w2, q2 = 2 * np.pi * 38.1355, 0.5003270
    pass_high = s**2 / (s**2 + w2 / q2 * s + w2**2)
    weight: NDArray[np.floating[Any]] = np.square(np.abs(shelf * pass_high))
    return weight


def _loudness(mix: Sound) -> float:
    """Integrated loudness of (samples, 2) by BS.1770, in LUFS."""
    import pyloudnorm

    return float(pyloudnorm.Meter(RATE).integrated_loudness(mix))


if __name__ == "__main__":
    # When whoever asked for the song is killed nobody wants it any more: the kernel ends this
    # process with the thread that made it (PR_SET_PDEATHSIG, SIGKILL).
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() == int(sys.argv[3]):
        write_song(sys.argv[1], Path(sys.argv[2]))
