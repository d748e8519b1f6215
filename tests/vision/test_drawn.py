"""A drawn crowd: what it promises about its movement, its pictures and its story."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.energy import (
    TIME_BASE_SECONDS,
    TORSO_TO_BODY,
    body_speeds,
    crowd_speed,
    energy_of,
    torso_lengths,
)
from crowdstream.errors import UsageError
from crowdstream.vision.drawn import Crowd, parse_crowd, speed_of
from crowdstream.vision.drawn_motion import (
    FOREARM,
    MOST_VIGOUR,
    SHIN,
    STYLES,
    THIGH,
    TORSO,
    UPPER_ARM,
    Manners,
    dance,
    joints_of,
)
from crowdstream.vision.drawn_picture import Painter
from crowdstream.vision.drawn_story import Curve, Story, strobe

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
compiled = pytest.mark.skipif(
    INTERPRETED, reason="crowds and large pictures take minutes without numba"
)

CHAPTERS = [
    "empty room", "first dancers", "the floor fills", "a lull", "the drop",
    "strobe and blackout", "people leave",
]  # fmt: skip


def mean_energy(crowd: Crowd, bpm: float) -> float:
    """Of the truth, over eight beats."""
    moments = 2.0 + np.arange(37) * (8.0 * 60.0 / bpm / 37.0)
    return float(np.mean([crowd.truth(float(t)).energy for t in moments]))


# ------------------------------------------------------------------------------- movement


@pytest.mark.parametrize(
    ("people", "bpm"),
    [
        (1, 60.0),
        (1, 128.0),
        (5, 79.0),
        (5, 148.0),
        pytest.param(12, 176.0, marks=compiled),
        pytest.param(40, 124.0, marks=compiled),
    ],
)
def test_the_energy_that_was_asked_for_comes_out(people: int, bpm: float) -> None:
    """At any tempo and number of people the truth's mean is what was asked."""
    asked = [0.05, 0.2, 0.5, 0.8, 0.95]
    got = [
        mean_energy(Crowd(people=people, bpm=bpm, energy=energy, seed=3), bpm) for energy in asked
    ]
    assert got == pytest.approx(asked, abs=0.03)


def test_energy_zero_stands_and_breathes() -> None:
    """Nobody is a statue, and breathing is no energy."""
    crowd = Crowd(people=6, energy=0.0, seed=1)
    assert crowd.truth(3.0).energy == 0.0
    assert 0.0 < crowd.truth(3.0).speed < 0.03


def test_truth_is_the_published_formula_on_the_joints() -> None:
    """Whoever has the joints of two moments a time base apart finds the same speed."""
    crowd = Crowd(people=1, bpm=120, energy=0.6, seed=2)
    now, then = (np.ascontiguousarray(crowd.joints(t)[0]) for t in (5.0, 5.0 - TIME_BASE_SECONDS))
    speed = crowd_speed(
        body_speeds(now, then, torso_lengths(now) * TORSO_TO_BODY, TIME_BASE_SECONDS, 0.0)
    )
    truth = crowd.truth(5.0)
    assert truth.speed == pytest.approx(speed, rel=1e-4)
    assert truth.energy == pytest.approx(energy_of(speed), rel=1e-4)


@given(st.floats(0.0, 1.0))
def test_speed_of_is_the_way_back_of_energy_of(energy: float) -> None:
    """From energy to speed and back; the smallest energies begin from standing."""
    back = energy_of(float(speed_of(np.array(energy))))
    assert back == pytest.approx(energy, abs=0.02 if energy < 0.02 else 1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31 - 1), st.floats(0.0, MOST_VIGOUR), st.floats(0.0, 1e4), st.floats(0.0, 1e5)
)
def test_limbs_never_stretch(seed: int, vigour: float, seconds: float, beats: float) -> None:
    """Bones keep their length; legs are foreshortened where a knee comes forward."""
    people = len(STYLES)
    manners = Manners.of(people, np.random.default_rng(seed))
    posture = dance(manners, np.array([seconds]), np.full(people, beats), np.full(people, vigour))
    joints = joints_of(posture)
    assert np.isfinite(joints).all()

    def lengths(a: int, b: int) -> NDArray[np.float64]:
        return np.asarray(np.hypot(*(joints[:, a] - joints[:, b]).T))

    for upper, lower in (((5, 7), (7, 9)), ((6, 8), (8, 10))):
        assert lengths(*upper) == pytest.approx(UPPER_ARM, abs=1e-9)
        assert lengths(*lower) == pytest.approx(FOREARM, abs=1e-9)
    for thigh, shin in (((11, 13), (13, 15)), ((12, 14), (14, 16))):
        assert (lengths(*thigh) <= THIGH + 1e-6).all()
        assert (lengths(*shin) <= SHIN + 1e-6).all()
    torso = np.hypot(*(joints[:, 5:7].mean(axis=1) - joints[:, 11:13].mean(axis=1)).T)
    assert torso == pytest.approx(TORSO, abs=1e-9)


