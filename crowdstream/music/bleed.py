"""How far the stems of a track may be pulled apart, when they were separated without a model.

`crowdstream separate --quality fast` makes stems that bleed into each other: alone they sound
like a bad telephone, together they are the track to the last bit. So whoever sets gains on such a
track (`Track.separation == "fast"`) keeps them together, with `kept_together`.
"""

from __future__ import annotations

from typing import Final

FAST: Final = "fast"
"""`Track.separation` of a track whose stems bleed."""

LEAST_DB: Final = -18.0
"""No stem of such a track is heard further below the loudest one than this."""

COMPANY_DB: Final = -6.0
"""None is heard alone: a second one is at most this far below the loudest."""

_LEAST: Final = 10.0 ** (LEAST_DB / 20.0)
_COMPANY: Final = 10.0 ** (COMPANY_DB / 20.0)


def kept_together(gains: tuple[float, ...]) -> tuple[float, ...]:
    """The gains nearest to these that stems which bleed may have, never a smaller one.

    `gains` are factors, one a stem; all 0 stays all 0. When only one stem is up, the second
    loudest comes with it; of several that are equally quiet, the last (in the order of STEMS that
    is `other`, which has the least of its own to lose).
    """
    loudest = max(gains, default=0.0)
    if loudest <= 0.0:
        return gains
    kept = [max(gain, loudest * _LEAST) for gain in gains]
    if len(kept) > 1:
        first = gains.index(loudest)
        others = [number for number in range(len(gains)) if number != first]
        second = max(others, key=lambda number: (gains[number], number))
        kept[second] = max(kept[second], loudest * _COMPANY)
    return tuple(kept)
