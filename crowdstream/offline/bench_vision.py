"""The eye that finds people: how fast beside its rival, how true beside its exact self, how large.

Real clips, pictures and weights are looked for in `CROWDSTREAM_ASSETS`; what is not there leaves
its rows out.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
import psutil

from crowdstream.errors import UsageError
from crowdstream.models import find_model, forms_of, load_model
from crowdstream.offline.bench import Row, Say, row
from crowdstream.offline.bench_keypoints import average_precision, marked_pictures, seen_of
from crowdstream.offline.bench_live import live_rows
from crowdstream.offline.bench_speed import GOALS, MIN_SCORE, Form, speed_rows
from crowdstream.offline.bench_tracking import tracking_rows
from crowdstream.slots import Slots
from crowdstream.testing import a_context
from crowdstream.vision.choice import can_choose, choose_form
from crowdstream.vision.drift import drift_of, reference_of
from crowdstream.vision.model import ENVIRONMENT, PoseModel, Precision, open_model
from crowdstream.vision.pose_child import TARGET, arguments_of
from crowdstream.worker import Header, Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIPS: Final = ("seven_people_jumping", "three_dancers_studio", "single_dancer_warehouse")
PICTURES: Final = 24
"""Of each clip, one after the other from its middle, as a tracker needs them."""

SIZE: Final = (1280, 720)

MOST_DRIFT_PX: Final = 2.5
MOST_LOST: Final = 0.03
MOST_AP_LOST: Final = 0.02
MOST_MB: Final = 300.0

LOOKS: Final = 2000
"""Pictures that the child looks at while its memory is watched; `CROWDSTREAM_BENCH_LOOKS` says
otherwise (50000 for an hour at 15 a second)."""

LEAST_SCORE: Final = 0.01
"""For the average precision also those are asked for of whom the network is not sure."""


class Weights(NamedTuple):
    """The network in the forms that are there."""

    chosen: Path
    """8-bit where OpenVINO is installed, else the .onnx: what the daemon is given."""

    exact: Path
    """The .onnx; where there is none the chosen one, computed in f32."""

    checkpoint: Path
    """What the rival opens; need not exist."""


def vision(say: Say) -> list[Row]:
    """All rows of `crowdstream bench vision`."""
    assets = Path(os.environ.get("CROWDSTREAM_ASSETS", "../shared/assets"))
    rows: list[Row] = []
    weights = weights_in(assets / "pose")
    if weights is None:
        say(f"no network in {assets / 'pose'}: no rows of speed, drift and memory")
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows += _network_rows(weights, assets, Path(folder), say)
    return rows + tracking_rows(say) + live_rows(say)


def weights_in(folder: Path) -> Weights | None:
    """The forms of yolov8n-pose in a folder; None where there is none that can be opened."""
    onnx = folder / "yolov8n-pose-rebuilt.onnx"
    int8 = folder / "yolov8n-pose_int8_openvino_model"
    has_openvino = importlib.util.find_spec("openvino") is not None
    chosen = int8 if int8.is_dir() and has_openvino else onnx
    if not chosen.exists():
        return None
    exact = onnx if onnx.exists() else chosen
    return Weights(chosen, exact, folder / "yolov8n-pose-rebuilt.pt")


def _network_rows(weights: Weights, assets: Path, scratch: Path, say: Say) -> list[Row]:
    say("pictures of the clips…")
    clips = [_clip(assets / "video" / f"{name}.mp4", say) for name in CLIPS]
    found = [clip for clip in clips if clip is not None]
    forms = {threads: _form_here(weights.chosen, threads, scratch, say) for threads in GOALS}
    alone = forms[1]
    rows: list[Row] = []
    if found:
        pictures = np.stack(found)
        kept = scratch / "pictures.npy"
        np.save(kept, pictures)
        case = f"{len(found)} clips of {PICTURES} at 1280x720"
        rows += speed_rows(forms, weights.checkpoint, kept, scratch, case, say)
        say("beside the exact network…")
        flat = pictures.reshape(-1, *pictures.shape[2:])
        # The 8-bit form in any case: on the next processor it may be the quickest.
        eight = _eight_bit(weights.chosen, scratch) or alone
        for form in dict.fromkeys((alone, eight)):
            rows += _drift_rows(form, weights.exact, flat, case, scratch)
    rows += _precision_rows(alone, weights.exact, assets / "keypoints", scratch, say)
    if found:
        looks = _looks()
        say(f"memory of the child, {looks} pictures…")
        rows += asyncio.run(_memory_rows(alone, pictures[:, 0], looks, scratch))
    return rows


def _form_here(path: Path, threads: int, scratch: Path, say: Say) -> Form:
    """The form in which a daemon with so many threads would look on this processor."""
    if not can_choose():
        return Form(path, "auto")
    context = a_context("bench_vision", folder=scratch, offline=False)
    file, precision, why = asyncio.run(
        choose_form(
            find_model(str(path), scratch), context, threads=threads, min_score=MIN_SCORE, size=SIZE
        )
    )
    say(
        f"what a daemon would choose with {threads} thread{'s' * (threads > 1)}: {precision}: {why}"
    )
    return Form(file.paths[0], cast("Precision", precision))


def _eight_bit(path: Path, scratch: Path) -> Form | None:
    """The 8-bit form of a network, if there is one."""
    file = forms_of(find_model(str(path), scratch)).int8
    return Form(file.paths[0], "int8") if file is not None else None


def _looks() -> int:
    told = os.environ.get("CROWDSTREAM_BENCH_LOOKS", str(LOOKS))
    if not told.isdecimal() or int(told) < 1:
        raise UsageError(f"CROWDSTREAM_BENCH_LOOKS is {told!r}: give a whole number of at least 1")
    return int(told)


def _clip(path: Path, say: Say) -> NDArray[np.uint8] | None:
    """PICTURES from the middle of a clip, scaled; None, saying so, where it is missing or short."""
    import cv2

    # Read in this process: a bench may hang where a daemon must not.
    capture = cv2.VideoCapture(str(path))
    start = max(0, (int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) - PICTURES) // 2)
    made: list[Any] = []
    for number in range(start + PICTURES):
        good, picture = capture.read()
        if not good:
            break
        if number >= start:
            made.append(cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA))
    capture.release()
    if len(made) < PICTURES:
        say(f"left out: {path} is missing or has fewer than {PICTURES} pictures")
        return None
    return np.stack(made)


def _reference(path: Path, model: PoseModel, scratch: Path) -> str:
    """Which exact network the chosen one is compared with: its file, format and engine."""
    return (
        f"{reference_of(find_model(str(path), scratch), model.facts)} by {model.facts['backend']}"
    )


def _open(form: Form, scratch: Path, min_score: float) -> PoseModel:
    loaded = load_model(find_model(str(form.path), scratch), scratch, scratch)
    return open_model(loaded, threads=1, precision=form.precision, min_score=min_score)


def _drift_rows(
    form: Form, exactly: Path, pictures: NDArray[np.uint8], case: str, scratch: Path
) -> list[Row]:
    exact = _open(Form(exactly, "f32"), scratch, MIN_SCORE)
    chosen = _open(form, scratch, MIN_SCORE)
    # Each sees all before the other begins: two at a time would share the cache.
    first = [exact.infer(picture) for picture in pictures]
    second = [chosen.infer(picture) for picture in pictures]
    drift = drift_of(zip(first, second, strict=True))
    told = (
        f"{reference_of(find_model(str(form.path), scratch), chosen.facts)} beside"
        f" {_reference(exactly, exact, scratch)}, {drift.people} people of {case}"
    )
    return [
        row(
            "joints_apart", told, drift.pixels, "px at 1280x720", goal=MOST_DRIFT_PX,
            met=drift.pixels <= MOST_DRIFT_PX,
        ),
        row("people_lost", told, drift.lost, "share", goal=MOST_LOST, met=drift.lost <= MOST_LOST),
    ]  # fmt: skip


def _precision_rows(form: Form, exactly: Path, folder: Path, scratch: Path, say: Say) -> list[Row]:
    import cv2

    marked = marked_pictures(folder)
    if not marked:
        say(f"left out: no marked pictures in {folder}, so no average precision")
        return []
    say(f"average precision, {len(marked)} marked pictures…")
    pictures: list[Any] = [cv2.imread(str(path)) for path, _ in marked]
    people = sum(int((~truth.idle).sum()) for _, truth in marked)

    def average(model: PoseModel) -> float:
        return average_precision(
            (truth, seen_of(model.infer(picture), picture.shape[0]))
            for (_, truth), picture in zip(marked, pictures, strict=True)
        )

    reference = _open(Form(exactly, "f32"), scratch, LEAST_SCORE)
    exact = average(reference)
    network = _open(form, scratch, LEAST_SCORE)
    chosen = average(network)
    case = f"{people} people in {len(marked)} marked pictures"
    lost = exact - chosen
    return [
        row("average_precision", f"{network.facts['precision']}, {case}", chosen, "OKS 0.50:0.95",
            rival=_reference(exactly, reference, scratch), rival_value=exact),
        row("average_precision_lost", case, lost, "OKS 0.50:0.95", goal=MOST_AP_LOST,
            met=lost <= MOST_AP_LOST),
    ]  # fmt: skip


async def _memory_rows(
    form: Form, pictures: Iterable[NDArray[np.uint8]], looks: int, scratch: Path
) -> list[Row]:
    """The very child that the daemon has, and what it weighs before and after many pictures."""
    shown = [np.ascontiguousarray(picture) for picture in pictures]
    worker = Worker(
        TARGET, name="bench_pose", log=a_context().log,
        arguments=arguments_of(
            find_model(str(form.path), scratch), models=scratch, state=scratch, threads=1,
            precision=form.precision, device="auto", backend="auto", min_score=MIN_SCORE, size=SIZE,
        ),
        environment=ENVIRONMENT, ready_seconds=60.0,
    )  # fmt: skip
    facts = await worker.start()
    slots = Slots.create(len(shown), shown[0].nbytes)
    try:
        await worker.call({"op": "slots"}, fds=[slots.fd], deadline=10.0)
        asked: list[Header] = []
        for picture in shown:
            index = slots.take()
            assert index is not None
            slots.room(index, picture.shape)[:] = picture
            asked.append(
                {"op": "look", "key": slots.key, "index": index, "offset": 0,
                 "generation": slots.whole(index), "shape": list(picture.shape)}
            )  # fmt: skip
        start = _weight_mb(worker)
        for number in range(looks):
            if number == min(100, looks // 2):
                warm = _weight_mb(worker)
            await worker.call(asked[number % len(asked)], deadline=60.0)
        end = _weight_mb(worker)
    finally:
        await worker.stop()
        slots.close()
    case = f"child with {facts['backend']} {facts['precision']}"
    most = max(start, end)
    return [
        row("memory_at_start", f"{case}, ready", start, "MB PSS"),
        row("memory", f"{case}, {looks} pictures later", end, "MB PSS", goal=MOST_MB,
            met=most <= MOST_MB),
        row("memory_growth", f"{case}, from the 100th to the {looks}th", end - warm, "MB PSS"),
    ]  # fmt: skip


def _weight_mb(worker: Worker) -> float:
    assert worker.pid is not None
    return float(psutil.Process(worker.pid).memory_full_info().pss) / 1e6
