"""Facts about a cue, four stems and an armed start, at a card of twelve channels that keeps time."""

from __future__ import annotations

import ctypes.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdstream.testing.jack import JackServer
from crowdstream.testing.players import player_at, told
from crowdstream.worker import Worker
from stages.speakers import SpeakersConfig, player_arguments

pytestmark = [
    pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120),
    pytest.mark.skipif(
        ctypes.util.find_library("portaudio") is None, reason="needs libportaudio2"
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def wide_jack() -> Iterator[JackServer]:
    """A card with twelve outputs."""
    if missing := JackServer.missing():
        pytest.skip(f"needs {missing}")
    with JackServer(f"crowdstream-wide-{os.getpid()}", channels=12) as server:
        yield server


def a_player(server: JackServer, cache: Path, **settings: Any) -> Worker:
    return player_at(server, cache, player_arguments(SpeakersConfig(**settings), cache))


async def test_armed_then_told_with_everything_at_its_channel(
    wide_jack: JackServer, warm_cache: Path
) -> None:
    """The house waits in silence while the cue has the first track; then stems make the house."""
    with wide_jack.recording(90.0) as recording:
        player = a_player(
            wide_jack, warm_cache, start="armed", channels=(11, 12), cue_channels=(1, 2),
            stem_channels={
                "drums": (3, 4), "bass": (5, 6), "vocals": (7, 8), "other": (10, 9),
            },
            rules={"fade_in_seconds": 1.0},
        )  # fmt: skip
        try:
            facts = await player.start()
            assert facts["output"] == "system"
            waiting = await told(player, lambda f: f["sample"] > 4 * 44100, 30.0)
            assert waiting["state"] == "armed"
            assert (waiting["track"], waiting["peak"]) == ("", 0.0)
            await player.send({"begin": True})
            begun = await told(player, lambda f: f["state"] != "armed", 10.0)
            assert begun["state"] in ("ok", "alone")
            await told(player, lambda f: f["sample"] > begun["sample"] + 5 * 44100, 30.0)
        finally:
            await player.stop(1.0)
        sound = recording.sound()
    house, cue = sound[:, [10, 11]], sound[:, [0, 1]]
    stems = sound[:, [2, 3, 4, 5, 6, 7, 9, 8]].reshape(-1, 4, 2)
    begins = int(np.flatnonzero(house.any(axis=1))[0])
    assert begins > 3 * 44100
    assert np.abs(cue[:begins]).max() > 0.1
    assert np.abs(house[begins : begins + 4 * 44100]).max() > 0.1
    assert stems[:, 0].any()
    assert np.abs(stems.astype(np.float64).sum(axis=1) - house).max() < 1e-6


async def test_stems_alone_go_out_when_the_house_was_left_out(
    wide_jack: JackServer, warm_cache: Path
) -> None:
    """Eight channels, and nothing on the others."""
    with wide_jack.recording(60.0) as recording:
        player = a_player(
            wide_jack, warm_cache, rules={"fade_in_seconds": 0.0},
            stem_channels={"drums": (1, 2), "bass": (3, 4), "vocals": (5, 6), "other": (11, 12)},
        )  # fmt: skip
        try:
            await player.start()
            await told(player, lambda f: f["sample"] > 3 * 44100, 30.0)
        finally:
            await player.stop(1.0)
        sound = recording.sound()
    assert np.abs(sound[:, :2]).max() > 0.05
    assert not sound[:, 6:10].any()
