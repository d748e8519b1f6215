"""Where everyone was a moment ago: equal to a plain list, in memory that never grows."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.energy import SEEN
from crowdstream.dsp.ring import (
    CURVED_GAP_SECONDS,
    CUT_SHORT,
    FORGET_SECONDS,
    LENGTH_SECONDS,
    LONGEST_GAP_SECONDS,
    ROWS,
    SAMPLES,
    PeopleRing,
)
from crowdstream.testing.bodies import bodies

Sample = tuple[float, NDArray[np.float32], float]


class PlainRing:
    """The same in plain Python: for each person a list of (time, joints, torso)."""

    def __init__(self) -> None:
        self.samples: dict[int, list[Sample]] = {}

    def write(self, person: int, sample: Sample) -> None:
        self.samples.setdefault(person, []).append(sample)
        del self.samples[person][:-SAMPLES]

    def look_back(self, person: int, then: float) -> NDArray[np.float64] | None:
        """The joints at `then`, or None where nobody knows."""
        before = [s for s in self.samples[person] if s[0] <= then]
        after = [s for s in self.samples[person] if s[0] > then]
        if not before:
            return None
        early = before[-1]
        if early[0] == then:
            return early[1].astype(float)
        late = after[0]
        if late[0] - early[0] > LONGEST_GAP_SECONDS:
            return None
        share = (then - early[0]) / (late[0] - early[0])
        if late[0] - early[0] > CURVED_GAP_SECONDS:
            share = 1.0 - (1.0 - share) ** (1.0 - CUT_SHORT)
        joints = early[1] + share * (late[1].astype(float) - early[1])
        four = [*before[-2:], *after[:2]]
        if len(four) == 4 and max(np.diff([s[0] for s in four])) <= CURVED_GAP_SECONDS:
            seen = (four[0][1][:, 2] >= SEEN) & (four[3][1][:, 2] >= SEEN)
            times = [s[0] for s in four]
            curve = np.zeros((17, 3))
            for mine, (_, there, _) in zip(times, four, strict=True):
                others = [other for other in times if other != mine]
                curve += there * math.prod((then - other) / (mine - other) for other in others)
            joints[seen] = curve[seen]
        joints[:, 2] = np.minimum(early[1][:, 2], late[1][:, 2])
        return joints

    def length(self, person: int, now: float) -> float:
        """The median torso of the last seconds; NaN where none is known."""
        known = [
            torso
            for at, _, torso in self.samples[person]
            if at >= now - LENGTH_SECONDS and torso > 0
        ]
        return statistics.median(known) if known else math.nan


steps = st.lists(
    st.tuples(
        st.sampled_from([1 / 60, 1 / 30, 1 / 25, 0.1, 0.3, 0.5]),
        st.lists(st.integers(1, 5), max_size=5, unique=True),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(steps, st.integers(0, 2**31), st.sampled_from([0.05, 0.1, 0.25]))
def test_it_equals_a_plain_list(
    script: list[tuple[float, list[int]]], seed: int, seconds: float
) -> None:
    """Whoever comes and goes, at whatever rate, with joints and torsos unseen now and then."""
    rng = np.random.default_rng(seed)
    ring, plain, now = PeopleRing(), PlainRing(), 5.0
    for gap, people in script:
        now += gap
        joints = rng.random((len(people), 17, 3)).astype(np.float32)
        torsos = np.where(rng.random(len(people)) < 0.2, np.nan, rng.random(len(people)) + 0.1)
        rows = ring.write(np.array(people, np.int64), joints, torsos, now)
        for index, person in enumerate(people):
            plain.write(person, (now, joints[index], float(torsos[index])))
        then, known, lengths = ring.look_back(rows, now, seconds)
        for index, person in enumerate(people):
            expected = plain.look_back(person, now - seconds)
            assert known[index] == (expected is not None)
            if expected is not None:
                assert then[index] == pytest.approx(expected, abs=1e-5)
            assert lengths[index] == pytest.approx(plain.length(person, now), nan_ok=True)


def test_it_holds_only_the_newest_samples() -> None:
    """At 240 pictures a second its memory is half a second; what is older is unknown, not wrong."""
    ring = PeopleRing()
    one = np.array([1], np.int64)
    for n in range(3 * SAMPLES):
        rows = ring.write(one, bodies(1, 0.0), np.array([0.1]), n / 240)
    now = (3 * SAMPLES - 1) / 240
    assert ring.look_back(rows, now, 0.1)[1].tolist() == [True]
    assert ring.look_back(rows, now, SAMPLES / 240)[1].tolist() == [False]


def test_of_more_people_than_rows_the_first_are_followed() -> None:
    ring = PeopleRing()
    many = np.arange(ROWS + 5, dtype=np.int64)
    joints = np.zeros((len(many), 17, 3), np.float32)
    torsos = np.full(len(many), 0.1)
    for now in (0.0, 0.1):
        rows = ring.write(many, joints, torsos, now)
    assert (rows[:ROWS] >= 0).all()
    assert (rows[ROWS:] == -1).all()
    _, known, lengths = ring.look_back(rows, 0.1, 0.1)
    assert known[:ROWS].all()
    assert not known[ROWS:].any()
    assert np.isnan(lengths[ROWS:]).all()


def test_a_row_is_taken_over_once_its_person_is_forgotten() -> None:
    """New numbers for ever: memory does not grow, and nobody inherits another's past."""
    ring = PeopleRing()
    joints = np.zeros((ROWS, 17, 3), np.float32)
    for round_ in range(4):
        people = np.arange(ROWS, dtype=np.int64) + 1000 * round_
        now = round_ * (FORGET_SECONDS + 0.1)
        rows = ring.write(people, joints, np.full(ROWS, 0.1), now)
        assert sorted(rows) == list(range(ROWS))
        assert not ring.look_back(rows, now, 0.1)[1].any()
    assert sorted(ring._owner) == list(range(3000, 3000 + ROWS))


def test_after_a_jump_nobody_has_a_past() -> None:
    ring = PeopleRing()
    one = np.array([1], np.int64)
    for now in (0.0, 0.05, 0.1):
        ring.write(one, bodies(1, now), np.array([0.1]), now)
    ring.clear()
    rows = ring.write(one, bodies(1, 0.15), np.array([0.1]), 0.15)
    assert not ring.look_back(rows, 0.15, 0.1)[1].any()


def test_nobody_is_nobody() -> None:
    ring = PeopleRing()
    rows = ring.write(np.zeros(0, np.int64), np.zeros((0, 17, 3), np.float32), np.zeros(0), 1.0)
    then, known, lengths = ring.look_back(rows, 1.0, 0.1)
    assert (then.shape, known.shape, lengths.shape) == ((0, 17, 3), (0,), (0,))
