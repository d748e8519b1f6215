"""Cameras without a camera: children that `stages.camera` may be given instead of its own."""

from __future__ import annotations

import math
import os
import signal
import time

import numpy as np
from numpy.typing import NDArray

from crowdstream.child import ChildSide
from crowdstream.vision.capture import deliver_live
from crowdstream.wire import Json


class FakeCamera:
    """Shows pictures whose left half is dark and whose brightness counts up by one."""

    def __init__(self, *, fps: float, size: tuple[int, int], fault: str, after: int) -> None:
        self._period = 1.0 / fps
        self._size = size
        self._fault = fault
        self._after = after
        self._count = 0
        self._next = 0.0
        self._at = 0.0

    def grab(self) -> bool:
        """Wait for the time of the next picture; then what the fault says, if it is its time."""
        self._next = (self._next or time.monotonic()) + self._period
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._count += 1
        if self._count > self._after:
            if self._fault == "hang":
                time.sleep(60.0)
            if self._fault == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self._fault == "end":
                return False
        self._at = self._next
        return True

    def at(self) -> float:
        """When it was due: evenly, however busy the machine is."""
        return self._at

    def retrieve(self, into: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        """The picture, new or in the given array; every third is broken with that fault."""
        if self._fault == "broken" and self._count % 3 == 0:
            return None
        width, height = self._size
        if into is None or into.shape != (height, width, 3):
            into = np.empty((height, width, 3), np.uint8)
        into[:] = self._count % 200
        into[:, : width // 2] = 0
        return into

    def close(self) -> None:
        """Nothing is open."""


def camera(child: ChildSide) -> None:
    """`device` is read as "fault:after"; `size` and `fps` are what the camera really gives."""
    fault, _, after = str(child.arguments["device"]).partition(":")
    size, fps = child.arguments["size"], child.arguments["fps"]
    assert isinstance(size, list)
    assert isinstance(fps, int | float)
    width, height = size
    assert isinstance(width, int)
    assert isinstance(height, int)
    many = int(after) if after else math.inf
    deliver_live(
        child, FakeCamera(fps=fps, size=(width, height), fault=fault, after=int(min(many, 1e9)))
    )


def liar(child: ChildSide) -> None:
    """Tell of a picture that cannot be."""
    child.ready()
    words: dict[str, Json] = {"seq": 1, "at": 1.0, "slot": 0, "generation": 2}
    words |= {"picture": [48, 64], "grey": [180, 240], "source": [64, 48]}
    lies: dict[str, dict[str, Json]] = {
        "slot": {"slot": 99},
        "generation": {"generation": 4},
        "size": {"picture": [48_000, 64_000]},
        "time": {"at": "soon"},
    }
    child.send(words | lies[str(child.arguments["device"])])
    child.receive()
