"""From a file, a folder of stems or a track of another library to a folder with `track.toml`."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crowdstream.errors import MediaError
from crowdstream.library.describe import Given, describe, described_anew, given_in
from crowdstream.library.names import artist_and_title, shown, stem_named
from crowdstream.library.sound import at_rate, decode, to_library_rate
from crowdstream.library.tags import Tags, read_tags, stem_names
from crowdstream.music.library import (
    MIX,
    TRACK_FILE,
    WHOLE_PLAYS_AS,
    Cue,
    Source,
    Track,
    load_stems,
    read_track,
    write_track,
)
from crowdstream.music.measure import LEAST_SECONDS
from crowdstream.packets import STEMS

FEWEST_BARS: Final = 8
"""Stems come and go on 8-bar lines; what is shorter is an effect or a loop, not a track."""

QUIETEST_PEAK: Final = 0.001
"""-60 dBFS: what stays below this is silence with noise on it."""

QUIETEST_LUFS: Final = -60.0

NOT_TOGETHER_SECONDS: Final = 5.0

_PEAK: Final = 32767.0 / 32768.0

Stored = NDArray[np.int16]
Notes = tuple[str, ...]
Tell = Callable[[dict[str, Any]], None]


class Parts(NamedTuple):
    """The sound of a track as it will be stored."""

    stems: Mapping[str, Stored]
    """`mix` alone, or the four stems; equally long, shape (samples, 2)."""

    rate: int
    notes: tuple[str, ...]


def make(
    job: dict[str, Any], working: Path, tell: Tell, is_known: Callable[[str], bool]
) -> dict[str, Any]:
    """Make the track of one job in its working folder; the answer, as `library_job` sends it.

    Raises:
        MediaError: it cannot become a track, with the reason and without the path.
        OSError: a file cannot be read, or the folder not written.
    """
    path = Path(job["path"])
    if job["kind"] in ("track", "archive"):
        from crowdstream.library.export import take_over

        tell({"step": "copying"})
        return take_over(path, working, job["sha256"])
    if job["kind"] == "measure":
        tell({"step": "measuring"})
        return measure_again(job, working)
    tell({"step": "decoding"})
    tags = read_tags(Path(job["files"][0]))
    if job["kind"] == "stems":
        parts = _from_folder([Path(file) for file in job["files"]], job["stems"])
        tags = Tags(None, tags.artist, tags.bpm, tags.key)  # its title is "drums"
    elif job["kind"] == "stem file":
        parts = _from_stem_file(path)
    else:
        parts = _from_file(path)
    sound_sha256 = hash_of_sound(parts.stems)
    if is_known(sound_sha256):
        return {"sound_sha256": sound_sha256, "notes": []}
    tell({"step": "measuring"})
    track, notes = _described(parts, tags, job, working)
    track = replace(track, source=Source(path.name, job["sha256"], sound_sha256))
    tell({"step": "writing"})
    write_sound(parts.stems, track.rate, working)
    write_track(track)
    read_track(working)  # what the player would refuse is refused here
    return {"sound_sha256": sound_sha256, "notes": [*job["notes"], *parts.notes, *notes]}


def hash_of_sound(stems: Mapping[str, Stored]) -> str:
    """SHA-256 of the samples, little-endian, with the names of the stems between them."""
    digest = hashlib.sha256()
    for name, sound in stems.items():
        digest.update(f"{name} {len(sound)}\n".encode())
        digest.update(np.ascontiguousarray(sound, "<i2").data)
    return digest.hexdigest()


def write_sound(stems: Mapping[str, Stored], rate: int, folder: Path) -> None:
    """One FLAC of 16 bits for each stem: what the player holds in memory has no more."""
    import soundfile

    def write(name: str) -> None:
        soundfile.write(folder / f"{name}.flac", stems[name], rate, "PCM_16", compression_level=0.4)

    with ThreadPoolExecutor(2, "encode") as threads:
        list(threads.map(write, stems))


def _from_file(path: Path) -> Parts:
    sound = to_library_rate(decode(path))
    return _stored({MIX: sound.samples}, sound.rate, sound.notes)


def _from_folder(files: list[Path], stems: list[str]) -> Parts:
    """Files of the same stem are summed; all are brought to the rate of the first."""
    sums: dict[str, NDArray[np.float32]] = {}
    notes: list[str] = []
    lengths: list[float] = []
    rate = 0
    for path, stem in zip(files, stems, strict=True):
        try:
            sound = decode(path)
        except (MediaError, OSError) as broken:
            raise MediaError(f"its stem {shown(path.name)} {broken}") from broken
        if not rate:
            sound = to_library_rate(sound)
            rate = sound.rate
        sound = at_rate(sound, rate)
        lengths.append(len(sound.samples) / rate)
        sums[stem] = _plus(sums.get(stem), sound.samples)
    if max(lengths) - min(lengths) > NOT_TOGETHER_SECONDS and min(lengths) < 0.5 * max(lengths):
        raise MediaError(
            f"its files are {min(lengths):.0f} to {max(lengths):.0f} s long, so they are not the"
            " stems of one track; give them one by one"
        )
    if max(lengths) - min(lengths) > 0.1:
        notes.append(f"shorter stems end in silence ({min(lengths):.1f} of {max(lengths):.1f} s)")
    notes.extend(_who_became_what(files, stems))
    return _stored(sums, rate, tuple(notes))


def _from_stem_file(path: Path) -> Parts:
    """The second to fifth stream, named by the JSON in the file."""
    names = stem_names(path)
    notes = []
    if not names:
        names = ("Drums", "Bass", "Other", "Vocals")
        notes.append("the file does not name its stems; taken as drums, bass, other, vocals")
    stems = [stem_named(name) for name in names]
    chosen = [stem if stem in STEMS else "other" for stem in stems]
    sums: dict[str, NDArray[np.float32]] = {}
    rate = 0
    for stream, stem in enumerate(chosen, 1):
        sound = decode(path, stream)
        if not rate:
            sound = to_library_rate(sound)
            rate = sound.rate
        sums[str(stem)] = _plus(sums.get(str(stem)), at_rate(sound, rate).samples)
    for name, stem in zip(names, chosen, strict=True):
        if name.lower() != stem:
            notes.append(f"{shown(name)} is {stem}")
    return _stored(sums, rate, tuple(notes))


def _plus(one: NDArray[np.float32] | None, other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum; the shorter one ends in silence."""
    if one is None:
        return other
    if len(one) < len(other):
        one, other = other, one
    result = one.copy()
    result[: len(other)] += other
    return result


