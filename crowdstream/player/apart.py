"""From the rows of a stretcher to sound: all stems of a deck as one, or each on its own.

Everything that a deck does after the gains of its stems is linear, bands, filters and echo. So
four of each, turned alike, give four sounds that add up to the one that the house hears, within
rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from crowdstream.dsp.echo import Echo
from crowdstream.dsp.eq import Tone
from crowdstream.music.timeline import QUANTUM
from crowdstream.player.source import STEM_COUNT

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit(
    "void(float32[:,::1], int64, float64[::1], float64[::1], float32[:,::1])",
    cache=True,
    nogil=True,
)
def sum_stems(
    stems: NDArray[np.float32],
    column: int,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """The stems as one sound, from `column` on. Realtime-safe: yes

    The gain of each goes in a straight line from `before` to `after`.
    """
    samples = out.shape[0]
    for i in range(samples):
        out[i, 0] = out[i, 1] = np.float32(0.0)
    for stem in range(STEM_COUNT):
        if before[stem] == 0.0 and after[stem] == 0.0:
            continue
        step = (after[stem] - before[stem]) / samples
        for i in range(samples):
            gain = np.float32(before[stem] + step * (i + 1))
            out[i, 0] += gain * stems[2 * stem, column + i]
            out[i, 1] += gain * stems[2 * stem + 1, column + i]


@njit("void(float32[:,::1], float64, float64)", cache=True, nogil=True)
def scale(sound: NDArray[np.float32], before: float, after: float) -> None:
    """Times a factor that goes in a straight line. Realtime-safe: yes"""
    step = (after - before) / sound.shape[0]
    for i in range(sound.shape[0]):
        gain = np.float32(before + step * (i + 1))
        sound[i, 0] *= gain
        sound[i, 1] *= gain


class Apart:
    """The four stems of one deck, each behind bands, filters and an echo of its own."""

    def __init__(self, rate: int) -> None:
        """Silent. All memory is taken here: four megabytes for the echoes."""
        self._tones = [Tone(rate) for _ in range(STEM_COUNT)]
        self._echoes = [Echo(rate) for _ in range(STEM_COUNT)]
        self._before = np.zeros((STEM_COUNT, STEM_COUNT))
        self._after = np.zeros((STEM_COUNT, STEM_COUNT))
        self._sound = np.zeros((QUANTUM, 2), np.float32)

    def reset(self) -> None:
        """Another track: the bands forget the one before, its echo rings on."""
        for tone in self._tones:
            tone.reset()

    def render(
        self, rows: NDArray[np.float32], column: int,
        before: NDArray[np.float64], after: NDArray[np.float64],
        knobs_before: NDArray[np.float64], knobs_after: NDArray[np.float64],
        gain: int, echo: int, per_beat: float, out: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Add each stem to its part of `out`, shape (4, QUANTUM, 2). Realtime-safe: yes

        Args:
            rows: all stems, from `column` on.
            column: where they begin.
            before: gain of each stem before the first sample.
            after: and at the last.
            knobs_before: as a deck has them; those of `dsp.eq` come first.
            knobs_after: the same at the last sample.
            gain: which knob is the gain of the deck.
            echo: which is how much goes into the echo.
            per_beat: samples of a beat.
            out: gets the sound.
        """
        sound = self._sound
        loud, loud_after = float(knobs_before[gain]), float(knobs_after[gain])
        send, send_after = float(knobs_before[echo]), float(knobs_after[echo])
        for stem in range(STEM_COUNT):
            self._before[stem, stem], self._after[stem, stem] = before[stem], after[stem]
            sum_stems(rows, column, self._before[stem], self._after[stem], sound)
            self._tones[stem].shape(sound, knobs_before, knobs_after)
            if loud != 1.0 or loud_after != 1.0:
                scale(sound, loud, loud_after)
            np.add(out[stem], sound, out=out[stem])
            self._echoes[stem].repeat(sound, send, send_after, per_beat, out[stem])

    def ring_on(self, per_beat: float, out: NDArray[np.float32]) -> None:
        """The deck is empty: what is left of its echo. Realtime-safe: yes"""
        self._sound.fill(0.0)
        for stem, echo in enumerate(self._echoes):
            if echo.rings:
                echo.repeat(self._sound, 0.0, 0.0, per_beat, out[stem])
