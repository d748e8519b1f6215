"""Drums, bass, vocals and other of a mix, told apart by how they look in a spectrogram.

Without a model, by four things that are mostly true of music. What is *brief and wide* in
frequency is struck: drums. What *lasts* is a tone, and below some 250 Hz it is bass. What sits
*in the middle* between the two channels is the voice (and bass, and drums); what is wide is
neither. And a voice *wavers*: it is gone from what lasts half a second sooner than from what
lasts a tenth.

Each cell of the spectrogram is shared between the four in proportion to how much of each is
expected there, in the sum and in the difference of the channels apart. The shares add up to one,
and so the stems to the mix.

After D. Fitzgerald, "Harmonic/percussive separation using median filtering" (DAFx 2010), and
C. Avendano and J.-M. Jot, "Ambience extraction and synthesis from stereo signals" (ICASSP 2002).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.dsp.medians import running_medians

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Spectra = NDArray[np.complex64]

VERSION: Final = 1
"""Counts up whenever the stems of a mix would come out otherwise."""

CROSSOVER_HZ: Final = 4000.0
"""Hardly a note lies above. There, short spectra tell hats apart that long ones see as lasting."""

LONG_SECONDS: Final = 0.186
"""Of a spectrum below the crossover: enough to tell a bass note from the kick beside it."""

SHORT_PART: Final = 8
"""A spectrum above the crossover has this part of its length."""

OVERLAPS: Final = 4
"""So many spectra see each sample."""

LASTING_SECONDS: Final = 0.25
"""A tone lasts longer than this; a kick, a snare and their room do not."""

VOICED_SECONDS: Final = 0.05
"""What a voice holds still for, at least."""

# How wide in frequency what is struck must be: a share of its frequency, because a kick is as wide
# as it is low, and no more than this.
_STRUCK_SHARE: Final = 0.3
_STRUCK_HZ: Final = (10.0, 400.0)

_KICK_HZ: Final = 80.0
"""Below, spectra are as wide as what is struck: there it is what stands out above what lasts."""

_BASS_HZ: Final = 250.0
_VOICE_HZ: Final = (150.0, 6000.0)
_OTHER_HZ: Final = 200.0

# How much of each there is to be expected, where nothing else tells them apart.
_DRUMS: Final = 0.8
_VOICE: Final = 0.7
_OTHER_IN_THE_MIDDLE: Final = 0.7

_VOICE_LASTS: Final = 0.5
"""So much of what lasts is no voice's, and at least a tenth of what is voiced always is."""

# The same in the difference of the channels, where bass and voice have hardly a place.
_ASIDE: Final = (0.5, 0.05, 0.1, 1.0)

_NOTHING: Final = 1e-12


