"""The compiled kernels once as plain Python: the same facts, and coverage sees their lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# A few facts for each kernel; in plain Python everything takes a hundred times as long.
QUICK = "the_parts_are_those_that_move or a_bounce_of_the_torso or hidden_joints or without_a_body_length or torsos_are_measured or it_equals_a_plain_list or it_holds_only_the_newest or nobody_is_nobody"


@pytest.mark.timeout(120)
def test_the_same_facts_hold_without_the_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", QUICK, HERE],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=HERE.parent.parent,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_MAX_EXAMPLES": "5"},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
