"""Facts about musical time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.music.timeline import QUANTUM, Timeline

RATE = 44100


def a_timeline(steps: list[float], bpm: float = 120.0) -> Timeline:
    """Steered once a bar, by so many BPM each."""
    timeline = Timeline(RATE, bpm, first_sample=69)
    for bar, step in enumerate(steps):
        while timeline.beat < 4 * bar + 3:
            timeline.advance()
        timeline.steer(timeline.bpm_at_bar_end + step)
    return timeline


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=12),
    st.floats(0, 1),
)
def test_a_beat_becomes_a_sample_and_the_same_beat_again(steps: list[float], share: float) -> None:
    """The mapping and its inverse agree to a millionth of a beat, whatever the tempo did."""
    timeline = a_timeline(steps)
    beat = share * timeline.beat
    assert timeline.beat_at(timeline.sample_at(beat)) == pytest.approx(beat, abs=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_the_tempo_changes_by_no_more_than_was_asked_per_bar(steps: list[float]) -> None:
    """Between two bar lines the tempo moves in a straight line to what was asked."""
    timeline = a_timeline(steps)
    tempi = [timeline.bpm_at(timeline.sample_at(4.0 * bar + 1e-3)) for bar in range(len(steps))]
    changes = [abs(b - a) for a, b in pairwise(tempi)]
    assert max(changes) <= max(abs(step) for step in steps) + 0.01


def test_time_never_runs_back() -> None:
    """Later samples are later beats."""
    timeline = a_timeline([1.0, -1.0, 0.5, -0.2] * 3)
    beats = [timeline.beat_at(sample) for sample in range(69, timeline.position, 97)]
    assert all(b > a for a, b in pairwise(beats))


def test_a_steady_tempo_does_not_drift_in_a_day() -> None:
    """After a million quanta the beat is where arithmetic says."""
    timeline = Timeline(RATE, 123.456)
    for _ in range(1_000_000):
        timeline.advance()
    expected = 1_000_000 * QUANTUM * 123.456 / 60 / RATE
    assert timeline.beat == pytest.approx(expected, abs=1e-6)


def test_the_past_is_bounded_and_what_is_kept_stays_right() -> None:
    """After more changes than are kept, the newest beats still map both ways."""
    timeline = Timeline(RATE, 120.0)
    for quantum in range(80_000):
        if quantum % 300 == 0:
            timeline.steer(timeline.bpm_at_bar_end + (0.5 if quantum % 600 else -0.5))
        timeline.advance()
    late = timeline.beat - 8.0
    assert timeline.beat_at(timeline.sample_at(late)) == pytest.approx(late, abs=1e-6)


def test_the_future_goes_on_at_the_newest_tempo() -> None:
    """What is not laid down yet is told as if nothing changed."""
    timeline = a_timeline([1.0, 1.0, 1.0])
    ahead = timeline.sample_at(timeline.beat + 1.0) - timeline.position
    assert ahead == pytest.approx(60 * RATE / timeline.bpm, rel=1e-9)


def test_a_cut_steps_at_the_bar_line() -> None:
    """At once means: on the line, to within a quantum."""
    timeline = Timeline(RATE, 100.0)
    while timeline.beat < 3.0:
        timeline.advance()
    timeline.steer(140.0, at_once=True)
    while timeline.beat < 5.0:
        timeline.advance()
    assert [timeline.bpm_at(timeline.sample_at(beat)) for beat in (3.9, 4.05)] == [100.0, 140.0]


def test_a_tempo_of_nothing_is_refused() -> None:
    """Zero and NaN are no tempo."""
    for bpm in (0.0, float("nan")):
        with pytest.raises(ValueError, match="no tempo"):
            Timeline(RATE, bpm)
