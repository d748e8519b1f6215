"""The movement of a recorded video, drawn as a video: people, flow, zones and energy on black."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import Field

from crowdstream.errors import CrowdstreamError
from crowdstream.packets import Energy, Frame, Motion, Packet, People, Tempo, Tick
from crowdstream.stage import Context, Inbox, Sink, StageConfig
from crowdstream.vision.legend import HISTORY_SECONDS, Legend
from crowdstream.vision.overlay import Scene, ZoneShape, draw
from crowdstream.vision.video_out import VideoOut, may_be_written

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_SIDE: Final = 360
"""Smaller videos are drawn larger: the legend must be readable."""

MOST_SIDE: Final = 1920

RATE_PICTURES: Final = 12
"""So many pictures tell how many a second there are; until then they wait."""

RATES: Final = (5, 6, 8, 10, 12, 12.5, 15, 20, 23.98, 24, 25, 29.97, 30, 48, 50, 59.94, 60)
"""What is nearly one of these is one of these: time stamps are rounded."""

STILL_SECONDS: Final = 60.0
"""A longer pause between two pictures is shown this long: its time stamps are broken."""

SHOWN_SECONDS: Final = 0.5
"""People who were seen so long ago are not drawn any more: pose may look less often."""


class OverlayConfig(StageConfig):
    """Settings of `overlay`.

    Example:
        [[stage]]
        use = "overlay"
        from = ["video_file", "measure_motion", "estimate_pose", "measure_energy"]
        path = "out/overlay.mp4"
    """

    path: Path = Field(Path("overlay.mp4"), description="The video to write, an .mp4.")
    with_picture: bool = Field(
        default=False,
        description="Draw on the picture itself and not on black: the video then shows people.",
    )
    zones: dict[str, tuple[tuple[float, float], ...]] = Field(
        default_factory=dict,
        description="Named polygons to draw: corners as shares of the picture's width and height.",
    )
    ignored: tuple[str, ...] = Field((), description="Zones in which nothing counts.")


class Overlay(Sink[Packet]):
    """Draw what the eyes made of each picture, once all of it has come. For files only.

    Nothing of the picture itself is in the video unless `with_picture` asks for it.
    """

    Config = OverlayConfig

    def __init__(self, config: OverlayConfig, context: Context) -> None:
        """Opens nothing yet."""
        super().__init__(config, context)
        self._config = config
        self._film: _Film | None = None
        """Used on the stage's own thread."""

        self._frame: Frame | None = None
        """The picture that is not drawn yet, with black or a copy in the place of its pixels."""

        self._people: People | None = None
        self._motion: Motion | None = None
        self._energy: Energy | None = None
        self._tempo: Tempo | None = None
        # 12 s of the fastest camera there is.
        self._history: deque[tuple[float, float, float]] = deque(maxlen=3000)

    async def open(self) -> None:
        """See that the video can be written, before an hour has been looked at.

        Raises:
            CrowdstreamError: it cannot, or the chain is live.
        """
        if not self.context.offline:
            raise CrowdstreamError(
                f"{self.context.name}: writes videos of files only; nothing live is ever recorded"
            )
        await self.context.offload(may_be_written, self._config.path)
        self._film = _Film(self._config.path)

    async def run(self, inbox: Inbox[Packet | Tick]) -> None:
        """Take everything; draw a picture when the next one comes."""
        assert self._film is not None
        async for packet in inbox:
            if isinstance(packet, Tick):
                continue
            if isinstance(packet, Frame):
                await self._draw()
                self._frame = self._kept(packet)
            elif isinstance(packet, People):
                self._people = packet
            elif isinstance(packet, Motion):
                self._motion = packet
            elif isinstance(packet, Energy):
                self._energy = packet
            elif isinstance(packet, Tempo):
                self._tempo = packet
        await self._draw()
        if not await self.context.offload(self._film.finish):
            self.context.log.warning("overlay_empty", why="there was no picture to draw")

    async def close(self) -> None:
        """A video without its end is not left."""
        if self._film is not None:
            # On the stage's own thread, which may still be at what was cancelled here.
            await self.context.offload(self._film.leave)

    def _kept(self, frame: Frame) -> Frame:
        """The frame without what it borrows; its picture only where that was asked for."""
        picture = frame.picture.copy() if self._config.with_picture else frame.picture[:0, :0]
        height, width = frame.picture.shape[:2]
        return replace(
            frame, picture=picture, grey=frame.grey[:0], lease=None, truth=None,
            source_size=(width, height),
        )  # fmt: skip

    async def _draw(self) -> None:
        frame, self._frame = self._frame, None
        if frame is None:
            return
        assert self._film is not None
        scene = self._scene(frame)
        picture = frame.picture if self._config.with_picture else None
        width, height = frame.source_size
        await self.context.offload(
            self._film.draw, frame.captured_at, scene, (width, height), picture
        )

    def _scene(self, frame: Frame) -> Scene:
        at = frame.captured_at
        width, height = frame.source_size
        aspect = width / height
        people, motion, energy, tempo = self._people, self._motion, self._energy, self._tempo
        if energy is not None:
            self._history.append((at, energy.level, energy.drive))
        while self._history and at - self._history[0][0] > HISTORY_SECONDS:
            self._history.popleft()
        history = np.array(self._history, np.float64).reshape(-1, 3)
        history[:, 0] = at - history[:, 0]
        levels = {zone.name: zone.level for zone in energy.zones} if energy else {}
        scene = Scene(
            aspect=aspect,
            zones=tuple(
                ZoneShape(name, points, levels.get(name), name in self._config.ignored)
                for name, points in self._config.zones.items()
            ),
            legend=Legend(
                seconds=at,
                level=energy.level if energy else None,
                drive=energy.drive if energy else None,
                confidence=energy.confidence if energy else None,
                people=energy.people if energy else None,
                groove_bpm=energy.groove_bpm if energy else None,
                bpm=tempo.bpm if tempo else None,
                eyes=energy.eyes if energy else (),
                state=energy.state if energy else "",
                history=history,
            ),
        )
        if motion is not None and at - motion.captured_at < SHOWN_SECONDS:
            scene = replace(scene, flow=motion.flow)
        if people is not None and 0.0 <= at - people.captured_at < SHOWN_SECONDS:
            scene = replace(scene, keypoints=people.keypoints, ids=people.ids)
        return scene