def test_bones_are_kept_in_legs_where_no_knee_comes_forward() -> None:
    """The law above would hold for legs of no length: standing, they are long."""
    joints = Crowd(people=1, energy=0.0).joints(0.0)[0][0]
    height = float(torso_lengths(joints[None])[0]) / TORSO
    thigh = np.hypot(*(joints[11, :2] - joints[13, :2])) / height
    shin = np.hypot(*(joints[13, :2] - joints[15, :2])) / height
    assert (thigh, shin) == pytest.approx((THIGH, SHIN), rel=0.06)


def test_any_moment_can_be_asked_for_in_any_order() -> None:
    """The crowd is a function of time and seed, to the bit, and has no memory."""
    first, second = (Crowd(people=9, energy=0.7, seed=5) for _ in range(2))
    forwards = [first.joints(t)[0] for t in (0.0, 1.0, 7.3)]
    backwards = [second.joints(t)[0] for t in (7.3, 1.0, 0.0)][::-1]
    assert [a.tobytes() for a in forwards] == [b.tobytes() for b in backwards]
    assert Crowd(people=9, energy=0.7, seed=6).joints(1.0)[0].tobytes() != forwards[1].tobytes()


@compiled
def test_joints_move_smoothly() -> None:
    """No joint jumps between moments: even hands thrown about pass through every place between."""
    crowd = Crowd(people=20, bpm=128, energy=0.95, seed=1)
    path = np.stack([crowd.joints(2.0 + k / 240.0)[0] for k in range(240)])
    body = torso_lengths(np.ascontiguousarray(path[0])) * TORSO_TO_BODY
    steps = np.linalg.norm(np.diff(path[..., :2], axis=0), axis=-1) / body[:, None]
    assert steps.max() < 0.08


@compiled
def test_synchrony_is_what_was_asked() -> None:
    """The truth says how much people really move in phase."""
    found = [
        Crowd(people=40, synchrony=asked, seed=2).truth(1.0).synchrony
        for asked in (0.0, 0.3, 0.7, 1.0)
    ]
    assert found == pytest.approx([0.0, 0.3, 0.7, 1.0], abs=0.12)


def test_the_beat_goes_on_at_its_tempo() -> None:
    """beat_phase comes round once a beat, for ever."""
    crowd = Crowd(people=1, bpm=120)
    assert [crowd.truth(t).beat_phase for t in (0.0, 0.125, 0.25, 3600.125)] == pytest.approx(
        [0.0, 0.25, 0.5, 0.25]
    )


def test_the_nearer_hide_the_farther() -> None:
    """Hidden joints have confidence 0.3, seen ones 1; nobody hides the nearest person."""
    joints, _ = Crowd(people=40, energy=0.4, seed=1).joints(1.0)
    assert set(np.unique(joints[..., 2])) == {np.float32(0.3), np.float32(1.0)}
    hidden = (joints[..., 2] < 1.0).mean(axis=1)
    assert hidden[-1] == 0.0
    assert 0.2 < hidden.mean() < 0.7
    assert (Crowd(people=1).joints(1.0)[0][..., 2] == 1.0).all()


def test_nobody_is_a_crowd_without_energy() -> None:
    """An empty room has shapes that fit and a speed of 0."""
    truth = Crowd(people=0, energy=0.9).truth(4.0)
    assert truth.joints.shape == (0, 17, 3)
    assert (truth.ids.shape, truth.speed, truth.energy, truth.synchrony) == ((0,), 0.0, 0.0, 0.0)


