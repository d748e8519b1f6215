"""Decoding what a person gives: any usual file, or a sentence that says why not.

WAV, FLAC, MP3, Ogg and AIFF go through libsndfile. It reads no AAC and no ALAC, so MP4 goes through
PyAV, which brings FFmpeg's libraries in a wheel of 36 MB (a wheel with the program `ffmpeg` is
twice that, and the program is not on every machine). Only MP4 is opened with it, and only as MP4:
formats of FFmpeg that open other files by name stay closed.

Nothing in a header is believed: sound is decoded in blocks and counted, and no memory is taken
because a file says that it is long.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crowdstream.errors import MediaError

MOST_SECONDS: Final = 1800.0
"""Longer is a recorded evening, not a track; and it would not fit into memory four times."""

LOWEST_RATE: Final = 22_050
"""Below this there is nothing above 10 kHz: no hi-hats, on any sound system."""

HIGHEST_RATE: Final = 192_000

LIBRARY_RATES: Final = (44_100, 48_000)
"""Rates that are kept as they are: those that the player can be set to."""

MISSING_SECONDS: Final = 0.5
"""A file that ends so much before its own word was not copied to its end."""

MISSING_SHARE: Final = 0.03
"""And so much of it: the length of an MP3 is an estimate."""

BLOCK_SAMPLES: Final = 1 << 18

Samples = NDArray[np.float32]


class Sound(NamedTuple):
    """Decoded sound."""

    samples: Samples
    """Shape (samples, 2); 1 is full scale, and a loud MP3 goes above it."""

    rate: int
    notes: tuple[str, ...] = ()


def is_mp4(path: Path) -> bool:
    """Whether the bytes are MP4's, whatever the name says."""
    with path.open("rb") as file:
        return file.read(12)[4:8] == b"ftyp"


def decode(path: Path, stream: int = 0) -> Sound:
    """All samples of a file, or of one sound stream of an MP4, as stereo at the file's own rate.

    Raises:
        MediaError: with the reason, without the path.
    """
    sound = _decode_mp4(path, stream) if is_mp4(path) else _decode_sndfile(path)
    if not np.isfinite(sound.samples).all():
        raise MediaError("has numbers in it that are no sound (NaN or infinity); export it again")
    return sound


def to_library_rate(sound: Sound) -> Sound:
    """The same at 44.1 or 48 kHz.

    Both are kept: the player resamples once, to its own rate, and a second resampling before it
    would gain nothing. Every other rate is brought to the one that it is a multiple of.
    """
    if sound.rate in LIBRARY_RATES:
        return sound
    import soxr

    rate = 48_000 if sound.rate % 48_000 == 0 or 48_000 % sound.rate == 0 else 44_100
    samples = soxr.resample(sound.samples, sound.rate, rate, quality="VHQ")
    note = f"resampled from {sound.rate} to {rate} Hz"
    return Sound(np.asarray(samples, np.float32), rate, (*sound.notes, note))


def at_rate(sound: Sound, rate: int) -> Sound:
    """The same at this rate."""
    if sound.rate == rate:
        return sound
    import soxr

    samples = soxr.resample(sound.samples, sound.rate, rate, quality="VHQ")
    return Sound(np.asarray(samples, np.float32), rate, sound.notes)


def _decode_sndfile(path: Path) -> Sound:
    import soundfile

    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError, ValueError) as broken:
        raise MediaError(f"is no sound file that can be read ({_plain(broken)})") from None
    with file:
        _check(file.channels, file.samplerate)
        declared = max(file.frames, _declared_in_header(file))
        limit = int(MOST_SECONDS * file.samplerate)
        _check_length(file.frames / file.samplerate)
        blocks: list[Samples] = []
        count, broken_by = 0, ""
        try:
            while count <= limit:
                block = file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
                if not len(block):
                    break
                blocks.append(block)
                count += len(block)
        except (soundfile.LibsndfileError, RuntimeError) as broken:
            broken_by = _plain(broken)
        return _whole(blocks, count, declared, file.samplerate, broken_by)


