"""The motion eye against drawn crowds whose movement is known, and against light that plays tricks."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from crowdstream.dsp.energy import energy_of
from crowdstream.vision import flow
from crowdstream.vision.drawn import Crowd
from crowdstream.vision.drawn_light import trick_of
from crowdstream.vision.drawn_picture import Painter
from crowdstream.vision.drawn_story import Story
from crowdstream.vision.flow import FLOW_ROWS, MotionEye, MotionReading
from crowdstream.vision.grey import small_grey

Grey = NDArray[np.uint8]
Trick = Callable[[Grey, float], Grey]

ROWS, COLS = 180, 320
DOWN, ACROSS = np.mgrid[:ROWS, :COLS].astype(np.float32)


@functools.cache
def a_dance(
    people: int = 12, energy: float = 0.5, fps: int = 20, size: tuple[int, int] = (640, 360)
) -> list[tuple[float, Grey]]:
    """Two seconds of a drawn crowd: (seconds, grey picture)."""
    width, height = size
    crowd = Crowd(people=people, energy=energy, bpm=120, seed=people, aspect=width / height)
    painter = Painter(width, height, seed=1)
    return [
        (t, small_grey(painter.paint(*crowd.joints(t), t)))
        for t in (1.0 + k / fps for k in range(int(2.2 * fps)))
    ]


def looks(
    pictures: list[tuple[float, Grey]], trick: Trick | None = None, height: float = 0.45
) -> list[MotionReading]:
    """What the eye says about each picture but the first few, with a trick of the light."""
    eye = MotionEye(height)
    readings = [
        eye.look(picture if trick is None else trick(picture, t), t, 0) for t, picture in pictures
    ]
    return readings[4:]


def still(fps: int = 20) -> list[tuple[float, Grey]]:
    """The same crowd, frozen."""
    picture = a_dance()[0][1]
    return [(1.0 + k / fps, picture) for k in range(int(2.2 * fps))]


def speed(readings: list[MotionReading]) -> float:
    return float(np.mean([reading.speed for reading in readings]))


def confidence(readings: list[MotionReading]) -> float:
    return float(np.mean([reading.confidence for reading in readings]))


def lights(readings: list[MotionReading]) -> set[str]:
    return {reading.light for reading in readings}


def as_grey(levels: NDArray[np.floating]) -> Grey:
    grey: Grey = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return grey


def spots(ambient: float, hard: bool) -> Trick:
    """Four spot-lights that wander over the floor."""

    def lit(picture: Grey, t: float) -> Grey:
        light = np.full((ROWS, COLS), ambient, np.float32)
        for k in range(4):
            x = COLS * (0.5 + 0.4 * np.sin(2 * np.pi * (0.35 + 0.12 * k) * t + 2 * k))
            y = ROWS * (0.6 + 0.25 * np.sin(2 * np.pi * (0.7 - 0.1 * k) * t + k))
            distance = np.hypot(ACROSS - x, DOWN - y)
            light += (distance < 27) if hard else np.exp(-((distance / 32) ** 2))
        return as_grey(picture * light)

    return lit


def lasers(picture: Grey, t: float) -> Grey:
    """Eight beams that swing in a dark room."""
    dark = as_grey(picture * 0.1)
    for k in range(8):
        angle = 1.2 * np.sin(2 * t + 0.4 * k)
        end = (int(160 + 225 * np.sin(angle)), int(225 * np.cos(angle)))
        cv2.line(dark, (140 + 5 * k, 0), end, 255, 2, cv2.LINE_AA)
    return dark


def strobe(hz: float) -> Trick:
    """A flash a fifth of the time, next to nothing between."""
    return lambda picture, t: as_grey(picture * (1.6 if (t * hz) % 1 < 0.2 else 0.03))


def noisy(sigma: float, light: float) -> Trick:
    """The noise of a sensor that amplifies too little light; `sigma` of the small picture."""
    rng = np.random.default_rng(5)
    return lambda picture, _t: as_grey(picture * light + rng.normal(0, sigma, picture.shape))


def panned(picture: Grey, t: float) -> Grey:
    return np.roll(picture, int(30 * t), axis=1)


def stepped(picture: Grey, t: float) -> Grey:
    """The camera changes its exposure by half, twice a second."""
    return as_grey(picture * (1.5 if t % 1 > 0.5 else 1.0))


def dimmed(picture: Grey, t: float) -> Grey:
    """Somebody fades the light in, over two seconds."""
    return as_grey(picture * (0.6 + 0.4 * (t - 1.0)))


def test_the_first_look_of_an_epoch_knows_nothing() -> None:
    """Neither at the beginning nor after a jump of the source is there a speed."""
    eye = MotionEye()
    (start, one), *_, (_, other) = a_dance()
    assert eye.look(one, start, 0)[:4] == (0.0, 0.0, 0.0, "steady")
    eye.look(one, start + 0.1, 0)
    assert eye.look(other, start + 0.2, 1)[:4] == (0.0, 0.0, 0.0, "steady")


def test_a_new_size_begins_anew() -> None:
    """Pictures of different shapes are never compared."""
    eye = MotionEye()
    eye.look(np.zeros((180, 320), np.uint8), 0.0, 0)
    assert eye.look(np.zeros((180, 460), np.uint8), 0.1, 0).confidence == 0.0


def test_a_picture_twice_changes_nothing() -> None:
    """The same moment again gives the same answer, not a division by zero."""
    eye = MotionEye()
    pictures = a_dance()[:4]
    for t, picture in pictures:
        last = eye.look(picture, t, 0)
    assert eye.look(pictures[0][1], pictures[-1][0], 0) == last


def test_the_same_pictures_give_the_same_numbers() -> None:
    """Deterministic, to the bit."""
    assert looks(a_dance()) == looks(a_dance())


def test_a_frozen_crowd_is_still_and_trusted() -> None:
    """Nothing moves, in good light."""
    readings = looks(still())
    assert speed(readings) == 0.0
    assert confidence(readings) > 0.9


def test_energy_follows_the_drawn_night() -> None:
    """Rank correlation with the truth over a whole story, strobe and blackout included."""
    crowd = Crowd(people=40, story=Story.demo(60.0), seed=2)
    painter = Painter(320, 180, seed=2)
    eye = MotionEye(0.35)
    true, measured = [], []
    for k in range(600):
        t = k / 10
        picture = small_grey(painter.paint(*crowd.joints(t), t, crowd.light(t)))
        reading = eye.look(picture, t, 0)
        true.append(crowd.truth(t).energy)
        measured.append(energy_of(reading.speed))
    second = np.ones(20) / 20
    found = spearmanr(np.convolve(true, second, "valid"), np.convolve(measured, second, "valid"))
    assert found.statistic >= 0.9


def test_more_dancing_reads_as_more() -> None:
    """Strictly, over the whole range."""
    found = [speed(looks(a_dance(energy=energy))) for energy in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert found == sorted(found)


def test_one_and_forty_who_dance_alike_read_alike() -> None:
    """Body for body: within a factor of 1.6, with the true height of the people."""
    one = speed(looks(a_dance(people=1), height=0.63))
    forty = speed(looks(a_dance(people=40), height=0.29))
    assert one == pytest.approx(0.9, rel=0.6)
    assert 1 / 1.6 < one / forty < 1.6


@pytest.mark.parametrize("fps", [10, 15, 25, 60])
def test_the_frame_rate_does_not_matter(fps: int) -> None:
    """Within a tenth of what 30 pictures a second give."""
    assert speed(looks(a_dance(fps=fps))) == pytest.approx(speed(looks(a_dance(fps=30))), rel=0.1)


@pytest.mark.parametrize("size", [(320, 180), (1280, 720)])
def test_the_size_of_the_picture_does_not_matter(size: tuple[int, int]) -> None:
    """Half and double, within a tenth."""
    assert speed(looks(a_dance(size=size))) == pytest.approx(speed(looks(a_dance())), rel=0.1)


def test_a_tall_picture_reads_like_a_wide_one() -> None:
    """Other people, as large and as wild, who fill a portrait picture: within a quarter."""
    wide, tall = looks(a_dance(people=4)), looks(a_dance(people=4, size=(360, 640)))
    assert speed(tall) == pytest.approx(speed(wide), rel=0.25)


def test_a_picture_is_compared_with_the_one_a_tenth_of_a_second_before() -> None:
    """What is back where it was after 0.1 s has not moved, however often it is looked at."""
    eye = MotionEye()
    speeds = []
    for k in range(60):
        picture = a_dance()[0][1].copy()
        shift = (0, 2, 4, 6, 4, 2)[k % 6]
        picture[60:170, 110:210] = np.roll(picture, shift, axis=0)[60:170, 110:210]
        speeds.append(eye.look(picture, 1.0 + k / 60, 0).speed)
    assert max(speeds[2:5]) > 0.1
    assert max(speeds[6:]) == 0.0


@pytest.mark.parametrize("fps", [10, 30])
def test_what_edges_are_worth_is_learned_often_at_first_and_seldom_later(
    fps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a look takes twice as long: later there is fewer than one of them in twenty, at 30."""
    eye, followed, learned_at = MotionEye(), flow._edges, set[float]()
    now = 0.0

    def counted(fine: Grey) -> Grey:
        learned_at.add(now)
        return followed(fine)

    monkeypatch.setattr(flow, "_edges", counted)
    picture = still()[0][1]
    for k in range(10 * fps):
        now = k / fps
        eye.look(picture, now, 0)
    early = sum(at < 2.0 for at in learned_at)
    late = len(learned_at) - early
    assert early >= 0.3 * 2.0 * fps
    assert 8 <= late < 8 * 30 / 20


