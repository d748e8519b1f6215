"""The chain over a crowd whose movement is known: how what is measured compares with the truth."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from crowdstream.config import Config
from crowdstream.dsp.energy import TORSO_TO_BODY, torso_lengths
from crowdstream.offline.chain import run_to_end
from crowdstream.packets import Energy, Frame, Packet, People, Tempo, Truth
from crowdstream.plan import make_plan
from crowdstream.recipe import Recipe
from crowdstream.stage import Context, Outbox, Places, Source, StageConfig, Transform
from crowdstream.vision.drawn import Crowd
from crowdstream.vision.drawn_light import trick_of
from crowdstream.vision.drawn_motion import Manners, joints_of, walk
from crowdstream.vision.drawn_picture import Painter
from crowdstream.vision.grey import small_grey

SETTLE_SECONDS: Final = 1.5
"""What a meter needs to come to the level of what it sees is not part of a mean."""


class ShownCrowdConfig(StageConfig):
    """Settings of `ShownCrowd`: who dances, and how they are looked at."""

    people: int = 8
    bpm: float = 120.0
    energy: float = 0.5
    """Of the dance; 0 is a crowd that stands, breathing."""

    synchrony: float = 0.7
    seed: int = 1
    aspect: float = 16 / 9
    """Of the floor they stand on, which lies in the middle of the picture."""

    walking: float = 0.0
    """Body heights a second at which everybody goes about: with an energy of 0 they only walk, all
    across the picture; else they dance on their way, to and fro."""

    size: tuple[int, int] = (1280, 720)
    zoom: float = 1.0
    """Size of the people about the middle of the picture."""

    crop: float = 1.0
    """Share of the picture's sides that is kept, in the middle."""

    fps: float = 30.0
    seconds: float = 6.0
    noise: float = 3.0
    light: str = "none"
    """A trick of `crowdstream.vision.drawn_light`."""

    frozen: bool = False
    """Everybody is a statue."""


class ShownCrowd(Source[Frame]):
    """A drawn crowd through any camera, in any light, with its truth."""

    Config = ShownCrowdConfig

    def __init__(self, config: ShownCrowdConfig, context: Context) -> None:
        """Draws nothing yet."""
        super().__init__(config, context)
        self._config = config

    async def run(self, outbox: Outbox[Frame]) -> None:
        """Every picture, as fast as it goes."""
        c = self._config
        width, height = c.size
        crowd = Crowd(
            people=c.people, bpm=c.bpm, energy=c.energy, synchrony=c.synchrony, seed=c.seed,
            aspect=c.aspect,
        )  # fmt: skip
        painter = Painter(width, height, seed=c.seed, noise=c.noise)
        trick = trick_of(c.light)
        passers = Passers(c.people, c.walking, c.aspect, c.seed)
        for seq in range(round(c.seconds * c.fps)):
            t = seq / c.fps
            truth = crowd.truth(0.0 if c.frozen else t)
            if c.walking > 0.0 and c.energy == 0.0:
                truth = passers.truth(t, truth)
            joints = truth.joints.copy()
            if c.walking > 0.0 and c.energy > 0.0:
                joints[..., 0] += _to_and_fro(t, truth, c.walking)
            joints[..., 0] += 0.5 * (width / height - c.aspect)
            middle = np.array([0.5 * width / height, 0.5], np.float32)
            joints[..., :2] = middle + c.zoom * (joints[..., :2] - middle)
            picture = trick(painter.paint(joints, truth.ids, t), t)
            if c.crop < 1.0:
                picture, joints = _cropped(picture, joints, c.crop)
            picture = np.ascontiguousarray(picture)
            await outbox.send(
                Frame(
                    seq=seq, captured_at=t, picture=picture, grey=small_grey(picture),
                    source_size=(picture.shape[1], picture.shape[0]),
                    truth=_with_joints(truth, joints, still=c.frozen),
                )
            )  # fmt: skip


