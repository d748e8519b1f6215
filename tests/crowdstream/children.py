"""What the children of the tests do: functions for `Worker`, one kind of behaviour each."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from crowdstream.child import ChildSide
from crowdstream.errors import MediaError
from crowdstream.wire import pack_arrays


def echo(child: ChildSide) -> None:
    """Answer every call with what it said."""
    child.ready({"arguments": child.arguments})
    while message := child.receive():
        child.reply(message, message.header, message.payload)


def environment(child: ChildSide) -> None:
    """Tell what is known here."""
    child.ready(
        {
            "environment": dict(os.environ),
            "command_line": " ".join(sys.orig_argv),
            "fds": [int(fd) for fd in os.listdir("/proc/self/fd")],
            "nice": os.nice(0),
            "memory_limit": resource.getrlimit(resource.RLIMIT_AS)[0],
            "core_limit": resource.getrlimit(resource.RLIMIT_CORE)[0],
        }
    )


def measured(child: ChildSide) -> None:
    """Tell of two forms of a network at once, and leave a mark beside its first file."""
    forms: Any = child.arguments["forms"]
    mark = Path(forms["floating"]["paths"][0]).with_suffix(f".measured-{os.getpid()}")
    mark.touch()
    child.ready(
        {
            "measured": [
                ["floating", "f32", 60.0, 0.0, 0.0],
                ["floating", "bf16", 33.0, 0.5, 0.0],
            ],
            "reference": "f32 of net.onnx (ONNX)",
        }
    )


def without_network(child: ChildSide) -> None:
    """Say that it cannot be done, and end."""
    raise MediaError(f"{child.name}: there is no network in it")


def doubling(child: ChildSide) -> None:
    """Double the arrays of each call."""
    child.ready()
    while message := child.receive():
        header, payload = pack_arrays({k: v * 2 for k, v in message.arrays().items()})
        child.reply(message, header, payload)


def descriptors(child: ChildSide) -> None:
    """Write into the descriptor of each call, and answer with the reading end of a pipe."""
    child.ready({"at_birth": os.read(child.fds[0], 100).decode()})
    while message := child.receive():
        os.write(message.fds[0], b"written by the child")
        os.close(message.fds[0])
        reading, writing = os.pipe()
        os.write(writing, b"from the child's pipe")
        os.close(writing)
        child.reply(message, {}, fds=[reading])
        os.close(reading)


def babbling(child: ChildSide) -> None:
    """Print garbage to both outputs without end of line, and a lot; then answer."""
    sys.stdout.buffer.write(bytes(range(256)) * 2000)
    sys.stdout.flush()
    for number in range(5000):
        print("line", number, file=sys.stderr)
    child.ready()
    while message := child.receive():
        child.reply(message, message.header)


def refusing(child: ChildSide) -> None:
    """Refuse the first call, answer the second."""
    child.ready()
    message = child.receive()
    assert message is not None
    child.refuse(message, "the picture is too small")
    echo(child)


def raising(child: ChildSide) -> None:
    """Raise what nobody expected."""
    raise ZeroDivisionError("the middle is empty")


def telling(child: ChildSide) -> None:
    """Raise what crowdstream can say in one sentence."""
    raise MediaError("clip.mp4 is no video")


def crashing(child: ChildSide) -> None:
    """Die in C on the first call."""
    child.ready()
    child.receive()
    ctypes.string_at(0)


def silent(child: ChildSide) -> None:
    """Never be ready."""
    time.sleep(60)


def deaf(child: ChildSide) -> None:
    """Be ready, and read nothing any more."""
    child.ready()
    time.sleep(60)


def last_words(child: ChildSide) -> None:
    """Send three messages and end at once."""
    child.ready()
    for number in range(3):
        child.send({"number": number}, np.arange(number, dtype=np.uint8).tobytes())


def beating(child: ChildSide) -> None:
    """Only beat, five times in half a second; then send one message."""
    child.ready()
    for _ in range(5):
        time.sleep(0.1)
        child.beat()
    child.send({"done": True})
    child.receive()


def flooding(child: ChildSide) -> None:
    """Send without end."""
    child.ready()
    number = 0
    while True:
        child.send({"number": number}, bytes(10_000))
        number += 1


def speaking_in_tongues(child: ChildSide) -> None:
    """Write into the socket what is no message."""
    child.ready()
    os.write(int(sys.argv[1]), b"\xff" * 64)
    time.sleep(60)
