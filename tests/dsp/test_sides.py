"""Left stays left, though the network changes its mind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crowdstream.dsp.crowd import CrowdMeter
from crowdstream.dsp.sides import Sides
from crowdstream.testing.bodies import TORSO, bodies

PAIRS = [(joint, joint + 1) for joint in range(5, 17, 2)]


def exchanged(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    other = joints.copy()
    for left, right in PAIRS:
        other[:, [left, right]] = joints[:, [right, left]]
    return other


def kept(pictures: list[NDArray[np.float32]], fps: float = 20.0) -> list[NDArray[np.float32]]:
    sides, rows = Sides(), np.arange(len(pictures[0]))
    answer = []
    for frame, picture in enumerate(pictures):
        joints = picture.copy()
        sides.keep(rows, rows, joints, np.full(len(joints), TORSO), frame / fps)
        answer.append(joints)
    return answer


def test_sides_that_change_at_once_are_changed_back() -> None:
    plain = [bodies(2, frame / 20, speed=1.0) for frame in range(20)]
    flipped = [exchanged(joints) if frame in (5, 6, 11) else joints for frame, joints in
               enumerate(plain)]  # fmt: skip
    for found, expected in zip(kept(flipped), plain, strict=True):
        assert np.array_equal(found, expected)


def test_who_turns_round_is_left_alone() -> None:
    """Half a turn in a second: the shoulders come together, and part again on the other side."""
    pictures = []
    for frame in range(21):
        joints = bodies(1, 0.0)
        middle = joints[:, 5:, 0].mean()
        joints[:, :, 0] = middle + (joints[:, :, 0] - middle) * np.cos(np.pi * frame / 20)
        pictures.append(joints.astype(np.float32))
    for found, expected in zip(kept(pictures), pictures, strict=True):
        assert np.array_equal(found, expected)


def test_a_network_in_doubt_makes_no_dance() -> None:
    """Somebody who stands with their back to the camera, taken for facing it every third time."""
    meter = CrowdMeter()
    for frame in range(90):
        joints = bodies(3, 0.0)
        reading = meter.take_people(
            exchanged(joints) if frame % 3 == 0 else joints, np.arange(3), at=frame / 30,
            intensity=0.5,
        )  # fmt: skip
    assert reading.level == 0.0
