"""A checkpoint for export: its bytes, once somebody has vouched for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from crowdstream.errors import ConfigError
from crowdstream.models.find import read_manifest
from crowdstream.models.kinds import ModelMissing
from crowdstream.models.load import read_bytes, refuse_unknown
from crowdstream.models.notes import read_notes


class Checkpoint(NamedTuple):
    """A .pt that may be opened, by a process of its own."""

    name: str
    content: bytes
    sha256: str


def take_checkpoint(name_or_path: str, folder: Path, state: Path, *, trusted: bool) -> Checkpoint:
    """Read a .pt by the name of known weights, or by its path, and see that it may be opened.

    To open a .pt is to run it: its SHA-256 must be one of the manifest's, or noted when it was
    added, or it is `trusted`.

    Raises:
        ModelMissing: it is not there.
        ConfigError: it is no .pt, or nobody vouches for it.
    """
    known = read_manifest(folder)
    named = next((weights for weights in known if weights.name == name_or_path), None)
    path = Path(name_or_path).expanduser()
    if "/" not in name_or_path and path.suffix != ".pt":
        path = folder / (named.file if named is not None else f"{name_or_path}.pt")
    elif "/" not in name_or_path and not path.exists():
        path = folder / path
    if path.suffix != ".pt":
        raise ConfigError(f"{path} is no pose model that is exported: give a name or a .pt file")
    if not path.exists():
        pull = f": run: crowdstream models pull {named.name}" if named is not None else ""
        raise ModelMissing(f"no {path.name} in {path.parent}{pull}")
    content = read_bytes(path)
    found = hashlib.sha256(content).hexdigest()
    if not trusted:
        refuse_unknown(path, found, folder, read_notes(state))
    return Checkpoint(path.stem, content, found)