@pytest.mark.parametrize("aspect", [9 / 16, 1.0, 4 / 3, 16 / 9, 21 / 9])
def test_everyone_fits_into_any_picture(aspect: float) -> None:
    """Heads and feet of a steady crowd are inside, at every aspect."""
    for people in (1, 7, 30):
        joints, ids = Crowd(people=people, aspect=aspect, energy=0.9, seed=4).joints(3.0)
        assert len(ids) == people
        body = joints[:, [0, 5, 6, 11, 12, 15, 16], :2]
        assert (body >= 0.0).all()
        assert (body[..., 0] <= aspect).all()
        assert (body[..., 1] <= 1.0).all()


# ---------------------------------------------------------------------------------- story


@pytest.fixture(scope="module")
def night() -> list[tuple[float, Crowd]]:
    """Nights of two lengths."""
    if INTERPRETED:
        pytest.skip("a night takes minutes without numba")
    return [
        (seconds, Crowd(people=36, seed=1, story=Story.demo(seconds))) for seconds in (180.0, 45.0)
    ]


@compiled
def test_the_chapters_come_in_order(night: list[tuple[float, Crowd]]) -> None:
    """Seven, with these names, whatever the length."""
    for seconds, crowd in night:
        scenes = [crowd.truth(t).scene for t in np.linspace(0.0, seconds - 0.01, 90)]
        assert list(dict.fromkeys(scenes)) == CHAPTERS


@compiled
def test_the_night_goes_from_empty_to_full_to_empty(night: list[tuple[float, Crowd]]) -> None:
    """Energies from a whisper to the drop, and nobody in the room at both ends."""
    for seconds, crowd in night:
        truths = [crowd.truth(t) for t in np.linspace(0.0, seconds - 0.05, 121)]
        counts = [len(truth.ids) for truth in truths]
        assert counts[0] == counts[-1] == 0
        assert max(counts) >= 34
        assert truths[0].energy == truths[-1].energy == 0.0
    smoothed = np.convolve([truth.energy for truth in [night[0][1].truth(t) for t in
                           np.arange(10.0, 150.0, 0.5)]], np.ones(4) / 4, "valid")  # fmt: skip
    assert smoothed.min() < 0.12
    assert smoothed.max() > 0.9


@compiled
def test_no_number_is_used_twice(night: list[tuple[float, Crowd]]) -> None:
    """Whoever has left does not come back, not even on the next night."""
    seconds, crowd = night[0]
    seen: dict[int, float] = {}
    for t in np.arange(0.0, 1.2 * seconds, 0.5):
        for number in crowd.joints(float(t))[1].tolist():
            assert t - seen.get(number, t) <= 0.5, f"{number} came back at {t}"
            seen[number] = float(t)
    assert len(seen) > 40


@compiled
def test_people_walk_in_from_the_sides(night: list[tuple[float, Crowd]]) -> None:
    """Nobody appears or vanishes in the middle of the floor."""
    seconds, crowd = night[1]
    before: dict[int, float] = {}
    for t in np.arange(0.0, seconds, 0.1):
        joints, ids = crowd.joints(float(t))
        now = dict(zip(ids.tolist(), joints[:, :, 0].mean(axis=1).tolist(), strict=True))
        for number in now.keys() ^ before.keys():
            x = now.get(number, before.get(number, 0.0))
            assert x < 0.12 or x > 16 / 9 - 0.12
        before = now


def test_the_light_flashes_and_goes_out() -> None:
    """About eight flashes a second for some seconds, then a blackout."""
    crowd = Crowd(people=2, story=Story.demo())
    light = np.array([crowd.light(t) for t in np.arange(0.0, 180.0, 0.01)])
    flashes = int(((light[1:] == 1.0) & (light[:-1] < 1.0) & (light[:-1] > 0.0)).sum())
    assert 60 <= flashes <= 80
    assert 2.0 <= (light == 0.0).sum() * 0.01 <= 3.0


@given(st.lists(st.floats(0.1, 50.0), min_size=1, max_size=6), st.floats(-10.0, 300.0))
def test_a_curves_integral_is_its_area(gaps: list[float], t: float) -> None:
    """The closed form equals the sum of thin slices."""
    points = [(sum(gaps[:k]), 80.0 + 7.0 * k * (-1) ** k) for k in range(len(gaps))]
    curve = Curve(points)
    slices = np.linspace(0.0, t, 4001)
    value = curve(slices)
    thin = float(((value[1:] + value[:-1]) * 0.5 * np.diff(slices)).sum())
    assert float(curve.integral(np.array(t))) == pytest.approx(thin, rel=1e-3, abs=0.5)