class Splitter:
    """Splits sound of one rate. Has no state: any thread may use it."""

    def __init__(self, rate: int) -> None:
        """`rate` in samples a second, 4000 or more."""
        low, high = CROSSOVER_HZ / math.sqrt(2.0), CROSSOVER_HZ * math.sqrt(2.0)
        size = 1 << round(math.log2(LONG_SECONDS * rate))
        self._long = _Band(rate, size, 0.0, high)
        self._short = _Band(rate, size // SHORT_PART, low, rate / 2.0)
        self.hop = self._long.hop
        """Windows of a long sound must begin at multiples of it to be cut without a trace."""
        reach = max(self._long.reach, self._long.size + self._short.reach)
        self.context = -(-reach // self.hop) * self.hop
        """What lies further than this from a sample has no part in what becomes of it."""
        octaves = np.log2(np.maximum(self._long.hertz, 1.0) / CROSSOVER_HZ)
        turn = np.pi * np.clip(octaves + 0.5, 0.0, 1.0)
        self._below: Floats = (0.5 + 0.5 * np.cos(turn)).astype(np.float32)
        """What of each frequency lies below the crossover."""

    def split(self, sound: Floats) -> Floats:
        """The stems of a sound, shape (samples, 2), in the order of STEMS: (4, samples, 2).

        They add up to it everywhere. Within `context` of either end they are not what they would
        be if the sound went on there; those ends are for whoever cuts a long sound to throw away.
        """
        samples = len(sound)
        middle = (sound[:, 0] + sound[:, 1]) * np.float32(0.5)
        aside = (sound[:, 0] - sound[:, 1]) * np.float32(0.5)
        spectra = self._long.spectra(middle, aside)
        low = spectra * self._below
        stems = self._long.stems(low, self._long.shares(spectra), samples)
        lows = self._long.sound(low, samples)
        spectra = self._short.spectra(middle - lows[0], aside - lows[1])
        stems[:3] += self._short.stems(spectra, self._short.shares(spectra), samples)[:3]
        stems[3] = sound - stems[:3].sum(axis=0)
        return stems


class _Band:
    """Spectra of one length, from one frequency to another, and whose they are."""

    def __init__(self, rate: int, size: int, low: float, high: float) -> None:
        self.size = size
        """Samples of one spectrum."""
        self.hop = size // OVERLAPS
        """From one spectrum to the next."""
        hertz = np.asarray(np.fft.rfftfreq(size, 1.0 / rate), np.float64)
        first = min(int(np.searchsorted(hertz, low)), len(hertz) - 1)
        self._bins = slice(first, max(first + 1, int(np.searchsorted(hertz, high, "right"))))
        self.hertz = hertz[self._bins]
        self._lasting = max(1, round(LASTING_SECONDS * rate / self.hop))
        self._voiced = max(1, round(VOICED_SECONDS * rate / self.hop))
        self.reach = size + (self._lasting + 1) * self.hop
        """What lies further than this from a sample has no part in its shares."""
        cycle = 2.0 * np.pi * np.arange(size) / size
        self._window = np.sqrt(0.5 - 0.5 * np.cos(cycle)).astype(np.float32)
        width = np.clip(_STRUCK_SHARE * self.hertz, *_STRUCK_HZ) * size / rate
        self._struck = np.maximum(1, np.round(width)).astype(np.int64)
        self._of_kick = _falling(self.hertz, _KICK_HZ, 24.0)
        self._of_bass = _falling(self.hertz, _BASS_HZ, 18.0)
        self._of_voice: Floats = _rising(self.hertz, _VOICE_HZ[0], 18.0)
        self._of_voice *= _falling(self.hertz, _VOICE_HZ[1], 12.0)
        self._of_other = _rising(self.hertz, _OTHER_HZ, 12.0)

    def spectra(self, *channels: Floats) -> Spectra:
        """Shape (channels, times, frequencies)."""
        views = (np.lib.stride_tricks.sliding_window_view(each, self.size) for each in channels)
        made = [np.fft.rfft(view[:: self.hop] * self._window)[:, self._bins] for view in views]
        return np.stack(made).astype(np.complex64, copy=False)

    def sound(self, spectra: Spectra, samples: int) -> Floats:
        """Back again, shape (channels, samples): the squares of all windows add up to one."""
        sound = np.zeros((len(spectra), samples), np.float32)
        window = self._window * np.float32(2.0 / OVERLAPS)
        whole = np.zeros((spectra.shape[1], self.size // 2 + 1), np.complex64)
        for channel, each in zip(sound, spectra, strict=True):
            whole[:, self._bins] = each
            pieces = np.fft.irfft(whole, self.size).astype(np.float32, copy=False)
            pieces *= window
            # Every fourth piece begins where the one before ends: four sums instead of hundreds.
            for first in range(OVERLAPS):
                row = pieces[first::OVERLAPS]
                begin = first * self.hop
                channel[begin : begin + row.size] += row.reshape(-1)
        return sound

    def stems(self, spectra: Spectra, shares: list[Floats], samples: int) -> Floats:
        """Spectra of middle and aside by their shares; shape (4, samples, 2), the last empty."""
        stems = np.zeros((4, samples, 2), np.float32)
        for stem in range(3):
            parts = np.stack(
                [each * share[stem] for each, share in zip(spectra, shares, strict=True)]
            )
            middle, aside = self.sound(parts, samples)
            np.add(middle, aside, out=stems[stem, :, 0])
            np.subtract(middle, aside, out=stems[stem, :, 1])
        return stems

    def shares(self, spectra: Spectra) -> list[Floats]:
        """What belongs to whom: for middle and aside, shape (4, times, frequencies)."""
        sizes = np.abs(spectra)
        both = np.hypot(sizes[0], sizes[1])
        struck = np.empty_like(both)
        running_medians(both, self._struck, struck)
        # Through time, from here on: one row for each frequency.
        turned = np.ascontiguousarray(both.T)
        lasts = _over_time(turned, self._lasting)
        voiced = _over_time(turned, self._voiced)
        wavers = np.maximum(voiced - _VOICE_LASTS * lasts, 0.1 * voiced)
        # A source that is not in the middle is about as large in the difference as in the sum.
        powers = _of_three(sizes**2)
        wide = np.minimum(1.0, powers[1] / (powers[0] + _NOTHING))
        central = 1.0 - wide
        drums = _DRUMS * np.maximum(struck, (both - lasts) * self._of_kick)
        bass = lasts * self._of_bass
        voice = _VOICE * wavers * self._of_voice
        other = lasts * self._of_other
        return [
            _normed([drums, bass * (central + 0.05), voice * central,
                     other * (wide + _OTHER_IN_THE_MIDDLE * central)]),
            _normed([part * share for part, share in
                     zip((drums, bass, voice, other), _ASIDE, strict=True)]),
        ]  # fmt: skip


def _over_time(turned: Floats, half: int) -> Floats:
    """Medians of as many moments on either side; shape (times, frequencies) again."""
    medians = np.empty_like(turned)
    running_medians(turned, np.full(turned.shape[1], half, np.int64), medians)
    return np.ascontiguousarray(medians.T)


def _normed(parts: list[Floats]) -> Floats:
    """Shares that add up to one, of what is to be expected of each."""
    shares = np.stack(parts).astype(np.float32, copy=False) + np.float32(_NOTHING)
    shares /= shares.sum(axis=0)
    return shares


def _of_three(powers: Floats) -> Floats:
    """The sum of each moment, the one before and the one after."""
    summed = powers.copy()
    summed[:, 1:] += powers[:, :-1]
    summed[:, :-1] += powers[:, 1:]
    return summed


def _falling(hertz: NDArray[np.float64], corner: float, slope: float) -> Floats:
    """1 below a corner, falling above it by so many dB an octave."""
    return (1.0 / (1.0 + (hertz / corner) ** (slope / 3.01))).astype(np.float32)


def _rising(hertz: NDArray[np.float64], corner: float, slope: float) -> Floats:
    """1 above a corner, falling below it by so many dB an octave."""
    return (1.0 / (1.0 + (corner / np.maximum(hertz, 1e-3)) ** (slope / 3.01))).astype(np.float32)
