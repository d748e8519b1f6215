"""Measure tracks that are in a library anew: what a person has changed stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from crowdstream.library.jobs import Answer, Job, Jobs, Step
from crowdstream.library.keep import Keep
from crowdstream.music.library import TRACK_FILE, Track, read_track


class Again(NamedTuple):
    """What became of one track."""

    track: Track
    """As it is now."""

    changed: bool
    refused: str = ""
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """What a person had changed."""


def measure_again(
    keep: Keep,
    tracks: Sequence[Track],
    *,
    jobs: int,
    hints: Sequence[dict[str, Any]] | None = None,
    watch: Callable[[int, str], None] = lambda _index, _what: None,
) -> Iterator[Again]:
    """Measure them, several at once; answers come in their order.

    `hints` are what another program says of each. A `track.toml` is replaced as a whole, and only
    if something is new in it.

    Raises:
        CrowdstreamError: the disk is full.
    """
    folders: dict[int, Path] = {}

    def prepare(number: int) -> Job:
        folders[number] = keep.working_folder()
        return {
            "kind": "measure", "path": str(tracks[number].folder), "files": [], "notes": [],
            "working": str(folders[number]), "hints": hints[number] if hints else {},
        }  # fmt: skip

    def outcome(number: int, said: dict[str, Any]) -> Again:
        track, working = tracks[number], folders.pop(number)
        with closing(_Gone(working)):
            if "refused" in said:
                return Again(track, changed=False, refused=said["refused"])
            if said["changed"]:
                (working / TRACK_FILE).replace(track.folder / TRACK_FILE)
                track = read_track(track.folder)
            return Again(track, said["changed"], "", tuple(said["notes"]), tuple(said["kept"]))

    waiting: dict[int, dict[str, Any]] = {}
    next_one = 0
    with Jobs(min(jobs, max(1, len(tracks))), prepare, lambda _sound: False) as running:
        for told in running.work(range(len(tracks))):
            if isinstance(told, Step):
                watch(told.number, told.name)
                continue
            assert isinstance(told, Answer)
            watch(told.number, "")
            waiting[told.number] = told.said
            while next_one in waiting:
                yield outcome(next_one, waiting.pop(next_one))
                next_one += 1


class _Gone:
    """A folder that is gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def close(self) -> None:
        """Take it away."""
        shutil.rmtree(self._folder, ignore_errors=True)