def test_one_step_of_exposure_costs_nothing() -> None:
    """The older picture is made as bright as the new one, and the two are compared."""
    eye = MotionEye()
    readings = [
        eye.look(as_grey(picture * (0.6 if t < 2.0 else 1.0)), t, 0)
        for t, picture in a_dance(fps=10)
    ]
    assert [reading.confidence for reading in readings[9:12]] == pytest.approx([1.0] * 3, abs=0.1)
    # It is told of, at once and for a moment.
    assert [reading.light for reading in readings[9:12]].count("changing") >= 2
    assert lights(readings[:9]) == {"steady"}
    assert readings[-1].light == "steady"


@pytest.mark.parametrize("trick", [panned, stepped, dimmed], ids=["panning", "exposure", "dimming"])
def test_camera_and_exposure_are_not_movement(trick: Trick) -> None:
    """A still crowd stays below the anchor of stillness; a dance stays what it was."""
    assert speed(looks(still(), trick)) < 0.06
    dance = looks(a_dance(), trick)
    assert speed(dance) == pytest.approx(speed(looks(a_dance())), rel=0.25)
    assert confidence(dance) > 0.6


@pytest.mark.parametrize(
    "trick",
    [spots(0.15, hard=False), spots(0.15, hard=True), lasers],
    ids=["soft_spots", "hard_spots", "lasers"],
)
def test_moving_lights_are_not_trusted(trick: Trick) -> None:
    """Over a still crowd they may look like movement, but never with confidence."""
    readings = looks(still(), trick)
    assert confidence(readings) < 0.15
    assert "moving" in lights(readings)


