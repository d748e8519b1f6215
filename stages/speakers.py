"""Play the music, live, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from crowdstream.channel import Inbox, Outbox, WhenFull
from crowdstream.controls import Control
from crowdstream.errors import ChannelClosed, WorkerError
from crowdstream.music.library import own_library
from crowdstream.packets import STEMS, Mix, Playing, Tick
from crowdstream.player.facts import playing_of
from crowdstream.player.kept import forget
from crowdstream.player.rules import RulesSettings
from crowdstream.programme import Programme, Wanted
from crowdstream.stage import Context, Intake, Stage, StageConfig
from crowdstream.worker import Worker

SILENT_CHILD_SECONDS = 3.0
"""The player tells ten times a second; one that says nothing for so long is killed."""

READY_SECONDS = 300.0
"""The very first start composes the built-in music, and a slow machine must get to its end."""

FADE_SECONDS = 1.0
"""The player fades out and ends within this, or is ended."""

STALE_SECONDS = 0.5
"""What was told while nobody listened, before the chain began or while it hung, is no news."""

NICENESS = -11
"""Before everything else that computes, where the limits allow it; without rights it is 0."""


Pair = tuple[int, int]


class StemChannels(BaseModel):
    """Left and right of each stem, counted from 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drums: Pair = Field(description="Left and right of the drums.", examples=["[5, 6]"])
    bass: Pair = Field(description="Left and right of the bass.", examples=["[7, 8]"])
    vocals: Pair = Field(description="Left and right of the vocals.")
    other: Pair = Field(description="Left and right of the rest.")

    @field_validator("drums", "bass", "vocals", "other")
    @classmethod
    def _channels_count_from_one(cls, channels: Pair) -> Pair:
        return _a_pair(channels)


class SpeakersConfig(StageConfig):
    """Settings of `speakers`.

    Example:
        [[stage]]
        use = "speakers"
        device = "USB Audio"
        channels = [1, 2]
    """

    from_machine: ClassVar[tuple[str, ...]] = ("programme",)

    device: str = Field("", description="Part of the output's name; empty: the system's default.")
    host_api: str = Field("", description='Part of the host API\'s name, like "JACK" or "ALSA".')
    channels: Pair = Field(
        (1, 2),
        description="Left and right of the house, counted from 1. Left out beside stem_channels:"
        " the stems go out alone.",
    )
    cue_channels: Pair | None = Field(
        None, description="Headphones: left and right of what comes next, before it is heard."
    )
    stem_channels: StemChannels | None = Field(
        None, description="A mixer: the four stems, each a pair; together they are the house."
    )
    rate: Literal[44100, 48000] = Field(44100, description="Samples a second.")
    block_samples: int = Field(
        512, ge=64, le=8192, description="Samples the card asks for at once."
    )
    ring_seconds: float = Field(
        0.1, ge=0.01, le=1, description="How far the sound is made ahead of the card."
    )
    clocked: bool = Field(
        default=True, description="false only for sinks without a clock, such as ALSA's file."
    )
    start: Literal["playing", "armed"] = Field(
        "playing", description="armed: ready and silent until somebody says that it begins."
    )
    trim_db: float = Field(0.0, ge=-60, le=0, description="Level of everything.")
    library: Path | None = Field(
        None,
        description="Folder of tracks; none: those of `library add`, or the built-in music.",
    )
    separate: Literal["off", "fast", "high"] = Field(
        "high", description="Stems for tracks without, in the background; fast ones bleed."
    )
    cache_gb: float = Field(
        2.0, ge=0.1, le=1000, description="Decoded tracks kept on disk, in gigabytes."
    )
    seed: int = Field(0, ge=0, description="Another seed chooses other tracks.")
    rules: RulesSettings = Field(RulesSettings(), description="How the conductor plays.")
    programme: Programme = Field(Programme(), description="From [programme] of config.toml.")

    @field_validator("channels", "cue_channels")
    @classmethod
    def _channels_count_from_one(cls, channels: Pair | None) -> Pair | None:
        return None if channels is None else _a_pair(channels)

    @model_validator(mode="after")
    def _no_channel_twice(self) -> Self:
        taken: dict[int, str] = {}
        for name, pair in self.pairs():
            for channel in pair:
                if channel in taken:
                    raise ValueError(f"channel {channel} is in {taken[channel]} and in {name}")
                taken[channel] = name
        return self

    def pairs(self) -> list[tuple[str, Pair]]:
        """The settings that name channels, in the order of `crowdstream.player.pairs`.

        The house has none where only stems were asked for.
        """
        found: list[tuple[str, Pair]] = []
        if self.stem_channels is None or "channels" in self.model_fields_set:
            found.append(("channels", self.channels))
        if self.cue_channels is not None:
            found.append(("cue_channels", self.cue_channels))
        if self.stem_channels is not None:
            stems = self.stem_channels
            found += [(f"stem_channels.{stem}", getattr(stems, stem)) for stem in STEMS]
        return found


