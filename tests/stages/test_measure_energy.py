"""Both eyes in, one energy out: in order, with ticks, and the same bytes every time."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from crowdstream.clock import SystemClock
from crowdstream.config import Config
from crowdstream.packets import Energy, Motion, Packet, People
from crowdstream.plan import make_plan
from crowdstream.programme import Programme
from crowdstream.recipe import Recipe
from crowdstream.stage import Places
from crowdstream.supervisor import Supervisor
from crowdstream.testing import ManualClock, a_context, run_stage
from crowdstream.testing.bodies import bodies
from crowdstream.testing.fakes import Collect
from crowdstream.testing.stages import SilentLog
from stages.measure_energy import MeasureEnergy, MeasureEnergyConfig


def people(seq: int, *, at: float, epoch: int = 0, shift: float = 0.0, count: int = 6) -> People:
    joints = bodies(count, at, speed=1.2, apart=0.618)
    joints[:, :, :2] += np.float32(shift)
    return People(
        seq=seq,
        captured_at=at,
        epoch=epoch,
        keypoints=joints,
        ids=np.arange(count, dtype=np.int64),
        scores=np.full(count, 0.9, np.float32),
        aspect=16 / 9,
    )


def motion(seq: int, *, at: float, epoch: int = 0) -> Motion:
    return Motion(seq=seq, captured_at=at, epoch=epoch, speed=1.0, moving_share=0.2, confidence=0.6)


async def measure(packets: list[Packet], **settings: Any) -> list[Energy]:
    stage = MeasureEnergy(MeasureEnergyConfig(**settings), a_context("measure_energy"))
    return [p for p in await run_stage(stage, packets) if isinstance(p, Energy)]


async def test_each_packet_gives_one_energy_that_says_whose_it_is() -> None:
    packets: list[Packet] = []
    for n in range(10):
        packets += [motion(n, at=n / 25), people(n, at=n / 25)]
    energies = await measure(packets)
    assert [e.fresh_from for e in energies] == ["motion", "pose"] * 10
    assert [e.captured_at for e in energies] == [n / 25 for n in range(10) for _ in range(2)]
    assert [e.seq for e in energies] == list(range(1, 21))
    assert energies[-1].eyes == ("motion", "pose")
    assert energies[-1].people == 6


async def test_while_nothing_comes_it_tells_twenty_times_a_second_that_it_knows_less() -> None:
    """A lost camera does not freeze the energy."""
    packets: list[Packet] = [people(n, at=n / 25) for n in range(50)]
    packets.append(motion(0, at=22.0))
    energies = await measure(packets, programme=Programme(intensity=0.2))
    silent = [e for e in energies if e.fresh_from is None]
    assert np.diff([e.captured_at for e in silent]) == pytest.approx(0.05)
    assert len(silent) == pytest.approx(20 / 0.05, abs=2)
    assert silent[-1].state == "stale"
    assert silent[-1].drive == pytest.approx(0.2, abs=0.02)
    assert silent[-1].epoch == 0


async def test_no_speed_is_measured_across_epochs() -> None:
    """Everybody is elsewhere after a cut, and nobody has jumped."""
    before: list[Packet] = [people(n, at=n / 25) for n in range(50)]
    after: list[Packet] = [
        people(n, at=n / 25, epoch=1, shift=0.3 * (n % 2 + 1)) for n in range(50, 52)
    ]
    cut: list[Packet] = [people(n, at=n / 25, epoch=1, shift=0.3) for n in range(50, 100)]
    energies = await measure(before + cut)
    levels = [e.level for e in energies]
    assert max(abs(b - a) for a, b in itertools.pairwise(levels[40:])) < 0.1
    assert {e.epoch for e in energies[50:]} == {1}
    assert after  # two pictures after a cut tell no speed yet
    assert (await measure(before + after))[-1].speed == pytest.approx(energies[49].speed, abs=0.3)


async def test_the_quicker_eyes_next_epoch_does_not_wipe_the_slower_eyes_past() -> None:
    """Around a loop of a clip packets of both epochs come mixed."""
    packets: list[Packet] = [people(n, at=n / 25) for n in range(49)]
    last = people(49, at=49 / 25)
    mixed: list[Packet] = [*packets, motion(49, at=49 / 25, epoch=1), last]
    arms = (await measure(mixed))[-1].arms
    assert arms is not None
    assert arms == (await measure([*packets, last]))[-1].arms


async def test_live_it_knows_the_programme_of_the_hour() -> None:
    """At two in the morning, not in the middle."""
    clock = ManualClock(now=2 * 3600.0)
    programme = Programme(points=(("00:00", 100, 0.1), ("04:00", 120, 0.9)))
    stage = MeasureEnergy(
        MeasureEnergyConfig(programme=programme), a_context(clock=clock, offline=False)
    )
    for n in range(200):
        energy = stage.tick(clock.now() + n / 20)
    assert energy.drive == pytest.approx(0.5)
    await clock.advance(3600)
    for n in range(200):
        energy = stage.tick(clock.now() + n / 20)
    assert energy.drive == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(
    "settings",
    [
        {"still": 1.0},
        {"half": 2.4},
        {"still": -0.1},
        {"few_people": 0},
        {"attack_seconds": -1},
        {"stale_after_seconds": 0},
        {"full": float("inf")},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MeasureEnergyConfig(**settings)


DIAMOND = {
    "offline": True,
    "stage": [
        {"use": "drawn_crowd", "size": [320, 180], "fps": 15, "seconds": 1.0, "seed": 5},
        {"use": "measure_motion", "inbox": {"capacity": 1}},
        {
            "use": "crowdstream.testing.fakes:FakeModel",
            "from": "drawn_crowd",
            "inbox": {"capacity": 1},
        },
        {
            "use": "measure_energy",
            "from": ["measure_motion", "FakeModel"],
            "inbox": {"capacity": 1},
        },
        {"use": "crowdstream.testing.fakes:Collect", "inbox": {"capacity": 1}},
    ],
}


@pytest.mark.timeout(60)
async def test_the_diamond_gives_the_same_bytes_in_twenty_runs(tmp_path: Any) -> None:
    """One source, two eyes, one measurement: whoever was quicker, and never a deadlock."""
    import asyncio

    plan = make_plan(Recipe.model_validate(DIAMOND), Config())
    seen = set()
    for _ in range(20):
        supervisor = Supervisor(
            plan,
            clock=SystemClock(),
            log=SilentLog(),
            places=Places(tmp_path, tmp_path, tmp_path),
        )
        await supervisor.run(asyncio.Event())
        seen.add(repr([dataclasses.astuple(packet) for packet in Collect.kept]))
    assert len(seen) == 1
    eyes = [packet.fresh_from for packet in Collect.kept if isinstance(packet, Energy)]
    # A picture each 67 ms, and a tick 50 ms after each.
    assert eyes[:6] == ["motion", "pose", None, "motion", "pose", None]
    assert len(Collect.kept) >= 2 * 15


async def test_a_frame_rate_that_wavers_changes_nothing() -> None:
    """Pictures that come when they come: 40 to 120 ms apart."""

    async def level(gaps: list[float]) -> float:
        moments = np.cumsum(gaps)
        energies = await measure([people(n, at=float(at)) for n, at in enumerate(moments)])
        return float(np.mean([e.level for e in energies[len(energies) // 2 :]]))

    rng = np.random.default_rng(6)
    wavering = await level(list(rng.uniform(0.04, 0.12, 100)))
    assert wavering == pytest.approx(await level([1 / 30] * 240), rel=0.05)


async def test_after_the_clock_was_set_back_it_measures_on() -> None:
    """Not frozen until the old time has come again, and never a number that is none."""
    stage = MeasureEnergy(MeasureEnergyConfig(), a_context("measure_energy"))
    for n in range(60):
        stage.process(people(n, at=100.0 + n / 30))
    readings = [stage.process(people(n, at=10.0 + n / 30)) for n in range(60)]
    assert readings[-1].level == pytest.approx(0.55, abs=0.1)
    assert all(np.isfinite([r.level, r.drive, r.speed, r.confidence]).all() for r in readings)


async def test_stamps_that_go_back_and_stand_still_make_no_number_that_is_none() -> None:
    rng = np.random.default_rng(9)
    stage, at = MeasureEnergy(MeasureEnergyConfig(), a_context("measure_energy")), 5.0
    for n in range(300):
        at += float(rng.choice([0.0, 0.02, 0.033, 0.1, 2.0, -0.05, -1.0, -20.0]))
        energy = stage.process(motion(n, at=at) if n % 3 == 0 else people(n, at=at))
        assert np.isfinite([energy.level, energy.drive, energy.speed, energy.confidence]).all()
