"""A venue's crowd plays the music.

The names here are what a stage author imports; everything else may change.
"""

from crowdstream.channel import Inbox, Outbox, WhenFull
from crowdstream.errors import ConfigError, CrowdstreamError, DeviceError, MediaError
from crowdstream.packets import Energy, Frame, Mix, Motion, Packet, People, Playing, Tempo, Tick
from crowdstream.stage import Context, Intake, Sink, Source, Stage, StageConfig, Transform

__version__ = "0.1.0"

__all__ = [
    "ConfigError", "Context", "CrowdstreamError", "DeviceError", "Energy", "Frame", "Inbox",
    "Intake", "MediaError", "Mix", "Motion", "Outbox", "Packet", "People", "Playing", "Sink",
    "Source", "Stage", "StageConfig", "Tempo", "Tick", "Transform", "WhenFull", "__version__",
]  # fmt: skip
