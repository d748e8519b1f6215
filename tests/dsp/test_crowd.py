"""From two eyes to one crowd: what the music hears, and what it must never hear."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.crowd import BLIND_SECONDS, CrowdMeter, Reading
from crowdstream.dsp.energy import TORSO_TO_BODY, energy_of, torso_lengths
from crowdstream.testing.bodies import bodies

FPS = 25.0

Keypoints = NDArray[np.float32]


def see(
    meter: CrowdMeter,
    picture: Callable[[float], Keypoints],
    *,
    since: float = 0.0,
    seconds: float = 6.0,
    fps: float = FPS,
    ids: Callable[[int, int], Iterable[int]] = lambda frame, count: range(1, count + 1),
    intensity: float = 0.5,
) -> list[Reading]:
    """What the pose eye makes the meter say, picture by picture."""
    readings = []
    for frame in range(round(seconds * fps)):
        at = since + frame / fps
        people = picture(at)
        numbers = np.array(list(ids(frame, len(people))), np.int64)
        readings.append(meter.take_people(people, numbers, at=at, intensity=intensity))
    return readings


def flow(
    meter: CrowdMeter,
    speed: float,
    *,
    confidence: float = 0.6,
    light: str = "steady",
    since: float = 0.0,
    seconds: float = 6.0,
    intensity: float = 0.5,
) -> list[Reading]:
    """What the eye for motion makes the meter say."""
    return [
        meter.take_motion(speed, confidence, light, at=since + n / FPS, intensity=intensity)
        for n in range(round(seconds * FPS))
    ]


def dancing(
    count: int = 10, speed: float = 1.2, apart: float = 0.618
) -> Callable[[float], Keypoints]:
    """Each at their own moment of the swing, so that the crowd's speed is even."""
    return lambda at: bodies(count, at, speed=speed, apart=apart)


def statues(count: int = 10) -> Callable[[float], Keypoints]:
    return lambda at: bodies(count, 0.0)


def nobody(at: float) -> Keypoints:
    return np.zeros((0, 17, 3), np.float32)


def finite(readings: Iterable[Reading]) -> bool:
    numbers = [
        value
        for reading in readings
        for value in reading
        if isinstance(value, float)  # None is what is not known
    ]
    return all(math.isfinite(value) for value in numbers)


def test_statues_are_still() -> None:
    last = see(CrowdMeter(), statues())[-1]
    assert (last.level, last.speed, last.people) == (0.0, 0.0, 10)
    assert last.drive < 0.05
    assert last.confidence > 0.9


def test_a_dance_has_the_energy_of_its_speed() -> None:
    """Limbs at 1.2 body lengths a second, the head still: eight ninths of it."""
    readings = see(CrowdMeter(), dancing(speed=1.2))[-50:]
    level = np.mean([reading.level for reading in readings])
    assert level == pytest.approx(energy_of(1.2 * 8 / 9), abs=0.03)
    last = readings[-1]
    assert last.arms is not None
    assert last.head is not None
    assert last.arms == pytest.approx(1.2, abs=0.15)
    assert last.head < 0.05


def test_one_dancing_alone_and_forty_alike_are_the_same_energy() -> None:
    levels = [see(CrowdMeter(), dancing(count, apart=0.0))[-1].level for count in (1, 40)]
    assert levels[0] == pytest.approx(levels[1], abs=1e-6)


def test_but_one_alone_moves_the_music_a_quarter_as_far() -> None:
    drives = [see(CrowdMeter(), dancing(n, 3.0), seconds=15)[-1].drive - 0.5 for n in (1, 8, 40)]
    assert drives[0] / drives[2] == pytest.approx(0.25, abs=0.05)
    assert drives[1] == pytest.approx(drives[2], abs=0.02)


