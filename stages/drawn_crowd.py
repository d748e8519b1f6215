"""Frames of people that are drawn, with the truth about how they move."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from crowdstream.packets import Frame
from crowdstream.stage import Context, Outbox, Source, StageConfig
from crowdstream.vision.drawn import (
    FASTEST_BPM,
    LARGEST_SIZE,
    MOST_PEOPLE,
    SLOWEST_BPM,
    SMALLEST_SIZE,
    Crowd,
)
from crowdstream.vision.drawn_picture import Painter
from crowdstream.vision.drawn_story import DEMO_SECONDS, SHORTEST_SECONDS, Story, strobe
from crowdstream.vision.grey import small_grey

Width = Annotated[int, Field(ge=SMALLEST_SIZE[0], le=LARGEST_SIZE[0])]
Height = Annotated[int, Field(ge=SMALLEST_SIZE[1], le=LARGEST_SIZE[1])]


class DrawnCrowdConfig(StageConfig):
    """Settings of `drawn_crowd`.

    Example:
        [[stage]]
        use = "drawn_crowd"
        people = 40
        bpm = 124
        energy = 0.6
        seed = 1
    """

    people: int = Field(
        24, ge=0, le=MOST_PEOPLE, description="How many dance; in a story, how many at most."
    )
    bpm: float = Field(
        120.0, ge=SLOWEST_BPM, le=FASTEST_BPM,
        description="Tempo they dance to, in beats per minute. A story has its own.",
    )  # fmt: skip
    energy: float = Field(
        0.5, ge=0, le=1, description="Energy they dance with. A story has its own."
    )
    synchrony: float = Field(
        0.7, ge=0, le=1, description="How much they move in phase. A story has its own."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="The same seed gives the same pictures.")
    size: tuple[Width, Height] = Field(
        (1280, 720), description="Width and height of the picture, in pixels."
    )
    fps: float = Field(30.0, ge=1, le=120, description="Pictures a second.")
    strobe_hz: float = Field(0.0, ge=0, le=25, description="Flashes of light a second; 0 for none.")
    darkness: float = Field(0.0, ge=0, le=1, description="0 is well lit, 1 is black.")
    noise: float = Field(
        3.0, ge=0, le=60, description="Deviation of the sensor's noise, in grey levels of 255."
    )
    story: Literal["none", "demo"] = Field(
        "none", description="A night to live through, from an empty room to an empty room."
    )
    seconds: float | None = Field(
        None, gt=0, le=86_400,
        description="How long it lasts. Without it, live for ever (a story begins again) and"
        f" offline {DEMO_SECONDS:g}.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _a_story_has_its_own(self) -> DrawnCrowdConfig:
        if self.story != "none":
            for name in ("bpm", "energy", "synchrony"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"a story has its own {name}; leave out {name} or the story")
            if self.seconds is not None and self.seconds < SHORTEST_SECONDS:
                raise ValueError(f"a story takes at least {SHORTEST_SECONDS:g} seconds")
        return self


class DrawnCrowd(Source[Frame]):
    """Draw dancers whose movement is known.

    Live, pictures come at their time by the clock, and those that could not be painted in time
    are left out. Offline every picture is painted, stamped from 0, as fast as possible.
    """

    Config = DrawnCrowdConfig

    def __init__(self, config: DrawnCrowdConfig, context: Context) -> None:
        """Draws nothing yet."""
        super().__init__(config, context)
        self._config = config
        self._crowd: Crowd | None = None
        self._painter: Painter | None = None

    async def open(self) -> None:
        """Gather the crowd: finding out how hard each must dance takes a moment."""
        self._crowd, self._painter = await self.context.offload(self._gather)

    async def run(self, outbox: Outbox[Frame]) -> None:
        """Send pictures until the time is over."""
        clock, fps = self.context.clock, self._config.fps
        seconds = self._config.seconds
        if self.context.offline:
            for seq in range(_count(DEMO_SECONDS if seconds is None else seconds, fps)):
                await outbox.send(await self.context.offload(self._frame, seq, seq / fps))
            return
        end = math.inf if seconds is None else _count(seconds, fps)
        begin = clock.now()
        seq = 0
        while seq < end:
            due = begin + seq / fps
            await clock.sleep(due - clock.now())
            await outbox.send(await self.context.offload(self._frame, seq, due))
            # What is late by more than a picture is left out: the gap in `seq` tells.
            seq = max(seq + 1, math.floor((clock.now() - begin) * fps))

    async def close(self) -> None:
        """Let the crowd go."""
        self._crowd = self._painter = None

    def _gather(self) -> tuple[Crowd, Painter]:
        config = self._config
        width, height = config.size
        story = None
        if config.story == "demo":
            story = Story.demo(DEMO_SECONDS if config.seconds is None else config.seconds)
        crowd = Crowd(
            people=config.people, bpm=config.bpm, energy=config.energy,
            synchrony=config.synchrony, seed=config.seed, aspect=width / height, story=story,
        )  # fmt: skip
        return crowd, Painter(width, height, seed=config.seed, noise=config.noise)

    def _frame(self, seq: int, captured_at: float) -> Frame:
        """The picture number `seq`, with its truth. Runs on the stage's own thread."""
        crowd, painter = self._crowd, self._painter
        if crowd is None or painter is None:
            raise RuntimeError("drawn_crowd was asked for a picture before it was opened")
        t = seq / self._config.fps
        truth = crowd.truth(t)
        light = (1.0 - self._config.darkness) * crowd.light(t)
        if self._config.strobe_hz > 0.0:
            light *= strobe(t, self._config.strobe_hz)
        picture = painter.paint(truth.joints, truth.ids, t, light)
        grey = small_grey(picture)
        picture.flags.writeable = False
        return Frame(
            seq=seq, captured_at=captured_at, picture=picture, grey=grey,
            source_size=self._config.size, truth=truth,
        )  # fmt: skip


def _count(seconds: float, fps: float) -> int:
    """Pictures in so many seconds: those that begin before the end."""
    return max(1, math.ceil(seconds * fps - 1e-9))
