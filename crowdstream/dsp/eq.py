"""The tone of a deck: three bands with kill, and the two filters of a DJ's mixer.

All are state-variable filters in the form that keeps still while its settings move (Zavalishin,
The Art of VA Filter Design, 2012, chapter 4), so a knob can be turned within a few samples and
nothing zips.

The bands are two shelves of fourth order (two equal Butterworth sections, 24 dB an octave, as in a
Linkwitz-Riley crossover): around 150 Hz and around 2.5 kHz, each half way where bands meet, 6 dB
down when one of them is killed. They are in series, not side by side: when all bands are flat the
low pass, band pass and high pass of a section add up to exactly what came in, phase included,
so an equalizer that nobody touches is not there, and a kick drum keeps its shape. The price is the
middle band's kill, which is 34 dB deep and no more.

Low pass and high pass are fourth order Butterworth, without resonance: they never make anything
louder.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOW, MID, HIGH, LOWPASS, HIGHPASS = range(5)
"""Rows of the knobs: factors of the bands, then how far the filters are open or closed."""

KNOBS: Final = 5

FLAT: Final = (1.0, 1.0, 1.0, 1.0, 0.0)
"""The knobs of a deck that sounds as it is."""

LOW_HZ: Final = 150.0
HIGH_HZ: Final = 2500.0
"""Where the bands meet."""

LOWPASS_HZ: Final = (200.0, 20_000.0)
"""Closed, open."""

HIGHPASS_HZ: Final = (10.0, 2000.0)
"""Open, closed."""

_FADED_IN: Final = 0.05
"""Share of a filter's way over which it comes in: open, it is not there."""

_LEAST_MID: Final = 0.002
"""Of the bands around it: what is divided by must not be 0."""

_BUTTERWORTH: Final = math.sqrt(2.0)
_FOURTH_FIRST: Final = 2.0 * math.cos(math.pi / 8.0)
_FOURTH_SECOND: Final = 2.0 * math.cos(3.0 * math.pi / 8.0)
"""Damping of a second order Butterworth filter, and of the sections of a fourth order one."""


@njit("float64(float64)", cache=True, nogil=True)
def _section(factor: float) -> float:
    """Of a band, what each of its two sections does."""
    return float(math.sqrt(factor))


@njit("void(float64[:,:,::1])", cache=True, nogil=True)
def _flush(memory: NDArray[np.float64]) -> None:
    """A filter that decays into denormal numbers costs a hundred times as much."""
    for section in range(memory.shape[0]):
        for channel in range(2):
            for place in range(2):
                if abs(memory[section, channel, place]) < 1.0e-30:
                    memory[section, channel, place] = 0.0


@njit("float64(float64[::1])", cache=True, nogil=True)
def _middle(factors: NDArray[np.float64]) -> float:
    """The factor of the middle band: what is divided by is 0 only where all is silent."""
    return float(max(factors[MID], _LEAST_MID * max(factors[LOW], factors[HIGH])))


@njit(
    "void(float32[:,::1], float64[::1], float64[::1], float64[:,:,::1], float64, float64)",
    cache=True,
    nogil=True,
)
def _bands(
    sound: NDArray[np.float32],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    memory: NDArray[np.float64],
    g_low: float,
    g_high: float,
) -> None:
    """Three bands over `sound`, in place; the factors go in a straight line. Realtime-safe: yes

    memory: (4 sections, 2 channels, 2). Also runs while all is flat, so that a knob that moves
    finds the filters swung in.
    """
    samples = sound.shape[0]
    flat = True
    for band in range(3):
        flat = flat and before[band] == 1.0 and after[band] == 1.0
    # What goes in a straight line are the factors of a section, not those of the bands: the roots
    # below would bend sharply near 0.
    low, low_after = _section(before[LOW]), _section(after[LOW])
    mid, mid_after = _section(_middle(before)), _section(_middle(after))
    high, high_after = _section(before[HIGH]), _section(after[HIGH])
    side, side_after = math.sqrt(low * mid), math.sqrt(low_after * mid_after)
    edge, edge_after = math.sqrt(high), math.sqrt(high_after)
    below = between = across = above = edges = 1.0
    solved_low = 1.0 / (1.0 + g_low * (g_low + _BUTTERWORTH))
    solved_high = 1.0 / (1.0 + g_high * (g_high + _BUTTERWORTH))
    for i in range(samples):
        if not flat:
            share = (i + 1) / samples
            below = low + (low_after - low) * share
            between = mid + (mid_after - mid) * share
            across = side + (side_after - side) * share
            # The upper shelf makes up for what the lower one, after it, will take: the other way
            # round every small corner of a moving knob would be lifted with it.
            above = edges = 0.0
            if between > 0.0:
                above = (high + (high_after - high) * share) / between
                edges = (edge + (edge_after - edge) * share) / math.sqrt(between)
        for channel in range(2):
            x = np.float64(sound[i, channel])
            for section in range(4):
                g = g_high if section < 2 else g_low
                solved = solved_high if section < 2 else solved_low
                one = memory[section, channel, 0]
                two = memory[section, channel, 1]
                band_pass = (one + g * (x - two)) * solved
                low_pass = two + g * band_pass
                memory[section, channel, 0] = 2.0 * band_pass - one
                memory[section, channel, 1] = 2.0 * low_pass - two
                if not flat:
                    band_pass *= _BUTTERWORTH
                    high_pass = x - band_pass - low_pass
                    if section < 2:
                        x = above * high_pass + edges * band_pass + low_pass
                    else:
                        x = between * high_pass + across * band_pass + below * low_pass
            if not flat:
                sound[i, channel] = np.float32(x)
    _flush(memory)


