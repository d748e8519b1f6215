"""Whether a camera that came back looks at the same place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from crowdstream.vision.drawn import Crowd
from crowdstream.vision.drawn_picture import Painter
from crowdstream.vision.grey import small_grey
from crowdstream.vision.view import View


def seen(room: int, people: int, seed: int, light: float = 1.0) -> list[NDArray[np.uint8]]:
    """A second of a room, or of another, with people in it."""
    crowd, painter = Crowd(people=people, seed=seed), Painter(640, 360, seed=1)
    pictures = (painter.paint(*crowd.joints(k / 20), k / 20, light) for k in range(20))
    # The other room is the same stood on its head: nothing in it is where it was.
    return [small_grey(np.ascontiguousarray(p[::-1] if room == 2 else p)) for p in pictures]


def told(*epochs: list[NDArray[np.uint8]]) -> list[int]:
    """The epochs that were told of."""
    view = View()
    return [
        epoch
        for epoch, pictures in enumerate(epochs)
        for grey in pictures
        if view.look(grey, epoch)
    ]


@pytest.mark.parametrize("light", [1.0, 0.6])
def test_the_same_room_with_others_in_it_and_other_light_is_the_same(light: float) -> None:
    assert told(seen(1, 12, 1), seen(1, 24, 2, light)) == []


def test_another_room_is_told_of_once() -> None:
    assert told(seen(1, 12, 1), seen(2, 12, 1), seen(2, 12, 3)) == [1]


def test_in_the_dark_nobody_can_tell() -> None:
    black = [np.full((180, 320), 2, np.uint8)] * 20
    assert told(seen(1, 12, 1), black) == []


def test_an_epoch_too_short_to_judge_leaves_what_was_known() -> None:
    assert told(seen(1, 6, 1), seen(2, 6, 1)[:4], seen(1, 6, 1)) == []


@pytest.mark.assets
def test_of_recorded_rooms_each_is_itself_and_none_another(assets: Path) -> None:
    rooms = []
    for name in ("seven_people_jumping.mp4", "one_by_one_standing.mp4", "classroom_seated.gif"):
        video = cv2.VideoCapture(str(assets / "video" / name))
        rooms.append([small_grey(np.asarray(video.read()[1], np.uint8)) for _ in range(26)])
        video.release()
    for one in rooms:
        assert told(one[:13], one[13:]) == []
        for other in rooms:
            assert told(one[:13], other[13:]) == ([1] if one is not other else [])
