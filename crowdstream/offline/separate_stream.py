"""Long sound in bounded memory: cut into windows that overlap, and put together again.

What separates a window (`split`) sees a few seconds; how many it needs around them, and how
windows are faded into each other, its `Plan` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crowdstream.packets import STEMS

Sound = NDArray[np.float32]
"""Shape (samples, channels), full scale is 1."""

Split = Callable[[Sound], Sound]
"""A window, shape (length, 2), becomes its stems, shape (4, length, 2) in the order of STEMS."""


class Plan(NamedTuple):
    """How sound is cut."""

    length: int
    """Samples of a window."""

    stride: int
    """Samples from one window to the next."""

    first: int
    """Where the first window begins: 0 or, to give it room, before the sound."""

    weights: NDArray[np.float32]
    """How much each sample of a window counts; where windows overlap their mean is taken."""

    centred: bool = False
    """Whether a window that the sound's end cuts short is moved back, so as to see more of it."""


def stems_of(
    blocks: Iterable[Sound], total: int, plan: Plan, split: Split, jobs: int,
    stop: Callable[[], None],
) -> Generator[Sound]:  # fmt: skip
    """Split a sound of `total` samples; yields its stems in order, shape (4, some samples, 2).

    `split` is called by up to `jobs` threads at once. Whatever ends this early, `stop` is called
    first and must make running calls of `split` return soon, well or not.
    """
    reader = _Reader(blocks)
    together = _Together(plan.length)
    waiting: deque[tuple[_Place, Future[Sound]]] = deque()
    with ThreadPoolExecutor(jobs, "separate") as pool:
        try:
            for place in _places(total, plan):
                window = reader.window(place.start, plan.length)
                waiting.append((place, pool.submit(split, window)))
                if len(waiting) > jobs:
                    yield from _next(waiting, together, plan)
            while waiting:
                yield from _next(waiting, together, plan)
            if together.done < total:
                yield together.take(total)
        except BaseException:
            for _, future in waiting:
                future.cancel()
            stop()
            raise


class _Place(NamedTuple):
    """Where a window belongs."""

    begin: int
    end: int
    """Its share of the sound; may begin before it."""

    start: int
    """Where what it sees begins; `length` samples."""


def _places(total: int, plan: Plan) -> Iterator[_Place]:
    """All windows. After the last one no sample is left that counts for nothing."""
    begin = plan.first
    while begin < total + min(plan.first, 0):
        end = min(begin + plan.length, total)
        short = plan.length - (end - begin)
        yield _Place(begin, end, begin - short // 2 if plan.centred else begin)
        begin += plan.stride


def _next(
    waiting: deque[tuple[_Place, Future[Sound]]], together: _Together, plan: Plan
) -> Iterator[Sound]:
    """Wait for the window that comes next; yields what neither it nor a later one changes."""
    place, future = waiting.popleft()
    stems = future.result()
    inside = max(place.begin, 0)
    if inside > together.done:
        yield together.take(inside)
    together.add(
        inside,
        stems[:, inside - place.start : place.end - place.start],
        plan.weights[inside - place.begin : place.end - place.begin],
    )


class _Together:
    """The weighted mean of windows, for as many samples as one window has."""

    def __init__(self, length: int) -> None:
        self._sums = np.zeros((len(STEMS), length, 2), np.float32)
        self._weights = np.zeros(length, np.float32)
        self.done = 0
        """So many samples of the sound have been taken."""

    def add(self, begin: int, stems: Sound, weights: NDArray[np.float32]) -> None:
        """Stems that begin with sample `begin` of the sound, which has not been taken."""
        place = slice(begin - self.done, begin - self.done + len(weights))
        self._sums[:, place] += stems * weights[:, np.newaxis]
        self._weights[place] += weights

    def take(self, upto: int) -> Sound:
        """The stems up to a sample of the sound."""
        count = upto - self.done
        mean: Sound = self._sums[:, :count] / self._weights[:count, np.newaxis]
        kept = len(self._weights) - count
        for held in (self._sums.swapaxes(0, 1), self._weights):
            held[:kept] = held[count:].copy()
            held[kept:] = 0.0
        self.done = upto
        return mean


class _Reader:
    """Windows out of blocks; each begins where the one before it began, or later."""

    def __init__(self, blocks: Iterable[Sound]) -> None:
        self._blocks = iter(blocks)
        self._held = np.zeros((0, 2), np.float32)
        self._begin = 0
        """Which sample of the sound is the first that is held."""

    def window(self, start: int, length: int) -> Sound:
        """Samples `start` to `start + length`, silent before the sound and after it."""
        end = start + length
        kept = self._held[max(0, start - self._begin) :]
        pieces = [kept]
        self._begin = max(self._begin, min(start, self._begin + len(self._held)))
        have = self._begin + len(kept)
        while have < end and (block := next(self._blocks, None)) is not None:
            pieces.append(block)
            have += len(block)
        self._held = np.concatenate(pieces)
        if self._begin < start:
            self._held = self._held[start - self._begin :]
            self._begin = min(start, have)
        window = np.zeros((length, 2), np.float32)
        room = self._begin - start
        piece = self._held[: max(0, length - room)]
        window[room : room + len(piece)] = piece
        return window
