"""A video file that is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2 as _cv2

from crowdstream.errors import CrowdstreamError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

cv2: Any = _cv2

CODECS: Final = ("avc1", "mp4v")
"""H.264 plays everywhere, and few builds can write it; MPEG-4 plays in every player."""


class VideoOut:
    """Pictures of one size at one rate, into an .mp4. Used from one thread."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        """Begin beside `path`; `size` is (width, height), both even.

        Raises:
            CrowdstreamError: it cannot be written there, or this machine cannot write videos.
        """
        self.path = path
        self.written = 0
        self._size = size
        self._part = path.with_name(f".{path.stem}.part.mp4")
        may_be_written(path)
        # The codecs that are not there say so at length, and the next is simply tried.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            for codec in CODECS:
                self._writer = cv2.VideoWriter(
                    str(self._part), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size
                )
                if self._writer.isOpened():
                    break
        finally:
            cv2.utils.logging.setLogLevel(before)
        if not self._writer.isOpened():
            self.leave()
            raise CrowdstreamError(f"{path}: this machine's OpenCV can write no mp4 video")

    def add(self, picture: NDArray[np.uint8], times: int = 1) -> None:
        """The picture, shape (height, width, 3), so many times."""
        for _ in range(times):
            self._writer.write(picture)
        self.written += times

    def finish(self) -> None:
        """Close the file and put it into its place.

        Raises:
            CrowdstreamError: not all of it is there, as when a disk is full.
        """
        self._writer.release()
        # The library does not say when a write failed; a file that lacks its end cannot be read.
        check = cv2.VideoCapture(str(self._part), cv2.CAP_FFMPEG)
        count = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
        check.release()
        if count < self.written or self.written == 0:
            self.leave()
            raise CrowdstreamError(
                f"{self.path}: only {count} of {self.written} pictures were written; is the disk"
                " full?"
            )
        try:
            self._part.replace(self.path)
        except OSError as error:
            self.leave()
            raise CrowdstreamError(f"{self.path}: cannot be written: {error.strerror}") from error

    def leave(self) -> None:
        """Close and take away what was begun."""
        self._writer.release()
        self._part.unlink(missing_ok=True)


def may_be_written(path: Path) -> None:
    """See that a video can be written there; makes the folders.

    Raises:
        UsageError: the name is none of an .mp4 file.
        CrowdstreamError: it cannot be written there.
    """
    if path.suffix.lower() != ".mp4":
        raise UsageError(f"{path}: give the overlay a name that ends in .mp4")
    if path.is_dir():
        raise CrowdstreamError(f"{path}: is a folder; give the overlay a name in it")
    part = path.with_name(f".{path.stem}.part.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb"):
            pass
        part.unlink()
    except OSError as error:
        raise CrowdstreamError(f"{path}: cannot be written: {error.strerror}") from error
