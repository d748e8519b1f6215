"""The arithmetic of `crowdstream bench vision`: similarity, precision, and what is left out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdstream.errors import CrowdstreamError
from crowdstream.offline import bench_speed, bench_vision
from crowdstream.offline.bench import row
from crowdstream.offline.bench_keypoints import (
    DEVIATIONS,
    Marked,
    Seen,
    average_precision,
    marked_pictures,
    similarity,
)
from crowdstream.offline.bench_speed import Contender, Form


def people_at(*lefts: float, joints_marked: int = 17) -> Marked:
    """People of 100x200 pixels in a row, each with their joints down the middle."""
    joints = np.zeros((len(lefts), 17, 3))
    joints[:, :, 0] = np.array(lefts)[:, None] + 50.0
    joints[:, :, 1] = np.linspace(5.0, 195.0, 17)
    joints[:, :joints_marked, 2] = 2.0
    boxes = np.array([(left, 0.0, 100.0, 200.0) for left in lefts]).reshape(-1, 4)
    return Marked(joints, np.full(len(lefts), 10_000.0), boxes)


def seen_at(*lefts: float, scores: tuple[float, ...] | None = None) -> Seen:
    given = scores or tuple(0.9 for _ in lefts)
    return Seen(people_at(*lefts).joints[:, :, :2].copy(), np.array(given))


NOBODY_SEEN = Seen(np.zeros((0, 17, 2)), np.zeros(0))


def test_the_same_joints_are_wholly_similar_and_far_ones_are_not() -> None:
    shares = similarity(people_at(0.0, 1000.0), seen_at(0.0, 1000.0))
    assert shares == pytest.approx(np.eye(2), abs=1e-9)


def test_one_deviation_of_one_joint_costs_what_cocos_formula_says() -> None:
    marked = people_at(0.0, joints_marked=1)
    seen = seen_at(0.0)
    # Twice the deviation, times the square root of the area, is where exp(-1/2) lies.
    seen.joints[0, 0, 0] += 2.0 * DEVIATIONS[0] * 100.0
    assert similarity(marked, seen)[0, 0] == pytest.approx(np.exp(-0.5))


def test_joints_that_are_not_marked_do_not_count() -> None:
    marked, seen = people_at(0.0, joints_marked=5), seen_at(0.0)
    seen.joints[0, 5:] += 500.0
    assert similarity(marked, seen)[0, 0] == pytest.approx(1.0)


def test_everybody_found_is_one() -> None:
    pictures = [(people_at(0.0, 300.0), seen_at(300.0, 0.0)), (people_at(50.0), seen_at(50.0))]
    assert average_precision(pictures) == pytest.approx(1.0)


def test_nobody_found_is_nought() -> None:
    assert average_precision([(people_at(0.0), NOBODY_SEEN)]) == 0.0


def test_nobody_marked_is_nought_and_no_error() -> None:
    assert average_precision([(people_at(), seen_at(0.0))]) == 0.0
    assert average_precision([]) == 0.0


def test_one_of_two_is_half() -> None:
    # 51 of the 101 recalls are reached.
    assert average_precision([(people_at(0.0, 300.0), seen_at(0.0))]) == pytest.approx(51 / 101)


def test_a_wrong_one_costs_more_the_surer_it_is() -> None:
    marked = people_at(0.0)
    sure = average_precision([(marked, seen_at(0.0, 900.0, scores=(0.5, 0.9)))])
    unsure = average_precision([(marked, seen_at(0.0, 900.0, scores=(0.9, 0.5)))])
    assert sure == pytest.approx(0.5)
    assert unsure == pytest.approx(1.0)


def test_one_person_found_twice_is_right_once() -> None:
    twice = seen_at(0.0, 0.0, scores=(0.9, 0.8))
    once = seen_at(0.0, scores=(0.5,))
    both = average_precision([(people_at(0.0), twice), (people_at(0.0), once)])
    # Right, wrong, right: of the second half of the recalls two thirds are right.
    assert both == pytest.approx(51 / 101 + 50 / 101 * 2 / 3)


def test_a_person_without_marked_joints_is_neither_missed_nor_held_against_who_finds_them() -> None:
    marked = people_at(0.0, 600.0)
    marked.joints[1] = 0.0
    assert average_precision([(marked, seen_at(0.0))]) == pytest.approx(1.0)
    found_too = seen_at(0.0, 600.0, scores=(0.5, 0.9))
    assert average_precision([(marked, found_too)]) == pytest.approx(1.0)


def test_a_middling_pose_is_right_at_the_low_thresholds_alone() -> None:
    seen = seen_at(0.0)
    # So far that each joint's share is exactly 0.72: right at 0.50, 0.55, 0.60, 0.65 and 0.70.
    seen.joints[0, :, 0] += 2.0 * DEVIATIONS * 100.0 * np.sqrt(-2.0 * np.log(0.72))
    assert average_precision([(people_at(0.0), seen)]) == pytest.approx(0.5)


@pytest.mark.assets
def test_the_marked_pictures_of_both_forms_are_read(assets: Path) -> None:
    marked = marked_pictures(assets / "keypoints")
    assert len(marked) == 12
    of_coco = [truth for path, truth in marked if path.parent.name == "coco"]
    assert sum(len(truth.areas) for truth in of_coco) == 14
    assert sum(int(truth.known.any(axis=1).sum()) for truth in of_coco) == 12
    for _, truth in marked:
        places = truth.joints[truth.known]
        assert (places[:, :2] >= 0.0).all()
        assert (places[:, :2] <= 640.0).all()


def test_missing_assets_are_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROWDSTREAM_ASSETS", str(tmp_path))
    after: list[dict[str, Any]] = [row("tracked", "a case", 1.0, "ms")]
    monkeypatch.setattr(bench_vision, "tracking_rows", lambda say: after)
    monkeypatch.setattr(bench_vision, "live_rows", lambda say: [])
    said: list[str] = []
    assert bench_vision.vision(said.append) == after
    assert said == [f"no network in {tmp_path / 'pose'}: no rows of speed, drift and memory"]


FORMS = {threads: Form(Path("model"), "auto") for threads in (1, 2)}


class Stood(Contender):
    """A contender that takes as long as its command says."""

    def __init__(self, command: list[str], environment: Any = None) -> None:
        # Ours names its threads, after the program and the model.
        self.took = {"1": 15.0, "2": 10.0}.get(command[4], 60.0)
        self.facts = {"backend": "none", "precision": "int8", "input": "640x384", "rival": "it"}

    def milliseconds(self, clip: int, pictures: range) -> list[float]:
        assert (clip < 2, pictures) == (True, range(3))
        return [self.took, self.took, 10.0 * self.took]

    def close(self) -> None:
        pass


def test_rows_of_speed_have_the_ratio_and_the_goal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench_speed, "Contender", Stood)
    (tmp_path / "rival.pt").touch()
    paths = (tmp_path / "rival.pt", tmp_path / "p.npy", tmp_path)
    np.save(paths[1], np.zeros((2, 3, 4, 4, 3), np.uint8))
    one, two = bench_speed.speed_rows(FORMS, *paths, "a case", lambda text: None)
    assert set(one) == set(row("", "", 0.0, ""))
    assert (one["value"], one["ratio"], one["goal"], one["met"]) == (66.667, 4.0, 3.4, True)
    assert (two["value"], two["ratio"], two["goal"], two["met"]) == (100.0, 6.0, 5.2, True)


def test_without_a_checkpoint_there_is_no_rival_and_no_goal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench_speed, "Contender", Stood)
    said: list[str] = []
    paths = (tmp_path / "rival.pt", tmp_path / "p.npy", tmp_path)
    np.save(paths[1], np.zeros((2, 3, 4, 4, 3), np.uint8))
    rows = bench_speed.speed_rows(FORMS, *paths, "a case", said.append)
    assert [(each["rival"], each["goal"], each["met"]) for each in rows] == [(None,) * 3] * 2
    assert said[0] == f"no rival: there is no {tmp_path / 'rival.pt'}"


def test_a_contender_that_cannot_run_says_its_last_words() -> None:
    with pytest.raises(CrowdstreamError, match="a contender ended: SystemExit|no ultralytics"):
        Contender([sys.executable, "-c", "raise SystemExit('no ultralytics here')"])


@pytest.mark.assets
@pytest.mark.timeout(60)
def test_rows_name_the_exact_network_by_its_file_and_format(assets: Path, tmp_path: Path) -> None:
    weights = bench_vision.weights_in(assets / "pose")
    assert weights is not None
    dark = np.zeros((1, 72, 128, 3), np.uint8)
    form = Form(weights.chosen, "auto")
    rows = bench_vision._drift_rows(form, weights.exact, dark, "nights", tmp_path)
    cases = [each["case"] for each in rows]
    assert len(cases) == 2
    for case in cases:
        assert case.startswith(
            "int8 of yolov8n-pose_int8_openvino_model/yolov8n-pose.xml (OpenVINO)"
        )
        assert " beside f32 of yolov8n-pose-rebuilt.onnx (ONNX) by openvino " in case
        assert case.endswith(", 0 people of nights")
