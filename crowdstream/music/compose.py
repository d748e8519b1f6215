"""The built-in music: five tracks that the program writes and plays itself, once.

`builtin_library` makes them in a cache folder at the first call and only reads them afterwards.
What a song is stands in `compose_songs`; how it sounds in `compose_drums`, `compose_tones` and
`compose_voice`; here the stems are balanced, brought to one loudness and written.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.errors import CrowdstreamError, UsageError
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

COMPOSER_VERSION: Final = 1
"""Counts up whenever a built-in track would sound different: it names the cache."""

LOUDNESS_LUFS: Final = -14.0
"""Every full mix, integrated."""

# Loudness of each stem in the second half of the groove, in LU against the drums.
BALANCE: Final = {"drums": 0.0, "bass": -3.0, "vocals": -4.5, "other": -5.0}

# No stem goes above this, as a factor of full scale; their sum then stays below -1 dBTP, because
# the others make room where the kick is.
CEILINGS: Final = {"drums": 0.60, "bass": 0.34, "vocals": 0.34, "other": 0.33}


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

    `progress` is told the title of a track that is ready and how much of all is, 0 to 1. Two
    processes may call it at once: both work, one result stays.
    """
    home = folder / f"builtin-{COMPOSER_VERSION}"
    if not home.is_dir():
        _make(home, progress)
    return tuple(read_track(home / song.id) for song in SONGS)


def _make(home: Path, progress: Callable[[str, float], None] | None) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        # Fresh processes: the caller may have threads, which a fork would tear in half.
        workers = min(len(SONGS), os.cpu_count() or 1)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            # The slowest song is the longest: begin with it.
            jobs = {pool.submit(write_song, song.id, unfinished): song for song in SONGS}
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                if progress is not None:
                    progress(jobs[job].title, done / len(SONGS))
        try:
            unfinished.rename(home)
        except OSError:
            if not home.is_dir():  # otherwise another process was quicker: its tracks are the same
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


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
    stems = {stem: _left_right(sound) for stem, sound in wide.items()}
    trim = LOUDNESS_LUFS - _loudness(stems)
    for sound in stems.values():
        sound *= np.float32(decibels(trim))
    return stems


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
    weighted = float((power * _k_weight(np.fft.rfftfreq(block, 1.0 / RATE))).sum())
    # Half of a spectrum counts twice; left² + right² is 2 (middle² + side²).
    mean_square = 2.0 * 2.0 * weighted / block / (blocks * block)
    return -0.691 + 10.0 * float(np.log10(max(mean_square, 1e-12)))


def _k_weight(f: NDArray[np.float64]) -> NDArray[np.float64]:
    """|H|² of the two filters of BS.1770, as analogue filters: a shelf and a high-pass."""
    s = 2j * np.pi * np.maximum(f, 1.0)
    w1, q1, high = 2 * np.pi * 1681.97, 0.7071752, decibels(3.99984)
    middle = high**0.4996667741545416
    shelf = (high * s**2 + middle * w1 / q1 * s + w1**2) / (s**2 + w1 / q1 * s + w1**2)
    w2, q2 = 2 * np.pi * 38.1355, 0.5003270
    pass_high = s**2 / (s**2 + w2 / q2 * s + w2**2)
    return np.square(np.abs(shelf * pass_high))


def _loudness(stems: dict[str, Sound]) -> float:
    """Integrated loudness of the full mix by BS.1770, in LUFS."""
    import pyloudnorm

    mix = np.zeros_like(stems["drums"])
    for sound in stems.values():
        mix += sound
    return float(pyloudnorm.Meter(RATE).integrated_loudness(mix))
