"""Facts about the sound card: bit for bit through PortAudio, in time through JACK, and its loss."""

from __future__ import annotations

import asyncio
import ctypes.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.errors import DeviceError
from crowdstream.player.output import BlockCutter, OutputSettings, find_device
from crowdstream.testing.jack import JackServer
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks
from crowdstream.testing.players import player_at, told
from crowdstream.worker import Worker
from stages.speakers import SpeakersConfig, player_arguments

needs_portaudio = pytest.mark.skipif(
    ctypes.util.find_library("portaudio") is None, reason="needs libportaudio2"
)

BLOCKS = (128, 256, 512, 1000)
HOUSE: dict[str, Any] = {"channels": [1, 2], "pairs": {}}
EVERYTHING: dict[str, Any] = {
    "channels": [*range(1, 13)], "pairs": {"cue": True, "stems": True},
}  # fmt: skip

ALSA = """\
</usr/share/alsa/alsa.conf>
pcm.to_{block} {{
    type file
    slave.pcm {{ type null }}
    file "{folder}/{block}.raw"
    format "raw"
    hint {{ show on description "into a file" }}
}}
"""

PLAY = """
import json, sys, threading
from pathlib import Path
import numpy as np
from crowdstream.music.library import load_stems, read_library
from crowdstream.packets import Mix
from crowdstream.player.mixer import QUANTUM, Mixer, Rules
from crowdstream.player.output import BlockCutter, Output, OutputSettings
from crowdstream.player.pairs import Pairs
from crowdstream.player.ring import SoundRing

folder, samples, wide = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[4])
pairs, channels = Pairs(**wide["pairs"]), tuple(wide["channels"])
tracks = read_library(folder / "library")[0]
stems = {track.id: load_stems(track, 44100) for track in tracks}

def a_mixer():
    mixer = Mixer(tracks, lambda track: stems[track.id], rate=44100, pairs=pairs, rules=Rules(
        slope_up=1.0, slope_down=1.0, bars_per_track=16, fade_in_seconds=0.5))
    for k in range(1, 12):
        mixer.take(Mix(seq=k, captured_at=0.0, at=0.0, drive=k / 12, confidence=1.0,
                       bpm=112.0 + k, gains=(1.0, 1.0, (k % 2) * 1.0, 0.5)), sample=7001 * k)
    return mixer

offline, quantum = a_mixer(), np.zeros((QUANTUM, len(channels)), np.float32)
whole = []
for _ in range(-(-samples // QUANTUM)):
    offline.render(quantum)
    whole.append(quantum.copy())
np.save(folder / "offline.npy", np.concatenate(whole)[:samples])

for block in json.loads(sys.argv[3]):
    cutter, enough = BlockCutter(a_mixer().render, QUANTUM, channels), threading.Event()
    def fill(out):
        if cutter.samples < samples:
            cutter.fill(out)
        else:
            out.fill(0.0)
            enough.set()
    settings = OutputSettings(f"to_{block}", "ALSA", channels, 44100, block)
    output = Output(settings, SoundRing.make(1024, QUANTUM, pairs.count), fill)
    assert enough.wait(20)
    output.close()
"""


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(90)
@needs_portaudio
@pytest.mark.parametrize(
    ("wide", "blocks"), [(HOUSE, BLOCKS), (EVERYTHING, (256, 1000))], ids=["house", "everything"]
)
def test_what_the_card_gets_is_what_is_rendered_offline_bit_for_bit(
    tmp_path: Path, wide: dict[str, Any], blocks: tuple[int, ...]
) -> None:
    """Through real PortAudio, with wishes at fixed samples, whatever the block of the device."""
    write_clicks(
        tmp_path / "library",
        [
            a_track("one", bpm=116.0, key="8A", form=SHORT_FORM),
            a_track("two", bpm=120.0, key="8B", form=SHORT_FORM),
        ],
    )
    config = tmp_path / "asound.conf"
    config.write_text("".join(ALSA.format(block=block, folder=tmp_path) for block in blocks))
    samples = 5 * 44100
    done = subprocess.run(
        [
            sys.executable, "-c", PLAY, str(tmp_path), str(samples), json.dumps(blocks),
            json.dumps(wide),
        ],
        env=_with(ALSA_CONFIG_PATH=str(config)), capture_output=True, text=True, timeout=80,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    offline = np.load(tmp_path / "offline.npy")
    first = int(np.flatnonzero(offline.any(axis=1))[0])
    for block in blocks:
        card = np.fromfile(tmp_path / f"{block}.raw", np.float32).reshape(-1, offline.shape[1])
        # The device begins with a silence of its own.
        begin = int(np.flatnonzero(card.any(axis=1))[0]) - first
        assert np.array_equal(card[begin : begin + samples], offline), f"block {block}"


def test_blocks_of_any_size_are_cut_from_the_same_quanta() -> None:
    """Nothing is left out at the seams, and the channels are the ones that were asked for."""
    counted = 0

    def render(out: NDArray[np.float32]) -> None:
        nonlocal counted
        out[:, 0] = np.arange(counted, counted + len(out))
        out[:, 1] = -out[:, 0]
        counted += len(out)

    cutter = BlockCutter(render, 256, (3, 1))
    blocks = []
    for size in (1, 255, 256, 300, 1000, 7):
        out = np.full((size, 4), np.nan, np.float32)
        cutter.fill(out)
        blocks.append(out)
    heard = np.concatenate(blocks)
    assert np.array_equal(heard[:, 2], np.arange(cutter.samples))
    assert np.array_equal(heard[:, 0], -np.arange(cutter.samples))
    assert not heard[:, [1, 3]].any()


class Devices:
    """What sounddevice would list."""

    class default:
        device = (-1, 1)

    def __init__(self, *names: str, channels: int = 2) -> None:
        self._names, self._channels = names, channels

    def query_hostapis(self) -> list[dict[str, str]]:
        return [{"name": "ALSA"}, {"name": "JACK Audio Connection Kit"}]

    def query_devices(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "hostapi": k % 2, "max_output_channels": self._channels}
            for k, name in enumerate(self._names)
        ]


