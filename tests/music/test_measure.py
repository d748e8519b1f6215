"""Measuring tracks: what is known of a made tune must be found, and what is wrong must be doubted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream.music.grid import measure_grid, strokes_of
from crowdstream.music.harmony import steps_between
from crowdstream.music.keys import camelot, camelot_of
from crowdstream.music.levels import loudness_lufs, true_peak_db
from crowdstream.music.library import load_stems
from crowdstream.music.measure import Measured, check_grid, measure_track
from crowdstream.music.onsets import heard, onsets
from crowdstream.testing.syncopated import SYNCOPATED
from crowdstream.testing.tunes import NOT_IN_FOUR, STYLES, Tune, ambience, make_tune

SHOWS_ITS_BEAT = [
    "clicks", "four on the floor", "house", "only kick", "rolling bass", "breakbeat", "two step",
    "rock", "half time", "swung", "shuffle", "triplets", "disco", "loud hats", "tresillo",
]  # fmt: skip


def off(measured: Measured, tune: Tune) -> float:
    """Seconds between a measured beat and the nearest true one."""
    beat = 60.0 / tune.bpm
    return float((measured.first_beat_seconds - tune.beats[0] + beat / 2) % beat - beat / 2)


@pytest.mark.parametrize("style", SHOWS_ITS_BEAT)
def test_beats_of_a_steady_tune_are_found(style: str) -> None:
    for bpm, lead in ((84.3, 0.0), (128.0, 1.31), (152.6, 0.02)):
        tune = make_tune(STYLES[style], bpm, lead_seconds=lead, noise_db=-50.0)
        mono = heard(tune.mix, tune.rate)
        grid = measure_grid(onsets(mono), strokes_of(mono))
        assert grid.bpm == pytest.approx(bpm, rel=0.0005)
        beat = grid.beat_seconds
        away = (grid.first_beat_seconds - lead + beat / 2) % beat - beat / 2
        assert abs(away) < 0.010, (style, bpm)


@pytest.mark.parametrize("bpm", [80.0, 123.45, 160.0])
def test_four_on_the_floor_is_trusted_from_80_to_160(bpm: float) -> None:
    tune = make_tune(STYLES["four on the floor"], bpm, lead_seconds=0.5)
    measured = measure_track(tune.mix, tune.rate)
    assert measured.bpm == pytest.approx(bpm, rel=0.0005)
    assert measured.first_beat_seconds == pytest.approx(0.5, abs=0.010)
    assert measured.confidence > 0.5 and measured.doubt == ""
    assert measured.bars == 16


@pytest.mark.parametrize("style", SYNCOPATED)
def test_a_grid_of_a_rhythm_that_hides_its_beat_is_right_or_doubted(style: str) -> None:
    tune = make_tune(SYNCOPATED[style], 117.0, lead_seconds=0.3, noise_db=-50.0)
    mono = heard(tune.mix, tune.rate)
    grid = measure_grid(onsets(mono), strokes_of(mono))
    beat = grid.beat_seconds
    away = (grid.first_beat_seconds - 0.3 + beat / 2) % beat - beat / 2
    is_right = abs(grid.bpm / 117.0 - 1.0) < 0.0005 and abs(away) < 0.010
    assert is_right or grid.confidence < 0.5, (grid.bpm, away)


def test_beats_beside_which_the_music_begins_are_doubted_for_that_reason() -> None:
    tune = make_tune(SYNCOPATED["bossa"], 104.0, lead_seconds=0.5)
    assert measure_track(tune.mix, tune.rate).doubt == "it begins beside these beats"


def test_plain_drums_are_trusted_wherever_the_music_begins() -> None:
    tune = make_tune(STYLES["four on the floor"], 122.0, lead_seconds=0.5)
    cut = tune.mix[round((0.5 + 0.4 * 60.0 / 122.0) * tune.rate) :]  # into the middle of a beat
    loud = np.concatenate((0.9 * tune.mix[round(0.5 * tune.rate) :][:800], cut))
    measured = measure_track(loud, tune.rate)
    assert measured.bpm == pytest.approx(122.0, rel=0.0005)
    assert measured.confidence > 0.5


@pytest.mark.parametrize(("style", "is_clear"), [("house", True), ("breakbeat", False)])
def test_a_kick_on_every_beat_leaves_no_doubt_of_the_octave(style: str, is_clear: bool) -> None:
    for bpm in (87.0, 126.0):
        assert measure_track(make_tune(STYLES[style], bpm).mix, 44100).octave_is_clear is is_clear


@pytest.mark.parametrize("style", NOT_IN_FOUR)
def test_what_is_not_in_four_is_doubted(style: str) -> None:
    tune = make_tune(NOT_IN_FOUR[style], 112.0)
    measured = measure_track(tune.mix, tune.rate)
    assert measured.confidence < 0.3
    assert measured.doubt


def test_sound_without_a_beat_is_doubted() -> None:
    measured = measure_track(ambience(40.0), 44100)
    assert measured.confidence < 0.2
    assert measured.downbeat_confidence < 0.2


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros((88200, 2), np.float32),
        np.random.default_rng(1).standard_normal((200_000, 2), np.float32) * np.float32(0.1),
        np.sin(np.arange(200_000) * 0.05).astype(np.float32),
        np.full((60_000, 6), 0.1, np.float32),
    ],
    ids=["silence", "noise", "one tone, mono", "six channels that stand still"],
)
def test_what_is_no_music_is_measured_and_doubted(sound: np.ndarray) -> None:
    measured = measure_track(sound, 44100)
    assert measured.confidence < 0.3
    assert math.isfinite(measured.bpm) and measured.bars >= 1
    assert sum(section.bars for section in measured.sections) == measured.bars


@pytest.mark.parametrize("rate", [8000, 96000])
def test_any_rate_gives_the_same_grid(rate: int) -> None:
    tune = make_tune(STYLES["house"], 118.0, lead_seconds=0.25)
    measured = measure_track(soxr.resample(tune.mix, tune.rate, rate), rate)
    assert measured.bpm == pytest.approx(118.0, rel=0.0005)
    assert abs(off(measured, tune)) < 0.010


@pytest.mark.parametrize("style", ["rock"])
@pytest.mark.parametrize("kind", ["a ramp", "another tempo in the middle"])
def test_a_tempo_that_changes_is_doubted_for_that_reason(style: str, kind: str) -> None:
    ramps = kind == "a ramp"
    tune = make_tune(
        STYLES[style], 118.0,
        tempo=lambda b: 1 + 0.03 * b / len(b) if ramps else np.where(b < len(b) / 2, 1.0, 1.04),
    )  # fmt: skip
    measured = measure_track(tune.mix, tune.rate)
    assert measured.confidence < 0.3
    assert measured.doubt


def test_a_drummer_who_is_loose_but_keeps_time_is_found() -> None:
    tune = make_tune(STYLES["rock"], 109.0, loose_seconds=0.006, noise_db=-50.0)
    measured = measure_track(tune.mix, tune.rate)
    assert measured.bpm == pytest.approx(109.0, rel=0.0005)
    assert abs(off(measured, tune)) < 0.010
    assert measured.confidence > 0.5


@pytest.mark.parametrize("bpm", [100.0, 126.0])
def test_form_and_first_bar_of_a_club_track_are_found(bpm: float) -> None:
    tune = make_tune(STYLES["club"], bpm, lead_seconds=0.7, noise_db=-60.0)
    measured = measure_track(tune.mix, tune.rate)
    assert measured.first_beat_seconds == pytest.approx(0.7, abs=0.010)
    assert measured.downbeat_confidence > 0.5
    assert measured.phrase_bar == 0
    assert tuple((s.name, s.bar, s.bars) for s in measured.sections) == tune.sections


def test_hiss_before_the_music_is_not_its_beginning() -> None:
    tune = make_tune(STYLES["four on the floor"], 120.0, lead_seconds=1.31, noise_db=-42.0)
    measured = measure_track(tune.mix, tune.rate)
    assert measured.first_beat_seconds == pytest.approx(1.31, abs=0.010)


def test_a_pickup_does_not_become_the_first_bar() -> None:
    tune = make_tune(STYLES["club"], 120.0, lead_seconds=0.0)
    cut = tune.mix[round(tune.beats[3] * tune.rate) :]
    measured = measure_track(cut, tune.rate)
    assert measured.first_beat_seconds == pytest.approx(0.5, abs=0.010)


def test_a_stop_is_found_and_a_rhythm_with_gaps_is_none() -> None:
    tune = make_tune(STYLES["house"], 120.0)
    mix = tune.mix
    mix[round(tune.beats[31] * tune.rate) : round(tune.beats[32] * tune.rate)] = 0.0
    assert measure_track(mix, tune.rate).stops == ((31.0, 1.0),)
    gaps = make_tune(STYLES["two step"], 120.0)
    assert measure_track(gaps.mix, gaps.rate).stops == ()


@settings(max_examples=5, deadline=None)
@given(st.floats(-0.058, 0.058))
def test_a_grid_that_is_late_as_a_whole_is_moved(shift: float) -> None:
    tune = make_tune(STYLES["house"], 124.0, lead_seconds=0.3)
    checked = check_grid(tune.mix, tune.rate, 124.0, 0.3 + shift)
    assert checked.accepted
    assert checked.first_beat_seconds == pytest.approx(0.3, abs=0.005)
    assert checked.shift_seconds == pytest.approx(-shift, abs=0.005)


@pytest.mark.parametrize(
    ("bpm", "first", "says"),
    [
        (126.0, 0.3, "124.00"),
        (124.0, 0.3 + 30 / 124, "ms"),
        (124.0, 0.4, "-99 ms"),
        (186.0, 0.3, "186"),
    ],
    ids=["another tempo", "half a beat late", "a tenth late", "three for two"],
)
def test_a_grid_that_is_wrong_is_refused_with_numbers(bpm: float, first: float, says: str) -> None:
    tune = make_tune(STYLES["house"], 124.0, lead_seconds=0.3)
    checked = check_grid(tune.mix, tune.rate, bpm, first)
    assert not checked.accepted
    assert says in checked.reason
    assert (checked.bpm, checked.first_beat_seconds) == (bpm, first)


def test_a_grid_an_octave_away_is_the_same_grid() -> None:
    tune = make_tune(STYLES["house"], 87.0, lead_seconds=0.3)
    checked = check_grid(tune.mix, tune.rate, 174.0, 0.3)
    assert checked.accepted and checked.bpm == pytest.approx(174.0, rel=0.0005)


def test_sound_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        measure_track(np.zeros((100, 2), np.float32), 44100)
    broken = np.zeros((88200, 2), np.float32)
    broken[5, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        measure_track(broken, 44100)
    with pytest.raises(ValueError, match="BPM"):
        check_grid(np.zeros((88200, 2), np.float32), 44100, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Am", "8A"), ("8A", "8A"), ("08a", "8A"), ("12B", "12B"), ("1m", "8A"), ("1d", "8B"),
        ("6d", "1B"), ("12m", "7A"), ("C#m/G#m", "12A"), ("Bb", "6B"), ("Ebm", "2A"), ("D♯ minor", "2A"),
        ("F# Maj", "2B"), ("Gb", "2B"), ("c-moll", "5A"), ("H moll", "10A"), ("A Minor", "8A"),
        ("8A - Energy 6", "8A"), ("Cb", "1B"), ("E#m", "4A"),
        ("", None), ("o", None), ("a", None), ("13A", None), ("All", None), ("Unknown", None), ("Q#", None),
    ],
)  # fmt: skip
def test_keys_are_read_as_people_write_them(text: str, key: str | None) -> None:
    assert camelot_of(text) == key


@given(st.text(max_size=12))
def test_any_tag_is_a_key_or_none(text: str) -> None:
    key = camelot_of(text)
    assert key is None or steps_between(key, key) == 0


@pytest.mark.parametrize("tonic", [3, 10])
@pytest.mark.parametrize("minor", [False, True])
def test_the_key_of_plain_chords_is_heard(tonic: int, minor: bool) -> None:
    degrees = (
        [(0, 3, 7), (5, 8, 0), (0, 3, 7), (7, 10, 2)]
        if minor
        else [(0, 4, 7), (5, 9, 0), (7, 11, 2), (0, 4, 7)]
    )
    chords = [
        tuple((45 if i == 0 else 57) + (n + tonic - 9) % 12 for i, n in enumerate(c))
        for c in degrees
    ]
    import dataclasses

    tune = make_tune(dataclasses.replace(STYLES["disco"], chords=chords), 120.0)
    measured = measure_track(tune.mix, tune.rate, tune.stems)
    assert measured.key == camelot(tonic, minor=minor)


def test_a_tune_in_another_tuning_is_measured_in_its_own() -> None:
    tune = make_tune(STYLES["offbeat bass"], 120.0)
    # Told at another rate the same samples sound 30 cents higher.
    rate = round(44100 * 2 ** (30 / 1200))
    measured = measure_track(tune.mix, rate)
    assert measured.tuning_cents == pytest.approx(30.0, abs=8.0)


@pytest.mark.parametrize(("phase", "above"), [(math.pi / 4, 3.01), (0.0, 0.0)])
def test_peaks_between_the_samples_are_heard(phase: float, above: float) -> None:
    t = np.arange(48000)
    wave = (0.5 * np.sin(np.pi / 2 * t + phase)).astype(np.float32)
    wave *= np.hanning(len(wave)).astype(np.float32) ** 0.1
    sample_peak = 20 * math.log10(float(np.abs(wave).max()))
    assert true_peak_db(wave, 48000) - sample_peak == pytest.approx(above, abs=0.1)


def test_silence_has_no_peak_and_the_lowest_loudness() -> None:
    silence = np.zeros((48000, 2), np.float32)
    assert true_peak_db(silence, 48000) == -math.inf
    assert loudness_lufs(silence, 48000) == -70.0


def test_loudness_of_the_tone_of_the_standard() -> None:
    """BS.1770: 997 Hz at 0 dBFS in one channel is -3.01 LUFS."""
    tone = np.sin(2 * np.pi * 997 * np.arange(4 * 48000) / 48000).astype(np.float32)
    assert loudness_lufs(np.stack([tone, 0 * tone], axis=1), 48000) == pytest.approx(
        -3.01, abs=0.05
    )


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "bpm"),
    [
        ("loop_mika_x4_120bpm.flac", 120.0), ("loop_breakbeat_x17_126bpm.flac", 126.0),
        ("arovane_beat_b_x3_130bpm.flac", 130.0), ("loop_amen_full_x5_140bpm.flac", 140.0),
    ],
)  # fmt: skip
def test_repeated_loops_have_the_tempo_of_their_name(assets: Path, name: str, bpm: float) -> None:
    sound, rate = soundfile.read(assets / "music" / name, dtype="float32")
    measured = measure_track(sound, rate)
    assert measured.bpm == pytest.approx(bpm, rel=0.0005)
    beat = 60.0 / measured.bpm
    assert abs((measured.first_beat_seconds + beat / 2) % beat - beat / 2) < 0.010
    assert measured.confidence > 0.5


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "bpm"), [("kevin_macleod_vibe_ace_130bpm.ogg", 130.0), ("outfoxing_160bpm.mp3", 160.0)]
)
def test_songs_have_their_tempo(assets: Path, name: str, bpm: float) -> None:
    sound, rate = soundfile.read(assets / "music" / name, dtype="float32")
    measured = measure_track(sound, rate)
    octave = 2.0 ** round(math.log2(bpm / measured.bpm))
    assert measured.bpm * octave == pytest.approx(bpm, rel=0.005)
    assert measured.confidence > 0.5


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_built_in_tracks_are_measured_as_they_were_written(warm_cache: Path) -> None:
    from crowdstream.music.compose import builtin_library

    wrong_keys = 0
    for track in builtin_library(warm_cache / "music"):
        stems = load_stems(track, track.rate).astype(np.float32) / np.float32(32768)
        measured = measure_track(stems.sum(axis=0), track.rate, stems)
        assert measured.bpm == pytest.approx(track.bpm, rel=0.00005), track.id
        assert measured.first_beat_seconds == pytest.approx(0.0, abs=0.010), track.id
        assert measured.bars == track.bars, track.id
        assert measured.sections == track.sections, track.id
        assert measured.stops == track.stops, track.id
        wrong_keys += steps_between(measured.key, track.key) > 1
        assert measured.loudness_lufs == pytest.approx(track.loudness_lufs, abs=0.05), track.id
    assert wrong_keys <= 1