def _a_pair(channels: Pair) -> Pair:
    if min(channels) < 1 or max(channels) > 64 or channels[0] == channels[1]:
        raise ValueError("two different channels, counted from 1")
    return channels


class Speakers(Stage[Mix, Playing]):
    """Hand the newest wish to the player and pass on what it says is heard.

    The player goes on by itself while no wish comes. It dies with this process, and is made
    anew when it dies alone.
    """

    Config = SpeakersConfig
    start = Control(
        default=0.0, ge=0.0, le=1.0,
        description='1: a show that waits for it (start = "armed") begins on the next one.',
    )  # fmt: skip
    intake = Intake(1, WhenFull.DROP_OLDEST)

    def __init__(self, config: SpeakersConfig, context: Context) -> None:
        """Starts nothing yet."""
        super().__init__(config, context)
        self._config = config
        self._player: Worker | None = None
        self._silent_because = ""
        self._armed = False
        self._is_over = False
        """The chain has ended in order: the next night begins as one."""

    async def open(self) -> None:
        """Start the player. Without a device it keeps time silently, and that is a start."""
        self._player = Worker(
            "crowdstream.player.early:play",
            name="player",
            arguments=self._arguments(),
            environment=_sound_environment(),
            log=self.context.log,
            ready_seconds=READY_SECONDS,
            nice=NICENESS,
        )
        facts = await self._player.start()
        if facts["output"] is None:
            self._silence(str(facts["why"]))
        else:
            self.context.log.info("sound_opened", device=facts["output"], rate=facts["rate"])
        self._tell_lack(str(facts["lacks"]))

    async def run(self, inbox: Inbox[Mix | Tick], outbox: Outbox[Playing]) -> None:
        """Wishes in, what is heard out; neither waits for the other."""
        player = self._player
        assert player is not None

        async def tell() -> None:
            while True:
                message = await player.receive(deadline=SILENT_CHILD_SECONDS)
                begins = self._armed and self._told_to_begin
                if begins and player.send_nowait({"begin": True}):
                    self._armed = False
                facts = message.header.get("playing")
                if isinstance(facts, dict):
                    await self._pass_on(facts, outbox)

        async def wish() -> None:
            async for mix in inbox:
                if isinstance(mix, Mix):
                    # What the player has not taken yet is older than the next one will be.
                    player.send_nowait({"mix": asdict(mix)})

        async with asyncio.TaskGroup() as group:
            telling = group.create_task(tell(), name="speakers tell")
            await wish()
            self._is_over = True
            telling.cancel()

    async def close(self) -> None:
        """End the player; it fades out first."""
        if self._player is not None:
            await self._player.stop(grace=FADE_SECONDS + self._config.ring_seconds)
        if self._is_over:
            await self.context.offload(forget, self.context.places.state)

    @property
    def _told_to_begin(self) -> bool:
        return self.context.controls.value(f"{self.context.name}.start") > 0.0

    def _arguments(self) -> dict[str, Any]:
        """Those of the player; without a library in the settings the user's own counts."""
        places = self.context.places
        clock = self.context.clock
        local_time = clock.local_time()
        arguments = player_arguments(
            self._config, places.cache, state=places.state,
            wanted=self._config.programme.at(local_time),
            monotonic_began_1970=local_time.timestamp() - clock.now(),
        )  # fmt: skip
        own = own_library(places.state)
        if self._config.library is None and own is not None:
            arguments["library"] = str(own)
        # Once the show has begun nothing is armed again, however often the player is made anew.
        self._armed = arguments["armed"] = arguments["armed"] and not self._told_to_begin
        return arguments

    async def _pass_on(self, facts: dict[str, Any], outbox: Outbox[Playing]) -> None:
        why = str(facts.get("why_silent") or "")
        if why != self._silent_because:
            if why:
                self._silence(why)
            else:
                self.context.log.info("sound_opened_again")
                self._silent_because = ""
        self._tell_lack(str(facts.get("lacks") or ""))
        try:
            playing = playing_of(facts)
        except (TypeError, KeyError) as error:
            raise WorkerError(f"the player said what nobody understands: {error}") from error
        if playing.events or self.context.clock.now() - playing.captured_at < STALE_SECONDS:
            with contextlib.suppress(ChannelClosed):  # the music needs no listener
                await outbox.send(playing)

    def _tell_lack(self, lacks: str) -> None:
        """Once for each card: it plays, but not everything that was asked for."""
        note = f"without the cue: {lacks}" if lacks else ""
        if lacks and note != self.note:
            self.context.log.warning("sound_incomplete", why=note)
        self.note = note

    def _silence(self, why: str) -> None:
        if not self._silent_because:
            self.context.log.warning(
                "sound_silent", why=why, what="keeping time; looking for it every second"
            )
        self._silent_because = why


