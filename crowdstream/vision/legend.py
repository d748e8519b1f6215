"""The legend of what is drawn: energy as a number, a bar and a short history, and what is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import cv2 as _cv2
import numpy as np

from crowdstream.vision.lettering import Colour, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

cv2: Any = _cv2

HISTORY_SECONDS: Final = 12.0
"""How far back the curve goes."""

TEXT: Final[Colour] = (242, 235, 233)
SOFT: Final[Colour] = (181, 160, 152)
FAINT: Final[Colour] = (92, 78, 72)
DIM: Final[Colour] = (122, 106, 98)
ACCENT: Final[Colour] = (199, 216, 63)
DRIVE: Final[Colour] = (102, 209, 255)
ALARM: Final[Colour] = (112, 84, 255)

NOTHING: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """The numbers at one moment; None where one is not known."""

    seconds: float | None = None
    """Time in the medium."""

    level: float | None = None
    drive: float | None = None
    confidence: float | None = None
    people: int | None = None
    groove_bpm: float | None = None
    bpm: float | None = None
    synchrony: float | None = None
    eyes: tuple[str, ...] = ()
    state: str = ""
    history: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    """Shape (moments, 3), the oldest first: seconds ago, level, drive."""


def unit_of(size: tuple[int, int]) -> float:
    """Pixels of the canvas to a unit of the drawing: 1 where its shorter side is 360."""
    return min(max(min(size) / 360.0, 0.5), 4.0)


def draw_legend(canvas: NDArray[np.uint8], legend: Legend) -> None:
    """Draw along the bottom edge of the canvas, shape (height, width, 3), in place."""
    height, width = canvas.shape[:2]
    unit = unit_of((width, height))
    upright = width < 470 * unit
    strip = (118.0 if upright else 66.0) * unit
    _darken(canvas, round(min(strip + 14.0 * unit, height)))
    margin = 14.0 * unit
    base = height - 13.0 * unit
    columns = _columns(legend)
    step = (54.0 if width >= 560 * unit else 47.0) * unit
    if upright:
        left = margin + 112.0 * unit
        _curve(canvas, legend, (left, base - 96 * unit, width - margin, base - 58 * unit), unit)
        _energy(canvas, legend, (margin, base - 58 * unit), unit)
        step = (width - 2.0 * margin) / len(columns)
        first = margin
    else:
        first = width - margin - step * len(columns) + 8 * unit
        left = margin + 120.0 * unit
        _curve(canvas, legend, (left, base - 38 * unit, first - 20 * unit, base), unit)
        _energy(canvas, legend, (margin, base), unit)
    for number, (name, words, colour) in enumerate(columns):
        x = first + number * step
        write(canvas, name, (x, base - 26 * unit), size=10 * unit, colour=SOFT)
        if isinstance(words, str):
            write(canvas, words, (x, base - 4 * unit), size=17 * unit, colour=colour)
            continue
        for line, (word, is_on) in enumerate(words):
            at = (x, base - 12 * unit + 12 * unit * line)
            write(canvas, word, at, size=10.5 * unit, colour=colour if is_on else DIM)
    if legend.seconds is not None:
        at = (width - margin, margin)
        write(canvas, _clock(legend.seconds), at, size=11 * unit, colour=SOFT, anchor="ra")


Words = str | tuple[tuple[str, bool], ...]


def _columns(legend: Legend) -> tuple[tuple[str, Words, Colour], ...]:
    eyes = tuple((eye, eye in legend.eyes) for eye in ("pose", "motion"))
    state = legend.state or NOTHING
    return (
        ("people", NOTHING if legend.people is None else str(legend.people), TEXT),
        ("groove", _number(legend.groove_bpm, 0), TEXT),
        ("tempo", _number(legend.bpm, 0), TEXT),
        ("eyes", eyes, TEXT),
        ("state", ((state, True),), SOFT if state in ("ok", NOTHING) else ALARM),
    )


def _energy(
    canvas: NDArray[np.uint8], legend: Legend, at: tuple[float, float], unit: float
) -> None:
    """The number, and beneath it a bar with a mark where the drive is."""
    x, base = at
    write(canvas, "energy", (x, base - 29 * unit), size=10 * unit, colour=SOFT)
    drive = _number(legend.drive, 2)
    tail = 100.0 * unit
    write(canvas, "drive", (x + tail, base - 29 * unit), size=10 * unit, colour=SOFT, anchor="rs")
    write(canvas, _number(legend.level, 2), (x, base - 8 * unit), size=23 * unit, colour=TEXT)
    write(canvas, drive, (x + tail, base - 8 * unit), size=15 * unit, colour=DRIVE, anchor="rs")
    _bar(canvas, (x, base - 3.0 * unit), tail, 4.0 * unit, 1.0, FAINT)
    level = _known(legend.level)
    if level is not None and level > 0.0:
        _bar(canvas, (x, base - 3.0 * unit), tail, 4.0 * unit, level, ACCENT)
    mark = _known(legend.drive)
    if mark is not None:
        start = (x + mark * tail - 1.0 * unit, base - 5.0 * unit)
        _bar(canvas, start, 2.0 * unit, 8.0 * unit, 1.0, DRIVE)


def _curve(
    canvas: NDArray[np.uint8],
    legend: Legend,
    box: tuple[float, float, float, float],
    unit: float,
) -> None:
    """Energy over the last seconds as a hill, the drive as a line over it."""
    left, top, right, bottom = box
    if right - left < 20.0 * unit:
        return
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        _bar(canvas, (left, y), right - left, max(1.0, 0.5 * unit), 1.0, FAINT)
    history = legend.history[np.isfinite(legend.history).all(axis=1)]
    history = history[(history[:, 0] >= 0.0) & (history[:, 0] <= HISTORY_SECONDS)]
    if len(history) < 2:
        return
    x = right - history[:, 0] / HISTORY_SECONDS * (right - left)
    heights = bottom - np.clip(history[:, 1:], 0.0, 1.0) * (bottom - top)
    hill = np.column_stack([x, heights[:, 0]])
    ground = np.array([[x[-1], bottom], [x[0], bottom]])
    filled = canvas.copy()
    cv2.fillPoly(filled, [_fixed(np.vstack([hill, ground]))], ACCENT, cv2.LINE_AA, 4)
    cv2.addWeighted(filled, 0.28, canvas, 0.72, 0.0, dst=canvas)
    pen = max(1, round(1.3 * unit))
    drive = np.column_stack([x, heights[:, 1]])
    cv2.polylines(canvas, [_fixed(drive)], False, DRIVE, max(1, round(unit)), cv2.LINE_AA, 4)
    cv2.polylines(canvas, [_fixed(hill)], False, ACCENT, pen, cv2.LINE_AA, 4)


def _bar(
    canvas: NDArray[np.uint8],
    at: tuple[float, float],
    width: float,
    height: float,
    share: float,
    colour: Colour,
) -> None:
    x, y = at
    corners = np.array(
        [[x, y], [x + width * share, y], [x + width * share, y + height], [x, y + height]]
    )
    cv2.fillPoly(canvas, [_fixed(corners)], colour, cv2.LINE_AA, 4)


def _darken(canvas: NDArray[np.uint8], rows: int) -> None:
    """Night, deeper towards the bottom, so that words can be read over anything."""
    part = canvas[canvas.shape[0] - rows :]
    ramp = np.clip(np.linspace(0.0, 3.2, rows), 0.0, 1.0)
    keep = (1.0 - 0.80 * ramp).astype(np.float32)[:, None, None]
    night = np.array((18, 12, 10), np.float32) * (1.0 - keep)
    part[:] = (part * keep + night + 0.5).astype(np.uint8)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.round(points * 16.0).astype(np.int32)
    return fixed


def _known(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return min(1.0, max(0.0, value))


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _clock(seconds: float) -> str:
    whole = max(0.0, seconds)
    return f"{int(whole // 60)}:{whole % 60:04.1f}"
