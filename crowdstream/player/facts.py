"""What player and daemon tell each other, and how it becomes a packet again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crowdstream.music.timeline import BEATS_PER_BAR
from crowdstream.packets import DeckState, Mix, Playing, ShowEvent

if TYPE_CHECKING:
    from crowdstream.player.deck import Deck


def mix_of(facts: dict[str, Any]) -> Mix:
    """The wish that a message of the daemon tells of.

    Raises:
        TypeError, KeyError: the message is none of ours.
    """
    least = facts.get("programme_gains")
    return Mix(
        **{
            **facts,
            "gains": tuple(facts["gains"]),
            "programme_gains": None if least is None else tuple(least),
        }
    )


def playing_of(facts: dict[str, Any]) -> Playing:
    """The packet that a message of the player tells of.

    Raises:
        TypeError, KeyError: the message is none of ours.
    """
    facts = {key: value for key, value in facts.items() if key not in ("why_silent", "lacks")}
    facts["gains"] = tuple(facts["gains"])
    facts["decks"] = tuple(
        DeckState(**{**deck, "gains": tuple(deck["gains"])}) for deck in facts["decks"]
    )
    facts["events"] = tuple(ShowEvent(**event) for event in facts["events"])
    return Playing(**facts)


NO_DECK: Final = DeckState(track="", track_id="", beat=0.0, section="", gains=(0.0, 0.0, 0.0, 0.0))
"""Nothing plays."""


def state_of(deck: Deck, beat: float) -> DeckState | None:
    """What a deck plays; None when it is empty."""
    track, at, gains = deck.track, beat + deck.offset, deck.gains
    if track is None:
        return None
    return DeckState(
        track=track.title, track_id=track.id, beat=at,
        section=track.section_at(at / BEATS_PER_BAR).name,
        gains=(float(gains[0]), float(gains[1]), float(gains[2]), float(gains[3])),
    )  # fmt: skip
