"""The rules of the music: on which lines, how far and how fast it may be moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crowdstream.errors import ConfigError

DRUMS, BASS, VOCALS, OTHER = range(4)

PHRASE: Final = 8
"""Bars of a phrase: the grid on which anything may come or go."""

OPEN: Final = frozenset({"intro", "groove", "drop", "outro"})
"""Sections that may be left: a break or a build has promised something."""

LIFT_REST_BARS: Final = 32
"""A floor is lifted to a drop at most once in so many bars: a peak that never ends is none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the music may be moved."""

    slope_up: float = 0.25
    """Most that the tempo may rise from bar line to bar line, in BPM."""

    slope_down: float = 0.125
    leash: float = 0.04
    """How far a track may be from its own tempo, as a share of it."""

    turn_bars: int = 16
    """The tempo changes its direction at most once in so many bars."""

    min_stay_bars: int = PHRASE
    """A stem that came or went stays so long."""

    bars_per_track: int = 48
    """A track is heard for at least so long before the next one has taken over."""

    overlap_bars: int = 8
    """From the first to the last moment that two tracks are heard: 8 or 16."""

    drop_from: float = 0.6
    """Where the drive is heading above this, the next track comes in with its drop."""

    strong_change: float = 0.3
    """So much more or less drive for 16 bars brings the next track early."""

    hold_seconds: float = 10.0
    """Without a wish for so long the music plays on by itself."""

    programme_bpm: float = 112.0
    programme_drive: float = 0.5
    floor_db: float = -6.0
    """Drums and bass are never quieter than this."""

    slew_db_per_beat: float = 1.5
    fade_in_seconds: float = 3.0
    loudness_lufs: float = -14.0
    ceiling_db: float = -1.0

    def __post_init__(self) -> None:
        """Raises ConfigError, one sentence for each value that cannot be."""
        checks = (
            (0 < self.slope_up <= 1 and 0 < self.slope_down <= 1,
             "slope_up and slope_down must lie above 0 and be at most 1 BPM a bar"),
            (0 < self.leash <= 0.08, "leash must lie above 0 and be at most 0.08"),
            (self.overlap_bars in (8, 16), "overlap_bars must be 8 or 16"),
            (self.bars_per_track >= 16, "bars_per_track must be at least 16"),
            (self.min_stay_bars >= 0 and self.turn_bars >= 0, "bars cannot be negative"),
            (-60 <= self.floor_db <= 0, "floor_db must be -60 to 0"),
            (-20 <= self.ceiling_db <= 0, "ceiling_db must be -20 to 0"),
            (self.slew_db_per_beat > 0, "slew_db_per_beat must be above 0"),
            (self.fade_in_seconds >= 0 and self.hold_seconds > 0, "seconds cannot be negative"),
        )  # fmt: skip
        if mistakes := [f"rules of the music: {text}" for right, text in checks if not right]:
            raise ConfigError(*mistakes)