@njit(
    "void(float32[:,::1], float64[:,:,::1], boolean, float64, float64, float64, float64)",
    cache=True,
    nogil=True,
)
def _pass(
    sound: NDArray[np.float32],
    memory: NDArray[np.float64],
    high: bool,
    g: float,
    g_after: float,
    wet: float,
    wet_after: float,
) -> None:
    """A low pass, or a `high` pass, over `sound`, in place. Realtime-safe: yes

    memory: (2 sections, 2 channels, 2). Its frequency moves evenly in octaves from sample to
    sample, and `wet` of what is heard goes through it.
    """
    samples = sound.shape[0]
    faster = (g_after / g) ** (1.0 / samples)
    for i in range(samples):
        g *= faster
        share = wet + (wet_after - wet) * ((i + 1) / samples)
        for channel in range(2):
            dry = np.float64(sound[i, channel])
            x = dry
            for section in range(2):
                damping = _FOURTH_FIRST if section == 0 else _FOURTH_SECOND
                one = memory[section, channel, 0]
                two = memory[section, channel, 1]
                band_pass = (one + g * (x - two)) / (1.0 + g * (g + damping))
                low_pass = two + g * band_pass
                memory[section, channel, 0] = 2.0 * band_pass - one
                memory[section, channel, 1] = 2.0 * low_pass - two
                x = x - damping * band_pass - low_pass if high else low_pass
            sound[i, channel] = np.float32(dry + share * (x - dry))
    _flush(memory)


class Tone:
    """Bands and filters of one deck, with their memory."""

    def __init__(self, rate: int) -> None:
        """Swung out. All memory is taken here."""
        self._rate = rate
        self._g_low = math.tan(math.pi * LOW_HZ / rate)
        self._g_high = math.tan(math.pi * HIGH_HZ / rate)
        self._bands = np.zeros((4, 2, 2))
        self._lowpass = np.zeros((2, 2, 2))
        self._highpass = np.zeros((2, 2, 2))

    def reset(self) -> None:
        """Forget what was heard."""
        for memory in (self._bands, self._lowpass, self._highpass):
            memory.fill(0.0)

    def shape(
        self, sound: NDArray[np.float32], before: NDArray[np.float64], after: NDArray[np.float64]
    ) -> None:
        """Change `sound`, shape (samples, 2), in place, while the knobs move. Realtime-safe: yes

        `before` and `after` hold LOW, MID, HIGH, LOWPASS and HIGHPASS, each 0 to 1, before the
        first and at the last sample.
        """
        _bands(sound, before, after, self._bands, self._g_low, self._g_high)
        first, last = float(before[LOWPASS]), float(after[LOWPASS])
        if first < 1.0 or last < 1.0:
            low, high = LOWPASS_HZ
            _pass(
                sound, self._lowpass, False, self._g(low, high, first), self._g(low, high, last),
                min((1.0 - first) / _FADED_IN, 1.0), min((1.0 - last) / _FADED_IN, 1.0),
            )  # fmt: skip
        else:
            self._lowpass.fill(0.0)
        first, last = float(before[HIGHPASS]), float(after[HIGHPASS])
        if first > 0.0 or last > 0.0:
            low, high = HIGHPASS_HZ
            _pass(
                sound, self._highpass, True, self._g(low, high, first), self._g(low, high, last),
                min(first / _FADED_IN, 1.0), min(last / _FADED_IN, 1.0),
            )  # fmt: skip
        else:
            self._highpass.fill(0.0)

    def _g(self, low: float, high: float, share: float) -> float:
        """What a state-variable filter calls its frequency: `share` of the way between two."""
        return math.tan(math.pi * low * (high / low) ** share / self._rate)
