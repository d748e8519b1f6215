"""A recorded show, read back: the lines of `show.jsonl` as arrays.

A recording is written by other versions, cut off by a power failure, or grown over a whole
night. Reading it skips what it does not know, never holds more than its limits, and says in
`meta` what it left out.
"""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Final, cast

import numpy as np
from numpy.typing import NDArray

from crowdstream.errors import MediaError
from crowdstream.packets import STEMS

DECKS: Final = 2
"""Lanes of decks. A deck keeps its lane for as long as its track plays."""

HEARD: Final = 0.05
"""A deck whose loudest stem is below this factor (-26 dB) is not counted as heard."""

# A whole day at ten lines a second; one line of five hundred drawn people is about 120 kB.
MAX_LINES: Final = 900_000
MAX_LINE_BYTES: Final = 1_000_000
MAX_EVENTS: Final = 50_000
# Joints are for the drawn dancers of a page: 20 minutes of 40 people, 65 MB.
MAX_JOINT_NUMBERS: Final = 16_500_000

# Four months: what is later is no moment of a show.
MAX_SECONDS: Final = 1e7

LARGEST: Final = 1e9
"""What is larger is a fault of whoever wrote it; the axes of a picture could not hold it."""

# A recording that is appended to begins again at zero. Smaller steps back are disorder.
RESTART_SECONDS: Final = 1.0

NUMBERS: Final = (
    "energy", "energy_true", "drive", "confidence", "people", "groove", "bpm_wanted", "bpm",
    "bar", "beat", "lufs",
)  # fmt: skip
"""Keys of a line that hold one number, or null where it is not known."""

Floats = NDArray[np.float64]
Lanes = tuple[str, ...]
"""One word for each of DECKS lanes; empty where the lane plays nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """Columns of equal length, one entry for each line; NaN where a number is not known."""

    times: Floats
    """Seconds of the show, growing."""

    energy: Floats
    """0 to 1, as measured."""

    energy_true: Floats
    """0 to 1, as the drawn crowd knows it; NaN for people of flesh."""

    drive: Floats
    confidence: Floats
    people: Floats
    groove: Floats
    """BPM at which the crowd moves."""

    bpm_wanted: Floats
    bpm: Floats
    bar: Floats
    beat: Floats
    """Of the musical timeline; a bar is four."""

    lufs: Floats
    """Short-term loudness."""

    section: list[str]
    """Section of the louder deck's track."""

    tracks: list[Lanes]
    """Title on each deck."""

    deck_sections: list[Lanes]
    """Section of the track on each deck."""

    gains: NDArray[np.float32]
    """Shape (lines, DECKS, 4): what is heard of each stem, as a factor."""

    eyes: list[Lanes]
    """Which eyes the energy rests on."""

    state: list[str]
    scene: list[str]
    """Chapter of the drawn story; empty outside one."""

    events: list[dict[str, object]]
    """Decisions and faults in order of time; each has `t`, `event` and `why`."""

    joints: list[NDArray[np.float32]]
    """For each line an array (people, 17, 2): x and y in picture heights. (0, 17, 2) where
    nobody was drawn; the list is empty when the show holds no joints at all."""

    ids: list[NDArray[np.int64]]
    """For each line the numbers of the drawn people, in the order of `joints`."""

    meta: dict[str, object]
    """The header of the show, with `aspect` (width over height of the picture) and, where they
    are not zero, `lines_skipped` and `lines_left_out`."""

    @property
    def seconds(self) -> float:
        """Moment of the last line."""
        return float(self.times[-1])


def read_show(path: Path) -> Show:
    """Read a recording.

    Lines that are not JSON, that have no time or that are of an unknown kind are skipped and
    counted. A recording that was appended to goes on in time, with a `restart` event.

    Raises:
        MediaError: the file cannot be read, or no line of it is a line of a show.
    """
    rows = _Rows()
    try:
        with path.open("rb") as file:
            for raw in _lines(file):
                rows.take(raw)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MediaError(f"{path}: cannot be read ({reason}); name a show.jsonl") from error
    if not rows.times:
        raise MediaError(
            f"{path}: holds no line of a show; record one with crowdstream run --record FILE"
        )
    return rows.show()


