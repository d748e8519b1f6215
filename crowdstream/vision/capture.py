"""The camera's and the video file's child: opens, reads, reduces, and writes into slots.

Only here is `cv2.VideoCapture` touched. It can hang for ever and it can crash, and timeouts do
not cover everything: so the daemon holds the deadline, and this process may be killed at any
moment. It says where a picture lies and when it was taken; the picture itself never moves.

    daemon -> child    arguments, the slots' descriptor; free slots, by their state byte
    child -> daemon    {"slot", "generation", "seq", "lap", "at", "picture", "grey", "source"}
                       {"end": true, ...} after the last picture of a file
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from crowdstream.child import ChildSide
from crowdstream.errors import DeviceError, MediaError
from crowdstream.slots import Slots
from crowdstream.wire import Json

Picture = NDArray[np.uint8]
Retrieve = Callable[[Picture | None], Picture | None]
"""Decodes the picture that was grabbed, into the given array if it fits; None if it is bad."""

MEMORY_LIMIT_BYTES: Final = 3 << 29
"""Address space of such a child, 1.5 GiB: libraries and an ordinary video take 0.5 GiB, a video
made to fill the memory takes all there is."""

ENVIRONMENT: Final = {
    # Read when cv2 first opens a camera; without it, a camera that sends nothing is waited
    # for 10 s each time.
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "2",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What such a child finds in its environment."""

_OPEN_TIMEOUT_MSEC: Final = 4000
_READ_TIMEOUT_MSEC: Final = 2000

# read() says False for one bad picture, for a stall and for the end alike. So many in a row are
# no bad luck any more; between them one waits, because a dead camera says False in no time.
_MOST_FAILURES: Final = 5
_FAILURE_PAUSE_SECONDS: Final = 0.02

# A file is read ahead by several pictures, and no eye looks at those in less.
_SLOT_POLL_SECONDS: Final = 0.004
_BEAT_SECONDS: Final = 0.25

# Demuxers by how a file begins. Only the one that fits is allowed to look at the file: FFmpeg's
# own guess follows scripts and play lists to other files, whatever the name says.
_DEMUXERS: Final = {"mp4": "mov", "avi": "avi", "mkv": "matroska", "gif": "gif", "ts": "mpegts"}
_KINDS: Final = "mp4, mov, avi, mkv, webm, gif or ts"

MAX_SIZE: Final = (1280, 720)
"""Width and height that no delivered picture exceeds: more shows the eyes nothing new."""

_LARGEST_SIDE: Final = 8192


class Capture(Protocol):
    """An opened camera or file."""

    def grab(self) -> bool:
        """Move to the next picture; False if there is none now."""

    def at(self) -> float:
        """When the grabbed picture was taken: seconds of CLOCK_MONOTONIC, or of the medium."""

    def retrieve(self, into: Picture | None) -> Picture | None:
        """Decode the grabbed picture; see `Retrieve`."""

    def close(self) -> None:
        """Let go of the device or file."""


# ------------------------------------------------------------------------------------------------
# The two children


def camera(child: ChildSide) -> None:
    """Deliver what a camera sees, as it comes; drop it when no slot is free.

    Arguments: device, size (width, height), fps, mirrored, max_size.
    """
    _confine()
    deliver_live(child, V4LCamera(child.arguments))


def deliver_live(child: ChildSide, capture: Capture) -> None:
    """Send each picture of `capture` until it fails or the daemon asks for the end.

    Raises:
        DeviceError: it gave no picture so many times in a row.
    """
    slots = Slots.attach(child.fds[0], writable=True)
    pictures = Pictures(slots, child.arguments)
    pace = Thinning(_number(child.arguments.get("fps")))
    child.ready({})
    seq = failures = 0
    beaten_at = -math.inf
    while True:
        child.receive(timeout=0.0)  # the only word that may come is the one to end
        if not capture.grab():
            failures += 1
            if failures >= _MOST_FAILURES:
                raise DeviceError("the camera gives no pictures any more")
            time.sleep(_FAILURE_PAUSE_SECONDS)
            continue
        at = capture.at()
        if not pace.wants(at):
            continue
        seq += 1
        if pictures.take() is None:
            # Whoever looks is slower than the camera. The picture is dropped; the gap in `seq`
            # counts it.
            if at - beaten_at > _BEAT_SECONDS:
                beaten_at = at
                child.beat()
            continue
        words = pictures.put(capture.retrieve)
        if words is None:
            failures += 1
            if failures >= _MOST_FAILURES:
                raise DeviceError("the camera gives broken pictures only")
            continue
        failures = 0
        child.send({"seq": seq, "at": at, **words})


