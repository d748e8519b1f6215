"""`crowdstream bench truth`: is energy what it says, whatever the camera, the crowd and the light?

Every crowd is drawn, so that its energy is known by the published formula; the pictures go through
the chain of `crowdstream analyze`. Recorded clips are taken from the folder CROWDSTREAM_ASSETS, a
pose model from the models folder or from there; what needs one that is missing is left out, and
said.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from crowdstream.config import Config, places_of
from crowdstream.models import ModelMissing, find_model
from crowdstream.offline.bench import Row, Say, row
from crowdstream.offline.bench_groove import groove_rows
from crowdstream.offline.truth_chain import Told, recorded, shown, watch
from crowdstream.stage import Places
from crowdstream.testing import a_context
from crowdstream.vision.drawn_light import BEGINS_AT

EYES: Final = {None: "motion alone", "truth": "both eyes, joints of the truth"}
NETWORK: Final = "both eyes, network"

DANCING: Final = ("seven_people_jumping", "single_dancer_warehouse", "three_dancers_studio")
WALKING: Final = ("plaza_crowd_overhead", "street_crowd_openpose")
RESTING: Final = ("classroom_seated", "one_by_one_standing")

SMALL: Final = (640, 360)
# Pictures that flow and joints of the truth are measured on: the same figures as larger ones.


@dataclass(frozen=True, slots=True)
class Lab:
    """What the measurements are made with."""

    places: Places
    model: str | None
    """A pose model, or None."""

    assets: Path | None

    @property
    def eyes(self) -> list[str | None]:
        """Motion alone, joints of the truth, and the network where there is one."""
        return [None, "truth", *([self.model] if self.model else [])]

    def say(self, source: dict[str, Any], eye: str | None, height: float | None = None) -> Told:
        """What the chain says about a source."""
        log = a_context(places=self.places).log
        return watch(source, eye=eye, places=self.places, log=log, person_height=height)


def lab(say: Say = lambda _: None) -> Lab:
    """With the models and clips that are on this machine."""
    places = places_of(Config())
    folder = Path(os.environ.get("CROWDSTREAM_ASSETS", ""))
    assets = folder if os.environ.get("CROWDSTREAM_ASSETS") and folder.is_dir() else None
    if assets is None:
        say("no recorded clips (set CROWDSTREAM_ASSETS): their rows are left out")
    model: str | None = None
    try:
        find_model("auto", places.models)
        model = "auto"
    except ModelMissing:
        known = sorted((assets / "pose").glob("yolov8n-pose*int8*")) if assets else []
        model = str(known[0]) if known else None
    if model is None:
        say("no pose model: rows that need a network are left out")
    return Lab(places, model, assets)


def truth(say: Say) -> list[Row]:
    """All rows of `crowdstream bench truth`."""
    bench = lab(say)
    rows: list[Row] = []
    for what, measure in MEASURES.items():
        say(f"{what}…")
        rows += measure(bench)
    return rows + groove_rows(say)


def _named(eye: str | None) -> str:
    return EYES.get(eye, NETWORK)


def _share(value: float, other: float) -> float:
    """How far a value is from another, as a share of it."""
    return abs(value - other) / other if other > 0.0 else float(value > 0.0)


def _at_most(
    what: str, case: str, value: float, goal: float, unit: str = "share", **more: Any
) -> Row:
    return row(what, case, value, unit, goal=goal, met=value <= goal, **more)


def rates(bench: Lab) -> list[Row]:
    """The same dance at other rates of pictures: energy and target tempo beside 30 a second."""
    rows: list[Row] = []
    for eye in bench.eyes:
        told = {
            fps: bench.say(shown(people=6, fps=fps, seconds=6.5, seed=3), eye)
            for fps in (5.0, 10.0, 15.0, 30.0, 60.0)
        }
        for fps, this in told.items():
            case = f"{fps:g} fps, {_named(eye)}"
            least = 0.25 if fps < 10 else 0.10
            rows.append(
                _at_most(
                    "energy_by_frame_rate", case, _share(this.energy, told[30.0].energy), least
                )
            )
            if fps >= 10:
                off = abs(this.bpm - told[30.0].bpm)
                rows.append(_at_most("tempo_by_frame_rate", case, off, 0.5, "BPM"))
        rows.append(
            _at_most(
                "energy_beside_truth",
                f"30 fps, {_named(eye)}",
                _share(told[30.0].energy, told[30.0].truth),
                0.25,
            )
        )
    if bench.assets and bench.model:
        clip = bench.assets / "video" / "three_dancers_studio.mp4"
        whole = bench.say(recorded(clip), bench.model)
        told = {fps: bench.say(recorded(clip, fps), bench.model) for fps in (10.0, 15.0)}
        for fps, this in told.items():
            case = f"{clip.stem} at {fps:g} fps, {NETWORK}"
            rows.append(
                _at_most("energy_by_frame_rate", case, _share(this.energy, whole.energy), 0.10)
            )
            rows.append(
                _at_most("tempo_by_frame_rate", case, abs(this.bpm - whole.bpm), 0.5, "BPM")
            )
    return rows


def views(bench: Lab) -> list[Row]:
    """The same dance in other sizes, from half the distance, upright and across."""
    near = {"people": 3, "fps": 15.0, "seconds": 6.0, "seed": 5, "aspect": 4 / 3}
    half = {**near, "people": 4, "zoom": 0.5}
    tall = {"people": 1, "fps": 15.0, "seconds": 6.0, "seed": 6, "aspect": 0.5625, "zoom": 0.8}
    # What is compared with what; and how tall the people are, for an eye that cannot know.
    pairs: list[tuple[str, dict[str, Any], dict[str, Any], float, float]] = [
        ("half size", {**near, "size": (640, 360)}, near, 0.57, 0.57),
        ("double size", {**near, "size": (2560, 1440)}, near, 0.57, 0.57),
        ("half the distance", {**half, "crop": 0.5}, half, 0.56, 0.28),
        ("portrait", {**tall, "size": (720, 1280)}, {**tall, "size": (1280, 720)}, 0.5, 0.5),
    ]  # fmt: skip
    rows: list[Row] = []
    for eye in bench.eyes:
        for name, this, that, height, other_height in pairs:
            one = bench.say(shown(**this), eye, height)
            other = bench.say(shown(**that), eye, other_height)
            case = f"{name}, {_named(eye)}"
            rows.append(_at_most("energy_by_view", case, _share(one.energy, other.energy), 0.10))
    return rows


def crowds(bench: Lab, count: int = 48) -> list[Row]:
    """Many different crowds: does who dances more read as more?"""
    rows: list[Row] = []
    cases = list(_many_crowds(count))
    for eye in bench.eyes[:2]:
        told = [bench.say(shown(**case), eye, _height(case["people"])) for case in cases]
        rows.append(_ranked(f"{count} crowds, {_named(eye)}", told))
    if bench.model:
        few = cases[:: max(1, count // 12)]
        told = [
            bench.say(shown(**{**case, "size": (1280, 720)}), bench.model, _height(case["people"]))
            for case in few
        ]
        rows.append(_ranked(f"{len(few)} crowds, {NETWORK}", told))
    return rows


def _many_crowds(count: int) -> Iterator[dict[str, Any]]:
    """Crowds of 1 to 60 people, 90 to 150 BPM, synchrony 0.2 to 1, noise 1 to 8 grey levels."""
    rng = np.random.default_rng(17)
    for number in range(count):
        yield {
            "people": round(60 ** rng.random()),
            "bpm": float(rng.uniform(90.0, 150.0)),
            "energy": (number + 0.5) / count,
            "synchrony": float(rng.uniform(0.2, 1.0)),
            "noise": float(rng.uniform(1.0, 8.0)),
            "seed": number,
            "size": SMALL,
            "fps": 15.0,
            "seconds": 5.5,
        }  # fmt: skip


def _height(people: int) -> float:
    """How tall drawn people stand in the picture, on average over the floor."""
    near = np.interp(people, [1, 3, 8, 20, 40, 80], [0.62, 0.58, 0.50, 0.44, 0.37, 0.30])
    rows = np.interp(people, [2, 5, 12, 24, 40, 80], [1, 2, 2, 3, 5, 7])
    return float(near * (1.0 - 0.045 * (rows if rows > 1 else 0.0)))


def _ranked(case: str, told: list[Told]) -> Row:
    value = rank_correlation([this.energy for this in told], [this.truth for this in told])
    return row("energy_rank_correlation", case, value, "", goal=0.97, met=value >= 0.97)


def rank_correlation(these: list[float], those: list[float]) -> float:
    """Spearman's, for values that are never equal."""
    one, other = (np.argsort(np.argsort(values)).astype(np.float64) for values in (these, those))
    return float(np.corrcoef(one, other)[0, 1])


