"""Which stems the floor should hear: a wish, for the conductor to carry out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crowdstream.packets import Energy, Mix, Packet, Tempo
from crowdstream.testing import a_context, run_stage
from stages.crossfade_stems import CrossfadeStems, CrossfadeStemsConfig

unit = st.floats(0, 1)


def energy(drive: float, at: float = 0.0, **facts: Any) -> Energy:
    return Energy(
        seq=1, captured_at=at, level=drive, raw=drive, speed=1.0, confidence=0.7, drive=drive,
        people=5, **facts,
    )  # fmt: skip


def tempo(bpm: float = 118.0, at: float = 0.0, seq: int = 7) -> Tempo:
    return Tempo(seq=seq, captured_at=at, epoch=3, bpm=bpm)


def a_stage(**settings: Any) -> CrossfadeStems:
    return CrossfadeStems(CrossfadeStemsConfig(**settings), a_context("crossfade_stems"))


def wish(stage: CrossfadeStems, drive: float) -> Mix:
    assert stage.process(energy(drive)) is None
    mix = stage.process(tempo())
    assert mix is not None
    return mix


async def test_a_wish_for_each_tempo_with_the_energy_it_came_from() -> None:
    packets: list[Packet] = [tempo(at=0.0)]  # nothing is known yet
    for n in range(3):
        packets += [energy(n / 10, at=n), tempo(110 + n, at=n, seq=n)]
    mixes = [mix for mix in await run_stage(a_stage(), packets) if isinstance(mix, Mix)]
    assert [(m.seq, m.captured_at, m.epoch, m.drive, m.bpm) for m in mixes] == [
        (0, 0, 3, 0.0, 110),
        (1, 1, 3, 0.1, 111),
        (2, 2, 3, 0.2, 112),
    ]
    assert (mixes[0].confidence, mixes[0].people) == (0.7, 5)


def test_it_takes_effect_a_control_lead_after_the_picture() -> None:
    stage = a_stage(control_lead_seconds=0.25)
    stage.process(energy(0.5, at=10.0))
    mix = stage.process(tempo(at=10.0))
    assert mix is not None
    assert mix.at == 10.25


@given(st.lists(unit, min_size=1))
def test_the_groove_is_always_wished_for_and_every_gain_is_a_factor(drives: list[float]) -> None:
    """An empty or cooling floor never strips the music below an inviting groove."""
    stage = a_stage()
    for drive in drives:
        gains = wish(stage, drive).gains
        assert all(0.0 <= gain <= 1.0 for gain in gains)
        assert gains[0] == gains[1] >= 0.4


@given(unit, unit)
def test_more_drive_is_never_less_of_anything(one: float, other: float) -> None:
    low, high = (wish(a_stage(), drive).gains for drive in sorted((one, other)))
    assert all(a <= b + 1e-12 for a, b in zip(low, high, strict=True))


def test_stems_come_one_after_the_other_and_at_full_drive_all_are_at_0_db() -> None:
    heard = [tuple(gain > 0 for gain in wish(a_stage(), drive).gains) for drive in (0.0, 0.3, 0.5)]
    assert heard == [
        (True, True, False, False),
        (True, True, False, True),
        (True, True, True, True),
    ]
    assert wish(a_stage(), 1.0).gains == (1.0, 1.0, 1.0, 1.0)


def test_a_drive_that_trembles_at_a_line_makes_no_stem_chatter() -> None:
    stage = a_stage(vocals_from=0.45, hysteresis=0.08)
    steps = (0.44, 0.46, 0.44, 0.46, 0.38, 0.46, 0.36, 0.44, 0.45)
    heard = [wish(stage, drive).gains[2] > 0 for drive in steps]
    assert heard == [False, True, True, True, True, True, False, False, True]


def test_how_quiet_it_gets_is_a_setting_and_the_groove_gets_less_quiet() -> None:
    gains = wish(a_stage(quiet_db=-10, other_from=0.1, hysteresis=0), 0.1).gains
    assert gains[3] == pytest.approx(10 ** (-9 / 20))
    assert gains[0] == pytest.approx(10 ** (-5.4 / 20))


@pytest.mark.parametrize(
    "settings",
    [
        {"other_from": 0.05},
        {"vocals_from": 1.2},
        {"hysteresis": 0.5},
        {"quiet_db": 1.0},
        {"control_lead_seconds": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CrossfadeStemsConfig(**settings)


def test_what_the_programme_would_have_goes_along() -> None:
    """For a floor that has cooled for long: the same law, at the programme's intensity."""
    stage = a_stage(programme={"bpm": 118, "intensity": 0.6})
    mix = wish(stage, 0.1)
    assert (mix.programme_drive, mix.programme_bpm) == (0.6, 118)
    assert mix.programme_gains == wish(a_stage(), 0.6).gains
    assert mix.gains != mix.programme_gains