def video_file(child: ChildSide) -> None:
    """Deliver every wanted picture of a file, in its order; wait when no slot is free.

    Arguments: path, looped, fps, start (seconds), max_size.
    """
    _confine()
    arguments = child.arguments
    file = VideoFileCapture(str(arguments["path"]))
    slots = Slots.attach(child.fds[0], writable=True)
    pictures = Pictures(slots, arguments)
    start = _number(arguments.get("start")) or 0.0
    seq = lap = 0
    while True:
        pace = Thinning(_number(arguments.get("fps")))
        sent = 0
        while file.advance():
            at = file.at()
            if at < start or not pace.wants(at):
                continue
            if lap == 0 and sent == 0:
                child.ready({"fps": file.fps, "seconds": file.seconds})
            _wait_for_slot(child, pictures)
            words = pictures.put(file.retrieve)
            if words is None:
                continue
            seq += 1
            sent += 1
            child.send({"seq": seq, "at": at, "lap": lap, **words})
        if sent == 0:
            raise MediaError(file.nothing(start))
        if not arguments.get("looped"):
            break
        lap += 1
        file.rewind()
    child.send({"end": True, "at": file.end, "seconds": file.seconds, "early": file.early})


def _wait_for_slot(child: ChildSide, pictures: Pictures) -> None:
    waited = 0.0
    while pictures.take() is None:
        child.receive(timeout=_SLOT_POLL_SECONDS)
        waited += _SLOT_POLL_SECONDS
        if waited >= _BEAT_SECONDS:
            waited = 0.0
            child.beat()  # it is not the decoder that hangs


# ------------------------------------------------------------------------------------------------
# What they are made of


class Pictures:
    """Puts pictures into slots: reduced, mirrored, and behind each the small grey one."""

    def __init__(self, slots: Slots, arguments: dict[str, Json]) -> None:
        """Takes `max_size` (width, height) and `mirrored` from the child's arguments."""
        import cv2

        from crowdstream.vision.grey import small_grey

        cv2.setNumThreads(1)
        self._cv2: Any = cv2
        self._small_grey = small_grey
        self._slots = slots
        self._max_size = _pair(arguments["max_size"])
        self._mirrored = bool(arguments.get("mirrored"))
        self._index: int | None = None
        self._source: tuple[int, int] | None = None
        self._full: Picture | None = None

    def take(self) -> int | None:
        """The slot for the next picture, or None. It stays ours until a picture is in it."""
        if self._index is None:
            self._index = self._slots.take()
        return self._index

    def put(self, retrieve: Retrieve) -> dict[str, Json] | None:
        """Fill the taken slot; what to tell the daemon of it, or None for a bad picture.

        Raises:
            MediaError: the picture is of a size that no slot holds.
        """
        assert self._index is not None
        direct = None
        if self._source is not None and not self._mirrored:
            width, height = self._source
            if fitting(self._source, self._max_size) == self._source:
                direct = self._slots.room(self._index, (height, width, 3))
        image = retrieve(direct if direct is not None else self._full)
        if image is None:
            return None
        if image.ndim == 2:
            image = self._cv2.cvtColor(image, self._cv2.COLOR_GRAY2BGR)
        height, width = image.shape[:2]
        self._source = (width, height)
        if image is direct:
            picture = direct
        else:
            self._full = image if direct is None else None
            picture = self._reduced(image)
        grey = self._small_grey(picture)
        try:
            self._slots.room(self._index, grey.shape, offset=picture.nbytes)[:] = grey
        except ValueError as error:
            raise MediaError(f"a picture of {width}x{height} is too long and narrow") from error
        index, self._index = self._index, None
        return {
            "slot": index,
            "generation": self._slots.whole(index),
            "picture": list(picture.shape[:2]),
            "grey": list(grey.shape),
            "source": [width, height],
        }

    def _reduced(self, image: Picture) -> Picture:
        cv2 = self._cv2
        height, width = image.shape[:2]
        w, h = fitting((width, height), self._max_size)
        assert self._index is not None
        room = self._slots.room(self._index, (h, w, 3))
        if (w, h) != (width, height):
            # Means of neighbours, not points: fine patterns would else flicker, which looks like
            # movement. Halving first is several times as fast as INTER_AREA the whole way.
            while width >= 2 * w and height >= 2 * h:
                width, height = width // 2, height // 2
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            into = None if self._mirrored else room
            image = cv2.resize(image, (w, h), into, interpolation=cv2.INTER_LINEAR)
        if self._mirrored:
            cv2.flip(image, 1, room)
        elif image is not room:
            room[:] = image
        return room


