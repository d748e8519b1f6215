"""The same number for the same person."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.offline.bench_tracking import RATE_HZ, mistakes, ours, scenes
from crowdstream.vision.decode import Detections, nobody
from crowdstream.vision.identity import MEMORY_SECONDS, MOST_REMEMBERED, Identities

HEIGHT = 0.4
"""Of everybody here, in picture heights."""


def people_at(*feet: tuple[float, float], confidence: float = 0.9) -> Detections:
    """Upright people whose middle is at these places."""
    places = np.array(feet, np.float64).reshape(-1, 2)
    pose = np.zeros((17, 2))
    pose[:5, 1] = -0.42
    pose[[5, 6]] = [(-0.11, -0.31), (0.11, -0.31)]
    pose[7:11, 1] = -0.1
    pose[[11, 12]] = [(-0.07, -0.02), (0.07, -0.02)]
    pose[13:15, 1] = 0.23
    pose[15:17, 1] = 0.48
    keypoints = np.full((len(places), 17, 3), confidence, np.float32)
    keypoints[:, :, :2] = places[:, None] + HEIGHT * pose
    half = HEIGHT * np.array([0.2, 0.5])
    boxes = np.concatenate([places - half, places + half], axis=1).astype(np.float32)
    return Detections(
        keypoints=keypoints, scores=np.full(len(places), 0.9, np.float32), boxes=boxes
    )


def shuffled(people: Detections, order: NDArray[np.intp]) -> Detections:
    """The same people in another order."""
    return Detections(
        keypoints=people.keypoints[order], scores=people.scores[order], boxes=people.boxes[order]
    )


def test_people_who_stand_keep_their_numbers() -> None:
    """In whatever order they are found."""
    who = Identities()
    people = people_at((0.3, 0.5), (0.8, 0.5), (1.3, 0.5))
    first = who.follow(people, 0.0, 0)
    order = np.array([2, 0, 1])
    assert who.follow(shuffled(people, order), 0.1, 0).tolist() == first[order].tolist()


def test_two_who_cross_keep_their_numbers() -> None:
    """Each is carried on along their own movement."""
    who = Identities()
    numbers = []
    for step in range(31):
        t = step / 15.0
        numbers.append(who.follow(people_at((0.31 + 0.4 * t, 0.5), (1.1 - 0.4 * t, 0.5)), t, 0))
    assert {tuple(each) for each in numbers} == {(1, 2)}


def test_dancers_in_a_packed_row_keep_their_numbers() -> None:
    """Side to side at 2 Hz, a third of a body apart, each in their own time."""
    who = Identities()
    rng = np.random.default_rng(1)
    phase = rng.uniform(0.0, 2.0 * np.pi, 12)
    seen = set()
    for step in range(60):
        t = step / 15.0
        x = 0.1 + 0.13 * np.arange(12) + 0.03 * np.sin(2.0 * np.pi * 2.0 * t + phase)
        seen.add(tuple(who.follow(people_at(*((each, 0.5) for each in x)), t, 0)))
    assert len(seen) == 1


def test_short_absence_is_forgiven_and_a_long_one_is_not() -> None:
    """A second is remembered."""
    who = Identities()
    person = people_at((0.5, 0.5))
    assert who.follow(person, 0.0, 0).tolist() == [1]
    who.follow(nobody(), 0.2, 0)
    assert who.follow(person, MEMORY_SECONDS - 0.01, 0).tolist() == [1]
    who.follow(nobody(), 0.8, 0)
    assert who.follow(person, 1.2, 0).tolist() == [2]


def test_new_epoch_begins_with_new_numbers() -> None:
    """A loop of the clip is not a movement."""
    who = Identities()
    person = people_at((0.5, 0.5))
    numbers = [who.follow(person, t, epoch).tolist() for t, epoch in ((0.0, 0), (0.1, 1), (0.2, 1))]
    assert numbers == [[1], [2], [2]]


def test_time_that_runs_back_begins_with_new_numbers() -> None:
    """Whatever the source says about its epoch."""
    who = Identities()
    person = people_at((0.5, 0.5))
    assert [who.follow(person, t, 0).tolist() for t in (5.0, 1.0)] == [[1], [2]]


def test_a_jump_across_the_room_is_another_person() -> None:
    """Nobody moves a body length between two pictures."""
    who = Identities()
    who.follow(people_at((0.3, 0.5)), 0.0, 0)
    assert who.follow(people_at((1.2, 0.5)), 0.07, 0).tolist() == [2]


def test_people_without_a_visible_torso_are_followed_by_their_box() -> None:
    """A crowd behind a bar."""
    who = Identities()
    numbers = [
        who.follow(people_at((0.3 + 0.02 * step, 0.5), (0.9, 0.5), confidence=0.1), step / 15.0, 0)
        for step in range(10)
    ]
    assert {tuple(each) for each in numbers} == {(1, 2)}


def test_numbering_begins_where_it_is_told() -> None:
    """So that a stage that was started again gives no number twice."""
    assert Identities(first=700).follow(people_at((0.5, 0.5)), 0.0, 0).tolist() == [700]


crowds = st.lists(
    st.lists(st.tuples(st.floats(0.0, 1.8), st.floats(0.0, 1.0)), max_size=12),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(pictures=crowds, epochs=st.lists(st.integers(0, 1), min_size=12, max_size=12))
def test_numbers_are_unique_never_reused_and_repeatable(
    pictures: list[list[tuple[float, float]]], epochs: list[int]
) -> None:
    """For any crowd: no number twice in a picture; one that was forgotten never comes back."""
    runs = []
    for _ in range(2):
        who = Identities()
        runs.append(
            [
                who.follow(people_at(*places), 0.2 * step, epochs[step]).tolist()
                for step, places in enumerate(pictures)
            ]
        )
    assert runs[0] == runs[1]
    last_seen: dict[int, int] = {}
    highest = 0
    for step, numbers in enumerate(runs[0]):
        assert len(set(numbers)) == len(numbers)
        for number in numbers:
            if number in last_seen:
                assert 0.2 * (step - last_seen[number]) <= MEMORY_SECONDS + 1e-9
                assert len(set(epochs[last_seen[number] : step + 1])) == 1
            else:
                assert number > highest
            last_seen[number] = step
        highest = max([highest, *numbers])


@settings(max_examples=40, deadline=None)
@given(
    places=st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=2, max_size=10, unique=True
    ),
    seed=st.integers(0, 1000),
)
def test_order_of_the_found_does_not_matter(places: list[tuple[int, int]], seed: int) -> None:
    """A person's number depends on where they are, not on how sure the model is of them."""
    people = people_at(*((0.2 * x, 0.3 * y) for x, y in places))
    order = np.random.default_rng(seed).permutation(len(places))
    who = Identities()
    first = who.follow(people, 0.0, 0)
    assert who.follow(shuffled(people, order), 0.1, 0).tolist() == first[order].tolist()