def test_a_strobe_begins_with_a_flash() -> None:
    """Half of each turn bright, half nearly dark."""
    assert [strobe(k / 32.0, 8.0) == 1.0 for k in range(8)] == [True, True, False, False] * 2


# ------------------------------------------------------------------------------- pictures


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two painters, one picture; noise moves with time, and another seed is another room."""
    joints, ids = Crowd(people=5, seed=1).joints(1.0)
    one, two, other = (
        Painter(320, 180, seed=7),
        Painter(320, 180, seed=7),
        Painter(320, 180, seed=8),
    )
    picture = one.paint(joints, ids, 1.0)
    one.paint(joints, ids, 2.0)
    assert picture.shape == (180, 320, 3)
    assert picture.dtype == np.uint8
    assert picture.tobytes() == two.paint(joints, ids, 1.0).tobytes()
    assert picture.tobytes() == one.paint(joints, ids, 1.0).tobytes()
    assert picture.tobytes() != one.paint(joints, ids, 1.04).tobytes()
    assert picture.tobytes() != other.paint(joints, ids, 1.0).tobytes()


def test_people_keep_their_looks_when_others_come() -> None:
    """What somebody wears hangs on their number, not on their place in the list."""
    joints, ids = Crowd(people=3, seed=1, energy=0.0).joints(1.0)
    together = Painter(640, 360, seed=1, noise=0.0).paint(joints, ids, 1.0)
    alone = Painter(640, 360, seed=1, noise=0.0).paint(joints[1:2], ids[1:2], 1.0)
    x, y = (joints[1, [5, 6, 11, 12], :2].mean(axis=0) * 360).astype(int)
    assert (together[y, x] == alone[y, x]).all()


def test_nothing_is_painted_where_nobody_is() -> None:
    """Outside the reach of the figures the room stays as it is, and inside it does not."""
    crowd = Crowd(people=1, seed=1, energy=0.0)
    joints, ids = crowd.joints(0.0)
    painter = Painter(640, 360, seed=1, noise=0.0)
    changed = (painter.paint(joints, ids, 0.0) != painter.paint(joints[:0], ids[:0], 0.0)).any(
        axis=2
    )
    low, high = joints[0, :, :2].min(axis=0) * 360, joints[0, :, :2].max(axis=0) * 360
    inside = np.zeros_like(changed)
    inside[int(low[1] - 45) : int(high[1] + 30), int(low[0] - 40) : int(high[0] + 40)] = True
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.2


def test_figures_may_leave_the_picture() -> None:
    """Half a person at each edge, or none at all, breaks nothing."""
    joints, ids = Crowd(people=1, energy=0.5).joints(0.0)
    painter = Painter(160, 90, noise=0.0)
    room = painter.paint(joints[:0], ids[:0], 0.0)
    for dx, dy in ((-0.9, 0.0), (0.9, 0.0), (0.0, -0.8), (0.0, 0.5), (30.0, 0.0), (-30.0, 9.0)):
        moved = joints.copy()
        moved[..., 0] += dx
        moved[..., 1] += dy
        same = painter.paint(moved, ids, 0.0).tobytes() == room.tobytes()
        assert same == (abs(dx) > 2.0)


def test_light_is_a_factor() -> None:
    """Half the light is half as bright; no light leaves only the sensor's noise."""
    joints, ids = Crowd(people=4).joints(0.0)
    painter = Painter(320, 180, noise=0.0)
    bright, half, none = (painter.paint(joints, ids, 0.0, light) for light in (1.0, 0.5, 0.0))
    assert half.mean() == pytest.approx(0.5 * bright.mean(), abs=0.5)
    assert not none.any()
    noisy = Painter(320, 180, noise=5.0).paint(joints, ids, 0.0, 0.0)
    assert 0.5 < noisy.mean() < 4.0


def test_noise_has_the_deviation_that_was_asked() -> None:
    """And does not brighten the picture."""
    joints, ids = Crowd(people=0).joints(0.0)
    clean = Painter(320, 180, noise=0.0).paint(joints, ids, 0.0).astype(float)
    noisy = Painter(320, 180, noise=8.0).paint(joints, ids, 0.0).astype(float)
    assert (noisy - clean).std() == pytest.approx(8.0, rel=0.15)
    assert (noisy - clean).mean() == pytest.approx(0.0, abs=0.3)


