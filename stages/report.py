"""Write the show down: one JSON object a line, numbers only."""

from __future__ import annotations

import json
import math
from io import FileIO
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from crowdstream.errors import CrowdstreamError
from crowdstream.packets import (
    STEMS,
    Energy,
    Frame,
    Gains,
    Motion,
    Packet,
    Playing,
    Tempo,
    Tick,
)
from crowdstream.stage import Context, Inbox, Sink, StageConfig

LINE_SECONDS: Final = 0.1
FLUSH_SECONDS: Final = 1.0

STALE_SECONDS: Final = 1.5
"""The player tells ten times a second; what it said so long ago is not what is heard."""

_begun: Final[dict[Path, float | None]] = {}
"""Reports that this process has begun live, and when their time 0 was: a stage that is started
again goes on writing where it was, and does not wipe the night so far."""


class ReportConfig(StageConfig):
    """Settings of `report`.

    Example:
        [[stage]]
        use = "report"
        from = ["measure_energy", "map_tempo"]
        path = "out/show.jsonl"
    """

    path: Path = Field(Path("show.jsonl"), description="Where the lines go.")
    every: Literal["tenth", "frame"] = Field(
        "tenth", description="One line every tenth of a second, or one for each analysed picture."
    )
    joints: bool = Field(
        default=False, description="Also the joints of drawn people. Never those of real ones."
    )
    max_megabytes: float = Field(
        500.0, gt=0, le=10_000, description="The report ends there; the show goes on."
    )
    header: dict[str, Any] = Field(
        default_factory=dict, description="Facts for the first line: seed, command, version."
    )


