"""The eye that needs no model: how much a crowd moves, from optical flow of a small grey picture.

It knows no people and no joints, works in a packed room and costs about a millisecond, so it
always runs. What it cannot know for certain is whether a person moved or a light: `confidence`
says how far the picture looks like people in a room.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import cv2 as _cv2
import numpy as np

from crowdstream.dsp.background import fit_camera, fit_gain, without_camera
from crowdstream.dsp.cells import (
    CELL,
    Cells,
    Levels,
    Moved,
    cell_change,
    cell_flow,
    compare,
    levels_of,
    noise_of,
    pattern_level,
    texture_change,
)
from crowdstream.dsp.detail import detail_of
from crowdstream.dsp.energy import TIME_BASE_SECONDS
from crowdstream.dsp.motion import (
    DARK_LEVEL,
    LIT_SHARE,
    MOVES_PIXELS,
    Signs,
    is_sharp,
    lit_share,
    people_likelihood,
    read_signs,
    sight,
    speed_of,
)
from crowdstream.dsp.worth import Worth
from crowdstream.vision.light import LightWatch, alike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.dsp.zones import ZoneMap
    from crowdstream.packets import Light

# Its stubs know neither DIS flow nor that a picture of bytes stays one.
cv2: Any = _cv2

PERSON_HEIGHT: Final = 0.45
"""Height of a person as a share of the picture's height, where nobody knows better."""

ROWS: Final = 90
"""Rows of the picture that flow is measured in: halving the grey picture halves its noise."""

LEAST_COLS: Final = 160
"""A narrower picture gets its edge repeated up to here: DIS chooses its coarsest scale by the
longer side, and in a tall picture limbs must be followed as far as in a wide one."""

FLOW_ROWS: Final = 10
"""Rows of the coarse grid of flow that is drawn as arrows."""

OLDEST_SECONDS: Final = 0.5
"""What is older than this is not compared with."""

ALIKE_SECONDS: Final = (0.04, 0.25)
"""Within these ages a picture of like brightness is better than one nearer to the time base."""

FLASHING_CONFIDENCE: Final = 0.5
"""Factor on the confidence while the light flashes: half of the dance is not seen."""

LIGHT_SECONDS: Final = 0.4
"""How long what was seen of the light is remembered: a beam is not in every picture. Doubt comes
at once, belief returns as slowly as this."""

LEARN_SECONDS: Final = 0.8
"""While no light moves the flow of the edges is measured too so often, to learn what it is worth:
how much faster it reads goes with clothes, limbs and camera. Such a look takes twice as long, so
there are fewer than one in twenty of them."""

FIRST_SECONDS: Final = 2.0
LEARN_SECONDS_AT_FIRST: Final = 0.08
"""In the first seconds it is learned so often, from every picture of a slow camera."""

WORTH_SECONDS: Final = 60.0
"""How long that is remembered."""

JOLT_CHANGE: Final = 8.0
JOLT_SHARE: Final = 0.4
JOLT_REST: Final = 0.6
"""Where the texture changed by so many grey levels in that share of the picture (a floor full of
dancers comes to a third), and so much of it is left after following it, it was lost."""

HOLD_SECONDS: Final = 0.5
"""How slowly the last speed loses its confidence while nothing can be compared."""


class MotionReading(NamedTuple):
    """What one look says. Always finite."""

    speed: float
    """Estimate of v in body lengths per second."""

    moving_share: float
    """Share of the picture that moves, 0 to 1."""

    confidence: float
    """0 to 1: how far `speed` can be taken for people dancing."""

    light: Light

    camera: tuple[float, float] = (0.0, 0.0)
    """Shift of the picture by the camera's own movement, in picture heights per second."""

    brightness: float | None = None
    """Mean grey level, 0 to 1."""

    zones: tuple[float, ...] = ()
    """Estimate of v in each zone that has an energy."""


_NOTHING: Final = MotionReading(0.0, 0.0, 0.0, "steady")


class _Field(NamedTuple):
    """What the newest comparison knows of each cell, kept by reference and not computed for."""

    flow_x: NDArray[np.float32]
    flow_y: NDArray[np.float32]
    """Shape (rows, cols), in pixels: where the cell was, less the camera's own movement."""

    change: NDArray[np.float32]
    """How much the grey level changed, and how much of that is noise."""

    noise: float
    moves: float
    """Flow below this, in pixels, is the tremble of the method."""

    seconds: float


