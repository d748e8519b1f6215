"""One deck: a track's four stems, locked to the musical timeline, and the knobs of a DJ's mixer.

The deck has no position of its own. Where its track should be heard follows from the beats of the
timeline, so two decks whose downbeats were put together stay together. It plays in its own key,
stretched, or where that cannot be (or is not wanted) as a record would: faster is higher.

    track -> stretch -> gain of each stem -> sum -> bands -> filters -> gain -> out
                                                                     echo -> out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from crowdstream.dsp import fades
from crowdstream.dsp.echo import Echo
from crowdstream.dsp.eq import FLAT, Tone
from crowdstream.music.bleed import FAST, kept_together
from crowdstream.music.timeline import QUANTUM
from crowdstream.player import stretch
from crowdstream.player.apart import Apart, scale, sum_stems
from crowdstream.player.source import CHANNELS, STEM_COUNT, TAPS, read, sinc_table
from crowdstream.player.stretch import AHEAD_QUANTA, JUMP_SECONDS, NO_JUMP, Stretcher

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.music.library import Track

Engine = Literal["rubberband", "hybrid", "varispeed"]
"""Everything in its key; all but the drums, which keep their attack instead; or as a record."""

KNOBS: Final = ("low", "mid", "high", "lowpass", "highpass", "echo", "gain")
"""Rows of a deck's table of knobs; the first five are those of `dsp.eq`."""

ECHO: Final = KNOBS.index("echo")
GAIN: Final = KNOBS.index("gain")
_AT_REST: Final = (*FLAT, 0.0, 1.0)

LOUDEST_BOOST_DB: Final = 6.0
"""A very quiet track is not raised further: what it has of noise would come up with it."""

_LOST_SECONDS: Final = 0.05
"""A track that is heard so far from its place is begun anew there."""


