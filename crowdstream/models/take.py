"""Checkpoints for jobs that open them: their bytes, once somebody has vouched for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from crowdstream.errors import ConfigError
from crowdstream.models.find import read_manifest
from crowdstream.models.kinds import ModelMissing
from crowdstream.models.load import read_bytes, refuse_unknown
from crowdstream.models.notes import note, read_notes


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


class Weights(NamedTuple):
    """A .th that may be opened, by a process of its own that hashes it again."""

    name: str
    path: Path
    sha256: str
    pinned: bool
    """Whether the manifest names these very bytes."""


def take_weights(name_or_path: str, folder: Path, state: Path, *, trusted: bool) -> Weights:
    """Find a .th by the name of known weights, or by its path, and see that it may be opened.

    Its SHA-256 must be the manifest's, or the one that was noted in the state folder when it was
    first `trusted`.

    Raises:
        ModelMissing: it is not there.
        ConfigError: it is no .th, has changed, or nobody vouches for it.
    """
    known = read_manifest(folder)
    named = next((weights for weights in known if weights.name == name_or_path), None)
    path = folder / named.file if named is not None else Path(name_or_path).expanduser()
    if named is None and "/" not in name_or_path and not path.exists():
        path = folder / path
    if named is None and not path.suffix and "/" not in name_or_path:
        raise ModelMissing(
            f"no weights are called {name_or_path} in {folder / 'manifest.toml'}: see crowdstream"
            " models list, or give the path of a .th file"
        )
    if path.suffix != ".th":
        raise ConfigError(f"{name_or_path} is no model for stems: give a name or a .th file")
    if not path.exists():
        pull = f": run: crowdstream models pull {named.name}" if named is not None else ""
        raise ModelMissing(f"no {path.name} in {path.parent}{pull}")
    path = path.parent.resolve() / path.name
    found = hashlib.sha256(read_bytes(path)).hexdigest()
    name = named.name if named is not None else path.name
    if any(weights.sha256 == found for weights in known):
        return Weights(name, path, found, pinned=True)
    if named is not None:
        raise ConfigError(
            f"{path} has changed: expected SHA-256 {named.sha256[:12]}…, found {found[:12]}…; it is"
            " not the file that models/manifest.toml names: get it again"
        )
    noted = read_notes(state).get(str(path))
    if trusted:
        note(state, {path: found})
    elif noted is None:
        raise ConfigError(
            f"{path} is not opened, for models/manifest.toml does not know it (SHA-256 {found}): if"
            " you trust whoever made it, add --trust"
        )
    elif noted != found:
        raise ConfigError(
            f"{path} has changed: noted SHA-256 {noted[:12]}…, found {found[:12]}…; copy it again,"
            " or if you changed it yourself add --trust"
        )
    return Weights(name, path, found, pinned=False)