def _who_became_what(files: list[Path], stems: list[str]) -> list[str]:
    """A sentence for each stem that is not one file of its own name."""
    sentences = []
    for stem in STEMS:
        names = [f.stem for f, s in zip(files, stems, strict=True) if s == stem]
        if names and [name.lower() for name in names] != [stem]:
            sentences.append(f"{stem} = {' + '.join(shown(name) for name in names)}")
    return sentences


def _stored(sounds: Mapping[str, NDArray[np.float32]], rate: int, notes: tuple[str, ...]) -> Parts:
    """As 16 bits; four stems, equally long, of which one or more may be silent.

    If one of them is louder than full scale all are made quieter, by the same factor: the balance
    between stems is the artist's.
    """
    peak = max(float(np.abs(sound).max(initial=0.0)) for sound in sounds.values())
    if peak < QUIETEST_PEAK:
        raise MediaError("holds nothing but silence")
    gain = 1.0
    if peak > 1.0:
        gain = _PEAK / peak
        notes = (*notes, f"{-20.0 * math.log10(gain):.1f} dB quieter, so that no peak is cut off")
    length = max(len(sound) for sound in sounds.values())
    names = (MIX,) if MIX in sounds else STEMS
    stems: dict[str, Stored] = {}
    for name in names:
        stored = np.zeros((length, 2), np.int16)
        if name in sounds:
            scaled = np.rint(sounds[name] * np.float32(32768.0 * gain))
            stored[: len(scaled)] = np.clip(scaled, -32768, 32767)
        stems[name] = stored
    missing = [name for name in names if name not in sounds]
    silent = [name for name in names if name in sounds and not stems[name].any()]
    if silent:
        notes = (*notes, f"nothing is heard in {' and '.join(silent)}")
    if missing:
        notes = (*notes, f"no {' and no '.join(missing)}")
    return Parts(stems, rate, notes)


