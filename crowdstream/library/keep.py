"""The library's folder: who may write, what is in it already, and how a track gets in whole."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from crowdstream.errors import Busy, CrowdstreamError, UsageError
from crowdstream.library.names import id_of
from crowdstream.music.library import TRACK_FILE, Track, read_library, read_track, write_track

MAKING: Final = ".making-"
REMOVED: Final = ".removed-"

_HASHES: Final = re.compile(r'^(sha256|sound_sha256) = "([0-9a-f]{64})"', re.MULTILINE)


class Found(NamedTuple):
    """A track by its id, whether it can be used or not."""

    folder: Path
    track: Track | None
    why: str
    """Why it cannot be used; empty where it can."""


class Keep:
    """A library that this process may change; made by `open_library`."""

    def __init__(self, folder: Path) -> None:
        """`folder` is there and locked."""
        self.folder = folder
        self._of_bytes: dict[str, str] = {}
        self._of_sound: dict[str, str] = {}
        for path in sorted(folder.glob(f"[!.]*/{TRACK_FILE}")):
            self._remember(path)

    def given_before(self, sha256: str) -> str | None:
        """The id of the track that was made of these bytes."""
        return self._of_bytes.get(sha256)

    def sounds_like(self, sound_sha256: str) -> str | None:
        """The id of the track with exactly these samples."""
        return self._of_sound.get(sound_sha256)

    def working_folder(self) -> Path:
        """A hidden folder in which a track can be made."""
        return Path(tempfile.mkdtemp(prefix=MAKING, dir=self.folder))

    def place(self, working: Path) -> Track:
        """Give the track in a working folder its id and its place: all of it, or none."""
        made = read_track(working)
        sound = made.source.sound_sha256 if made.source is not None else ""
        track = replace(made, id=self._free_id(id_of(made.artist, made.title, sound)))
        write_track(track)
        _to_disk(working)
        working.chmod(0o755)
        home = self.folder / track.id
        working.rename(home)
        _to_disk(self.folder)
        self._remember(home / TRACK_FILE)
        return replace(track, folder=home)

    def remove(self, found: Found) -> None:
        """Take a track out: at once for whoever reads the library, then from the disk."""
        if found.folder.is_symlink():
            found.folder.unlink()  # what it leads to is not ours
            return
        away = Path(tempfile.mkdtemp(prefix=REMOVED, dir=self.folder))
        found.folder.rename(away / found.folder.name)
        shutil.rmtree(away)

    def _remember(self, path: Path) -> None:
        # By the text and not by reading the track: one with a slip in it is still the same music.
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for key, value in _HASHES.findall(text):
            (self._of_bytes if key == "sha256" else self._of_sound)[value] = path.parent.name

    def _free_id(self, wanted: str) -> str:
        name, number = wanted, 1
        while (self.folder / name).exists() or (self.folder / name).is_symlink():
            number += 1
            name = f"{wanted}-{number}"
        return name


@contextmanager
def open_library(folder: Path) -> Iterator[Keep]:
    """The library for one who changes it; what an interrupted command left half made is gone.

    Raises:
        Busy: another command changes it now.
        OSError: it cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"another crowdstream library command works in {folder}; try again when it is done"
            ) from None
        for pattern in (MAKING, REMOVED):
            for left in folder.glob(f"{pattern}*"):
                shutil.rmtree(left, ignore_errors=True)
        yield Keep(folder)


def find_track(folder: Path, name: str) -> Found:
    """The track with this id, or whose folder is called so.

    Raises:
        UsageError: there is none; says what is near.
    """
    tracks, _ = read_library(folder)
    for track in tracks:
        if name in (track.id, track.folder.name):
            return Found(track.folder, track, "")
    # A broken one has no id that could be read; its folder has a name.
    path = folder / name
    if Path(name).name == name and not name.startswith(".") and (path / TRACK_FILE).is_file():
        try:
            return Found(path, read_track(path), "")
        except CrowdstreamError as broken:
            return Found(path, None, str(broken).splitlines()[0])
    import difflib

    near = difflib.get_close_matches(name, [track.id for track in tracks], 1, 0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; {len(tracks)} are there, see library list"
    raise UsageError(f"{folder} has no track {name!r}{hint}")


def _to_disk(folder: Path) -> None:
    """What was written survives a power cut from here on."""
    for path in [*folder.iterdir(), folder] if folder.name.startswith(MAKING) else [folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
