"""Pose models: the arithmetic around the network, what is refused, and real people found."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.errors import MediaError
from crowdstream.models import LoadedModel, find_model, load_model
from crowdstream.vision.decode import (
    MAX_PEOPLE,
    Detections,
    anchors,
    decode_heads,
    detections_of,
    keep_best,
    logit,
    refuse_nonsense,
    surest,
)
from crowdstream.vision.graph import sparse_heads
from crowdstream.vision.letterbox import STRIDES, Letterbox
from crowdstream.vision.model import PoseModel, open_model
from crowdstream.vision.onnx import OnnxPose
from crowdstream.vision.openvino import OpenVinoPose

V8 = "yolov8n-pose-rebuilt.onnx"
V11 = "yolo11n-pose-rebuilt.onnx"
INT8 = "yolov8n-pose_int8_openvino_model"

# --- letterbox -----------------------------------------------------------------------------------

sizes = st.tuples(st.integers(16, 4000), st.integers(16, 4000))


@given(size=sizes)
def test_rectangle_holds_the_picture_and_fits_the_grids(size: tuple[int, int]) -> None:
    """Any picture: inside its input, centred, in a size that every grid divides."""
    box = Letterbox.rectangle(*size)
    width, height = box.scaled
    left, top = box.corner
    assert box.input_width % STRIDES[-1] == 0 == box.input_height % STRIDES[-1]
    assert max(box.input_width, box.input_height) == 640
    assert 0 <= left and left + width <= box.input_width
    assert 0 <= top and top + height <= box.input_height
    assert abs(box.input_width - width - 2 * left) <= 1
    assert abs(box.input_height - height - 2 * top) <= 1


def test_wide_picture_takes_a_wide_rectangle() -> None:
    """1280x720 is computed on 640x384: three fifths of the square."""
    box = Letterbox.rectangle(1280, 720)
    assert (box.input_width, box.input_height) == (640, 384)


@given(size=sizes, x=st.floats(0.0, 1.0), y=st.floats(0.0, 1.0))
def test_places_come_back_in_picture_heights(size: tuple[int, int], x: float, y: float) -> None:
    """A place in the input is the same place in the picture, one unit for both axes."""
    width, height = size
    box = Letterbox.rectangle(width, height)
    scaled_width, scaled_height = box.scaled
    left, top = box.corner
    place_x = np.array([left + x * scaled_width], np.float32)
    place_y = np.array([top + y * scaled_height], np.float32)
    box.to_heights(place_x, place_y)
    assert place_x[0] == pytest.approx(x * width / height, rel=1e-3, abs=1e-3 * width / height)
    assert place_y[0] == pytest.approx(y, abs=1e-3 * max(1.0, 640 / scaled_height / 16))


# --- decoding ------------------------------------------------------------------------------------


def test_one_hot_heads_decode_to_the_place_they_name() -> None:
    """One anchor says: 3, 4, 5, 6 cells to the sides, and a joint one cell to the right."""
    cells = anchors(640, 384)
    at = 80 * 10 + 20  # row 10, cell 20 of the finest grid
    boxes = np.full((4, 16, cells.shape[1]), -50.0, np.float32)
    for side, distance in enumerate((3, 4, 5, 6)):
        boxes[side, distance] = 50.0
    keypoints = np.zeros((17, 3, cells.shape[1]), np.float32)
    keypoints[:, 0] = 0.5
    scores = np.full(cells.shape[1], -20.0, np.float32)
    scores[at] = logit(0.75)
    found = surest(scores, logit(0.3))
    columns = decode_heads(
        boxes.reshape(64, -1)[:, found], scores[found], keypoints.reshape(51, -1)[:, found],
        cells[:, found],
    )  # fmt: skip
    assert found.tolist() == [at]
    left, right = (20.5 - 3) * 8, (20.5 + 5) * 8
    top, bottom = (10.5 - 4) * 8, (10.5 + 6) * 8
    expected = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top, 0.75]
    assert columns[:5, 0] == pytest.approx(expected, rel=1e-5)
    assert columns[5:8, 0] == pytest.approx([21 * 8, 10 * 8, 0.5])


def test_extreme_heads_stay_finite() -> None:
    """A network gone wild never makes a number that is none."""
    cells = anchors(320, 320)
    count = cells.shape[1]
    wild = np.full((64, count), 3e38, np.float32)
    columns = decode_heads(
        wild, np.full(count, 1e4, np.float32), np.full((51, count), -1e30, np.float32), cells
    )  # fmt: skip
    assert np.isfinite(columns).all()


def test_nan_is_nobody() -> None:
    """A column that is not a number is left out."""
    columns = np.full((56, 2), 100.0, np.float32)
    columns[4] = 0.9
    columns[30, 0] = np.nan
    assert len(detections_of(columns, Letterbox.rectangle(640, 640)).scores) == 1


def plain_nms(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> list[int]:
    """The definition, box by box."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda each: (-float(scores[each]), each)):
        for j in kept:
            a, b = boxes[i].astype(float), boxes[j].astype(float)
            wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
            high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            shared = wide * high
            both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            # In whole numbers: 63 of 90 is not more than seven tenths, whatever 0.7 is in binary.
            if 10.0 * shared > 7.0 * both:
                break
        else:
            kept.append(i)
    return kept


