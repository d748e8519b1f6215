"""Who is who on a dance floor: how often a tracker takes one dancer for another.

Drawn dancers in the same clothes weave through each other, hide each other, tremble as key points
do and are missed now and then. What a tracker gets is what a network would have found; who it was
is known. Counted is how often a person's number changes, and how often a number goes over to
somebody else, which is worse: the first tears a movement apart, the second makes one up.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.offline.bench import Row, Say, row
from crowdstream.vision.decode import Detections
from crowdstream.vision.drawn import Crowd
from crowdstream.vision.drawn_hiding import hidden_joints
from crowdstream.vision.identity import Identities

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ: Final = 15.0
SECONDS: Final = 40.0
CASES: Final = ((6, 0.5), (20, 0.6), (40, 0.8))
"""Number of people and their energy."""

JITTER: Final = 0.008
"""Standard deviation of a key point, in body heights."""

MISSED: Final = 0.03
"""Share of the people in full view that a network does not find in a picture."""

FEWEST_JOINTS: Final = 6
"""With fewer joints in view nobody is found."""


class Scene(NamedTuple):
    """One picture: who was found, and who it really was."""

    at: float
    found: Detections
    true: NDArray[np.int64]


def scenes(people: int, energy: float, seed: int) -> list[Scene]:
    """A floor of weaving dancers, as a network finds them, `RATE_HZ` pictures a second."""
    rng = np.random.default_rng((seed, people))
    crowd = Crowd(people=people, bpm=122.0, energy=energy, synchrony=0.6, seed=seed)
    phases = rng.uniform(0.0, 2.0 * math.pi, people)
    paces = rng.uniform(0.06, 0.2, people)
    made = []
    for picture in range(round(SECONDS * RATE_HZ)):
        at = picture / RATE_HZ
        joints, ids = crowd.joints(at)
        joints = joints.copy()
        heights = joints[:, 15:17, 1].max(axis=1) - joints[:, 0:5, 1].min(axis=1)
        who = np.argsort(np.argsort(ids))
        weave = np.sin(phases[who] + 2.0 * math.pi * paces[who] * at)
        joints[:, :, 0] += (0.45 * heights * weave)[:, np.newaxis]
        hidden = hidden_joints(joints, heights.astype(np.float64))
        joints[:, :, :2] += (
            rng.normal(0.0, JITTER, joints[:, :, :2].shape) * heights[:, np.newaxis, np.newaxis]
        )
        joints[:, :, 2] = np.where(hidden, 0.1, 0.9)
        enough = (~hidden).sum(axis=1) >= FEWEST_JOINTS
        kept = np.flatnonzero(enough & (rng.random(len(ids)) >= MISSED))
        rng.shuffle(kept)
        made.append(Scene(at, _found(joints[kept].astype(np.float32)), ids[kept]))
    return made


def _found(joints: NDArray[np.float32]) -> Detections:
    boxes = np.zeros((len(joints), 4), np.float32)
    for person, points in enumerate(joints):
        seen = points[points[:, 2] > 0.5, :2]
        boxes[person] = (*(seen.min(axis=0) - 0.01), *(seen.max(axis=0) + 0.01))
    return Detections(keypoints=joints, scores=np.full(len(joints), 0.8, np.float32), boxes=boxes)


class Mistakes(NamedTuple):
    """What a tracker did, per person and minute."""

    torn: float
    """A person got another number."""

    swapped: float
    """A number went over to another person."""


def mistakes(made: list[Scene], numbers: list[NDArray[np.int64]]) -> Mistakes:
    """Compare the numbers given with who it was; a number below 0 is none."""
    number_of: dict[int, int] = {}
    owner_of: dict[int, int] = {}
    torn = swapped = 0
    seen = 0
    for scene, given in zip(made, numbers, strict=True):
        for person, number in zip(scene.true.tolist(), given.tolist(), strict=True):
            seen += 1
            if number < 0:
                continue
            torn += number_of.get(person, number) != number
            swapped += owner_of.get(number, person) != person
            number_of[person] = number
            owner_of[number] = person
    minutes = seen / RATE_HZ / 60.0
    return Mistakes(torn / minutes, swapped / minutes)


def ours(made: list[Scene]) -> list[NDArray[np.int64]]:
    """The numbers that `estimate_pose` gives."""
    who = Identities()
    return [who.follow(scene.found, scene.at, 0) for scene in made]


def bytetrack(made: list[Scene], say: Say) -> list[NDArray[np.int64]] | None:
    """The numbers that ultralytics' ByteTrack gives, in its own process; None where it cannot run.

    `CROWDSTREAM_RIVAL_PYTHON` names an interpreter that has ultralytics; ours, where it is unset.
    """
    python = os.environ.get("CROWDSTREAM_RIVAL_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "asked.json"
        asked.write_text(
            json.dumps([(720.0 * scene.found.boxes).round(2).tolist() for scene in made])
        )
        done = subprocess.run(
            [python, "-c", _BYTETRACK, str(asked)],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
    if done.returncode != 0:
        say(f"no rival: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        return None
    answer: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return [np.array(each, np.int64) for each in answer]


_BYTETRACK: Final = """
import json, sys
from types import SimpleNamespace
import numpy as np
from ultralytics.trackers.byte_tracker import BYTETracker

