"""Weights by name or by path, and never a byte of them that was not hashed.

`models/manifest.toml` names weights that are known, with their SHA-256. Any other file is noted
with its own hash when it is added or first used, in `noted.toml` in the state folder. `load_model`
reads a file once, compares, and hands over the very bytes that it compared: what an engine
parses cannot have been exchanged in between.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shlex
import stat
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from crowdstream.errors import ConfigError, DeviceError, MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

Form = Literal["onnx", "openvino"]
Trust = Literal["manifest", "noted", "new"]
"""Where the expected hash comes from; `new` is a file that nobody has noted yet."""

AUTO: Final = ("yolov8n-pose", "yolo11n-pose")
"""Names that `auto` looks for, in this order."""

MAX_BYTES: Final = 1 << 30
"""Larger files are no pose models; reading one would push the music out of memory."""

_PICKLED: Final = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".th", ".bin.pt"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FOLDERS: Final = ("{}_int8_openvino_model", "{}_half_openvino_model", "{}_openvino_model", "{}")
# The faster first: whoever put 8-bit weights there wants them used.


class ModelMissing(DeviceError):
    """These weights are not on the machine; the chain can go on without, and they may come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWeights:
    """An entry of the manifest."""

    name: str
    file: str
    address: str
    size: int
    sha256: str
    licence: str
    purpose: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model on this machine, found but not yet read."""

    name: str
    """What the person called it: a name, or a path."""

    form: Form
    paths: tuple[Path, ...]
    """Absolute: the .onnx, or the .xml and the .bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """The bytes of a model whose hashes were compared."""

    name: str
    form: Form
    model: bytes
    """The .onnx or the .xml."""

    weights: bytes
    """The .bin; empty for an .onnx."""

    sha256: tuple[str, ...]
    """Of each file, in the order of ModelFile.paths."""

    trust: Trust
    """`new`: noted just now, for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A line of `models list`."""

    name: str
    form: Form | Literal["checkpoint"]
    present: bool
    path: str
    """Where it is, or the address where it can be had."""

    size: int
    """Bytes of all its files."""

    sha256: str
    """Expected hash of its first file; empty when not noted yet."""

    trust: Trust
    licence: str
    purpose: str = ""
    """What it is for, as the manifest says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A line of `models verify`: one file."""

    name: str
    path: str
    state: Literal["good", "changed", "missing", "new", "accepted"]
    expected: str
    found: str


# --- finding ---------------------------------------------------------------------------------


def read_manifest(folder: Path) -> list[KnownWeights]:
    """The weights that are known by name; none where there is no manifest.

    Raises ConfigError naming each mistake.
    """
    path = folder / "manifest.toml"
    try:
        entries = tomllib.loads(path.read_text("utf-8")).get("weights", [])
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    known, mistakes = [], []
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        try:
            weights = KnownWeights(**entry)
        except TypeError as error:
            mistakes.append(f"{path}: weights {number}: {str(error).split('.__init__() ')[-1]}")
            continue
        if not re.fullmatch(r"[0-9a-f]{64}", weights.sha256):
            mistakes.append(f"{path}: {weights.name}: sha256 must be 64 small hexadecimal digits")
        known.append(weights)
    if mistakes:
        raise ConfigError(*mistakes)
    return known


def find_model(name_or_path: str, folder: Path) -> ModelFile:
    """Look for a model by name in the models folder, or by path; `auto` takes the first of AUTO.

    A path is what has a slash or ends in .onnx or .xml. Reads nothing of the files. Raises
    ModelMissing if it is not there, ConfigError if it is there and of a kind we do not load.
    """
    if name_or_path == "auto":
        return _find_first(folder)
    path = Path(name_or_path).expanduser()
    _refuse_pickle(path)
    if "/" in name_or_path or path.suffix in (".onnx", ".xml"):
        # A bare file name is looked for in the working directory, then in the models folder.
        if "/" not in name_or_path and not path.exists() and (folder / path).exists():
            path = folder / path
        return _by_path(name_or_path, path)
    if not _NAME.fullmatch(name_or_path):
        raise ConfigError(
            f"model {name_or_path!r} is neither a name nor a path: give none, auto, a name from"
            f" {folder}, or the path of an .onnx or .xml file"
        )
    if (found := _by_name(name_or_path, folder)) is not None:
        return found
    if (folder / f"{name_or_path}.pt").exists():
        _refuse_pickle(folder / f"{name_or_path}.pt")
    raise ModelMissing(
        f"no model {name_or_path} in {folder}: put {name_or_path}.onnx or"
        f" {name_or_path}_openvino_model there, or run: crowdstream models add FILE"
    )


