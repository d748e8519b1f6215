"""Plays a track at any tempo in its own key: Rubber Band, steered to the sample.

Rubber Band (R3, short window) works in frames of 2048 samples. Each frame says how far the next
one lies behind it in the source and in the sound; both numbers can be read off the stretcher, so
where every frame lies is known exactly and never guessed. Before each frame the ratio is chosen
that puts the next one where the timeline will be by then, so an error lives for one or two hops of
12 ms and is mostly below a sample. What a click loses by the stretching itself is about 0.1 ms.

All stems of a deck go through one stretcher: their phases stay together, and gains come after it,
to the sample. A key that is moved is read faster or slower from the track and stretched back.
"""

from __future__ import annotations

import atexit
import weakref
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit

from crowdstream.player.source import CHANNELS, STEM_COUNT, read, sinc_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import pylibrb
except ImportError:  # the sinc reader alone plays too, its pitch moves with the tempo
    pylibrb = None  # type: ignore[assignment]

HERE: Final = pylibrb is not None
"""Rubber Band is installed."""

JUMP_SECONDS: Final = 0.010
"""Of a loop: both places are heard for so long before the line."""

NO_JUMP: Final = 1.0e18
"""A position after all music."""

HOP: Final = 512
"""Samples from one frame to the next in the sound, as Rubber Band chooses it for short windows."""

_MIDDLE: Final = 1280
"""The middle of a frame within what the stretcher holds: half of 2560, at both our rates."""

SETTLED: Final = 1792
"""After so many samples a sound that began with the stretcher is as loud as it should be."""

AHEAD_QUANTA: Final = 8
"""So far ahead the stretcher must know the timeline: middle, hop and what waits, in quanta."""

_PULL: Final = 0.5
"""Share of an error that one frame takes back."""

_MOST_PULL: Final = 0.02
"""And at most this share of a hop: a place that is wrong by far is reached without a jerk."""

_NEAR: Final = 0.75
"""Samples off that are left alone: the source can only be read at whole samples."""

_UNITY: Final = 1.0e-5
"""A ratio so near 1 is 1."""

_EVEN_FRAMES: Final = 24
"""Before Rubber Band is told of a ratio of 1. It then brings all phases back to those of the
source and hands the sound through; a tempo that only passes by need not."""

_HELD_BACK: Final = 35.0
"""Samples off, 0.8 ms, for which a beat is waited for at most."""

_ROOM: Final = 4096


@njit(
    "UniTuple(int64, 2)(float32[:,::1], int64, int64, float32[:,::1], int64)",
    cache=True,
    nogil=True,
)
def _keep(
    ready: NDArray[np.float32], begin: int, end: int, sound: NDArray[np.float32], left_out: int
) -> tuple[int, int]:
    """Put `sound`, but for `left_out` samples, behind the columns `begin` to `end` of `ready`.

    Returns these two anew: where there is no room, what waits moves to the front.
    Realtime-safe: yes
    """
    made = sound.shape[1] - left_out
    if end + made > ready.shape[1]:
        for row in range(ready.shape[0]):
            for i in range(end - begin):
                ready[row, i] = ready[row, begin + i]
        begin, end = 0, end - begin
    for row in range(ready.shape[0]):
        for i in range(made):
            ready[row, end + i] = sound[row, left_out + i]
    return begin, end + made


_living: Final[weakref.WeakSet[Stretcher]] = weakref.WeakSet()


@atexit.register
def _let_go() -> None:
    """What is still alive when the interpreter ends is no leak, and need not be reported as one."""
    for stretcher in list(_living):
        stretcher.end()


