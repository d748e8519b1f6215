"""Styles whose rhythm hides its beat: claves, dembow, off-beats louder than beats.

What measures music may fail at these; it may not be sure when it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crowdstream.testing.tunes import A_MINOR, G_MAJOR, Style

SYNCOPATED: Final[Mapping[str, Style]] = {
    "bossa": Style({
        "kick": "9..77..79..77..7", "click": "9..9..9...9..9..", "hat": "5.5.5.5.5.5.5.5.",
        "bass": "9..77..79..77..7", "stab": "..7..7....7..7..",
    }, chords=G_MAJOR),
    "quiet bossa": Style({
        "kick": "5..55..55..55..5", "click": "6..6..6...6..6..", "hat": "4444444444444444",
        "stab": "7..7..7...7..7..", "pad": "5...............",
    }, chords=A_MINOR),
    "samba": Style({
        "kick": "3...9...3...9...", "snare": "7.57.5.77.5.7.57", "hat": "8557855785578557",
        "bass": "...79......79...",
    }, chords=G_MAJOR),
    "son clave": Style({
        "click": "9..9..9...9.9...", "bass": "...9..9....9..9.", "hat": "5.5.5.5.5.5.5.5.",
        "stab": "7..7.7.7.7.7.7.7",
    }, chords=A_MINOR),
    "rumba clave": Style({
        "click": "9..9...9..9.9...", "kick": "......9.......9.", "hat": "6.66.6.66.66.6.6",
        "bass": "9.....9...9.....",
    }, chords=A_MINOR),
    "baile": Style({
        "kick": "9..9..9...9.9...", "clap": "...8..8....8..8.", "sub": "9..9..9...9.....",
    }, chords=A_MINOR),
    "reggaeton, full": Style({
        "kick": "9...9...9...9...", "snare": "...8..8....8..8.", "bass": "9..9..9.9..9..9.",
        "stab": "..7...7...7...7.", "lead": "7...7..7..7...7.",
    }, chords=A_MINOR),
    "six eight": Style({
        "kick": "9.....9..9..", "click": "9.9.99.9.9.9", "hat": "7..7..7..7..",
        "bass": "9....99....9",
    }, steps_a_beat=3, chords=A_MINOR),
    "loud off-beats": Style({
        "kick": "5...5...5...5...", "open": "..9...9...9...9.", "bass": "..9...9...9...9.",
    }, chords=A_MINOR),
}  # fmt: skip
"""In four, with a steady tempo, and a first stroke that is on the beat."""
