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

WINDOW_SECONDS: Final = 0.186
"""Of one spectrum: long enough to tell a bass note from the kick beside it."""

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
        self.size = 1 << round(math.log2(WINDOW_SECONDS * rate))
        """Samples of one spectrum."""
        self.hop = self.size // OVERLAPS
        """From one spectrum to the next: windows of a long sound begin at multiples of it."""
        lasting = max(1, round(LASTING_SECONDS * rate / self.hop))
        self.context = self.size + (lasting + 1) * self.hop
        """What lies further than this from a sample has no part in what becomes of it."""
        cycle = 2.0 * np.pi * np.arange(self.size) / self.size
        self._window = np.sqrt(0.5 - 0.5 * np.cos(cycle)).astype(np.float32)[:, np.newaxis]
        self._lasting = lasting
        self._voiced = max(1, round(VOICED_SECONDS * rate / self.hop))
        hertz = np.fft.rfftfreq(self.size, 1.0 / rate)
        width = np.clip(_STRUCK_SHARE * hertz, *_STRUCK_HZ) * self.size / rate
        self._struck = np.maximum(1, np.round(width)).astype(np.int64)
        self._of_bass = _below(hertz, _BASS_HZ, 18.0)
        self._of_voice = _above(hertz, _VOICE_HZ[0], 18.0) * _below(hertz, _VOICE_HZ[1], 12.0)
        self._of_other = _above(hertz, _OTHER_HZ, 12.0)

    def split(self, sound: Floats) -> Floats:
        """The stems of a sound, shape (samples, 2), in the order of STEMS: (4, samples, 2).

        They add up to it everywhere. Within `context` of either end they are not what they would
        be if the sound went on there; those ends are for whoever cuts a long sound to throw away.
        """
        middle = (sound[:, 0] + sound[:, 1]) * np.float32(0.5)
        aside = (sound[:, 0] - sound[:, 1]) * np.float32(0.5)
        spectra = np.stack([self._spectra(middle), self._spectra(aside)])
        shares = self._shares(np.abs(spectra))
        stems = np.zeros((4, *sound.shape), np.float32)
        for stem in range(3):
            parts = [self._sound(spectra[c] * shares[c][stem], len(sound)) for c in range(2)]
            stems[stem, :, 0] = parts[0] + parts[1]
            stems[stem, :, 1] = parts[0] - parts[1]
        stems[3] = sound - stems[:3].sum(axis=0)
        return stems

    def _spectra(self, channel: Floats) -> Spectra:
        """Shape (times, frequencies)."""
        frames = np.lib.stride_tricks.sliding_window_view(channel, self.size)[:: self.hop]
        return np.fft.rfft(frames * self._window[:, 0]).astype(np.complex64, copy=False)

    def _sound(self, spectra: Spectra, samples: int) -> Floats:
        """Back again. The windows of all spectra that see a sample add up to one, squared."""
        pieces = np.fft.irfft(spectra, self.size).astype(np.float32, copy=False)
        pieces *= self._window[:, 0] * np.float32(2.0 / OVERLAPS)
        sound = np.zeros(samples, np.float32)
        for number, piece in enumerate(pieces):
            begin = number * self.hop
            sound[begin : begin + self.size] += piece
        return sound

    def _shares(self, sizes: Floats) -> list[Floats]:
        """What belongs to whom: for middle and aside, shape (4, times, frequencies)."""
        both = np.hypot(sizes[0], sizes[1])
        struck = np.empty_like(both)
        running_medians(both, self._struck, struck)
        # Through time, from here on: one row for each frequency.
        turned = np.ascontiguousarray(both.T)
        lasts = self._over_time(turned, self._lasting)
        voiced = self._over_time(turned, self._voiced)
        wavers = np.maximum(voiced - _VOICE_LASTS * lasts, 0.1 * voiced)
        # A source that is not in the middle is about as large in the difference as in the sum.
        powers = _of_three(sizes**2)
        wide = np.minimum(1.0, powers[1] / (powers[0] + _NOTHING))
        central = 1.0 - wide
        drums = _DRUMS * struck
        bass = lasts * self._of_bass
        voice = _VOICE * wavers * self._of_voice
        other = lasts * self._of_other
        return [
            _normed([drums, bass * (central + 0.05), voice * central,
                     other * (wide + _OTHER_IN_THE_MIDDLE * central)]),
            _normed([part * share for part, share in
                     zip((drums, bass, voice, other), _ASIDE, strict=True)]),
        ]  # fmt: skip

    def _over_time(self, turned: Floats, half: int) -> Floats:
        medians = np.empty_like(turned)
        running_medians(turned, np.full(turned.shape[1], half, np.int64), medians)
        return np.ascontiguousarray(medians.T)


def _normed(parts: list[Floats]) -> Floats:
    """Shares that add up to one, of what is to be expected of each."""
    shares = np.stack(parts).astype(np.float32, copy=False) + np.float32(_NOTHING)
    shares /= shares.sum(axis=0)
    return shares


def _of_three(powers: Floats) -> Floats:
    """The sum of each moment, the one before and the one after; shape (2, times, frequencies)."""
    summed = powers.copy()
    summed[:, 1:] += powers[:, :-1]
    summed[:, :-1] += powers[:, 1:]
    return summed


def _below(hertz: NDArray[np.float64], corner: float, slope: float) -> Floats:
    """1 below a corner, falling above it by so many dB an octave."""
    return (1.0 / (1.0 + (hertz / corner) ** (slope / 3.01))).astype(np.float32)


def _above(hertz: NDArray[np.float64], corner: float, slope: float) -> Floats:
    """1 above a corner, falling below it by so many dB an octave."""
    return (1.0 / (1.0 + (corner / np.maximum(hertz, 1e-3)) ** (slope / 3.01))).astype(np.float32)