class Stretcher:
    """One Rubber Band of eight channels, and what it has ready."""

    def __init__(self, rate: int, *, drums: bool = True) -> None:
        """All memory is taken here, about 4 ms. Needs `HERE`.

        Without `drums` the first stem is left out, and silent.
        """
        assert pylibrb is not None
        option = pylibrb.Option
        self._band: Any = pylibrb.RubberBandStretcher(
            rate, CHANNELS if drums else CHANNELS - 2,
            option.PROCESS_REALTIME | option.ENGINE_FINER | option.WINDOW_SHORT
            | option.THREADING_NEVER | option.CHANNELS_TOGETHER,
            1.0, 1.0,
        )  # fmt: skip
        _living.add(self)
        self._holds = int(self._band.get_samples_required())
        self._source = np.zeros(CHANNELS * _ROOM, np.float32)
        self._ready = np.zeros((CHANNELS, _ROOM), np.float32)
        self._begin = self._end = 0
        self._table = sinc_table()
        self._taps = np.zeros(32, np.float32)
        self._wanted = np.ones(STEM_COUNT, np.bool_)
        self._wanted[0] = drums
        self._first_row = 0 if drums else 2
        self._jump_samples = JUMP_SECONDS * rate
        self._step = 1.0
        self._fed = 0.0
        """Where the next source sample is read."""

        self._middle = 0.0
        """Where in the source the middle of the next frame lies."""

        self._sounds_at = 0.0
        """When that is heard, in samples after the beginning of what is ready."""

        self.jump_at = NO_JUMP
        """The position in the source from which on something else is read."""

        self.jump_by = 0.0
        self._early = 0
        self.first = 0.0
        """A beat of the track, in source samples."""

        self.per_beat = 1.0
        self._even = 0
        """Frames of ratio 1 in a row."""

        self._faster = False
        """The last frame played the track at its own tempo or above."""

    def start(
        self, places: NDArray[np.float64], samples: int, step: float, *, at_once: bool
    ) -> None:
        """Begin anew at `places`, with `step` source samples to each that is fed.

        With `at_once` the frames before are made too, so that the very first sample is right;
        otherwise those after SETTLED are. Realtime-safe: yes

        Args:
            places: as in `play`.
            samples: how far they lie apart.
            step: 1 as a rule; 2 is an octave up.
            at_once: the first samples will be heard.
        """
        self._early = SETTLED if at_once else 0
        self._step = step
        self.jump_at = NO_JUMP
        self._begin = self._end = 0
        self._sounds_at = float(_MIDDLE - self._early)
        middle = _place(places, self._sounds_at, samples)
        advance = _place(places, self._sounds_at + HOP, samples) - middle
        # Whole samples need no reading in between; half of one is 11 microseconds.
        self._fed = float(round(middle - _MIDDLE * step))
        self._middle = self._fed + _MIDDLE * step
        # The ratio first: what is reset remembers it.
        self._band.time_ratio = _ratio(advance, step)
        self._band.reset()
        # At the beginning all phases are those of the source.
        self._even, self._faster = _EVEN_FRAMES, False

    def end(self) -> None:
        """Nothing is played any more."""
        self._band = None

    def off(self, places: NDArray[np.float64], samples: int) -> float:
        """How far the next frame lies beside its place, in source samples."""
        return self._middle - _place(places, self._sounds_at, samples)

    def jump(self, at: float, by: float) -> None:
        """From the position `at` in the source on, read `by` further on.

        The positions that `play` is told stay as they were until `has_jumped`.
        """
        # A line that has been read past already: as soon as it can be without a click.
        self.jump_at = max(at, self._fed + self._jump_samples)
        self.jump_by = float(round(by)) if self._step == 1.0 else by

    def has_jumped(self) -> bool:
        """A jump has been read past: from now on `play` is told positions beyond it."""
        if self._fed < self.jump_at:
            return False
        self._fed += self.jump_by
        self._middle += self.jump_by
        self.jump_at = NO_JUMP
        return True

    def play(
        self, stems: NDArray[np.int16], places: NDArray[np.float64], samples: int
    ) -> tuple[NDArray[np.float32], int]:
        """The next samples of all stems: an array (8, …), and the column that they begin at.

        Realtime-safe: yes, but for the arrays of 16 kB that Rubber Band's binding makes, one for
        every frame.

        Args:
            stems: of the track, shape (4, samples, 2).
            places: where in the source the sound should be at the beginning of these samples,
                `samples` later, and so on: AHEAD_QUANTA + 1 of them.
            samples: how many.
        """
        while self._end - self._begin < samples:
            self._frame(stems, places, samples)
        begin = self._begin
        self._begin += samples
        self._sounds_at -= samples
        return self._ready, begin

    def _frame(self, stems: NDArray[np.int16], places: NDArray[np.float64], samples: int) -> None:
        """One more frame."""
        band, step = self._band, self._step
        wanted = _place(places, self._sounds_at, samples)
        advance = _place(places, self._sounds_at + HOP, samples) - wanted
        ratio = self._choose(advance, self._middle - wanted)
        if ratio != band.time_ratio:
            band.time_ratio = ratio
        needed = int(band.get_samples_required())
        source = self._source[: CHANNELS * needed].reshape(CHANNELS, needed)
        read(
            stems, self._fed, step, needed, self.jump_at, self.jump_by, self._jump_samples,
            self._wanted, self._table, self._taps, source,
        )  # fmt: skip
        self._fed += needed * step
        band.process(source[self._first_row :])
        made = int(band.available())
        sound = band.retrieve(made)
        holds = self._holds - int(band.get_samples_required())
        self._middle = self._fed + (_MIDDLE - holds) * step
        self._sounds_at += made
        left_out = min(self._early, made)
        self._early -= left_out
        self._begin, self._end = _keep(
            self._ready[self._first_row :], self._begin, self._end, sound, left_out
        )

    def _choose(self, advance: float, off: float) -> float:
        """The ratio of the next hop, which should advance so far and is `off` its place.

        In short windows Rubber Band looks ahead for kicks only where it slows a track down. At the
        first frame from which on it does, it takes any sound for a stroke and sets all phases
        anew, so a pad would stumble. The tempo therefore passes from faster to slower on a beat,
        where there is a stroke as a rule, and for nothing else than the timeline.
        """
        step = self._step
        steady = ratio = _ratio(advance, step)
        if abs(off) > _NEAR * step:
            most = _MOST_PULL * HOP * step
            ratio = _ratio(advance - min(max(_PULL * off, -most), most), step)
            ratio = max(ratio, 1.0 + _UNITY) if steady > 1.0 else min(ratio, 1.0 - _UNITY)
        self._even = self._even + 1 if ratio == 1.0 else 0
        if ratio == 1.0 and self._even < _EVEN_FRAMES:
            ratio = 1.0 - _UNITY if self._faster else 1.0 + _UNITY
        if self._faster and ratio > 1.0:
            to_beat = (self.first - self._middle) % self.per_beat
            if to_beat > HOP * step and abs(off) < _HELD_BACK * step:
                ratio = 1.0 - _UNITY
        self._faster = ratio <= 1.0
        return ratio


def _place(places: NDArray[np.float64], at: float, samples: int) -> float:
    """Where in the source the sound should be `at` samples from now."""
    row = min(max(int(at // samples), 0), len(places) - 2)
    before = float(places[row])
    return before + (float(places[row + 1]) - before) * (at / samples - row)


def _ratio(advance: float, step: float) -> float:
    """Of what is heard to what is fed, for one hop that advances so far in the source."""
    # Music that stands still or runs backwards is not played.
    ratio = HOP * step / min(max(advance, 0.25 * HOP), 4.0 * HOP)
    # At its own tempo Rubber Band hands a sound through, if it is told so exactly.
    return 1.0 if abs(ratio - 1.0) < _UNITY else ratio