@settings(max_examples=100)
@example([(0, 0, 9, 7, 1), (0, 0, 9, 10, 2)])
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 12), st.integers(1, 12),
                  st.integers(1, 5)),
        max_size=30,
    )
)  # fmt: skip
def test_keep_best_is_the_definition(found: list[tuple[int, int, int, int, int]]) -> None:
    """Fast and plain agree, ties included."""
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score / 5.0 for *_, score in found], np.float32)
    assert keep_best(boxes, scores).tolist() == plain_nms(boxes, scores)


def test_a_pose_found_twice_is_one_person() -> None:
    """Once with and once without what hides the legs: the surer stays."""
    rng = np.random.default_rng(0)
    columns = np.zeros((56, 3), np.float32)
    columns[:4, 0] = [300, 200, 80, 200]
    columns[:4, 1] = [300, 150, 80, 100]
    columns[:4, 2] = [420, 200, 80, 200]
    columns[4] = [0.9, 0.6, 0.5]
    joints = rng.uniform(-40, 40, (17, 2)).astype(np.float32)
    for person, x in enumerate((300, 303, 420)):
        columns[5:, person].reshape(17, 3)[:] = np.column_stack(
            [joints[:, 0] + x, joints[:, 1] + 200, np.full(17, 0.8)]
        )
    people = detections_of(columns, Letterbox.rectangle(640, 640))
    assert people.scores == pytest.approx([0.9, 0.5])


def test_a_picture_that_fools_the_network_costs_a_bounded_time() -> None:
    """Everywhere somebody: the surest few hundred are reported."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1.0, 8400).astype(np.float32)
    found = surest(scores, 0.3)
    columns = np.zeros((56, found.size), np.float32)
    columns[:2] = rng.uniform(0, 640, (2, found.size))
    columns[2:4] = 2.0
    columns[4] = scores[found]
    people = detections_of(columns, Letterbox.rectangle(640, 640))
    assert len(people.scores) <= MAX_PEOPLE
    assert people.scores[0] == pytest.approx(scores.max())


# --- what is refused -----------------------------------------------------------------------------


def an_onnx(tmp_path: Path, inputs: tuple[Any, ...], outputs: tuple[int, ...]) -> LoadedModel:
    """A tiny network with this outside."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, inputs)
    people = helper.make_tensor_value_info("output0", TensorProto.FLOAT, outputs)
    weight = numpy_helper.from_array(np.zeros(outputs, np.float32), "weight")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Add", ["weight", "mean"], ["output0"]),
    ]
    graph = helper.make_graph(nodes, "pose", [picture], [people], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "tiny.onnx"
    onnx.save_model(model, str(path))
    return loaded(path, tmp_path)


def loaded(path: Path, tmp_path: Path) -> LoadedModel:
    """A model file, read and noted in a folder of the test."""
    return load_model(find_model(str(path), tmp_path), tmp_path, tmp_path / "state")


def with_onnxruntime(model: LoadedModel) -> PoseModel:
    """The second engine."""
    return OnnxPose(model, threads=1, min_score=0.3)


def with_openvino(model: LoadedModel) -> PoseModel:
    """The first engine."""
    return OpenVinoPose(model, threads=1, precision="f32", min_score=0.3)


engines = pytest.mark.parametrize("engine", [with_openvino, with_onnxruntime])


@engines
@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ((1, 3, 640, 640), (1, 84, 8400), "gives 1x84x8400"),
        ((1, 3, 640, 640), (1, 300, 57), "gives 1x300x57"),
        ((1, 1, 640, 640), (1, 56, 8400), "takes 1x1x640x640"),
        ((4, 3, 640, 640), (1, 56, 8400), "takes 4x3x640x640"),
    ],
)
def test_other_shapes_are_refused(
    engine: Any, inputs: tuple[int, ...], outputs: tuple[int, ...], sentence: str, tmp_path: Path
) -> None:
    """A detector, another head, a grey picture, a batch: one sentence with what it is."""
    with pytest.raises(MediaError, match=sentence) as caught:
        engine(an_onnx(tmp_path, inputs, outputs))
    assert "\n" not in str(caught.value)


