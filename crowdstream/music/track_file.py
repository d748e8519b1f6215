"""A track's `track.toml`: read, with every mistake at once, and written whole or not at all."""

from __future__ import annotations

import contextlib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from crowdstream.errors import ConfigError, MediaError
from crowdstream.music.track import (
    BEATS_PER_BAR,
    MIX,
    SECTION_NAMES,
    SEPARATIONS,
    Cue,
    Section,
    Source,
    Track,
)
from crowdstream.music.track_text import as_toml, text_changed
from crowdstream.packets import STEMS

TRACK_FILE: Final = "track.toml"

# The last bar may ring out a little short: files of a separated track are cut by hand.
END_TOLERANCE_SECONDS: Final = 0.5

_CAMELOT: Final = re.compile(r"(?:[1-9]|1[0-2])[AB]")

_RANGES: Final = {
    "bpm": (40.0, 260.0),
    "bars": (1, 4000),
    "first_beat_seconds": (0.0, 600.0),
    "seconds": (0.1, 7200.0),
    "rate": (8000, 192_000),
    "loudness_lufs": (-70.0, 0.0),
}
_KNOWN: Final = frozenset(
    (*_RANGES, "id", "title", "artist", "key", "sections", "stops", "files", "cues", "measured",
     "source", "energy", "separation")
)  # fmt: skip


def read_track(folder: Path) -> Track:
    """The track in `folder`, checked.

    Raises MediaError when its files are not there or not TOML, ConfigError when `track.toml` says
    something that cannot be.
    """
    path = folder / TRACK_FILE
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise MediaError(f"{folder}: there is no {TRACK_FILE}, so it is not a track") from missing
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as unreadable:
        raise MediaError(f"{path}: cannot be read as TOML: {unreadable}") from unreadable

    mistakes = [f"{path}: {key} is not known" for key in said if key not in _KNOWN]
    number = {key: _number(path, said, key, mistakes) for key in _RANGES}
    key = _text(path, said, "key", mistakes)
    if key and not _CAMELOT.fullmatch(key):
        mistakes.append(f"{path}: key is {key!r}; it must be Camelot, 1A to 12B")
    track = Track(
        id=_text(path, said, "id", mistakes, folder.name),
        title=_text(path, said, "title", mistakes),
        artist=_text(path, said, "artist", mistakes, "unknown"),
        bpm=number["bpm"],
        key=key,
        bars=int(number["bars"]),
        first_beat_seconds=number["first_beat_seconds"],
        seconds=number["seconds"],
        rate=int(number["rate"]),
        loudness_lufs=number["loudness_lufs"],
        sections=_sections(path, said, number["bars"], mistakes),
        stops=_stops(path, said, number["bars"] * BEATS_PER_BAR, mistakes),
        folder=folder,
        files=_files(path, said, mistakes),
        cues=_cues(path, said, mistakes),
        measured=_measured(path, said, mistakes),
        source=_source(path, said, mistakes),
        energy=_energy(path, said, mistakes),
        separation=_separation(path, said, mistakes),
    )
    if mistakes:
        raise ConfigError(*mistakes)
    end = track.first_beat_seconds + track.bars * BEATS_PER_BAR * 60.0 / track.bpm
    if end > track.seconds + END_TOLERANCE_SECONDS:
        raise ConfigError(
            f"{path}: {track.bars} bars at {track.bpm:g} BPM end at {end:.1f} s, "
            f"but the track is {track.seconds:.1f} s long; give fewer bars"
        )
    home = folder.resolve()
    for stem, name in track.files.items():
        if not (folder / name).is_file():
            what = "the sound" if stem == MIX else "this stem"
            raise MediaError(f"{folder / name}: {what} of {track.title!r} is missing")
        if (folder / name).resolve().parent != home:
            raise MediaError(f"{folder / name}: is a link that leads out of the track's folder")
    return track


def write_track(track: Track) -> None:
    """Write `track.toml` into the track's folder: all of it or, after a fault, none.

    One that is there keeps the comments and the order that a person gave it.
    """
    path = track.folder / TRACK_FILE
    text = as_toml(track)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = text_changed(path.read_text(encoding="utf-8"), text)
    half_written = path.with_name(f".{TRACK_FILE}.{os.getpid()}")
    track.folder.mkdir(parents=True, exist_ok=True)
    try:
        half_written.write_text(text, encoding="utf-8")
        half_written.replace(path)
    finally:
        half_written.unlink(missing_ok=True)


