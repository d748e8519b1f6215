"""What was heard tonight, in a small file: a player that starts again does not repeat it.

One JSON object a line, `{"at": seconds since 1970, "id": …, "artist": …}`, the oldest first. What
cannot be read is passed over; what cannot be written is not.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crowdstream.music.choosing import REMEMBERED, Heard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crowdstream.music.library import Track
    from crowdstream.packets import ShowEvent

FILE: Final = "heard.jsonl"
"""In the state folder."""

NIGHT_SECONDS: Final = 12 * 3600.0
"""What is longer ago was another night."""

_BEGINNINGS: Final = ("start", "transition")

MOST_BYTES: Final = 256 * 1024
"""The file is written anew, with what is of tonight, when it has grown to this."""


def read_history(path: Path, now: float) -> tuple[Heard, ...]:
    """What was heard in the night before `now` (seconds since 1970), the oldest first."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    heard = [one for line in text.splitlines() if (one := _of_tonight(line, now)) is not None]
    return tuple(heard[-REMEMBERED:])


def note_heard(path: Path, track_id: str, artist: str, now: float) -> bool:
    """Add a track that is heard from `now` on; False when the file cannot be written."""
    line = json.dumps({"at": round(now, 1), "id": track_id, "artist": artist}, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MOST_BYTES:
            _shorten(path, now)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError:
        return False
    return True


class Remembered:
    """The file of a player that plays: read at its start, added to with each new track."""

    def __init__(self, folder: Path, tracks: Iterable[Track], now: float) -> None:
        """`folder` is the state folder, `tracks` what may be played, `now` seconds since 1970."""
        self._path = folder / FILE
        self._artists = {track.id: track.artist for track in tracks}
        self.tonight = read_history(self._path, now)
        """What was heard before this start, the oldest first."""

    def follow(self, events: Iterable[ShowEvent], now: float) -> None:
        """Note the tracks that begin to be heard by these decisions. May wait for a disk."""
        for event in events:
            if event.event in _BEGINNINGS:
                track_id = str(event.facts["to"])
                note_heard(self._path, track_id, self._artists.get(track_id, ""), now)


def _shorten(path: Path, now: float) -> None:
    """Keep what is of tonight: all of it or, after a fault, the old file."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = [line for line in lines if _of_tonight(line, now) is not None][-REMEMBERED:]
    part = path.with_name(path.name + ".part")
    part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    part.replace(path)


def _of_tonight(line: str, now: float) -> Heard | None:
    try:
        said = json.loads(line)
        at = float(said["at"])
        heard = Heard(str(said["id"]), str(said["artist"]))
    except (ValueError, KeyError, TypeError):
        return None
    # A clock that was set back makes what was heard seem to lie ahead: it is of tonight too.
    return heard if math.isfinite(at) and now - at <= NIGHT_SECONDS else None
