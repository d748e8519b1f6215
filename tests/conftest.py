"""Fixtures that every room of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real clips, weights and music; skips, saying so, where it is missing."""
    repository = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("CROWDSTREAM_ASSETS", repository.parent / "shared" / "assets"))
    if not folder.is_dir():
        pytest.skip(f"no folder of real material at {folder} (set CROWDSTREAM_ASSETS)")
    return folder
