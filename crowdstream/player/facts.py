"""What player and daemon tell each other, and how it becomes a packet again."""

from __future__ import annotations

from typing import Any

from crowdstream.packets import DeckState, Mix, Playing, ShowEvent


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
    facts = {key: value for key, value in facts.items() if key != "why_silent"}
    facts["gains"] = tuple(facts["gains"])
    facts["decks"] = tuple(
        DeckState(**{**deck, "gains": tuple(deck["gains"])}) for deck in facts["decks"]
    )
    facts["events"] = tuple(ShowEvent(**event) for event in facts["events"])
    return Playing(**facts)
