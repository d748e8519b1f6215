"""The sound card, through PortAudio: opened by name, watched by the age of its callback.

PortAudio loses devices silently: no exception, no flag, `stream.active` may stay true. The one
sign that can be trusted is that the callback no longer comes.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.errors import DeviceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLOSE_SECONDS: Final = 3.0
LARGEST_LATENCY_SECONDS: Final = 0.5
"""Some servers report nonsense (a day); more than this is not believed."""

Fill = Callable[["NDArray[np.float32]"], None]
"""Called in the sound card's thread: fill the array, shape (samples, 2)."""


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Which device, and how."""

    device: str
    """Part of its name, or empty for the system's default."""

    host_api: str
    """Part of the host API's name, or empty for any."""

    channels: tuple[int, int]
    """Left and right, counted from 1."""

    rate: int
    block_samples: int


class Output:
    """One open device."""

    def __init__(self, settings: OutputSettings, fill: Fill) -> None:
        """Open and start it.

        Raises:
            DeviceError: PortAudio is not installed, there is no such device, or it refused.
        """
        self.settings = settings
        self._fill = fill
        self._left, self._right = (channel - 1 for channel in settings.channels)
        self._block = np.zeros((max(8192, settings.block_samples), 2), np.float32)
        self.samples = 0
        """Samples asked for so far."""
        self.called_at = time.monotonic()
        """When the card last asked."""
        self.late = 0
        """How often PortAudio said that we were too late."""
        sd = load_portaudio()
        index, facts = find_device(sd, settings)
        width = max(settings.channels)
        try:
            self._stream = sd.OutputStream(
                samplerate=settings.rate, blocksize=settings.block_samples, device=index,
                channels=width, dtype="float32", latency="low", callback=self._called,
                clip_off=True, dither_off=True,
            )  # fmt: skip
            self._stream.start()
        except sd.PortAudioError as error:
            raise DeviceError(f"{facts['name']}: cannot be opened: {error}") from error
        self.name = str(facts["name"])
        latency = float(self._stream.latency)
        believed = math.isfinite(latency) and 0.0 <= latency <= LARGEST_LATENCY_SECONDS
        self.latency = latency if believed else settings.block_samples / settings.rate

    def age(self) -> float:
        """Seconds since the card last asked."""
        return time.monotonic() - self.called_at

    def close(self) -> bool:
        """Let go of the device; False when it does not let go of us within three seconds."""
        closing = threading.Thread(target=self._close, name="closing", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        return not closing.is_alive()

    def _called(self, out: NDArray[np.float32], samples: int, _time: Any, status: Any) -> None:
        """The card's thread asks for a block. Realtime-safe: yes"""
        self.called_at = time.monotonic()
        if status.output_underflow:
            self.late += 1
        if out.shape[1] == 2 and self._left == 0 and self._right == 1:
            self._fill(out)
        else:
            block = self._block[:samples]
            self._fill(block)
            out.fill(0.0)
            out[:, self._left] = block[:, 0]
            out[:, self._right] = block[:, 1]
        self.samples += samples

    def _close(self) -> None:
        try:
            self._stream.abort(ignore_errors=True)
        finally:
            self._stream.close(ignore_errors=True)


def load_portaudio() -> Any:
    """The sounddevice module.

    Raises:
        DeviceError: the PortAudio library is not on this machine.
    """
    try:
        import sounddevice  # noqa: PLC0415  only the player may load it
    except OSError as error:
        raise DeviceError(
            "the PortAudio library is not installed (Debian: apt install libportaudio2)"
        ) from error
    return sounddevice


def refresh(sd: Any) -> None:
    """Let PortAudio look for devices anew: its list is frozen otherwise."""
    sd._terminate()  # noqa: SLF001  there is no public way
    sd._initialize()  # noqa: SLF001


def find_device(sd: Any, settings: OutputSettings) -> tuple[int, dict[str, Any]]:
    """Index and facts of the device that is meant.

    Raises:
        DeviceError: there is none of that name with so many channels; the message lists what is.
    """
    apis = [str(api["name"]) for api in sd.query_hostapis()]
    outputs = [
        (index, facts)
        for index, facts in enumerate(sd.query_devices())
        if facts["max_output_channels"] > 0
        and settings.host_api.lower() in apis[facts["hostapi"]].lower()
    ]
    if not outputs:
        where = f" of host API {settings.host_api}" if settings.host_api else ""
        raise DeviceError(f"there is no audio output{where}")
    if not settings.device:
        default = sd.default.device[1]
        chosen = next((pair for pair in outputs if pair[0] == default), outputs[0])
    else:
        exact = [pair for pair in outputs if pair[1]["name"] == settings.device]
        close = [pair for pair in outputs if settings.device.lower() in pair[1]["name"].lower()]
        if not exact and not close:
            names = ", ".join(sorted({str(facts["name"]) for _, facts in outputs}))
            raise DeviceError(f"no audio output is called {settings.device}; there are: {names}")
        chosen = (exact or close)[0]
    width = max(settings.channels)
    if chosen[1]["max_output_channels"] < width:
        raise DeviceError(
            f"{chosen[1]['name']}: has {chosen[1]['max_output_channels']} channels, not {width}"
        )
    return chosen