class Report(Sink[Packet]):
    """Remember the newest of everything and write it ten times a second.

    What is not known is null. Musical decisions stand between the lines, at their own time.
    """

    Config = ReportConfig

    def __init__(self, config: ReportConfig, context: Context) -> None:
        """Opens nothing yet."""
        super().__init__(config, context)
        self._config = config
        self._begun_to_open = False
        self._file: FileIO | None = None
        """Opened and closed on the stage's own thread."""

        self._part = config.path.with_name(config.path.name + ".part")
        self._torn = False
        self._lines: list[str] = []
        self._written = 0
        self._full = False
        self._origin: float | None = None
        self._next_line: float | None = None
        self._flushed_at = 0.0
        self._truth: Any = None
        self._aspect: float | None = None
        self._energy: Energy | None = None
        self._tempo: Tempo | None = None
        self._playing: Playing | None = None
        self._motion: Motion | None = None
        self._played_at = 0.0
        self._has_seen = False
        self._faults: set[str] = set()

    async def open(self) -> None:
        """Make the file, so that a folder that cannot be written is known at once."""
        target = self._part if self.context.offline else self._config.path
        again = not self.context.offline and target.resolve() in _begun

        def make() -> None:
            # Unbuffered: what could not be written is gone, and closing never fails for it.
            if self.context.offline:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._file = target.open("wb", buffering=0)
            else:
                # Live, a slip of the pen must not cost a file: a show that is there is gone on
                # with, and anything else is left alone.
                _refuse_what_is_no_show(target)
                self._file = target.open("ab", buffering=0)

        self._begun_to_open = True
        try:
            await self.context.offload(make)
        except OSError as error:
            raise CrowdstreamError(
                f"{self._config.path}: cannot be written: {error.strerror}"
            ) from error
        if again:
            self._origin = _begun[target.resolve()]
            self._written = target.stat().st_size
        elif not self.context.offline:
            _begun[target.resolve()] = None
        if self._config.header and not again:
            self._add({"t": 0.0, "event": "show", "why": "begin", **self._config.header})

    async def run(self, inbox: Inbox[Packet | Tick]) -> None:
        """Take everything; write as time goes by."""
        async for packet in inbox:
            if isinstance(packet, Tick):
                continue
            now = packet.captured_at if self.context.offline else self.context.clock.now()
            if self._origin is None or self._next_line is None:
                self._begin(now)
            # Lines are due before the packet that comes after them is taken in.
            if self._config.every == "tenth":
                self._lines_until(now)
            elif (
                self._energy is not None
                and isinstance(packet, Energy | Frame)
                and packet.captured_at > self._energy.captured_at + 1e-9
            ):
                self._line(self._energy.captured_at)
                self._energy = None
            self._take(packet)
            if now - self._flushed_at > FLUSH_SECONDS:
                self._flushed_at = now
                await self._flush()
        if self._next_line is not None and self._config.every == "tenth":
            self._line(self._next_line)
        elif self._energy is not None:
            self._line(self._energy.captured_at)
        await self._flush()
        if self.context.offline:
            await self.context.offload(self._finish)

    async def close(self) -> None:
        """Live, what is still to be written; offline, a report without its end is not left."""
        if not self._begun_to_open:
            return
        try:
            if not self.context.offline:
                await self._flush()
        finally:
            # On the stage's own thread, which may still be at what was cancelled here.
            await self.context.offload(self._leave)

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            if self.context.offline:
                self._part.unlink(missing_ok=True)

    def _begin(self, now: float) -> None:
        """The first packet: the time from which the lines are counted."""
        self._next_line = self._flushed_at = now
        if self._origin is None:
            self._origin = 0.0 if self.context.offline else now
            if not self.context.offline:
                _begun[self._config.path.resolve()] = now

    def _lines_until(self, now: float) -> None:
        due = now if self._next_line is None else self._next_line
        while now > due + 1e-9:
            self._line(due)
            due += LINE_SECONDS
            if now - due > 10.0:
                due = now  # nothing came for long; no line is invented
        self._next_line = due

    def _finish(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._part.replace(self._config.path)

    async def _flush(self) -> None:
        if not self._lines or self._file is None:
            return
        data, self._lines = "".join(self._lines).encode(), []
        if self._full:
            return
        self._written += len(data)
        if self._written > self._config.max_megabytes * 1e6:
            self._full = True
            self.context.log.warning("report_full", megabytes=self._config.max_megabytes)
            return
        try:
            await self.context.offload(self._write, self._file, data)
        except OSError as error:
            if self.context.offline:
                raise CrowdstreamError(
                    f"{self._config.path}: cannot be written: {error.strerror}"
                ) from error
            self.context.log.warning("report_not_written", why=error.strerror)

    def _write(self, file: FileIO, data: bytes) -> None:
        """All of it; after a disk was full in the middle of a line, from a new line on."""
        left = memoryview(b"\n" + data if self._torn else data)
        self._torn = True
        while left:
            left = left[file.write(left) :]
        self._torn = False

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, Frame):
            height, width = packet.picture.shape[:2]
            self._aspect = width / height
            self._truth = packet.truth
        elif isinstance(packet, Energy):
            # With both eyes the later one of a picture knows more; with one it is that one.
            if self._config.every == "tenth" or packet.fresh_from is not None:
                self._energy = packet
        elif isinstance(packet, Tempo):
            self._tempo = packet
        elif isinstance(packet, Motion):
            self._motion = packet
        elif isinstance(packet, Playing):
            self._playing = packet
            self._played_at = self.context.clock.now()
            for event in packet.events:
                at = max(0.0, event.t - (self._origin or 0.0))
                self._add(
                    {"t": _round(at, 2), "event": event.event, "why": event.why, **event.facts}
                )

    def _look_for_faults(self, at: float) -> None:
        """Say when an eye or the player falls silent, and when it is well again."""
        energy = self._energy
        silent = self._playing is not None and at - self._played_at > STALE_SECONDS
        if silent:
            self._playing = None  # what it said last is not what is heard now
        self._has_seen |= energy is not None and bool(energy.eyes)
        blind = self._has_seen and energy is not None and energy.state == "stale"
        for fault, why, is_there in (
            ("player", "the player says nothing", silent or "player" in self._faults),
            ("eyes", "no eye sees the floor", blind),
        ):
            gone = fault in self._faults and (
                self._playing is not None if fault == "player" else not blind
            )
            if gone:
                self._faults.discard(fault)
                self._add({"t": self._time(at), "event": "healed", "why": why})
            elif is_there and fault not in self._faults:
                self._faults.add(fault)
                self._add({"t": self._time(at), "event": "fault", "why": why})

    def _time(self, at: float) -> float | None:
        return _round(max(0.0, at - (self._origin or 0.0)), 3)

    def _line(self, at: float) -> None:
        if not self.context.offline:
            self._look_for_faults(at)
        energy, tempo, playing, truth = self._energy, self._tempo, self._playing, self._truth
        line: dict[str, Any] = {
            "t": _round(at - (self._origin or 0.0), 3),
            "energy": _round(energy.level if energy else None),
            "raw": _round(energy.raw if energy else None),
            "speed": _round(energy.speed if energy else None),
            "confidence": _round(energy.confidence if energy else None),
            "energy_true": _round(truth.energy if truth else None),
            "drive": _round(energy.drive if energy else None),
            "people": energy.people if energy else None,
            "arms": _round(energy.arms if energy else None),
            "legs": _round(energy.legs if energy else None),
            "head": _round(energy.head if energy else None),
            "bounce": _round(energy.bounce if energy else None),
            "contraction": _round(energy.contraction if energy else None),
            "smoothness": _round(energy.smoothness if energy else None),
            "density": _round(energy.density if energy else None),
            "flow": [_round(axis) for axis in energy.flow] if energy and energy.flow else None,
            "groove": _round(energy.groove_bpm if energy else None, 2),
            "groove_confidence": _round(energy.groove_confidence if energy else None),
            "synchrony": _round(energy.synchrony if energy else None),
            "attention": _round(energy.attention if energy else None),
            "beat_phase": _round(energy.beat_phase if energy else None),
            "bpm_wanted": _round(tempo.bpm if tempo else None, 2),
            "eyes": list(energy.eyes) if energy else [],
            "light": self._motion.light if self._motion else None,
            "state": _state(energy, playing),
        }
        if energy is not None and energy.zones:
            line["zones"] = {
                zone.name: {"energy": _round(zone.level), "people": zone.people}
                for zone in energy.zones
            }
        if playing is not None:
            line |= {
                "bpm": _round(playing.bpm, 3),
                "beat": _round(playing.beat, 3),
                "bar": playing.bar,
                "phrase": playing.phrase,
                "section": playing.section,
                "track": playing.track,
                "next": playing.next,
                "bars_to_next": playing.bars_to_next,
                "gains": _gains(playing.gains),
                "decks": [
                    {
                        "track": deck.track,
                        "beat": _round(deck.beat, 3),
                        "section": deck.section,
                        "gains": _gains(deck.gains),
                    }
                    for deck in playing.decks
                ],
                "lufs": _round(playing.lufs, 2),
                "peak": _round(playing.peak),
                "underruns": playing.underruns,
            }
        if truth is not None:
            line["scene"] = truth.scene
            line["people_true"] = int(truth.ids.shape[0])
            line["bpm_true"] = _round(truth.bpm, 2)
            if self._config.joints:
                line["aspect"] = _round(self._aspect)
                line["ids"] = truth.ids.tolist()
                places = truth.joints[:, :, :2].astype(np.float64)
                line["joints"] = np.round(places, 3).reshape(-1, 34).tolist()
        self._add(line)

    def _add(self, line: dict[str, Any]) -> None:
        self._lines.append(json.dumps(_finite(line), ensure_ascii=False) + "\n")


def _refuse_what_is_no_show(path: Path) -> None:
    """Raises CrowdstreamError when something else is there already."""
    if path.is_dir():
        raise CrowdstreamError(f"{path}: is a folder; give the report a name in it")
    if not path.is_file():
        return
    with path.open("rb") as file:
        begin = file.read(5)
    if begin and begin != b'{"t":':
        raise CrowdstreamError(f"{path}: is there and is no show; give the report a new name")


def _state(energy: Energy | None, playing: Playing | None) -> str:
    if playing is not None and playing.state != "ok":
        return playing.state
    return energy.state if energy is not None else "stale"


def _gains(gains: Gains) -> dict[str, float | None]:
    return {stem: _round(gain) for stem, gain in zip(STEMS, gains, strict=True)}


def _round(value: float | None, digits: int = 4) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not finite is not known."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