def test_one_of_twenty_who_dances_wildly_does_not_move_the_music() -> None:
    """At most a third of what all together do."""
    speeds = np.zeros(20)
    speeds[7] = 4.0
    one = see(CrowdMeter(), lambda at: bodies(20, at, speed=speeds), seconds=10)[-1]
    everyone = see(CrowdMeter(), dancing(20, 4.0), seconds=10)[-1]
    assert one.drive <= everyone.drive / 3
    assert one.level > 0.0  # the measurement itself leaves nobody out


def test_one_who_stands_among_dancers_does_not_stop_the_music() -> None:
    speeds = np.full(8, 1.2)
    speeds[3] = 0.0
    most = see(CrowdMeter(), lambda at: bodies(8, at, speed=speeds), seconds=10)[-1]
    everyone = see(CrowdMeter(), dancing(8, 1.2), seconds=10)[-1]
    assert most.drive > 0.75 * everyone.drive


@given(st.integers(16, 60), st.floats(0.1, 50.0))
def test_the_wildest_body_adds_an_eighth_of_the_sum_at_most(count: int, wild: float) -> None:
    from crowdstream.dsp.signals import fair_mean

    speeds = np.full(count, 0.2)
    speeds[0] += wild
    added = count * fair_mean(speeds) - 0.2 * (count - 1)
    assert added <= speeds.sum() / 8 + 1e-9


@given(st.integers(1, 30), st.integers(0, 2**31), st.floats(0.01, 2.0))
@settings(deadline=None)
def test_more_movement_of_anybody_never_drives_less(count: int, seed: int, more: float) -> None:
    from crowdstream.dsp.signals import fair_mean

    rng = np.random.default_rng(seed)
    speeds = rng.exponential(1.0, count)
    louder = speeds.copy()
    louder[rng.integers(count)] += more
    assert fair_mean(speeds) <= fair_mean(louder) + 1e-12
    assert fair_mean(speeds) <= speeds.mean() + 1e-12
    assert fair_mean(np.full(count, more)) == pytest.approx(more)


@pytest.mark.parametrize("fps", [10, 15, 30, 60])
def test_the_same_dance_is_the_same_energy_at_any_rate(fps: float) -> None:
    readings = see(CrowdMeter(), dancing(), fps=fps, seconds=8)
    level = np.mean([reading.level for reading in readings[-round(2 * fps) :]])
    assert level == pytest.approx(energy_of(1.2 * 8 / 9), abs=0.03)


@pytest.mark.parametrize("torso", [0.03, 0.12, 0.3])
def test_near_and_far_are_the_same_energy(torso: float) -> None:
    def picture(at: float) -> Keypoints:
        return bodies(3, at, speed=1.2, torso=torso, apart=0.618)

    plain = see(CrowdMeter(), dancing(3))
    # A joint of somebody small trembles more, in lengths of their body: a little less is sure.
    near = 0.03 if torso < 0.1 else 2e-3
    assert see(CrowdMeter(), picture)[-1].level == pytest.approx(plain[-1].level, abs=near)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.floats(0.0, 0.5))
def test_joints_that_are_nowhere_make_no_number_that_is_none(seed: int, share: float) -> None:
    """NaN and infinity in any joint, confidence or place, and energy goes on."""
    rng = np.random.default_rng(seed)

    def broken(at: float) -> Keypoints:
        joints = bodies(3, at, speed=1.0)
        wrong = rng.random(joints.shape) < share
        joints[wrong] = rng.choice(np.array([np.nan, np.inf, -np.inf, 1e30]), int(wrong.sum()))
        return joints

    readings = see(CrowdMeter(), broken, seconds=1.0)
    assert finite(readings)
    assert all(0.0 <= reading.level <= 1.0 and 0.0 <= reading.drive <= 1.0 for reading in readings)


