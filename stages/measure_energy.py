"""Turn what the eyes see into energy, confidence and drive."""

from __future__ import annotations

import math
from typing import ClassVar, Final

import numpy as np
from pydantic import Field, model_validator

from crowdstream.dsp.crowd import CrowdMeter, Reading
from crowdstream.dsp.energy import Anchors
from crowdstream.packets import Energy, Eye, Motion, People, ZoneEnergy
from crowdstream.programme import Programme
from crowdstream.stage import Context, StageConfig, Transform
from crowdstream.zones import Zones, map_of

SET_BACK_SECONDS: Final = 3.0
"""No eye is slower than this: what is older says that the clock was set back."""


class MeasureEnergyConfig(StageConfig):
    """Settings of `measure_energy`.

    Example:
        [[stage]]
        use = "measure_energy"
        from = ["measure_motion", "estimate_pose"]
        attack_seconds = 0.4
        release_seconds = 1.2
    """

    from_machine: ClassVar[tuple[str, ...]] = ("programme", "zones")

    still: float = Field(
        Anchors().still, ge=0, description="Movement that counts as none, body lengths a second."
    )
    half: float = Field(
        Anchors().half, gt=0, description="Movement that is energy 0.5, body lengths a second."
    )
    full: float = Field(
        Anchors().full, gt=0, description="Movement that is energy 1, body lengths a second."
    )
    attack_seconds: float = Field(0.4, ge=0, le=30, description="How fast energy rises.")
    release_seconds: float = Field(1.2, ge=0, le=60, description="How fast energy falls.")
    few_people: int = Field(
        8, ge=1, le=100, description="From so many dancers on the crowd alone moves the music."
    )
    stale_after_seconds: float = Field(
        0.6, gt=0, le=10, description="An eye that is silent for so long no longer counts."
    )
    programme: Programme = Field(Programme(), description="From [programme] of config.toml.")
    zones: Zones = Field(default_factory=dict, description="From [zones.NAME] of config.toml.")

    @model_validator(mode="after")
    def _anchors_rise(self) -> MeasureEnergyConfig:
        if not self.still < self.half < self.full:
            raise ValueError("still, half and full must rise: still < half < full")
        return self


class MeasureEnergy(Transform[Motion | People, Energy]):
    """Fuse both eyes into one number that means the same in every room.

    Sends an Energy for each packet it takes, and twenty a second while none comes: a camera
    that is lost must let the energy sink to the programme's level, not freeze it.
    """

    Config = MeasureEnergyConfig
    tick_seconds = 0.05

    def __init__(self, config: MeasureEnergyConfig, context: Context) -> None:
        """Everything that is needed is made here; nothing grows later."""
        super().__init__(config, context)
        self._programme = config.programme
        self._config = config
        self._meter = self._a_meter()
        self._latest = -math.inf
        self._seq = 0
        self._epoch = 0
        self._pose_epoch = 0
        self._motion_epoch = 0

    def _a_meter(self) -> CrowdMeter:
        config = self._config
        return CrowdMeter(
            anchors=Anchors(config.still, config.half, config.full),
            attack_seconds=config.attack_seconds,
            release_seconds=config.release_seconds,
            few_people=config.few_people,
            stale_after_seconds=config.stale_after_seconds,
            bar_seconds=4 * 60.0 / config.programme.bpm,
            zones=map_of(config.zones),
        )

    async def open(self) -> None:
        """Warm the kernels up, so that nothing compiles on the first beat."""
        CrowdMeter().take_people(
            np.zeros((1, 17, 3), np.float32), np.zeros(1, np.int64), at=0.0, intensity=0.5
        )

    def process(self, packet: Motion | People, /) -> Energy:
        """Take what one eye saw."""
        self._epoch = packet.epoch
        if packet.captured_at < self._latest - SET_BACK_SECONDS:
            # Whatever was known has no time any more.
            self._meter, self._latest = self._a_meter(), packet.captured_at
        self._latest = max(self._latest, packet.captured_at)
        if isinstance(packet, People):
            # Only this eye's own: the other is quicker, and may be in the next epoch already.
            if packet.epoch != self._pose_epoch:
                self._pose_epoch = packet.epoch
                self._meter.jump()
            reading = self._meter.take_people(
                packet.keypoints, packet.ids, at=packet.captured_at, intensity=self._intensity(),
                aspect=packet.aspect,
            )  # fmt: skip
            return self._energy(reading, packet.captured_at, "pose")
        if packet.epoch != self._motion_epoch:
            self._motion_epoch = packet.epoch
            self._meter.groove.jump_motion()
        reading = self._meter.take_motion(
            packet.speed,
            packet.confidence,
            packet.light,
            at=packet.captured_at,
            intensity=self._intensity(),
            person_height=packet.person_height,
            camera=packet.camera,
            brightness=packet.brightness,
            zones=packet.zones,
        )
        return self._energy(reading, packet.captured_at, "motion")

    def tick(self, now: float) -> Energy:
        """Nothing came: what was known grows old."""
        return self._energy(self._meter.wait(now, self._intensity()), now, None)

    def _intensity(self) -> float:
        """What the programme asks for now; offline there is no time of day, and it is flat."""
        if self.context.offline:
            return self._programme.intensity
        return self._programme.at(self.context.clock.local_time()).intensity

    def _energy(self, reading: Reading, at: float, fresh_from: Eye | None) -> Energy:
        self._seq += 1
        fields = reading._asdict()
        fields["zones"] = tuple(ZoneEnergy(*zone) for zone in reading.zones)
        return Energy(
            seq=self._seq, captured_at=at, epoch=self._epoch, fresh_from=fresh_from,
            **fields, **self._meter.groove.reading(at)._asdict(),
        )  # fmt: skip
