"""The night's own line: local time to tempo and intensity.

The crowd moves the music around this line, never away from it. Without points it is flat and
lies in the middle.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_TIME = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)$")


class Wanted(NamedTuple):
    """What the programme asks for at one moment."""

    bpm: float
    intensity: float


def minutes_of(text: str) -> int:
    """Minutes after midnight of a "22:30".

    Raises:
        ValueError: not a time of day.
    """
    match = _TIME.match(text)
    if match is None:
        raise ValueError(f'"{text}" is not a time of day; write it like "22:30"')
    return int(match[1]) * 60 + int(match[2])


class Programme(BaseModel):
    """Section `[programme]` of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    points: tuple[tuple[str, float, float], ...] = Field(
        (),
        description="Local time, tempo in BPM and intensity 0..1, in the order of the night.",
    )
    closes: str | None = Field(
        None, description='When the night ends, like "05:00"; checked, nothing acts on it yet.'
    )
    bpm: float = Field(112.0, ge=60, le=180, description="Tempo where there are no points.")
    intensity: float = Field(0.5, ge=0, le=1, description="Intensity where there are no points.")

    @field_validator("closes")
    @classmethod
    def _closes_is_a_time(cls, closes: str | None) -> str | None:
        if closes is not None:
            minutes_of(closes)
        return closes

    @model_validator(mode="after")
    def _points_are_a_line(self) -> Self:
        for time, bpm, intensity in self.points:
            minutes_of(time)
            if not 60 <= bpm <= 180:
                raise ValueError(f"{time}: a tempo of {bpm} BPM is not between 60 and 180")
            if not 0 <= intensity <= 1:
                raise ValueError(f"{time}: an intensity of {intensity} is not between 0 and 1")
        minutes = self._minutes()
        if any(b <= a for a, b in itertools.pairwise(minutes)):
            raise ValueError("the points must follow each other within 24 hours")
        return self

    def _minutes(self) -> list[int]:
        """The points' times, counted on over midnight."""
        result: list[int] = []
        for time, _, _ in self.points:
            minute = minutes_of(time)
            if result and minute <= result[-1] and minute < result[0]:
                minute += 1440
            result.append(minute)
        return result

    def at(self, moment: dt.datetime) -> Wanted:
        """What is asked for at a local time: straight lines between the points, flat outside."""
        if not self.points:
            return Wanted(self.bpm, self.intensity)
        minutes = self._minutes()
        now = moment.hour * 60 + moment.minute + moment.second / 60
        if now < minutes[0] and now + 1440 <= minutes[-1] + 720:
            now += 1440  # after midnight, of a night that began before it
        if now <= minutes[0]:
            return Wanted(*self.points[0][1:])
        for index in range(1, len(minutes)):
            if now <= minutes[index]:
                share = (now - minutes[index - 1]) / (minutes[index] - minutes[index - 1])
                _, bpm0, level0 = self.points[index - 1]
                _, bpm1, level1 = self.points[index]
                return Wanted(bpm0 + share * (bpm1 - bpm0), level0 + share * (level1 - level0))
        return Wanted(*self.points[-1][1:])
