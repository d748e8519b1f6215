"""From a track to its four stems: whole and right, or not at all, and only once.

`crowdstream separate` calls this, and so does whatever adds a track to the library.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np

from crowdstream.dsp.split import VERSION, Splitter
from crowdstream.errors import MediaError
from crowdstream.models import Weights
from crowdstream.music.separated import (
    FILES,
    QUALITIES,
    STEMS_FILE,
    Quality,
    Separated,
    read_separated,
)
from crowdstream.offline.separate_demucs import Demucs, jobs_for
from crowdstream.offline.separate_sound import (
    Facts,
    StemFiles,
    at_rate,
    finish,
    in_stereo,
    of_length,
    read_blocks,
    read_facts,
    unfinished,
)
from crowdstream.offline.separate_stream import Plan, Sound, stems_of
from crowdstream.packets import STEMS

Progress = Callable[[float, float], None]
"""Is told of seconds done, and of seconds in all."""

MADE_HERE: Final = 1
"""Counts up when stems of a model would come out otherwise: part of their method."""

FAST_SECONDS: Final = 6.0
"""How much one window of `fast` gives; memory, not sound, depends on it."""


class Separation(NamedTuple):
    """What became of one track."""

    folder: Path
    separated: Separated
    made: bool
    """False where the same stems were there already."""

    error_db: float | None = None
    """How far the stems' sum is from the audio, against it; None: nowhere, or not made now."""

    moved_db: float | None = None
    """How much of the audio no stem wanted, and is in `other`."""

    seconds_taken: float = 0.0


class Method(Protocol):
    """A way to separate."""

    quality: Quality
    method: str
    """As `Separated.method`."""

    jobs: int
    levelled: bool
    """Whether it wants sound without a mean, and of deviation 1."""

    def rate(self, rate: int) -> int:
        """At which it separates sound of this rate."""
        ...

    def plan(self, rate: int) -> Plan:
        """How it wants sound of that rate cut."""
        ...

    def split(self, window: Sound, rate: int) -> Sound:
        """A window, shape (length, 2), becomes its stems; any thread may call."""
        ...

    def stop(self) -> None:
        """Make calls of `split` return soon."""
        ...


class Fast:
    """Without a model: `crowdstream.dsp.split`."""

    quality: Quality = "fast"
    method = f"fast {VERSION}"
    levelled = False

    def __init__(self, jobs: int) -> None:
        """So many windows at once."""
        self.jobs = jobs
        self._splitters: dict[int, Splitter] = {}

    def rate(self, rate: int) -> int:
        """Any."""
        return rate

    def plan(self, rate: int) -> Plan:
        """Windows that see enough around them to come out as if there were but one."""
        splitter = self._splitters.setdefault(rate, Splitter(rate))
        stride = round(FAST_SECONDS * rate / splitter.hop) * splitter.hop
        weights = np.zeros(stride + 2 * splitter.context, np.float32)
        weights[splitter.context : splitter.context + stride] = 1.0
        return Plan(len(weights), stride, -splitter.context, weights)

    def split(self, window: Sound, rate: int) -> Sound:
        """See Method."""
        return self._splitters[rate].split(window)

    def stop(self) -> None:
        """A window takes no time that one could not wait."""


class WithModel:
    """With Demucs, whose jobs are started with the first track that needs them."""

    levelled = True

    def __init__(self, quality: Quality, weights: tuple[Weights, ...], jobs: int | None) -> None:
        """`jobs` None: as many as cores and memory allow."""
        self.quality: Quality = quality
        names = " + ".join(f"{each.name} {each.sha256}" for each in weights)
        self.method = f"demucs {MADE_HERE}, {names}"
        self.jobs = jobs_for(len(weights), jobs)
        self._weights = weights
        self._demucs: Demucs | None = None

    def rate(self, rate: int) -> int:
        """That of the network. Starts the jobs."""
        return self.demucs.facts.rate

    def plan(self, rate: int) -> Plan:
        """See Method."""
        return self.demucs.plan()

    def split(self, window: Sound, rate: int) -> Sound:
        """See Method."""
        return self.demucs.split(window)

    @property
    def demucs(self) -> Demucs:
        """The jobs, running."""
        if self._demucs is None:
            self._demucs = Demucs(self._weights, self.jobs)
        return self._demucs

    def stop(self) -> None:
        """End the jobs; the next track has new ones."""
        if self._demucs is not None:
            self._demucs.stop()
            self._demucs = None


@contextmanager
def opened(method: Method) -> Iterator[Method]:
    """The method, stopped afterwards."""
    try:
        yield method
    finally:
        method.stop()


