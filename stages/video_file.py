"""A video file: offline in its own time, live at its own pace, once or looped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Final

from pydantic import Field

from crowdstream.channel import Outbox
from crowdstream.packets import Frame
from crowdstream.stage import Context, Source, StageConfig
from crowdstream.vision import capture
from crowdstream.vision.pictures import CapturingChild, End, Handle, next_epoch

OPENING_SECONDS: Final = 10.0

# Decoding one picture takes milliseconds; a child that is silent for so long hangs in a disk that
# is gone or in a decoder's endless loop.
SILENCE_SECONDS: Final = 5.0

# A picture that is shown later than this is not worth showing: the next one is waiting.
LATEST_SECONDS: Final = 0.25

# After so long of dropping late pictures, the machine is simply too slow: the file then waits
# for the machine instead.
LONGEST_CHASE_SECONDS: Final = 1.0


class VideoFileConfig(StageConfig):
    """Settings of `video_file`.

    Example:
        [[stage]]
        use = "video_file"
        path = "clip.mp4"
        looped = true
    """

    path: Path = Field(description="The video file: mp4, mov, avi, mkv, webm, gif or ts.")
    looped: bool = Field(False, description="Begin again at the end, for ever.")
    paced: bool | None = Field(
        None,
        description="Show pictures at their own time, or as fast as possible. By default at their "
        "own time when live, as fast as possible offline.",
    )
    fps: float | None = Field(
        None, gt=0, le=240, description="Take at most so many pictures a second; all by default."
    )
    start: float = Field(0.0, ge=0, description="Begin so many seconds into the file.")


class VideoFile(Source[Frame]):
    """Read a video as if it were the floor.

    Offline a frame's `captured_at` is its time in the medium. Live it is the moment at which the
    picture is due on the machine's clock, so that a slow moment of the machine looks like
    lateness and not like slow dancers. Each loop begins a new epoch.
    """

    Config = VideoFileConfig
    child: ClassVar[str] = "crowdstream.vision.capture:video_file"
    """What runs in the child process."""

    def __init__(self, config: VideoFileConfig, context: Context) -> None:
        """Store settings; the file is opened by `open`."""
        super().__init__(config, context)
        self._config = config
        self._paced = not context.offline if config.paced is None else config.paced
        self._capture: CapturingChild | None = None
        self._frame_seconds = 0.04

    async def open(self) -> None:
        """Start the child and find the first picture.

        Raises:
            DeviceError: there is no such file, or it may not be read.
            MediaError: it is no video, or nothing of it can be read.
        """
        config = self._config
        self._capture = CapturingChild(
            self.child,
            name=self.context.name,
            log=self.context.log,
            arguments={
                "path": str(config.path),
                "looped": config.looped,
                "fps": config.fps,
                "start": config.start,
            },
            max_size=capture.MAX_SIZE,
            # All that lies before the start is decoded too; much faster than it plays.
            ready_seconds=OPENING_SECONDS + config.start,
            memory_limit_bytes=capture.MEMORY_LIMIT_BYTES,
            environment=capture.ENVIRONMENT,
        )
        facts = await self._capture.open()
        fps, seconds = facts.get("fps"), facts.get("seconds")
        if isinstance(fps, int | float) and fps > 0:
            self._frame_seconds = 1.0 / min(fps, config.fps or fps)
        self.context.log.info(
            "video_opened", path=str(config.path), fps=fps, seconds=seconds, looped=config.looped
        )

    async def run(self, outbox: Outbox[Frame]) -> None:
        """Send the pictures; return at the end of the file.

        Raises:
            WorkerError: the decoder hung or crashed.
        """
        assert self._capture is not None
        timeline = _Timeline(self.context, self._frame_seconds)
        clock = self.context.clock
        sent_at = clock.now()
        while isinstance(handle := await self._capture.next(SILENCE_SECONDS), Handle):
            captured_at = timeline.place(handle)
            if self._paced:
                late = clock.now() - timeline.due
                if late > LATEST_SECONDS and not self.context.offline:
                    if clock.now() - sent_at <= LONGEST_CHASE_SECONDS:
                        handle.release()
                        continue
                    captured_at = timeline.begin(handle)
                elif late < 0.0:
                    await clock.sleep(-late)
                sent_at = clock.now()
            elif not self.context.offline:
                captured_at = timeline.now()
            await outbox.send(handle.frame(captured_at=captured_at, epoch=timeline.epoch))
        self._say_how_it_ended(handle)

    async def close(self) -> None:
        """End the child."""
        if self._capture is not None:
            await self._capture.close()

    def _say_how_it_ended(self, end: End) -> None:
        facts = {"path": str(self._config.path), "at_seconds": round(end.at, 3)}
        if end.early and end.seconds is not None:
            # What could be read was analysed; whoever reads the result should know the rest is
            # missing.
            self.context.log.warning("video_ended_early", of_seconds=round(end.seconds, 3), **facts)
        else:
            self.context.log.info("video_ended", **facts)


class _Timeline:
    """Where the medium's time lies on the clock of the chain."""

    def __init__(self, context: Context, frame_seconds: float) -> None:
        self._context = context
        self._frame_seconds = frame_seconds
        self._offset = 0.0
        self._clock_offset = 0.0
        self._lap: int | None = None
        self._last = -math.inf
        self.epoch = -1
        self.due = 0.0
        """When the picture is due on the clock."""

    def place(self, handle: Handle) -> float:
        """`captured_at` of the picture, strictly after the one before."""
        if handle.lap != self._lap:
            return self.begin(handle)
        return self._after_last(handle)

    def begin(self, handle: Handle) -> float:
        """Tie the medium's time to the clock anew, in a new epoch; `captured_at`."""
        now = self._context.clock.now()
        self._clock_offset = max(now, self.due + self._frame_seconds) - handle.at
        if self._lap is None:
            self._clock_offset = now - handle.at
        if not self._context.offline:
            self._offset = self._clock_offset
            self.epoch = next_epoch(self._context.name)
        else:
            # The first lap keeps the medium's own time; later ones go on from there.
            if self._lap is not None:
                self._offset = self._last + self._frame_seconds - handle.at
            self.epoch += 1
        self._lap = handle.lap
        return self._after_last(handle)

    def now(self) -> float:
        """This moment, strictly after the one before."""
        self._last = max(self._context.clock.now(), math.nextafter(self._last, math.inf))
        return self._last

    def _after_last(self, handle: Handle) -> float:
        self.due = handle.at + self._clock_offset
        self._last = max(handle.at + self._offset, math.nextafter(self._last, math.inf))
        return self._last
