"""Sound files of a separation: read in blocks, and stems that are written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import soundfile
import soxr

from crowdstream.errors import ConfigError, CrowdstreamError, DeviceError, MediaError
from crowdstream.music.separated import FILES, STEMS_FILE, Separated, as_toml
from crowdstream.offline.separate_stream import Sound
from crowdstream.packets import STEMS

BLOCK: Final = 1 << 16

# Sources that carry no more than this; all others are kept with 24 bits.
_SIXTEEN_BITS: Final = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW"})
_LOSSY: Final = frozenset({"MP3", "OGG"})

RATES: Final = (4000, 384_000)
"""Samples a second, from and to."""

_UNFINISHED: Final = ".separating-"


class Facts(NamedTuple):
    """What a first reading of a sound file told."""

    sha256: str
    samples: int
    rate: int
    channels: int
    bits: int
    """Of each sample of the stems: 16, or 24 where the file has more than 16."""

    mean: float
    deviation: float
    """Of the mean of its channels."""


def read_facts(path: Path) -> Facts:
    """Read a sound file from its first sample to its last: who separates it will not be surprised.

    Raises:
        DeviceError: there is no such file, or it may not be read.
        MediaError: it is no sound, or not all of it can be read, or has no one or two channels.
    """
    try:
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DeviceError(f"{path} cannot be read: {error.strerror}") from error
    with _opened(path) as sound:
        count, total, square = 0, 0.0, 0.0
        for block in sound.blocks:
            mono = block.mean(axis=1, dtype=np.float64)
            if not np.isfinite(mono).all():
                raise MediaError(f"{path} has samples that are no numbers: export it again")
            count += len(mono)
            total += float(mono.sum())
            square += float(mono @ mono)
        if count == 0:
            raise MediaError(f"{path} has no sound in it")
        mean = total / count
        deviation = math.sqrt(max(0.0, square / count - mean * mean))
        return Facts(digest, count, sound.rate, sound.channels, sound.bits, mean, deviation)


def read_blocks(path: Path) -> Iterator[Sound]:
    """The sound, block by block, shape (samples, channels)."""
    with _opened(path) as sound:
        yield from sound.blocks


def in_stereo(blocks: Iterable[Sound]) -> Iterator[Sound]:
    """One channel becomes two that are equal."""
    for block in blocks:
        yield block if block.shape[1] == 2 else np.repeat(block, 2, axis=1)


def at_rate(blocks: Iterable[Sound], before: int, after: int) -> Iterator[Sound]:
    """At another rate, without delay. Blocks of any number of channels, all the same."""
    if before == after:
        yield from blocks
        return
    stream: soxr.ResampleStream | None = None
    for block in blocks:
        if stream is None:
            stream = soxr.ResampleStream(before, after, block.shape[1], dtype="float32")
        yield stream.resample_chunk(np.ascontiguousarray(block))
    if stream is not None:
        nothing = np.zeros((0, block.shape[1]), np.float32)
        yield stream.resample_chunk(nothing, last=True)


def of_length(blocks: Iterable[Sound], total: int) -> Iterator[Sound]:
    """Exactly so many samples: what is missing at the end is silent."""
    left = total
    channels = 2
    for block in blocks:
        channels = block.shape[1]
        piece = block[:left]
        left -= len(piece)
        if len(piece):
            yield piece
    while left:
        count = min(left, BLOCK)
        left -= count
        yield np.zeros((count, channels), np.float32)


class StemFiles:
    """Four FLAC files that grow together."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        """In a folder that exists. Close it when all is written.

        Raises CrowdstreamError, as `write` and `close`, where nothing more can be written.
        """
        self._folder = folder
        self._scale = 1 << (facts.bits - 1)
        self._sixteen = facts.bits == 16
        self._opened = ExitStack()
        self._files: list[soundfile.SoundFile] = []
        with self._saying():
            for stem in STEMS:
                file = soundfile.SoundFile(
                    folder / FILES[stem], "w", facts.rate, facts.channels, f"PCM_{facts.bits}",
                    format="FLAC",
                )  # fmt: skip
                self._files.append(self._opened.enter_context(file))
        self._of_mix = 0.0
        self._of_error = 0.0
        self._of_moved = 0.0

    def write(self, mix: Sound, stems: Sound) -> None:
        """Append a block: the mix, shape (n, channels), and its stems, shape (4, n, channels).

        `other` is what is left of the mix when the others are taken away, so that all add up to
        it: to the last bit, unless the mix itself goes beyond what four stems can hold.
        """
        whole = mix.astype(np.float64)
        ints = whole_stems(whole, stems, self._scale)
        error = ints.sum(axis=0) / self._scale - whole
        moved = stems.sum(axis=0, dtype=np.float64) - whole
        self._of_mix += float(np.vdot(whole, whole))
        self._of_error += float(np.vdot(error, error))
        self._of_moved += float(np.vdot(moved, moved))
        with self._saying():
            for file, stem in zip(self._files, ints, strict=True):
                file.write(stem.astype(np.int16) if self._sixteen else stem.astype(np.int32) << 8)

    @property
    def error_db(self) -> float | None:
        """How far the sum of the stems is from the mix, against the mix; None where nowhere."""
        return _decibels(self._of_error, self._of_mix)

    @property
    def moved_db(self) -> float | None:
        """How much of the mix no stem had wanted, and went to `other`."""
        return _decibels(self._of_moved, self._of_mix)

    def close(self) -> None:
        """Finish the files."""
        with self._saying():
            self._opened.close()

    @contextmanager
    def _saying(self) -> Iterator[None]:
        """Of the disk, libsndfile only says that there was an error."""
        try:
            yield
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise CrowdstreamError(
                f"{self._folder.parent}: the stems cannot be written, as on a disk that is full:"
                " make room, or name another folder with --out"
            ) from error


def whole_stems(mix: Any, stems: Sound, scale: int) -> Any:
    """Stems as whole numbers of -scale to scale - 1, shape as `stems`, int64.

    The last one is not asked: it is the mix less the others. Where it would not fit, the others
    take what they have room for.
    """
    least, most = -scale, scale - 1
    target = np.rint(mix * scale).astype(np.int64)
    ints = np.empty(stems.shape, np.int64)
    ints[:-1] = np.clip(np.rint(stems[:-1].astype(np.float64) * scale), least, most)
    left = target - ints[:-1].sum(axis=0)
    np.clip(left, least, most, out=ints[-1])
    beyond = left - ints[-1]
    if beyond.any():
        for stem in ints[:-1]:
            before = stem.copy()
            np.clip(stem + beyond, least, most, out=stem)
            beyond -= stem - before
    return ints


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A folder within `out` to work in, that is gone afterwards unless it was given a name.

    Raises ConfigError where none can be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _clean(out)
        folder = Path(tempfile.mkdtemp(dir=out, prefix=f"{_UNFINISHED}{os.getpid()}-"))
    except OSError as error:
        raise ConfigError(
            f"{out}: cannot write there ({error.strerror}): name another folder with --out"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, place: Path, separated: Separated) -> None:
    """Give a folder of stems its name; what was there before goes when the new one stands."""
    (folder / STEMS_FILE).write_text(as_toml(separated), encoding="utf-8")
    for path in folder.iterdir():
        _to_disk(path)
    folder.chmod(0o755)
    aside = folder.with_name(f"{folder.name}-before")
    try:
        folder.rename(place)
    except OSError:  # it is not empty, or came to be a moment ago
        place.rename(aside)
        folder.rename(place)
        shutil.rmtree(aside, ignore_errors=True)
    _to_disk(place.parent)


def _clean(out: Path) -> None:
    """Remove what somebody who was killed has left."""
    for left in out.glob(f"{_UNFINISHED}*"):
        pid = left.name.removeprefix(_UNFINISHED).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Sound(NamedTuple):
    """A file that is being read."""

    rate: int
    channels: int
    bits: int
    blocks: Iterator[Sound]


@contextmanager
def _opened(path: Path) -> Iterator[_Sound]:
    """Raises MediaError for what is no sound, or none that stems can be made of."""
    with ExitStack() as files:
        sound = _mp4(path, files) if _is_mp4(path) else _any(path, files)
        if sound.channels > 2:
            raise MediaError(
                f"{path} has {sound.channels} channels, and stems are made of one or two: mix it"
                " down first"
            )
        if not RATES[0] <= sound.rate <= RATES[1]:
            raise MediaError(f"{path} is at {sound.rate} Hz: give it at 44100 or 48000 Hz")
        yield sound


def _any(path: Path, files: ExitStack) -> _Sound:
    """What libsndfile reads."""
    try:
        sound = files.enter_context(soundfile.SoundFile(path))
    except (soundfile.LibsndfileError, TypeError) as error:
        raise MediaError(
            f"{path} is no sound that can be read: give a WAV, FLAC, AIFF, MP3, OGG or M4A file"
        ) from error
    sixteen = sound.format in _LOSSY or sound.subtype in _SIXTEEN_BITS
    return _Sound(
        sound.samplerate, sound.channels, 16 if sixteen else 24, _blocks_of_any(sound, path)
    )


def _blocks_of_any(sound: soundfile.SoundFile, path: Path) -> Iterator[Sound]:
    try:
        while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
            yield block
    except soundfile.LibsndfileError as error:
        raise _broken(path, sound.tell() / sound.samplerate) from error


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as opened:
        return opened.read(12)[4:8] == b"ftyp"


def _mp4(path: Path, files: ExitStack) -> _Sound:
    """The first sound of an MP4, which libsndfile does not read: AAC, ALAC."""
    try:
        import av
    except ImportError as error:
        raise MediaError(
            f"{path} is MP4, which needs the package av: pip install av, or convert it to FLAC"
        ) from error
    try:
        container = files.enter_context(av.open(str(path), format="mp4"))
        stream = container.streams.audio[0]
        codec = stream.codec_context
        bits = 24 if codec.name in ("alac", "flac") and codec.format.bytes > 2 else 16
        return _Sound(
            int(codec.sample_rate), int(codec.layout.nb_channels), bits,
            _blocks_of_mp4(container, stream, path),
        )  # fmt: skip
    except (av.error.FFmpegError, IndexError) as error:
        raise MediaError(f"{path} is MP4, and has no sound that can be read") from error


def _blocks_of_mp4(container: Any, stream: Any, path: Path) -> Iterator[Sound]:
    import av

    interleaved = av.AudioResampler(format="flt")
    done = 0
    try:
        for frame in container.decode(stream):
            for flat in interleaved.resample(frame):
                block = np.asarray(flat.to_ndarray(), np.float32)
                block = block.reshape(-1, flat.layout.nb_channels)
                done += len(block)
                yield block
    except av.error.FFmpegError as error:
        raise _broken(path, done / stream.codec_context.sample_rate) from error


def _broken(path: Path, seconds: float) -> MediaError:
    return MediaError(f"{path} breaks off or is damaged after {seconds:.1f} s: copy it again")


def _decibels(part: float, whole: float) -> float | None:
    with contextlib.suppress(ValueError, ZeroDivisionError):
        return 10.0 * math.log10(part / whole)
    return None
