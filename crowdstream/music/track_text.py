"""The text of a `track.toml`: a new one, and one that a person has written in and that changes.

What is the same is not touched: comments, order, empty lines and how a number is written stay.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import MutableMapping
from typing import Any

from crowdstream.music.track import Track


def text_changed(old: str, new: str) -> str:
    """The old text with the values of the new one, or the new one where that cannot be.

    A list that gets longer or shorter is written anew, and loses the comments within it.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = tomllib.loads(new)
    try:
        if tomllib.loads(old) == wanted:
            return old
        document = tomlkit.parse(old)
        _change(document, tomlkit.parse(new))
        text = tomlkit.dumps(document)
        # Comments are worth much, but not a wrong value.
        return text if tomllib.loads(text) == wanted else new
    except (TOMLKitError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return new


def _change(old: Any, new: Any) -> None:
    """Give one table the keys and values of another; a new key stands where it does there."""
    before = next(reversed(list(old)), None)
    if before is not None and isinstance(old[before], MutableMapping):
        before = None  # behind a table it would be in that table
    for key, value in new.items():
        if key not in old and before is not None:
            # Not at the end, where comments on the next table stand; tomlkit has no public word
            # for it.
            container = old if hasattr(old, "_insert_after") else old.value
            container._insert_after(before, key, value)
        elif key not in old:
            old[key] = value
        elif _plain(old[key]) != _plain(value):
            if isinstance(value, MutableMapping) and isinstance(old[key], MutableMapping):
                _change(old[key], value)
            elif isinstance(value, list) and _is_alike(old[key], value):
                for row, wanted in zip(old[key], value, strict=True):
                    _change(row, wanted)
            else:
                old[key] = value
        before = key
    for key in [key for key in old if key not in new]:
        del old[key]


def _is_alike(old: Any, new: list[Any]) -> bool:
    """Both are as many tables, so that each can be changed where it stands."""
    return (
        isinstance(old, list)
        and len(old) == len(new)
        and all(isinstance(row, MutableMapping) for row in (*old, *new))
    )


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value


def as_toml(track: Track) -> str:
    """The whole file, with its own comments."""

    def text(value: str) -> str:
        # A JSON string is a TOML string, but for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

    lines = [
        "# One track of the library. Beat b is heard first_beat_seconds + b * 60 / bpm seconds",
        "# into the files; a bar is four beats. What is changed here by hand stays.",
        "",
        f"id = {text(track.id)}",
        f"title = {text(track.title)}",
        f"artist = {text(track.artist)}",
        f"bpm = {float(track.bpm)!r}",
        f"key = {text(track.key)}                  # on the Camelot wheel",
        f"bars = {track.bars}",
        f"first_beat_seconds = {float(track.first_beat_seconds)!r}",
        f"seconds = {float(track.seconds)!r}",
        f"rate = {track.rate}                # samples per second",
        f"loudness_lufs = {float(track.loudness_lufs)!r}       # integrated, all stems together",
        *([f"energy = {float(track.energy)!r}"] if track.energy is not None else []),
        *([f"separation = {text(track.separation)}"] if track.separation else []),
        "",
        "# From bar to bar, without gaps.",
        "sections = [",
        *(
            f"    {{ name = {text(s.name)}, bar = {s.bar}, bars = {s.bars} }},"
            for s in track.sections
        ),
        "]",
        "",
        "# Silences that the music means, in beats.",
        "stops = [",
        *(f"    {{ beat = {beat!r}, beats = {beats!r} }}," for beat, beats in track.stops),
        "]",
        "",
    ]
    if track.cues:
        lines += [
            "# Places that a DJ has marked, in seconds from the beginning of the files.",
            "cues = [",
            *(
                f"    {{ name = {text(c.name)}, seconds = {float(c.seconds)!r} }},"
                for c in track.cues
            ),
            "]",
            "",
        ]
    lines += ["[files]", *(f"{stem} = {text(name)}" for stem, name in track.files.items()), ""]
    if track.measured:
        lines += [
            "# What was measured. Where a line above differs from it a person has changed it, and",
            "# measuring again leaves it as it is.",
            "[measured]",
            *(
                f"{key} = {text(value) if isinstance(value, str) else repr(value)}"
                for key, value in track.measured.items()
            ),
            "",
        ]
    if track.source is not None:
        lines += [
            "[source]",
            f"name = {text(track.source.name)}",
            f"sha256 = {text(track.source.sha256)}",
            f"sound_sha256 = {text(track.source.sound_sha256)}",
            "",
        ]
    return "\n".join(lines)