def separate(
    audio: Path, out: Path, method: Method, *, name: str | None = None,
    progress: Progress | None = None,
) -> Separation:  # fmt: skip
    """Make the stems of `audio` in a folder of `out`, named `name` or as the file is.

    Where stems of the same audio are there that are the same or better, nothing is done. A folder
    of that name that came of another file is left alone: a number is put behind the name. Stems of
    the same file that are out of date or worse are replaced when the new ones are done.

    Raises:
        DeviceError: the audio cannot be read now.
        MediaError: it is no sound, or damaged.
        ConfigError: `out` cannot be written, or demucs is not installed.
        WorkerError: a job died.
    """
    began = time.monotonic()
    facts = read_facts(audio)
    wanted = Separated(
        audio=str(audio.resolve()), sha256=facts.sha256, quality=method.quality,
        method=method.method, samples=facts.samples, rate=facts.rate, channels=facts.channels,
        bits=facts.bits,
    )  # fmt: skip
    place, found = _place(out, name or _name(audio), wanted)
    if found is not None:
        return Separation(place, found, made=False)
    with unfinished(out) as folder:
        files = StemFiles(folder, facts)
        try:
            _separate(audio, facts, method, files, progress)
        finally:
            files.close()
        finish(folder, place, wanted)
    return Separation(place, wanted, True, files.error_db, files.moved_db, time.monotonic() - began)


def separate_beside(
    audio: Path, method: Method, *, progress: Progress | None = None
) -> Separation:  # fmt: skip
    """Make the stems of `audio` in the folder that it lies in, under their own names.

    For a track of the library, which says itself which files it has: these are there, whole, when
    it is told of them. Raises as `separate`.
    """
    folder = audio.resolve().parent
    with unfinished(folder) as scratch:
        made = separate(audio, scratch, method, name="stems", progress=progress)
        for name in (*FILES.values(), STEMS_FILE):
            (made.folder / name).replace(folder / name)
    return made._replace(folder=folder)


def _separate(
    audio: Path, facts: Facts, method: Method, files: StemFiles, progress: Progress | None
) -> None:
    rate = method.rate(facts.rate)
    total = -(-facts.samples * rate // facts.rate)
    plan = method.plan(rate)
    scale = np.float32(facts.deviation + 1e-8 if method.levelled else 1.0)
    mean = np.float32(facts.mean if method.levelled else 0.0)
    even = ((block - mean) / scale for block in in_stereo(read_blocks(audio)))
    windows = of_length(at_rate(even, facts.rate, rate), total)
    made = stems_of(
        windows, total, plan, lambda window: method.split(window, rate), method.jobs, method.stop
    )
    # As eight channels: one resampler keeps all stems together.
    wide = (stems.transpose(1, 0, 2).reshape(stems.shape[1], -1) * scale for stems in made)
    back = _Ahead(of_length(at_rate(wide, rate, facts.rate), facts.samples))
    done = 0
    with contextlib.closing(made):
        for mix in of_length(read_blocks(audio), facts.samples):
            stems = back.take(len(mix)).reshape(len(mix), len(STEMS), 2).transpose(1, 0, 2)
            if facts.channels == 1:
                stems = stems.mean(axis=2, keepdims=True)
            files.write(mix, stems)
            done += len(mix)
            if progress is not None:
                progress(done / facts.rate, facts.samples / facts.rate)
        for _ in made:
            """What is left of it is nothing, but it is not stopped while it runs."""


class _Ahead:
    """Blocks of one size out of blocks of another."""

    def __init__(self, blocks: Iterator[Sound]) -> None:
        self._blocks = blocks
        self._held = np.zeros((0, 2 * len(STEMS)), np.float32)

    def take(self, count: int) -> Sound:
        """The next `count` samples."""
        pieces = [self._held]
        have = len(self._held)
        while have < count:
            block = next(self._blocks)
            pieces.append(block)
            have += len(block)
        held = np.concatenate(pieces)
        self._held = held[count:]
        return held[:count]


def _name(audio: Path) -> str:
    return re.sub(r"[^\w.-]+", "_", audio.stem).strip(".") or "track"


def _place(out: Path, name: str, wanted: Separated) -> tuple[Path, Separated | None]:
    """Where the stems go, and what is there if it is the same already."""
    free: Path | None = None
    number = 1
    while True:
        place = out / (name if number == 1 else f"{name}-{number}")
        if not place.exists():
            return (free or place), None
        there = None
        with contextlib.suppress(MediaError):
            there = read_separated(place)
        if there is not None and there.audio == wanted.audio:
            free = free or place
        if there is not None and _is_as_good(there, wanted) and _is_whole(place, there):
            return place, there
        number += 1


def _is_as_good(there: Separated, wanted: Separated) -> bool:
    """Of the same audio, and by the same method or a better one."""
    if there.sha256 != wanted.sha256:
        return False
    better = QUALITIES.index(there.quality) - QUALITIES.index(wanted.quality)
    return better > 0 or (better == 0 and there.method == wanted.method)


def _is_whole(place: Path, there: Separated) -> bool:
    import soundfile

    for name in FILES.values():
        try:
            info = soundfile.info(place / name)
        except (soundfile.LibsndfileError, OSError):
            return False
        if (info.frames, info.samplerate, info.channels) != (
            there.samples, there.rate, there.channels,
        ):  # fmt: skip
            return False
    return True
