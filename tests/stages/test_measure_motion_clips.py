"""The motion eye on real clips: people who dance, people who sit, and lights without people."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from crowdstream.dsp.energy import energy_of
from crowdstream.vision.flow import MotionEye, MotionReading
from crowdstream.vision.grey import small_grey

pytestmark = [pytest.mark.assets, pytest.mark.timeout(60)]

MOST_SECONDS = 25.0


class Told(NamedTuple):
    """Means over a clip."""

    energy: float
    confidence: float


@pytest.fixture(scope="module")
def clips(assets: Path) -> dict[str, Told]:
    """What the eye, with its settings as they come, says about each clip."""
    return {
        path.stem: watch(path)
        for path in sorted((assets / "video").iterdir())
        if path.suffix in {".mp4", ".gif", ".avi"}
    }


def watch(path: Path) -> Told:
    video = cv2.VideoCapture(str(path))
    fps = video.get(cv2.CAP_PROP_FPS)
    eye = MotionEye()
    readings: list[MotionReading] = []
    while True:
        t = len(readings) / fps
        good, picture = video.read()
        if not good or t > MOST_SECONDS:
            break
        readings.append(eye.look(small_grey(np.asarray(picture, np.uint8)), t, 0))
    video.release()
    return Told(
        float(np.mean([energy_of(reading.speed) for reading in readings])),
        float(np.mean([reading.confidence for reading in readings])),
    )


DANCING = ("single_dancer_warehouse", "three_dancers_studio", "seven_people_jumping")


@pytest.mark.parametrize("dancing", DANCING)
@pytest.mark.parametrize("resting", ["classroom_seated", "one_by_one_standing"])
def test_dancing_is_above_sitting_and_standing(
    clips: dict[str, Told], dancing: str, resting: str
) -> None:
    """By mean energy, not weighted by confidence, and clearly."""
    assert clips[dancing].energy > 1.5 * clips[resting].energy + 0.1


@pytest.mark.parametrize("dancing", DANCING)
def test_dancing_in_good_light_is_trusted(clips: dict[str, Told], dancing: str) -> None:
    """Well above a half."""
    assert clips[dancing].confidence > 0.6


def test_lights_without_people_are_not_trusted(clips: dict[str, Told]) -> None:
    """A tunnel of moving neon."""
    assert clips["neon_lights_no_people"].confidence < 0.3


def test_people_who_sit_are_seen_well(clips: dict[str, Told]) -> None:
    """Little energy, and that is believed."""
    assert clips["classroom_seated"].energy < 0.1
    assert clips["classroom_seated"].confidence > 0.6
