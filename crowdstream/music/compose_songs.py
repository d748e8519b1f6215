"""The five built-in songs, as a musician would write them down.

Rhythms are strings of sixteenths, one or two bars long: a digit is a stroke (9 the hardest), a
dot is none. A bass line says which note instead: `r` root, `f` fifth, `o` octave, `s` seventh,
`d` the fifth below, `n` a step towards the next chord; capitals are accents, `-` holds on.
Melodies are words like `A4:1.5:ah`: note, beats, vowel; `_:2` is two beats of rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

ARTIST: Final = "crowdstream"

PHRASE_BARS: Final = 8

FORM: Final = (("intro", 2), ("groove", 2), ("break", 1), ("build", 1), ("drop", 2), ("outro", 2))
"""The sections of every song and their length in phrases: 80 bars."""

BARS: Final = PHRASE_BARS * sum(phrases for _, phrases in FORM)


@dataclass(frozen=True, slots=True)
class Chord:
    """A bass note and what stands above it, as MIDI notes."""

    root: int
    notes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """One sung note. `vowel` glides to the next note's when there is no rest between."""

    beat: float
    beats: float
    midi: int
    vowel: str


@dataclass(frozen=True, slots=True)
class Kick:
    """A kick drum: the pitch it ends on, how far and how fast it falls, how long it lives."""

    hz: float
    fall: float = 5.0
    settle: float = 0.022
    decay: float = 0.20
    click: float = 0.3


@dataclass(frozen=True, slots=True)
class Bass:
    """A bass: filter in Hz, its envelope, and how much of each wave."""

    cutoff: float
    sweep: float
    decay: float
    square: float = 0.0
    sub: float = 0.6
    drive: float = 1.5
    sustain: float = 0.6


@dataclass(frozen=True, slots=True)
class Song:
    """One song: everything that is not common to all."""

    id: str
    title: str
    bpm: float
    key: str
    """Camelot."""

    scale: tuple[int, ...]
    """Pitch classes of the key."""

    chords: tuple[Chord, ...]
    """One for each bar of a phrase."""

    swing: float
    """How late every second sixteenth is, as a share of a sixteenth."""

    kick: Kick
    drums: dict[str, str]
    """Instrument -> rhythm. `snare` or `clap` carries the backbeat."""

    fills: tuple[str, str]
    """Two last bars of a phrase, as toms (`1` low to `4` high), `s` snare, `c` clap."""

    bass: Bass
    bass_line: tuple[str, ...]
    bass_drop: tuple[str, ...]
    keys: str
    """Instrument of the chords: `epiano`, `stab`, `piano` or `organ`."""

    keys_rhythm: str
    arp: str
    """Instrument of the arpeggio: `marimba`, `pluck`, `muted` or `bell`."""

    arp_notes: str
    """Sixteenths: a digit is the chord's note, counted from the lowest; dots are rests."""

    pad_hz: float
    """How bright the pads are."""

    voice: str
    """`tenor`, `alto` or `soprano`."""

    melody: tuple[str, str, str, str]
    """Call, answer, call, answer: two bars each."""

    echo_beats: float
    """The delay of voice and plucks."""

    reverb_seconds: float
    stop_beats: float = 0.0
    """A written silence before the drop."""

    mix: dict[str, float] = field(default_factory=dict)
    """dB for single instruments, where this song wants them otherwise."""


NAMES: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def midi(name: str) -> int:
    """MIDI number of a note such as `F#4` (C4 = 60)."""
    return NAMES[name[0]] + name.count("#") - name.count("b") + 12 * (int(name[-1]) + 1)


def melody(line: str) -> list[Note]:
    """The notes of a written melody."""
    notes: list[Note] = []
    beat = 0.0
    for word in line.split():
        name, beats, *vowel = word.split(":")
        if name != "_":
            notes.append(Note(beat, float(beats), midi(name), vowel[0]))
        beat += float(beats)
    if beat != 8.0:
        raise ValueError(f"a melody of {beat} beats is not two bars: {line}")
    return notes


