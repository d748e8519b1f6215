"""What a page may see: numbers, few, not too often, and how old they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest

from crowdstream.observers.tap import EVERY_SECONDS, Tap
from crowdstream.packets import PREVIEW_PEOPLE, UNSEEN, Energy, Frame, Motion, People
from crowdstream.testing.bodies import bodies
from crowdstream.vision.preview import picture_of


def people(count: int, at: float, **facts: Any) -> People:
    return People(
        seq=1, captured_at=at, aspect=16 / 9, ids=np.arange(count),
        scores=np.ones(count, np.float32),
        **({"keypoints": bodies(count, 0.0, torso=0.15)} | facts),
    )  # fmt: skip


def energy(at: float) -> Energy:
    return Energy(
        seq=1, captured_at=at, level=0.6, raw=0.6, speed=1.0, confidence=0.9, drive=0.5, people=3,
        eyes=("pose",),
    )  # fmt: skip


def test_nothing_is_known_before_anything_was_seen() -> None:
    assert Tap().preview(1.0) is None


def test_joints_are_whole_steps_and_what_is_not_seen_says_so() -> None:
    tap = Tap()
    found = people(2, 1.0)
    found.keypoints[0, 3, 2] = 0.0
    found.keypoints[1, 4, 0] = np.nan
    tap.on_sent("estimate_pose", found)
    preview = tap.preview(1.1)
    assert preview is not None
    assert preview.joints.dtype == np.int16
    assert (preview.joints[0, 3] == UNSEEN).all() and (preview.joints[1, 4] == UNSEEN).all()
    wished = found.keypoints[0, 0, :2]
    assert preview.joints[0, 0] / 1000 == pytest.approx(wished, abs=0.0006)
    assert preview.age_seconds == pytest.approx(0.1)


def test_it_is_small_however_many_there_are() -> None:
    tap = Tap()
    tap.on_sent("estimate_pose", people(500, 1.0))
    flow = np.full((200, 200, 2), 99.0, np.float32)
    tap.on_sent(
        "m", Motion(seq=1, captured_at=1.0, speed=1, moving_share=1, confidence=1, flow=flow)
    )
    preview = tap.preview(1.0)
    assert preview is not None
    assert len(preview.joints) == len(preview.ids) == PREVIEW_PEOPLE
    arrays = [v for v in dataclasses.astuple(preview) if isinstance(v, np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 24_000


def test_at_most_five_a_second_are_made() -> None:
    tap = Tap()
    tap.on_sent("e", energy(1.0))
    first = tap.preview(1.0)
    tap.on_sent("e", energy(1.1))
    assert tap.preview(1.0 + 0.9 * EVERY_SECONDS) is first
    assert tap.preview(1.0 + 1.1 * EVERY_SECONDS) is not first


def test_people_who_were_seen_long_ago_are_not_shown() -> None:
    tap = Tap()
    tap.on_sent("p", people(2, 1.0))
    tap.on_sent("e", energy(5.0))
    preview = tap.preview(5.0)
    assert preview is not None
    assert len(preview.joints) == 0 and preview.age_seconds == pytest.approx(4.0)


def test_pictures_are_not_kept() -> None:
    tap = Tap()
    pixels, grey = np.full((90, 160, 3), 200, np.uint8), np.zeros((180, 320), np.uint8)
    tap.on_sent(
        "c", Frame(seq=1, captured_at=1.0, picture=pixels, grey=grey, source_size=(160, 90))
    )
    assert tap.preview(1.0) is None


@pytest.mark.parametrize(("form", "begin"), [("jpeg", b"\xff\xd8"), ("png", b"\x89PNG")])
def test_it_is_drawn_in_memory_on_black(form: Any, begin: bytes) -> None:
    tap = Tap()
    tap.on_sent("p", people(3, 1.0))
    tap.on_sent("e", energy(1.0))
    preview = tap.preview(1.0)
    assert preview is not None
    data = picture_of(preview, 360, form)
    assert data.startswith(begin) and len(data) < 100_000
    drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None and drawn.shape == (360, 640, 3)
    assert drawn.max() > 200 and np.median(drawn) < 8
