"""Kick against kick: of real drums on both decks, how far apart they sound in transitions.

Each track's grid is told a little wrong, as grids are. Both decks are recorded apart, drums alone
and with no knob touched. How far apart two kicks are, the envelopes of the kick's band say: how
far one must be moved until both are most alike. Beside that each kick is timed alone, by when a
share of its energy has passed; a stretched kick's body swells otherwise each time, though its
attack is where it should be, so that says more of the stretching than of the mixing.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.config import Config, places_of
from crowdstream.dsp.kicks import RATE as ENVELOPE_RATE
from crowdstream.dsp.kicks import size_of_band
from crowdstream.music.compose import builtin_library
from crowdstream.music.library import load_stems
from crowdstream.music.timeline import QUANTUM
from crowdstream.offline.bench import Row, Say, row
from crowdstream.packets import Mix
from crowdstream.player.deck import Deck
from crowdstream.player.mixer import Mixer, Rules
from crowdstream.testing.music import a_track
from crowdstream.testing.tunes import STYLES, make_tune

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from crowdstream.music.library import Track

    Stems = NDArray[np.int16]

RATE: Final = 44100
GOAL_MS: Final = 5.0
TRANSITIONS: Final = 8
KICKING: Final = ("house", "only kick", "offbeat bass", "four on the floor", "rock")
MOST_SECONDS: Final = 0.04
"""Kicks that lie further apart are not taken for a pair."""

LISTENS_SECONDS: Final = 0.2
"""After each beat, until its kicks are compared."""

OFF_SECONDS: Final = 0.014
"""Grids are told wrong by up to so much."""

_PASSED: Final = 0.15
# Of a kick's energy: then it has begun.

_STEADY: Final = 0.8


def kick_rows(say: Say) -> list[Row]:
    """Shares of kicks within 5 ms, with the built-in music and with made tunes."""
    rows = []
    say("kick against kick, the built-in music…")
    tracks = builtin_library(places_of(Config()).cache / "music")
    rows += _rows("built-in music", tracks, lambda track: load_stems(track, RATE))
    say("kick against kick, made tunes whose grids are off…")
    made = _tunes()
    rows += _rows("made tunes, grids off by 14 ms", [t for t, _ in made.values()],
                  lambda track: made[track.id][1])  # fmt: skip
    return rows


def _tunes() -> dict[str, tuple[Track, Stems]]:
    rng = np.random.default_rng(4)
    made = {}
    for number, name in enumerate(KICKING):
        bpm = 114.0 + 3.0 * number
        style = dataclasses.replace(STYLES[name], form=(("intro", 8), ("groove", 32), ("outro", 8)))
        tune = make_tune(style, bpm, lead_seconds=0.2, seed=number)
        stems = np.rint(np.clip(tune.stems, -1.0, 1.0) * 32767).astype(np.int16)
        track = a_track(
            name, bpm=bpm, form=(("intro", 8), ("groove", 32), ("outro", 8)),
            first_beat_seconds=0.2 + float(rng.uniform(-OFF_SECONDS, OFF_SECONDS)),
        )  # fmt: skip
        made[name] = (track, stems)
    return made


def _rows(case: str, tracks: Sequence[Track], load: Callable[[Track], Stems]) -> list[Row]:
    both, alone = np.abs(_apart(tracks, load))
    if not len(both):
        return [row("kicks_within_5_ms", case, 0.0, "share", goal=0.95, met=False)]
    within = float(np.mean(both <= GOAL_MS))
    case = f"{case}, {len(both)} pairs"
    return [
        row("kicks_within_5_ms", case, within, "share", goal=0.95, met=within >= 0.95),
        row("kick_to_kick_p95", case, float(np.quantile(both, 0.95)), "ms"),
        row("kick_to_kick_most", case, float(both.max()), "ms"),
        row("kicks_timed_alone_within_5_ms", case, float(np.mean(alone <= GOAL_MS)), "share"),
        row("kicks_timed_alone_p95", case, float(np.quantile(alone, 0.95)), "ms"),
    ]


def _apart(tracks: Sequence[Track], load: Callable[[Track], Stems]) -> NDArray[np.float64]:
    """Milliseconds from the kick of one deck to the other's, for each beat both have one.

    Shape (2, kicks): by both bands together, and by each kick alone.
    """
    kept: dict[str, Stems] = {}

    def drums(track: Track) -> Stems:
        if track.id not in kept:
            if len(kept) > 3:
                del kept[next(iter(kept))]
            whole = load(track)
            kept[track.id] = np.zeros_like(whole)
            kept[track.id][0] = whole[0]
        return kept[track.id]

    mixer = Mixer(tracks, drums, rate=RATE, rules=Rules(bars_per_track=16, fade_in_seconds=0.0))
    ears = [_Ear(deck) for deck in mixer._decks]
    out = np.zeros((QUANTUM, 2), np.float32)
    apart: list[tuple[float, float]] = []
    transitions, beat = 0, 1
    while transitions < TRANSITIONS and mixer.position < 240 * RATE:
        if mixer.position % (16 * QUANTUM) == 0:
            mixer.take(_wish(mixer.position / RATE), sample=mixer.position)
        mixer.render(out)
        transitions += sum(event.event == "transition" for event in mixer.events())
        at = mixer.timeline.sample_at(beat)
        if mixer.position < at + LISTENS_SECONDS * RATE:
            continue
        beat += 1
        if len(mixer.heard()) == 2:
            place = round(at) - (mixer.position - len(ears[0].sound))
            first, second = (ear.kick(place) for ear in ears)
            if first is not None and second is not None:
                together = _lag(*(ear.envelope(place) for ear in ears))
                apart.append((1e3 * together, (first - second) / RATE * 1e3))
    return np.array(apart).reshape(-1, 2).T


def _lag(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """By how many seconds the one comes after the other, where both are most alike."""
    alike = np.correlate(first - first.mean(), second - second.mean(), "full")
    middle, most = len(second) - 1, round(MOST_SECONDS * ENVELOPE_RATE)
    near = alike[middle - most : middle + most + 1]
    top = int(near.argmax())
    aside = 0.0
    if 0 < top < len(near) - 1:
        before, here, after = near[top - 1 : top + 2]
        aside = float(0.5 * (before - after) / (before - 2.0 * here + after))
    return (top - most + aside) / ENVELOPE_RATE


class _Ear:
    """The last second of one deck, with no knob touched."""

    def __init__(self, deck: Deck) -> None:
        self.sound = np.zeros(RATE // QUANTUM * QUANTUM)
        self._gains = np.zeros(RATE // QUANTUM)
        self._deck = deck
        self._render = deck.render
        deck.render, deck.sweep = self.render, self.sweep  # type: ignore[method-assign]

    def render(
        self, begin: float, end: float, most_db: float, out: NDArray[np.float32],
        ahead: NDArray[np.float64] | None = None, apart: NDArray[np.float32] | None = None,
    ) -> None:  # fmt: skip
        """As the deck does, and listen."""
        alone = np.zeros_like(out)
        self._render(begin, end, most_db, alone, ahead, apart)
        out += alone
        self.sound[:-QUANTUM] = self.sound[QUANTUM:]
        self.sound[-QUANTUM:] = alone[:, 0]
        self._gains[:-1] = self._gains[1:]
        self._gains[-1] = self._deck.gains[0]

    def sweep(self, knob: int, to: float, start: float, end: float, now: float) -> None:
        """Nobody touches a knob: bands and filters give a kick another shape."""

    def envelope(self, place: int) -> NDArray[np.float64]:
        """Of the kick's band, from before a place to where its kick has died away."""
        whole = np.zeros(RATE)
        whole[: len(self.sound)] = self.sound
        at = round(place / RATE * ENVELOPE_RATE)
        before, after = round(0.06 * ENVELOPE_RATE), round(LISTENS_SECONDS * ENVELOPE_RATE)
        return size_of_band(whole, RATE)[at - before : at + after]

    def kick(self, place: int) -> float | None:
        """The sample, from `place` on, at which the kick near it has begun; None without one."""
        before, after = round(0.05 * RATE), round(0.1 * RATE)
        gains = self._gains[(place - before) // QUANTUM : (place + after) // QUANTUM + 1]
        if not len(gains) or gains.min() < _STEADY * gains.max():
            return None  # it comes or goes: its shape is not its own
        around = self.sound[max(0, place - before - 600) : place + after]
        low = around
        for _ in range(3):
            low = np.convolve(low, np.ones(132) / 132.0, "same")
        low = low[600:]
        energy = np.cumsum(np.square(low))
        if len(energy) < before + after or energy[-1] < 1.0:
            return None
        if energy[before // 3] > 0.1 * energy[-1]:
            return None  # something goes on from before
        return float(np.searchsorted(energy, _PASSED * energy[-1]) - before)


def _wish(now: float) -> Mix:
    share = 0.5 - 0.5 * np.cos(2.0 * np.pi * now / 300.0)
    return Mix(
        seq=0, captured_at=now - 0.1, at=now, drive=0.7, confidence=1.0,
        bpm=float(114.0 + 12.0 * share), gains=(1.0, 1.0, 1.0, 1.0), skip=int(now // 24.0),
    )  # fmt: skip
