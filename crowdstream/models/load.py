"""Bytes of a model, compared with the hash that they must have before anybody parses them."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from crowdstream.errors import ConfigError, DeviceError, MediaError
from crowdstream.models.find import read_manifest
from crowdstream.models.kinds import LoadedModel, ModelFile, ModelMissing, Trust
from crowdstream.models.notes import note, read_notes
from crowdstream.models.outline import check_outline, read_outline
from crowdstream.models.outline_ir import read_ir_outline

MAX_BYTES: Final = 1 << 30
"""Larger files are no pose models; reading one would push the music out of memory."""


def load_model(file: ModelFile, folder: Path, state: Path) -> LoadedModel:
    """Read a model, compare its hashes, and return the bytes that were compared.

    `folder` is that of the manifest, `state` that of the notes; a file seen for the first time is
    noted, unless it is a .pt: for that somebody must have vouched. Raises ConfigError naming both
    hashes if one has changed, and where nobody has vouched; MediaError if a file cannot be a model.
    """
    loaded = compare_model(file, folder, state)
    if loaded.trust == "new":
        note(state, dict(zip(file.paths, loaded.sha256, strict=True)))
    return loaded


def compare_model(file: ModelFile, folder: Path, state: Path) -> LoadedModel:
    """As `load_model`, but nothing is noted: for whoever only asks whether it would be loaded."""
    contents = [read_bytes(path) for path in file.paths]
    hashes = tuple(hashlib.sha256(content).hexdigest() for content in contents)
    notes = read_notes(state)
    expected, trust = expected_hashes(file, folder, notes)
    for path, found, wanted in zip(file.paths, hashes, expected, strict=True):
        if wanted and wanted != found:
            raise ConfigError(_changed(file, path, wanted, found, trust))
    if trust == "new" and file.form == "checkpoint":
        refuse_unknown(file.paths[0], hashes[0], folder, notes)
    return LoadedModel(
        name=file.name,
        form=file.form,
        model=contents[0],
        weights=contents[1] if len(contents) > 1 else b"",
        sha256=hashes,
        trust=trust,
    )


def look_through(name: str, file: ModelFile, contents: Sequence[bytes]) -> None:
    """Refuse what is no whole pose model, before an engine sees it. A .pt tells nothing unopened.

    `contents` are the bytes of its files. Raises MediaError.
    """
    if file.form == "onnx":
        check_outline(name, read_outline(name, contents[0]))
    elif file.form == "openvino":
        check_outline(name, read_ir_outline(name, contents[0], len(contents[1])))


def refuse_unknown(path: Path, found: str, folder: Path, notes: dict[str, str]) -> None:
    """Raises ConfigError if nobody has vouched for a .pt with these bytes: opening it runs it.

    Who vouches is the manifest, or whoever added a .pt of the same bytes: then it was noted.
    """
    known = {weights.sha256 for weights in read_manifest(folder)}
    # Of other files any bytes are noted at first use: that is no word for running them.
    known |= {noted for place, noted in notes.items() if place.endswith(".pt")}
    if found not in known:
        raise ConfigError(
            f"{path} is not opened, for a .pt can run any code and nobody has vouched for this one"
            f" (SHA-256 {found}): if you trust whoever made it, run: crowdstream models add"
            f" {shlex.quote(str(path))}"
        )


def _changed(file: ModelFile, path: Path, wanted: str, found: str, trust: Trust) -> str:
    sentence = f"{path} has changed: expected SHA-256 {wanted[:12]}…, found {found[:12]}…"
    if trust == "manifest":
        return f"{sentence}; it is not the file that models/manifest.toml names: get it again"
    name = str(path) if file.form == "checkpoint" else file.name
    accept = f"crowdstream models verify --accept {shlex.quote(name)}"
    return f"{sentence}; copy it again, or if you changed it yourself run: {accept}"


def expected_hashes(
    file: ModelFile, folder: Path, notes: dict[str, str]
) -> tuple[tuple[str, ...], Trust]:
    """A hash for each path of the file ("" where none is known), and who says so."""
    known = {weights.file: weights.sha256 for weights in read_manifest(folder)}
    here = folder.resolve()
    if all(path.parent == here and path.name in known for path in file.paths):
        return tuple(known[path.name] for path in file.paths), "manifest"
    noted = tuple(notes.get(str(path), "") for path in file.paths)
    return noted, "noted" if all(noted) else "new"


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises ModelMissing, DeviceError or MediaError with one sentence."""
    try:
        # Not blocking: a named pipe would otherwise wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ModelMissing(f"no model at {path}: it was there a moment ago") from None
    except OSError as error:
        raise DeviceError(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as opened:
        facts = os.fstat(opened.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise MediaError(f"{path} is not a file: give an .onnx or .xml file")
        if not 0 < facts.st_size <= MAX_BYTES:
            raise MediaError(
                f"{path} has {facts.st_size} bytes: a model has more than none and at most"
                f" {MAX_BYTES >> 20} MB"
            )
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise MediaError(f"{path} grew while it was read: wait until it is whole")
    return content
