"""Energy is true: the main lines of `crowdstream bench truth`, on a small grid."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from crowdstream.offline.bench import BENCHES
from crowdstream.offline.bench_truth import (
    DANCING,
    RESTING,
    WALKING,
    Lab,
    _many_crowds,
    rank_correlation,
)  # fmt: skip
from crowdstream.offline.truth_chain import Told, recorded, shown
from crowdstream.stage import Places
from crowdstream.vision.drawn_light import BEGINS_AT

SMALL = {"people": 6, "size": (640, 360), "seed": 3}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Without a network: joints are nearly those of the truth."""
    folder = tmp_path_factory.mktemp("truth")
    return Lab(Places(folder, folder, folder), None, None)


def test_it_is_among_the_benches() -> None:
    assert "truth" in BENCHES


@pytest.mark.parametrize("eye", [None, "truth"])
def test_the_frame_rate_does_not_matter(lab: Lab, eye: str | None) -> None:
    plain = lab.say(shown(**SMALL, fps=30.0, seconds=5.0), eye)
    for fps, least in ((5.0, 0.25), (10.0, 0.10), (15.0, 0.10)):
        other = lab.say(shown(**SMALL, fps=fps, seconds=5.0), eye)
        assert other.energy == pytest.approx(plain.energy, rel=least)
        if fps >= 10.0:
            assert other.bpm == pytest.approx(plain.bpm, abs=0.5)


@pytest.mark.parametrize("eye", [None, "truth"])
def test_who_dances_more_reads_as_more(lab: Lab, eye: str | None) -> None:
    told = [lab.say(shown(**{**case, "seconds": 4.0}), eye) for case in list(_many_crowds(48))[::6]]
    found = rank_correlation([this.energy for this in told], [this.truth for this in told])
    assert found >= 0.97


@functools.cache
def _under(lab: Lab, eye: str | None, trick: str, frozen: bool) -> float:
    common = {**SMALL, "people": 12, "seed": 4, "seconds": 4.0}
    return lab.say(shown(**common, light=trick, frozen=frozen), eye).mean(BEGINS_AT, 99.0)


@pytest.mark.parametrize("trick", ["strobe 8", "blackout", "exposure"])
@pytest.mark.parametrize("eye", [None, "truth"])
def test_light_is_no_dance(lab: Lab, eye: str | None, trick: str) -> None:
    full = _under(lab, eye, "none", frozen=False)
    still = _under(lab, eye, "none", frozen=True)
    assert abs(_under(lab, eye, trick, frozen=True) - still) <= 0.05 * full
    assert abs(_under(lab, eye, trick, frozen=False) - full) <= 0.08 * full


def test_walkers_are_at_most_half_a_dance_and_dancing_on_the_way_is_one(lab: Lab) -> None:
    common = {**SMALL, "fps": 15.0, "seconds": 5.0}
    dance = lab.say(shown(**common), "truth").energy
    assert lab.say(shown(**common, energy=0.0, walking=0.8), "truth").energy <= 0.5 * dance
    assert lab.say(shown(**common, walking=0.4), "truth").energy >= 0.75 * dance


@pytest.mark.assets
@pytest.mark.timeout(120)
def test_recorded_walkers_and_those_who_sit_are_far_below_dancers(
    assets: Path, tmp_path: Path
) -> None:
    """With weights, at ten pictures a second."""
    model = next(iter(sorted((assets / "pose").glob("yolov8n-pose*int8*"))), None)
    if model is None:
        pytest.skip("no 8-bit YOLOv8n-pose among the assets")
    lab = Lab(Places(tmp_path, tmp_path, tmp_path), str(model), assets)
    found = {path.stem: path for path in (assets / "video").iterdir()}

    def energy(name: str) -> float:
        told: Told = lab.say(recorded(found[name], 12.5), lab.model)
        return told.mean(0.0, 99.0)

    dance = (energy(DANCING[0]) + energy(DANCING[1])) / 2.0
    assert energy(WALKING[0]) <= 0.5 * dance
    assert energy(RESTING[0]) <= 0.1 * dance
