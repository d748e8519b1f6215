"""The sound card, through PortAudio: opened by name, watched by whether it still asks.

PortAudio loses devices silently: no exception, no flag, `stream.active` may stay true. The one
sign that can be trusted is that the callback no longer comes (`SoundRing.calls`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.errors import DeviceError
from crowdstream.player.early import OutputSettings
from crowdstream.player.ring import CALLBACK_ADDRESS, SoundRing

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BlockCutter", "Fill", "Output", "OutputSettings", "find_device", "load_portaudio", "refresh",
]  # fmt: skip

LARGEST_LATENCY_SECONDS: Final = 0.5
"""Some servers report nonsense (a day); more than this is not believed."""

Fill = Callable[["NDArray[np.float32]"], None]
"""Fills a block of the card, shape (samples, width)."""


class Output:
    """One open device, that takes from a ring."""

    def __init__(self, settings: OutputSettings, ring: SoundRing, fill: Fill | None = None) -> None:
        """Open and start it.

        With `fill` the sound is made in the card's own thread, in Python: for sinks that have no
        clock and take blocks as fast as they come. Their blocks are not taken from the ring.

        Raises:
            DeviceError: PortAudio is not installed, there is no such device, or it refused.
        """
        sd = load_portaudio()
        index, facts = find_device(sd, settings)
        self.name = str(facts["name"])
        wanted = max(settings.channels)
        width = min(wanted, int(facts["max_output_channels"]))
        self.lacks = f"it has {width} channels, not {wanted}" if width < wanted else ""
        """What is left out for want of channels, or empty."""

        ring.route(settings.channels, width)
        common: dict[str, Any] = {
            "samplerate": settings.rate, "blocksize": settings.block_samples, "device": index,
            "channels": width, "dtype": "float32", "latency": "low", "clip_off": True,
            "dither_off": True,
        }  # fmt: skip
        self._ring = ring  # its memory is the callback's
        try:
            if fill is None:
                # sounddevice keeps this class for those who bring a callback in C.
                self._stream = sd._StreamBase(
                    "output", **common,
                    callback=sd._ffi.cast("void *", CALLBACK_ADDRESS),
                    userdata=sd._ffi.cast("void *", ring.address),
                )  # fmt: skip
            else:
                self._stream = sd.OutputStream(
                    **common, callback=lambda out, _samples, _time, _status: fill(out)
                )
            self._stream.start()
        except sd.PortAudioError as error:
            raise DeviceError(f"{self.name}: cannot be opened: {error}") from error
        latency = float(self._stream.latency)
        believed = math.isfinite(latency) and 0.0 <= latency <= LARGEST_LATENCY_SECONDS
        self.latency = latency if believed else settings.block_samples / settings.rate
        """Seconds from the callback to the ear, as far as the device tells."""

    def close(self) -> None:
        """Let go of the device. May wait for ever in a driver that hangs."""
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)


class BlockCutter:
    """Cuts the quanta of a mixer into blocks of any size: a `Fill` for sinks without a clock."""

    def __init__(
        self, render: Callable[[NDArray[np.float32]], None], quantum: int,
        channels: tuple[int, ...] = (1, 2),
    ) -> None:  # fmt: skip
        """`render` fills a quantum of as many columns as `channels`, which are counted from 1."""
        self._render = render
        self._quantum = np.zeros((quantum, len(channels)), np.float32)
        self._channels = tuple(channel - 1 for channel in channels)
        self._rest = 0
        self.samples = 0
        """Handed out so far."""

    def fill(self, out: NDArray[np.float32]) -> None:
        """The next block, shape (samples, width)."""
        out.fill(0.0)
        done, wanted = 0, out.shape[0]
        while done < wanted:
            if self._rest == 0:
                self._render(self._quantum)
                self._rest = len(self._quantum)
            count = min(wanted - done, self._rest)
            begin = len(self._quantum) - self._rest
            for column, channel in enumerate(self._channels):
                if channel >= out.shape[1]:
                    continue  # the card has no such channel
                out[done : done + count, channel] = self._quantum[begin : begin + count, column]
            self._rest -= count
            done += count
        self.samples += wanted


def load_portaudio() -> Any:
    """The sounddevice module.

    Raises:
        DeviceError: the PortAudio library is not on this machine.
    """
    # A player never starts a sound server of its own, and looks for JACK without a word.
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            "the PortAudio library is not installed (Debian: apt install libportaudio2)"
        ) from error
    return sounddevice


def refresh(sd: Any) -> None:
    """Let PortAudio look for devices anew: its list is frozen otherwise.

    Raises:
        DeviceError: it cannot be started again.
    """
    try:
        sd._terminate()  # there is no public way
        sd._initialize()
    except sd.PortAudioError as error:
        raise DeviceError(f"PortAudio does not start again: {error}") from error


def find_device(sd: Any, settings: OutputSettings) -> tuple[int, dict[str, Any]]:
    """Index and facts of the device that is meant.

    Raises:
        DeviceError: there is none of that name with so many channels; the message lists what is.
    """
    apis = [str(api["name"]) for api in sd.query_hostapis()]
    outputs: list[tuple[int, dict[str, Any]]] = [
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
    width = settings.needed or max(settings.channels)
    if chosen[1]["max_output_channels"] < width:
        raise DeviceError(
            f"{chosen[1]['name']}: has {chosen[1]['max_output_channels']} channels, not {width}"
        )
    return chosen