def test_a_joint_that_is_nowhere_is_not_seen_and_not_still() -> None:
    def one_arm(at: float, value: float) -> Keypoints:
        joints = bodies(4, at, speed=1.2)
        joints[:, 9, :2] = value
        if math.isfinite(value):
            joints[:, 9, 2] = 0.0
        return joints

    nan = see(CrowdMeter(), lambda at: one_arm(at, math.nan))
    hidden = see(CrowdMeter(), lambda at: one_arm(at, 0.0))
    assert nan[-1] == hidden[-1]


@pytest.mark.parametrize("speed", [math.nan, math.inf])
def test_flow_that_is_no_number_is_not_taken(speed: float) -> None:
    meter = CrowdMeter()
    see(meter, dancing())
    before = meter.wait(6.0, 0.5)
    after = meter.take_motion(speed, 0.5, "steady", at=6.0, intensity=0.5)
    assert (after.level, after.drive, after.eyes) == (before.level, before.drive, before.eyes)
    assert finite(flow(meter, 1.0, confidence=math.nan))


def test_a_lost_camera_sinks_to_the_programme_and_is_told_as_stale() -> None:
    """It neither freezes nor falls silent."""
    meter = CrowdMeter()
    see(meter, dancing(10, 3.0), intensity=0.4)
    readings = [meter.wait(6.0 + n / 20, 0.4) for n in range(20 * 15)]
    assert readings[-1].level == pytest.approx(0.4, abs=0.02)
    assert readings[-1].drive == pytest.approx(0.4, abs=0.02)
    assert (readings[-1].state, readings[-1].eyes, readings[-1].people) == ("stale", (), None)
    assert readings[-1].confidence < 0.01
    levels = [reading.level for reading in readings]
    assert max(abs(b - a) for a, b in itertools.pairwise(levels)) < 0.05
    assert readings[4].state == "ok"  # 0.6 s of silence are none


def test_an_eye_that_comes_back_finds_the_level_where_it_is() -> None:
    meter = CrowdMeter()
    see(meter, dancing(10, 3.0))
    for n in range(20 * 2):
        sunk = meter.wait(6.0 + n / 20, 0.2)
    readings = see(meter, dancing(10, 3.0), since=8.0, intensity=0.2)
    levels = [sunk.level] + [reading.level for reading in readings]
    assert max(abs(b - a) for a, b in itertools.pairwise(levels)) < 0.3
    assert levels[-1] > 0.9


def test_when_people_leave_energy_falls_within_a_second_and_a_half() -> None:
    meter = CrowdMeter()
    before = see(meter, dancing(10, 2.0))[-1].level
    readings = see(meter, nobody, since=6.0)
    after = readings[round(1.5 * FPS)]
    assert after.level < before / 2
    assert after.people == 0
    assert readings[-1].level < 0.05


def test_an_empty_floor_hears_the_programme() -> None:
    readings = see(CrowdMeter(), nobody, seconds=20, intensity=0.37)
    assert readings[-1].drive == pytest.approx(0.37, abs=0.01)
    assert readings[-1].level == 0.0


