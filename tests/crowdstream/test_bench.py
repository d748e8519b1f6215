"""A bench's row is a plain figure, whatever library it was computed with."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from crowdstream.offline.bench import row


@pytest.mark.parametrize("met", [True, False])
def test_whether_a_goal_was_met_is_said_in_json(met: bool) -> None:
    """numpy's own truth would come out as a text, and any text is true."""
    computed: Any = np.bool_(met)
    told = row("what", "case", np.float64(1.0), "ms", goal=2.0, met=computed)
    assert json.loads(json.dumps(told))["met"] is met
