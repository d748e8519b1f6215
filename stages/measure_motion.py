"""Measure how much moves in the small grey picture, without any model."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from pydantic import Field

from crowdstream.channel import WhenFull
from crowdstream.packets import GREY_HEIGHT, Frame, Motion
from crowdstream.stage import Context, Intake, StageConfig, Transform
from crowdstream.vision.flow import PERSON_HEIGHT, MotionEye
from crowdstream.vision.view import View
from crowdstream.zones import Zones, map_of


class MeasureMotionConfig(StageConfig):
    """Settings of `measure_motion`.

    Example:
        [[stage]]
        use = "measure_motion"
        person_height = 0.45
    """

    from_machine: ClassVar[tuple[str, ...]] = ("zones",)

    person_height: float = Field(
        PERSON_HEIGHT,
        ge=0.03,
        le=2.0,
        description="Usual height of a whole person in the picture, as a share of its height"
        " (above 1 where people are cut by its edge).",
    )
    zones: Zones = Field(default_factory=dict, description="From [zones.NAME] of config.toml.")
    flow: bool = Field(
        default=False,
        description="Also tell where it moves, as a coarse grid, for previews and the overlay.",
    )


class MeasureMotion(Transform[Frame, Motion]):
    """Watch the crowd by optical flow: one Motion for every Frame."""

    Config = MeasureMotionConfig

    # Live, an old frame is worth nothing, and each that waits holds a slot of the camera's; the
    # eye itself remembers the small pictures that it compares with.
    intake = Intake(1, WhenFull.DROP_OLDEST)

    def __init__(self, config: MeasureMotionConfig, context: Context) -> None:
        """Store settings; touch nothing of the world."""
        super().__init__(config, context)
        self._eye = MotionEye(config.person_height, map_of(config.zones))
        self._view = View()
        self._tells_flow = config.flow

    async def open(self) -> None:
        """Run everything once, so that nothing is compiled or allocated on the first beat."""
        # Flow of a small picture is quicker on one core than shared out among several.
        cv2.setNumThreads(1)
        warm_up = MotionEye()
        pattern = np.random.default_rng(0).integers(
            0, 255, (GREY_HEIGHT, GREY_HEIGHT), dtype=np.uint8
        )
        for turn in range(3):
            warm_up.look(np.roll(pattern, 3 * turn, axis=1), 0.05 * turn, 0)

    def process(self, frame: Frame, /) -> Motion:
        """Compare the frame with the one a tenth of a second before it."""
        if not self.context.offline and self._view.look(frame.grey, frame.epoch):
            self.context.log.warning(
                "view_changed", epoch=frame.epoch,
                why="since it came back the camera looks at another place;"
                " check its aim, the zones, and what was calibrated",
            )  # fmt: skip
        seen = self._eye.look(frame.grey, frame.captured_at, frame.epoch)
        return Motion(
            seq=frame.seq,
            captured_at=frame.captured_at,
            epoch=frame.epoch,
            speed=seen.speed,
            moving_share=seen.moving_share,
            confidence=seen.confidence,
            light=seen.light,
            person_height=self._eye.person_height,
            camera=seen.camera,
            brightness=seen.brightness,
            zones=seen.zones,
            flow=self._eye.flow_grid() if self._tells_flow else None,
        )