@pytest.mark.parametrize("name", ["beams", "spots"])
def test_moving_lights_are_told_and_taken_out(name: str) -> None:
    """Beams that add and spots that multiply: a still crowd stays still, a dance is as it was."""
    trick = trick_of(name)

    def told(frozen: bool, light: bool) -> list[MotionReading]:
        crowd, painter = Crowd(people=12, bpm=120, energy=0.5, seed=4), Painter(640, 360, seed=4)
        eye, readings = MotionEye(), []
        for k in range(80):
            t = k / 20
            joints, ids = crowd.joints(0.0 if frozen else t)
            picture = painter.paint(joints, ids, t)
            grey = small_grey(trick(picture, t) if light else picture)
            readings.append(eye.look(grey, t, 0))
        return readings[44:]

    still_ones, dancers = told(frozen=True, light=True), told(frozen=False, light=True)
    plain = told(frozen=False, light=False)
    assert "moving" in lights(still_ones[:4]) | lights(still_ones[4:])
    assert lights(dancers[10:]) <= {"moving"}
    assert speed(plain) > 0.7
    assert speed(dancers) == pytest.approx(speed(plain), rel=0.2)
    believed = np.mean([one.speed for one in still_ones if one.confidence > 0.1] or [0.0])
    assert believed < 0.15 * speed(plain)


