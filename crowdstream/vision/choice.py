"""Which form of a network to use on this processor: measured once, in a child, and remembered.

A network comes with 8-bit or with floating numbers, and a processor computes these exactly or in
fewer bits. What is fastest, and what it costs in exactness, differs from processor to processor
and from network to network. So each form is run on a few drawn pictures, beside the exact one; the
fastest whose key points hardly move is taken. The child that measures is thrown away: opening a
network three times leaves its memory full of holes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crowdstream.errors import CrowdstreamError
from crowdstream.models import Forms, ModelFile, forms_of, load_model
from crowdstream.vision.chosen import Choice, Computed, WhichFile, processor, remember, remembered
from crowdstream.vision.model import ENVIRONMENT
from crowdstream.worker import Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.child import ChildSide
    from crowdstream.vision.drift import Drift
    from crowdstream.vision.model import Precision
    from crowdstream.wire import Json

TARGET: Final = "crowdstream.vision.choice:measure_forms"
"""What `Worker` is told to run."""

MOST_PIXELS: Final = 3.5
"""Key points may move by so much in the mean, in pixels of 1280x720. Drawn dancers, who fling their
limbs out, are harder than filmed ones: an 8-bit network that is 2.7 off here is 2.0 off on film,
one that is 4.2 off there, and useless, is far beyond this."""

MOST_LOST: Final = 0.05
"""Share of the people that may be lost: two of the forty that are drawn."""

AS_FAST: Final = 1.15
"""Of forms that differ by less than this in time, the more exact is taken."""

MEASURED_WITHIN_SECONDS: Final = 45.0
"""It takes four seconds here, and more on a small machine; then it is given up."""

_HOW: Final = "sparse heads"
# How the engine's answers are gone on with: what was measured of another way is no measurement.

LOOKS: Final = 12
"""Timed runs of each form."""

NICE: Final = 10


class Measured(NamedTuple):
    """One form of the network, on this processor."""

    file: WhichFile
    precision: Computed
    milliseconds: float
    """Of one look, median."""

    pixels: float
    """How far key points lie from those of the exact form, mean, in pixels of 1280x720."""

    lost: float
    """Share of the people that it does not find."""

    def __str__(self) -> str:
        told = f"{self.precision} {self.milliseconds:.1f} ms"
        if self.precision == "f32":
            return told
        return f"{told}, {self.pixels:.1f} px and {100 * self.lost:.0f} % of people off"


def best_of(measured: list[Measured]) -> Measured | None:
    """The fastest form that is true; of those about as fast, the most exact. None of nothing."""
    true = [each for each in measured if each.pixels <= MOST_PIXELS and each.lost <= MOST_LOST]
    if not true:
        return None
    quickest = min(each.milliseconds for each in true)
    near = [each for each in true if each.milliseconds <= AS_FAST * quickest]
    return min(near, key=lambda each: (each.lost, each.pixels, each.milliseconds))


async def choose_form(
    file: ModelFile, context: Any, *, threads: int, min_score: float, size: tuple[int, int]
) -> tuple[ModelFile, str, str]:
    """The file to open, the precision to open it in, and why; `context` is the stage's.

    Looked up, or measured and remembered. What cannot be measured is opened as it is (`auto`).
    """
    places = context.places
    forms = forms_of(file)
    try:
        key = await context.offload(_key, forms, threads, size)
    except OSError as error:
        return file, "auto", f"not measured: {error.strerror}"
    choice = await context.offload(remembered, places.cache, key)
    if choice is None:
        arguments: dict[str, Json] = {
            "forms": {
                which: {"name": one.name, "form": one.form, "paths": [str(p) for p in one.paths]}
                for which, one in (("int8", forms.int8), ("floating", forms.floating))
                if one is not None
            },
            "models": str(places.models),
            "state": str(places.state),
            "threads": threads,
            "min_score": min_score,
            "size": list(size),
        }
        worker = Worker(
            TARGET,
            name=f"{context.name}_choice",
            log=context.log,
            arguments=arguments,
            environment=ENVIRONMENT,
            ready_seconds=MEASURED_WITHIN_SECONDS,
            nice=NICE,
        )
        try:
            facts: Any = await worker.start()
        except CrowdstreamError as error:
            context.log.warning("pose_not_measured", why=str(error), goes_on_with="the file as is")
            return file, "auto", "not measured"
        finally:
            await worker.stop()
        measured = [Measured(*each) for each in facts["measured"]]
        best = best_of(measured)
        if best is None:
            return file, "auto", "its rounding cannot be taken out: nothing to compare with"
        choice = Choice(
            model=file.name, file=best.file, precision=best.precision,
            milliseconds=best.milliseconds, pixels=best.pixels, lost=best.lost,
            why=f"{'; '.join(map(str, measured))}; beside {facts['reference']}",
            reference=facts["reference"], processor=processor(), engine=_engine(),
            threads=threads, size=size, at=context.clock.local_time().isoformat(timespec="minutes"),
        )  # fmt: skip
        await context.offload(remember, places.cache, key, choice)
    chosen = forms.int8 if choice.file == "int8" else forms.floating
    return chosen or file, choice.precision, choice.why


def can_choose() -> bool:
    """Whether the engine that has several precisions is installed."""
    return importlib.util.find_spec("openvino") is not None


def _key(forms: Forms, threads: int, size: tuple[int, int]) -> str:
    """What a choice depends on: the very bytes, engine, processor, threads, and picture size."""
    digest = hashlib.sha256()
    for file in (forms.int8, forms.floating):
        for path in file.paths if file is not None else ():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        digest.update(b"|")
    digest.update(f"{_engine()}|{_HOW}|{processor()}|{threads}|{size}".encode())
    return digest.hexdigest()


def _engine() -> str:
    return f"OpenVINO {importlib.metadata.version('openvino')}"


# --- in the child ------------------------------------------------------------------------------


def measure_forms(child: ChildSide) -> None:
    """Open each form, compare it with the exact one, and tell; then there is nothing to do."""
    import cv2

    from crowdstream.vision.drift import drift_of, reference_of
    from crowdstream.vision.openvino import OpenVinoPose

    cv2.setNumThreads(1)
    wanted: dict[str, Any] = child.arguments
    files = {
        which: ModelFile(
            name=each["name"], form=each["form"], paths=tuple(map(Path, each["paths"]))
        )
        for which, each in wanted["forms"].items()
    }
    models, state = Path(wanted["models"]), Path(wanted["state"])
    loaded = {which: load_model(file, models, state) for which, file in files.items()}
    width, height = wanted["size"]
    pictures = test_pictures(width, height)

    def opened(which: str, precision: Precision) -> OpenVinoPose:
        return OpenVinoPose(
            loaded[which], threads=wanted["threads"], precision=precision,
            min_score=wanted["min_score"],
        )  # fmt: skip

    base = "floating" if "floating" in loaded else "int8"
    exact = opened(base, "f32")
    forms = [(base, exact.computing_in(precision)) for precision in exact.precisions]
    reference = reference_of(files[base], exact.facts)
    if exact.precision != "f32":
        child.ready({"measured": [], "reference": reference})
        return
    if "int8" in loaded and (rounded := opened("int8", "int8")).precision == "int8":
        forms.append(("int8", rounded))
    drifts: list[Drift] = []
    truth = None
    for _, model in forms:
        model.prepare(width, height)
        child.beat()
        seen = [model.infer(picture) for picture in pictures]
        truth = truth if truth is not None else seen
        drifts.append(drift_of(zip(truth, seen, strict=True)))
    # In turn: what a neighbour takes of the machine for a second falls on all of them.
    times: list[list[float]] = [[] for _ in forms]
    for turn in range(LOOKS):
        child.beat()
        for spent, (_, model) in zip(times, forms, strict=True):
            began = perf_counter()
            model.infer(pictures[turn % len(pictures)])
            spent.append((perf_counter() - began) * 1e3)
    measured: list[Json] = [
        [which, model.precision, median(spent), drift.pixels, drift.lost]
        for (which, model), spent, drift in zip(forms, times, drifts, strict=True)
    ]
    child.ready({"measured": measured, "reference": reference})


def test_pictures(width: int, height: int) -> list[NDArray[np.uint8]]:
    """Drawn people, near and far: the same on every machine."""
    from crowdstream.vision.drawn import Crowd
    from crowdstream.vision.drawn_picture import Painter

    made = []
    for seed, people in enumerate((2, 4, 6, 8, 10, 12)):
        crowd = Crowd(people=people, energy=0.6, seed=seed, aspect=width / height)
        truth = crowd.truth(3.0)
        made.append(Painter(width, height, seed=seed).paint(truth.joints, truth.ids, 3.0))
    return made
