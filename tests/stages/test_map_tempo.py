"""Energy in, a target tempo out."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crowdstream.packets import Energy, Tempo
from crowdstream.programme import Programme
from crowdstream.testing import ManualClock, a_context, run_stage
from stages.map_tempo import MapTempo, MapTempoConfig


def energy(seq: int = 0, *, drive: float = 0.5, at: float | None = None, **facts: Any) -> Energy:
    fields: dict[str, Any] = {
        "level": drive, "raw": drive, "speed": 1.0, "confidence": 0.9, "drive": drive,
        "people": 9, "eyes": ("pose",),
    } | facts  # fmt: skip
    return Energy(seq=seq, captured_at=seq / 20 if at is None else at, **fields)


def a_stage(**settings: Any) -> MapTempo:
    return MapTempo(MapTempoConfig(**settings), a_context("map_tempo"))


async def test_each_energy_gives_a_tempo_of_the_same_moment() -> None:
    energies = [energy(n, epoch=n // 3) for n in range(6)]
    tempos = await run_stage(a_stage(), energies)
    assert all(isinstance(tempo, Tempo) for tempo in tempos)
    assert [(t.seq, t.captured_at, t.epoch) for t in tempos] == [
        (e.seq, e.captured_at, e.epoch) for e in energies
    ]


async def test_more_drive_asks_for_more_tempo_around_the_programmes() -> None:
    ends = []
    for drive in (0.0, 0.5, 1.0):
        stage = a_stage(programme=Programme(bpm=118, intensity=0.5), dead_zone_bpm=0)
        *_, last = [stage.process(energy(n, drive=drive)) for n in range(400)]
        ends.append(last.bpm)
    assert ends == pytest.approx([94, 118, 142])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1))
def test_whatever_drive_comes_the_tempo_is_finite_and_in_range(drives: list[float]) -> None:
    stage = a_stage(bpm_range=(90, 130))
    for n, drive in enumerate(drives):
        assert 90 <= stage.process(energy(n, drive=drive)).bpm <= 130


def test_an_empty_floor_and_an_unknown_one_are_idle() -> None:
    stage = a_stage()
    assert stage.process(energy(people=0)).idle
    assert stage.process(energy(eyes=(), state="stale")).idle
    assert not stage.process(energy(people=3)).idle
    assert not stage.process(energy(people=None, eyes=("motion",))).idle
    assert not stage.process(energy(people=None, eyes=())).idle  # drawn by hand, or bridged


async def test_live_it_follows_the_programme_of_the_hour_offline_it_is_flat() -> None:
    programme = Programme(points=(("00:00", 100, 0.5), ("02:00", 120, 0.5)), bpm=111)
    settings = MapTempoConfig(programme=programme, smoothing_seconds=0, dead_zone_bpm=0)
    clock = ManualClock()
    live = MapTempo(settings, a_context(clock=clock, offline=False))
    assert live.process(energy(at=0.0)).bpm == 100
    await clock.advance(3600)
    assert live.process(energy(at=3600.0)).bpm == pytest.approx(110)
    offline = MapTempo(settings, a_context(clock=clock))
    assert offline.process(energy()).bpm == 111


def test_an_energy_that_comes_late_moves_nothing() -> None:
    stage = a_stage()
    stage.process(energy(at=1.0))
    later = stage.process(energy(at=2.0, drive=1.0)).bpm
    assert stage.process(energy(at=1.5, drive=0.0)).bpm == later


@pytest.mark.parametrize(
    "settings",
    [
        {"bpm_range": (120, 120)},
        {"bpm_range": (130, 100)},
        {"bpm_range": (30, 100)},
        {"bpm_range": (100, 230)},
        {"bpm_range": (100, math.nan)},
        {"reach_bpm": -1},
        {"smoothing_seconds": math.inf},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MapTempoConfig(**settings)


def test_the_energies_of_these_tests_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        energy().drive = 1.0  # type: ignore[misc]


def after(stage: MapTempo, count: int = 600, **facts: Any) -> float:
    """What is asked for when the same goes on for a while."""
    *_, last = [stage.process(energy(n, **facts)) for n in range(count)]
    return last.bpm


def test_the_groove_moves_nothing_unless_it_is_asked_to() -> None:
    moved: dict[str, Any] = {"groove_bpm": 120.0, "groove_confidence": 0.9, "synchrony": 1.0}
    assert after(a_stage(), **moved) == pytest.approx(112.0)
    assert after(a_stage(mode="follow"), **moved) > 114.0
    assert after(a_stage(mode="hybrid"), **moved) > 114.0


def test_following_it_is_the_groove_and_not_the_energy_that_asks() -> None:
    assert after(a_stage(mode="follow"), drive=1.0) == pytest.approx(112.0)
    assert after(a_stage(mode="hybrid"), drive=1.0) > 130.0


def test_hybrid_the_groove_pulls_as_far_as_they_move_together() -> None:
    asked = [
        after(a_stage(mode="hybrid"), groove_bpm=120.0, groove_confidence=0.9, synchrony=synchrony)
        for synchrony in (0.0, None, 0.6, 1.0)
    ]
    assert asked[0] == pytest.approx(112.0)
    assert asked == sorted(asked)
    assert asked[-1] > asked[1] > asked[0]


@given(
    st.sampled_from(["energy", "follow", "hybrid"]),
    st.lists(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 4), min_size=1),
)
def test_no_mode_leaves_the_leash(mode: str, facts: list[tuple[float, ...]]) -> None:
    stage = a_stage(mode=mode, reach_bpm=8)
    for n, (drive, groove, confidence, synchrony) in enumerate(facts):
        bpm = stage.process(
            energy(
                n, drive=drive, groove_bpm=groove, groove_confidence=confidence,
                synchrony=synchrony,
            )
        ).bpm  # fmt: skip
        assert 104 - 1e-9 <= bpm <= 120 + 1e-9
