"""Pictures a second: our path beside ultralytics' `.track()`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

import numpy as np

from crowdstream.errors import CrowdstreamError
from crowdstream.models import find_model, load_model
from crowdstream.offline.bench import Row, Say, row
from crowdstream.vision import torchvision_stand_in
from crowdstream.vision.identity import Identities
from crowdstream.vision.model import ENVIRONMENT, Precision, open_model
from crowdstream.vision.ultralytics import KEEPS_TO_ITSELF

GOALS: Final = {1: 3.4, 2: 5.2}
"""So many times the rival's pictures a second, by our threads."""

ROUNDS: Final = 9
MIN_SCORE: Final = 0.3
RATE_HZ: Final = 30.0


class Form(NamedTuple):
    """A network as it is opened."""

    path: Path
    precision: Precision


class Contender:
    """A process that goes over some pictures of a clip each time that it is asked to."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it is ready. Raises CrowdstreamError with its last words."""
        # A file, not a pipe: nobody reads it before the end, and it must not fill up.
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, text=True,
            env=os.environ | KEEPS_TO_ITSELF | dict(environment or {}),
        )  # fmt: skip
        try:
            self.facts = self._hear()
            """What it says of itself."""
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def milliseconds(self, clip: int, pictures: range) -> list[float]:
        """What each of these pictures of a clip took; with its first, who is who begins anew."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then its last words say why
            self._process.stdin.write(f"{clip} {pictures.start} {pictures.stop}\n")
            self._process.stdin.flush()
        spent: list[float] = self._hear()["ms"]
        return spent

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._words.close()

    def _hear(self) -> dict[str, Any]:
        # What a library prints on its own stands between; only our lines are objects.
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                told: dict[str, Any] = json.loads(line)
                return told
        self._process.wait()
        self._words.seek(0)
        last = self._words.read().strip().splitlines()[-1:] or ["it said nothing"]
        raise CrowdstreamError(f"a contender ended: {last[0]}")


def speed_rows(
    forms: Mapping[int, Form], checkpoint: Path, pictures: Path, state: Path, case: str, say: Say
) -> list[Row]:
    """Pictures a second with one thread and with two, beside the rival's, alternating.

    `forms` are those of each number of threads; `pictures` is an array of shape (clips, pictures,
    height, width, 3) in a .npy file.
    """
    program = "from crowdstream.offline.bench_speed import contend; contend()"
    with ExitStack() as all_of_them:
        ours = {
            threads: all_of_them.enter_context(
                Contender(
                    [
                        sys.executable,
                        "-c",
                        program,
                        *map(str, (form.path, threads, form.precision, pictures, state)),
                    ],
                    ENVIRONMENT,  # as in the child that the daemon uses
                )
            )
            for threads, form in forms.items()
        }
        rival = _rival(checkpoint, pictures, say)
        everybody = list(ours.values())
        if rival is not None:
            everybody.append(all_of_them.enter_context(rival))
        spent: dict[int, list[list[float]]] = {id(each): [] for each in everybody}
        clips, length = np.load(pictures, mmap_mode="r").shape[:2]
        for number in range(ROUNDS):
            say(f"pictures a second, round {number + 1} of {ROUNDS}…")
            for each in everybody:
                spent[id(each)].append([])
            # They change after each clip: what a neighbour takes of the machine falls on all. After
            # less, whoever has two threads is measured while the machine still wakes the second.
            for clip in range(clips):
                for each in everybody:
                    spent[id(each)][-1] += each.milliseconds(clip, range(length))
    # Of each picture the middle of its rounds, then the middle of all pictures.
    rates = {
        key: 1e3 / float(np.median(np.median(rounds, axis=0))) for key, rounds in spent.items()
    }
    rows = []
    for threads, contender in ours.items():
        value = rates[id(contender)]
        facts = contender.facts
        told = f"{case}, {threads} thread{'s' * (threads > 1)}, {facts['backend']}"
        other = rates[id(rival)] if rival else None
        rows.append(
            row(
                "pictures_a_second", f"{told} {facts['precision']} {facts['input']}", value, "1/s",
                rival=rival.facts["rival"] if rival else None, rival_value=other,
                goal=GOALS[threads] if other else None,
                met=value / other >= GOALS[threads] if other else None,
            )
        )  # fmt: skip
    return rows


def contend() -> None:
    """Our side, in its own process: find the people in each picture, and tell who is who."""
    import cv2

    cv2.setNumThreads(1)  # as in the child that the daemon uses
    path, threads, precision, pictures, state = sys.argv[1:]
    clips = np.load(pictures, mmap_mode="r")
    loaded = load_model(find_model(path, Path(state)), Path(state), Path(state))
    model = open_model(
        loaded, threads=int(threads), precision=cast("Precision", precision), min_score=MIN_SCORE
    )
    model.prepare(clips.shape[3], clips.shape[2])
    print(json.dumps(model.facts), flush=True)
    epoch = 0
    who = Identities()
    for line in sys.stdin:
        spent = []
        clip, begin, end = map(int, line.split())
        epoch += begin == 0
        for number in range(begin, end):
            taken = np.array(clips[clip, number])  # from the disk, which is no part of it
            began = time.perf_counter()
            who.follow(model.infer(taken), number / RATE_HZ, epoch)
            spent.append((time.perf_counter() - began) * 1e3)
        print(json.dumps({"ms": spent}), flush=True)


def _rival(checkpoint: Path, pictures: Path, say: Say) -> Contender | None:
    """Ultralytics as it is installed; None, and why, where it cannot run.

    `CROWDSTREAM_RIVAL_PYTHON` names an interpreter that has it; ours, where it is unset.
    """
    if not checkpoint.exists():
        say(f"no rival: there is no {checkpoint}")
        return None
    stand_in = str(torchvision_stand_in.__file__)
    python = os.environ.get("CROWDSTREAM_RIVAL_PYTHON", sys.executable)
    try:
        return Contender([python, "-c", _TRACK, str(checkpoint), str(pictures), stand_in])
    except (CrowdstreamError, OSError) as error:
        say(f"no rival: {error}")
        return None


_TRACK: Final = """
import json, runpy, sys, time
import numpy as np
import torch
nms = runpy.run_path(sys.argv[3])["let_torchvision_load"]()
import ultralytics
from ultralytics import YOLO
clips = np.load(sys.argv[2], mmap_mode="r")
model = YOLO(sys.argv[1])
def look(picture):
    return model.track(picture, imgsz=640, persist=True, verbose=False)
for _ in range(3):
    look(np.array(clips[0, 0]))
threads = torch.get_num_threads()
tracker = type(model.predictor.trackers[0]).__name__
print(json.dumps({"rival": f".track() of ultralytics {ultralytics.__version__}, imgsz 640, "
    f"{tracker}, torch {torch.__version__} with {threads} thread(s), {nms}"}), flush=True)
for line in sys.stdin:
    spent = []
    clip, begin, end = map(int, line.split())
    if begin == 0:
        for tracker in model.predictor.trackers:
            tracker.reset()
    for number in range(begin, end):
        taken = np.array(clips[clip, number])
        began = time.perf_counter()
        look(taken)
        spent.append((time.perf_counter() - began) * 1e3)
    print(json.dumps({"ms": spent}), flush=True)
"""
