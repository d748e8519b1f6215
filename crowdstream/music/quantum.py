"""The grain of musical time; in a file of its own, for whoever asks before numpy is there."""

from __future__ import annotations

from typing import Final

QUANTUM: Final = 256
"""Samples for which the tempo holds still."""
