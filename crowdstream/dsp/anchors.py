"""What little and much movement look like in one room: anchors of the curve of energy from v.

From two phases that were asked for (standing, then dancing), or from the spread of a night.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.dsp.energy import Anchors

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_STILL: Final = 0.02
"""Nobody stands stiller, in body lengths per second."""

LEAST_DANCE: Final = 0.25
"""Less than this is no dancing: a crowd that sways gently has more."""

LEAST_SPAN: Final = 0.3
"""From still to full, at least: else the trembling of the measure would be a dance."""

LEAST_RATIO: Final = 2.5
"""Much movement is so many times little, at least: else there was one level only."""

HALF_SHARES: Final = (0.2, 0.6)
"""Where between still and full the middle may lie."""

USUAL_SHARE: Final = (Anchors().half - Anchors().still) / (Anchors().full - Anchors().still)

MOST: Final = 8.0
"""Body lengths per second that no crowd reaches: what reads more was no dance."""


class NotLearned(ValueError):  # noqa: N818  it says what happened
    """Nothing can be learned from this; the message says why, in one sentence."""


def from_phases(low: NDArray[np.float64], high: NDArray[np.float64], least: int) -> Anchors:
    """Anchors from v while people stood still and while they danced; at least so many of each.

    `still` lies above nearly all of the standing, `full` at the best moments of the dance, and
    the middle where the built-in curve has it: two levels say nothing of it.

    Raises:
        NotLearned: too few, no movement, or no clear difference.
    """
    low, high = _usable(low), _usable(high)
    for name, phase in (("standing still", low), ("dancing", high)):
        if phase.size < least:
            raise NotLearned(
                f"only {phase.size} measurements of {name}, and {least} are needed; is somebody in"
                " view, and is it light enough?"
            )
    if float(np.median(high)) < LEAST_DANCE:
        raise NotLearned(
            f"there was hardly any movement while dancing ({np.median(high):.2f} body lengths a"
            f" second; a gentle dance has {LEAST_DANCE})"
        )
    if float(np.median(low)) >= float(np.median(high)):
        raise NotLearned("people moved more while they were to stand still than while dancing")
    still, full = float(np.percentile(low, 90)), float(np.percentile(high, 90))
    return _checked(still, None, full)


def from_night(speeds: NDArray[np.float64], least: int) -> Anchors:
    """Anchors from all v of a night: its quiet end, the middle of its movement, its best moments.

    Raises:
        NotLearned: too few, no movement, or one level only.
    """
    speeds = _usable(speeds)
    if speeds.size < least:
        raise NotLearned(
            f"only {speeds.size} moments in which somebody was seen, and {least} are needed"
        )
    full = float(np.percentile(speeds, 98))
    if full < LEAST_DANCE:
        raise NotLearned(
            f"hardly anybody moved (at most {full:.2f} body lengths a second; a gentle dance has"
            f" {LEAST_DANCE})"
        )
    still = float(np.percentile(speeds, 5))
    moving = speeds[speeds > still]
    return _checked(still, float(np.median(moving)) if moving.size else None, full)


def _checked(still: float, half: float | None, full: float) -> Anchors:
    """In order, and far enough apart."""
    still = max(LEAST_STILL, still)
    if full - still < LEAST_SPAN or full < LEAST_RATIO * still:
        raise NotLearned(
            f"there was one level of movement only ({still:.2f} to {full:.2f} body lengths a"
            " second); little and much are both needed"
        )
    share = USUAL_SHARE if half is None else (half - still) / (full - still)
    share = min(HALF_SHARES[1], max(HALF_SHARES[0], share))
    return Anchors(round(still, 4), round(still + share * (full - still), 4), round(full, 4))


def _usable(speeds: NDArray[np.float64]) -> NDArray[np.float64]:
    speeds = np.asarray(speeds, np.float64)
    return speeds[np.isfinite(speeds) & (speeds >= 0.0) & (speeds <= MOST)]
