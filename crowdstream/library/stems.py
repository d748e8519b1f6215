"""Give stems to a track that plays whole, once something has separated them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.library.make import hash_of_sound
from crowdstream.music.library import MIX, Track, load_stems, read_library, write_track
from crowdstream.packets import STEMS


def whole_tracks(library: Path) -> tuple[Track, ...]:
    """The tracks that nobody has separated yet; the sound to separate is `files["mix"]`."""
    return tuple(track for track in read_library(library)[0] if track.whole)


def give_stems(track: Track, stems: Path) -> Track:
    """Take `drums.flac` and the others from a folder; the track with them, on the disk as well.

    Its grid and what was changed by hand stay. The mix stays beside the stems: a player that was
    started before goes on with it, and it can be separated again. Until `track.toml` is replaced,
    at the end and as a whole, the track is what it was.

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
        half.replace(track.folder / file)
    given = replace(track, files=files)
    if track.source is not None:
        parts = dict(zip(STEMS, load_stems(given, track.rate), strict=True))
        given = replace(given, source=replace(track.source, sound_sha256=hash_of_sound(parts)))
    write_track(given)
    return given
