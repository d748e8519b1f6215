"""What the player does to the music: where beats are heard, what it costs, what it leaves whole."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.dsp.fades import GAIN, POWER
from crowdstream.dsp.limiter import Limiter
from crowdstream.music.library import load_stems, read_library
from crowdstream.music.timeline import QUANTUM
from crowdstream.offline.bench import Row, Say, row
from crowdstream.offline.bench_blends import blend_rows
from crowdstream.offline.bench_card import card_rows
from crowdstream.offline.bench_kicks import kick_rows
from crowdstream.offline.bench_live import player_memory_rows
from crowdstream.packets import Mix
from crowdstream.player.deck import KNOBS, Deck, Engine
from crowdstream.player.journal import MixJournal
from crowdstream.player.mixer import Mixer, Rules
from crowdstream.testing.music import SHORT_FORM, a_track, clicks, write_clicks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from crowdstream.music.library import Track

RATE: Final = 44100
TRANSITIONS: Final = 20
LONGEST_SECONDS: Final = 900.0
SLOW_BPM: Final = 105.0
FAST_BPM: Final = 130.0
SWEEP_SECONDS: Final = 360.0
"""From slow to fast and back."""

SKIP_SECONDS: Final = 24.0
"""So often a next track is asked for."""

_NEAR: Final = 300
"""Samples around a beat in which its click is looked for."""

_HEARD: Final = 0.02
"""Of full scale: a click below this is not timed."""


def player(say: Say) -> list[Row]:
    """All rows of `crowdstream bench player`."""
    say("two decks, all knobs moving…")
    rows = _cost()
    say("a tempo that swings…")
    rows += _swing()
    say("knobs, loops and cuts under a tone…")
    rows += _corners()
    say(f"{TRANSITIONS} transitions while the tempo sweeps…")
    rows += _transitions()
    rows += kick_rows(say)
    rows += blend_rows(say)
    say("the built-in music from track to track…")
    return rows + _limiter() + player_memory_rows(say) + card_rows(say)


def _cost() -> list[Row]:
    """Of a core, in the time of this process: neighbours on the machine do not count."""
    rows = []
    shares: dict[Engine, float] = {}
    for engine in ("varispeed", "rubberband"):
        decks = [_deck(_tone(220.0), engine) for _ in range(2)]
        limiter = Limiter(RATE, -1.0)
        beats = _beats(np.full(1200, 123.0))
        sound, out = (np.zeros((QUANTUM, 2), np.float32) for _ in range(2))
        for deck in decks:
            for knob in ("low", "lowpass", "highpass", "echo"):
                deck.sweep(KNOBS.index(knob), 0.5, 4.0, 12.0, 3.0)
        taken = np.zeros(len(beats) - 1)
        began = time.process_time()
        for quantum in range(len(taken)):
            at = time.process_time()
            sound.fill(0.0)
            for deck in decks:
                deck.render(beats[quantum], beats[quantum + 1], 1.0, sound)
            limiter.limit(sound, out)
            taken[quantum] = time.process_time() - at
        shares[engine] = (time.process_time() - began) / (len(taken) * QUANTUM / RATE)
    share, record = shares["rubberband"], shares["varispeed"]
    quantum_ms = QUANTUM / RATE * 1e3
    rows.append(
        row(
            "two_decks", "4 stems each, all knobs, limiter", 100.0 * share, "% of a core",
            rival="sinc varispeed, no key lock", rival_value=100.0 * record, goal=30.0,
            met=share < 0.30,
        )
    )  # fmt: skip
    worst = float(np.percentile(taken, 99)) * 1e3
    rows.append(
        row("quantum_p99", f"processor time of {quantum_ms:.2f} ms", worst, "ms", goal=quantum_ms,
            met=worst < quantum_ms)
    )  # fmt: skip
    return rows


def _swing() -> list[Row]:
    """8 % to and fro in 6 s: where the clicks of a track are heard, and how high its tone is."""
    seconds = np.arange(int(30 * RATE / QUANTUM)) * QUANTUM / RATE
    beats = _beats(120.0 * (1.0 + 0.04 * np.sin(2 * np.pi * seconds / 6.0)))
    track = a_track(form=SHORT_FORM)
    sound = _played(_deck(clicks(track), "rubberband"), beats)
    whole = np.arange(np.ceil(beats[0] + 1.0), np.floor(beats[-1]) - 1.0)
    places = np.interp(whole, beats, np.arange(len(beats)) * QUANTUM)
    off = np.array([_off_ms(sound, at) for at in places])
    p95, most = float(np.nanpercentile(np.abs(off), 95)), float(np.nanmax(np.abs(off)))
    tone = _played(_deck(_tone(440.0), "rubberband"), beats)
    size = RATE
    cents = max(
        abs(_cents(tone[begin : begin + size], 440.0))
        for begin in range(8192, len(tone) - size, size)
    )
    return [
        row("swing_position_p95", "8 % in 6 s, clicks", p95, "ms", goal=1.0, met=p95 <= 1.0),
        row("swing_position_most", "8 % in 6 s, clicks", most, "ms", goal=3.0, met=most <= 3.0),
        row(
            "swing_pitch",
            "8 % in 6 s, 440 Hz, every second",
            cents,
            "cents",
            goal=5.0,
            met=cents <= 5.0,
        ),
    ]


def _corners() -> list[Row]:
    """The largest second difference of a tone that is stretched, beside the track's.

    And while more is done to it, beside that of the same tone left alone.
    """
    hz = 400.0
    beats = _beats(np.full(1600, 123.0))
    stems = _tone(hz)

    def sharpest(sound: NDArray[np.float64]) -> float:
        return float(np.abs(np.diff(sound, 2)).max())

    def played(do: Callable[[Deck], None]) -> float:
        deck = _deck(stems, "rubberband")
        do(deck)
        return sharpest(_played(deck, beats)[8192:])

    def kill(deck: Deck) -> None:
        for begin in (8.0, 12.0):
            deck.sweep(KNOBS.index("low"), 0.0, begin, begin, 4.0)
            deck.sweep(KNOBS.index("mid"), 0.5, begin + 1.0, begin + 1.2, 4.0)

    def filters(deck: Deck) -> None:
        deck.sweep(KNOBS.index("lowpass"), 0.0, 6.0, 10.0, 4.0)
        deck.sweep(KNOBS.index("highpass"), 1.0, 10.0, 14.0, 4.0)

    deeds: dict[str, Callable[[Deck], None]] = {
        "loop": lambda deck: deck.jump(-4.0, 8.0),
        "kill": kill,
        "filters": filters,
        "fade": lambda deck: deck.fade(0, 0.0, 8.0, 8.5, GAIN, 4.0),
    }
    alone = played(lambda _: None)
    share = alone / sharpest(stems[0, :, 0] / 32768.0)
    # A thousandth is what rows are rounded to.
    rows = [
        row("sharpest_corner", f"{hz:g} Hz, stretched", share, "x the track's",
            goal=1.0, met=share < 1.0005)
    ]  # fmt: skip
    for what, do in deeds.items():
        share = played(do) / alone
        rows.append(
            row("sharpest_corner", f"{hz:g} Hz, {what}", share, "x left alone", goal=1.0,
                met=share < 1.0005)
        )  # fmt: skip
    return rows


def _transitions() -> list[Row]:
    """Clicks of both decks against the timeline's beats, measured in the mix."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        bpms = np.linspace(SLOW_BPM + 1.0, FAST_BPM - 1.0, 8)
        write_clicks(
            folder,
            [
                a_track(f"clicks-{k}", bpm=round(float(bpm), 2), form=SHORT_FORM,
                        first_beat_seconds=0.03 + 0.007 * k)
                for k, bpm in enumerate(bpms)
            ],
        )  # fmt: skip
        tracks, _ = read_library(folder)
        sides = {track.id: k % 2 for k, track in enumerate(tracks)}
        stems = {
            track.id: _on_one_side(load_stems(track, RATE), sides[track.id]) for track in tracks
        }
        mixer = Mixer(
            tracks, lambda track: stems[track.id], rate=RATE,
            rules=Rules(
                slope_up=1.0, slope_down=1.0, turn_bars=0, bars_per_track=16, fade_in_seconds=0.0,
                programme_bpm=SLOW_BPM + 1.0,
            ),
        )  # fmt: skip
        return _time_transitions(mixer, sides)