class _Film:
    """Draws scenes and writes them at one rate, each for as long as it was to be seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._out: VideoOut | None = None
        self._size: tuple[int, int] | None = None
        self._waiting: list[tuple[float, NDArray[np.uint8]]] = []
        self._last: NDArray[np.uint8] | None = None
        self._last_at = 0.0
        self._shown = 0.0
        """Seconds of the video from its begin to the last picture."""

        self._fps = 25.0

    def draw(
        self,
        at: float,
        scene: Scene,
        source_size: tuple[int, int],
        picture: NDArray[np.uint8] | None,
    ) -> None:
        """The scene that is to be seen from `at` seconds on."""
        if self._size is None:
            self._size = size_of(source_size)
        drawn = draw(scene, self._size, picture)
        if self._out is None:
            self._waiting.append((at, drawn))
            if len(self._waiting) >= RATE_PICTURES:
                self._begin()
        else:
            self._show(at, drawn)

    def finish(self) -> bool:
        """The last picture is seen as long as one lasts; then the file is put into its place.

        False when there was no picture, and so there is no file.
        """
        if self._out is None:
            self._begin()
        if self._out is None:
            return False
        if self._last is not None:
            due = round(self._shown * self._fps) + 1
            self._out.add(self._last, max(1, due - self._out.written))
        self._out.finish()
        self._out = None
        return True

    def leave(self) -> None:
        """Take away what was begun and not finished."""
        if self._out is not None:
            self._out.leave()
            self._out = None

    def _begin(self) -> None:
        if self._size is None or not self._waiting:
            return
        self._fps = rate_of([at for at, _ in self._waiting])
        self._out = VideoOut(self._path, self._size, self._fps)
        waiting, self._waiting = self._waiting, []
        for at, drawn in waiting:
            self._show(at, drawn)

    def _show(self, at: float, drawn: NDArray[np.uint8]) -> None:
        """What was seen until now is written as often as its time asks for."""
        assert self._out is not None
        if self._last is not None:
            self._shown += min(STILL_SECONDS, max(0.0, at - self._last_at))
            due = round(self._shown * self._fps)
            self._out.add(self._last, max(0, due - self._out.written))
        self._last, self._last_at = drawn, at


def size_of(source: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the video for a picture of that size: even, and readable."""
    width, height = source
    scale = max(1.0, LEAST_SIDE / min(width, height))
    scale = min(scale, MOST_SIDE / max(width, height))
    # A strip of a picture gets black beside it rather than a legend that nobody can read.
    sides = (max(LEAST_SIDE, side * scale) for side in (width, height))
    wide, high = (2 * round(side / 2) for side in sides)
    return wide, high


def rate_of(times: list[float]) -> float:
    """Pictures a second, of the moments of the first few; one that videos have, if it is near."""
    steps = np.diff(times)
    steps = steps[steps > 0.0]
    if steps.size == 0:
        return 25.0
    rate = min(60.0, max(1.0, 1.0 / float(np.median(steps))))
    near = min(RATES, key=lambda known: abs(math.log(known / rate)))
    return float(near) if abs(math.log(near / rate)) < 0.015 else round(rate, 2)
