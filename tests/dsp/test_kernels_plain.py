"""The compiled kernels once as plain Python: the same facts, and coverage sees their lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# In plain Python these alone would take as long as all others together.
SLOW = (
    "nothing_is_above_the_ceiling", "camera_is_found_behind", "limiter_makes_no_click",
    "a_statue_that_trembles", "as_lively_with_trembling", "changes_nothing", "whatever_is_hidden",
    "any_rate_of_pictures", "filming_is_attention", "sixteen_bars", "hands_down_holds_nothing",
    "hands_up_is_dancing", "half_that_films", "not_held_by_the_few", "lost_eye_lets_go",
    "makes_anything_louder",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_same_facts_hold_without_the_compiler() -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE,
            "--ignore", HERE / "test_crowd.py", "--ignore", __file__,
            # What is small enough of it is in test_bounce.py.
            "--ignore", HERE / "test_groove.py",
            # And of this in test_medians.py.
            "--ignore", HERE / "test_split.py",
            "-k", " and ".join(f"not {name}" for name in SLOW),
        ],
        capture_output=True,
        text=True,
        timeout=170,
        cwd=HERE.parent.parent,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
