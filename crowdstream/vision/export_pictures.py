"""Pictures by which 8-bit numbers are measured: the venue's own, or crowds that are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.errors import ConfigError, MediaError
from crowdstream.vision.letterbox import Letterbox

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PICTURES: Final = 300
"""More do not change what is measured: ranges settle after about so many."""

DRAWN_PICTURES: Final = 48
"""Four of each of twelve crowds, one in each light; 24 measure as well, to a tenth of a pixel."""

_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_LONGEST: Final = 1280


def write_pictures(work: Path, calibrate: Path | None, size: tuple[int, int]) -> None:
    """Write pictures into `work`/pictures, as the network gets them when it runs.

    `size` is the height and width of its input: each lies in it with grey around, without loss.
    """
    import cv2

    folder = work / "pictures"
    folder.mkdir(parents=True)
    for number, picture in enumerate(_drawn() if calibrate is None else pictures_of(calibrate)):
        height, width = picture.shape[:2]
        box = Letterbox(width, height, size[1], size[0])
        canvas = box.canvas()
        box.paint(picture, canvas)
        coded, content = cv2.imencode(".png", canvas[0])
        if coded:
            (folder / f"{number:04d}.png").write_bytes(content.tobytes())


def pictures_of(folder: Path, most: int = MOST_PICTURES) -> Iterator[NDArray[np.uint8]]:
    """Pictures of a folder, evenly over all of it, at most 1280 wide or high.

    Raises ConfigError if there is none, MediaError for a file that is no picture.
    """
    import cv2

    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: give one with pictures of the room, jpg or png")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not paths:
        raise ConfigError(f"{folder} has no pictures in it: put some of the room there, jpg or png")
    count = min(len(paths), most)
    for at in np.linspace(0, len(paths) - 1, count).round().astype(int).tolist():
        picture: Any = cv2.imread(str(paths[at]))
        if picture is None:
            raise MediaError(f"{paths[at]} cannot be read as a picture: take it out of the folder")
        factor = _LONGEST / max(picture.shape[:2])
        if factor < 1.0:
            picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        yield picture


def _drawn() -> Iterator[NDArray[np.uint8]]:
    """Crowds of all sizes, calm and wild, in much and little light, with and without noise."""
    from crowdstream.vision.drawn import Crowd
    from crowdstream.vision.drawn_picture import Painter

    crowds = 12
    each = DRAWN_PICTURES // crowds
    for seed in range(crowds):
        people = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 60)[seed]
        width, height = ((1280, 720), (640, 360), (960, 720))[seed % 3]
        crowd = Crowd(
            people=people, energy=0.1 + 0.8 * (seed * 5 % crowds) / (crowds - 1), seed=seed,
            aspect=width / height,
        )  # fmt: skip
        painter = Painter(width, height, seed=seed, noise=(0.0, 3.0, 9.0)[seed // 3 % 3])
        for number in range(each):
            t = 0.37 * number
            joints, ids = crowd.joints(t)
            yield painter.paint(joints, ids, t, light=(1.0, 0.7, 0.45, 0.25)[number % 4])
