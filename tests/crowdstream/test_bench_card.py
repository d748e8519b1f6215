"""Facts about the bench of a card in real time: when it runs, and what its hearts notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from crowdstream.errors import UsageError
from crowdstream.offline import bench_card


def test_without_minutes_it_is_left_out_and_says_how_to_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(bench_card.MINUTES, raising=False)
    said: list[str] = []
    assert bench_card.card_rows(said.append) == []
    assert said == [f"left out: a card in real time ({bench_card.MINUTES}=10)"]


def test_minutes_that_are_no_number_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bench_card.MINUTES, "ten")
    with pytest.raises(UsageError, match="is 'ten': give a number of minutes"):
        bench_card.card_rows(lambda _: None)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("limit", "slips"), [("-1", 1), ("60", 0)])
def test_a_heart_tells_its_slips_when_its_stdin_ends(limit: str, slips: int) -> None:
    """With a limit below nothing each beat is one; of a minute, none."""
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", bench_card._HEART, str(core), limit],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert isinstance(told["first"], bool)
    assert len(told["slips"]) == slips
    assert all(took > 0.0 for _, took in told["slips"])


def test_underruns_are_counted_over_all_lives_of_a_player() -> None:
    counted = bench_card.Underruns()
    for at, underruns in ((1.0, 0), (2.0, 3), (3.0, 3), (10.0, 1), (11.0, 2)):
        counted.see(at, "ok", underruns)
    assert counted.total == 5
    assert counted.apart_from([]) == 5
    assert counted.apart_from([1.5]) == 2  # those of 2.0 may be the machine's
    assert counted.apart_from([2.5]) == 5  # what slips afterwards explains nothing


def test_a_player_that_was_silent_throughout_proves_nothing() -> None:
    counted = bench_card.Underruns()
    counted.see(1.0, "silent", 0)
    assert not counted.was_heard
    counted.see(2.0, "ok", 0)
    assert counted.was_heard