def _described(parts: Parts, tags: Tags, job: dict[str, Any], working: Path) -> tuple[Track, Notes]:
    """The track as its sound, its tags and its name describe it."""
    sounds = np.stack(list(parts.stems.values()))
    seconds = sounds.shape[1] / parts.rate
    if seconds < LEAST_SECONDS:
        raise MediaError(f"is {seconds:.1f} s long; that is no track")
    given = given_of(job["hints"], tags)
    described = describe(sounds, parts.rate, given, whole=MIX in parts.stems)
    facts = described.facts
    if not job["short"] and facts["bars"] < FEWEST_BARS:
        raise MediaError(
            f"is {seconds:.1f} s long, {facts['bars']} bars at {facts['bpm']:.0f} BPM; a track has"
            f" at least {FEWEST_BARS} (with --short it is taken all the same)"
        )
    if not facts["loudness_lufs"] > QUIETEST_LUFS:
        raise MediaError("is too quiet to be music: its loudness cannot be measured")
    artist, title = _name_of(job)
    hints = job["hints"]
    title = hints.get("title") or tags.title or title or "untitled"
    artist = hints.get("artist") or tags.artist or artist or "unknown"
    track = Track(
        id="new", title=title, artist=artist, seconds=seconds, rate=parts.rate, folder=working,
        files={name: f"{name}.flac" for name in parts.stems},
        **{**facts, "measured": {"title": title, "artist": artist, **facts["measured"]}},
    )  # fmt: skip
    return track, described.notes


def measure_again(job: dict[str, Any], working: Path) -> dict[str, Any]:
    """Measure a track of the library anew; its new `track.toml` lies in the working folder.

    What a person has changed stays. Hints of the job are what another program says of it. Tags
    that somebody has written into its sound files since count like those of the file it came from.
    """
    track = read_track(Path(job["path"]))
    stems = load_stems(track, track.rate)
    tags = read_tags(track.folder / next(iter(track.files.values())))
    if track.whole:
        stems = stems[WHOLE_PLAYS_AS : WHOLE_PLAYS_AS + 1]
    else:
        tags = tags._replace(title=None)  # its title is "drums"
    hints = job["hints"]
    before = given_in(track.measured)
    given = given_of(hints, Tags(bpm=tags.bpm or before.bpm, key=tags.key or before.key))
    if "grid_bpm" not in hints:
        given = given._replace(
            grid_bpm=before.grid_bpm, grid_first_beat_seconds=before.grid_first_beat_seconds
        )
    if "cues" not in hints:
        given = given._replace(cues=track.cues)
    described = describe(stems, track.rate, given, whole=track.whole)
    fresh = described_anew(track, described)
    names: dict[str, Any] = {"title": hints.get("title") or tags.title}
    names["artist"] = hints.get("artist") or tags.artist
    names = {key: name for key, name in names.items() if name}
    fresh = replace(
        fresh,
        measured={**fresh.measured, **names},
        **{key: name for key, name in names.items() if key not in track.edited},
    )
    # Written over a copy: what a person has noted in it stays there.
    shutil.copyfile(track.folder / TRACK_FILE, working / TRACK_FILE)
    write_track(replace(fresh, folder=working))
    return {
        "changed": fresh != track,
        "notes": list(described.notes),
        "kept": list(track.edited),
    }


def given_of(hints: Mapping[str, Any], tags: Tags) -> Given:
    """What a job's hints say, and the tags where they say nothing."""
    return Given(
        bpm=hints.get("bpm") or tags.bpm,
        key=hints.get("key") or tags.key,
        grid_bpm=hints.get("grid_bpm"),
        grid_first_beat_seconds=hints.get("grid_first_beat_seconds"),
        cues=tuple(Cue(*cue) for cue in hints.get("cues", ())),
    )


def _name_of(job: dict[str, Any]) -> tuple[str, str]:
    """(artist, title) by the name of the file or folder; "Low Tide/stems" is called Low Tide."""
    path = Path(job["path"])
    if job["kind"] == "stem file":
        return artist_and_title(shown(path.name[: path.name.lower().rindex(".stem.")]))
    if job["kind"] == "file":
        return artist_and_title(shown(path.stem))
    artist, title = artist_and_title(shown(path.name))
    return (artist, title) if title else artist_and_title(shown(path.parent.name))