def test_new_numbers_for_everybody_are_no_movement() -> None:
    """A tracker that mixes people up must not look like a dance."""

    def churn(frame: int, count: int) -> Iterable[int]:
        return range(1 + count * frame, 1 + count * (frame + 1))

    readings = see(CrowdMeter(), statues(), ids=churn)
    assert max(reading.level for reading in readings) < 0.01

    def swapped(frame: int, count: int) -> Iterable[int]:
        # Every other second all numbers move on to people who were never called so.
        return range(1 + 100 * (frame // 50), 1 + 100 * (frame // 50) + count)

    readings = see(CrowdMeter(), statues(), ids=swapped)
    assert max(reading.level for reading in readings[10:]) < 0.01


def test_numbers_that_never_stay_are_not_the_dance_that_was() -> None:
    """What was known before the tracker lost everybody is not held for ever."""
    meter = CrowdMeter()
    see(meter, dancing(10, 3.0))

    def churn(frame: int, count: int) -> Iterable[int]:
        return range(1000 + count * frame, 1000 + count * (frame + 1))

    readings = see(meter, statues(), since=6.0, seconds=BLIND_SECONDS + 15.0, ids=churn)
    assert readings[-1].state == "stale"
    assert readings[-1].level == pytest.approx(0.5, abs=0.03)
    assert readings[-1].people == 10


def test_a_jump_of_the_source_makes_no_jump_of_energy() -> None:
    """A clip that loops: everybody is elsewhere, and the level goes on."""
    meter = CrowdMeter()
    before = see(meter, dancing(10, 1.2))[-1]
    meter.jump()
    readings = see(
        meter, lambda at: bodies(10, at + 0.37, speed=1.2) + np.float32(0.2), since=6.04, seconds=2
    )
    assert [abs(r.level - before.level) < 0.1 for r in readings] == [True] * len(readings)
    assert {reading.state for reading in readings} == {"ok"}


def test_with_motion_alone_the_confidence_is_that_of_motion() -> None:
    readings = flow(CrowdMeter(), 0.9, confidence=0.45)
    last = readings[-1]
    assert (last.eyes, last.people, last.arms) == (("motion",), None, None)
    assert last.level == pytest.approx(0.5, abs=0.02)
    assert last.confidence == pytest.approx(0.45, abs=0.01)


def test_both_eyes_are_surer_than_one_and_say_so() -> None:
    meter = CrowdMeter()
    for n in range(100):
        at = n / FPS
        meter.take_motion(1.0, 0.6, "steady", at=at, intensity=0.5)
        both = meter.take_people(bodies(10, at, speed=1.2), np.arange(10), at=at, intensity=0.5)
    alone = see(CrowdMeter(), dancing())[-1]
    assert both.eyes == ("motion", "pose")
    assert both.confidence > alone.confidence


def test_moving_lights_over_an_empty_floor_are_hardly_movement() -> None:
    """Pose looks and sees nobody: what flow sees is mostly light."""
    meter = CrowdMeter()
    for n in range(round(10 * FPS)):
        at = n / FPS
        meter.take_motion(3.0, 0.2, "moving", at=at, intensity=0.3)
        reading = meter.take_people(nobody(at), np.zeros(0, np.int64), at=at, intensity=0.3)
    assert reading.level < 0.15
    assert reading.drive == pytest.approx(0.3, abs=0.03)


def test_a_blackout_holds_what_was_known_and_then_nobody_knows() -> None:
    meter = CrowdMeter()
    before = flow(meter, 1.5, confidence=0.8)[-1]
    dark = flow(meter, 0.0, confidence=0.0, light="dark", since=6.0, seconds=BLIND_SECONDS + 12)
    assert dark[round(2 * FPS)].level == pytest.approx(before.level)
    assert dark[round(2 * FPS)].state == "dark"
    assert dark[-1].level == pytest.approx(0.5, abs=0.03)
    assert dark[-1].state == "stale"


def test_what_was_held_through_a_darkness_is_not_forgotten_by_the_first_look_after_it() -> None:
    """One slow moment after a second of dark weighs like any other moment."""
    meter = CrowdMeter()
    before = flow(meter, 1.5, confidence=0.8)[-1]
    flow(meter, 0.0, confidence=0.0, light="dark", since=6.0, seconds=1.0)
    (after,) = flow(meter, 0.5, confidence=0.8, since=7.0, seconds=1.0 / FPS)
    assert after.level == pytest.approx(before.level, rel=0.05)


@pytest.mark.parametrize("light", ["steady", "moving"])
def test_where_light_moves_little_movement_is_none_and_a_dance_is_a_dance(light: str) -> None:
    """A network puts joints elsewhere when a beam comes over them."""

    def level(pace: float) -> float:
        meter = CrowdMeter()
        for frame in range(150):
            at = frame / FPS
            meter.take_motion(0.0, 0.05, light, at=at, intensity=0.5)
            reading = meter.take_people(
                bodies(4, at, speed=pace), np.arange(1, 5), at=at, intensity=0.5
            )
        return reading.level

    little, much = level(0.3), level(1.2)
    assert much > 0.3
    assert (little == 0.0) == (light == "moving")


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["people", "motion", "wait", "jump", "nobody"]),
            st.floats(-0.1, 2.0),
            st.floats(0, 1),
            st.sampled_from(["steady", "dark", "flashing", "moving"]),
        ),
        max_size=60,
    )
)
def test_whatever_comes_every_number_is_finite_and_in_range(
    script: list[tuple[str, float, float, str]],
) -> None:
    """Eyes in any order, with gaps, out of order, after jumps."""
    meter, at, readings = CrowdMeter(), 100.0, []
    for what, gap, share, light in script:
        at += gap
        if what == "jump":
            meter.jump()
        elif what == "people":
            people = bodies(3, at, speed=4 * share)
            readings.append(meter.take_people(people, np.arange(3), at=at, intensity=share))
        elif what == "nobody":
            empty = np.zeros(0, np.int64)
            readings.append(meter.take_people(nobody(at), empty, at=at, intensity=share))
        elif what == "motion":
            readings.append(meter.take_motion(4 * share, share, light, at=at, intensity=share))
        else:
            readings.append(meter.wait(at, share))
    assert finite(readings)
    for reading in readings:
        assert 0 <= reading.level <= 1
        assert 0 <= reading.raw <= 1
        assert 0 <= reading.drive <= 1
        assert 0 <= reading.confidence <= 1


