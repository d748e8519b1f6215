"""Facts about an armed show: when it begins, and what is kept of that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crowdstream.begun import FILE, FRESH_SECONDS, Show, forget, goes_on, note
from crowdstream.controls import Control, Controls
from crowdstream.testing.clock import ManualClock
from crowdstream.testing.stages import SilentLog


def a_show(state: Path, *armed: str) -> tuple[Show, Controls, SilentLog]:
    controls, log = Controls(), SilentLog()
    controls.declare("speakers", {"start": Control(0.0, 0.0, 1.0, "Begins.")})
    return Show(armed, controls, state, ManualClock(), log), controls, log


async def told(show: Show, times: int = 1, noted: Path | None = None) -> None:
    """As `kill -USR1` would; returns when that is written down in `noted`."""
    begin = asyncio.Event()
    work = asyncio.create_task(show.follow(begin))
    for _ in range(times):
        begin.set()
        async with asyncio.timeout(10.0):
            while begin.is_set() or (noted is not None and not (noted / FILE).exists()):
                await asyncio.sleep(0)
    work.cancel()
    await asyncio.wait({work})


def test_a_note_is_good_for_ten_minutes(tmp_path: Path) -> None:
    """What is older is of another night; what comes from the future is of a clock gone wrong."""
    assert not goes_on(tmp_path, 1000.0)
    note(tmp_path / "state", 1000.0)
    state = tmp_path / "state"
    assert [goes_on(state, 1000.0 + t) for t in (0.0, 599.0, FRESH_SECONDS + 1.0, -700.0)] == [
        True, True, False, False,
    ]  # fmt: skip
    forget(state)
    assert not goes_on(state, 1000.0)


@pytest.mark.parametrize("text", ["", "soon", "nan", "\xff"])
def test_a_note_that_is_broken_is_none(tmp_path: Path, text: str) -> None:
    """The show is armed then."""
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    assert not goes_on(tmp_path, 1000.0)


def test_a_folder_that_cannot_be_written_costs_the_note_and_nothing_else(tmp_path: Path) -> None:
    """The show goes on."""
    (tmp_path / "file").touch()
    note(tmp_path / "file", 1000.0)
    forget(tmp_path / "file")
    assert not goes_on(tmp_path / "file", 1000.0)


async def test_an_armed_show_begins_when_it_is_told(tmp_path: Path) -> None:
    """Its control is turned; that it was told twice is said and changes nothing."""
    show, controls, log = a_show(tmp_path, "speakers")
    assert controls.value("speakers.start") == 0.0
    await told(show, times=2)
    assert controls.value("speakers.start") == 1.0
    assert [event for _, event, _ in log.said] == ["show_begun", "show_not_begun"]


async def test_a_show_that_is_not_armed_has_nothing_to_begin(tmp_path: Path) -> None:
    """Nothing is kept of it."""
    show, _, log = a_show(tmp_path)
    await told(show)
    assert [event for _, event, _ in log.said] == ["show_not_begun"]
    assert not (tmp_path / FILE).exists()


async def test_a_daemon_that_died_in_mid_show_does_not_come_back_armed(tmp_path: Path) -> None:
    """But after an orderly end the next one is."""
    show, _, _ = a_show(tmp_path, "speakers")
    await told(show, noted=tmp_path)
    again, controls, log = a_show(tmp_path, "speakers")
    assert controls.value("speakers.start") == 1.0
    assert [event for _, event, _ in log.said] == ["show_goes_on"]
    again.over()
    _, controls, _ = a_show(tmp_path, "speakers")
    assert controls.value("speakers.start") == 0.0
