"""What a mix was made of, to the sample: transitions, the tempo, every beat of each deck."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crowdstream.packets import ShowEvent
    from crowdstream.player.mixer import Mixer

TEMPO_SECONDS: Final = 1.0

LATE_BEATS: Final = 0.125
"""A beat is noted so much later: that of a nudged track can lie after the timeline's."""

MOST_BEATS: Final = 200_000
"""A day of music; what is longer is not written down further."""


class MixJournal:
    """Follows a mixer that renders into a file."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self._decks: list[dict[str, Any]] = []
        self._playing: dict[tuple[int, str, float], dict[str, Any]] = {}
        self._transitions: list[dict[str, Any]] = []
        self._open: list[dict[str, Any]] = []
        self._tempo: list[list[float]] = []
        self._beat = 0
        self._beats = 0

    def follow(self, mixer: Mixer) -> None:
        """Note the whole beats of each track since the last call; call after each quantum."""
        timeline = mixer.timeline
        if mixer.position >= len(self._tempo) * TEMPO_SECONDS * mixer.rate:
            at = mixer.position / mixer.rate
            self._tempo.append([round(at, 4), round(timeline.bpm_at(mixer.position), 4)])
        while self._beat + LATE_BEATS <= timeline.beat and self._beats < MOST_BEATS:
            for number, track_id, offset in mixer.heard():
                key = (number, track_id, offset)
                deck = self._playing.get(key)
                if deck is None:
                    # Beat of the track less beat of the timeline: whole bars and a nudge.
                    deck = {"track": track_id, "deck": number, "offset": offset, "beats": []}
                    self._playing[key] = deck
                    self._decks.append(deck)
                whole = round(self._beat + offset)
                deck["beats"].append([whole, round(timeline.sample_at(whole - offset), 3)])
                self._beats += 1
            self._beat += 1
        for transition in [t for t in self._open if t["end_beat"] <= timeline.beat]:
            transition["end_sample"] = round(timeline.sample_at(transition.pop("end_beat")), 3)
            self._open.remove(transition)

    def note(self, events: tuple[ShowEvent, ...]) -> None:
        """Keep the transitions among the decisions."""
        for event in events:
            if event.event != "transition":
                continue
            facts = event.facts
            begin, beats = float(str(facts["start_beat"])), float(str(facts["beats"]))
            transition = {
                "from": facts["from"], "to": facts["to"], "style": facts["style"],
                "start_sample": facts["sample"], "end_sample": None, "start_beat": begin,
                "beats": beats, "end_beat": begin + beats, "why": event.why,
            }  # fmt: skip
            self._transitions.append(transition)
            self._open.append(transition)

    def summary(self, *, rate: int, frames: int) -> dict[str, Any]:
        """The journal as JSON values; `frames` is the length of the file in samples."""
        for transition in self._open:
            transition.pop("end_beat", None)
        decks = [
            {**deck, "beats": [beat for beat in deck["beats"] if 0 <= beat[1] < frames]}
            for deck in self._decks
        ]
        return {
            "rate": rate, "frames": frames,
            "tempo": [point for point in self._tempo if math.isfinite(point[1])],
            "transitions": self._transitions,
            "decks": [deck for deck in decks if deck["beats"]],
        }  # fmt: skip