def test_joints_tell_the_eye_without_a_model_how_tall_people_are() -> None:
    """Flow scaled by people twice as tall as they are means twice the body lengths."""

    def flow_later(meter: CrowdMeter) -> float:
        for at in (60.0, 120.0):
            seen = meter.take_motion(
                0.5, 0.9, "steady", at=at, intensity=0.5, person_height=2.0 * height
            )
        return seen.speed

    told, untold = CrowdMeter(), CrowdMeter()
    people = bodies(3, 0.0)
    height = float(np.median(torso_lengths(people))) * TORSO_TO_BODY
    see(told, lambda _: people)
    assert flow_later(told) == pytest.approx(2.0 * flow_later(untold), rel=0.05)


def test_light_that_nobody_takes_for_people_is_no_energy() -> None:
    """However hard it moves and however long it goes on."""
    readings = flow(CrowdMeter(), 5.0, confidence=0.01, light="moving", seconds=20.0)
    assert max(reading.level for reading in readings) < 0.02
    assert readings[-1].confidence < 0.05


def test_after_a_lost_camera_has_sunk_to_the_programme_it_begins_anew_from_what_it_sees() -> None:
    """What was danced before the camera was lost is not remembered an hour later."""
    meter = CrowdMeter()
    flow(meter, 3.0, confidence=0.9, seconds=5.0)
    for n in range(600):
        meter.wait(5.0 + n / 20, 0.5)
    back = flow(meter, 0.0, confidence=0.9, since=40.0, seconds=0.2)
    assert back[-1].level < 0.1


def test_where_nothing_has_moved_for_a_while_the_programme_plays_also_without_a_model() -> None:
    """Flow that trusts itself sees an empty floor, not a crowd that asks for less than that."""
    never = flow(CrowdMeter(), 0.0, confidence=0.9, seconds=10.0, intensity=0.6)
    assert min(reading.drive for reading in never) > 0.59
    meter = CrowdMeter()
    danced = flow(meter, 1.5, confidence=0.9, seconds=10.0, intensity=0.3)
    left = flow(meter, 0.0, confidence=0.9, since=10.0, seconds=25.0, intensity=0.3)
    assert danced[-1].drive > 0.5
    assert min(reading.drive for reading in left) < 0.2
    assert abs(left[-1].drive - 0.3) < 0.02
