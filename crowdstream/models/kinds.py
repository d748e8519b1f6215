"""What weights are called, found, and judged: the values that travel between the parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from crowdstream.errors import DeviceError

Form = Literal["onnx", "openvino", "checkpoint"]
"""`checkpoint` is a .pt: a pickle, that only `backend = "ultralytics"` opens."""

Trust = Literal["manifest", "noted", "new"]
"""Where the expected hash comes from; `new` is a file that nobody has noted yet."""


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
    part_of: str = ""
    """Name of the set of weights that are only used together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model on this machine, found but not yet read."""

    name: str
    """What the person called it: a name, or a path."""

    form: Form
    paths: tuple[Path, ...]
    """Absolute: the .onnx, the .xml and the .bin, or the .pt."""

    @property
    def described(self) -> str:
        """Its file and format, where one form is told from another."""
        path = self.paths[0]
        if self.form == "openvino":
            return f"{path.parent.name}/{path.name} (OpenVINO)"
        return f"{path.name} ({'ONNX' if self.form == 'onnx' else 'checkpoint'})"


class Forms(NamedTuple):
    """One network in two forms, where they are on this machine."""

    int8: ModelFile | None
    floating: ModelFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """The bytes of a model whose hashes were compared."""

    name: str
    form: Form
    model: bytes
    """The .onnx, the .xml or the .pt."""

    weights: bytes
    """The .bin; empty where there is none."""

    sha256: tuple[str, ...]
    """Of each file, in the order of ModelFile.paths."""

    trust: Trust
    """`new`: noted just now, for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A line of `models list`."""

    name: str
    form: Form
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