class Passers:
    """People who cross the picture on foot, some to the left and some to the right."""

    def __init__(self, people: int, speed: float, aspect: float, seed: int) -> None:
        """`speed` in body heights a second."""
        rng = np.random.default_rng((seed, 0xF0))
        self._manners = Manners.of(people, rng)
        self._height = rng.uniform(0.32, 0.5, people)
        self._foot = np.sort(rng.uniform(0.75, 0.97, people))
        self._begin = rng.uniform(0.0, 1.0, people)
        self._speed = speed * rng.uniform(0.85, 1.15, people) * rng.choice([-1.0, 1.0], people)
        self._aspect = aspect

    def truth(self, t: float, like: Truth) -> Truth:
        """Where everybody is; nobody dances."""
        height, people = self._height, self._height.size
        way = self._aspect + 0.7 * height
        turns = self._begin + self._speed * height * t / way
        x = (turns % 1.0) * way - 0.35 * height
        posture = walk(self._manners, np.array([[t]]), self._speed[None] * t)
        places = joints_of(posture)[0]
        joints = np.ones((people, 17, 3), np.float32)
        joints[..., 0] = x[:, None] + height[:, None] * places[..., 0]
        joints[..., 1] = self._foot[:, None] - height[:, None] * places[..., 1]
        joints[..., 2] = np.where((joints[..., 0] > 0) & (joints[..., 0] < self._aspect), 1.0, 0.3)
        # Who comes in again is somebody else.
        ids = np.arange(people) + people * (1000 + np.floor(turns).astype(np.int64))
        return replace(like, joints=joints, ids=ids, speed=0.0, energy=0.0)


def _to_and_fro(t: float, truth: Truth, speed: float) -> np.ndarray:
    """How far each person has gone aside, shape (people, 1): two seconds there, and back."""
    body = torso_lengths(truth.joints) * TORSO_TO_BODY
    swing = np.abs((t / 4.0 + 0.25 * (truth.ids % 4)) % 1.0 * 2.0 - 1.0) - 0.5
    return np.asarray((2.0 * speed * np.nanmean(body) * swing)[:, None])


class SeeAlmostConfig(StageConfig):
    """Settings of `SeeAlmost`."""

    jitter: float = 0.008
    """Deviation of a joint's trembling, in body lengths."""

    lost: float = 0.03
    """Share of the joints that are not found in a picture."""

    missed: float = 0.05
    """Share of the people that are not found in a picture."""


