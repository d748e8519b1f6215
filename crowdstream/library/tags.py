"""What is written in a file beside its sound: title, artist, tempo, key, and the names of stems."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from crowdstream.music.keys import camelot_of

SLOWEST_BPM: Final = 40.0
FASTEST_BPM: Final = 260.0

LONGEST_TEXT: Final = 200

# Names of the same tag: ID3, MP4, and the comments of FLAC and Ogg.
_TITLE: Final = ("TIT2", "\xa9nam", "title")
_ARTIST: Final = ("TPE1", "\xa9ART", "artist", "albumartist", "TPE2", "aART")
_BPM: Final = ("TBPM", "tmpo", "bpm", "tempo", "TXXX:BPM", "----:com.apple.iTunes:BPM")
_KEY: Final = (
    "TKEY", "----:com.apple.iTunes:initialkey", "----:com.apple.iTunes:KEY", "initialkey",
    "initial key", "key", "TXXX:initialkey", "TXXX:INITIALKEY", "TXXX:KEY",
)  # fmt: skip

_BOX_HEADER: Final = struct.Struct(">I4s")
_LONGEST_STEM_BOX: Final = 1 << 20


class Tags(NamedTuple):
    """What a file says of itself; None for what it does not say, or says in no known form."""

    title: str | None = None
    artist: str | None = None
    bpm: float | None = None
    key: str | None = None
    """Camelot."""


def read_tags(path: Path) -> Tags:
    """The tags of a file; none where they are broken: sound without a name is sound."""
    import mutagen

    try:
        file = mutagen.File(path)
        tags: Any = None if file is None else file.tags
        return Tags(
            title=_text(_first(tags, _TITLE)),
            artist=_text(_first(tags, _ARTIST)),
            bpm=bpm_of(_first(tags, _BPM)),
            key=camelot_of(_first(tags, _KEY) or ""),
        )
    except Exception:  # whatever a broken tag does to its reader, the sound may be good
        return Tags()


def bpm_of(text: str | None) -> float | None:
    """A tempo as people write it: "128", "127,98", "128.00 BPM"."""
    found = re.search(r"\d+(?:[.,]\d+)?", text or "")
    if found is None:
        return None
    bpm = float(found[0].replace(",", "."))
    return bpm if math.isfinite(bpm) and SLOWEST_BPM <= bpm <= FASTEST_BPM else None


def stem_names(path: Path) -> tuple[str, ...]:
    """What an MP4 says that its second to fifth streams are, in their order; () if nothing.

    It stands as JSON in the box moov/udta/stem (Native Instruments' Stem format, 2015).
    """
    try:
        with path.open("rb") as file:
            places = [(0, file.seek(0, 2))]
            for name in (b"moov", b"udta", b"stem"):
                places = [found for place in places for found in _boxes(file, name, *place)]
            start, end = places[0]
            file.seek(start)
            said = json.loads(file.read(min(end - start, _LONGEST_STEM_BOX)).decode("utf-8"))
        return tuple(str(stem.get("name", "")) for stem in said["stems"][:4])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ()


def _boxes(file: IO[bytes], wanted: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the contents of boxes of this name lie between two places (ISO 14496-12)."""
    while start + _BOX_HEADER.size <= end:
        file.seek(start)
        size, name = _BOX_HEADER.unpack(file.read(_BOX_HEADER.size))
        content = start + _BOX_HEADER.size
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
            content += 8
        elif size == 0:
            size = end - start
        if size < content - start or start + size > end:
            return
        if name == wanted:
            yield content, start + size
        start += size


def _first(tags: Any, names: Iterable[str]) -> str | None:
    """The first of these tags that is there, as text."""
    if tags is None:
        return None
    for name in names:
        try:
            value = tags[name]
        except (KeyError, ValueError, TypeError):
            continue
        value = getattr(value, "text", value)
        if isinstance(value, (list, tuple)):
            value = value[0] if value else None
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if value is not None and str(value).strip():
            return str(value)
    return None


def _text(value: str | None) -> str | None:
    """One line of it, without what a terminal would obey."""
    line = " ".join("".join(c if c.isprintable() else " " for c in value or "").split())
    return line[:LONGEST_TEXT].strip() or None
