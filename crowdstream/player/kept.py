"""Where the music is, in a small file: a player that was lost goes on where it would be by now.

The file is replaced whole about once a second, and taken away when it is read: a player that is
lost again before it has played for a while begins as on any night, whatever it was that ended it.
What is older than half a minute, torn, or of a library that has changed is not gone on with.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream.music.place import Place, bar_of
from crowdstream.music.timeline import BEATS_PER_BAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crowdstream.music.conductor import Conductor
    from crowdstream.music.timeline import Timeline
    from crowdstream.player.deck import Deck

FILE: Final = "place.json"
"""In the state folder."""

VERSION: Final = 1
YOUNG_SECONDS: Final = 30.0
"""A floor that has stood in silence for longer wants a beginning."""

FIRST_SECONDS: Final = 3.0
"""So long a player plays before it writes: what kills it at once must not do so again and again."""

EVERY_SECONDS: Final = 1.0
MOST_BYTES: Final = 4096

_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "track_bpm": (20.0, 400.0), "first_beat_seconds": (-3600.0, 3600.0), "offset": (-1e9, 1e9),
    "since": (0, 1e9), "beat": (0.0, 1e9), "bpm": (20.0, 400.0), "bpm_wanted": (20.0, 400.0),
    "drive": (0.0, 1.0), "shift": (-12, 12), "skip": (0, 1e9), "nudge": (-1.0, 1.0),
    "gone_seconds": (0.0, 0.0),
}  # fmt: skip
_WHOLE: Final = ("offset", "since", "shift", "skip")
_WORDS: Final = ("track_id", "sound_sha256")


@dataclass(frozen=True, slots=True)
class Kept:
    """A place, and when it was heard."""

    place: Place
    at: float
    """Seconds on the monotonic clock."""

    def by(self, now: float) -> Place:
        """Where the music would be at `now`, at the tempo that it had."""
        gone = now - self.at
        beat = self.place.beat + gone * self.place.bpm / 60.0
        return replace(self.place, beat=max(beat, 0.0), gone_seconds=max(gone, 0.0))


class PlaceFile:
    """The file of one player, from its start on."""

    def __init__(self, folder: Path, began_1970: float) -> None:
        """`folder` is the state folder; `began_1970` is when the monotonic clock was 0."""
        self._path = folder / FILE
        self._began_1970 = began_1970
        self._first_at: float | None = None
        self._written_at = -math.inf
        self._written: tuple[object, ...] = ()

    def take(self, now: float) -> Kept | None:
        """What the last player has left, for one that starts at `now`; it is there only once."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
            forget(self._path.parent)
            return read_place(text, now, self._began_1970)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            print(f"the night begins anew, {self._path.name} is of no use: {error}", flush=True)
            return None

    def follow(self, place: Place, heard_at: float) -> bool:
        """Write it if it is time, or if it is another track or another place of it.

        True if it was written. May wait for a disk; a disk that is full costs the file only.
        """
        if self._first_at is None:
            self._first_at = heard_at
        here = place.track_id, place.offset, [gain > 0.0 for gain in place.gains]
        due = heard_at - self._written_at >= EVERY_SECONDS or here != self._written
        if not due or heard_at - self._first_at < FIRST_SECONDS:
            return False
        self._written_at, self._written = heard_at, here
        part = self._path.with_suffix(".part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(told(Kept(place, heard_at), self._began_1970))
            part.replace(self._path)
        except OSError:
            return False
        return True


def forget(folder: Path) -> None:
    """A night that ended in order has no place to go on at; `folder` is the state folder."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink(missing_ok=True)


def told(kept: Kept, began_1970: float) -> bytes:
    """The file's content."""
    facts = asdict(kept.place) | {
        "version": VERSION, "at": kept.at, "at_1970": began_1970 + kept.at
    }  # fmt: skip
    return (json.dumps(facts) + "\n").encode()


def read_place(text: bytes, now: float, began_1970: float) -> Kept | None:
    """The place that `told` has written down, if it is young at `now`.

    Raises:
        ValueError: it is old, of another run of the machine, or none of ours; says which.
    """
    if len(text) > MOST_BYTES:
        raise ValueError("it is too long")
    try:
        facts: dict[str, Any] = json.loads(text)
        version, at, at_1970 = facts.pop("version"), facts.pop("at"), facts.pop("at_1970")
        facts["gains"] = tuple(facts["gains"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is torn, or none of ours") from error
    numbers = {**{key: facts.get(key) for key in _LIMITS}, "at": at, "at_1970": at_1970}
    right = (
        version == VERSION
        and facts.keys() == {field.name for field in fields(Place)}
        and all(isinstance(facts[key], str) for key in _WORDS)
        and all(_is_number(value) for value in numbers.values())
        and all(low <= numbers[key] <= high for key, (low, high) in _LIMITS.items())
        and all(isinstance(facts[key], int) for key in _WHOLE)
        and len(facts["gains"]) == 4
        and all(_is_number(gain) and 0.0 <= gain <= 4.0 for gain in facts["gains"])
        and any(facts["gains"])
    )
    if not right:
        raise ValueError("it says what cannot be")
    # Both clocks must agree: the one begins anew with the machine, the other can be set.
    ages = now - at, now + began_1970 - at_1970
    if not all(-1.0 <= age <= YOUNG_SECONDS for age in ages):
        raise ValueError(f"it is not of the last {YOUNG_SECONDS:g} s")
    return Kept(Place(**facts), at)


def _is_number(value: object) -> bool:
    # Neither what is no number, nor a whole one that is too long to become a fraction.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


def place_of(
    decks: Sequence[Deck], timeline: Timeline, conductor: Conductor, sample: int
) -> Place | None:
    """Where the loudest deck is at `sample`; None where nothing is heard."""
    heard = [(deck, deck.track, deck.gains.tolist()) for deck in decks]
    sounding = [one for one in heard if one[1] is not None and any(one[2])]
    if not sounding:
        return None
    deck, track, gains = max(sounding, key=lambda one: sum(gain * gain for gain in one[2]))
    assert track is not None
    wish, beat, since = conductor.wish, timeline.beat_at(sample), conductor.since(track)
    return Place(
        track_id=track.id, track_bpm=track.bpm, first_beat_seconds=track.first_beat_seconds,
        sound_sha256=track.source.sound_sha256 if track.source is not None else "",
        offset=round(deck.offset / BEATS_PER_BAR), shift=round(deck.shift), nudge=deck.nudge,
        since=max(bar_of(beat), 0) if since is None else since,
        gains=(gains[0], gains[1], gains[2], gains[3]), beat=max(beat, 0.0),
        bpm=timeline.bpm_at(sample), bpm_wanted=wish.bpm, drive=wish.drive, skip=wish.skip,
    )  # fmt: skip
