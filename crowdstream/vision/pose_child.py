"""The child that looks for people: it holds the network, and answers one picture at a time.

A call names a slot of shared memory; the answer is the people in it. Everything that could hang
or crash in an engine's C++ happens here, where it can be killed.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream.errors import CrowdstreamError
from crowdstream.models import ModelFile, load_model
from crowdstream.slots import Slots
from crowdstream.vision.model import PoseModel, open_model
from crowdstream.wire import pack_arrays

if TYPE_CHECKING:
    from crowdstream.child import ChildSide
    from crowdstream.wire import Json, Message

TARGET: Final = "crowdstream.vision.pose_child:look_for_people"
"""What `Worker` is told to run."""

MOST_SLOTS: Final = 2
"""So many memories of pictures are kept attached: the camera's and the stage's own. The side that
sends them forgets by the same rule: the one that came first."""


def arguments_of(
    file: ModelFile,
    *,
    models: Path,
    state: Path,
    threads: int,
    precision: str,
    device: str,
    backend: str,
    min_score: float,
    size: tuple[int, int],
) -> dict[str, Json]:
    """What the child must know. `size` is the width and height that pictures are expected in."""
    return {
        "name": file.name,
        "form": file.form,
        "paths": [str(path) for path in file.paths],
        "models": str(models),
        "state": str(state),
        "threads": threads,
        "precision": precision,
        "device": device,
        "backend": backend,
        "min_score": min_score,
        "size": list(size),
    }


def look_for_people(child: ChildSide) -> None:
    """Open the model, run it once, then answer until the daemon ends.

    call {"op": "slots"} + descriptor         attach a memory of pictures
    call {"op": "prepare", "size": [w, h]}    get ready for pictures of another size
    call {"op": "look", "key", "index", "generation", "shape", "offset"}
        -> {"stale": false} and the arrays keypoints, scores, boxes
    """
    import cv2

    cv2.setNumThreads(1)  # one picture at a time; its pool would only wake other cores
    wanted: dict[str, Any] = child.arguments
    loaded = load_model(
        ModelFile(
            name=wanted["name"],
            form=wanted["form"],
            paths=tuple(Path(path) for path in wanted["paths"]),
        ),
        Path(wanted["models"]),
        Path(wanted["state"]),
    )
    model = open_model(
        loaded,
        threads=wanted["threads"],
        precision=wanted["precision"],
        device=wanted["device"],
        backend=wanted["backend"],
        min_score=wanted["min_score"],
    )
    trust, sha256 = loaded.trust, loaded.sha256[-1]
    del loaded  # the file's bytes: the engine has its own copy
    model.prepare(*wanted["size"])
    _give_back_memory()
    child.ready({**model.facts, "sha256": sha256, "trust": trust})

    attached: dict[int, Slots] = {}
    while (message := child.receive()) is not None:
        try:
            _answer(child, message, model, attached)
        except (CrowdstreamError, ValueError, KeyError) as error:
            child.refuse(message, f"{type(error).__name__}: {error}")


def _answer(
    child: ChildSide, message: Message, model: PoseModel, attached: dict[int, Slots]
) -> None:
    header: dict[str, Any] = message.header
    if header["op"] == "slots":
        slots = Slots.attach(message.fds[0])
        attached[slots.key] = slots
        if len(attached) > MOST_SLOTS:
            attached.pop(next(iter(attached))).close()
        child.reply(message, {})
    elif header["op"] == "prepare":
        model.prepare(*header["size"])
        _give_back_memory()
        child.reply(message, dict(model.facts))
    else:
        slots, index, generation = attached[header["key"]], header["index"], header["generation"]
        people = model.infer(slots.view(index, tuple(header["shape"]), offset=header["offset"]))
        arrays, payload = pack_arrays(
            {"keypoints": people.keypoints, "scores": people.scores, "boxes": people.boxes}
        )
        # Asked afterwards: a picture that was overwritten while it was looked at is worth nothing.
        child.reply(message, {"stale": not slots.holds(index, generation), **arrays}, payload)


def _give_back_memory() -> None:
    """Compiling leaves large holes; without this they stay the child's for ever."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