def _find_first(folder: Path) -> ModelFile:
    for name in AUTO:
        if (found := _by_name(name, folder)) is not None:
            return found
    unexported = next((name for name in AUTO if (folder / f"{name}.pt").exists()), None)
    if unexported is not None:
        raise ModelMissing(
            f"{folder} has only {unexported}.pt, which is not loaded as it is: make"
            f" OpenVINO files of it once, with ultralytics: yolo export model={unexported}.pt"
            " format=openvino"
        )
    raise ModelMissing(
        f"no pose model in {folder}: put {AUTO[0]}.onnx or {AUTO[0]}_openvino_model there, or run:"
        " crowdstream models add FILE"
    )


def _by_name(name: str, folder: Path) -> ModelFile | None:
    onnx = folder / f"{name}.onnx"
    if onnx.exists() and importlib.util.find_spec("openvino") is None:
        return _by_path(name, onnx)  # the other engine reads nothing else
    for pattern in _FOLDERS:
        if (inside := folder / pattern.format(name)).is_dir():
            return _by_path(name, inside)
    for path in (folder / f"{name}.xml", onnx):
        if path.exists():
            return _by_path(name, path)
    return None


def _by_path(name: str, path: Path) -> ModelFile:
    if path.is_dir():
        inside = sorted(path.glob("*.xml")) or sorted(path.glob("*.onnx"))
        if len(inside) != 1:
            raise ConfigError(
                f"{path} has {len(inside)} models (.xml or .onnx) in it: name the one file"
            )
        path = inside[0]
    if not path.exists():
        raise ModelMissing(f"no model at {path}: check the path, or give the name of another")
    # The folder is made absolute, the file's own link is not followed: the manifest speaks of the
    # name in the models folder, wherever that points.
    path = path.parent.resolve() / path.name
    _refuse_pickle(path)
    if path.suffix == ".onnx":
        return ModelFile(name=name, form="onnx", paths=(path,))
    if path.suffix == ".xml":
        weights = path.with_suffix(".bin")
        if not weights.exists():
            raise ModelMissing(f"{path} has no {weights.name} beside it: copy both")
        return ModelFile(name=name, form="openvino", paths=(path, weights))
    raise ConfigError(
        f"{path} is no model that can be loaded: give an .onnx file, or an OpenVINO .xml with its"
        " .bin"
    )


def _refuse_pickle(path: Path) -> None:
    if path.suffix.lower() in _PICKLED:
        raise ConfigError(
            f"{path} may hold a pickle, and no pickle is ever loaded by the daemon: make"
            f" OpenVINO files of it once, with ultralytics: yolo export model={path.name}"
            " format=openvino"
        )


# --- loading ---------------------------------------------------------------------------------


def load_model(file: ModelFile, folder: Path, state: Path) -> LoadedModel:
    """Read a model, compare its hashes, and return the bytes that were compared.

    `folder` is that of the manifest, `state` that of the notes; a file seen for the first time is
    noted. Raises ConfigError naming both hashes if one has changed, MediaError if a file cannot be
    a model.
    """
    contents = [_read(path) for path in file.paths]
    hashes = tuple(hashlib.sha256(content).hexdigest() for content in contents)
    expected, trust = _expected(file, folder, _read_notes(state))
    for path, found, wanted in zip(file.paths, hashes, expected, strict=True):
        if wanted and wanted != found:
            raise ConfigError(_changed(file.name, path, wanted, found, trust))
    if trust == "new":
        _note(state, dict(zip(file.paths, hashes, strict=True)))
    return LoadedModel(
        name=file.name,
        form=file.form,
        model=contents[0],
        weights=contents[1] if len(contents) > 1 else b"",
        sha256=hashes,
        trust=trust,
    )


def _changed(name: str, path: Path, wanted: str, found: str, trust: Trust) -> str:
    sentence = f"{path} has changed: expected SHA-256 {wanted[:12]}…, found {found[:12]}…"
    if trust == "manifest":
        return f"{sentence}; it is not the file that models/manifest.toml names: get it again"
    accept = f"crowdstream models verify --accept {shlex.quote(name)}"
    return f"{sentence}; copy it again, or if you changed it yourself run: {accept}"


def _expected(
    file: ModelFile, folder: Path, notes: dict[str, str]
) -> tuple[tuple[str, ...], Trust]:
    """A hash for each path of the file ("" where none is known), and who says so."""
    known = {weights.file: weights.sha256 for weights in read_manifest(folder)}
    here = folder.resolve()
    if all(path.parent == here and path.name in known for path in file.paths):
        return tuple(known[path.name] for path in file.paths), "manifest"
    noted = tuple(notes.get(str(path), "") for path in file.paths)
    return noted, "noted" if all(noted) else "new"


