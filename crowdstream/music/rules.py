"""The rules of the music: on which lines, how far and how fast it may be moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from crowdstream.errors import ConfigError
from crowdstream.music.timeline import BEATS_PER_BAR

DRUMS, BASS, VOCALS, OTHER = range(4)

PHRASE: Final = 8
"""Bars of a phrase: the grid on which anything may come or go."""

LIFT_REST_BARS: Final = 32
"""A floor is lifted to a drop at most once in so many bars: a peak that never ends is none."""

BASS_OUT_BARS: Final = 16
"""The bass is never away for longer: below this a floor feels it as a promise."""

LONGEST_OVERLAP: Final = 32

Style = Literal["stem swap", "drums only", "long blend", "cut", "echo out", "filter out"]
"""Ways from one track to the next.

    stem swap   the new drums, then bass and kick, then the rest
    drums only  the same, but nothing that has a key is heard of both
    long blend  16 to 32 bars of both, band by band
    cut         on the one
    echo out    on the one, and what was rings on in an echo
    filter out  on the one, and what was leaves through a closing filter
"""

STYLES: Final[tuple[str, ...]] = get_args(Style)


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

    style: Style | Literal["auto"] = "auto"
    """The way from one track to the next; by default what fits."""

    overlap_bars: int = 8
    """From the first to the last moment that two tracks are heard in a swap: 4, 8, … 32."""

    crossfade_duration: float | None = None
    """The same in seconds: then the nearest length of whole four bars is taken."""

    segment_beats: int = 48
    """A floor that should stay hears stretches of so many beats again."""

    most_shift: int = 0
    """How many semitones a track may be heard higher or lower than it is, so that keys agree."""

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
    stretch: Literal["rubberband", "hybrid", "varispeed"] = "rubberband"
    """How a track meets the tempo: in its key; all but the drums in its key; as a record."""

    def __post_init__(self) -> None:
        """Raises ConfigError, one sentence for each value that cannot be."""
        seconds = self.crossfade_duration
        checks = (
            (0 < self.slope_up <= 1 and 0 < self.slope_down <= 1,
             "slope_up and slope_down must lie above 0 and be at most 1 BPM a bar"),
            (0 < self.leash <= 0.08, "leash must lie above 0 and be at most 0.08"),
            (self.overlap_bars in range(4, LONGEST_OVERLAP + 1, 4),
             f"overlap_bars must be 4, 8, and so on up to {LONGEST_OVERLAP}"),
            (seconds is None or 0 < seconds <= 120,
             "crossfade_duration must lie above 0 and be at most 120 seconds"),
            (self.style == "auto" or self.style in STYLES,
             f"style must be auto or one of {', '.join(STYLES)}"),
            (16 <= self.segment_beats <= 256, "segment_beats must be 16 to 256"),
            (0 <= self.most_shift <= 3, "most_shift must be 0 to 3"),
            (self.bars_per_track >= 16, "bars_per_track must be at least 16"),
            (self.min_stay_bars >= 0 and self.turn_bars >= 0, "bars cannot be negative"),
            (-60 <= self.floor_db <= 0, "floor_db must be -60 to 0"),
            (-20 <= self.ceiling_db <= 0, "ceiling_db must be -20 to 0"),
            (self.stretch in ("rubberband", "hybrid", "varispeed"),
             "stretch must be rubberband, hybrid or varispeed"),
            (self.slew_db_per_beat > 0, "slew_db_per_beat must be above 0"),
            (self.fade_in_seconds >= 0 and self.hold_seconds > 0, "seconds cannot be negative"),
        )  # fmt: skip
        if mistakes := [f"rules of the music: {text}" for right, text in checks if not right]:
            raise ConfigError(*mistakes)

    def overlap_at(self, bpm: float) -> int:
        """How many bars two tracks are heard together at this tempo: whole stretches of four."""
        if self.crossfade_duration is None:
            return self.overlap_bars
        bars = self.crossfade_duration * bpm / 60.0 / BEATS_PER_BAR
        return min(max(round(bars / 4.0), 1) * 4, LONGEST_OVERLAP)
