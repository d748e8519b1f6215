"""What `crowdstream models` does with the folder: list, add, verify."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Literal

from crowdstream.errors import ConfigError, DeviceError
from crowdstream.models.find import NAME, by_name, by_path, find_model, models_in, read_manifest
from crowdstream.models.kinds import ListedModel, ModelFile, Verdict
from crowdstream.models.load import expected_hashes, look_through, read_bytes
from crowdstream.models.notes import note, read_notes, write_whole


def list_models(folder: Path, state: Path) -> list[ListedModel]:
    """Every model in the models folder, then known weights that are not there."""
    notes = read_notes(state)
    listed = []
    for file in models_in(folder):
        expected, trust = expected_hashes(file, folder, notes)
        if file.form == "checkpoint" and trust == "manifest":
            continue  # told below, with its licence
        listed.append(
            ListedModel(
                name=file.name,
                form=file.form,
                present=True,
                path=str(file.paths[0]),
                size=sum(path.stat().st_size for path in file.paths),
                sha256=expected[0],
                trust=trust,
                licence="",
            )
        )
    for weights in read_manifest(folder):
        path = folder / weights.file
        listed.append(
            ListedModel(
                name=weights.name,
                form="checkpoint",
                present=path.exists(),
                path=str(path) if path.exists() else weights.address,
                size=weights.size,
                sha256=weights.sha256,
                trust="manifest",
                licence=weights.licence,
                purpose=weights.purpose,
            )
        )
    return listed


def add_model(source: Path, folder: Path, state: Path) -> ModelFile:
    """Copy a model into the models folder and note its hash. Returns where it is now.

    `source` is an .onnx, an OpenVINO .xml or its folder, or a .pt: whoever adds one vouches for
    its bytes. What had the name before is replaced only when the copy is whole. Raises as
    find_model, and MediaError for an ONNX file that is no pose model.
    """
    if source.suffix == ".pt":
        return _add_checkpoint(source.expanduser(), folder, state)
    file = by_path(source.name, source.expanduser())
    contents = [read_bytes(path) for path in file.paths]
    name = file.paths[0].stem
    # Looked at here already: the person who adds it is the one who can do something about it.
    look_through(file.name, file, contents)
    if file.form == "onnx":
        folder_of_model = folder
    else:
        parent = source.name if source.is_dir() else source.resolve().parent.name
        if not parent.endswith("_openvino_model"):
            parent = f"{name}_openvino_model"
        name = parent.removesuffix("_openvino_model")
        folder_of_model = folder / parent
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a model's name: letters, digits, dot, - and _ only")
    placed = tuple(folder_of_model.resolve() / path.name for path in file.paths)
    # The .bin first: who finds the .xml finds both.
    _place(dict(reversed(list(zip(placed, contents, strict=True)))), folder)
    hashes = (hashlib.sha256(content).hexdigest() for content in contents)
    note(state, dict(zip(placed, hashes, strict=True)))
    return ModelFile(name=name, form=file.form, paths=placed)


def _add_checkpoint(source: Path, folder: Path, state: Path) -> ModelFile:
    """Only whether it is a checkpoint is looked at, by names: to look into a .pt is to run it."""
    content = read_bytes(source)
    if not _is_checkpoint(content):
        raise ConfigError(
            f"{source} is no checkpoint of torch: it must be an archive with a data.pkl in it, as"
            " torch.save writes it; copy it again"
        )
    found = hashlib.sha256(content).hexdigest()
    placed = folder.resolve() / source.name
    if not NAME.fullmatch(source.stem):
        raise ConfigError(
            f"{source.stem!r} cannot be a model's name: letters, digits, dot, - and _ only"
        )
    known = {weights.file: weights.sha256 for weights in read_manifest(folder)}
    if known.get(source.name, found) != found:
        raise ConfigError(
            f"{source} is not the {source.name} that models/manifest.toml names: give it another"
            " name, or run: crowdstream models pull"
        )
    _place({placed: content}, folder)
    note(state, {placed: found})
    return ModelFile(name=source.stem, form="checkpoint", paths=(placed,))


def _is_checkpoint(content: bytes) -> bool:
    """The archive that torch.save writes; nothing of it is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _place(contents: dict[Path, bytes], folder: Path) -> None:
    """Write files into the models folder, in their order."""
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot write there ({error.strerror}): name another models folder"
        ) from error


def verify_models(folder: Path, state: Path, accept: str | None = None) -> list[Verdict]:
    """Hash every model of the models folder and every file that was ever noted.

    `accept` names one model (by name or path) whose change, if any, is taken over first. Known
    weights of the manifest cannot be accepted otherwise than they are: they stay `changed`.
    """
    accepted: set[str] = set()
    if accept is not None:
        only_checkpoint = by_name(accept, folder) is None and (folder / f"{accept}.pt").exists()
        file = find_model(accept, folder, pickles=accept.endswith(".pt") or only_checkpoint)
        hashes = {path: hashlib.sha256(read_bytes(path)).hexdigest() for path in file.paths}
        note(state, hashes)
        accepted = {str(path) for path in file.paths}
    notes = read_notes(state)
    verdicts = []
    seen: set[str] = set()
    for file in models_in(folder):
        expected, _ = expected_hashes(file, folder, notes)
        for path, wanted in zip(file.paths, expected, strict=True):
            seen.add(str(path))
            verdicts.append(_verdict(file.name, path, wanted, str(path) in accepted))
    for weights in read_manifest(folder):
        path = folder / weights.file
        if path.exists() and str(path.resolve()) not in seen:
            verdicts.append(_verdict(weights.name, path, weights.sha256, False))
    for noted, wanted in sorted(notes.items()):
        if noted not in seen:
            verdicts.append(_verdict(noted, Path(noted), wanted, noted in accepted))
    return verdicts


def _verdict(name: str, path: Path, wanted: str, accepted: bool) -> Verdict:
    try:
        found = hashlib.sha256(read_bytes(path)).hexdigest()
    except DeviceError:
        return Verdict(name=name, path=str(path), state="missing", expected=wanted, found="")
    state: Literal["good", "changed", "new", "accepted"]
    if not wanted:
        state = "new"
    elif wanted != found:
        state = "changed"
    else:
        state = "accepted" if accepted else "good"
    return Verdict(name=name, path=str(path), state=state, expected=wanted, found=found)