def fitting(size: tuple[int, int], largest: tuple[int, int]) -> tuple[int, int]:
    """Width and height of `size`, shrunk to fit `largest` with its shape kept; never enlarged."""
    scale = min(1.0, largest[0] / size[0], largest[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


class Thinning:
    """Lets at most so many pictures a second through, evenly."""

    def __init__(self, fps: float | None) -> None:
        """None lets everything through."""
        self._period = 1.0 / fps if fps else 0.0
        self._due = -math.inf
        self._seen = -math.inf

    def wants(self, at: float) -> bool:
        """Whether the picture taken `at` seconds is one of those."""
        if self._period == 0.0:
            return True
        # The picture nearest to when one is due. A camera's jitter must not cost pictures when its
        # rate is the wanted one: what came late does not make the next one early.
        early = min(0.3 * self._period, 0.5 * (at - self._seen))
        self._seen = at
        if at < self._due - early:
            return False
        due = at if self._due == -math.inf else self._due
        self._due = max(due + self._period, at - self._period)
        return True


class V4LCamera:
    """A camera of this machine."""

    def __init__(self, arguments: dict[str, Json]) -> None:
        """Open it.

        Raises:
            DeviceError: there is no such camera, or it does not open.
        """
        import cv2

        device = str(arguments["device"])
        path = f"/dev/video{device}" if device.isdecimal() else device
        if not Path(path).exists():
            raise DeviceError(f"there is no camera {path}; {_cameras_here()}")
        if not Path(path).is_char_device():
            raise DeviceError(f"{path} is no camera; for a video file use video_file")
        if not os.access(path, os.R_OK | os.W_OK):
            raise DeviceError(f"{path} may not be opened; add this user to the group video")
        self._cv2: Any = cv2
        self._capture: Any = cv2.VideoCapture(os.path.realpath(path), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise DeviceError(f"{path} does not open; is it in use, or no camera that streams?")
        width, height = _pair(arguments["size"])
        # Most USB cameras reach 30 pictures a second at this size only when compressed.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        if fps := _number(arguments.get("fps")):
            self._capture.set(cv2.CAP_PROP_FPS, fps)
        self._last = -math.inf

    def grab(self) -> bool:
        """Wait for the next picture, at most the 2 s of the environment."""
        return bool(self._capture.grab())

    def at(self) -> float:
        """When the driver stamped the picture, where it does; else now. Never twice the same."""
        now = time.monotonic()
        stamped = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000.0
        at = stamped if now - 0.5 < stamped <= now else now
        self._last = max(at, math.nextafter(self._last, math.inf))
        return self._last

    def retrieve(self, into: Picture | None) -> Picture | None:
        """Decode the picture."""
        good, image = self._capture.retrieve(into)
        return image if good else None

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()


class VideoFileCapture:
    """A video file, opened by descriptor, after a look at how it begins."""

    def __init__(self, path: str) -> None:
        """Open it and find the first picture's rate and length.

        Raises:
            DeviceError: there is no such file, or it may not be read.
            MediaError: it is no video.
        """
        self._path = path
        self._fd = open_regular_file(path)
        self._demuxer = demuxer_of(os.pread(self._fd, 1024, 0), path)
        self._capture: Any = None
        self._at: float | None = None
        self.end = 0.0
        """Seconds at which the last picture that was read ends."""
        self.fps = 25.0
        """Pictures a second, as the file says; 25 if it does not."""
        self.seconds: float | None = None
        """How long the file says it is; None if it does not."""
        self._open()

    @property
    def early(self) -> bool:
        """The pictures ended well before the file's own length: it is cut off or damaged."""
        if self.seconds is None:
            return False
        return self.end < self.seconds - max(0.5, 0.03 * self.seconds)

    def advance(self) -> bool:
        """Move to the next picture that can be read; False at the end."""
        for _ in range(_MOST_FAILURES):
            if self._capture.grab():
                at = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000.0
                previous, step = self._at, 1.0 / self.fps
                if previous is None:
                    self._at = at if math.isfinite(at) and at > 0.0 else 0.0
                elif math.isfinite(at) and at > previous + 0.05 * step:
                    self._at = at
                else:
                    self._at = previous + step  # no time stamps, or they run backwards
                self.end = self._at + step
                return True
        return False

    def at(self) -> float:
        """Seconds of the medium; strictly increasing within a lap."""
        return self._at or 0.0

    def retrieve(self, into: Picture | None) -> Picture | None:
        """Decode the picture, turned as the file's rotation says."""
        good, image = self._capture.retrieve(into)
        return image if good else None

    def rewind(self) -> None:
        """Begin again, by opening the same file anew: seeking is not exact in every format."""
        self._open()

    def nothing(self, start: float) -> str:
        """The sentence for a file that gave no picture at all."""
        if self._at is not None and self._at < start:
            return f"{self._path} ends at {self.end:.1f} s, before the start at {start:g} s"
        return f"{self._path} holds no picture that can be read; it may be cut off or damaged"

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()
        os.close(self._fd)

    def _open(self) -> None:
        import cv2

        self._cv2: Any = cv2
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
            f"protocol_whitelist;file|format_whitelist;{self._demuxer}"
        )
        if self._capture is not None:
            self._capture.release()
        self._at = None
        # By descriptor: the file that was looked at is the one that is opened, and it has no
        # neighbours that it could name.
        self._capture = cv2.VideoCapture(
            f"/proc/self/fd/{self._fd}",
            cv2.CAP_FFMPEG,
            [
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MSEC),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_TIMEOUT_MSEC),
                *(cv2.CAP_PROP_N_THREADS, 2),
            ],
        )
        if not self._capture.isOpened():
            raise MediaError(
                f"{self._path} cannot be read as a video; it may be cut off or damaged"
            )
        width, height = (
            self._capture.get(side)
            for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
            raise MediaError(
                f"{self._path} is {width:.0f}x{height:.0f}; at most {_LARGEST_SIDE} a side is read"
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        if math.isfinite(fps) and 0.1 <= fps <= 1000.0:
            self.fps = fps
        count = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if math.isfinite(count) and 1.0 <= count < 1e8:
            self.seconds = count / self.fps


def open_regular_file(path: str) -> int:
    """A descriptor of the file, which is one and no pipe, folder or device.

    Raises:
        DeviceError: it is not there or may not be read.
        MediaError: it is no file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DeviceError(f"{path}: there is no such video file") from error
    except OSError as error:
        raise DeviceError(f"{path} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise MediaError(f"{path} is no file; give a video file ({_KINDS})")
    return fd


def demuxer_of(head: bytes, path: str) -> str:
    """The name of FFmpeg's demuxer for a file that begins like this.

    Args:
        head: the first 1024 bytes, or all of a shorter file.
        path: for the sentence.

    Raises:
        MediaError: it begins like no video that is read here.
    """
    kind = None
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        kind = "mp4"
    elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        kind = "avi"
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        kind = "mkv"
    elif head[:6] in (b"GIF87a", b"GIF89a"):
        kind = "gif"
    elif len(head) == 1024 and any(
        all(head[first + k * packet] == 0x47 for k in range(4))
        for first, packet in ((0, 188), (4, 192))
    ):
        kind = "ts"
    if kind is None:
        what = "is empty" if not head else "is not a video that is read here, whatever its name"
        raise MediaError(f"{path} {what}; give one of {_KINDS}")
    return _DEMUXERS[kind]


def _confine() -> None:
    """No new executable memory in a process that decodes what strangers made."""
    import ctypes

    set_mdwe, refuse_exec_gain = 65, 1
    ctypes.CDLL(None).prctl(set_mdwe, refuse_exec_gain, 0, 0, 0)  # old kernels know it not


def _cameras_here() -> str:
    here = sorted(str(node) for node in Path("/dev").glob("video*"))
    return f"here are: {', '.join(here)}" if here else "none is plugged"


def _pair(value: Json) -> tuple[int, int]:
    assert isinstance(value, list)
    width, height = value
    assert isinstance(width, int) and isinstance(height, int)
    return width, height


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) else None
