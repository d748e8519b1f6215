"""One deck: a track's four stems, locked to the musical timeline.

The deck has no position of its own. Where it reads follows from the beat of the timeline, once
for the beginning and once for the end of each quantum; so it cannot drift, and two decks whose
downbeats were put together stay together. Tempo is varispeed: the pitch moves with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit, types

from crowdstream.dsp import fades

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.music.library import Track

STEM_COUNT: Final = 4

TAPS: Final = 32
"""Source samples that make one heard sample."""

STEPS: Final = 512
"""Places between two source samples for which the taps are known; between them straight lines."""

_CUTOFF: Final = 0.93
"""Of half the rate. Above lies what a faster tempo would fold back."""

_KAISER: Final = 8.0

LOUDEST_BOOST_DB: Final = 6.0
"""A very quiet track is not raised further: what it has of noise would come up with it."""

# Memory of the loader may be mapped read-only; both kinds of array go through this signature.
_STEMS = types.Array(types.int16, 3, "C", readonly=True)
_RENDER = types.void(
    _STEMS, types.float64, types.float64, types.float32[:, ::1], types.float32[::1],
    types.float64[::1], types.float64[::1], types.float32[:, ::1],
)  # fmt: skip


@njit(_RENDER, cache=True, nogil=True)
def _play(
    stems: NDArray[np.int16],
    position: float,
    step: float,
    table: NDArray[np.float32],
    taps: NDArray[np.float32],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Add a quantum of a track to `out`. Realtime-safe: yes

    Reads at `position` and `step` further for each sample; the gain of each stem goes in a
    straight line from `before` to `after`. Outside the files there is silence.
    """
    samples = out.shape[0]
    length = stems.shape[1]
    for i in range(samples):
        at = position + step * i
        whole = int(np.floor(at))
        first = whole - TAPS // 2 + 1
        if first < -TAPS or first >= length:
            continue
        place = (at - whole) * STEPS
        row = int(place)
        share = np.float32(place - row)
        for tap in range(TAPS):
            taps[tap] = table[row, tap] + share * (table[row + 1, tap] - table[row, tap])
        begin = max(0, -first)
        end = min(TAPS, length - first)
        for stem in range(STEM_COUNT):
            if before[stem] == 0.0 and after[stem] == 0.0:
                continue
            left = np.float32(0.0)
            right = np.float32(0.0)
            if end - begin == TAPS:
                for tap in range(TAPS):
                    left += taps[tap] * np.float32(stems[stem, first + tap, 0])
                    right += taps[tap] * np.float32(stems[stem, first + tap, 1])
            else:
                for tap in range(begin, end):
                    left += taps[tap] * np.float32(stems[stem, first + tap, 0])
                    right += taps[tap] * np.float32(stems[stem, first + tap, 1])
            gain = np.float32(before[stem] + (after[stem] - before[stem]) * ((i + 1) / samples))
            out[i, 0] += gain * left
            out[i, 1] += gain * right


class Deck:
    """Plays one track at a time."""

    def __init__(self, rate: int, target_lufs: float) -> None:
        """Empty. All memory for playing is taken here."""
        self.track: Track | None = None
        self.stems: NDArray[np.int16] | None = None
        self.offset = 0.0
        """Beat of the track minus beat of the timeline."""

        self.fades = fades.constant_fades(STEM_COUNT)
        self.wanted = np.ones(STEM_COUNT)
        """Level that each stem goes to while it is heard, as a factor above 0."""

        self.gains = np.zeros(STEM_COUNT)
        """What is heard of each stem at the end of the last quantum, without the track's gain."""

        self.stops_at = fades.NEVER
        """Beat of the timeline at which the deck is empty again."""

        self._jump_at, self._jump_to = -fades.NEVER, 0.0
        self._silent = np.zeros(STEM_COUNT)
        self._rate = rate
        self._target_lufs = target_lufs
        self._levels = np.ones(STEM_COUNT)
        self._before = np.zeros(STEM_COUNT)
        self._after = np.zeros(STEM_COUNT)
        self._scale = 1.0
        self._first = 0.0
        self._per_beat = 1.0
        self._table = _sinc_table()
        self._taps = np.zeros(TAPS, np.float32)

    def load(self, track: Track, stems: NDArray[np.int16], offset: float) -> None:
        """Take a track, all stems silent; beat b of the timeline is its beat `b + offset`."""
        self.track, self.stems, self.offset = track, stems, offset
        self._first = track.first_beat_seconds * self._rate
        self._per_beat = 60.0 / track.bpm * self._rate
        trim_db = min(self._target_lufs - track.loudness_lufs, LOUDEST_BOOST_DB)
        self._scale = float(10.0 ** (trim_db / 20.0))
        self.fades[:] = fades.constant_fades(STEM_COUNT)
        self._levels[:] = self.wanted
        self.gains[:] = self._before[:] = self._after[:] = 0.0
        self.stops_at = -fades.NEVER
        self._jump_at = -fades.NEVER

    def jump(self, offset: float, beat: float) -> None:
        """From `beat` of the timeline on read elsewhere: its beat b is the track's `b + offset`."""
        self._jump_to, self._jump_at = offset, beat

    def empty(self) -> None:
        """Let go of the track."""
        self.track = self.stems = None

    def fade(self, stem: int, to: float, start: float, end: float, law: int, now: float) -> None:
        """Move a stem to the factor `to` between two beats of the timeline.

        A fade that is still under way at `now` is taken over where it is, so nothing jumps.
        """
        row = self.fades[stem]
        if row[fades.END] > now:
            start = min(start, now)
        row[fades.FROM] = fades.fade(max(start, now), *row)
        row[fades.START], row[fades.END] = max(start, now), max(end, now)
        row[fades.TO], row[fades.LAW] = to, law

    def render(self, begin: float, end: float, most_db: float, out: NDArray[np.float32]) -> None:
        """Add the quantum between two beats of the timeline to `out`.

        Levels move by at most `most_db`. Realtime-safe: yes
        """
        if self.stems is None:
            return
        self._before[:] = self._after
        fades.follow(end, self.fades, self._levels, self.wanted, most_db, 1.0, self.gains)
        np.multiply(self.gains, self._scale / 32768.0, out=self._after)
        position = self._first + (begin + self.offset) * self._per_beat
        step = (end - begin) * self._per_beat / out.shape[0]
        if end >= self._jump_at:
            # One quantum of both places, the one going and the other coming.
            _play(
                self.stems, position, step, self._table, self._taps, self._before, self._silent, out
            )
            self.offset, self._jump_at = self._jump_to, -fades.NEVER
            self._before[:] = 0.0
            position = self._first + (begin + self.offset) * self._per_beat
        _play(self.stems, position, step, self._table, self._taps, self._before, self._after, out)
        if end >= self.stops_at:
            self.empty()


def _sinc_table() -> NDArray[np.float32]:
    """Shape (STEPS + 1, TAPS): a Kaiser-windowed sinc for each place between two samples."""
    place = np.arange(STEPS + 1)[:, np.newaxis] / STEPS
    x = np.arange(TAPS)[np.newaxis, :] - (TAPS // 2 - 1) - place
    window = np.i0(_KAISER * np.sqrt(np.clip(1.0 - (x / (TAPS // 2)) ** 2, 0.0, 1.0)))
    table = _CUTOFF * np.sinc(_CUTOFF * x) * window
    # Each row has the same sum, so a steady sound does not tremble as the place wanders.
    table /= table.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(table, np.float32)
