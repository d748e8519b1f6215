"""What of the files and folders that a person names is music, and why the rest is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from crowdstream.library.names import (
    MIX,
    REST,
    SOUND_ENDINGS,
    STEM_ENDINGS,
    is_plainly_a_stem,
    shown,
    stem_named,
    without_what_all_share,
)
from crowdstream.music.library import TRACK_FILE
from crowdstream.packets import STEMS

Kind = Literal["file", "stems", "stem file", "track", "archive"]

MOST_STEM_FILES: Final = 128
"""A folder of more files than this is a folder of songs, whatever they are called."""

DEEPEST: Final = 50

MOST_BYTES: Final = 4 << 30
"""No track is larger; a video that calls itself one is."""


class Candidate(NamedTuple):
    """Something that may become a track."""

    kind: Kind
    """`file`: one file that plays whole. `stems`: a folder of them. `stem file`: five streams.
    `track`: a track of another library. `archive`: such a one in a .zip."""

    path: Path
    """What to call it by: the file or the folder."""

    files: tuple[Path, ...]
    stems: tuple[str, ...] = ()
    """For `stems`: which one each of `files` is."""

    notes: tuple[str, ...] = ()
    """What was decided about the files, in sentences."""


class Refused(NamedTuple):
    """Something that is not taken."""

    path: Path
    reason: str


def find_music(
    given: Sequence[Path], *, library: Path | None = None
) -> tuple[list[Candidate], list[Refused], int]:
    """Everything that may become a track, everything refused, and how many files were passed over.

    Folders are searched to the bottom, in order of names; the library itself is left out. A link
    that leads out of the folder that was given is refused; one that stays inside is passed over,
    for what it means is found anyway.
    """
    leave = library.resolve() if library is not None else None
    candidates: list[Candidate] = []
    refused: list[Refused] = []
    others = 0
    for path in given:
        path = path.absolute()
        if not path.exists():
            refused.append(Refused(path, "there is no such file or folder"))
        elif path.is_dir():
            others += _search(path, path.resolve(), leave, candidates, refused)
        elif reason := _reason_against(path):
            refused.append(Refused(path, reason))
        elif (candidate := _of_file(path)) is None:
            refused.append(
                Refused(path, f"is no sound file by its name; known are {_known_endings()}")
            )
        else:
            candidates.append(candidate)
    seen: set[Path] = set()
    once = [c for c in candidates if not (c.path in seen or seen.add(c.path))]  # type: ignore[func-returns-value]
    return once, refused, others


def _search(
    folder: Path,
    root: Path,
    leave: Path | None,
    candidates: list[Candidate],
    refused: list[Refused],
    depth: int = 0,
) -> int:
    """Take one folder and all below it; how many files were passed over."""
    if folder.resolve() == leave:
        return 0
    if depth > DEEPEST:
        refused.append(Refused(folder, f"lies more than {DEEPEST} folders deep"))
        return 0
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        refused.append(Refused(folder, f"cannot be opened: {error.strerror}"))
        return 0
    files: list[Path] = []
    folders: list[Path] = []
    others = 0
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            others += entry.is_file(follow_symlinks=False)
        elif entry.is_symlink():
            if (reason := _reason_against_link(path, root)) is not None:
                refused.append(Refused(path, reason))
            else:
                others += 1
        elif entry.is_dir(follow_symlinks=False):
            folders.append(path)
        elif entry.name == TRACK_FILE:
            candidates.append(Candidate("track", folder, (path,)))
            return others
        elif not _sounds(path):
            others += 1
        elif reason := _reason_against(path):
            refused.append(Refused(path, reason))
        else:
            files.append(path)
    alone = [path for path in files if path.name.lower().endswith(STEM_ENDINGS)]
    rest = [path for path in files if path not in alone]
    together = _as_stems(folder, rest)
    if together is not None:
        candidates.append(together)
        rest = []
    candidates += [c for path in sorted([*alone, *rest]) if (c := _of_file(path)) is not None]
    for below in folders:
        others += _search(below, root, leave, candidates, refused, depth + 1)
    return others


def _as_stems(folder: Path, files: Sequence[Path]) -> Candidate | None:
    """The folder as the stems of one track, if that is what its files' names say.

    It is when at least two different stems are named plainly, one of them drums, bass or vocals,
    and such names are at least half of all.
    """
    if not 2 <= len(files) <= MOST_STEM_FILES:
        return None
    names = without_what_all_share([path.stem for path in files])
    plain = [stem_named(name) for name in names if is_plainly_a_stem(name)]
    kinds = {stem for stem in plain if stem is not None}
    if len(kinds) < 2 or not kinds & {"drums", "bass", "vocals"} or 2 * len(plain) < len(files):
        return None
    meant = [stem_named(name) for name in names]
    parts = {stem for stem in meant if stem in STEMS}
    chosen: list[Path] = []
    stems: list[str] = []
    notes: list[str] = []
    for path, stem in zip(files, meant, strict=True):
        if stem == MIX or (stem == REST and parts != {"vocals"}):
            notes.append(f"{shown(path.name)} is left out: it is the sum of others")
            continue
        chosen.append(path)
        stems.append("other" if stem in (None, REST) else str(stem))
    return Candidate("stems", folder, tuple(chosen), tuple(stems), tuple(notes))


def _of_file(path: Path) -> Candidate | None:
    name = path.name.lower()
    if name.endswith(STEM_ENDINGS):
        return Candidate("stem file", path, (path,))
    if path.suffix.lower() in SOUND_ENDINGS:
        return Candidate("file", path, (path,))
    if path.suffix.lower() == ".zip":
        return Candidate("archive", path, (path,))
    return None


def _sounds(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(STEM_ENDINGS) or path.suffix.lower() in SOUND_ENDINGS


def _reason_against(path: Path) -> str | None:
    """Why a file is not even opened."""
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "is no ordinary file"  # a pipe would be waited for, a device read without end
    if status.st_size == 0:
        return "is empty"
    if status.st_size > MOST_BYTES:
        return f"is {status.st_size / 2**30:.0f} GB large; no track is"
    if not os.access(path, os.R_OK):
        return "may not be read by this user"
    return None


def _reason_against_link(path: Path, root: Path) -> str | None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError up to Python 3.12
        return "is a link that leads nowhere"
    if not target.is_relative_to(root):
        return "is a link that leads out of the folder that was given; give what it means instead"
    return None


def _known_endings() -> str:
    return ", ".join(sorted(ending[1:] for ending in SOUND_ENDINGS)) + ", stem.mp4"