def player_arguments(
    config: SpeakersConfig, cache: Path, *, state: Path | None = None,
    wanted: Wanted | None = None, monotonic_began_1970: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """What the player's process is given, as plain data.

    `cache` is where built-in music and decoded tracks are, `state` where what was heard tonight is
    kept (None: nowhere), `wanted` what the programme asks for now (None: its middle), and
    `monotonic_began_1970` when the monotonic clock was 0, in seconds since 1970.
    """
    programme = config.programme
    begin = wanted if wanted is not None else Wanted(programme.bpm, programme.intensity)
    arguments: dict[str, Any] = config.model_dump(
        mode="json",
        exclude={"rules", "programme", "channels", "cue_channels", "stem_channels", "start"},
    )
    pairs = config.pairs()
    names = {name.split(".")[0] for name, _ in pairs}
    arguments["channels"] = [channel for _, pair in pairs for channel in pair]
    arguments["pairs"] = {
        "house": "channels" in names, "cue": "cue_channels" in names,
        "stems": "stem_channels" in names,
    }  # fmt: skip
    # A card that has too few channels for the cue still plays for the house.
    most = [max(pair) for name, pair in pairs if name != "cue_channels"]
    arguments["needed"] = max(most)
    arguments["armed"] = config.start == "armed"
    arguments["rules"] = config.rules.facts() | {
        "programme_bpm": begin.bpm, "programme_drive": begin.intensity,
    }  # fmt: skip
    arguments["cache"] = str(cache)
    arguments["state"] = None if state is None else str(state)
    arguments["monotonic_began_1970"] = monotonic_began_1970
    return arguments


def _sound_environment() -> dict[str, str]:
    """What PortAudio's back ends need to know of ours."""
    wanted = ("ALSA_", "JACK_", "PULSE_", "PIPEWIRE_", "PA_ALSA")
    return {key: value for key, value in os.environ.items() if key.startswith(wanted)}
