"""Weights by name or by path, and never a byte of them that was not hashed.

`models/manifest.toml` names weights that are known, with their SHA-256. Any other file is noted
with its own hash when it is added or first used, in `noted.toml` in the state folder; a .pt, which
runs code when it is opened, only when it is added. `load_model`
reads a file once, compares, and hands over the very bytes that it compared: what an engine
parses cannot have been exchanged in between.
"""

from __future__ import annotations

from crowdstream.models.find import AUTO, find_model, forms_of, read_manifest
from crowdstream.models.keep import add_model, list_models, verify_models
from crowdstream.models.kinds import (
    Form,
    Forms,
    KnownWeights,
    ListedModel,
    LoadedModel,
    ModelFile,
    ModelMissing,
    Trust,
    Verdict,
)
from crowdstream.models.load import MAX_BYTES, compare_model, load_model, look_through, read_bytes
from crowdstream.models.take import Checkpoint, Weights, take_checkpoint, take_weights

__all__ = [
    "AUTO",
    "MAX_BYTES",
    "Checkpoint",
    "Form",
    "Forms",
    "KnownWeights",
    "ListedModel",
    "LoadedModel",
    "ModelFile",
    "ModelMissing",
    "Trust",
    "Verdict",
    "Weights",
    "add_model",
    "compare_model",
    "find_model",
    "forms_of",
    "list_models",
    "load_model",
    "look_through",
    "read_bytes",
    "read_manifest",
    "take_checkpoint",
    "take_weights",
    "verify_models",
]
