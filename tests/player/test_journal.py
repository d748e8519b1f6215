"""Facts about the journal of a mix: it tells where a track's beats sound, nudged or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from crowdstream.player.journal import MixJournal

RATE = 44100
BEAT = 0.5 * RATE


def a_mix(nudge: float, beats: float) -> Any:
    """A mixer at 120 BPM that has played so many beats of one deck."""
    timeline = SimpleNamespace(
        beat=beats, sample_at=lambda beat: beat * BEAT, bpm_at=lambda _sample: 120.0
    )
    return SimpleNamespace(
        timeline=timeline, position=int(beats * BEAT), rate=RATE,
        heard=lambda: [(0, "one", 16.0 + nudge)],
    )  # fmt: skip


@pytest.mark.parametrize("nudge", [0.0, 0.02, -0.03])
def test_a_whole_beat_of_a_nudged_track_is_told_where_it_sounds(nudge: float) -> None:
    journal = MixJournal()
    journal.follow(cast("Any", a_mix(nudge, 8.5)))
    told = journal.summary(rate=RATE, frames=RATE * 60)["decks"][0]["beats"]
    assert [beat for beat, _ in told][-8:] == [*range(17, 25)]
    for beat, sample in told:
        assert sample == pytest.approx((beat - 16.0 - nudge) * BEAT, abs=0.01)