def test_out_of_focus_a_dance_is_no_light() -> None:
    """Bodies are as soft as beams then; they are taken for bodies."""
    blurred = [
        (t, np.asarray(cv2.GaussianBlur(grey, (0, 0), 3), np.uint8)) for t, grey in a_dance()
    ]
    readings = looks(blurred)
    assert lights(readings) == {"steady"}
    assert speed(readings) > 0.5 * speed(looks(a_dance()))


def test_spots_in_a_lit_room_leave_the_dance_readable() -> None:
    """The speed stays within a quarter; the confidence says that lights move."""
    readings = looks(a_dance(), spots(0.8, hard=False))
    assert speed(readings) == pytest.approx(speed(looks(a_dance())), rel=0.25)
    assert 0.1 < confidence(readings) < 0.95


@pytest.mark.parametrize("hz", [4.0, 8.0])
def test_a_strobe_is_neither_a_dance_nor_an_end_of_it(hz: float) -> None:
    """Still people stay still, dancers keep their speed from flash to flash, at half the trust."""
    frozen = looks(still(30), strobe(hz))
    assert "flashing" in lights(frozen)
    assert speed(frozen) < 0.06
    dance = looks(a_dance(fps=30), strobe(hz))
    assert speed(dance[20:]) == pytest.approx(speed(looks(a_dance(fps=30))), rel=0.35)
    assert 0.1 < confidence(dance[20:]) < 0.6


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_noise_in_the_dark_is_nothing(sigma: float) -> None:
    """No speed, no confidence, and it is called dark."""
    readings = looks(still(), noisy(sigma, light=0.02))
    assert speed(readings) == 0.0
    assert confidence(readings) < 0.1
    assert lights(readings) == {"dark"}


def test_noise_on_a_lit_still_crowd_is_nothing() -> None:
    """A cheap sensor in an ordinary room does not make people dance."""
    assert speed(looks(still(), noisy(5.0, light=1.0))) < 0.06


def test_a_blackout_is_dark_not_still() -> None:
    """When the light goes, the confidence goes."""
    eye = MotionEye()
    for t, picture in a_dance():
        before = eye.look(picture, t, 0)
    black = np.zeros_like(picture)
    for k in range(12):
        after = eye.look(black, t + 0.05 + k / 20, 0)
    assert before.confidence > 0.8
    assert after.confidence < 0.1
    assert after.light == "dark"


def test_the_grid_of_flow_points_where_things_move_and_says_how_fast() -> None:
    """A square that moves to the right by half a picture height a second, over a still pattern."""
    room = np.random.default_rng(3).integers(60, 120, (ROWS, COLS), dtype=np.uint8)
    room = np.asarray(cv2.GaussianBlur(room, (0, 0), 2), np.uint8)
    thing = cv2.GaussianBlur(
        np.random.default_rng(4).integers(0, 255, (54, 54), dtype=np.uint8), (0, 0), 2
    )
    eye = MotionEye()
    assert eye.flow_grid().shape == (0, 0, 2)
    for k in range(5):
        picture = room.copy()
        left = 100 + round(0.5 * ROWS * 0.05 * k)
        picture[60:114, left : left + 54] = thing
        eye.look(picture, 1.0 + 0.05 * k, 0)
    grid = eye.flow_grid()
    assert grid.shape == (FLOW_ROWS, 17, 2)
    assert np.isfinite(grid).all()
    middle = grid[4, 6]
    assert middle[0] == pytest.approx(0.5, rel=0.25)
    assert abs(middle[1]) < 0.1
    assert not grid[8:].any() and not grid[:, 12:].any()


def test_the_grid_is_empty_where_nothing_was_compared() -> None:
    eye = MotionEye()
    pictures = a_dance()
    for at, picture in pictures[:3]:
        eye.look(picture, at, 0)
    assert eye.flow_grid().any()
    eye.look(pictures[3][1], pictures[3][0], 1)
    assert eye.flow_grid().shape == (0, 0, 2)
