"""Weights by name or by path: which files they are, without reading one of them."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from crowdstream.errors import ConfigError
from crowdstream.models.kinds import Forms, KnownWeights, ModelFile, ModelMissing

AUTO: Final = ("yolov8n-pose", "yolo11n-pose")
"""Names that `auto` looks for, in this order."""

_PICKLED: Final = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".th", ".bin.pt"})
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a model may be called."""

_FOLDERS: Final = ("{}_int8_openvino_model", "{}_half_openvino_model", "{}_openvino_model", "{}")
# The faster first: whoever put 8-bit weights there wants them used.


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


def find_model(name_or_path: str, folder: Path, *, pickles: bool = False) -> ModelFile:
    """Look for a model by name in the models folder, or by path; `auto` takes the first of AUTO.

    A path is what has a slash or ends in .onnx or .xml. With `pickles` only a .pt is looked for.
    Reads nothing of the files. Raises ModelMissing if it is not there, ConfigError if it is
    there and of a kind we do not load.
    """
    if pickles:
        return _find_checkpoint(name_or_path, folder)
    if name_or_path == "auto":
        return _find_first(folder)
    path = Path(name_or_path).expanduser()
    refuse_pickle(path)
    if "/" in name_or_path or path.suffix in (".onnx", ".xml"):
        # A bare file name is looked for in the working directory, then in the models folder.
        if "/" not in name_or_path and not path.exists() and (folder / path).exists():
            path = folder / path
        return by_path(name_or_path, path)
    if not NAME.fullmatch(name_or_path):
        raise ConfigError(
            f"model {name_or_path!r} is neither a name nor a path: give none, auto, a name from"
            f" {folder}, or the path of an .onnx or .xml file"
        )
    if (found := by_name(name_or_path, folder)) is not None:
        return found
    if (folder / f"{name_or_path}.pt").exists():
        refuse_pickle(folder / f"{name_or_path}.pt")
    raise ModelMissing(
        f"no model {name_or_path} in {folder}: put {name_or_path}.onnx or"
        f" {name_or_path}_openvino_model there, or run: crowdstream models add FILE"
    )


def _find_first(folder: Path) -> ModelFile:
    for name in AUTO:
        if (found := by_name(name, folder)) is not None:
            return found
    unexported = next((name for name in AUTO if (folder / f"{name}.pt").exists()), None)
    if unexported is not None:
        raise ModelMissing(
            f"{folder} has only {unexported}.pt, which is not loaded as it is: make"
            f" OpenVINO files of it once, with ultralytics: crowdstream models export {unexported}"
        )
    raise ModelMissing(
        f"no pose model in {folder}: put {AUTO[0]}.onnx or {AUTO[0]}_openvino_model there, or run:"
        " crowdstream models add FILE"
    )


def _find_checkpoint(name_or_path: str, folder: Path) -> ModelFile:
    path = Path(name_or_path).expanduser()
    if path.suffix == ".pt":
        places = [path] if "/" in name_or_path else [path, folder / path]
    elif "/" in name_or_path or path.suffix in (".onnx", ".xml"):
        raise ConfigError(
            f'{path} is no .pt, and backend = "ultralytics" opens nothing else: give a .pt, or'
            " leave backend out"
        )
    else:
        names = AUTO if name_or_path == "auto" else (name_or_path,)
        places = [folder / f"{name}.pt" for name in names if NAME.fullmatch(name)]
    for place in places:
        if place.exists():
            return checkpoint_at(name_or_path, place)
    raise ModelMissing(
        f"no {' or '.join(map(str, places)) or repr(name_or_path)}: check the path, or run:"
        " crowdstream models add FILE.pt"
    )


def checkpoint_at(name: str, path: Path) -> ModelFile:
    """The .pt in this file; reads nothing of it."""
    return ModelFile(name=name, form="checkpoint", paths=(path.parent.resolve() / path.name,))


def forms_of(file: ModelFile) -> Forms:
    """The same network with 8-bit and with floating numbers, where both lie side by side.

    `NAME_int8_openvino_model` belongs to `NAME_openvino_model`, `NAME.xml` and `NAME.onnx`, and
    so do `NAME_int8.xml` and `NAME_int8.onnx`. Reads nothing of the files: that they are one
    network is for whoever compares what they see.
    """
    path = file.paths[0]
    in_folder = path.parent.name.endswith("_openvino_model")
    root = path.parent.parent if in_folder else path.parent
    base = path.parent.name.removesuffix("_openvino_model") if in_folder else path.stem
    core = base.removesuffix("_int8").removesuffix("_half")
    if base.endswith("_int8"):
        floats = (*(root / pattern.format(core) for pattern in _FOLDERS[1:]),
                  root / f"{core}.xml", root / f"{core}.onnx")  # fmt: skip
        return Forms(int8=file, floating=_first_of(file.name, floats))
    eights = (root / f"{core}_int8_openvino_model", root / f"{core}_int8.xml",
              root / f"{core}_int8.onnx")  # fmt: skip
    return Forms(int8=_first_of(file.name, eights), floating=file)


def _first_of(name: str, paths: Iterable[Path]) -> ModelFile | None:
    for path in paths:
        if path.exists():
            with contextlib.suppress(ConfigError, ModelMissing):
                return by_path(name, path)
    return None


def by_name(name: str, folder: Path) -> ModelFile | None:
    """The model of this name in the folder, its 8-bit form first."""
    onnx = folder / f"{name}.onnx"
    if onnx.exists() and importlib.util.find_spec("openvino") is None:
        return by_path(name, onnx)  # the other engine reads nothing else
    for pattern in _FOLDERS:
        if (inside := folder / pattern.format(name)).is_dir():
            return by_path(name, inside)
    for path in (folder / f"{name}.xml", onnx):
        if path.exists():
            return by_path(name, path)
    return None


def by_path(name: str, path: Path) -> ModelFile:
    """The model in this file or folder. Raises ModelMissing or ConfigError."""
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
    refuse_pickle(path)
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


def refuse_pickle(path: Path) -> None:
    """Raises ConfigError for a file that is opened by running it."""
    if path.suffix.lower() in _PICKLED:
        raise ConfigError(
            f"{path} may hold a pickle, and no pickle is ever loaded by the daemon: make"
            f" OpenVINO files of it once, with ultralytics: crowdstream models export {path}"
        )


def models_in(folder: Path) -> Iterator[ModelFile]:
    """Every model that can be named, by name."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix == ".pt":
            yield checkpoint_at(path.stem, path)
            continue
        if path.is_dir() and path.name.endswith("_openvino_model"):
            name = path.name.removesuffix("_openvino_model")
        elif path.suffix in (".onnx", ".xml"):
            name = path.stem
        else:
            continue
        with contextlib.suppress(ConfigError, ModelMissing):
            yield by_path(name, path)