class _Looked(NamedTuple):
    """What one comparison of two pictures found."""

    field: _Field
    signs: Signs
    room_share: float
    """Share of what can be followed that stands still, but for the camera."""

    reach: float
    """The most that the camera's movement shifted anything, in pixels."""

    shift: tuple[float, float]
    zones: NDArray[np.float64]
    """Speed in each zone, in picture heights per second."""


class _Seen(NamedTuple):
    """A picture that was looked at."""

    captured_at: float
    picture: NDArray[np.uint8]
    brightness: float
    texture: NDArray[np.uint8]
    fine: NDArray[np.uint8]
    """Its detail with the light taken out, as `dsp.detail` says."""


class MotionEye:
    """Watches one camera and remembers half a second of it. Not shared between threads."""

    def __init__(self, person_height: float = PERSON_HEIGHT, zones: ZoneMap | None = None) -> None:
        """`person_height` is a share of the picture's height, above 0; it may be set later.

        Of `zones` some are ignored, the others have a speed of their own.
        """
        self.person_height = person_height
        self._zones = zones
        self._seen_size = (0, 0)
        self._labels: NDArray[np.uint32] | None = None
        self._visible: NDArray[np.uint8] | None = None
        self.signs: Signs | None = None
        """What the newest comparison saw; None before the first."""
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        # The full detail of 90 rows, in patches of 8 every 6 pixels and with 6 steps each: a
        # person a seventh of the picture high still counts, and it takes a millisecond.
        self._dis.setFinestScale(0)
        self._dis.setPatchStride(6)
        self._dis.setGradientDescentIterations(6)
        self._grid: NDArray[np.float32] = np.empty((0, 0, 2), np.float32)
        self._ring: deque[_Seen] = deque(maxlen=64)
        self._light = LightWatch()
        self._epoch: int | None = None
        self._likely: float | None = None
        self._lit_until = self._learned_at = self._learning_since = -math.inf
        self._worth = Worth(WORTH_SECONDS)
        self._measured = self._last = _NOTHING
        self._measured_at = -math.inf
        self._field: _Field | None = None

    def look(self, grey: NDArray[np.uint8], captured_at: float, epoch: int) -> MotionReading:
        """Compare the picture, shape (rows, cols), with the one about 0.1 s before it.

        The first look of an epoch has nothing to compare with: speed 0, confidence 0. A picture
        that is not newer than the last one changes nothing, unless the clock was set back.
        """
        now = self._without_ignored(_reduced(grey))
        if epoch != self._epoch or (self._ring and self._ring[-1].picture.shape != now.shape):
            self._forget()
            self._epoch = epoch
        if self._ring and captured_at <= self._ring[-1].captured_at:
            if self._ring[-1].captured_at - captured_at <= OLDEST_SECONDS:
                return self._last
            # The clock itself was set back: what is remembered has no time any more.
            self._forget()
        self._field = None
        mean, deviation = cv2.meanStdDev(now, mask=self._visible)
        seen = _Seen(captured_at, now, float(mean[0, 0]), *detail_of(now))
        while self._ring and captured_at - self._ring[0].captured_at > OLDEST_SECONDS:
            self._ring.popleft()
        self._light.see(captured_at, seen.brightness, float(deviation[0, 0]))
        flashing = self._light.flashing
        then = self._reference(seen, flashing=flashing)
        self._ring.append(seen)
        measured = self._compare(then, seen, flashing=flashing) if then is not None else None
        if measured is None:
            self._last = self._held(captured_at, flashing=flashing)
        else:
            self._measured = self._last = measured
        self._last = self._last._replace(brightness=seen.brightness / 255.0)
        return self._last

    def _without_ignored(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture with the mean of the rest where zones say that nothing counts.

        So no screen can change anything, not even through the brightness of the whole; and the
        patch follows the room's light, as what is fitted to it expects.
        """
        if self._zones is None:
            return picture
        if self._labels is None or self._seen_size != picture.shape:
            self._seen_size = (picture.shape[0], picture.shape[1])
            ignored, self._labels = self._zones.cell_labels(
                *self._seen_size, CELL, body_rows=round(self.person_height * self._seen_size[0])
            )
            self._visible = np.where(ignored, 0, 255).astype(np.uint8)
        assert self._visible is not None
        picture[self._visible == 0] = round(cv2.mean(picture, mask=self._visible)[0])
        return picture

    def flow_grid(self) -> NDArray[np.float32]:
        """Where what is seen now moves to, coarsely: for eyes, not for measuring.

        Shape (FLOW_ROWS, cols, 2): x to the right and y downwards, in picture heights per second;
        the picture is cut into blocks of 9 by 9 of its 90 rows. 0 where nothing moves for
        certain, and (0, 0, 2) when the newest look compared nothing. The camera's own movement is
        taken out. Computed when it is asked for, and at no other time.
        """
        field = self._field
        if field is None:
            return np.zeros((0, 0, 2), np.float32)
        moving = np.hypot(field.flow_x, field.flow_y) > field.moves
        moving &= field.change > 1.2 + 2.0 * field.noise  # as what is measured moves
        rows = FLOW_ROWS
        each = ROWS // CELL // rows
        cols = moving.shape[1] // each
        # A picture's last cells, where they are no whole block, belong to no arrow.
        blocks = (slice(0, rows * each), slice(0, cols * each))

        def summed(values: NDArray[Any]) -> NDArray[np.float32]:
            cut = values[blocks].reshape(rows, each, cols, each)
            return np.asarray(cut.sum(axis=(1, 3)), np.float32)

        count = summed(moving)
        # One cell alone in its block is more often a flicker than a hand.
        share = np.where(count >= 2.0, 1.0 / np.maximum(count, 1.0), 0.0).astype(np.float32)
        share *= np.float32(-1.0 / ROWS / field.seconds)
        x, y = summed(field.flow_x * moving) * share, summed(field.flow_y * moving) * share
        grid: NDArray[np.float32] = np.stack([x, y], axis=2) + np.float32(0.0)  # no -0
        return grid

    def _forget(self) -> None:
        self._field = None
        self._ring.clear()
        self._light.clear()
        self._likely = None
        self._lit_until = self._learned_at = self._learning_since = -math.inf
        self._worth = Worth(WORTH_SECONDS)
        self._measured = self._last = _NOTHING
        self._measured_at = -math.inf

    def _reference(self, seen: _Seen, *, flashing: bool) -> _Seen | None:
        """The picture nearest to one time base earlier; of like brightness, if there is one."""
        if not self._ring:
            return None
        youngest, oldest = ALIKE_SECONDS
        alike = [
            old
            for old in self._ring
            if youngest <= seen.captured_at - old.captured_at <= oldest and _alike(old, seen)
        ]
        brightest = max(old.brightness for old in self._ring)
        if flashing and not (alike and seen.brightness > 0.6 * brightest):
            # Between two flashes there is nothing to see.
            return None
        # A hair towards the younger: of two at equal distance (25 or 15 pictures a second) the
        # jitter of the clock must not choose.
        best = seen.captured_at - TIME_BASE_SECONDS + 0.004
        return min(alike or self._ring, key=lambda old: abs(old.captured_at - best))

    def _compare(self, then: _Seen, seen: _Seen, *, flashing: bool) -> MotionReading | None:
        """What moved between the two; None when their light is too different to say."""
        now = seen.picture
        seconds = seen.captured_at - then.captured_at
        old = then.picture
        gain, offset = fit_gain(old, now)
        if (gain, offset) != (1.0, 0.0):
            old = cv2.addWeighted(old, gain, old, 0.0, offset)
        if not alike(seen.brightness, float(cv2.mean(old)[0])):
            return None
        then = then._replace(picture=old)
        levels = levels_of(now, old)
        fine = cell_change(seen.fine, then.fine)
        lit = self._light_moves(seen, levels, fine)
        looked = self._look_for_movement(then, seen, levels, fine, lit=lit)
        self.signs = signs = looked.signs
        self._field = looked.field
        bodily = signs.speed / self.person_height
        worth = 1.0
        if lit:
            worth = self._worth.factor
            bodily *= worth
        elif self._learns(seen.captured_at):
            edges = self._look_for_movement(then, seen, levels, fine, lit=True).signs
            self._worth.compare(bodily, edges.speed / self.person_height, seen.captured_at)
        zones = looked.zones * (worth / self.person_height)
        likely = self._remember(
            people_likelihood(signs, looked.room_share, bodily), seen.captured_at
        )
        reach, shift = looked.reach, looked.shift
        confidence = likely * sight(signs, reach / ROWS / seconds, seconds)
        light: Light = "steady"
        if flashing:
            light = "flashing"
            confidence *= FLASHING_CONFIDENCE
        elif signs.detail_share < 0.04 and seen.brightness < DARK_LEVEL:
            light = "dark"
        elif self._light.changing:
            light = "changing"
        elif lit or likely < 0.5:
            light = "moving"
        elif self._light.hazy:
            light = "hazy"
        return MotionReading(
            speed_of(bodily), signs.moving_share, confidence, light, shift,
            zones=tuple(speed_of(speed) for speed in zones.tolist()),
        )  # fmt: skip

    def _look_for_movement(
        self,
        then: _Seen,
        seen: _Seen,
        levels: Levels,
        fine: NDArray[np.float32],
        *,
        lit: bool,
    ) -> _Looked:
        """Follow the texture from one picture to the other, or where light moves the edges."""
        seconds = seen.captured_at - then.captured_at
        if lit:
            flow, cells = self._follow(_edges(seen.fine), _edges(then.fine), seen, then, levels)
        else:
            flow, cells = self._follow(seen.texture, then.texture, seen, then, levels)
            if _lost(cells):
                other = self._follow(seen.picture, then.picture, seen, then, levels)
                if other[1].rest.mean() < cells.rest.mean():
                    flow, cells = other
        noise = noise_of(cells, self._labels)
        flow_x, flow_y = cell_flow(flow)
        patterned = (levels.spread > pattern_level(noise)).astype(np.float32)
        if self._labels is not None:
            patterned[self._labels == 0] = 0.0
        camera, follows_camera, stands_still = fit_camera(flow_x, flow_y, patterned)
        moved = Moved(cells.change, fine)
        reach = 0.0
        shift = (0.0, 0.0)
        if follows_camera >= stands_still:
            flow_x, flow_y, fresh = without_camera(flow_x, flow_y, camera)
            reach = _reach(camera, flow_x.shape)
            if reach > 0.15:  # pixels; less does not show
                # Flow says where a pixel was: the picture went the other way.
                shift = (-float(camera[0]) / ROWS / seconds, -float(camera[3]) / ROWS / seconds)
                moved = Moved(
                    texture_change(
                        seen.texture, _steadied(then.texture, camera, flow_x.shape), levels.spread
                    ),
                    cell_change(seen.fine, _steadied(then.fine, camera, flow_x.shape)),
                )
                for change in moved:
                    change[fresh] = 0.0
        zones = np.zeros((len(self._zones.names) if self._zones is not None else 0, 2))
        signs = read_signs(
            flow_x, flow_y, levels, cells, moved,
            noise=noise, camera_pixels=reach, seconds=seconds,
            person_cells=self.person_height * ROWS / CELL, lit=lit, labels=self._labels,
            zones=zones,
        )  # fmt: skip
        moves = MOVES_PIXELS * seconds / TIME_BASE_SECONDS + 0.08 * reach
        field = _Field(flow_x, flow_y, moved.change, noise, moves, seconds)
        return _Looked(field, signs, max(follows_camera, stands_still), reach, shift, zones[:, 0])

    def _follow(
        self,
        now: NDArray[np.uint8],
        old: NDArray[np.uint8],
        seen: _Seen,
        then: _Seen,
        levels: Levels,
    ) -> tuple[NDArray[np.float32], Cells]:
        """Where each pixel of `now` was in `old`, and what that explains of the texture."""
        flow = self._flow(now, old)
        followed = cv2.remap(
            then.texture,
            self._grid_like(flow) + flow,
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return flow, compare(seen.texture, then.texture, followed, levels.spread)

    def _flow(self, now: NDArray[np.uint8], old: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Where each pixel of `now` was in `old`: shape (rows, cols, 2), in pixels."""
        cols = now.shape[1]
        missing = max(0, LEAST_COLS - cols)
        left = missing // 2
        if missing:
            now, old = (
                cv2.copyMakeBorder(side, 0, 0, left, missing - left, cv2.BORDER_REPLICATE)
                for side in (now, old)
            )
        flow: NDArray[np.float32] = self._dis.calc(now, old, None)
        return np.ascontiguousarray(flow[:, left : left + cols])

    def _learns(self, captured_at: float) -> bool:
        """Whether it is time to compare both flows: seldom, but often at first."""
        if math.isinf(self._learned_at):
            self._learning_since = captured_at
        at_first = captured_at - self._learning_since < FIRST_SECONDS
        every = LEARN_SECONDS_AT_FIRST if at_first else LEARN_SECONDS
        if captured_at - self._learned_at < every:
            return False
        self._learned_at = captured_at
        return True

    def _light_moves(self, seen: _Seen, levels: Levels, fine: NDArray[np.float32]) -> bool:
        """Whether light moves over the picture, or did a moment ago."""
        if lit_share(levels, fine, self._labels) > LIT_SHARE and is_sharp(
            levels, cell_change(seen.fine, np.full_like(seen.fine, 128)), self._labels
        ):
            self._lit_until = seen.captured_at + LIGHT_SECONDS
        return seen.captured_at < self._lit_until

    def _remember(self, likelihood: float, captured_at: float) -> float:
        """The likelihood that these are people, over the last LIGHT_SECONDS."""
        if self._likely is None or likelihood < self._likely:
            self._likely = likelihood
        else:
            share = -math.expm1(-(captured_at - self._measured_at) / LIGHT_SECONDS)
            self._likely += share * (likelihood - self._likely)
        self._measured_at = captured_at
        return self._likely

    def _held(self, captured_at: float, *, flashing: bool) -> MotionReading:
        """What was known last, believed less and less: between two flashes people dance on."""
        age = captured_at - self._measured_at
        return self._measured._replace(
            confidence=self._measured.confidence * math.exp(-age / HOLD_SECONDS),
            light="flashing"
            if flashing
            else "changing"
            if self._light.changing
            else self._measured.light,
        )

    def _grid_like(self, flow: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where each pixel is: shape (rows, cols, 2), made once per picture size."""
        if self._grid.shape != flow.shape:
            rows, cols = flow.shape[:2]
            self._grid = np.dstack(
                np.meshgrid(np.arange(cols, dtype=np.float32), np.arange(rows, dtype=np.float32))
            )
        return self._grid


def _reduced(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with 90 rows."""
    rows, cols = grey.shape
    size = (max(3 * CELL, round(ROWS * cols / rows)), ROWS)
    small: NDArray[np.uint8] = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return small


def _edges(fine: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How sharp a picture is around each pixel, of its fine detail: no beam is seen in that."""
    sharp: NDArray[np.uint8] = cv2.blur(cv2.convertScaleAbs(fine, alpha=2.5, beta=-320.0), (3, 3))
    return sharp


def _lost(cells: Cells) -> bool:
    """Whether most of the picture went further than its texture could be followed.

    A jolt of the camera does that: texture has no large shapes to find the way by.
    """
    most = float((cells.change > JOLT_CHANGE).mean()) > JOLT_SHARE
    return most and float(cells.rest.mean()) > JOLT_REST * float(cells.change.mean())


def _alike(one: _Seen, other: _Seen) -> bool:
    return alike(one.brightness, other.brightness)


def _reach(camera: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """The most that the camera's movement shifts anything in the picture, in pixels."""
    ax, bx, cx, ay, by, cy = camera.tolist()
    rows, cols = shape
    return math.hypot(ax, ay) + math.hypot(bx, by) * cols / 2 + math.hypot(cx, cy) * rows / 2


def _steadied(
    old: NDArray[np.uint8], camera: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """The older picture as the camera would have seen it from where it looks now."""
    ax, bx, cx, ay, by, cy = camera.tolist()
    rows, cols = shape
    # From cells to pixels: the middle of cell c is pixel CELL * c + (CELL - 1) / 2.
    middle_x = CELL * cols / 2 + (CELL - 1) / 2
    middle_y = CELL * rows / 2 + (CELL - 1) / 2
    source_of = np.array(
        [
            [1 + bx / CELL, cx / CELL, ax - (bx * middle_x + cx * middle_y) / CELL],
            [by / CELL, 1 + cy / CELL, ay - (by * middle_x + cy * middle_y) / CELL],
        ]
    )
    steadied: NDArray[np.uint8] = cv2.warpAffine(
        old,
        source_of,
        (old.shape[1], old.shape[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return steadied
