"""A track on its way to another library: out as a folder or a .zip, in again as it was."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from crowdstream.errors import ConfigError, CrowdstreamError, MediaError
from crowdstream.library.names import shown
from crowdstream.music.library import (
    MIX,
    TRACK_FILE,
    WHOLE_PLAYS_AS,
    Source,
    Track,
    load_stems,
    read_track,
    write_track,
)
from crowdstream.packets import STEMS

MOST_FILES: Final = 16
"""A track has five files; a few more may lie beside them."""

MOST_BYTES: Final = 4 << 30

LARGEST_TRACK_FILE: Final = 1 << 20

# The same track makes the same archive, whenever it is exported.
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def export_track(track: Track, out: Path) -> Path:
    """Write the track into a new folder, or into a new archive if `out` ends in `.zip`.

    Raises:
        CrowdstreamError: there is something already.
        OSError: it cannot be written; then nothing is left there.
    """
    if out.exists() or out.is_symlink():
        raise CrowdstreamError(f"{out} is there already; name another with --out, or move it")
    files = [TRACK_FILE, *track.files.values()]
    out.parent.mkdir(parents=True, exist_ok=True)
    half = out.with_name(f".{out.name}.half")
    try:
        if out.suffix.lower() == ".zip":
            # FLAC is packed already: a second packing would cost a minute and save nothing.
            with zipfile.ZipFile(half, "w", zipfile.ZIP_STORED) as archive:
                for name in files:
                    entry = zipfile.ZipInfo(f"{track.id}/{name}", _DATE)
                    entry.external_attr = 0o644 << 16
                    with (track.folder / name).open("rb") as file, archive.open(entry, "w") as to:
                        shutil.copyfileobj(file, to, 1 << 20)
        else:
            half.mkdir()
            for name in files:
                shutil.copyfile(track.folder / name, half / name)
        half.rename(out)
    finally:
        if half.is_dir():
            shutil.rmtree(half, ignore_errors=True)
        else:
            half.unlink(missing_ok=True)
    return out


def take_over(path: Path, working: Path, sha256: str) -> dict[str, Any]:
    """Copy a track of another library into the working folder, after its sound was decoded.

    Its `track.toml` is taken as it is: what was measured, and what somebody has changed in it.

    Raises:
        MediaError: it is no track, or not whole.
    """
    from crowdstream.library.make import hash_of_sound

    if path.is_dir():
        _copy_folder(path, working)
    else:
        _unpack(path, working)
    try:
        track = read_track(working)
        stems = load_stems(track, track.rate)
    except (MediaError, ConfigError) as broken:
        # Its files lie in the working folder now, which means nothing to a person.
        said = str(broken).splitlines()[0].replace(f"{working}/", "")
        raise MediaError(f"is no track that can be taken: {said}") from broken
    parts = {MIX: stems[WHOLE_PLAYS_AS]} if track.whole else dict(zip(STEMS, stems, strict=True))
    if not any(np.any(sound) for sound in parts.values()):
        raise MediaError("holds nothing but silence")
    sound_sha256 = hash_of_sound(parts)
    if track.source is None:
        track = replace(track, source=Source(path.name, sha256, sound_sha256))
        write_track(track)
    elif track.source.sound_sha256 != sound_sha256:
        raise MediaError(
            "has other sound in it than its track.toml says; copy it again, or take the table"
            " [source] out of track.toml if you have changed the sound"
        )
    return {
        "sound_sha256": sound_sha256,
        "notes": ["a track of another library, with its grid and its edits"],
    }


def _copy_folder(path: Path, working: Path) -> None:
    try:
        track = read_track(path)
    except (MediaError, ConfigError) as broken:
        said = str(broken).splitlines()[0].replace(f"{path}/", "")
        raise MediaError(f"is no track that can be taken: {said}") from broken
    for name in (TRACK_FILE, *track.files.values()):
        shutil.copyfile(path / name, working / name)


def _unpack(path: Path, working: Path) -> None:
    """The files of one track, from the top of the archive or from its one folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            homes = {PurePosixPath(e.filename).parent for e in entries}
            names = [PurePosixPath(e.filename).name for e in entries]
            if TRACK_FILE not in names:
                raise MediaError(f"holds no {TRACK_FILE}: it is no exported track")
            if len(homes) != 1 or len(entries) > MOST_FILES or len(set(names)) != len(names):
                raise MediaError("holds more than one track; export them one by one")
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise MediaError("is too large for a track")
            for entry, name in zip(entries, names, strict=True):
                _unpack_one(archive, entry, working / name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as broken:
        raise MediaError(f"is no archive that can be read: {shown(str(broken))}") from broken


def _unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, to: Path) -> None:
    """Only the name counts, not where in the archive it says that it belongs."""
    if to.name.startswith(".") or to.name in ("", ".."):
        return
    left = LARGEST_TRACK_FILE if to.name == TRACK_FILE else MOST_BYTES
    with archive.open(entry) as packed, to.open("wb") as file:
        while block := packed.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise MediaError(f"its {shown(to.name)} is too large")
            file.write(block)
