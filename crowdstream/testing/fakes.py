"""Fakes that are small real parts: they do the work, only at once and without a device."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from crowdstream.packets import GREY_HEIGHT, Frame, Packet, People
from crowdstream.stage import Context, Inbox, Outbox, Sink, Source, StageConfig, Transform


def a_frame(seq: int = 0, *, at: float | None = None, width: int = 320, epoch: int = 0) -> Frame:
    """A grey picture; `at` defaults to thirty a second."""
    height = width * 9 // 16
    return Frame(
        seq=seq,
        captured_at=seq / 30.0 if at is None else at,
        epoch=epoch,
        picture=np.full((height, width, 3), 60, np.uint8),
        grey=np.full((GREY_HEIGHT, GREY_HEIGHT * 16 // 9), 60, np.uint8),
        source_size=(width, height),
    )


class FakeCameraConfig(StageConfig):
    """Settings of `FakeCamera`."""

    frames: int = Field(100, ge=0, description="How many pictures it sends.")
    fps: float = Field(30.0, gt=0, description="Pictures a second.")
    fail_at: int | None = Field(None, description="Raise before sending this picture.")


class FakeCamera(Source[Frame]):
    """Send so many pictures: live by the clock, offline at once."""

    Config = FakeCameraConfig
    failed: bool = False
    """It fails once, not again after it was restarted."""

    def __init__(self, config: FakeCameraConfig, context: Context) -> None:
        """Nothing is opened."""
        super().__init__(config, context)
        self._config = config

    async def run(self, outbox: Outbox[Frame]) -> None:
        """All pictures."""
        clock = self.context.clock
        begin = 0.0 if self.context.offline else clock.now()
        for seq in range(self._config.frames):
            at = begin + seq / self._config.fps
            if not self.context.offline:
                await clock.sleep(at - clock.now())
            if seq == self._config.fail_at and not type(self).failed:
                type(self).failed = True
                raise OSError("the cable was pulled")
            await outbox.send(a_frame(seq, at=at))


class FakeModel(Transform[Frame, People]):
    """See one person who moves an arm, in every picture, at once."""

    def process(self, frame: Frame, /) -> People:
        """Joints of a person, the wrist on a circle once a second."""
        joints = np.zeros((1, 17, 3), np.float32)
        joints[0, :, 0] = 0.8 + 0.01 * np.arange(17)
        joints[0, :, 1] = np.linspace(0.2, 0.9, 17)
        joints[0, :, 2] = 0.9
        turn = 2.0 * np.pi * frame.captured_at
        joints[0, 9, 0] += 0.1 * np.cos(turn)
        joints[0, 9, 1] += 0.1 * np.sin(turn)
        return People(
            seq=frame.seq,
            captured_at=frame.captured_at,
            epoch=frame.epoch,
            keypoints=joints,
            ids=np.array([1], np.int64),
            scores=np.array([0.9], np.float32),
            aspect=16 / 9,
        )


class Collect(Sink[Packet]):
    """Keep what comes; for the end of a chain in a test or a measurement."""

    kept: list[Packet]

    def __init__(self, config: StageConfig, context: Context) -> None:
        """Nothing was kept yet; the newest object's list is `Collect.kept`."""
        super().__init__(config, context)
        type(self).kept = []

    async def run(self, inbox: Inbox[Packet]) -> None:  # type: ignore[override]
        """Keep everything, pictures included: only for short runs."""
        async for packet in inbox:
            type(self).kept.append(packet)


class Forget(Sink[Packet]):
    """Take what comes and keep nothing: for the end of a chain that an observer watches."""

    async def run(self, inbox: Inbox[Packet]) -> None:  # type: ignore[override]
        """To the end."""
        async for _ in inbox:
            pass


class SeeTruth(Transform[Frame, People]):
    """A pose eye that knows: the joints of a drawn crowd as they are, at once."""

    def process(self, frame: Frame, /) -> People | None:
        """Everyone of the frame's truth; nothing where it has none."""
        truth = frame.truth
        if truth is None:
            return None
        height, width = frame.picture.shape[:2]
        return People(
            seq=frame.seq,
            captured_at=frame.captured_at,
            epoch=frame.epoch,
            keypoints=truth.joints,
            ids=truth.ids,
            scores=np.ones(len(truth.ids), np.float32),
            aspect=width / height,
        )