def write_setlist(show: Show, out: Path) -> None:
    """Write what was heard as CSV: time, title, artist, seconds heard.

    One row for each time a track was brought in. Time is h:mm:ss of the show; the artist is
    empty where the title does not name one as "artist - title".
    """
    with out.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["time", "title", "artist", "seconds heard"])
        for start, seconds, track in heard(show):
            artist, dash, title = track.partition(" - ")
            if not dash:
                artist, title = "", track
            rows.writerow([clock_text(start), title, artist, f"{seconds:.1f}"])


def heard(show: Show) -> list[tuple[float, float, str]]:
    """Every time a track was brought in: its first moment, seconds heard, title; in order."""
    step = np.diff(show.times, append=show.times[-1])
    found: list[tuple[float, float, str]] = []
    for lane in range(DECKS):
        loud = show.gains[:, lane].max(axis=1) >= HEARD
        for start, end, track in spans([tracks[lane] for tracks in show.tracks]):
            at = np.flatnonzero(loud[start:end]) + start
            if track and at.size:
                found.append((float(show.times[at[0]]), float(step[at].sum()), track))
    return sorted(found)


def spans(words: list[str]) -> list[tuple[int, int, str]]:
    """Runs of the same word as (first line, line after the last, word)."""
    edges = [i for i in range(len(words)) if i == 0 or words[i] != words[i - 1]]
    return [(start, end, words[start]) for start, end in pairwise([*edges, len(words)])]


