"""Tell systemd how it goes: five functions over one socket, and how long it waits for us.

The protocol is one datagram to the socket in `$NOTIFY_SOCKET`. Without that variable, and
whatever happens to the socket, these functions do nothing and say so by returning False: they
never raise and never block, for they are called from the event loop.
"""

from __future__ import annotations

import os
import socket
from typing import Final

# STATUS= is one line of `systemctl status`; the rest of the datagram is not meant for prose.
_MAX_STATUS: Final = 500


def ready(status_text: str | None = None) -> bool:
    """The music plays, or silent time is kept. Also ends a `reloading`."""
    return _send("READY=1", *_status(status_text))


def watchdog() -> bool:
    """The event loop and the player are alive; say it every half of `watchdog_seconds`."""
    return _send("WATCHDOG=1")


def status(text: str) -> bool:
    """One line for `systemctl status`."""
    return _send(*_status(text))


def stopping(status_text: str | None = None) -> bool:
    """The end has begun."""
    return _send("STOPPING=1", *_status(status_text))


def reloading(monotonic_usec: int) -> bool:
    """A new configuration is being taken; `ready` must follow.

    `monotonic_usec` is CLOCK_MONOTONIC in microseconds, which Type=notify-reload (systemd 253
    and later) asks for and earlier ones ignore.
    """
    return _send("RELOADING=1", f"MONOTONIC_USEC={monotonic_usec:d}")


def watchdog_seconds() -> float | None:
    """How long systemd waits between two `watchdog` calls; None when it does not watch us."""
    try:
        limit_usec = int(os.environ["WATCHDOG_USEC"])
        watched = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    # Children inherit the variables; they are not the one who is watched.
    return limit_usec / 1e6 if limit_usec > 0 and watched == os.getpid() else None


def _status(text: str | None) -> tuple[str, ...]:
    # A line break would begin another assignment: a track called "x\nSTOPPING=1" stays a title.
    return () if text is None else (f"STATUS={' '.join(text.split())[:_MAX_STATUS]}",)


def _send(*assignments: str) -> bool:
    """Hand the assignments over; False when nobody listens or the socket is full."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract names
    elif not address.startswith("/"):
        return False
    message = "\n".join(assignments).encode("utf-8", "replace")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
            out.sendto(message, address)
    except (OSError, ValueError):  # no such socket, full, or a name that cannot be one
        return False
    return True
