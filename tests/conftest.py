"""Fixtures that every room of tests shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdstream.testing.jack import JackServer


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real clips, weights and music; skips, saying so, where it is missing."""
    repository = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("CROWDSTREAM_ASSETS", repository.parent / "shared" / "assets"))
    if not folder.is_dir():
        pytest.skip(f"no folder of real material at {folder} (set CROWDSTREAM_ASSETS)")
    return folder


@pytest.fixture(scope="session")
def warm_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for whole programs, with the built-in music in it; kept from run to run.

    The first test that asks for it waits for the music to be composed: give it a timeout of 120.
    """
    from crowdstream.music.compose import builtin_library

    if hasattr(request.config, "cache") and request.config.cache is not None:
        folder = Path(request.config.cache.mkdir("crowdstream"))
    else:
        folder = tmp_path_factory.mktemp("cache")
    builtin_library(folder / "music")
    return folder


@pytest.fixture(scope="session")
def jack() -> Iterator[JackServer]:
    """A sound card that keeps time, of our own; skips, naming the packages, without JACK."""
    if missing := JackServer.missing():
        pytest.skip(f"needs {missing}")
    with JackServer(f"crowdstream-test-{os.getpid()}") as server:
        yield server


@pytest.fixture
def jack_of_its_own() -> Iterator[JackServer]:
    """As `jack`, for a test that takes the card away."""
    if missing := JackServer.missing():
        pytest.skip(f"needs {missing}")
    with JackServer(f"crowdstream-own-{os.getpid()}") as server:
        yield server
