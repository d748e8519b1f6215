"""Compiled kernels: where they are kept, and making all of them before the first beat."""

from __future__ import annotations

import os
from importlib import import_module
from pkgutil import walk_packages

from crowdstream.stage import Places


def prepare_caches(places: Places) -> None:
    """Point numba at a cache that can be written; the install itself may be read-only.

    Must be called before the first kernel is imported; does nothing where the machine says
    otherwise (NUMBA_CACHE_DIR).
    """
    os.environ.setdefault("NUMBA_CACHE_DIR", str(places.cache / "numba"))


def warm_kernels() -> list[str]:
    """Import every module with kernels: their explicit signatures compile, or load, at once.

    Returns the names of the modules.
    """
    warmed = []
    for room in ("dsp", "music", "player", "vision"):
        package = f"crowdstream.{room}"
        module = import_module(package)
        for found in walk_packages(module.__path__, f"{package}."):
            if found.name.endswith((".process", ".__main__")):
                continue
            import_module(found.name)
            warmed.append(found.name)
    return warmed
