"""Give stems to a track that plays whole, once something has separated them."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.music.library import MIX, Track, read_library, write_track
from crowdstream.music.separated import read_separated
from crowdstream.packets import STEMS

_BLOCK: Final = 1 << 18


def whole_tracks(library: Path) -> tuple[Track, ...]:
    """The tracks that nobody has separated yet; the sound to separate is `files["mix"]`."""
    return tuple(track for track in read_library(library)[0] if track.whole)


def give_stems(track: Track, stems: Path) -> Track:
    """Take `drums.flac` and the others from a folder; the track with them, on the disk as well.

    Its grid and what was changed by hand stay; where a `stems.toml` says how they were separated,
    `Track.separation` does too, so that stems that bleed are kept together. The mix stays beside
    the stems: a player that was started before goes on with it, and it can be separated again.
    Until `track.toml` is replaced, at the end and as a whole, the track is what it was.

    Raises:
        CrowdstreamError: the track has stems.
        MediaError: the files are not the stems of this sound, by rate or length.
        OSError: they cannot be copied.
    """
    if not track.whole:
        raise CrowdstreamError(f"{track.id} has stems already")
    import soundfile

    mix = soundfile.info(track.folder / track.files[MIX])
    for name in STEMS:
        try:
            info = soundfile.info(stems / f"{name}.flac")
        except (soundfile.LibsndfileError, OSError) as broken:
            raise MediaError(f"{stems}: {name}.flac cannot be read") from broken
        if (info.frames, info.samplerate) != (mix.frames, mix.samplerate):
            raise MediaError(
                f"{stems / name}.flac has {info.frames} samples at {info.samplerate} Hz; the sound"
                f" of {track.id} has {mix.frames} at {mix.samplerate}"
            )
    files = {name: f"{name}.flac" for name in STEMS}
    for file in files.values():
        half = track.folder / f".{file}"
        shutil.copyfile(stems / file, half)
        _to_disk(half)
        half.replace(track.folder / file)
    separated = read_separated(stems)
    quality = separated.quality if separated is not None else ""
    given = replace(track, files=files, separation=quality)
    if track.source is not None:
        sound_sha256 = _hash_of_files(track.folder)
        given = replace(given, source=replace(track.source, sound_sha256=sound_sha256))
    write_track(given)
    return given


def _hash_of_files(folder: Path) -> str:
    """As `hash_of_sound` of the stems in a folder, of which only a piece is in memory at a time."""
    import numpy as np
    import soundfile

    digest = hashlib.sha256()
    for name in STEMS:
        with soundfile.SoundFile(folder / f"{name}.flac") as sound:
            digest.update(f"{name} {sound.frames}\n".encode())
            for block in sound.blocks(_BLOCK, dtype="int16", always_2d=True):
                stereo = np.broadcast_to(block, (len(block), 2))
                digest.update(np.ascontiguousarray(stereo, "<i2").data)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