class Deck:
    """Plays one track at a time."""

    def __init__(
        self, rate: int, target_lufs: float, *, engine: Engine = "rubberband",
        ceiling_db: float = -1.0, apart: bool = False,
    ) -> None:  # fmt: skip
        """Empty. All memory for playing is taken here.

        Args:
            rate: samples a second.
            target_lufs: the loudness that every track is brought to.
            engine: how the tempo is changed; without Rubber Band always `varispeed`.
            ceiling_db: no track is raised above this true peak, where its own is known.
            apart: the stems can be had each on its own as well.
        """
        self.track: Track | None = None
        self.stems: NDArray[np.int16] | None = None
        self.offset = 0.0
        """Beat of the track's grid minus beat of the timeline, as the conductor counts."""

        self.nudge = 0.0
        """So many beats further on the track is read, so that its kicks fall on others'."""

        self.shift = 0.0
        """Semitones that the track is heard higher than it is."""

        self.fades = fades.constant_fades(STEM_COUNT)
        self.wanted = np.ones(STEM_COUNT)
        """Level that each stem goes to while it is heard, as a factor above 0."""

        self.gains = np.zeros(STEM_COUNT)
        """What is heard of each stem at the end of the last quantum, without the track's gain."""

        self.knobs = fades.constant_fades(len(KNOBS))
        self.stops_at = fades.NEVER
        """Beat of the timeline at which the deck is empty again."""

        self.engine: Engine = engine if stretch.HERE else "varispeed"
        drums = self.engine != "hybrid"
        self._stretcher = None if self.engine == "varispeed" else Stretcher(rate, drums=drums)
        self._begins = False
        """The track was loaded and nothing of it was played."""

        self._bleeds = False
        """Its stems were separated without a model: see `kept_together`."""

        self._rate = rate
        self._target_lufs = target_lufs
        self._ceiling_db = ceiling_db
        self._levels = np.ones(STEM_COUNT)
        self._before = np.zeros(STEM_COUNT)
        self._after = np.zeros(STEM_COUNT)
        self._knobs_before = np.array(_AT_REST)
        self._knobs_after = np.array(_AT_REST)
        self.scale = 1.0
        """Factor that brings the track to the loudness of all."""

        self._first = 0.0
        self._per_beat = 1.0
        self._read_offset = 0.0
        """`offset` as it is for what is read from the track: ahead of what is heard."""

        self._jump_at = -fades.NEVER
        self._jump_to = 0.0
        self._jump_beats = 0.0
        """JUMP_SECONDS in beats, at the tempo of the last quantum."""

        self._heard = fades.NEVER
        """Beat at the end of the last quantum."""

        self._step = 1.0
        self._places = np.zeros(AHEAD_QUANTA + 1)
        self._tone = Tone(rate)
        self._echo = Echo(rate)
        self._apart = Apart(rate) if apart else None
        self._sound = np.zeros((QUANTUM, 2), np.float32)
        self._rows = np.zeros((CHANNELS, QUANTUM), np.float32)
        self._audible = np.zeros(STEM_COUNT, np.bool_)
        self._table = sinc_table()
        self._taps = np.zeros(TAPS, np.float32)

    def load(
        self, track: Track, stems: NDArray[np.int16], offset: float, *, shift: float = 0.0,
        true_peak_db: float | None = None, nudge: float = 0.0,
    ) -> None:  # fmt: skip
        """Take a track, all stems silent; beat b of the timeline is its beat `b + offset`.

        Args:
            track: what it is.
            stems: how it sounds, shape (4, samples, 2).
            offset: in beats.
            shift: semitones up; `varispeed` leaves it out.
            true_peak_db: of all its stems together, when it is known and `track` does not say.
            nudge: beats that it is read ahead of its grid.
        """
        self.track, self.stems, self.offset, self.nudge = track, stems, offset, nudge
        self._read_offset = offset
        self._per_beat = 60.0 / track.bpm * self._rate
        self._first = track.first_beat_seconds * self._rate + nudge * self._per_beat
        trim_db = min(self._target_lufs - track.loudness_lufs, LOUDEST_BOOST_DB)
        if true_peak_db is not None:
            trim_db = min(trim_db, self._ceiling_db - true_peak_db)
        self.scale = float(10.0 ** (trim_db / 20.0))
        self.fades[:] = fades.constant_fades(STEM_COUNT)
        self._levels[:] = self.wanted
        self.gains[:] = self._before[:] = self._after[:] = 0.0
        for knob, rest in enumerate(_AT_REST):
            self.knobs[knob] = fades.constant_fades(1, rest)[0]
            self._knobs_before[knob] = self._knobs_after[knob] = rest
        self._tone.reset()
        if self._apart is not None:
            self._apart.reset()
        self.stops_at = self._jump_at = -fades.NEVER
        self.shift, self._step = shift, 2.0 ** (shift / 12.0)
        self._bleeds = track.separation == FAST
        self._begins = True

    def empty(self) -> None:
        """Let go of the track; its echo rings on."""
        self.track = self.stems = None
        self.gains[:] = 0.0

    def fade(self, stem: int, to: float, start: float, end: float, law: int, now: float) -> None:
        """Move a stem to the factor `to` between two beats of the timeline.

        A fade that is still under way at `now` is taken over where it is, so nothing jumps.
        """
        _move(self.fades[stem], to, start, end, law, now)

    def sweep(self, knob: int, to: float, start: float, end: float, now: float) -> None:
        """Move a knob, a row of KNOBS, between two beats of the timeline, as a fade does.

        Of two decks that hand over a band, the factors add up to 1.
        """
        _move(self.knobs[knob], min(max(to, 0.0), 1.0), start, end, fades.GAIN, now)

    def will_be(self, beat: float) -> tuple[NDArray[np.float64], tuple[float, ...]]:
        """Factor of each stem, the track's own included, and the knobs, at a later beat.

        As far as orders have come, with the levels of now.
        """
        gains = np.array([fades.fade(beat, *row) for row in self.fades])
        knobs = tuple(float(fades.fade(beat, *row)) for row in self.knobs)
        return gains * self._levels * self.scale, knobs

    def jump(self, offset: float, beat: float) -> None:
        """From `beat` of the timeline on go on elsewhere: its beat b is the track's `b + offset`.

        Should be told a tenth of a second before. Stems and knobs stay as they are.
        """
        # Too late for the line: as soon as it can be without a click.
        self._jump_to, self._jump_at = offset, max(beat, self._heard + self._jump_beats)
        if self._stretcher is not None and not self._begins:
            self._stretcher.jump(*self._jump())

    def _jump(self) -> tuple[float, float]:
        """Where in the source something else is read, and how much further on."""
        at = self._first + (self._jump_at + self._read_offset) * self._per_beat
        return at, (self._jump_to - self._read_offset) * self._per_beat

    def render(
        self, begin: float, end: float, most_db: float, out: NDArray[np.float32],
        ahead: NDArray[np.float64] | None = None, apart: NDArray[np.float32] | None = None,
    ) -> None:  # fmt: skip
        """Add the quantum between two beats of the timeline to `out`, shape (QUANTUM, 2).

        Levels move by at most `most_db`. `ahead` are the beats at the ends of the AHEAD_QUANTA - 1
        quanta after this one; without it the tempo is taken to stay as it is. A deck that was made
        for it adds its stems to `apart` too, shape (4, QUANTUM, 2).
        Realtime-safe: yes, as far as `Stretcher.play` is
        """
        stems = self.stems
        per_beat = QUANTUM / (end - begin)
        if stems is None:
            if self._echo.rings:
                if self._apart is not None and apart is not None:
                    self._apart.ring_on(per_beat, apart)
                self._sound.fill(0.0)
                self._echo.repeat(self._sound, 0.0, 0.0, per_beat, out)
            return
        self._move_gains(end, most_db)
        rows, column = (
            self._varispeed(stems, begin, end)
            if self._stretcher is None
            else self._stretched(self._stretcher, stems, begin, end, ahead)
        )
        if self._apart is not None and apart is not None:
            self._apart.render(
                rows, column, self._before, self._after, self._knobs_before, self._knobs_after,
                GAIN, ECHO, per_beat, apart,
            )  # fmt: skip
        sum_stems(rows, column, self._before, self._after, self._sound)
        self._tone.shape(self._sound, self._knobs_before, self._knobs_after)
        if self._knobs_before[GAIN] != 1.0 or self._knobs_after[GAIN] != 1.0:
            scale(self._sound, self._knobs_before[GAIN], self._knobs_after[GAIN])
        np.add(out, self._sound, out=out)
        self._echo.repeat(
            self._sound, float(self._knobs_before[ECHO]), float(self._knobs_after[ECHO]),
            per_beat, out,
        )  # fmt: skip
        self._heard, self._jump_beats = end, JUMP_SECONDS * self._rate / per_beat
        if end >= self._jump_at:
            self.offset, self._jump_at = self._jump_to, -fades.NEVER
        if end >= self.stops_at:
            self.empty()

    def _move_gains(self, end: float, most_db: float) -> None:
        """Stems and knobs as they are at `end`."""
        self._before[:] = self._after
        fades.follow(end, self.fades, self._levels, self.wanted, most_db, 1.0, self.gains)
        if self._bleeds:
            for stem, gain in enumerate(kept_together(tuple(self.gains.tolist()))):
                self.gains[stem] = gain
        np.multiply(self.gains, self.scale, out=self._after)
        self._knobs_before[:] = self._knobs_after
        fades.fade_all(end, self.knobs, self._knobs_after)
        # What is told of a stem is what is heard of it.
        np.multiply(self.gains, self._knobs_after[GAIN], out=self.gains)

    def _stretched(
        self, stretcher: Stretcher, stems: NDArray[np.int16], begin: float, end: float,
        ahead: NDArray[np.float64] | None,
    ) -> tuple[NDArray[np.float32], int]:  # fmt: skip
        """The stems in their own key, and the column at which they begin."""
        if stretcher.has_jumped():
            self._read_offset = self._jump_to
        places = self._places
        places[0], places[1] = begin, end
        if ahead is None:
            for quantum in range(2, AHEAD_QUANTA + 1):
                places[quantum] = begin + quantum * (end - begin)
        else:
            places[2:] = ahead
        soon = float(places[AHEAD_QUANTA])
        np.add(places, self._read_offset, out=places)
        np.multiply(places, self._per_beat, out=places)
        np.add(places, self._first, out=places)
        lost = abs(stretcher.off(places, QUANTUM)) > _LOST_SECONDS * self._rate
        if self._begins or lost:
            heard = lost or any(fades.fade(soon, *row) > 0.0 for row in self.fades)
            stretcher.first, stretcher.per_beat = self._first, self._per_beat
            stretcher.start(places, QUANTUM, self._step, at_once=heard)
            self._begins = False
            if self._jump_at < -fades.NEVER:
                stretcher.jump(*self._jump())
        rows, column = stretcher.play(stems, places, QUANTUM)
        if self.engine == "hybrid":
            self._audible[1:] = False
            self._audible[0] = self._before[0] > 0.0 or self._after[0] > 0.0
            self._read_quantum(stems, begin, end)
            rows[:2, column : column + QUANTUM] = self._rows[:2]
        return rows, column

    def _varispeed(
        self, stems: NDArray[np.int16], begin: float, end: float
    ) -> tuple[NDArray[np.float32], int]:
        """The stems as fast as they should be, and as high."""
        self._begins = False
        np.logical_or(self._before > 0.0, self._after > 0.0, out=self._audible)
        self._read_quantum(stems, begin, end)
        return self._rows, 0

    def _read_quantum(self, stems: NDArray[np.int16], begin: float, end: float) -> None:
        """What is audible, like a record, into the rows."""
        position = self._first + (begin + self.offset) * self._per_beat
        step = (end - begin) * self._per_beat / QUANTUM
        at, by = NO_JUMP, 0.0
        if self._jump_at < -fades.NEVER:
            at = self._first + (self._jump_at + self.offset) * self._per_beat
            by = (self._jump_to - self.offset) * self._per_beat
        read(
            stems, position, step, QUANTUM, at, by, JUMP_SECONDS * self._rate, self._audible,
            self._table, self._taps, self._rows,
        )  # fmt: skip


def _move(
    row: NDArray[np.float64], to: float, start: float, end: float, law: int, now: float
) -> None:
    """Put a fade into a row of a table, from where the row is at `now`."""
    if row[fades.END] > now:
        start = min(start, now)
    row[fades.FROM] = fades.fade(max(start, now), *row)
    row[fades.START], row[fades.END] = max(start, now), max(end, now)
    row[fades.TO], row[fades.LAW] = to, law