@engines
def test_unknown_graph_of_the_right_shape_runs_whole(engine: Any, tmp_path: Path) -> None:
    """What is not recognised is not cut."""
    model = engine(an_onnx(tmp_path, (1, 3, 320, 320), (1, 56, 2100)))
    people = model.infer(np.zeros((90, 160, 3), np.uint8))
    assert people.keypoints.shape[1:] == (17, 3)
    assert str(model.facts["path"]).startswith("whole")
    assert model.facts["input"] == "320x320"


@engines
@pytest.mark.parametrize("content", [b"not a model at all", b"", b"\x08\x08" * 50])
def test_corrupt_onnx_is_refused(engine: Any, content: bytes) -> None:
    """Bytes of no model."""
    model = LoadedModel(
        name="m.onnx", form="onnx", model=content, weights=b"", sha256=("",), trust="new"
    )
    with pytest.raises(MediaError) as caught:
        engine(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"<net", b"<?xml version='1.0'?><net></net>", b"\0" * 64])
def test_corrupt_openvino_is_refused(content: bytes) -> None:
    """Bytes of no network."""
    model = LoadedModel(
        name="m.xml", form="openvino", model=content, weights=b"xx", sha256=("",), trust="new"
    )
    with pytest.raises(MediaError) as caught:
        with_openvino(model)
    assert "\n" not in str(caught.value)


# --- real weights and real people ----------------------------------------------------------------


@pytest.fixture(scope="session")
def opened(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PoseModel]:
    """Real weights in OpenVINO, opened once for all tests."""
    folder = tmp_path_factory.mktemp("noted")
    return functools.cache(lambda name: with_openvino(loaded(assets / "pose" / name, folder)))