def _number(path: Path, said: dict[str, Any], key: str, mistakes: list[str]) -> float:
    low, high = _RANGES[key]
    value = said.get(key)
    whole = isinstance(low, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        kind = "a whole number" if whole else "a number"
        mistakes.append(f"{path}: {key} is {value!r}; it must be {kind}, {low:g} to {high:g}")
        return low
    if not low <= value <= high:  # NaN is not within anything
        mistakes.append(f"{path}: {key} is {value}; it must be {low:g} to {high:g}")
        return low
    return value


def _text(
    path: Path, said: dict[str, Any], key: str, mistakes: list[str], default: str | None = None
) -> str:
    value = said.get(key, default)
    if isinstance(value, str) and value:
        return value
    mistakes.append(f"{path}: {key} is {value!r}; it must be a text")
    return ""


def _energy(path: Path, said: dict[str, Any], mistakes: list[str]) -> float | None:
    value = said.get("energy")
    if value is None or (type(value) in (int, float) and 0.0 <= value <= 1.0):
        return None if value is None else float(value)
    mistakes.append(f"{path}: energy is {value!r}; it must be 0 to 1, or be left out")
    return None


def _separation(path: Path, said: dict[str, Any], mistakes: list[str]) -> str:
    value = said.get("separation", "")
    if value in SEPARATIONS:
        return str(value)
    mistakes.append(
        f"{path}: separation is {value!r}; it must be fast, high or best, or be left out where the"
        " stems are the track's own"
    )
    return ""


def _tables(path: Path, said: dict[str, Any], key: str, mistakes: list[str]) -> list[Any]:
    value = said.get(key, [])
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return value
    mistakes.append(f"{path}: {key} must be a list of tables, as `write_track` writes it")
    return []


def _sections(
    path: Path, said: dict[str, Any], bars: float, mistakes: list[str]
) -> tuple[Section, ...]:
    sections: list[Section] = []
    next_bar = 0
    for row in _tables(path, said, "sections", mistakes):
        name, bar, length = row.get("name"), row.get("bar"), row.get("bars")
        if name not in SECTION_NAMES:
            mistakes.append(
                f"{path}: a section is called {name!r}; it must be one of "
                f"{', '.join(SECTION_NAMES)}"
            )
        elif type(bar) is not int or type(length) is not int or length < 1 or bar != next_bar:
            mistakes.append(
                f"{path}: section {name} at bar {bar!r} is {length!r} bars long; it must begin at "
                f"bar {next_bar}, where the one before ends, and have whole bars"
            )
        else:
            sections.append(Section(name, bar, length))
            next_bar = bar + length
            continue
        return tuple(sections)
    if next_bar != bars:
        mistakes.append(f"{path}: the sections end at bar {next_bar}; the track has {bars:g} bars")
    return tuple(sections)


def _stops(
    path: Path, said: dict[str, Any], beats: float, mistakes: list[str]
) -> tuple[tuple[float, float], ...]:
    stops: list[tuple[float, float]] = []
    for row in _tables(path, said, "stops", mistakes):
        beat, length = row.get("beat"), row.get("beats")
        numbers = type(beat) in (int, float) and type(length) in (int, float)
        if not (numbers and math.isfinite(beat + length) and 0 <= beat < beat + length <= beats):
            mistakes.append(f"{path}: a stop at beat {beat!r} for {length!r} beats is not in it")
        else:
            stops.append((float(beat), float(length)))
    return tuple(sorted(stops))


def _files(path: Path, said: dict[str, Any], mistakes: list[str]) -> dict[str, str]:
    files = said.get("files", {})
    if not isinstance(files, dict) or set(files) not in ({*STEMS}, {MIX}):
        mistakes.append(f"{path}: files must name the four stems: {', '.join(STEMS)}; or one {MIX}")
        return {}
    for stem, name in files.items():
        # A track is its folder: it can be copied, and points nowhere else.
        if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
            mistakes.append(f"{path}: the file of {stem} is {name!r}; it must lie in the folder")
    return {stem: str(files[stem]) for stem in (*STEMS, MIX) if stem in files}


def _cues(path: Path, said: dict[str, Any], mistakes: list[str]) -> tuple[Cue, ...]:
    cues: list[Cue] = []
    for row in _tables(path, said, "cues", mistakes):
        name, seconds = row.get("name"), row.get("seconds")
        if isinstance(name, str) and type(seconds) in (int, float) and 0 <= seconds <= 7200:
            cues.append(Cue(name, float(seconds)))
        else:
            mistakes.append(f"{path}: cue {name!r} at {seconds!r} seconds is no place in the track")
    return tuple(cues)


def _measured(path: Path, said: dict[str, Any], mistakes: list[str]) -> Mapping[str, str | float]:
    table = said.get("measured", {})
    if isinstance(table, dict) and all(
        isinstance(value, (str, int, float)) and not isinstance(value, bool)
        for value in table.values()
    ):
        return table
    mistakes.append(f"{path}: measured must be a table of texts and numbers; or take it out")
    return {}


def _source(path: Path, said: dict[str, Any], mistakes: list[str]) -> Source | None:
    table = said.get("source")
    if table is None:
        return None
    keys = ("name", "sha256", "sound_sha256")
    if isinstance(table, dict) and all(isinstance(table.get(key), str) for key in keys):
        return Source(*(table[key] for key in keys))
    mistakes.append(f"{path}: source must have {', '.join(keys)} as texts; or take it out")
    return None
