"""Which keys sound well together: the Camelot wheel.

Twelve numbers a fifth apart, A for minor and B for major. A step around the wheel changes one
note of the scale, the other letter none at all.
"""

from __future__ import annotations

import re
from typing import Final

_CAMELOT: Final = re.compile(r"(1[0-2]|[1-9])([AB])")
_HOURS: Final = 12


def steps_between(one: str, other: str) -> int:
    """Steps from key to key: around the wheel, and one for the other letter.

    Raises ValueError when a key is not Camelot, 1A to 12B.
    """
    (hour, letter), (other_hour, other_letter) = _parsed(one), _parsed(other)
    around = abs(hour - other_hour)
    return min(around, _HOURS - around) + (letter != other_letter)


def fits(one: str, other: str) -> bool:
    """Whether two keys can be heard at once: the same, a neighbour, or the other letter."""
    return steps_between(one, other) <= 1


def shifted(key: str, semitones: int) -> str:
    """The key that is heard when music in `key` is played so many semitones higher.

    A semitone is seven fifths, so seven steps around the wheel. Raises ValueError when the key is
    not Camelot.
    """
    hour, letter = _parsed(key)
    return f"{(hour - 1 + 7 * semitones) % _HOURS + 1}{letter}"


def _parsed(key: str) -> tuple[int, str]:
    match = _CAMELOT.fullmatch(key)
    if match is None:
        raise ValueError(f"{key!r} is not a key of the Camelot wheel, 1A to 12B")
    return int(match[1]), match[2]