STROBES: Final = (1.0, 2.0, 3.0, 5.0, 8.0, 11.0, 15.0, 20.0)
FLAGS: Final = {
    "strobe": ("flashing", "changing", "dark"),
    "blackout": ("dark", "changing"),
    "exposure": ("changing",),
    "spots": ("moving", "changing"),
    "beams": ("moving", "changing", "hazy"),
    "haze": ("hazy", "moving"),
    "torches": ("moving", "changing", "flashing"),
}
"""What may be said of each trick of light."""


def lights(bench: Lab) -> list[Row]:
    """What light does to the energy of the same crowd, still and dancing, and when it is said."""
    rows: list[Row] = []
    tricks = [
        *(f"strobe {hz:g}" for hz in STROBES),
        "blackout",
        "exposure",
        "spots",
        "beams",
        "haze",
        "torches",
    ]
    for eye in bench.eyes:
        if eye == "truth":
            continue
        some = (
            tricks
            if eye is None
            else ["strobe 3", "strobe 8", "strobe 15", *tricks[len(STROBES) :]]
        )
        common: dict[str, Any] = {
            "people": 12,
            "seconds": 7.0,
            "fps": 30.0,
            "seed": 4,
            "size": SMALL if eye is None else (1280, 720),
        }
        dance = bench.say(shown(**common), eye)
        still = bench.say(shown(**common, frozen=True), eye)
        full = dance.mean(BEGINS_AT, np.inf)
        for trick in some:
            for crowd, plain in (("dancing", dance), ("still", still)):
                lit = bench.say(shown(**common, light=trick, frozen=crowd == "still"), eye)
                case = f"{trick}, {crowd}, {_named(eye)}"
                # Where it ends like the same crowd in ordinary light, nothing was changed.
                change = abs(lit.mean(BEGINS_AT, np.inf) - plain.mean(BEGINS_AT, np.inf)) / full
                rows.append(_at_most("energy_by_light", case, change, 0.05, "of the dance"))
                wanted = FLAGS[trick.split()[0]]
                if crowd == "dancing":
                    after = flagged_after(lit, wanted, _shows_at(trick), common["fps"])
                    rows.append(_at_most("light_flagged", case, after, 3.0, "pictures"))
    return rows


