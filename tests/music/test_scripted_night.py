"""A whole night, from the first guest to the last: the rules, seen in what was decided and why."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from crowdstream.music.rules import BASS, DRUMS, VOCALS, Rules
from crowdstream.packets import Mix
from crowdstream.testing.conducting import Night, a_night, a_wish, clashes
from crowdstream.testing.music import FORM, a_track

PROGRAMME = 0.4
RULES = Rules(programme_drive=PROGRAMME, programme_bpm=114.0)

EARLY, FILLING, PEAK, LULL, DROP, DRUNK, EMPTYING, END = 0, 64, 144, 336, 432, 560, 640, 800

KEYS = ("8A", "9A", "9B", "10B", "10A", "11A", "8B", "7A", "7B", "6A", "12A", "3B")
LIBRARY = [
    a_track(f"t{n}", bpm=106.0 + 1.5 * n, key=key, form=FORM) for n, key in enumerate(KEYS)
] + [a_track(f"u{n}", bpm=107.0 + 1.5 * n, key=key, form=FORM) for n, key in enumerate(KEYS)]


def floor(bar: int, *, filming: range = range(0)) -> Mix:
    """The drive of each hour, as it comes from the eyes: pulled to the programme where few are."""
    trembling = random.Random(bar).uniform(-0.02, 0.02)
    if bar < FILLING:
        drive, people = PROGRAMME, bar // 20
    elif bar < PEAK:
        share = (bar - FILLING) / (PEAK - FILLING)
        drive, people = PROGRAMME + 0.5 * share, int(3 + 57 * share)
    elif bar < LULL:
        drive, people = 0.9, 60
    elif bar < DROP:
        drive, people = max(0.9 - 0.05 * (bar - LULL), 0.15), 55
    elif bar < DRUNK:
        drive, people = min(0.15 + 0.1 * (bar - DROP), 0.75), 60
    elif bar < EMPTYING:
        drive, people = PROGRAMME + (0.12 if bar % 7 < 4 else 0.0), 1
    else:
        drive, people = PROGRAMME, max(0, 40 - (bar - EMPTYING) // 2)
    if bar in filming:
        drive = 0.3  # arms up and still: nobody left
    bpm = 114.0 + 20.0 * (drive - PROGRAMME)
    return a_wish(min(max(drive + trembling, 0.0), 1.0), bpm=bpm, people=people)


@cache
def the_night() -> Night:
    """As it went."""
    return a_night(END, floor, rules=RULES, library=LIBRARY, seed=5)


def between(night: Night, begin: int, end: int, *names: str) -> list[tuple[int, str, str]]:
    """Bar, event and cause of what was decided in some bars."""
    return [
        (said.bar, said.event, said.why)
        for said in night.said
        if begin <= said.bar < end and (not names or said.event in names)
    ]


def heard(night: Night, bar: int, stem: int) -> float:
    """What is heard of a stem half a beat into a bar, its level included."""
    loudest = max(run.gain(stem, bar * 4 + 0.5) for run in night.runs)
    return loudest * night.levels[bar][stem]


def test_early_on_an_inviting_groove_plays_and_the_tempo_is_the_programmes() -> None:
    """Few are there: the track has its own drop, and no more; nothing hurries."""
    night = the_night()
    assert night.tempi[20] == pytest.approx(114.0)
    assert not between(night, EARLY, FILLING, "tension", "rest", "lift", "loop")
    assert night.events("transition")[0].facts["style"] == "long blend"


def test_a_floor_that_fills_is_taken_up() -> None:
    """More stems, a higher tempo, and the first track that comes in by its drop."""
    night = the_night()
    assert between(night, FILLING, PEAK, "stem_in")
    into = [said.facts["into"] for said in night.events("transition") if said.bar < PEAK]
    assert into[-1] == "drop"
    assert night.tempi[PEAK] > night.tempi[FILLING] + 4.0


def test_at_the_peak_the_bass_goes_for_eight_bars_and_is_back_on_the_one() -> None:
    """Announced, and followed by a drop."""
    night = the_night()
    tense = night.events("tension")
    assert tense
    for said in tense:
        away = [heard(night, bar, BASS) == 0.0 for bar in range(said.bar - 1, said.bar + 10)]
        assert away == [False] + [True] * 8 + [False] * 2
        assert night.coming[said.bar][2] == 8
        assert [bar for bar, event, _ in between(night, said.bar, said.bar + 9) if event == "drop"]


def test_after_128_bars_at_the_peak_comes_a_rest_nobody_asked_for() -> None:
    """Eight bars, and the cause is said."""
    (rest,) = the_night().events("rest")
    assert PEAK + 128 <= rest.bar + 20 < LULL
    assert rest.why == "128 bars above 0.8"
    stems = [heard(the_night(), bar, BASS) for bar in (rest.bar - 1, rest.bar, rest.bar + 8)]
    assert stems == [pytest.approx(1.0), 0.0, pytest.approx(1.0)]


def test_a_floor_that_should_stay_hears_its_best_stretch_again() -> None:
    """Twelve bars of the drop, from a 4-bar line; without the voice, whose phrase would break."""
    night = the_night()
    loops = night.events("loop")
    assert loops
    for said in loops:
        before = next(o for bar, _, o in reversed(night.tracks) if bar < said.bar)
        assert (said.bar + before) % 4 == 0
        assert heard(night, said.bar - 1, VOCALS) == 0.0


def test_a_lull_is_followed_for_32_bars_and_then_answered_with_the_programme() -> None:
    """Full groove at the programme's tempo, and another track a little early."""
    night = the_night()
    (back,) = (said for said in night.events("programme") if LULL < said.bar < DROP)
    assert LULL + 32 <= back.bar <= LULL + 40
    full = [
        all(heard(night, bar, stem) > 0.4 for stem in range(4)) for bar in range(DROP - 24, DROP)
    ]
    assert all(full)
    assert night.tempi[DROP - 1] == pytest.approx(114.0, abs=1.0)
    early = [said for said in night.events("transition") if back.bar < said.bar < DROP]
    assert "falling" in early[0].why