class SeeAlmost(Transform[Frame, People]):
    """A pose eye that is as good as a network: the drawn joints, trembling, some of them lost."""

    Config = SeeAlmostConfig

    def __init__(self, config: SeeAlmostConfig, context: Context) -> None:
        """The same settings lose the same joints."""
        super().__init__(config, context)
        self._config = config
        self._rng = np.random.default_rng(7)

    def process(self, frame: Frame, /) -> People | None:
        """Everyone of the frame's truth who is found."""
        truth = frame.truth
        if truth is None:
            return None
        c, rng = self._config, self._rng
        found = rng.random(len(truth.ids)) >= c.missed
        joints = truth.joints[found].copy()
        height = np.ptp(joints[..., 1], axis=1)[:, None, None] if len(joints) else 0.0
        joints[..., :2] += height * rng.normal(0.0, c.jitter, (*joints.shape[:2], 2))
        joints[..., 2] = np.where(joints[..., 2] > 0.5, 0.9, 0.1)
        joints[..., 2][rng.random(joints.shape[:2]) < c.lost] = 0.1
        rows, cols = frame.picture.shape[:2]
        return People(
            seq=frame.seq, captured_at=frame.captured_at, epoch=frame.epoch,
            keypoints=joints.astype(np.float32), ids=truth.ids[found],
            scores=np.ones(int(found.sum()), np.float32), aspect=cols / rows,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What the chain said about one crowd."""

    times: np.ndarray
    levels: np.ndarray
    states: tuple[str, ...]
    drives: np.ndarray
    bpms: np.ndarray
    true: np.ndarray
    """Energy of the drawn crowd, for each picture."""

    true_times: np.ndarray

    @property
    def energy(self) -> float:
        """Mean level, once it has settled."""
        return self.mean(SETTLE_SECONDS, np.inf)

    @property
    def truth(self) -> float:
        """Mean energy of the drawn crowd over the same time."""
        return float(self.true[self.true_times >= SETTLE_SECONDS - 0.5].mean())

    @property
    def bpm(self) -> float:
        """Mean target tempo, over the second half."""
        return float(self.bpms[self.bpms.size // 2 :].mean())

    def mean(self, begin: float, end: float) -> float:
        """Mean level within these seconds."""
        within = (self.times >= begin) & (self.times < end)
        return float(self.levels[within].mean())


class _Watch:
    """An observer that keeps numbers and lets the pictures go."""

    def __init__(self) -> None:
        self.energies: list[Energy] = []
        self.bpms: list[float] = []
        self.true: list[tuple[float, float]] = []

    def on_sent(self, stage: str, packet: Packet) -> None:
        del stage
        if isinstance(packet, Energy) and packet.fresh_from is not None:
            if self.energies and self.energies[-1].captured_at == packet.captured_at:
                self.energies[-1] = packet
            else:
                self.energies.append(packet)
        elif isinstance(packet, Tempo):
            self.bpms.append(packet.bpm)
        elif isinstance(packet, Frame) and packet.truth is not None:
            self.true.append((packet.captured_at, packet.truth.energy))


def watch(
    source: dict[str, Any],
    *,
    eye: str | None,
    places: Places,
    log: Any,
    person_height: float | None = None,
) -> Told:
    """Run the chain of `crowdstream analyze` over one source, and read what it says.

    `source` is an entry of a recipe; `eye` the path or name of a pose model, `truth` for joints
    that are nearly the drawn ones, or None for motion alone.
    """
    stages: list[dict[str, Any]] = [
        {"name": "source", **source},
        {"use": "measure_motion", "from": "source"},
    ]
    if person_height is not None:
        stages[1]["person_height"] = person_height
    feeders = ["measure_motion"]
    if eye is not None:
        feeders.append("estimate_pose")
        pose: dict[str, Any] = {"name": "estimate_pose", "from": "source"}
        if eye == "truth":
            pose["use"] = f"{__name__}:SeeAlmost"
        else:
            pose |= {"use": "estimate_pose", "model": eye}
        stages.append(pose)
    stages += [
        {"use": "measure_energy", "from": feeders},
        {"use": "map_tempo"},
        {"use": "crowdstream.testing.fakes:Forget"},
    ]
    recipe = Recipe.model_validate({"title": "truth", "offline": True, "stage": stages})
    seen = _Watch()
    plan = make_plan(recipe, Config())
    asyncio.run(run_to_end(plan, places=places, log=log, observers=[seen]))
    return Told(
        times=np.array([energy.captured_at for energy in seen.energies]),
        levels=np.array([energy.level for energy in seen.energies]),
        states=tuple(energy.state for energy in seen.energies),
        drives=np.array([energy.drive for energy in seen.energies]),
        bpms=np.array(seen.bpms),
        true=np.array([energy for _, energy in seen.true]),
        true_times=np.array([at for at, _ in seen.true]),
    )


def shown(**settings: Any) -> dict[str, Any]:
    """A recipe's entry for a drawn crowd."""
    return {"use": f"{__name__}:ShownCrowd", **settings}


def recorded(path: Path, fps: float | None = None) -> dict[str, Any]:
    """A recipe's entry for a video, at no more than `fps` pictures a second."""
    entry: dict[str, Any] = {"use": "video_file", "path": str(path)}
    return entry if fps is None else {**entry, "fps": fps}


def _cropped(
    picture: np.ndarray, joints: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = picture.shape[:2]
    top, left = round(rows * (1 - share) / 2), round(cols * (1 - share) / 2)
    joints[..., :2] = (joints[..., :2] - np.array([left / rows, top / rows])) / share
    return picture[top : rows - top, left : cols - left], joints


def _with_joints(truth: Truth, joints: np.ndarray, *, still: bool) -> Truth:
    if still:
        return replace(truth, joints=joints, speed=0.0, energy=0.0)
    return replace(truth, joints=joints)
