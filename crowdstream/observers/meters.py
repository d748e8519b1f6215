"""Counters and ages of what passes one stage: known without a line in the stage."""

from __future__ import annotations

from typing import Final

import numpy as np

from crowdstream.packets import Energy, Packet
from crowdstream.status import Latency

NEWEST: Final = 2048
"""Ages kept for the percentiles: about a minute at 30 packets a second."""


class Ages:
    """The newest ages of one kind of packet, in a ring that never grows."""

    def __init__(self) -> None:
        """Nothing passed yet."""
        self._ring = np.zeros(NEWEST)
        self._count = 0

    def add(self, seconds: float) -> None:
        """One more packet left, so old."""
        self._ring[self._count % NEWEST] = seconds
        self._count += 1

    def latency(self) -> Latency:
        """The percentiles over what is kept."""
        known = self._ring[: min(self._count, NEWEST)] * 1000.0
        if known.size == 0:
            return Latency(0, 0.0, 0.0, 0.0)
        p50, p95 = np.percentile(known, (50, 95))
        return Latency(self._count, float(p50), float(p95), float(known.max()))


class Meter:
    """What passes one stage. Implements `crowdstream.channel.Traffic`."""

    def __init__(self) -> None:
        """Nothing passed yet."""
        self.taken = 0
        self.sent = 0
        self.dropped = 0
        self._in_hand = False
        self._taken_at: float | None = None
        self.busy_since: float | None = None
        """When it took the packet in hand; None while it waits, or while it hands on."""
        self.last_sent: float | None = None
        self.ages: dict[str, Ages] = {}
        self.work = Ages()
        """How long it was at each packet, waiting for its readers not counted."""

    def on_asked(self, at: float) -> None:
        """It waits: well, however long."""
        self._in_hand = False
        self._worked(at)

    def on_taken(self, packet: Packet, at: float) -> None:
        """It is busy from now on."""
        del packet
        self.taken += 1
        self._in_hand = True
        self.busy_since = self._taken_at = at

    def on_sending(self, at: float) -> None:
        """It may be blocked by its reader: that is the reader's matter."""
        self._worked(at)

    def on_sent(self, packet: Packet, at: float) -> None:
        """It goes on with what it holds."""
        self.sent += 1
        self.last_sent = at
        if self._in_hand:
            self.busy_since = at
        if isinstance(packet, Energy):
            if packet.fresh_from is None:
                return  # a tick has no picture whose age could be told
            kind: str = packet.fresh_from
        else:
            kind = type(packet).__name__
        self.ages.setdefault(kind, Ages()).add(at - packet.captured_at)

    def on_dropped(self, packet: Packet, at: float) -> None:
        """A packet for it went unread."""
        del packet, at
        self.dropped += 1

    def _worked(self, at: float) -> None:
        """The work at a packet ends with the first thing that is sent of it, or without any."""
        if self._taken_at is not None:
            self.work.add(at - self._taken_at)
            self._taken_at = None
        self.busy_since = None
