"""Pictures of a drawn crowd: people that a pose network takes for people.

A figure is a list of shapes, laid over one another: limbs as tapered rods, the chest as a rounded
quadrilateral, heads and hands as ellipses. One kernel fills them with soft edges and a little
shading, without holding the interpreter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crowdstream.dsp.energy import TORSO_TO_BODY
from crowdstream.vision.drawn_shapes import BRIGHTEST, ELLIPSE, NUMBERS, PATCH, ROD, SHADOW, fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_TILE_MARGIN: Final = 64
# The noise is moved by up to so many pixels either way.

_LOOKS_KEPT: Final = 1024

_SKINS: Final = (
    (172, 200, 238), (140, 178, 224), (112, 152, 206),
    (88, 124, 180), (66, 96, 148), (50, 72, 112),
)  # fmt: skip
_HAIRS: Final = (
    (28, 30, 36), (34, 44, 66), (44, 70, 110),
    (80, 130, 180), (40, 50, 120), (150, 155, 160),
)  # fmt: skip
_SHIRTS: Final = (
    (60, 60, 210), (210, 120, 50), (70, 170, 80), (40, 190, 230), (225, 225, 230), (170, 70, 150),
    (45, 45, 50), (200, 180, 60), (120, 90, 235), (70, 120, 220), (150, 150, 60), (190, 160, 220),
)  # fmt: skip
_TROUSERS: Final = (
    (110, 70, 45), (60, 45, 40), (45, 45, 48),
    (90, 110, 130), (130, 100, 80), (70, 80, 60),
)  # fmt: skip
_SHOES: Final = ((35, 35, 38), (220, 220, 225), (50, 60, 110), (120, 120, 125))


class _Look(NamedTuple):
    """What somebody wears and how they are built: colours (blue, green, red) and shares."""

    skin: tuple[float, ...]
    hair: tuple[float, ...]
    shirt: tuple[float, ...]
    trousers: tuple[float, ...]
    shoes: tuple[float, ...]
    shin: tuple[float, ...]
    """Colour of the lower leg: trousers, or skin under shorts."""

    forearm: tuple[float, ...]
    traits: tuple[float, ...]
    """Girth, opacity of long hair, height of the fringe."""


class Painter:
    """Paints one crowd. The same seed, joints and time give the same picture, byte for byte."""

    def __init__(self, width: int, height: int, *, seed: int = 0, noise: float = 3.0) -> None:
        """`noise` is the deviation of the sensor's noise, in grey levels of 255."""
        self.width = width
        self.height = height
        self._seed = seed
        self._room = _room(width, height, np.random.default_rng((seed, 0xA0)))
        self._noise = _noise_tiles(width, height, noise, np.random.default_rng((seed, 0xA1)))
        self._looks: dict[int, NDArray[np.float64]] = {}

    def paint(
        self,
        joints: NDArray[np.float32],
        ids: NDArray[np.int64],
        t: float,
        light: float = 1.0,
        *,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """The picture, shape (height, width, 3), BGR: new memory, or `out`.

        `joints` and `ids` are as `Crowd.joints` gives them, farthest people first; `t` moves the
        noise; `light` is a factor on all that is seen, 0 to 1.
        """
        import cv2  # only whoever makes pictures needs it

        picture = np.empty_like(self._room) if out is None else out
        if light <= 0.0:
            picture[:] = 0
        else:
            np.copyto(picture, self._room)
            if len(ids):
                fill(picture, self._shapes(joints, ids))
            if light < 1.0:
                cv2.convertScaleAbs(picture, dst=picture, alpha=light)
        if self._noise is not None:
            brighter, darker = self._noise
            # A number from the time, well mixed: no two pictures in a row share their noise.
            mixed = (round(t * 1000.0) * 2654435761 + self._seed * 40503) & 0xFFFFFFFF
            for tile, add, bits in ((brighter, cv2.add, 0), (darker, cv2.subtract, 16)):
                x, y = (mixed >> bits) % _TILE_MARGIN, (mixed >> (bits + 8)) % _TILE_MARGIN
                add(picture, tile[y : y + self.height, x : x + self.width], dst=picture)
        return picture

    def _shapes(self, joints: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        looks = np.stack([self._look(int(number)) for number in ids], axis=-1)
        places = joints[:, :, :2].astype(np.float64) * self.height
        return _figures(places, looks)

    def _look(self, number: int) -> NDArray[np.float64]:
        look = self._looks.get(number)
        if look is None:
            if len(self._looks) >= _LOOKS_KEPT:
                self._looks.clear()
            look = np.array(np.hstack(_choose(np.random.default_rng((self._seed, 0xA2, number)))))
            self._looks[number] = look
        return look


def _choose(rng: np.random.Generator) -> _Look:
    def one(colours: tuple[tuple[int, int, int], ...]) -> tuple[float, ...]:
        colour = np.array(colours[int(rng.integers(len(colours)))], np.float64)
        return tuple(np.clip(colour * rng.uniform(0.88, 1.1) + rng.uniform(-8, 8, 3), 8, BRIGHTEST))

    skin, hair, shirt = one(_SKINS), one(_HAIRS), one(_SHIRTS)
    trousers, shoes = one(_TROUSERS), one(_SHOES)
    return _Look(
        skin, hair, shirt, trousers, shoes,
        shin=skin if rng.random() < 0.25 else trousers,
        forearm=shirt if rng.random() < 0.2 else skin,
        traits=(rng.uniform(0.9, 1.12), float(rng.random() < 0.4), rng.uniform(0.75, 1.1)),
    )  # fmt: skip


def _figures(places: Floats, looks: Floats) -> NDArray[np.float32]:
    """All shapes, farthest person first: (shapes, NUMBERS). `places` is in pixels."""
    people = len(places)
    x, y = places[:, :, 0].T, places[:, :, 1].T
    skin, hair, shirt, trousers, shoes, shin, forearm = looks[:21].reshape(7, 3, people)
    girth, long_hair, fringe = looks[21:]
    neck_x, neck_y = 0.5 * (x[5] + x[6]), 0.5 * (y[5] + y[6])
    hips_x, hips_y = 0.5 * (x[11] + x[12]), 0.5 * (y[11] + y[12])
    torso = np.maximum(np.hypot(neck_x - hips_x, neck_y - hips_y), 1.0)
    body = torso * TORSO_TO_BODY
    wide = body * girth

    # The head: its middle lies between the ears, its axis away from the chest.
    head_x, head_y = 0.5 * (x[3] + x[4]), 0.5 * (y[3] + y[4])
    up_x, up_y = head_x - neck_x, head_y - neck_y
    length = np.maximum(np.hypot(up_x, up_y), 1e-6)
    up_x, up_y = up_x / length, up_y / length
    right_x, right_y = -up_y, up_x

    def on_head(right: Floats | float, up: Floats | float) -> tuple[Floats, Floats]:
        return (
            head_x + body * (right * right_x + up * up_x),
            head_y + body * (right * right_y + up * up_y),
        )

    shapes: list[NDArray[np.float32]] = []

    def add(
        kind: int, colour: Floats, *numbers: Floats | float, opacity: Floats | float = 1.0
    ) -> None:
        shape = np.zeros((people, NUMBERS), np.float32)
        shape[:, 0], shape[:, 1], shape[:, 2:5] = kind, opacity, colour.T
        for number, value in enumerate(numbers):
            shape[:, 5 + number] = value
        shapes.append(shape)

    def rod(colour: Floats, a: int, b: int, at_a: float, at_b: float) -> None:
        add(ROD, colour, x[a], y[a], at_a * wide, x[b], y[b], at_b * wide)

    def oval(
        colour: Floats, at: tuple[Floats, Floats], high: Floats | float, broad: float,
        opacity: Floats | float = 1.0,
    ) -> None:  # fmt: skip
        add(ELLIPSE, colour, *at, up_x, up_y, high * body, broad * body, opacity=opacity)

    black = np.zeros((3, people))
    ground = np.maximum(y[15], y[16]) + 0.03 * body
    feet_x = 0.5 * (x[15] + x[16])
    spread = 0.5 * np.abs(x[15] - x[16]) + 0.11 * body
    add(SHADOW, black, feet_x, ground, 1.0, 0.0, spread, 0.045 * body, opacity=0.55)
    oval(hair, on_head(0.0, -0.035), 0.105, 0.074, opacity=long_hair)

    for hip, knee, ankle, outwards in ((11, 13, 15, 1.0), (12, 14, 16, -1.0)):
        add(ROD, shoes, x[ankle] - 0.004 * outwards * body, y[ankle] + 0.012 * body, 0.026 * body,
            x[ankle] + 0.030 * outwards * body, y[ankle] + 0.028 * body, 0.022 * body)  # fmt: skip
        rod(shin, knee, ankle, 0.040, 0.024)
        rod(trousers, hip, knee, 0.060, 0.043)
    add(ROD, trousers, x[11], y[11], 0.058 * wide, x[12], y[12], 0.058 * wide)

    add(ROD, skin * 0.86, neck_x, neck_y, 0.032 * wide,
        neck_x + 0.06 * body * up_x, neck_y + 0.06 * body * up_y, 0.029 * wide)  # fmt: skip
    # The chest, from the shoulders to just above the hips.
    waist = 0.90
    add(PATCH, shirt,
        x[5] + 0.10 * (neck_x - x[5]), y[5] + 0.012 * body,
        x[5] + waist * (x[11] - x[5]), y[5] + waist * (y[11] - y[5]),
        x[6] + waist * (x[12] - x[6]), y[6] + waist * (y[12] - y[6]),
        x[6] + 0.10 * (neck_x - x[6]), y[6] + 0.012 * body,
        0.036 * wide)  # fmt: skip

    for shoulder, elbow, wrist in ((5, 7, 9), (6, 8, 10)):
        rod(skin, shoulder, elbow, 0.034, 0.027)
        rod(forearm, elbow, wrist, 0.028, 0.020)
        # The hand goes on where the forearm points.
        along_x, along_y = x[wrist] - x[elbow], y[wrist] - y[elbow]
        reach = np.maximum(np.hypot(along_x, along_y), 1e-6)
        along_x, along_y = along_x / reach, along_y / reach
        add(ELLIPSE, skin, x[wrist] + 0.026 * body * along_x, y[wrist] + 0.026 * body * along_y,
            along_x, along_y, 0.034 * body, 0.022 * body)  # fmt: skip
        sleeve = 0.72
        add(ROD, shirt, x[shoulder], y[shoulder], 0.041 * wide,
            x[shoulder] + sleeve * (x[elbow] - x[shoulder]),
            y[shoulder] + sleeve * (y[elbow] - y[shoulder]), 0.035 * wide)  # fmt: skip

    # Where the nose points, the face turns.
    turn = ((x[0] - head_x) * right_x + (y[0] - head_y) * right_y) / body
    for ear in (3, 4):
        oval(skin * 0.82, (x[ear], y[ear]), 0.017, 0.010)
    oval(hair, on_head(0.0, 0.018), 0.076, 0.066)
    oval(skin, on_head(0.25 * turn, -0.014), 0.070, 0.055)
    oval(hair, on_head(0.2 * turn, 0.052), 0.030 * fringe, 0.052)
    for eye in (1, 2):
        brow = 0.016 * body
        oval(skin * 0.55, (x[eye] + brow * up_x, y[eye] + brow * up_y), 0.0035, 0.014)
        oval(np.full((3, people), 235.0), (x[eye], y[eye]), 0.0075, 0.012)
        oval(np.full((3, people), 30.0), (x[eye], y[eye]), 0.0075, 0.0065)
    nose_x, nose_y = x[0], y[0]
    add(ROD, skin * 0.80, nose_x + 0.016 * body * up_x, nose_y + 0.016 * body * up_y, 0.004 * body,
        nose_x, nose_y, 0.0085 * body)  # fmt: skip
    mouth = on_head(0.8 * turn, -0.042)
    add(ROD, skin * np.array([[0.55], [0.5], [0.8]]),
        mouth[0] - 0.016 * body * right_x, mouth[1] - 0.016 * body * right_y, 0.0055 * body,
        mouth[0] + 0.016 * body * right_x, mouth[1] + 0.016 * body * right_y, 0.0055 * body,
    )  # fmt: skip
    return np.ascontiguousarray(np.stack(shapes, axis=1).reshape(-1, NUMBERS))


def _room(width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An empty dance floor: a wall and a ground of blurred noise."""
    import cv2  # only whoever makes pictures needs it

    def clouds(rows: int, columns: int) -> Floats:
        coarse = rng.standard_normal((rows, columns)).astype(np.float32)
        return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))

    skirting = 0.44
    y = np.linspace(0.0, 1.0, height)[:, None]
    x = np.linspace(-1.0, 1.0, width)[None, :]
    wall = 74.0 - 16.0 * x * x + 22.0 * y + 5.0 * clouds(9, 16) + 2.5 * clouds(40, 70)
    floor = 62.0 + 46.0 * (y - skirting) - 12.0 * x * x
    floor = floor + 6.0 * clouds(40, 20) + 2.0 * clouds(90, 50)
    ground = 1.0 / (1.0 + np.exp(-(y - skirting) * 0.5 * height))
    wall_tint, floor_tint = np.array([1.12, 0.98, 0.96]), np.array([0.90, 0.98, 1.08])
    room = (wall * (1.0 - ground))[..., None] * wall_tint + (floor * ground)[..., None] * floor_tint
    # The edge between them throws a thin shadow.
    room *= 1.0 - 0.25 * np.exp(-(((y - skirting) * 0.12 * height) ** 2))[..., None]
    return np.ascontiguousarray(np.clip(room, 0, 255).astype(np.uint8))


def _noise_tiles(
    width: int, height: int, deviation: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """What the sensor adds and what it takes away, each larger than the picture; None for none.

    Fresh noise costs twenty times as much as painting everybody: it is made once, and moved.
    """
    if deviation <= 0.0:
        return None
    shape = (height + _TILE_MARGIN, width + _TILE_MARGIN, 3)
    # Two halves of one normal noise, moved by different ways: half the variance each.
    tiles = []
    for _ in range(2):
        noise = rng.standard_normal(shape, np.float32) * np.float32(deviation * 1.2)
        tiles.append(np.clip(np.rint(noise), 0, 255).astype(np.uint8))
    return tiles[0], tiles[1]