def settings(
    device: str = "", host_api: str = "", channels: tuple[int, int] = (1, 2)
) -> OutputSettings:
    return OutputSettings(device, host_api, channels, 44100, 512)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (settings(), "USB Audio: - (hw:1,0)"),
        (settings("usb"), "USB Audio: - (hw:1,0)"),
        (settings("default"), "default"),
        (settings(host_api="jack"), "USB Audio: - (hw:1,0)"),
    ],
)
def test_a_device_is_found_by_any_part_of_its_name(wanted: OutputSettings, found: str) -> None:
    """An exact name counts more; an empty one is the system's default."""
    devices = Devices("HDMI default", "USB Audio: - (hw:1,0)", "default")
    assert find_device(devices, wanted)[1]["name"] == found


def test_a_card_may_have_too_few_channels_for_what_can_be_left_out() -> None:
    """The house plays; a cue has no place."""
    wanted = OutputSettings("HDMI", "", (1, 2, 3, 4), 44100, 512, needed=2)
    assert find_device(Devices("HDMI"), wanted)[1]["max_output_channels"] == 2
    with pytest.raises(DeviceError, match="has 2 channels, not 4"):
        find_device(Devices("HDMI"), OutputSettings("HDMI", "", (1, 2, 3, 4), 44100, 512))


@pytest.mark.parametrize(
    ("devices", "wanted", "said"),
    [
        (Devices(), settings(), "there is no audio output"),
        (Devices("HDMI"), settings("USB"), "no audio output is called USB; there are: HDMI"),
        (Devices("HDMI"), settings(channels=(3, 4)), "HDMI: has 2 channels, not 4"),
        (Devices("HDMI"), settings(host_api="JACK"), "of host API JACK"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(
    devices: Devices, wanted: OutputSettings, said: str
) -> None:
    """It names what there is."""
    with pytest.raises(DeviceError, match=said):
        find_device(devices, wanted)


# ---- the player with a card that keeps time ------------------------------------------------------


def offset(facts: dict[str, Any]) -> float:
    """When sample 0 of the mix was heard: musical time against the machine's."""
    return float(facts["captured_at"]) - float(facts["sample"]) / 44100


def a_player(server: JackServer, cache: Path, **settings: Any) -> Worker:
    return player_at(server, cache, player_arguments(SpeakersConfig(**settings), cache))


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(120)
@needs_portaudio
async def test_a_card_that_is_lost_and_comes_back(
    jack_of_its_own: JackServer, warm_cache: Path
) -> None:
    """Noticed, silent time goes on without a jump, and it sounds again once the card is back."""
    player = a_player(jack_of_its_own, warm_cache)
    loop = asyncio.get_running_loop()
    try:
        facts = await player.start()
        assert facts["output"] == "system"
        before = await told(player, lambda f: f["state"] != "silent" and f["sample"] > 44100, 10.0)

        lost_at = loop.time()
        jack_of_its_own.kill()
        silent = await told(player, lambda f: f["state"] == "silent", 5.0)
        later = await told(player, lambda f: loop.time() - lost_at > 2.5, 10.0)

        await loop.run_in_executor(None, jack_of_its_own.start)
        again = await told(player, lambda f: f["state"] != "silent", 15.0)
    finally:
        await player.stop(1.0)
    # One position to the next: what was lost at the card may shift it by blocks, not by seconds.
    assert max(abs(offset(f) - offset(before)) for f in (silent, later, again)) < 0.15
    assert silent["callback_age"] is None


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(120)
@needs_portaudio
async def test_the_music_reaches_the_card_whole_and_fades_at_the_end(
    jack: JackServer, warm_cache: Path
) -> None:
    """From the first sample to the last: no gap of 50 ms, no clipping, no end in mid-air.

    A busy machine may make the server lose a block, which is not the player's doing: of three
    recordings the best counts. None may have a hole.
    """
    longest: list[float] = []
    while len(longest) < 3 and (not longest or min(longest) >= 0.05):
        longest.append(await _longest_gap(jack, warm_cache))
    assert min(longest) < 0.05
    assert max(longest) < 0.3


async def _longest_gap(jack: JackServer, cache: Path) -> float:
    """Seconds of silence within a recording of some seconds; its level and end are judged here."""
    with jack.recording(60.0) as recording:
        player = a_player(jack, cache, rules={"fade_in_seconds": 0.0})
        try:
            await player.start()
            await told(player, lambda f: f["sample"] > 4 * 44100, 30.0)
        finally:
            await player.stop(1.0)
        sound = recording.sound()
    level = np.abs(sound).max(axis=1)
    heard = np.flatnonzero(level > 1e-3)
    assert len(heard)
    assert heard[-1] - heard[0] > 3 * 44100
    assert level.max() < 10 ** (-1 / 20)
    last = sound[: heard[-1]][-int(0.05 * 44100) :]
    middle = sound[heard[0] : heard[0] + 3 * 44100]
    assert np.abs(last).max() < 0.5 * np.abs(middle).max()
    before_the_fade = heard[heard < heard[-1] - 0.3 * 44100]
    return float(np.diff(before_the_fade).max() / 44100)


def _with(**environment: str) -> dict[str, str]:
    import os

    return {**os.environ, **environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
