"""Decoded tracks on disk, within a budget, for the player to map into its memory.

One file for each track and rate: the four stems as 16-bit samples, shape (4, samples, 2), and
nothing else; beside it what was measured of it. A file is written under another name first, so
that what has its name is whole. The one that was not used for longest goes first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crowdstream.errors import MediaError
from crowdstream.music.library import Track, load_stems
from crowdstream.packets import STEMS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BYTES_PER_SAMPLE: Final = len(STEMS) * 2 * 2

KEPT_FILES: Final = 3
"""However small the budget: two tracks that sound and one that comes."""


class DecodedCache:
    """The files of one folder. Several processes may share it."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """`folder` is made when the first track is decoded."""
        self.folder = folder
        self._budget = budget_bytes

    def fetch(self, track: Track, rate: int) -> Path:
        """The file of a track at `rate`, decoded now if it is not there.

        Raises:
            MediaError: the track cannot be decoded.
            OSError: the folder cannot be written.
        """
        there = self.there(track, rate)
        if there is not None:
            return there
        path = self.folder / name_of(track, rate)
        stems = load_stems(track, rate)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_room(stems.nbytes)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with part.open("wb") as file:
                file.write(stems.data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def there(self, track: Track, rate: int) -> Path | None:
        """The file of a track, if it has been decoded before; now the last to go.

        Raises:
            MediaError: a file of the track is missing.
        """
        path = self.folder / name_of(track, rate)
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            if size and size % BYTES_PER_SAMPLE == 0:
                os.utime(path)
                return path
        return None

    def tidy(self) -> None:
        """Remove what processes that died have left half written."""
        for part in self.folder.glob(".*.pcm.*"):
            pid = part.name.rpartition(".")[2]
            if not pid.isdecimal() or not Path(f"/proc/{pid}").exists():
                with contextlib.suppress(OSError):
                    part.unlink()

    def _make_room(self, coming: int) -> None:
        """Let the oldest go until what comes fits into the budget."""
        found = []
        for path in self.folder.glob("*.pcm"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        found.sort()
        total = coming + sum(size for _, size, _ in found)
        # Who has mapped a file keeps its content; only the name goes.
        for _, size, path in found[: max(0, len(found) - KEPT_FILES + 1)]:
            if total <= self._budget:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
                measures_file(path).unlink(missing_ok=True)


def name_of(track: Track, rate: int) -> str:
    """A name that changes with the track's files and the rate.

    Raises:
        MediaError: a file of the track is missing.
    """
    told = hashlib.sha256(f"{track.id}\0{rate}".encode())
    for _, name in sorted(track.files.items()):
        path = track.folder / name
        try:
            facts = path.stat()
        except OSError as error:
            raise MediaError(f"{path}: this stem of {track.title!r} is missing") from error
        told.update(f"\0{path.absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}".encode())
    return f"{told.hexdigest()[:32]}.pcm"


def measures_file(path: Path) -> Path:
    """Where what is measured of a decoded file stands; see `crowdstream.player.measures`."""
    return path.with_suffix(".npz")


def map_stems(path: Path) -> NDArray[np.int16]:
    """The stems of a decoded file, shape (4, samples, 2), mapped and not to be written.

    Raises:
        OSError, ValueError: there is no whole file of that name.
    """
    import mmap

    import numpy as np

    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
    memory.madvise(mmap.MADV_WILLNEED)
    stems: NDArray[np.int16] = np.frombuffer(memory, np.int16).reshape(len(STEMS), -1, 2)
    return stems
