"""The newest of what the eyes see, as a small Preview, for a page that draws it.

Keeps references to numbers, never to a picture, and makes a Preview when it is asked for one:
while nobody looks it costs nothing. Where it moves is in it only where `measure_motion` is told
to say so (`flow = true`).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crowdstream.observers.latest import Latest
from crowdstream.packets import (
    PREVIEW_PEOPLE,
    PREVIEW_STEPS,
    UNSEEN,
    Energy,
    Motion,
    Packet,
    People,
    Preview,
    Tempo,
)

EVERY_SECONDS: Final = 0.2
"""At most five previews a second, however often somebody asks."""

SHOWN_SECONDS: Final = 0.5
"""Joints and flow that are older than this are not shown any more."""

SEEN: Final = 0.3
"""A joint whose confidence is at least this is taken as seen."""

FLOW_STEPS: Final = 50.0
MOST_BLOCKS: Final = 64
"""Rows and columns of flow, at most."""


class Tap:
    """An observer; asked from the event loop that it is told on."""

    def __init__(self) -> None:
        """Nothing passed yet."""
        self._latest = Latest()
        self._seq = 0
        self._made_at = -math.inf
        self._made: Preview | None = None

    def on_sent(self, stage: str, packet: Packet) -> None:
        """Remember it, but for pictures."""
        self._latest.on_sent(stage, packet)

    def preview(self, now: float) -> Preview | None:
        """What is seen at `now`, on the packets' clock; None before anything was.

        Within EVERY_SECONDS the same one is given again.
        """
        if self._made is not None and 0.0 <= now - self._made_at < EVERY_SECONDS:
            return self._made
        people, motion = self._latest.get(People), self._latest.get(Motion)
        energy, tempo = self._latest.get(Energy), self._latest.get(Tempo)
        known = [p for p in (people, motion, energy) if p is not None]
        if not known:
            return None
        newest = max(known, key=lambda packet: packet.captured_at)
        self._seq += 1
        age = now - people.captured_at if people is not None else math.inf
        shown = people if age < SHOWN_SECONDS else None
        moves = motion is not None and now - motion.captured_at < SHOWN_SECONDS
        flow = motion.flow if motion is not None and moves else None
        self._made_at = now
        self._made = Preview(
            seq=self._seq,
            captured_at=newest.captured_at,
            epoch=newest.epoch,
            joints=_joints(shown),
            ids=shown.ids[:PREVIEW_PEOPLE].copy() if shown is not None else np.zeros(0, np.int64),
            aspect=people.aspect if people is not None else 16 / 9,
            flow=_flow(flow),
            age_seconds=max(0.0, age if math.isfinite(age) else now - newest.captured_at),
            level=energy.level if energy else None,
            drive=energy.drive if energy else None,
            confidence=energy.confidence if energy else None,
            people=energy.people if energy else None,
            groove_bpm=energy.groove_bpm if energy else None,
            bpm=tempo.bpm if tempo else None,
            eyes=energy.eyes if energy else (),
            state=energy.state if energy else "stale",
            zones=tuple((zone.name, zone.level) for zone in energy.zones) if energy else (),
        )
        return self._made


def _joints(people: People | None) -> NDArray[np.int16]:
    """Shape (people, 17, 2), in steps; UNSEEN where a joint is not, or cannot be."""
    if people is None:
        return np.zeros((0, 17, 2), np.int16)
    joints = people.keypoints[:PREVIEW_PEOPLE]
    seen = np.isfinite(joints).all(axis=2) & (joints[..., 2] >= SEEN)
    seen &= (np.abs(joints[..., :2]) < 30.0).all(axis=2)
    steps = np.where(seen[..., None], joints[..., :2], 0.0) * PREVIEW_STEPS
    return np.where(seen[..., None], np.round(steps), UNSEEN).astype(np.int16)


def _flow(flow: NDArray[np.float32] | None) -> NDArray[np.int8]:
    if flow is None:
        return np.zeros((0, 0, 2), np.int8)
    known = np.nan_to_num(flow[:MOST_BLOCKS, :MOST_BLOCKS], nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(np.round(known * FLOW_STEPS), -127, 127).astype(np.int8)
