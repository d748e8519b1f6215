"""Folders of music as people have them: good files, broken ones, copies, and what is no music."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crowdstream.packets import STEMS
from crowdstream.testing.tunes import STYLES, make_tune

Sound = NDArray[np.float32]
Any16 = Sound | NDArray[np.int16]

BPM: Final = 120.0


def a_tune(bars: int = 9, *, bpm: float = BPM, rate: int = 44100, seed: int = 0) -> Sound:
    """Four stems of a house beat, shape (4, samples, 2); another seed is other sound."""
    style = replace(STYLES["house"], form=(("groove", bars),))
    stems = 0.5 * make_tune(style, bpm, rate=rate, tail_seconds=0.3).stems
    hiss = np.random.default_rng(seed).standard_normal(stems.shape[1:], np.float32)
    stems[STEMS.index("other")] += np.float32(1e-4) * hiss
    return np.asarray(stems, np.float32)


def write_sound(path: Path, sound: Any16, rate: int = 44100, **how: Any) -> Path:
    """A file of the kind that its name says; `how` is for soundfile."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".m4a", ".mp4"):
        write_mp4(path, [np.asarray(sound, np.float32)], rate)
    else:
        soundfile.write(path, sound, rate, **how)
    return path


def write_mp4(
    path: Path, streams: Sequence[Sound], rate: int = 44100, *, stem: bytes = b""
) -> Path:
    """AAC in MP4, a stream for each sound; `stem` is the text of the box that names stems."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        made: list[Any] = []
        for _ in streams:
            # The careful coder takes five times as long, for nothing that a test could hear.
            stream: Any = container.add_stream("aac", rate=rate, options={"aac_coder": "fast"})
            stream.bit_rate = 192_000
            stream.layout = "stereo"
            made.append(stream)
        for stream, sound in zip(made, streams, strict=True):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound.T, np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler("fltp", "stereo", rate, frame_size=1024)
            for block in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(block))
            container.mux(stream.encode(None))
    if stem:
        # As the last box of `moov`, which the encoder writes at the end of the file.
        content = path.read_bytes()
        at = content.rindex(b"moov") - 4
        box = (len(stem) + 8).to_bytes(4, "big") + b"stem" + stem
        udta = (len(box) + 8).to_bytes(4, "big") + b"udta" + box
        size = int.from_bytes(content[at : at + 4], "big") + len(udta)
        moov = content[at : at + int.from_bytes(content[at : at + 4], "big")]
        path.write_bytes(content[:at] + size.to_bytes(4, "big") + moov[4:] + udta)
    return path


def write_stems(
    folder: Path, stems: Sound, names: Sequence[str] = STEMS, rate: int = 44100
) -> Path:
    """A folder of stems, a WAV each."""
    for name, sound in zip(names, stems, strict=True):
        write_sound(folder / f"{name}.wav", sound, rate)
    return folder


def write_a_mess(folder: Path, count: int = 200) -> dict[str, str]:
    """So many files as nobody sorts them, below `folder`; what must become of each, by its path.

    "added"; "there" for the second of two that are the same; or words of the reason against it.
    What is passed over without a word is not in the answer.
    """
    told: dict[str, str] = {}
    outside = folder.parent / "outside.wav"
    write_sound(outside, a_tune(seed=99).sum(axis=0))
    tune = a_tune()
    number = 0
    while len(told) < count:
        shelf = folder / f"{number:02d}"
        shelf.mkdir(parents=True)
        told |= _write_shelf(shelf, tune, number, outside)
        number += 1
    (folder / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / ".hidden.wav").write_bytes(b"")
    (folder / "inside.wav").symlink_to(folder / "00" / "good.wav")
    return told


KINDS: Final = ("flac", "mp3", "ogg", "m4a", "aiff")


def _write_shelf(shelf: Path, tune: Sound, number: int, outside: Path) -> dict[str, str]:
    """One file of each kind; the sound of the good ones is another on each shelf.

    Every kind of good file has been there after as many shelves as there are KINDS; from then on
    there are fewer, for each is measured. What is refused is written once, and copied.
    """
    rng = np.random.default_rng(number)
    mix = tune.sum(axis=0)
    mix = mix + np.float32(1e-4) * rng.standard_normal(mix.shape, np.float32)
    exact = np.rint(mix * 32767.0).astype(np.int16)
    told: dict[str, str] = {}

    def say(name: str, what: str) -> Path:
        told[str(shelf / name)] = what
        return shelf / name

    good = write_sound(say("good.wav", "there"), exact)
    write_sound(say("good, as flac.flac", "added"), exact, compression_level=0.0)
    if number < len(KINDS):
        write_sound(say(f"other {number} - kind.{KINDS[number]}", "added"), 0.9 * mix)
        write_sound(say("20 seconds, mono.wav", "added"), 0.8 * mix[:, :1])
        write_stems(say("stems", "added"), 0.7 * tune, ("01 Drums", "02 Bass", "Vox", "Clav"))
        stems_noise = shelf / "stems" / "horns.wav"
        write_sound(stems_noise, 0.01 * rng.standard_normal(mix.shape, np.float32))
    shutil.copyfile(good, say("good, copied.wav", "there"))
    whole = good.read_bytes()
    say("half copied.wav", "copy it again").write_bytes(whole[: len(whole) // 2])
    if number == 0:
        _write_refused(mix, rng, say)
    else:
        for path, what in _refused_on(shelf.parent / "00"):
            shutil.copyfile(path, say(path.name, what))
    say("to elsewhere.wav", "leads out").symlink_to(outside)
    say("to nowhere.wav", "leads nowhere").symlink_to(shelf / "gone.wav")
    os.mkfifo(say("pipe.wav", "no ordinary file"))
    return told


REFUSED: Final = {
    "loop.wav": "a track has at least 8",
    "telephone.wav": "is at 8000 Hz",
    "surround.wav": "has 6 channels",
    "no samples.wav": "has no sound in it",
    "silence.flac": "nothing but silence",
    "not a number.wav": "no sound (NaN",
    "empty.mp3": "is empty",
    "a text.mp3": "is no sound file",
    "noise.m4a": "is no sound file",
    "holes.flac": "copy it again",
    "for ever.flac": "longer than a day",
}
"""Name -> words of the reason."""


def _refused_on(shelf: Path) -> list[tuple[Path, str]]:
    return [(shelf / name, what) for name, what in REFUSED.items()]


def _write_refused(
    mix: Sound, rng: np.random.Generator, say_what: Callable[[str, str], Path]
) -> None:
    """All of REFUSED."""
    fourth = len(mix) // 4

    def say(name: str) -> Path:
        return say_what(name, REFUSED[name])

    write_sound(say("loop.wav"), mix[:fourth])
    write_sound(say("telephone.wav"), mix[:fourth, :1], 8000)
    write_sound(say("surround.wav"), np.tile(mix[:fourth], (1, 3)))
    write_sound(say("no samples.wav"), mix[:0])
    write_sound(say("silence.flac"), 0.0 * mix[:fourth])
    write_sound(say("not a number.wav"), mix[:fourth] + np.nan, subtype="FLOAT")
    say("empty.mp3").touch()
    say("a text.mp3").write_text("lyrics " * 1000)
    say("noise.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + rng.bytes(5000))
    _write_broken_flacs(mix, say)


def _write_broken_flacs(mix: Sound, say: Callable[[str], Path]) -> None:
    path = write_sound(say("holes.flac"), mix)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    path = write_sound(say("for ever.flac"), mix)
    content = bytearray(path.read_bytes())
    # The last 36 bits of these eight bytes of STREAMINFO are the number of samples.
    facts = int.from_bytes(content[18:26], "big") | ((1 << 36) - 1)
    content[18:26] = facts.to_bytes(8, "big")
    path.write_bytes(content)
