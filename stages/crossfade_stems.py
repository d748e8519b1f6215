"""Say which stems the floor should hear, and how loud."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from crowdstream.dsp.follow import Switch
from crowdstream.packets import Energy, Gains, Mix, Tempo
from crowdstream.programme import Programme, Wanted
from crowdstream.stage import Context, StageConfig, Transform


class CrossfadeStemsConfig(StageConfig):
    """Settings of `crossfade_stems`.

    Example:
        [[stage]]
        use = "crossfade_stems"
        from = ["measure_energy", "map_tempo"]
        other_from = 0.2
        vocals_from = 0.5
    """

    from_machine: ClassVar[tuple[str, ...]] = ("programme",)

    other_from: float = Field(
        0.2, ge=0, le=1, description="From this drive on the pads and plucks are heard."
    )
    vocals_from: float = Field(
        0.5, ge=0, le=1, description="From this drive on the voice is heard."
    )
    hysteresis: float = Field(
        0.08, ge=0, le=0.3, description="So far the drive must fall back before a stem goes."
    )
    quiet_db: float = Field(
        -12.0, ge=-24, le=0, description="Level of what is heard at drive 0; at drive 1 it is 0 dB."
    )
    control_lead_seconds: float = Field(
        0.1,
        ge=0,
        le=2,
        description="How long after the picture its wish takes effect, or as soon"
        " as what was made ahead for the card is through.",
    )

    programme: Programme = Field(Programme(), description="From [programme] of config.toml.")

    @model_validator(mode="after")
    def _thresholds_leave_room(self) -> CrossfadeStemsConfig:
        if min(self.other_from, self.vocals_from) < self.hysteresis:
            raise ValueError("other_from and vocals_from must not be smaller than hysteresis")
        return self


class CrossfadeStems(Transform[Energy | Tempo, Mix]):
    """Make one wish of energy and tempo. The conductor decides when it is carried out.

    Drums and bass are always wished for: an empty or cooling floor keeps an inviting groove. What
    the programme would have without a crowd goes along, for a floor that has cooled for long.
    """

    Config = CrossfadeStemsConfig

    def __init__(self, config: CrossfadeStemsConfig, context: Context) -> None:
        """Starts with the groove alone."""
        super().__init__(config, context)
        self._config = config
        self._other = Switch(config.other_from, config.other_from - config.hysteresis)
        self._vocals = Switch(config.vocals_from, config.vocals_from - config.hysteresis)
        self._energy: Energy | None = None

    def process(self, packet: Energy | Tempo, /) -> Mix | None:
        """A wish for each tempo, with the energy that it came from."""
        if isinstance(packet, Energy):
            self._energy = packet
            return None
        energy = self._energy
        if energy is None:
            return None
        wanted = self._wanted()
        return Mix(
            seq=packet.seq,
            captured_at=packet.captured_at,
            epoch=packet.epoch,
            at=packet.captured_at + self._config.control_lead_seconds,
            drive=energy.drive,
            confidence=energy.confidence,
            bpm=packet.bpm,
            gains=self._gains(
                energy.drive,
                other=self._other.follow(energy.drive),
                vocals=self._vocals.follow(energy.drive),
            ),
            people=energy.people,
            programme_drive=wanted.intensity,
            programme_bpm=wanted.bpm,
            programme_gains=self._gains(
                wanted.intensity,
                other=wanted.intensity >= self._config.other_from,
                vocals=wanted.intensity >= self._config.vocals_from,
            ),
        )

    def _wanted(self) -> Wanted:
        if self.context.offline:
            return Wanted(self._config.programme.bpm, self._config.programme.intensity)
        return self._config.programme.at(self.context.clock.local_time())

    def _gains(self, drive: float, *, other: bool, vocals: bool) -> Gains:
        level_db = self._config.quiet_db * (1.0 - drive)
        # The groove stays nearer to full than what lies over it.
        groove = _factor(level_db * 0.6)
        above = _factor(level_db)
        return (groove, groove, above if vocals else 0.0, above if other else 0.0)


def _factor(db: float) -> float:
    return float(10.0 ** (db / 20.0))
