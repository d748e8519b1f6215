"""Facts about what is measured of a decoded track: once, beside its file, for its grid alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from crowdstream.dsp.bar_levels import bar_powers
from crowdstream.dsp.kicks import kick_lags
from crowdstream.music.library import Track, read_track
from crowdstream.player import kicks, loader, ride
from crowdstream.player.decoded import DecodedCache, map_stems, measures_file
from crowdstream.player.lines import LineProcess
from crowdstream.player.loader import Loader
from crowdstream.player.measures import Measures, measure, note, noted
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks

pytestmark = pytest.mark.timeout(120)

RATE = 44100


@pytest.fixture
def tracks(tmp_path: Path) -> list[Track]:
    made = [a_track(f"t{k}", bpm=160.0 + k, form=SHORT_FORM[:1]) for k in range(2)]
    write_clicks(tmp_path / "library", made)
    return [read_track(tmp_path / "library" / track.id) for track in made]


@pytest.fixture
def decoded(tmp_path: Path, tracks: list[Track]) -> Path:
    return DecodedCache(tmp_path / "cache", 10**9).fetch(tracks[0], RATE)


def load(loading: Loader, track: Track) -> np.ndarray:
    """Once it is there."""
    while (stems := loading(track)) is None:
        assert loading.news.wait(30.0)
        loading.news.clear()
    return stems


def test_what_is_noted_is_what_was_measured(decoded: Path, tracks: list[Track]) -> None:
    measures = measure(tracks[0], map_stems(decoded), RATE)
    note(decoded, tracks[0], measures)
    again = noted(decoded, tracks[0])
    assert again is not None
    assert again.peak_db == measures.peak_db
    assert np.array_equal(again.kicks, measures.kicks, equal_nan=True)
    assert np.array_equal(again.levels, measures.levels)
    assert np.isfinite(again.kicks).any()
    assert not list(decoded.parent.glob(".*"))


def test_of_another_grid_nothing_is_known(decoded: Path, tracks: list[Track]) -> None:
    """Somebody has moved the first beat, or corrected the tempo."""
    note(decoded, tracks[0], measure(tracks[0], map_stems(decoded), RATE))
    assert noted(decoded, replace(tracks[0], bpm=80.0)) is None
    assert noted(decoded, replace(tracks[0], first_beat_seconds=0.5)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(bytes(500)),
        lambda path: np.savez(path, grid=np.zeros(3)),
        lambda path: np.savez(path, grid=np.zeros(3), kicks=np.array([{}])),
    ],
)
def test_a_damaged_file_is_none(
    damage: Callable[[Path], None], decoded: Path, tracks: list[Track]
) -> None:
    note(decoded, tracks[0], measure(tracks[0], map_stems(decoded), RATE))
    damage(measures_file(decoded))
    assert noted(decoded, tracks[0]) is None


def test_values_of_another_shape_or_no_number_are_none(decoded: Path, tracks: list[Track]) -> None:
    right = measure(tracks[0], map_stems(decoded), RATE)
    for wrong in (
        right._replace(peak_db=float("nan")),
        right._replace(kicks=right.kicks[:, np.newaxis]),
        right._replace(levels=right.levels[:, :2]),
    ):
        note(decoded, tracks[0], wrong)
        assert noted(decoded, tracks[0]) is None


def test_what_cannot_be_written_is_no_error(decoded: Path, tracks: list[Track]) -> None:
    nowhere = Path("/proc/none") / decoded.name
    note(nowhere, tracks[0], measure(tracks[0], map_stems(decoded), RATE))
    assert noted(nowhere, tracks[0]) is None


def test_a_player_measures_nothing_that_the_decoder_can(
    tmp_path: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a track that comes, nor the first one of all, nor any after a restart."""

    def never(*_: object) -> None:
        raise AssertionError("measured in the player's own process")

    for place, name in ((kicks, "kick_lags"), (ride, "bar_powers"), (loader, "measure")):
        monkeypatch.setattr(place, name, never)
    for _ in range(2):
        loading = Loader(RATE, tmp_path / "cache", 10**9)
        for track in tracks:
            stems = load(loading, track)
        assert loading.failed() is None
        monkeypatch.setattr(Loader, "_ask", never)  # the second time all is there
    track = tracks[1]
    lags = kick_lags(stems[0], RATE, track.first_beat_seconds, track.bpm)
    assert np.array_equal(kicks.kicks_of(track, stems, RATE), lags, equal_nan=True)
    powers = bar_powers(stems, RATE, track.first_beat_seconds, track.bpm)
    assert np.array_equal(ride.levels_of(track, stems, RATE), powers)


@pytest.mark.parametrize("fault", ["cannot be started", "dies"])
def test_a_decoder_that_fails_costs_no_track_that_was_decoded_before(
    tmp_path: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It is measured in the player's own process then, and the loader goes on."""
    cache = DecodedCache(tmp_path / "cache", 10**9)
    for track in tracks:
        cache.fetch(track, RATE)

    class Broken(LineProcess):
        def __init__(self, target: str, arguments: list[str]) -> None:
            if fault == "cannot be started":
                raise OSError(11, "Resource temporarily unavailable")
            super().__init__(target, arguments)

        def say(self, facts: dict[str, Any]) -> None:
            self.kill()
            super().say(facts)

    monkeypatch.setattr(loader, "LineProcess", Broken)
    loading = Loader(RATE, tmp_path / "cache", 10**9)
    found = [load(loading, track) for track in tracks]
    assert loading.failed() is None
    assert loading.thread.is_alive()
    monkeypatch.setattr(ride, "bar_powers", None)  # nothing is measured any more
    for track, stems in zip(tracks, found, strict=True):
        assert len(ride.levels_of(track, stems, RATE)) > 0


def test_a_full_disk_leaves_no_half_of_a_file(
    decoded: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = measure(tracks[0], map_stems(decoded), RATE)

    def full(file: IO[bytes], **_: object) -> None:
        file.write(b"PK half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    note(decoded, tracks[0], measures)
    assert not measures_file(decoded).exists()
    assert not list(decoded.parent.glob(".*"))


def test_what_was_measured_goes_with_its_file(tmp_path: Path) -> None:
    made = [a_track(f"t{k}", bpm=160.0, form=SHORT_FORM[:1]) for k in range(5)]
    write_clicks(tmp_path / "library", made)
    cache = DecodedCache(tmp_path / "cache", 1)
    for one in made:
        track = read_track(tmp_path / "library" / one.id)
        path = cache.fetch(track, RATE)
        note(path, track, Measures(0.0, np.zeros(1), np.zeros((1, 4, 3), np.float32)))
    left = {path.stem for path in cache.folder.glob("*.pcm")}
    assert {path.stem for path in cache.folder.glob("*.npz")} == left
    assert len(left) == 3
