"""Energy from a line drawn by hand, in place of a crowd."""

from __future__ import annotations

import itertools

import numpy as np
from pydantic import Field, field_validator

from crowdstream.packets import Energy
from crowdstream.stage import Context, Outbox, Source, StageConfig


class EnergyCurveConfig(StageConfig):
    """Settings of `energy_curve`.

    Example:
        [[stage]]
        use = "energy_curve"
        points = [[0, 0.2], [60, 0.9]]
        seconds = 90
    """

    points: tuple[tuple[float, float], ...] = Field(
        ((0.0, 0.5),), min_length=1, description="Seconds and energy 0..1; straight lines between."
    )
    seconds: float = Field(60.0, gt=0, description="How long it lasts.")
    rate_hz: float = Field(20.0, gt=0, le=100, description="How many measurements a second.")

    @field_validator("points")
    @classmethod
    def _points_are_a_line(
        cls, points: tuple[tuple[float, float], ...]
    ) -> tuple[tuple[float, float], ...]:
        times = [time for time, _ in points]
        if any(b <= a for a, b in itertools.pairwise(times)):
            raise ValueError("the seconds of the points must rise")
        if any(not 0 <= energy <= 1 for _, energy in points):
            raise ValueError("an energy lies between 0 and 1")
        return points


class EnergyCurve(Source[Energy]):
    """Send what the line says; offline as fast as it is read, live by the clock."""

    Config = EnergyCurveConfig

    def __init__(self, config: EnergyCurveConfig, context: Context) -> None:
        """Nothing is opened."""
        super().__init__(config, context)
        self._config = config

    async def run(self, outbox: Outbox[Energy]) -> None:
        """From the first point to the end."""
        config, clock = self._config, self.context.clock
        times, levels = np.array(config.points).T
        begin = 0.0 if self.context.offline else clock.now()
        for seq in range(int(config.seconds * config.rate_hz) + 1):
            at = seq / config.rate_hz
            if not self.context.offline:
                await clock.sleep(begin + at - clock.now())
            level = float(np.interp(at, times, levels))
            await outbox.send(
                Energy(
                    seq=seq,
                    captured_at=begin + at,
                    level=level,
                    raw=level,
                    speed=0.0,
                    confidence=1.0,
                    drive=level,
                )
            )