class Results:
    def __init__(self, boxes):
        self.xyxy = boxes
        self.conf = np.full(len(boxes), 0.8, np.float32)
        self.cls = np.zeros(len(boxes), np.float32)
    def __len__(self): return len(self.xyxy)
    def __getitem__(self, which):
        part = Results(self.xyxy[which]); part.conf = self.conf[which]; part.cls = self.cls[which]
        return part
    @property
    def xywh(self):
        a = self.xyxy
        return np.stack([(a[:,0]+a[:,2])/2, (a[:,1]+a[:,3])/2, a[:,2]-a[:,0], a[:,3]-a[:,1]], 1)

tracker = BYTETracker(SimpleNamespace(
    track_high_thresh=0.25, track_low_thresh=0.1, new_track_thresh=0.25, track_buffer=30,
    match_thresh=0.8, fuse_score=True))
answer = []
for boxes in json.load(open(sys.argv[1])):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    numbers = [-1] * len(boxes)
    for track in tracker.update(Results(boxes)):
        numbers[int(track[-1])] = int(track[4])
    answer.append(numbers)
print(json.dumps(answer))
"""


def tracking_rows(say: Say) -> list[Row]:
    """Mistakes beside ByteTrack's, and what a picture costs for 1, 20 and 200 people."""
    rows: list[Row] = []
    for people, energy in CASES:
        say(f"who is who, {people} people…")
        made = scenes(people, energy, seed=people)
        mine = mistakes(made, ours(made))
        rival = bytetrack(made, say)
        theirs = mistakes(made, rival) if rival is not None else None
        for what, value, other in (
            ("numbers_torn", mine.torn, theirs and theirs.torn),
            ("numbers_swapped", mine.swapped, theirs and theirs.swapped),
        ):
            rows.append(
                row(
                    what, f"{people} weaving dancers", value, "1/person/min",
                    rival=None if theirs is None else "ByteTrack of ultralytics",
                    rival_value=other or None, goal=other,
                    met=None if other is None else value <= other,
                )
            )  # fmt: skip
    rows += [_cost(people) for people in (1, 20, 200)]
    return rows


def _cost(people: int) -> Row:
    rng = np.random.default_rng(people)
    places = rng.uniform(0.1, 1.6, (people, 2)).astype(np.float32)
    body = Crowd(people=1, seed=1).joints(0.0)[0][0]
    body = (body - body[11]) * np.float32(0.3)
    who = Identities()
    spent = []
    for picture in range(200):
        joints = np.repeat(body[np.newaxis], people, axis=0)
        joints[:, :, :2] += places[:, np.newaxis] + rng.normal(0, 0.003, (people, 17, 2))
        joints[:, :, 2] = 0.9
        found = _found(joints.astype(np.float32))
        began = time.process_time()
        who.follow(found, picture / RATE_HZ, 0)
        spent.append((time.process_time() - began) * 1e3)
    return row("identity_cost_p95", f"{people} people", float(np.percentile(spent[20:], 95)), "ms")
