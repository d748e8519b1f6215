"""How the conductor plays, as settings of the stages that hold a player."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from crowdstream.music.conductor import Rules


class RulesSettings(BaseModel):
    """Table `rules` of `speakers` and `wav_file`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    slope_up: float = Field(
        0.25, gt=0, le=1, description="Most that the tempo may rise per bar, in BPM."
    )
    slope_down: float = Field(
        0.125, gt=0, le=1, description="Most that the tempo may fall per bar, in BPM."
    )
    leash: float = Field(
        0.04, gt=0, le=0.08, description="How far a track may leave its own tempo, as a share."
    )
    turn_bars: int = Field(
        16, ge=0, le=256, description="The tempo turns at most once in so many bars."
    )
    min_stay_bars: int = Field(
        8, ge=0, le=64, description="A stem that came or went stays so long."
    )
    bars_per_track: int = Field(
        48, ge=16, le=512, description="A track is heard for at least so many bars."
    )
    style: Literal[
        "auto", "stem swap", "drums only", "long blend", "cut", "echo out", "filter out"
    ] = Field("auto", description="The way from one track to the next; auto: what fits.")
    overlap_bars: int = Field(
        8, ge=4, le=32, multiple_of=4,
        description="How long two tracks are heard at once, in bars: 4, 8, and so on up to 32.",
    )  # fmt: skip
    crossfade_duration: float | None = Field(
        None, gt=0, le=120,
        description="The same in seconds: the nearest length of whole four bars is taken.",
    )  # fmt: skip
    segment_beats: int = Field(
        48, ge=16, le=256,
        description="A floor that should stay hears stretches of so many beats again.",
    )  # fmt: skip
    most_shift: int = Field(
        0, ge=0, le=3, description="A track may be moved by so many semitones so that keys agree."
    )
    drop_from: float = Field(
        0.6, ge=0, le=1, description="With a drive above this the next track comes in by its drop."
    )
    strong_change: float = Field(
        0.3, gt=0, le=1, description="So much more or less drive brings the next track early."
    )
    hold_seconds: float = Field(
        10.0, gt=0, le=600, description="Without a wish for so long the music plays on by itself."
    )
    floor_db: float = Field(
        -6.0, ge=-24, le=0, description="Drums and bass are never quieter than this."
    )
    slew_db_per_beat: float = Field(
        1.5, gt=0, le=12, description="Most that the level of a stem moves per beat."
    )
    fade_in_seconds: float = Field(3.0, ge=0, le=60, description="At the very start.")
    loudness_lufs: float = Field(
        -14.0, ge=-40, le=-8, description="Every track is brought to this loudness."
    )
    ceiling_db: float = Field(-1.0, ge=-12, le=0, description="No peak goes above this.")
    stretch: Literal["rubberband", "hybrid", "varispeed"] = Field(
        "rubberband",
        description="How a track meets the tempo: in its key; all but the drums, which keep their"
        " attack; or like a record, at less cost.",
    )

    def facts(self) -> dict[str, Any]:
        """As plain values: `Rules(**facts)`."""
        return self.model_dump()

    def rules(self, *, programme_bpm: float = 112.0, programme_drive: float = 0.5) -> Rules:
        """As the conductor takes them."""
        return Rules(**self.facts(), programme_bpm=programme_bpm, programme_drive=programme_drive)