def test_a_floor_that_comes_up_by_itself_gets_the_drop() -> None:
    """Within two phrases of the lull's end, and the cause says from where to where."""
    night = the_night()
    drops = between(night, DROP, DROP + 17, "drop")
    assert drops
    assert "drive 0.1" in drops[0][2]


def test_everybody_films_and_nothing_changes() -> None:
    """In a break, people there and arms still: the drop comes as if they had danced."""
    plain = the_night()
    begin = next(bar for bar in range(FILLING, END) if plain.states[bar] == "hold: break")
    promised = begin + 24  # eight bars each of break, build and drop
    filming = range(begin + 1, begin + 13)
    night = a_night(
        promised + 1, lambda bar: floor(bar, filming=filming), rules=RULES, library=LIBRARY, seed=5
    )  # fmt: skip
    assert set(night.states[begin:promised]) == {"hold: break"}
    assert [said.why for said in night.events("hold")]
    assert night.heard[begin:promised] == plain.heard[begin:promised]
    assert not between(night, begin, promised, "stem_out")
    assert night.levels[promised - 1] == pytest.approx(plain.levels[promised - 1], abs=0.1)


def test_people_who_leave_are_seen_even_in_a_break() -> None:
    """Half of them gone is no filming."""
    plain = the_night()
    begin = next(bar for bar in range(FILLING, END) if plain.states[bar] == "hold: break")

    def leaving(bar: int) -> Mix:
        mix = floor(bar, filming=range(begin + 1, END))
        return mix if bar <= begin else replace(mix, people=4)

    night = a_night(begin + 8, leaving, rules=RULES, library=LIBRARY, seed=5)
    assert night.states[begin + 3] == "ok"


def test_one_drunk_dancer_moves_nothing() -> None:
    """No drop of ours, no tension, no cut, and the track stays for its time."""
    night = the_night()
    assert not between(night, DRUNK + 16, EMPTYING, "tension", "rest", "loop", "lift")
    styles = [s.facts["style"] for s in night.events("transition") if DRUNK + 8 < s.bar < EMPTYING]
    assert set(styles) <= {"long blend", "stem swap"}


def test_an_emptying_floor_keeps_a_whole_groove_to_the_end() -> None:
    """The last guest hears no less than the first; with nobody left a track is heard whole."""
    night = the_night()
    for bar in range(EMPTYING + 32, END):
        assert heard(night, bar, DRUMS) > 0.5
        assert heard(night, bar, BASS) > 0.5
    gone = next(bar for bar in range(EMPTYING, END) if floor(bar).people == 0)
    later = [said.bar for said in night.events("transition") if said.bar > gone]
    assert all(b - a >= 56 for a, b in pairwise([gone, *later][1:]))
    assert night.tempi[-1] == pytest.approx(114.0, abs=2.5)


def test_the_intensity_is_never_below_the_programmes_floor() -> None:
    """Drums always, the bass but for announced phrases: never more than 6 dB down."""
    night = the_night()
    least = 10 ** (-6 / 20) - 1e-9
    promised = [range(s.bar, s.bar + 8) for s in night.said if s.event in ("tension", "rest")]
    for bar in range(1, END):
        assert heard(night, bar, DRUMS) >= least, bar
        if not any(bar in bars for bars in promised):
            assert heard(night, bar, BASS) >= least, bar


def test_nothing_is_heard_twice_and_nothing_clashes() -> None:
    """Twenty tracks, each once; one bass, one voice and one low band at a time."""
    night = the_night()
    played = [track.id for _, track, _ in night.changes()]
    assert len(played) > 12
    assert len(set(played)) == len(played)
    assert clashes(night) == []