def clock_text(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines of at most MAX_LINE_BYTES; a longer one comes as an empty line."""
    while raw := file.readline(MAX_LINE_BYTES):
        whole = raw.endswith(b"\n") or len(raw) < MAX_LINE_BYTES
        while not whole:
            rest = file.readline(MAX_LINE_BYTES)
            whole, raw = rest.endswith(b"\n") or len(rest) < MAX_LINE_BYTES, b"\n"
        yield raw


class _Rows:
    """The show as far as it has been read."""

    def __init__(self) -> None:
        self.times = array("d")
        self.numbers = {name: array("d") for name in NUMBERS}
        self.gains = array("f")
        self.section: list[str] = []
        self.tracks: list[Lanes] = []
        self.deck_sections: list[Lanes] = []
        self.eyes: list[Lanes] = []
        self.state: list[str] = []
        self.scene: list[str] = []
        self.events: list[dict[str, object]] = []
        self.joints: list[NDArray[np.float32]] = []
        self.ids: list[NDArray[np.int64]] = []
        self.meta: dict[str, object] = {}
        self.joint_numbers = 0
        self.skipped = 0
        self.left_out = 0
        self.aspect: float | None = None
        # Added to every time of the file: above zero once the recording began again.
        self.offset = 0.0
        self.words: dict[str, str] = {"": ""}
        self.lanes: Lanes = ("",) * DECKS

    def take(self, raw: bytes) -> None:
        """Read one line of the file."""
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            self.skipped += 1
            return
        t = _number(line.get("t")) if isinstance(line, dict) else math.nan
        if not abs(t) <= MAX_SECONDS:  # NaN as well
            self.skipped += 1
        elif isinstance(line.get("event"), str):
            self._take_event(t, line)
        elif "energy" in line or "bpm" in line:
            self._take_line(t, line)
        else:
            self.skipped += 1

    def show(self) -> Show:
        """Everything that was read, in order."""
        aspect = self.aspect or _aspect(self.meta.get("aspect")) or 16 / 9
        meta = self.meta | {"aspect": aspect}
        if self.skipped:
            meta["lines_skipped"] = self.skipped
        if self.left_out:
            meta["lines_left_out"] = self.left_out
        drawn = self.joint_numbers > 0
        column = {name: np.array(values, np.float64) for name, values in self.numbers.items()}
        return Show(
            times=np.array(self.times, np.float64),
            **column,
            section=self.section,
            tracks=self.tracks,
            deck_sections=self.deck_sections,
            gains=np.array(self.gains, np.float32).reshape(-1, DECKS, len(STEMS)),
            eyes=self.eyes,
            state=self.state,
            scene=self.scene,
            events=sorted(self.events, key=lambda event: cast("float", event["t"])),
            joints=self.joints if drawn else [],
            ids=self.ids if drawn else [],
            meta=meta,
        )

    def _take_event(self, t: float, line: dict[str, object]) -> None:
        if line["event"] == "show":
            if self.times:
                self._begin_again(t)
            else:
                self.meta |= {
                    key: value for key, value in line.items() if key not in ("t", "event")
                }
            return
        if len(self.events) >= MAX_EVENTS:
            self.left_out += 1
            return
        why = line.get("why")
        facts = {"t": t + self.offset, "why": why if isinstance(why, str) else ""}
        self.events.append(line | facts)

    def _take_line(self, t: float, line: dict[str, object]) -> None:
        if len(self.times) >= MAX_LINES:
            self.left_out += 1
            return
        if self.times and t + self.offset <= self.times[-1]:
            if t + self.offset > self.times[-1] - RESTART_SECONDS:
                self.skipped += 1
                return
            self._begin_again(t)
        self.times.append(t + self.offset)
        for name, values in self.numbers.items():
            values.append(_number(line.get(name)))
        self.section.append(self._word(line.get("section")))
        self.state.append(self._word(line.get("state")))
        self.scene.append(self._word(line.get("scene")))
        eyes = line.get("eyes")
        self.eyes.append(tuple(map(self._word, eyes)) if isinstance(eyes, list) else ())
        self._take_decks(line)
        self._take_people(line)

    def _begin_again(self, t: float) -> None:
        """Go on in time where a recording that was appended to starts anew at `t`."""
        self.offset = self.times[-1] + 0.1 - t
        self.events.append(
            {"t": self.times[-1], "event": "restart", "why": "the recording begins again here"}
        )

    def _take_decks(self, line: dict[str, object]) -> None:
        """Put each deck's track on a lane: the one it was on, else one that is free."""
        said = line.get("decks")
        decks = [deck for deck in said if isinstance(deck, dict)] if isinstance(said, list) else []
        if not decks:
            decks = [line]
        playing = [(self._word(deck.get("track")), deck) for deck in decks[:DECKS]]
        lanes: list[dict[str, object] | None] = [None] * DECKS
        for track, deck in playing:
            if track and track in self.lanes and lanes[self.lanes.index(track)] is None:
                lanes[self.lanes.index(track)] = deck
        for track, deck in playing:
            if track and not any(deck is other for other in lanes):
                # An empty lane rather than the one whose track has just ended.
                free = [lane for lane in range(DECKS) if lanes[lane] is None]
                free.sort(key=lambda lane: self.lanes[lane] != "")
                lanes[free[0]] = deck
        self.lanes = tuple(self._word(deck.get("track")) if deck else "" for deck in lanes)
        self.tracks.append(self.lanes)
        self.deck_sections.append(
            tuple(self._section(deck, line) if deck else "" for deck in lanes)
        )
        for lane in lanes:
            gains = lane.get("gains") if lane else None
            for stem in STEMS:
                gain = _number(gains.get(stem)) if isinstance(gains, dict) else 0.0
                self.gains.append(gain if math.isfinite(gain) else 0.0)

    def _section(self, deck: dict[str, object], line: dict[str, object]) -> str:
        if "section" not in deck and deck.get("track") == line.get("track"):
            return self._word(line.get("section"))
        return self._word(deck.get("section"))

    def _take_people(self, line: dict[str, object]) -> None:
        joints, ids = NOBODY, NO_IDS
        said = line.get("joints")
        if isinstance(said, list) and said:
            try:
                joints = np.array(said, np.float32).reshape(len(said), 17, 2)
                ids = np.array(line.get("ids") or range(len(said)), np.int64).reshape(len(said))
            except (ValueError, TypeError, OverflowError):
                joints, ids = NOBODY, NO_IDS
            if not np.isfinite(joints).all() or self.joint_numbers > MAX_JOINT_NUMBERS:
                joints, ids = NOBODY, NO_IDS
        self.joint_numbers += joints.size
        self.joints.append(joints)
        self.ids.append(ids)
        if self.aspect is None:
            self.aspect = _aspect(line.get("aspect"))

    def _word(self, value: object) -> str:
        """One copy of each word: a night repeats a few of them a million times."""
        word = value if isinstance(value, str) else ""
        return self.words.setdefault(word, word) if len(self.words) < MAX_EVENTS else word


NOBODY: Final = np.zeros((0, 17, 2), np.float32)
NO_IDS: Final = np.zeros(0, np.int64)


def _aspect(value: object) -> float | None:
    """Width over height of a picture that can be, else None."""
    aspect = _number(value)
    return aspect if 0.1 <= aspect <= 10 else None


def _number(value: object) -> float:
    """A number that something can have as it is; NaN for everything else: nothing is invented."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if abs(number) <= LARGEST else math.nan