def _read(path: Path) -> bytes:
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


# --- what the commands do ---------------------------------------------------------------------


def list_models(folder: Path, state: Path) -> list[ListedModel]:
    """Every model in the models folder, then known weights that are not there."""
    notes = _read_notes(state)
    listed = []
    for file in _models_in(folder):
        expected, trust = _expected(file, folder, notes)
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

    `source` is an .onnx, an OpenVINO .xml or its folder. What had the name before is replaced
    only when the copy is whole. Raises as find_model, and MediaError for an ONNX file that is no
    pose model.
    """
    file = _by_path(source.name, source.expanduser())
    contents = [_read(path) for path in file.paths]
    name = file.paths[0].stem
    if file.form == "onnx":
        # Looked at here already: the person who adds it is the one who can do something about it.
        from crowdstream.vision.model import check_output_shape
        from crowdstream.vision.onnx import read_outline

        outline = read_outline(file.name, contents[0])
        check_output_shape(file.name, outline.inputs, outline.outputs)
        folder_of_model = folder
    else:
        parent = source.name if source.is_dir() else source.resolve().parent.name
        if not parent.endswith("_openvino_model"):
            parent = f"{name}_openvino_model"
        name = parent.removesuffix("_openvino_model")
        folder_of_model = folder / parent
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a model's name: letters, digits, dot, - and _ only")
    try:
        folder_of_model.mkdir(parents=True, exist_ok=True)
        placed = tuple(folder_of_model.resolve() / path.name for path in file.paths)
        # The .bin first: who finds the .xml finds both.
        for path, content in reversed(list(zip(placed, contents, strict=True))):
            _write(path, content)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot write there ({error.strerror}): name another models folder"
        ) from error
    hashes = (hashlib.sha256(content).hexdigest() for content in contents)
    _note(state, dict(zip(placed, hashes, strict=True)))
    return ModelFile(name=name, form=file.form, paths=placed)


def verify_models(folder: Path, state: Path, accept: str | None = None) -> list[Verdict]:
    """Hash every model of the models folder and every file that was ever noted.

    `accept` names one model (by name or path) whose change, if any, is taken over first. Known
    weights of the manifest cannot be accepted otherwise than they are: they stay `changed`.
    """
    accepted: set[str] = set()
    if accept is not None:
        file = find_model(accept, folder)
        hashes = {path: hashlib.sha256(_read(path)).hexdigest() for path in file.paths}
        _note(state, hashes)
        accepted = {str(path) for path in file.paths}
    notes = _read_notes(state)
    verdicts = []
    seen: set[str] = set()
    for file in _models_in(folder):
        expected, _ = _expected(file, folder, notes)
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
        found = hashlib.sha256(_read(path)).hexdigest()
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


def _models_in(folder: Path) -> Iterator[ModelFile]:
    """Every model that can be named, by name."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name.endswith("_openvino_model"):
            name = path.name.removesuffix("_openvino_model")
        elif path.suffix in (".onnx", ".xml"):
            name = path.stem
        else:
            continue
        with contextlib.suppress(ConfigError, ModelMissing):
            yield _by_path(name, path)


# --- notes -----------------------------------------------------------------------------------


def _read_notes(state: Path) -> dict[str, str]:
    """Expected SHA-256 by absolute path."""
    path = state / "noted.toml"
    try:
        entries = tomllib.loads(path.read_text("utf-8")).get("file", [])
        return {str(entry["path"]): str(entry["sha256"]) for entry in entries}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Not taken for empty: that would quietly trust every file anew.
        raise ConfigError(
            f"{path}: cannot be read ({error}); repair it, or remove it to note all models anew"
        ) from error


def _note(state: Path, hashes: dict[Path, str]) -> None:
    """Write down what these files hash to, beside what is noted already."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        with (state / "noted.toml.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a command may note while the daemon does
            notes = _read_notes(state) | {str(path): found for path, found in hashes.items()}
            lines = ["# SHA-256 of models, as noted when each was added or first used."]
            for path, found in sorted(notes.items()):
                quoted = json.dumps(path, ensure_ascii=False).replace("\x7f", "\\u007f")
                lines += ["", "[[file]]", f"path = {quoted}", f'sha256 = "{found}"']
            _write(state / "noted.toml", ("\n".join(lines) + "\n").encode("utf-8"))
    except (OSError, UnicodeEncodeError) as error:
        raise ConfigError(
            f"{state}: the hash of a model cannot be noted there ({error}): make it writable"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
