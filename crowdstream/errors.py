"""Every exception of the project.

    CrowdstreamError              exit 1    the work failed
    ├── UsageError                exit 2    the command was called wrongly
    ├── MediaError                exit 1    a file is not what it says it is
    ├── StageFailed               exit 1    a stage raised; carries its name and the cause
    ├── ChannelClosed             exit 1    sent to a reader who is gone
    ├── DeviceError               exit 69   a device, file or server is not there; it may come back
    │   └── WorkerError           exit 69   a child process died, hung or refused
    ├── Busy                      exit 75   another daemon runs; try again later
    └── ConfigError               exit 78   the configuration is wrong; carries every mistake

A message is one plain sentence: what is wrong, where, and what would be right.
"""

from __future__ import annotations

from typing import ClassVar


class CrowdstreamError(Exception):
    """Something that crowdstream can say in one plain sentence."""

    exit_code: ClassVar[int] = 1


class UsageError(CrowdstreamError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class MediaError(CrowdstreamError):
    """A video, picture, sound or model file cannot be read as what it claims to be."""


class StageFailed(CrowdstreamError):
    """A stage raised while it opened or ran; the cause is chained."""

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__(f"{stage}: {cause}")
        self.stage = stage
        """Name of the stage in its recipe."""


class ChannelClosed(CrowdstreamError):
    """The reader of this channel is gone."""


class DeviceError(CrowdstreamError):
    """A camera, sound card, network stream or file is not there now; it may come back."""

    exit_code = 69


class WorkerError(DeviceError):
    """A child process died, did not answer in time, or refused to start."""


class Busy(CrowdstreamError):
    """Another daemon already runs on this machine."""

    exit_code = 75


class ConfigError(CrowdstreamError):
    """The configuration is wrong. Lists every mistake, one sentence each."""

    exit_code = 78

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes: tuple[str, ...] = mistakes
        """One plain sentence each: file, place, what is wrong, what would be right."""
