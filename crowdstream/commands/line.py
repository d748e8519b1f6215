"""The one live line on a terminal: the show going by."""

from __future__ import annotations

import contextlib
import io
import shutil
from typing import Final, TextIO

from crowdstream.packets import STEMS, Energy, Playing
from crowdstream.status import ChainState, Status

LINE_SECONDS: Final = 0.25
"""The daemon draws four times a second."""


class LiveLine:
    """Redraws one line in place; log lines push it down and it comes back beneath them."""

    def __init__(self, stream: TextIO) -> None:
        """`stream` is the terminal."""
        self._stream = stream
        self._text = ""
        self._sent_before: int | None = None
        self._fps: float | None = None

    def draw(self, status: Status, energy: Energy | None, playing: Playing | None) -> None:
        """Show how it is now."""
        self.show(self._sentence(status, energy, playing))

    def show(self, text: str) -> None:
        """Put any text into the line."""
        width = shutil.get_terminal_size().columns
        self._text = text if len(text) < width else text[: max(0, width - 2)] + "…"
        self._stream.write(f"\r\x1b[2K{self._text}")
        self._stream.flush()

    def end(self) -> None:
        """Leave the last state standing and go to the next line."""
        if self._text:
            self._text = ""
            with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
                self._stream.write("\n")
                self._stream.flush()

    def beside(self, stream: TextIO) -> TextIO:
        """A stream for the log that first clears the live line."""
        return _Beside(stream) if stream.isatty() else stream  # type: ignore[return-value]

    def _sentence(self, status: Status, energy: Energy | None, playing: Playing | None) -> str:
        """What matters most stands first: a narrow terminal cuts the end off."""
        source = status.stages[0]
        if self._sent_before is not None and source.sent >= self._sent_before:
            fps = (source.sent - self._sent_before) / LINE_SECONDS
            self._fps = fps if self._fps is None else self._fps + 0.2 * (fps - self._fps)
        self._sent_before = source.sent
        parts = [_state(status, playing)]
        if energy is not None:
            people = "?" if energy.people is None else str(energy.people)
            parts.append(f"energy {energy.level:4.2f} {bar(energy.level, 6)} {people} people")
        if playing is not None:
            loud = "" if playing.lufs is None else f" {playing.lufs:.0f} LUFS"
            parts.append(f"{playing.bpm:.1f} bpm {stems(playing.gains)}{loud}")
        parts.append(f"{source.name} {self._fps or 0.0:.0f} fps")
        if playing is not None:
            parts.append(f"{playing.track} · {playing.section}")
            if playing.next is not None and playing.bars_to_next is not None:
                parts.append(f"next {playing.next} in {playing.bars_to_next} bars")
        return " │ ".join(parts)


def _state(status: Status, playing: Playing | None) -> str:
    """One word or two: how it is, or what is not well."""
    if status.state is ChainState.DEGRADED:
        unwell = [stage.name for stage in status.stages if stage.why]
        return f"degraded: {', '.join(unwell)}"
    if playing is not None and playing.state != "ok":
        return playing.state
    return str(status.state)


def bar(level: float, width: int = 10) -> str:
    """A level 0..1 as a bar of blocks."""
    eighths = round(max(0.0, min(1.0, level)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width, "·")


def stems(gains: tuple[float, float, float, float]) -> str:
    """The four stems, each as its first letter and a small bar."""
    steps = " ▁▂▃▄▅▆▇█"
    return " ".join(
        f"{stem[0].upper()}{steps[min(8, round(max(0.0, gain) * 8))]}"
        for stem, gain in zip(STEMS, gains, strict=True)
    )


class _Beside:
    """Writes whole lines above the live line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(f"\r\x1b[2K{text}")

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        # The log would write past us, into the middle of the live line.
        raise io.UnsupportedOperation("fileno")

    def isatty(self) -> bool:
        return self._stream.isatty()