def flagged_after(told: Told, states: tuple[str, ...], begins_at: float, fps: float) -> float:
    """Pictures from the first that the trick has changed to its being said; 999 if it never is."""
    first = math.ceil(begins_at * fps - 1e-6) / fps
    for at, state in zip(told.times, told.states, strict=True):
        if at >= first - 1e-6 and state in states:
            return float((at - first) * fps)
    return 999.0


def _shows_at(trick: str) -> float:
    """When a trick of light can first be seen: a strobe begins with a flash, haze is thick late."""
    if trick.startswith("strobe"):
        return BEGINS_AT + 0.5 / float(trick.split()[1])
    return BEGINS_AT + (1.0 if trick == "haze" else 0.0)


def walkers(bench: Lab) -> list[Row]:
    """Drawn people who only walk, and people who dance on their way, beside those who dance."""
    rows: list[Row] = []
    common = {"people": 6, "fps": 15.0, "seconds": 7.0, "seed": 8}
    for eye in bench.eyes:
        dance = bench.say(shown(**common), eye).energy
        for speed in (0.4, 0.8):
            case = f"{speed:g} body heights a second, {_named(eye)}"
            walk = bench.say(shown(**common, energy=0.0, walking=speed), eye).energy
            rows.append(_at_most("walking_beside_dancing", case, walk / dance, 0.5))
            both = bench.say(shown(**common, walking=speed), eye).energy
            rows.append(
                row(
                    "dancing_on_the_way", case, both / dance, "of dancing", goal=0.75,
                    met=both / dance >= 0.75,
                )
            )  # fmt: skip
    return rows


def clips(bench: Lab) -> list[Row]:
    """Recorded people: who walks, sits or stands, beside the mean of those who dance."""
    if bench.assets is None or bench.model is None:
        return []
    found = {path.stem: path for path in sorted((bench.assets / "video").iterdir())}
    told = {
        name: bench.say(recorded(found[name]), bench.model)
        for name in (*DANCING, *WALKING, *RESTING)
        if name in found
    }
    # Over the whole clip, as `analyze` gives it.
    energy = {name: this.mean(0.0, np.inf) for name, this in told.items()}
    dance = float(np.mean([energy[name] for name in DANCING if name in energy]))
    rows = [row("energy_of_clip", name, value, "energy") for name, value in energy.items()]
    for names, goal in ((WALKING, 0.5), (RESTING, 0.25)):
        rows += [
            _at_most("energy_beside_dancing", name, energy[name] / dance, goal)
            for name in names
            if name in energy
        ]
    return rows


MEASURES: Final = {
    "rates of pictures": rates,
    "sizes, distances and formats": views,
    "crowds of every kind": crowds,
    "light": lights,
    "people who walk": walkers,
    "recorded clips": clips,
}
