"""A venue's crowd plays the music.

The names here are what a stage author imports; everything else may change. They are loaded when
they are asked for: a child process that only needs one file of ours does not pay for all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crowdstream.channel import Inbox, Outbox, WhenFull
    from crowdstream.errors import ConfigError, CrowdstreamError, DeviceError, MediaError
    from crowdstream.packets import (
        Energy,
        Frame,
        Mix,
        Motion,
        Packet,
        People,
        Playing,
        Tempo,
        Tick,
    )
    from crowdstream.stage import Context, Intake, Sink, Source, Stage, StageConfig, Transform

__version__ = "0.1.0"

__all__ = [
    "ConfigError", "Context", "CrowdstreamError", "DeviceError", "Energy", "Frame", "Inbox",
    "Intake", "MediaError", "Mix", "Motion", "Outbox", "Packet", "People", "Playing", "Sink",
    "Source", "Stage", "StageConfig", "Tempo", "Tick", "Transform", "WhenFull", "__version__",
]  # fmt: skip

_ROOM_OF: Final = {
    **dict.fromkeys(("Inbox", "Outbox", "WhenFull"), "channel"),
    **dict.fromkeys(("ConfigError", "CrowdstreamError", "DeviceError", "MediaError"), "errors"),
    **dict.fromkeys(
        ("Energy", "Frame", "Mix", "Motion", "Packet", "People", "Playing", "Tempo", "Tick"),
        "packets",
    ),
    **dict.fromkeys(
        ("Context", "Intake", "Sink", "Source", "Stage", "StageConfig", "Transform"), "stage"
    ),
}


def __getattr__(name: str) -> Any:
    """Load a public name's room at its first use (PEP 562)."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    globals()[name] = found
    return found
