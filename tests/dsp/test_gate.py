"""Which pictures joints are taken from while the light plays."""

from __future__ import annotations

import numpy as np

from crowdstream.dsp.crowd import CrowdMeter
from crowdstream.dsp.gate import LONGEST_SECONDS, LightGate
from crowdstream.testing.bodies import bodies


def judged(brightnesses: list[float], fps: float = 30.0) -> list[str]:
    gate = LightGate()
    return [gate.judge(level, frame / fps) for frame, level in enumerate(brightnesses)]


def test_between_flashes_nothing_is_taken() -> None:
    assert judged([0.4, 0.02, 0.02, 0.4, 0.02, 0.41]) == [
        "take", "leave", "leave", "take", "leave", "take",
    ]  # fmt: skip


def test_a_light_that_is_faded_is_followed() -> None:
    assert set(judged([0.5 * 0.97**frame for frame in range(90)])) == {"take"}


def test_a_darker_exposure_is_waited_for_and_begun_anew() -> None:
    answers = judged([0.4] * 3 + [0.22] * 30)
    assert answers[3:12] == ["leave"] * 9
    assert answers.count("anew") == 1
    assert answers[-1] == "take"


def test_a_brighter_one_is_begun_anew_at_once() -> None:
    assert judged([0.2, 0.2, 0.4, 0.4]) == ["take", "take", "anew", "take"]


def test_a_room_that_stays_black_is_a_dark_room() -> None:
    answers = judged([0.4, *[0.01] * round(30 * (LONGEST_SECONDS + 1))])
    assert answers[-1] == "take"


def test_phantoms_between_flashes_move_nobody() -> None:
    """In dark pictures the network sees joints elsewhere."""
    meter, rng = CrowdMeter(), np.random.default_rng(1)
    for frame in range(120):
        dark = frame % 6 >= 3
        meter.take_motion(
            0.0, 0.4, "flashing", at=frame / 30, intensity=0.5, brightness=0.02 if dark else 0.4
        )
        joints = bodies(4, 0.0)
        if dark:
            joints[..., :2] += rng.normal(0.0, 0.05, (4, 17, 2)).astype(np.float32)
        reading = meter.take_people(joints, np.arange(4), at=frame / 30, intensity=0.5)
    assert reading.level == 0.0
    assert (reading.people, reading.state) == (4, "flashing")


def test_joints_that_come_late_are_judged_by_the_light_of_their_own_picture() -> None:
    """A network is three pictures behind: what the light does meanwhile is not its matter."""
    meter, rng, late = CrowdMeter(), np.random.default_rng(1), 3
    for frame in range(150):
        dark = frame % 10 >= 5
        meter.take_motion(
            0.0, 0.4, "flashing", at=frame / 30, intensity=0.5, brightness=0.02 if dark else 0.4
        )
        if frame < late:
            continue
        joints = bodies(4, 0.0)
        if (frame - late) % 10 >= 5:
            joints[..., :2] += rng.normal(0.0, 0.05, (4, 17, 2)).astype(np.float32)
        reading = meter.take_people(joints, np.arange(4), at=(frame - late) / 30, intensity=0.5)
    assert reading.level == 0.0