def _declared_in_header(file: Any) -> int:
    """What a WAV or AIFF says of its length, where the file is too short for that.

    libsndfile takes the file's size for true and only notes the difference: "data : 1764000
    (should be 1058382)". Programs that do not know the length write the largest number.
    """
    noted = re.search(
        r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE
    )
    if noted is None:
        return 0
    says, has = int(noted[1]), int(noted[2])
    if says >= 0x7FFF_0000 or has <= 0:
        return 0
    return int(file.frames * says / has)


def _decode_mp4(path: Path, stream: int) -> Sound:
    try:
        import av
    except ImportError:
        raise MediaError(
            "is MP4 sound, which needs the package av (pip install av); or convert it to FLAC"
        ) from None
    try:
        with av.open(str(path), format="mp4", metadata_errors="replace") as container:
            sounds = container.streams.audio
            if stream >= len(sounds):
                raise MediaError("has no sound in it")
            wanted = sounds[stream]
            codec = wanted.codec_context
            if codec.name not in ("aac", "alac", "mp3", "flac", "opus", "aac_fixed"):
                raise MediaError(f"has {codec.name} sound; give AAC, ALAC or FLAC")
            channels, rate = int(codec.layout.nb_channels), int(codec.sample_rate)
            _check(channels, rate)
            seconds = float((wanted.duration or 0) * (wanted.time_base or 0))
            _check_length(seconds)
            blocks: list[Samples] = []
            count = 0
            for block in _frames(container, wanted):
                blocks.append(block)
                count += len(block)
                if count > MOST_SECONDS * rate:
                    break
    except av.error.FFmpegError as broken:
        raise MediaError(f"is no sound file that can be read ({broken.strerror})") from None
    return _whole(blocks, count, round(seconds * rate), rate, "")


def _frames(container: Any, stream: Any) -> Iterator[Samples]:
    """Blocks of one stream as float32 (samples, channels); what cannot be decoded is missing."""
    import av

    resampler = av.AudioResampler(format="flt")
    for packet in container.demux(stream):
        with contextlib.suppress(av.error.InvalidDataError):
            for frame in packet.decode():
                for flat in resampler.resample(frame):
                    array = flat.to_ndarray()
                    yield np.asarray(array, np.float32).reshape(-1, flat.layout.nb_channels)


def _whole(blocks: list[Samples], count: int, declared: int, rate: int, broken_by: str) -> Sound:
    seconds = count / rate
    _check_length(seconds)
    if not count:
        raise MediaError(f"has no sound in it{f' ({broken_by})' if broken_by else ''}")
    if declared - count > max(MISSING_SECONDS * rate, MISSING_SHARE * declared):
        # A header that says what no file could hold is a lie, not a length.
        says = f" of the {declared / rate:.0f} s" if declared < 24 * 3600 * rate else ""
        raise MediaError(f"ends or breaks off after {seconds:.0f} s{says}; copy it again")
    if broken_by:
        raise MediaError(f"breaks off after {seconds:.0f} s ({broken_by}); copy it again")
    samples = np.concatenate(blocks)
    if samples.shape[1] == 2:
        return Sound(samples, rate)
    return Sound(np.repeat(samples, 2, axis=1), rate, ("mono",))


def _check(channels: int, rate: int) -> None:
    if channels not in (1, 2):
        raise MediaError(f"has {channels} channels; a track has one or two, so mix it down first")
    if rate < LOWEST_RATE:
        raise MediaError(
            f"is at {rate} Hz, which holds nothing above {rate // 2000} kHz; give it at 44100 Hz"
        )
    if rate > HIGHEST_RATE:
        raise MediaError(f"is at {rate} Hz; give it at 44100 or 48000 Hz")


def _check_length(seconds: float) -> None:
    if seconds > 24 * 3600:
        raise MediaError("says that it is longer than a day; its header is broken")
    if seconds > MOST_SECONDS:
        raise MediaError(
            f"is {seconds / 60:.0f} minutes long; a track has at most {MOST_SECONDS / 60:.0f}"
        )


def _plain(error: BaseException) -> str:
    """What a library says, without the path and the full stop."""
    text = str(error).removeprefix("Error : ").rsplit(": ", 1)[-1].rstrip(".").lower()
    # It says so of anything that its MP3 decoder does not know, too.
    return "no format that is known" if "does not exist" in text else text or type(error).__name__
