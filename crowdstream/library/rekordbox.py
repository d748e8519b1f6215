"""Grids, cues and tags out of a collection that rekordbox has exported as XML.

The format is Pioneer's "rekordbox xml format list": `TRACK` with `Location`, `AverageBpm` and
`Tonality`; under it `TEMPO` (`Inizio`: seconds of a beat, `Bpm`, `Metro`, `Battito`: which beat of
the bar) and `POSITION_MARK` (cues and loops).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from crowdstream.errors import MediaError
from crowdstream.library.names import SOUND_ENDINGS, STEM_ENDINGS
from crowdstream.library.tags import bpm_of
from crowdstream.music.keys import camelot_of

LARGEST_FILE: Final = 1 << 30
MOST_CUES: Final = 64

SAME_TEMPO: Final = 0.001
"""Anchors whose tempo differs by less than this share are of one tempo."""

SAME_BEAT: Final = 0.1
"""And lie on its beats to so much of a beat."""

LAST_CUE_SECONDS: Final = 7200.0


class Prepared(NamedTuple):
    """One track of the collection."""

    name: str
    location: str
    """Path on the machine that it was prepared on."""

    hints: Mapping[str, Any]
    """What a job of `library_make` wants to know."""

    notes: tuple[str, ...]


def read_collection(path: Path) -> Iterator[Prepared]:
    """Each track that lies in a file, in the order of the collection.

    Raises:
        MediaError: the file is no such collection; also after the first tracks.
        OSError: it cannot be read.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    if path.stat().st_size > LARGEST_FILE:
        raise MediaError(f"{path}: is larger than any collection")
    root = None
    try:
        # A document type could name entities, which grow or read other files. rekordbox has none.
        for event, element in iterparse(path, events=("start", "end"), forbid_dtd=True):
            if root is None:
                root = element
                if element.tag != "DJ_PLAYLISTS":
                    raise MediaError(
                        f"{path}: is no rekordbox collection: it begins with {element.tag[:40]}"
                    )
            if event == "end" and element.tag == "TRACK" and element.get("Location"):
                yield _prepared(element)
            if event == "end" and element.tag in ("TRACK", "NODE", "COLLECTION"):
                element.clear()  # collections are large, and each track is needed once
    except DefusedXmlException:
        raise MediaError(
            f"{path}: has a document type in it, which rekordbox does not write"
        ) from None
    except ParseError as broken:
        raise MediaError(f"{path}: is no XML that can be read: {broken}") from None


def locate(location: str, roots: Sequence[Path]) -> Path | None:
    """Where the file of a track lies here: its path, or as much of its end as is there.

    Only files within `roots` are found, whatever the collection says.
    """
    if not location.lower().endswith((*SOUND_ENDINGS, *STEM_ENDINGS)):
        return None
    parts = [p for p in PurePosixPath(location.replace("\\", "/")).parts if p not in ("/", ".")]
    if not parts or ".." in parts or "\0" in location:
        return None
    for root in roots:
        home = root.resolve()
        whole = Path("/", *parts)
        if whole.is_relative_to(home) and _lies_in(whole, home):
            return whole
        # /Users/anna/Music/a.mp3 may lie in /media/usb/Music/a.mp3 here: the longest end wins.
        for start in range(len(parts)):
            here = home.joinpath(*parts[start:])
            if _lies_in(here, home):
                return here
    return None


def _lies_in(path: Path, home: Path) -> bool:
    try:
        return path.is_file() and path.resolve().is_relative_to(home)
    except (OSError, RuntimeError, ValueError):
        return False


def _prepared(element: Any) -> Prepared:
    notes: list[str] = []
    grid = _grid_of(element, notes)
    cues = _cues_of(element)
    title = _line(element.get("Name"))
    hints = {
        "title": title,
        "artist": _line(element.get("Artist")),
        "bpm": bpm_of(element.get("AverageBpm")),
        "key": camelot_of(element.get("Tonality") or ""),
        **({"grid_bpm": grid[0], "grid_first_beat_seconds": grid[1]} if grid else {}),
        **({"cues": cues} if cues else {}),
    }
    location = unquote(str(element.get("Location")))
    for prefix in ("file://localhost", "file://"):
        location = location.removeprefix(prefix)
    return Prepared(title or "untitled", location, hints, tuple(notes))


def _grid_of(element: Any, notes: list[str]) -> tuple[float, float] | None:
    """(bpm, seconds of the first beat of a bar), if one grid holds for all of the track."""
    anchors: list[tuple[float, float, int]] = []
    for tempo in element.iterfind("TEMPO"):
        bpm, start = bpm_of(tempo.get("Bpm")), _number(tempo.get("Inizio"))
        beat = _number(tempo.get("Battito"))
        if tempo.get("Metro", "4/4") != "4/4":
            notes.append(f"its grid is in {str(tempo.get('Metro'))[:8]}, so it is measured")
            return None
        if bpm is None or start is None or beat not in (1.0, 2.0, 3.0, 4.0):
            notes.append("its grid cannot be read, so it is measured")
            return None
        anchors.append((start, bpm, int(beat)))
    if not anchors:
        return None
    start, bpm, beat = anchors[0]
    for other, its_bpm, _ in anchors[1:]:
        beats = (other - start) * bpm / 60.0
        off = abs(beats - round(beats))
        if abs(its_bpm / bpm - 1.0) > SAME_TEMPO or off > SAME_BEAT:
            slowest, fastest = min(a[1] for a in anchors), max(a[1] for a in anchors)
            notes.append(
                f"its grid changes ({slowest:g} to {fastest:g} BPM) and a track has one tempo, so"
                " it is measured"
            )
            return None
    last = anchors[-1][0]
    beats = round((last - start) * bpm / 60.0)
    if beats > 0:
        bpm = 60.0 * beats / (last - start)
    return bpm, start - (beat - 1) * 60.0 / bpm


def _cues_of(element: Any) -> list[tuple[str, float]]:
    """Names and seconds; a hot cue without a name is called by its letter."""
    cues: list[tuple[str, float]] = []
    for mark in element.iterfind("POSITION_MARK"):
        start, number = _number(mark.get("Start")), _number(mark.get("Num"))
        if start is None or not 0.0 <= start <= LAST_CUE_SECONDS or len(cues) == MOST_CUES:
            continue
        hot = number is not None and number in range(8)
        letter = f"hot cue {'ABCDEFGH'[int(number or 0)]}" if hot else "cue"
        kind = "loop" if mark.get("Type") == "4" else letter
        cues.append((_line(mark.get("Name")) or kind, start))
    return sorted(set(cues), key=lambda cue: cue[1])


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e6 else None  # NaN is not less than anything


def _line(text: str | None) -> str | None:
    """One line of it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text or "").split())
    return line[:200].strip() or None
