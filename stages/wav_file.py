"""Play the music into a file, as fast as the machine can."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.music.library import Track, load_stems, read_library
from crowdstream.packets import Mix, Playing, Tick
from crowdstream.player.journal import MixJournal
from crowdstream.player.mixer import QUANTUM, Mixer
from crowdstream.player.output import BlockCutter
from crowdstream.player.rules import RulesSettings
from crowdstream.programme import Programme
from crowdstream.stage import Context, Inbox, Outbox, Stage, StageConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

TELL_SECONDS = 0.1
BATCH_SECONDS = 2.0
"""Rendered at once before the event loop is asked for its turn."""


class WavFileConfig(StageConfig):
    """Settings of `wav_file`.

    Example:
        [[stage]]
        use = "wav_file"
        path = "out/mix.wav"
        rules = { slope_up = 1.0, bars_per_track = 24 }
    """

    from_machine: ClassVar[tuple[str, ...]] = ("programme",)

    path: Path = Field(Path("mix.wav"), description="Where the sound goes.")
    rate: Literal[44100, 48000] = Field(44100, description="Samples a second.")
    bits: Literal[16, 24] = Field(16, description="Bits per sample.")
    block_samples: int = Field(
        4096, ge=16, le=65_536, description="Samples written at once; the mix is the same."
    )
    seconds: float | None = Field(
        None, gt=0, le=86_400, description="Length; none: as long as wishes come."
    )
    fade_out_seconds: float = Field(2.0, ge=0, le=60, description="At the very end.")
    library: Path | None = Field(None, description="Folder of tracks; none: the built-in music.")
    seed: int = Field(0, ge=0, description="Another seed chooses other tracks.")
    journal: bool = Field(
        default=False, description="Also write what was mixed, to the sample, as JSON beside it."
    )
    rules: RulesSettings = Field(RulesSettings(), description="How the conductor plays.")
    programme: Programme = Field(Programme(), description="From [programme] of config.toml.")


class WavFile(Stage[Mix, Playing]):
    """Render up to the moment of a wish, then take it: the same wishes make the same file.

    The file gets its name at the end; a run that breaks leaves none.
    """

    Config = WavFileConfig
    tick_seconds = 0.05
    """Shorter than the control lead, so that what was rendered is always ahead of the wishes."""

    def __init__(self, config: WavFileConfig, context: Context) -> None:
        """Opens nothing yet."""
        super().__init__(config, context)
        self._config = config
        self._part = config.path.with_name(config.path.name + ".part")
        self._mixer: Mixer
        """Made by open(), used on the stage's own thread only."""

        self._file: Any = None
        self._journal = MixJournal() if config.journal else None
        self._end = math.inf if config.seconds is None else round(config.seconds * config.rate)
        self._lead = 0.0
        self._written = 0
        self._told = 0
        self._seq = 0
        self._fading = False
        self._whole = False
        quanta = int(BATCH_SECONDS * config.rate) // QUANTUM + 1
        self._sound = np.zeros((quanta, QUANTUM, 2), np.float32)
        self._rendered: deque[NDArray[np.float32]] = deque()
        """Quanta that wait for their block to be whole."""

        self._cutter = BlockCutter(self._next_quantum, QUANTUM)
        self._block = np.zeros((config.block_samples, 2), np.float32)

    async def open(self) -> None:
        """Read the library and make the file, so that what is wrong is known at once."""
        await self.context.offload(self._open)

    def _open(self) -> None:
        import soundfile

        config = self._config
        self._mixer = Mixer(
            self._tracks(), self._load, rate=config.rate, seed=config.seed,
            rules=config.rules.rules(
                programme_bpm=config.programme.bpm, programme_drive=config.programme.intensity
            ),
        )  # fmt: skip
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = soundfile.SoundFile(
                self._part, "w", samplerate=config.rate, channels=2, format="WAV",
                subtype=f"PCM_{config.bits}",
            )  # fmt: skip
        except OSError as error:
            raise CrowdstreamError(
                f"{config.path}: cannot be written: {error.strerror or error}"
            ) from error
        except soundfile.LibsndfileError as error:
            raise CrowdstreamError(
                f"{config.path}: cannot be written: {error.error_string}"
            ) from error

    def _tracks(self) -> tuple[Track, ...]:
        folder = self._config.library
        if folder is None:
            from crowdstream.music.compose import builtin_library

            return builtin_library(self.context.places.cache / "music")
        tracks, complaints = read_library(folder)
        for complaint in complaints:
            self.context.log.warning("track_refused", why=complaint)
        if not tracks:
            raise MediaError(f"{folder}: holds no track that can be played")
        return tracks

    def _load(self, track: Track) -> NDArray[np.int16] | None:
        """The stems; a track that cannot be decoded is left out."""
        try:
            return load_stems(track, self._config.rate)
        except MediaError as broken:
            self.context.log.warning("track_refused", why=str(broken))
            if not self._mixer.give_up(track):
                raise MediaError("the library has no track that can be decoded") from broken
            return None

    async def run(self, inbox: Inbox[Mix | Tick], outbox: Outbox[Playing]) -> None:
        """Wishes in, what is heard out; then on to the end."""
        async for packet in inbox:
            if isinstance(packet, Tick):
                # No wish that is still to come takes effect before this.
                await self._render(self._sample_of(packet.now + self._lead), outbox)
                continue
            self._lead = packet.at - packet.captured_at
            sample = self._sample_of(packet.at)
            await self._render(sample, outbox)
            self._mixer.take(packet, sample=sample)
        if math.isinf(self._end):
            fade = round(self._config.fade_out_seconds * self._config.rate)
            self._end = self._mixer.position + fade
        await self._render(int(self._end), outbox)
        await self.context.offload(self._finish)

    def _sample_of(self, seconds: float) -> int:
        """The first sample at or after; 0.3 s are 13230 samples, not one more for rounding."""
        return max(0, math.ceil(seconds * self._config.rate - 1e-3))

    async def _render(self, until: int, outbox: Outbox[Playing]) -> None:
        """All quanta that begin before `until`, and what is to be told of them."""
        batch = QUANTUM * len(self._sound)
        until = int(min(until, self._end))
        while self._mixer.position < until:
            told: list[Playing] = await self.context.offload(
                self._render_batch, min(until, self._mixer.position + batch)
            )
            for playing in told:
                await outbox.send(playing)

    def _render_batch(self, until: int) -> list[Playing]:
        mixer, told = self._mixer, []
        count = 0
        fade_out = self._config.fade_out_seconds
        while mixer.position < until:
            # At the last quantum that does not begin after it: a line of the show for that moment
            # then tells of this, and not of what was heard a tenth of a second before.
            due = self._told * TELL_SECONDS * mixer.rate
            if due < min(mixer.position + QUANTUM, self._end):
                told.append(self._playing())
            left = self._end - mixer.position
            if not self._fading and left <= fade_out * mixer.rate:
                self._fading = True
                mixer.fade_to(0.0, left / mixer.rate)
            mixer.render(self._sound[count])
            count += 1
            if self._journal is not None:
                self._journal.follow(mixer)
        self._rendered.extend(self._sound[:count].copy())
        self._write(int(min(mixer.position, self._end)))
        return told

    def _write(self, until: int) -> None:
        """All whole blocks before the sample `until`; the last one, at the end, may be short."""
        size = self._config.block_samples
        while self._written + size <= until or self._written < until == self._end:
            block = self._block[: min(size, until - self._written)]
            self._cutter.fill(block)
            self._file.write(block)
            self._written += len(block)

    def _next_quantum(self, out: NDArray[np.float32]) -> None:
        out[:] = self._rendered.popleft()

    def _playing(self) -> Playing:
        from dataclasses import replace

        events = self._mixer.events()
        if self._journal is not None:
            self._journal.note(events)
        playing = replace(self._mixer.playing(seq=self._seq), events=events)
        self._seq += 1
        self._told += 1
        return playing

    def _finish(self) -> None:
        """Give the file its name."""
        self._file.close()
        if self._journal is not None:
            self._journal.note(self._mixer.events())
            summary = self._journal.summary(rate=self._config.rate, frames=self._written)
            _write_whole(
                self._config.path.with_suffix(".json"),
                lambda part: part.write_text(json.dumps(summary) + "\n", encoding="utf-8"),
            )
        self._part.replace(self._config.path)
        self._whole = True

    async def close(self) -> None:
        """Leave no half file."""
        # On the stage's own thread, which may still be at what was cancelled here.
        await self.context.offload(self._leave)

    def _leave(self) -> None:
        if self._file is not None and not self._whole:
            self._file.close()
            self._part.unlink(missing_ok=True)


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