@compiled
@pytest.mark.assets
@pytest.mark.timeout(60)
def test_a_pose_network_takes_them_for_people(assets: Path) -> None:
    """At least 95 % of those whom nobody hides are found, with 15 key points or more."""
    pytest.importorskip("onnxruntime")
    from crowdstream.models import LoadedModel
    from crowdstream.vision.onnx import OnnxPose

    weights = assets / "pose" / "yolov8n-pose-rebuilt.onnx"
    if not weights.is_file():
        pytest.skip(f"no weights at {weights}")
    model = OnnxPose(
        LoadedModel(
            name="yolov8n-pose", form="onnx", model=weights.read_bytes(), weights=b"",
            sha256=("",), trust="new",
        ),
        threads=2, min_score=0.3,
    )  # fmt: skip
    found, heights = [], []
    for people, scale in ((1, 1.08), (5, 1.0), (5, 0.55), (7, 0.65), (12, 1.0)):
        for energy in (0.2, 0.8):
            crowd = Crowd(people=people, energy=energy, bpm=124, seed=people)
            joints, ids = crowd.joints(1.3)
            # The same crowd farther from the camera, or nearer to it.
            joints[..., :2] = (joints[..., :2] - (8 / 9, 0.95)) * scale + (8 / 9, 0.95)
            seen = model.infer(Painter(1280, 720, seed=people).paint(joints, ids, 1.3))
            for person in joints:
                if (person[:, 2] < 1.0).any():
                    continue
                torso = float(torso_lengths(person[None])[0])
                apart = np.linalg.norm(seen.keypoints[..., :2] - person[:, :2], axis=-1).mean(
                    axis=1
                )
                sure = (seen.keypoints[..., 2] > 0.5).sum(axis=1)
                found.append(bool(((apart < 0.35 * torso) & (sure >= 15)).any()))
                heights.append(torso / TORSO * 720.0)
    assert len(found) > 30
    assert min(heights) < 185.0
    assert max(heights) > 480.0
    assert np.mean(found) >= 0.95, found


# --------------------------------------------------------------------------------- the uri


def test_words_become_settings() -> None:
    """Only what is named is set; everything has its own word."""
    assert parse_crowd("crowd") == parse_crowd("crowd:") == {}
    assert parse_crowd("crowd:n=40,bpm=124,energy=0.6,seed=1") == {
        "people": 40, "bpm": 124.0, "energy": 0.6, "seed": 1,
    }  # fmt: skip
    assert parse_crowd("crowd: size=1280x720, fps=25 ,strobe=8,dark=0.5,noise=12,seconds=9") == {
        "size": (1280, 720), "fps": 25.0, "strobe_hz": 8.0, "darkness": 0.5, "noise": 12.0,
        "seconds": 9.0,
    }  # fmt: skip
    assert parse_crowd("crowd:story=demo,n=30") == {"story": "demo", "people": 30}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crowd:people=4", "there is no 'people'"), ("crowd:enery=1", "did you mean energy?"),
        ("crowd:n=", "n has no value"), ("crowd:n", "n has no value"),
        ("crowd:n=4.5", "a whole number from 0 to"), ("crowd:n=-1", "from 0 to"),
        ("crowd:bpm=nan", "a number from 60 to 180"), ("crowd:bpm=1e9", "from 60 to 180"),
        ("crowd:energy=inf", "from 0 to 1"), ("crowd:size=big", "write it like 1280x720"),
        ("crowd:size=²x2", "write it like 1280x720"), ("crowd:size=10x10", "between 64x64 and"),
        ("crowd:story=dmo", "did you mean demo?"), ("crowd:n=1,n=2", "given twice"),
        ("crowd:story=demo,bpm=120", "a story has its own bpm"), ("crowd:,", "there is no ''"),
        ("crowd:story=demo,seconds=3", "at least 20 seconds"), ("croud:n=1", "is no drawn crowd"),
        (f"crowd:n={'9' * 6000}", "from 0 to"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(text: str, says: str) -> None:
    """What is wrong, and what would be right."""
    with pytest.raises(UsageError) as caught:
        parse_crowd(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_is_a_crash(words: str) -> None:
    """Settings or a UsageError, whatever is typed."""
    with contextlib.suppress(UsageError):
        parse_crowd("crowd:" + words)
