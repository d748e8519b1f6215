"""How true groove and synchrony are: drawn crowds of known tempo, seen as a network sees them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from crowdstream.dsp.energy import TORSO_TO_BODY, torso_lengths
from crowdstream.dsp.groove import GrooveMeter
from crowdstream.offline.bench import Row, Say, row
from crowdstream.vision.drawn import HIDDEN, Crowd

SECONDS: Final = 9.0
"""How long each crowd is looked at before it is asked."""

PEOPLE: Final = (1, 2, 3, 6, 15, 40, 60)
RATES: Final = (10.0, 15.0, 30.0)
SYNCHRONIES: Final = (0.2, 0.5, 0.75, 1.0)
SEEDS: Final = (1, 2, 3)

WITHIN: Final = 0.04
LOCKED: Final = 0.5
"""Synchrony from which on the goals for the tempo hold."""


class Case(NamedTuple):
    """One drawn crowd, and how it is seen."""

    people: int
    fps: float
    bpm: float
    energy: float
    synchrony: float
    seed: int
    jitter: float = 0.01
    """Standard deviation of each key point, in body lengths."""

    lost: float = 0.1
    """Share of the people that is not found in a picture."""

    renamed: float = 0.05
    """How often a second a person gets a new number, or somebody else's."""


class Found(NamedTuple):
    """What was measured of a case."""

    case: Case
    within: bool
    """The tempo is within 4 % of the drawn one."""

    within_octave: bool
    confidence: float
    synchrony_error: float | None
    phase_error: float | None
    """In beats, to either side."""

    milliseconds: float
    """Of the processor, a packet."""


def groove_rows(say: Say) -> list[Row]:
    """Shares of crowds whose tempo is right, and errors of synchrony, by people and by rate."""
    say("drawn crowds, their tempo and synchrony…")
    found = [measure(case) for seed in SEEDS for case in cases(seed=seed)]
    rows = _rows("all", found)
    for people in PEOPLE:
        rows += _rows(f"{people} people", [f for f in found if f.case.people == people])
    for fps in RATES:
        rows += _rows(f"{fps:g} pictures a second", [f for f in found if f.case.fps == fps])
    for low, high in ((0.0, 0.35), (0.35, 0.75), (0.75, 1.01)):
        some = [f for f in found if low <= f.case.energy < high]
        rows += _rows(f"energy {low:g} to {min(1.0, high):g}", some)
    still = [measure(case) for case in cases(energies=(0.0, 0.0), seed=2, synchronies=(1.0,))]
    told = float(np.mean([f.confidence >= 0.2 for f in still]))
    rows.append(
        row("groove_invented", "people who stand", told, "share", goal=0.01, met=told <= 0.01)
    )
    return rows


def cases(
    *,
    people: Sequence[int] = PEOPLE,
    fps: Sequence[float] = RATES,
    synchronies: Sequence[float] = SYNCHRONIES,
    energies: tuple[float, float] = (0.1, 0.95),
    seed: int = 1,
) -> Iterator[Case]:
    """One case for each combination, tempo (90 to 150) and energy by the throw of a die."""
    rng = np.random.default_rng(seed)
    for count, rate, synchrony in itertools.product(people, fps, synchronies):
        yield Case(
            count, rate, rng.uniform(90.0, 150.0), rng.uniform(*energies), synchrony,
            int(rng.integers(2**31)),
        )  # fmt: skip


def measure(case: Case) -> Found:
    """Draw the crowd, spoil its joints as a network does, and compare what comes out."""
    crowd = Crowd(
        people=case.people, bpm=case.bpm, energy=case.energy, synchrony=case.synchrony,
        seed=case.seed,
    )  # fmt: skip
    spoil = _spoiler(case)
    meter = GrooveMeter()
    spent, at, frames = 0.0, 0.0, round(SECONDS * case.fps)
    for frame in range(frames):
        at = frame / case.fps
        joints, ids, bodies = spoil(*crowd.joints(at))
        began = time.process_time()
        meter.take_people(joints, ids, bodies, at=at)
        spent += time.process_time() - began
    truth, groove = crowd.truth(at), meter.reading(at)
    ratio = 0.0 if groove.groove_bpm is None else groove.groove_bpm / truth.bpm
    phase, synchrony = groove.beat_phase, groove.synchrony
    return Found(
        case=case,
        within=abs(ratio - 1.0) <= WITHIN,
        within_octave=any(abs(ratio * octave - 1.0) <= WITHIN for octave in (0.5, 1.0, 2.0)),
        confidence=groove.groove_confidence,
        synchrony_error=None if synchrony is None else synchrony - truth.synchrony,
        phase_error=(None if phase is None else abs((phase - truth.beat_phase + 0.5) % 1.0 - 0.5)),
        milliseconds=1e3 * spent / frames,
    )


Joints = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Ids = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Lengths = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _spoiler(case: Case) -> Callable[[Joints, Ids], tuple[Joints, Ids, Lengths]]:
    """What a network and a tracker make of joints: trembling, people lost, numbers changed."""
    rng = np.random.default_rng((case.seed, 0x6F))
    number: dict[int, int] = {}

    def spoil(joints: Joints, ids: Ids) -> tuple[Joints, Ids, Lengths]:
        hidden = joints[..., 2] <= HIDDEN
        whole = np.array(joints, np.float32)
        whole[..., 2] = 1.0
        bodies = torso_lengths(whole) * TORSO_TO_BODY
        tremble = rng.normal(0.0, case.jitter, whole[..., :2].shape)
        whole[..., :2] += (tremble * bodies[:, None, None]).astype(np.float32)
        whole[..., 2] = np.where(hidden, 0.1, 0.9)
        torso = ~hidden[:, (5, 6)].all(axis=1) & ~hidden[:, (11, 12)].all(axis=1)
        bodies = np.where(torso, bodies, np.nan)
        for person in ids[rng.random(len(ids)) < case.renamed / case.fps]:
            other, mine = int(rng.choice(ids)), int(person)
            if other == mine or rng.random() < 0.5:
                number[mine] = 1000 + len(number) + max(number.values(), default=0)
            else:
                number[mine], number[other] = number.get(other, other), number.get(mine, mine)
        kept = rng.random(len(ids)) >= case.lost
        names = np.array([number.get(int(person), int(person)) for person in ids], np.int64)
        return whole[kept], names[kept], bodies[kept]

    return spoil


def _rows(name: str, found: Sequence[Found]) -> list[Row]:
    locked = [one for one in found if one.case.synchrony >= LOCKED]
    errors = [abs(one.synchrony_error) for one in found if one.synchrony_error is not None]
    phases = [one.phase_error for one in locked if one.phase_error is not None]
    right = float(np.mean([one.within for one in locked]))
    octave = float(np.mean([one.within_octave for one in locked]))
    rows = [
        row("groove_within_4_percent", name, right, "share", goal=0.95, met=right >= 0.95),
        row("groove_octave_aside", name, octave, "share", goal=0.99, met=octave >= 0.99),
    ]
    if errors:
        mean, most = float(np.mean(errors)), float(np.quantile(errors, 0.95))
        rows += [
            row("synchrony_error_mean", name, mean, "", goal=0.1, met=mean <= 0.1),
            row("synchrony_error_p95", name, most, "", goal=0.1, met=most <= 0.1),
        ]
    if phases:
        rows.append(row("beat_phase_error_p95", name, float(np.quantile(phases, 0.95)), "beats"))
    cost = float(np.mean([one.milliseconds for one in found]))
    rows.append(row("groove_cost", name, cost, "ms a packet"))
    return rows
