"""Take music into a library: each file becomes a track, is there already, or is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from crowdstream.errors import CrowdstreamError
from crowdstream.library.files import Candidate
from crowdstream.library.jobs import Answer, Job, Jobs, Step
from crowdstream.library.keep import Keep
from crowdstream.music.library import Track

MOST_JOBS: Final = 16

Hints = dict[Path, dict[str, Any]]


class Outcome(NamedTuple):
    """What became of one candidate."""

    candidate: Candidate
    track: Track | None = None
    """The new track."""

    same_as: str = ""
    """Or the id of the track that it is already."""

    refused: str = ""
    """Or why it cannot be taken."""

    notes: tuple[str, ...] = ()


Watch = Callable[[int, str], None]
"""Told the number of a candidate and what is done with it; "" at its end."""


def cores() -> int:
    """How many tracks are worked on at once: one for each core that this process may use."""
    return max(1, min(MOST_JOBS, len(os.sched_getaffinity(0))))


def add_music(
    keep: Keep,
    candidates: Sequence[Candidate],
    *,
    jobs: int,
    short: bool = False,
    hints: Hints | None = None,
    watch: Watch = lambda _index, _what: None,
) -> Iterator[Outcome]:
    """Make tracks of the candidates; outcomes come in the order of the candidates.

    That order is kept so that of two files with the same sound, or with the same name, it is always
    the first one that gets in. `hints` are what others know of a file, by its path.

    Raises:
        CrowdstreamError: the disk is full; what was made until then is there.
    """
    making = _Making(keep, candidates, short, hints or {})
    waiting: dict[int, dict[str, Any]] = {}
    next_one = 0
    try:
        with Jobs(min(jobs, max(1, len(candidates))), making.prepare, making.is_known) as running:
            for told in running.work(range(len(candidates))):
                if isinstance(told, Step):
                    watch(told.number, told.name)
                    continue
                assert isinstance(told, Answer)
                watch(told.number, "")
                waiting[told.number] = told.said
                while next_one in waiting:
                    yield making.outcome(next_one, waiting.pop(next_one))
                    next_one += 1
    except CrowdstreamError as error:
        raise CrowdstreamError(
            f"{error}; {next_one} of {len(candidates)} are done, and the same command goes on there"
        ) from error
    finally:
        making.tidy()


def hash_of_files(files: Sequence[Path]) -> str:
    """SHA-256 of one file's bytes; of several, of their names and hashes."""
    sums = []
    for path in files:
        with path.open("rb") as file:
            sums.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if len(sums) == 1:
        return sums[0][1]
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class _Making:
    """What the children are given, and what becomes of their answers."""

    def __init__(
        self, keep: Keep, candidates: Sequence[Candidate], short: bool, hints: Hints
    ) -> None:
        self._keep = keep
        self._candidates = candidates
        self._short = short
        self._hints = hints
        self._same_as: dict[int, str] = {}
        self._sounds: dict[int, str] = {}
        self._refused: dict[int, str] = {}
        self._folders: dict[int, Path] = {}

    def prepare(self, index: int) -> Job | None:
        """The job of a candidate; None if the track is there, or its bytes cannot be read."""
        candidate = self._candidates[index]
        try:
            sha256 = hash_of_files(candidate.files)
        except OSError as error:
            self._refused[index] = f"cannot be read: {error.strerror or error}"
            return None
        if (there := self._keep.given_before(sha256)) is not None:
            self._same_as[index] = there
            return None
        self._folders[index] = working = self._keep.working_folder()
        return {
            "kind": candidate.kind,
            "path": str(candidate.path),
            "files": [str(path) for path in candidate.files],
            "stems": list(candidate.stems),
            "notes": list(candidate.notes),
            "sha256": sha256,
            "working": str(working),
            "short": self._short,
            "hints": self._hints.get(candidate.path, {}),
        }

    def is_known(self, sound_sha256: str) -> bool:
        """Whether a track sounds exactly so."""
        return self._keep.sounds_like(sound_sha256) is not None

    def outcome(self, index: int, said: dict[str, Any]) -> Outcome:
        """Place the track, or say why there is none."""
        candidate = self._candidates[index]
        if index in self._refused or "refused" in said:
            self._drop(index)
            return Outcome(candidate, refused=self._refused.get(index) or said["refused"])
        if index in self._same_as:
            return Outcome(candidate, same_as=self._same_as[index])
        sound = str(said.get("sound_sha256", ""))
        # The bytes or the sound may have come in with an earlier candidate meanwhile.
        same_as = self._keep.sounds_like(sound)
        if same_as is not None:
            self._drop(index)
            return Outcome(candidate, same_as=same_as)
        track = self._keep.place(self._folders.pop(index))
        return Outcome(candidate, track, notes=tuple(said["notes"]))

    def tidy(self) -> None:
        """What is half made goes."""
        for index in tuple(self._folders):
            self._drop(index)

    def _drop(self, index: int) -> None:
        folder = self._folders.pop(index, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
