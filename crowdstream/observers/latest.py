"""The newest packet of each type, for whoever wants to look: the live line, doctor, the page."""

from __future__ import annotations

from typing import TypeVar

from crowdstream.packets import Packet

P = TypeVar("P", bound=Packet)


class Latest:
    """Keeps one packet per type; pictures are never kept."""

    def __init__(self) -> None:
        """Nothing passed yet."""
        self._newest: dict[type[Packet], Packet] = {}

    def on_sent(self, stage: str, packet: Packet) -> None:
        """Remember it, unless it borrows memory (a picture must not outlive its slot)."""
        del stage
        if not hasattr(packet, "picture"):
            self._newest[type(packet)] = packet

    def get(self, kind: type[P]) -> P | None:
        """The newest of that type, or None."""
        found = self._newest.get(kind)
        return found if isinstance(found, kind) else None