def test_memory_is_bounded() -> None:
    """However many come and go."""
    who = Identities()
    rng = np.random.default_rng(0)
    for step in range(20):
        places = rng.uniform(0.0, 1.8, (200, 2)) + 10.0 * step
        who.follow(people_at(*map(tuple, places)), 0.01 * step, 0)
        assert who.remembered <= MOST_REMEMBERED


def test_half_a_body_that_is_hidden_is_still_the_same_person() -> None:
    """Legs and hips behind somebody: box and length shrink, the number stays."""
    who = Identities()
    for step in range(20):
        people = people_at((0.5, 0.5), (0.8, 0.5))
        if step % 4 >= 2:
            people.keypoints[0, 7:, 2] = 0.1
            people.boxes[0, 3] = 0.42
        assert who.follow(people, step / 15.0, 0).tolist() == [1, 2]


def test_who_is_hidden_for_a_moment_while_walking_is_found_where_the_walk_leads() -> None:
    """Two walk one behind the other; one is behind a pillar for a third of a second."""
    who = Identities()
    numbers = []
    for step in range(30):
        t = step / 15.0
        people = people_at((0.3 + 0.3 * t, 0.5), (0.75 + 0.3 * t, 0.5))
        if 12 <= step < 17:
            numbers.append(who.follow(shuffled(people, np.array([1])), t, 0).tolist())
        else:
            numbers.append(who.follow(people, t, 0).tolist())
    assert {tuple(each) for each in numbers} == {(1, 2), (2,)}


def test_weaving_dancers_are_seldom_taken_for_each_other() -> None:
    """Twenty in the same clothes who hide each other: seldom, for each, a change in ten seconds."""
    made = scenes(20, 0.6, seed=3)[:300]
    counted = mistakes(made, ours(made))
    assert counted.swapped < 9.5
    assert counted.torn < 10.0


def test_mistakes_are_counted_as_they_are() -> None:
    """Two who change places of numbers are two torn and two swapped."""
    made = scenes(2, 0.3, seed=1)[:4]
    made = [scene._replace(true=np.array([7, 8]), found=people_at((0.3, 0.5), (0.9, 0.5)))
            for scene in made]  # fmt: skip
    straight = [np.array([1, 2])] * 4
    crossed = [*straight[:2], *[np.array([2, 1])] * 2]
    assert mistakes(made, straight) == (0.0, 0.0)
    minutes = 8 / RATE_HZ / 60.0
    assert mistakes(made, crossed) == (2 / minutes, 2 / minutes)