def _chords(*written: str, each: int = 1) -> tuple[Chord, ...]:
    """Chords as `A1 A3 C4 E4 G4`, each for so many bars, repeated to fill a phrase."""
    chords = [Chord(midi(w.split()[0]), tuple(map(midi, w.split()[1:]))) for w in written]
    cycle = [chord for chord in chords for _ in range(each)]
    return tuple(cycle * (PHRASE_BARS // len(cycle)))


LOW_TIDE: Final = Song(
    id="low-tide",
    title="Low Tide",
    bpm=100.0,
    key="8A",
    scale=(9, 11, 0, 2, 4, 5, 7),
    chords=_chords(
        "A1 A3 C4 E4 G4 B4", "F1 A3 C4 E4 G4", "D2 A3 C4 E4 F4", "E1 G3 B3 D4 E4 B4", each=2
    ),
    swing=0.16,
    kick=Kick(hz=46.0, fall=4.2, settle=0.026, decay=0.24, click=0.22),
    drums={
        "kick": "9...9...9...9...",
        "snare": "....7.......7...",
        "clap": "....4.......6...",
        "hat": "..6...6...6...63..6...6...6.3.6.",
        "open": "..............................5.",
        "shaker": "5253625352536253",
        "high": "..7..5.....7.5....7..5..4..7..6.",
        "low": "......6.7.............6.7......5",
        "rim": "...5......5........5.....5..5...",
        "ride": "6...6...6...6...",
    },
    fills=("........4.43.321", "....4.3.2.1.s.ss"),
    bass=Bass(cutoff=260.0, sweep=700.0, decay=0.16, sub=0.9, drive=1.4, sustain=0.7),
    bass_line=("R--.r-..f-.o-.s.", "R--.r-..o-.f-.n."),
    bass_drop=("R-.rr-.of-.o-.sr", "R-.rr-.oo-.f-rn."),
    keys="epiano",
    keys_rhythm="....7.....6.........7..5....6...",
    arp="marimba",
    arp_notes="0.2.3.1.4.2.3...2.3.1..3.0.2.3.4",
    pad_hz=2000.0,
    voice="tenor",
    melody=(
        "A3:1:oh C4:.5:oh E4:2:ah D4:.5:ah C4:1.5:oh _:2.5",
        "C4:.5:oh D4:.5:oh E4:1.5:ah C4:.5:ah A3:2:oh _:3",
        "A3:1:oh C4:.5:oh F4:1.5:ah E4:1:ah D4:1.5:oh _:2.5",
        "G4:1:ah E4:.5:eh D4:.5:ah E4:3:oh _:3",
    ),
    echo_beats=0.75,
    reverb_seconds=2.4,
    mix={"hat": 3.0, "open": 3.0, "shaker": 2.5, "ride": 2.0, "snare": 1.0, "clap": 2.0},
)

PAPER_LANTERNS: Final = Song(
    id="paper-lanterns",
    title="Paper Lanterns",
    bpm=107.0,
    key="9A",
    scale=(4, 6, 7, 9, 11, 0, 2),
    chords=_chords("E1 G3 B3 D4 F#4", "C2 G3 B3 D4 E4", "A1 G3 B3 C4 E4", "B1 F#3 A3 D4 E4"),
    swing=0.22,
    kick=Kick(hz=49.0, fall=4.8, settle=0.022, decay=0.21, click=0.28),
    drums={
        "kick": "9...9...9...9...",
        "clap": "....8.......8...",
        "hat": "..7...7...7...7...7.3.7...7..37.",
        "open": "..........5...................6.",
        "shaker": "4263426342634263",
        "rim": "......5..5............5..5....5.",
        "high": "...4.......4..5.",
        "low": "..........5...............5..5..",
        "ride": "..6...6...6...6.",
    },
    fills=("........c..c.c.c", "......43..32.21s"),
    bass=Bass(cutoff=320.0, sweep=1100.0, decay=0.11, square=0.35, sub=0.7, drive=1.7),
    bass_line=("R-...or..-F.o.s.", "R-...or.f-..o.n."),
    bass_drop=("R-.o.or.R-Fro.so", "R-.o.or.f-.ro.no"),
    keys="epiano",
    keys_rhythm="7..5......6..4..7..5....5.6.....",
    arp="pluck",
    arp_notes="..2..3..1..2..3...2..3..0..3..1.",
    pad_hz=1700.0,
    voice="alto",
    melody=(
        "B4:.75:oh B4:.75:oh A4:.5:ah G4:1.5:ah _:.5 E4:.5:eh G4:1.5:ah _:2",
        "A4:.75:oh A4:.75:oh G4:.5:ah E4:1.5:ah _:.5 F#4:.5:eh A4:1.5:ah _:2",
        "B4:.75:oh D5:.75:oh B4:.5:ah G4:1.5:ah _:.5 E4:.5:eh G4:1.5:oh _:2",
        "A4:.5:oh B4:.5:oh C5:1:ah B4:.5:ah A4:.5:ah E4:1:ah F#4:2:oh _:2",
    ),
    echo_beats=0.75,
    reverb_seconds=2.1,
    mix={"hat": 2.0, "open": 2.0, "shaker": 1.5},
)

WINDOW_SEAT: Final = Song(
    id="window-seat",
    title="Window Seat",
    bpm=115.0,
    key="9B",
    scale=(7, 9, 11, 0, 2, 4, 6),
    chords=_chords("C2 G3 B3 D4 E4", "D2 A3 B3 D4 F#4", "B1 A3 B3 D4 F#4", "E1 G3 B3 D4 F#4"),
    swing=0.1,
    kick=Kick(hz=50.0, fall=5.0, settle=0.02, decay=0.19, click=0.34),
    drums={
        "kick": "9...9...9...9...",
        "clap": "....8.......8...",
        "snare": "....5.......5...",
        "hat": "6.3.6.3.6.3.6.346.3.6.346.3.6.3.",
        "open": "..7...7...7...7.",
        "shaker": "3152315231523152",
        "high": "...5..5....5..5....5..5....5.54.",
        "bell": "..4...5...4.4.....4...5...4.4.5.",
        "ride": "6.4.6.4.6.4.6.4.",
    },
    fills=("........s.sss.ss", "....4.443.332.21"),
    bass=Bass(
        cutoff=420.0, sweep=1600.0, decay=0.09, square=0.25, sub=0.55, drive=1.8, sustain=0.4
    ),
    bass_line=("R.o.r.o.r.o.r.of", "R.o.r.o.r.ofR.n."),
    bass_drop=("R.oor.oor.oof.oo", "R.oor.oor.ofR.no"),
    keys="stab",
    keys_rhythm="..7..7.....6..5...7..7....6..7..",
    arp="muted",
    arp_notes="0.1203.10.1203.20.1203.10.12.321",
    pad_hz=2400.0,
    voice="soprano",
    melody=(
        "G4:.5:oo B4:.5:oo D5:1:ah B4:.5:ah A4:1:ah _:.5 A4:.5:oo B4:.5:ah A4:1.5:ah _:1.5",
        "F#4:.5:oo A4:.5:oo D5:1:ah B4:1:ah _:1 B4:.5:oo A4:.5:oh G4:1.5:oh _:1.5",
        "E5:1:ah D5:.5:ah B4:.5:ah D5:1:ah _:1 D5:.5:oo E5:.5:eh D5:.5:ah A4:1:ah _:1.5",
        "D5:.5:oh B4:.5:oh A4:.5:ah F#4:1:ah _:.5 G4:.5:oo A4:.5:oh B4:2:ah _:2",
    ),
    echo_beats=0.5,
    reverb_seconds=1.8,
    mix={"shaker": 3.0},
    stop_beats=1.0,
)

SECOND_SUN: Final = Song(
    id="second-sun",
    title="Second Sun",
    bpm=123.0,
    key="10B",
    scale=(2, 4, 6, 7, 9, 11, 1),
    chords=_chords(
        "B1 A3 B3 D4 F#4 C#5", "G1 G3 B3 D4 F#4 A4", "D2 A3 D4 E4 F#4 A4", "A1 A3 C#4 E4 F#4 A4"
    ),
    swing=0.18,
    kick=Kick(hz=51.0, fall=5.5, settle=0.018, decay=0.18, click=0.4),
    drums={
        "kick": "9...9...9...9...",
        "clap": "....9.......9...",
        "hat": "4.7.4.7.4.7.4.734.7.4.734.7.4.7.",
        "open": "..8...8...8...8.",
        "shaker": "4253425342534253",
        "rim": "...6..5....6.......6..5...5..6..",
        "low": ".......5......5........5.....55.",
        "high": "..........4...............4....4",
        "ride": "7.5.7.5.7.5.7.5.",
    },
    fills=("........c.cc.ccc", "....s..s..s.s.ss"),
    bass=Bass(cutoff=300.0, sweep=900.0, decay=0.13, square=0.6, sub=0.8, drive=1.6),
    bass_line=("..R..r-...R..or.", "..R..r-...R.f.n."),
    bass_drop=("..R..r-.r.R..oro", "..R..r-.r.R.f.no"),
    keys="piano",
    keys_rhythm="8..7..7...8..6..8..7..7...7.7.6.",
    arp="bell",
    arp_notes="..4...3...2...4...3...2...4..3..",
    pad_hz=2200.0,
    voice="alto",
    melody=(
        "F#4:.5:eh A4:.5:ah B4:1.5:ah A4:.5:ah F#4:1:oh D5:.5:eh B4:1.5:ah _:2",
        "A4:.5:oh F#4:.5:oh A4:.5:oh B4:.5:ah A4:1:ah _:1 E4:.5:oh F#4:.5:eh E4:1.5:ah _:1.5",
        "D5:1:ah C#5:.5:ah B4:.5:ah F#4:1:ah _:1 D5:.5:eh B4:.5:ah A4:1:oh _:2",
        "A4:.5:eh B4:.5:ah D5:2:ah _:1 C#5:.5:oh B4:.5:ah A4:2:ah _:1",
    ),
    echo_beats=0.75,
    reverb_seconds=1.9,
    stop_beats=1.0,
)

NIGHT_FERRY: Final = Song(
    id="night-ferry",
    title="Night Ferry",
    bpm=132.0,
    key="10A",
    scale=(11, 1, 2, 4, 6, 7, 9),
    chords=_chords(
        "B1 F#3 B3 C#4 D4 F#4",
        "G1 G3 B3 D4 F#4 A4",
        "E1 G3 B3 E4 F#4 B4",
        "F#1 F#3 A3 C#4 E4 A4",
        each=2,
    ),
    swing=0.0,
    kick=Kick(hz=52.0, fall=6.5, settle=0.016, decay=0.17, click=0.45),
    drums={
        "kick": "9...9...9...9...",
        "clap": "....7.......7...",
        "hat": "3.8.3.8.3.8.3.8.3.8.3.8.3.8.3.84",
        "open": "..6...6...6...6.",
        "shaker": "4363436343634363",
        "rim": "...4..4..4..4......4..4..4..4.5.",
        "low": "..............5........4......55",
        "ride": "..7...7...7...7.",
    },
    fills=("........s.s.ssss", "........4433221s"),
    bass=Bass(cutoff=240.0, sweep=650.0, decay=0.08, square=0.0, sub=0.7, drive=2.0, sustain=0.35),
    bass_line=("..rr..rr..rr..rr", "..rr..rr..rr..ro"),
    bass_drop=(".Rrr.Rrr.Rrr.Rro", ".Rrr.Rrr.Rrr.Rfo"),
    keys="stab",
    keys_rhythm="7..6..6..6..6.5.7..6..6..6..6.6.",
    arp="pluck",
    arp_notes="0241324103241324",
    pad_hz=2600.0,
    voice="soprano",
    melody=(
        "F#4:1.5:oo B4:1.5:oo C#5:1:ah D5:2:ah _:2",
        "D5:1:ah B4:1:ah A4:1:oh B4:3:oo _:2",
        "G4:1.5:oo B4:1.5:oo E5:1:ah D5:2:ah _:2",
        "C#5:1.5:ah A4:.5:ah B4:1:oh C#5:3:ah _:2",
    ),
    echo_beats=0.75,
    reverb_seconds=2.8,
    stop_beats=0.5,
)

SONGS: Final = (LOW_TIDE, PAPER_LANTERNS, WINDOW_SEAT, SECOND_SUN, NIGHT_FERRY)