def _time_transitions(mixer: Mixer, sides: dict[str, int]) -> list[Row]:
    out = np.zeros((QUANTUM, 2), np.float32)
    recent = np.zeros((RATE * 4 // QUANTUM * QUANTUM, 2))
    apart, beside, count, beat = [], [], 0, 1
    journal = MixJournal()
    clicks_at: tuple[list[float], list[float]] = ([], [])
    low = high = mixer.timeline.bpm
    began = time.process_time()
    while count < TRANSITIONS and mixer.position < LONGEST_SECONDS * RATE:
        now = mixer.position / RATE
        if mixer.position % (16 * QUANTUM) == 0:
            mixer.take(_wish(now), sample=mixer.position)
        mixer.render(out)
        journal.follow(mixer)
        recent[:-QUANTUM] = recent[QUANTUM:]
        recent[-QUANTUM:] = out
        low, high = min(low, mixer.timeline.bpm), max(high, mixer.timeline.bpm)
        count += sum(event.event == "transition" for event in mixer.events())
        at = mixer.timeline.sample_at(beat)
        if mixer.position < at + 2 * _NEAR:
            continue
        place = at - (mixer.position - len(recent))
        offs = [_off_ms(recent[:, side], place) for side in range(2)]
        apart += [abs(off) for off in offs if np.isfinite(off)]
        for side, off in enumerate(offs):
            if np.isfinite(off):
                clicks_at[side].append(at + off * RATE / 1e3)
        heard = {sides[track_id] for _, track_id, _ in mixer.heard()}
        if len(heard) == 2 and np.isfinite(offs).all():
            beside.append(abs(offs[0] - offs[1]))
        beat += 1
    speed = mixer.position / RATE / (time.process_time() - began)
    case = f"{count} transitions, {low:.0f} to {high:.0f} BPM"
    rows = [
        row("offline_speed", "clicks, measuring included", speed, "x", goal=3.0, met=speed > 3.0)
    ]
    told = _beside_the_journal(journal, sides, clicks_at)
    for what, found in (
        ("beat_to_timeline", apart), ("deck_to_deck", beside), ("beat_to_journal", told),
    ):  # fmt: skip
        p95, most = float(np.percentile(found, 95)), max(found)
        rows += [
            row(f"{what}_p95", case, p95, "ms", goal=1.0, met=p95 <= 1.0),
            row(f"{what}_most", f"of {len(found)}", most, "ms", goal=3.0, met=most <= 3.0),
        ]
    return rows


def _beside_the_journal(
    journal: MixJournal, sides: dict[str, int], clicks_at: tuple[list[float], list[float]]
) -> list[float]:
    """Milliseconds from each click to the nearest beat that MIX.json has of that side's tracks."""
    told: tuple[list[float], list[float]] = ([], [])
    for deck in journal.summary(rate=RATE, frames=2**62)["decks"]:
        told[sides[deck["track"]]].extend(sample for _, sample in deck["beats"])
    found = []
    for heard, beats in zip(clicks_at, told, strict=True):
        if heard and beats:
            off = np.abs(np.subtract.outer(np.array(heard), np.array(beats))).min(axis=1)
            found += (off / RATE * 1e3).tolist()
    return found


def _limiter() -> list[Row]:
    """The most that the limiter takes away in transitions of the built-in music, and the peak."""
    from crowdstream.config import Config, places_of
    from crowdstream.music.compose import builtin_library

    tracks = builtin_library(places_of(Config()).cache / "music")
    stems: dict[str, NDArray[np.int16]] = {}

    def load(track: Track) -> NDArray[np.int16]:
        if track.id not in stems:
            if len(stems) > 2:
                del stems[next(iter(stems))]
            stems[track.id] = load_stems(track, RATE)
        return stems[track.id]

    mixer = Mixer(tracks, load, rate=RATE, rules=Rules(bars_per_track=16, programme_drive=0.8))
    out = np.zeros((QUANTUM, 2), np.float32)
    least, peak = 0.0, 0.0
    while mixer.position < 90 * RATE:
        if mixer.position % (16 * QUANTUM) == 0:
            mixer.take(_wish(mixer.position / RATE), sample=mixer.position)
            playing = mixer.playing()
            least, peak = min(least, playing.limiter_db), max(peak, playing.peak)
        mixer.render(out)
    count = sum(event.event == "transition" for event in mixer.events())
    case = f"built-in music, {count} transitions"
    return [
        row("limiter_work", case, -least, "dB", goal=2.0, met=least > -2.0),
        row("peak", case, 20.0 * float(np.log10(max(peak, 1e-9))), "dBFS", goal=-1.0,
            met=peak <= 10.0 ** (-1.0 / 20.0)),
    ]  # fmt: skip


def _wish(now: float) -> Mix:
    """The tempo goes from slow to fast and back; a next track is asked for again and again."""
    share = 0.5 - 0.5 * np.cos(2.0 * np.pi * now / SWEEP_SECONDS)
    return Mix(
        seq=0, captured_at=now - 0.1, at=now, drive=0.7, confidence=1.0,
        bpm=float(SLOW_BPM + (FAST_BPM - SLOW_BPM) * share), gains=(1.0, 1.0, 1.0, 1.0),
        skip=int(now // SKIP_SECONDS),
    )  # fmt: skip


def _on_one_side(stems: NDArray[np.int16], side: int) -> NDArray[np.int16]:
    """Only its clicks, to the left or to the right: both decks can be timed while both sound."""
    alone = np.zeros_like(stems)
    alone[0, :, side] = stems[0, :, side]
    return alone


def _deck(stems: NDArray[np.int16], engine: Engine) -> Deck:
    deck = Deck(RATE, -14.0, engine=engine)
    deck.load(a_track(form=SHORT_FORM), stems, 0.0)
    for stem in range(4):
        deck.fade(stem, 1.0, 3.0, 3.0, POWER, 3.0)
    return deck


def _tone(hz: float) -> NDArray[np.int16]:
    """On one stem, a quarter of full scale, for a track of SHORT_FORM."""
    seconds = np.arange(int(a_track(form=SHORT_FORM).seconds * RATE)) / RATE
    stems = np.zeros((4, len(seconds), 2), np.int16)
    stems[0] = np.rint(8192 * np.sin(2 * np.pi * hz * seconds))[:, np.newaxis]
    return stems


def _beats(bpms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Beats at the ends of quanta with these tempos, from beat 4 on."""
    return np.concatenate([[4.0], 4.0 + np.cumsum(bpms * (QUANTUM / 60.0 / RATE))])


def _played(deck: Deck, beats: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The left side of what a deck plays."""
    out = np.zeros((len(beats) - 1, QUANTUM, 2), np.float32)
    for quantum in range(len(out)):
        deck.render(float(beats[quantum]), float(beats[quantum + 1]), 1.0, out[quantum])
    return out.reshape(-1, 2)[:, 0].astype(np.float64)


def _off_ms(sound: NDArray[np.float64], at: float) -> float:
    """How far the middle of a click lies from `at`; NaN where none is heard."""
    around = np.arange(int(at) - _NEAR, int(at) + _NEAR)
    around = around[(around >= 0) & (around < len(sound))]
    energy = sound[around] ** 2
    if len(around) == 0 or energy.max() < _HEARD**2:
        return float("nan")
    return float((around * energy).sum() / energy.sum() - at) / RATE * 1e3


def _cents(sound: NDArray[np.float64], hz: float) -> float:
    size = 1 << 20
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))
    return float(1200.0 * np.log2(spectrum.argmax() * RATE / size / hz))
