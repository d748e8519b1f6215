"""Look at every track of a library: what is wrong with it, and what would mend it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.library.describe import UNSURE
from crowdstream.library.make import FEWEST_BARS, hash_of_sound
from crowdstream.music.library import (
    MIX,
    TRACK_FILE,
    WHOLE_PLAYS_AS,
    Track,
    load_stems,
    read_track,
)
from crowdstream.packets import STEMS

LENGTHS_DIFFER_SECONDS: Final = 0.1


class Checked(NamedTuple):
    """One folder of the library."""

    folder: Path
    track: Track | None
    """None where `track.toml` cannot be used."""

    mend: tuple[str, ...]
    """One sentence for each thing that is wrong."""


def check_library(folder: Path, *, deep: bool = False) -> Iterator[Checked]:
    """Each track in order of names; `deep` decodes every sample and compares it with its hash."""
    ids: dict[str, str] = {}
    for home in sorted(folder.glob("[!.]*")):
        if not (home / TRACK_FILE).is_file():
            if home.is_dir():
                yield Checked(home, None, (f"has no {TRACK_FILE}: add the music, or take it out",))
            continue
        try:
            track = read_track(home)
        except CrowdstreamError as broken:
            lines = [line.replace(f"{home}/", "") for line in str(broken).splitlines()]
            yield Checked(home, None, tuple(lines))
            continue
        mend = [*_files_of(track), *_grid_of(track)]
        if track.id in ids:
            mend.append(f"has the id {track.id} of the folder {ids[track.id]}; give it another")
        ids.setdefault(track.id, home.name)
        if deep and not mend:
            mend += _sound_of(track)
        yield Checked(home, track, tuple(mend))


def _files_of(track: Track) -> Iterator[str]:
    """Whether each file is what `track.toml` says."""
    import soundfile

    lengths: dict[str, float] = {}
    for name in track.files.values():
        try:
            info = soundfile.info(track.folder / name)
        except (soundfile.LibsndfileError, OSError):
            yield f"{name} cannot be decoded: copy it again"
            continue
        if info.samplerate != track.rate:
            yield f"{name} is at {info.samplerate} Hz, {TRACK_FILE} says {track.rate}"
        if info.channels not in (1, 2):
            yield f"{name} has {info.channels} channels; it may have one or two"
        lengths[name] = info.frames / info.samplerate
    if not lengths:
        return
    longest = max(lengths.values())
    for name, seconds in lengths.items():
        if longest - seconds > LENGTHS_DIFFER_SECONDS:
            yield f"{name} is {seconds:.1f} s long, the longest stem {longest:.1f} s"
    if abs(longest - track.seconds) > LENGTHS_DIFFER_SECONDS:
        yield f"its files are {longest:.1f} s long, {TRACK_FILE} says {track.seconds:.1f} s"


def _grid_of(track: Track) -> Iterator[str]:
    if track.confidence < UNSURE:
        yield (
            f"its beats are unsure ({track.confidence:.2f}): listen, and set bpm and"
            f" first_beat_seconds in {TRACK_FILE}"
        )
    if track.bars < FEWEST_BARS:
        yield f"has only {track.bars} bars, too few to be mixed"


def _sound_of(track: Track) -> Iterator[str]:
    """Decode all of it."""
    try:
        stems = load_stems(track, track.rate)
    except MediaError as broken:
        yield str(broken).replace(f"{track.folder}/", "")
        return
    parts = {MIX: stems[WHOLE_PLAYS_AS]} if track.whole else dict(zip(STEMS, stems, strict=True))
    if track.source is not None and hash_of_sound(parts) != track.source.sound_sha256:
        yield "its sound is not that which was added: copy it again"
