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
    assert len(told) == slips
    assert all(took > 0.0 for _, took in told)
