"""A live camera, in a child process that may hang or crash without anybody noticing for long."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field, field_validator

from crowdstream.channel import Outbox
from crowdstream.errors import DeviceError
from crowdstream.packets import Frame
from crowdstream.stage import Context, Source, StageConfig
from crowdstream.vision import capture
from crowdstream.vision.pictures import CapturingChild, End, next_epoch

# A driver needs long for its first picture: exposure, focus, a bus that wakes up.
FIRST_PICTURE_SECONDS: Final = 5.0
OPENING_SECONDS: Final = 8.0

# After that, so many pictures may be missing in a row.
FORGIVEN_PICTURES: Final = 10


class CameraConfig(StageConfig):
    """Settings of `camera`.

    Example:
        [[stage]]
        use = "camera"
        device = "0"
        fps = 30
        size = [1280, 720]
    """

    device: str = Field(
        "0",
        min_length=1,
        description="Number of the camera, or its path; /dev/v4l/by-id/... stays the same camera "
        "whatever else is plugged in.",
    )
    fps: float = Field(30.0, gt=0, le=240, description="Pictures a second to ask the camera for.")
    size: tuple[int, int] = Field(
        (1280, 720), description="Width and height to ask the camera for, in pixels."
    )
    mirrored: bool = Field(False, description="Swap left and right, as a mirror does.")
    stall_after_seconds: float = Field(
        1.0,
        ge=0.2,
        description="So long without a picture, or ten pictures' time if that is longer, and the "
        "camera is opened anew.",
    )

    @field_validator("device")
    @classmethod
    def _device_is_of_this_machine(cls, device: str) -> str:
        if "://" in device:
            raise ValueError(
                "network cameras are not supported yet; name a device like /dev/v4l/by-id/… or 0"
            )
        return device


class Camera(Source[Frame]):
    """See the floor: pictures as they come, each with the moment when light met the sensor.

    A camera that stalls, disappears or takes its driver with it raises; it is opened anew, in a
    new child, with a new epoch.
    """

    Config = CameraConfig
    child: ClassVar[str] = "crowdstream.vision.capture:camera"
    """What runs in the child process."""

    def __init__(self, config: CameraConfig, context: Context) -> None:
        """Store settings; the camera is opened by `open`."""
        super().__init__(config, context)
        self._config = config
        self._capture: CapturingChild | None = None

    async def open(self) -> None:
        """Start the child and open the camera in it.

        Raises:
            DeviceError: no such camera, in use, or not opened in time.
        """
        config = self._config
        self._capture = CapturingChild(
            self.child,
            name=self.context.name,
            log=self.context.log,
            arguments={
                "device": config.device,
                "size": list(config.size),
                "fps": config.fps,
                "mirrored": config.mirrored,
            },
            max_size=capture.MAX_SIZE,
            ready_seconds=OPENING_SECONDS,
            memory_limit_bytes=capture.MEMORY_LIMIT_BYTES,
            environment=capture.ENVIRONMENT,
        )
        await self._capture.open()

    async def run(self, outbox: Outbox[Frame]) -> None:
        """Send what the camera sees, until it is cancelled.

        Raises:
            DeviceError: the camera stalls or is gone.
        """
        assert self._capture is not None
        epoch = next_epoch(self.context.name)
        stall_seconds = max(self._config.stall_after_seconds, FORGIVEN_PICTURES / self._config.fps)
        deadline = FIRST_PICTURE_SECONDS
        while True:
            handle = await self._capture.next(deadline)
            if isinstance(handle, End):
                raise DeviceError(f"{self.context.name}: the camera has ended")
            if deadline is FIRST_PICTURE_SECONDS:
                width, height = handle.source_size
                self.context.log.info(
                    "camera_opened", device=self._config.device, width=width, height=height
                )
                deadline = stall_seconds
            await outbox.send(handle.frame(captured_at=handle.at, epoch=epoch))

    async def close(self) -> None:
        """End the child."""
        if self._capture is not None:
            await self._capture.close()