def coco8(assets: Path) -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Pictures of coco8-pose on squares of 640, with the joints of who is annotated, in pixels."""
    pairs = []
    for path in sorted((assets / "keypoints/coco8-pose/images").rglob("*.jpg")):
        picture = cv2.imread(str(path))
        assert picture is not None
        label = path.parents[2] / "labels" / path.parent.name / f"{path.stem}.txt"
        rows = np.loadtxt(label, ndmin=2)
        joints = rows[:, 5:].reshape(-1, 17, 3)
        scale = 640 / max(picture.shape[:2])
        picture = cv2.resize(picture, None, fx=scale, fy=scale)
        joints[:, :, 0] *= picture.shape[1]
        joints[:, :, 1] *= picture.shape[0]
        square = np.full((640, 640, 3), 114, np.uint8)  # one size: one compilation
        top, left = (640 - picture.shape[0]) // 2, (640 - picture.shape[1]) // 2
        square[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        joints[:, :, :2] += (left, top)
        pairs.append((square, joints))
    assert len(pairs) == 8
    return pairs


def matched(people: Detections, joints: NDArray[np.float64], height: int) -> list[float]:
    """For each annotated person with 8 joints who is found: mean error as a share of their size."""
    errors = []
    for person in joints:
        visible = person[:, 2] > 0
        if visible.sum() < 8 or not len(people.scores):
            continue
        size = np.ptp(person[visible, :2], axis=0).max()
        found = people.keypoints[:, visible, :2] * height
        distances = np.hypot(*np.moveaxis(found - person[visible, :2], -1, 0)).mean(axis=1) / size
        if distances.min() < 0.25:
            errors.append(float(distances.min()))
    return errors


@pytest.mark.assets
@pytest.mark.parametrize(("name", "wanted"), [(V8, 12), (V11, 10), (INT8, 12)])
@pytest.mark.timeout(60)
def test_annotated_people_are_found(
    name: str, wanted: int, assets: Path, opened: Callable[[str], PoseModel]
) -> None:
    """Of 13 who are annotated with 8 joints or more, as many as these weights can find."""
    model = opened(name)
    errors = []
    for picture, joints in coco8(assets):
        errors += matched(model.infer(picture), joints, picture.shape[0])
    assert len(errors) >= wanted
    assert float(np.mean(errors)) < 0.06
    assert model.facts["path"] == "cut"
    assert model.facts["heads"] == "sparse"


def pixels_apart(one: Detections, other: Detections, height: int) -> NDArray[np.float64]:
    """Distances of the clearly seen joints of people who are found by both."""
    distances = []
    for keypoints, box, score in zip(one.keypoints, one.boxes, one.scores, strict=True):
        if not len(other.scores) or score < 0.5:
            continue
        nearest = np.abs(other.boxes - box).sum(axis=1).argmin()
        twin = other.keypoints[nearest]
        if np.abs(other.boxes[nearest] - box).max() > 0.1:
            continue
        seen = (keypoints[:, 2] > 0.5) & (twin[:, 2] > 0.5)
        distances.append(np.hypot(*(keypoints - twin)[seen, :2].T) * height)
    return np.concatenate(distances)


@pytest.fixture(scope="session")
def jumping(assets: Path) -> NDArray[np.uint8]:
    """Seven people, 1280x720."""
    capture = cv2.VideoCapture(str(assets / "video/seven_people_jumping.mp4"))
    good, picture = capture.read()
    capture.release()
    assert good
    return np.ascontiguousarray(cv2.resize(picture, (1280, 720)), np.uint8)


def square_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture in the middle of a grey square, so that both paths see the same input."""
    height, width = picture.shape[:2]
    square = np.full((width, width, 3), 114, np.uint8)
    top = (width - height) // 2
    square[top : top + height] = picture
    return square


