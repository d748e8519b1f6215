"""Turn crowd energy into the tempo it asks for."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from crowdstream.dsp.tempo import GroovePull, TempoCurve
from crowdstream.packets import Energy, Tempo
from crowdstream.programme import Programme, Wanted
from crowdstream.stage import Context, StageConfig, Transform

UNKNOWN_SYNCHRONY = 0.3
"""What counts for the synchrony where it is not known: of one dancer, or of motion alone."""


class MapTempoConfig(StageConfig):
    """Settings of `map_tempo`.

    Example:
        [[stage]]
        use = "map_tempo"
        bpm_range = [80, 145]
        reach_bpm = 24
    """

    from_machine: ClassVar[tuple[str, ...]] = ("programme",)

    bpm_range: tuple[float, float] = Field(
        (80.0, 145.0), description="Slowest and fastest tempo that may ever be asked for, in BPM."
    )
    reach_bpm: float = Field(
        24.0, ge=0, le=60, description="How far from the programme's tempo the crowd can pull."
    )
    smoothing_seconds: float = Field(
        3.0, ge=0, le=60, description="How long the target takes to follow a sudden change."
    )
    dead_zone_bpm: float = Field(
        0.4, ge=0, le=5, description="Changes smaller than this are ignored."
    )
    mode: Literal["energy", "follow", "hybrid"] = Field(
        "energy",
        description="What asks for a tempo: how much the crowd moves; the tempo it moves at"
        " (follow); or how much, pulled by the tempo as far as all move together (hybrid).",
    )
    forget_seconds: float = Field(
        30.0, ge=1, le=600, description="How slowly a pull of the crowd's own tempo is forgotten."
    )
    programme: Programme = Field(Programme(), description="From [programme] of config.toml.")

    @model_validator(mode="after")
    def _range_is_a_range(self) -> MapTempoConfig:
        slowest, fastest = self.bpm_range
        if not 40 <= slowest < fastest <= 220:
            raise ValueError("bpm_range must rise and lie between 40 and 220")
        return self


class MapTempo(Transform[Energy, Tempo]):
    """Follow the drive with a target tempo; how fast the music goes there is the player's.

    The programme's own tempo belongs to its own intensity: an empty floor, whose drive is the
    programme's, hears the music at the programme's tempo.

    With `follow` and `hybrid` the tempo that people move at pulls the music as well. It asks for
    nothing while they dance to what they hear, never for more than `reach_bpm` away from the
    programme, and what it asked for is forgotten again.
    """

    Config = MapTempoConfig

    def __init__(self, config: MapTempoConfig, context: Context) -> None:
        """Nothing is opened."""
        super().__init__(config, context)
        self._programme = config.programme
        self._curve = TempoCurve(
            *config.bpm_range,
            reach_bpm=config.reach_bpm,
            smoothing_seconds=config.smoothing_seconds,
            dead_zone_bpm=config.dead_zone_bpm,
        )
        self._mode = config.mode
        self._reach = config.reach_bpm
        self._pull = GroovePull(reach_bpm=config.reach_bpm, forget_seconds=config.forget_seconds)

    def process(self, energy: Energy, /) -> Tempo:
        """The target for one measurement."""
        wanted = self._wanted()
        at = energy.captured_at
        bpm = self._curve.smooth(self._asked(energy, wanted), at=at)
        self._pull.sent(bpm, at=at)
        return Tempo(
            seq=energy.seq,
            captured_at=energy.captured_at,
            epoch=energy.epoch,
            bpm=bpm,
            idle=energy.people == 0 or energy.state == "stale",
        )

    def _asked(self, energy: Energy, wanted: Wanted) -> float:
        """The target of this mode, within the leash around the programme."""
        by_energy = self._curve.target(energy.drive, intensity=wanted.intensity, bpm=wanted.bpm)
        if self._mode == "energy":
            return by_energy
        weight = UNKNOWN_SYNCHRONY
        if energy.synchrony is not None:
            weight = energy.synchrony if self._mode == "hybrid" else 1.0
        pull = self._pull.follow(
            energy.groove_bpm, energy.groove_confidence, weight=weight, at=energy.captured_at
        )
        asked = pull + (wanted.bpm if self._mode == "follow" else by_energy)
        return min(wanted.bpm + self._reach, max(wanted.bpm - self._reach, asked))

    def _wanted(self) -> Wanted:
        if self.context.offline:
            return Wanted(self._programme.bpm, self._programme.intensity)
        return self._programme.at(self.context.clock.local_time())