@pytest.mark.assets
@pytest.mark.parametrize("name", [V8, V11])
@pytest.mark.timeout(60)
def test_both_engines_agree(
    name: str,
    assets: Path,
    opened: Callable[[str], PoseModel],
    jumping: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    """Cut in OpenVINO and whole in ONNX Runtime, on the same square: under half a pixel."""
    square = square_of(jumping)
    first = opened(name).infer(square)
    second = with_onnxruntime(loaded(assets / "pose" / name, tmp_path)).infer(square)
    assert len(first.scores) == len(second.scores) == 7
    assert pixels_apart(first, second, square.shape[0]).max() < 0.5


@pytest.mark.assets
@pytest.mark.parametrize("name", [V8, V11, INT8])
@pytest.mark.timeout(60)
def test_rectangle_sees_what_the_square_sees(
    name: str, opened: Callable[[str], PoseModel], jumping: NDArray[np.uint8]
) -> None:
    """Without the grey above and below, joints move by a pixel or two of 720."""
    model = opened(name)
    wide = model.infer(jumping)
    assert model.facts["input"] == "640x384"
    square = model.infer(square_of(jumping))
    assert model.facts["input"] == "640x640"
    # Both in picture heights of their own picture: the square is 1280 high.
    moved = Detections(
        keypoints=square.keypoints * np.array([1280 / 720, 1280 / 720, 1], np.float32)
        - np.array([0, 280 / 720, 0], np.float32),
        scores=square.scores,
        boxes=square.boxes * np.float32(1280 / 720)
        - np.array([0, 280 / 720, 0, 280 / 720], np.float32),
    )
    apart = pixels_apart(wide, moved, 720)
    assert len(wide.scores) == len(square.scores) == 7
    assert np.mean(apart) < 3.0
    assert np.median(apart) < 1.5


@pytest.mark.assets
@pytest.mark.timeout(60)
def test_products_that_say_something_else_are_not_used(
    assets: Path, jumping: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundredth more in one of them: the engine runs its own heads, and finds the same people."""
    model = loaded(assets / "pose" / INT8, tmp_path)
    ours = with_openvino(model)
    wanted = ours.infer(jumping)
    assert ours.facts["heads"] == "sparse"

    def a_little_off(split: Any, width: int, height: int) -> Any:
        boxes, joints = sparse_heads(split, width, height)
        return boxes, SimpleNamespace(at=lambda grids, found: 1.01 * joints.at(grids, found))

    monkeypatch.setattr("crowdstream.vision.openvino.sparse_heads", a_little_off)
    whole = with_openvino(model)
    found = whole.infer(jumping)
    assert whole.facts["heads"] == "dense"
    assert pixels_apart(wanted, found, 720).max() < 0.05


@pytest.mark.assets
@pytest.mark.timeout(60)
def test_the_same_picture_gives_the_same_bytes(
    opened: Callable[[str], PoseModel], jumping: NDArray[np.uint8]
) -> None:
    """Whatever was looked at in between."""
    model = opened(INT8)
    first = model.infer(jumping)
    model.infer(np.zeros((1280, 1280, 3), np.uint8))
    model.infer(np.full((720, 1280, 3), 200, np.uint8))
    again = model.infer(jumping)
    assert first.keypoints.tobytes() == again.keypoints.tobytes()
    assert first.scores.tobytes() == again.scores.tobytes()


@pytest.mark.assets
@pytest.mark.timeout(60)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is no choice")
def test_no_core_is_taken_for_its_own(
    opened: Callable[[str], PoseModel], jumping: NDArray[np.uint8]
) -> None:
    """Bound to one it would wait there for the thread that makes the sound, beside an idle one."""
    model, looker = opened(INT8), threading.get_native_id()
    seen: set[frozenset[int]] = set()
    looked = threading.Event()

    def watch() -> None:
        while not looked.is_set():
            seen.add(frozenset(os.sched_getaffinity(looker)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(5):
            model.infer(jumping)
    finally:
        looked.set()
        watcher.join()
    assert seen == {frozenset(os.sched_getaffinity(looker))}


@pytest.mark.assets
@pytest.mark.timeout(60)
def test_empty_pictures_have_nobody(opened: Callable[[str], PoseModel]) -> None:
    """Darkness, and a wall."""
    model = opened(INT8)
    for level in (0, 128, 255):
        assert len(model.infer(np.full((720, 1280, 3), level, np.uint8)).scores) == 0


@pytest.mark.assets
@pytest.mark.timeout(60)
@pytest.mark.parametrize("shape", [(1, 1, 3), (6000, 8000, 3), (4, 4000, 3), (3000, 2, 3)])
def test_a_picture_of_any_size_is_looked_at(
    shape: tuple[int, int, int], assets: Path, tmp_path: Path
) -> None:
    """A single pixel, a poster, a line: nobody, and never a number that is none."""
    file = find_model(str(assets / "pose" / "yolov8n-pose_int8_openvino_model"), tmp_path)
    model = open_model(
        load_model(file, tmp_path, tmp_path), threads=1, precision="auto", min_score=0.3
    )
    found = model.infer(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8))
    assert np.isfinite(found.keypoints).all()
    assert np.isfinite(found.boxes).all()
    model.close()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_refused_when_the_model_is_made_ready(value: float) -> None:
    """Not taken for an empty floor all night."""
    good = np.zeros((1, 56, 21), np.float32)
    bad = good.copy()
    bad[0, 4, 3] = value
    refuse_nonsense("crowd", [good])
    with pytest.raises(MediaError, match="crowd answers with values that are no numbers"):
        refuse_nonsense("crowd", [good, bad])
