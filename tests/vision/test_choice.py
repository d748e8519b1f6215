"""Which form of a network is used: the fastest that is true, measured once and remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdstream.models import ModelFile, find_model, forms_of
from crowdstream.testing.stages import SilentLog, a_context
from crowdstream.vision import choice as module
from crowdstream.vision.choice import MOST_LOST, MOST_PIXELS, Measured, best_of, choose_form
from crowdstream.vision.chosen import (
    KEPT,
    VERSION,
    Choice,
    chosen_here,
    processor,
    remember,
    remembered,
)

INT8 = "yolov8n-pose_int8_openvino_model"
EXACT = Measured("floating", "f32", 60.0, 0.0, 0.0)
SHORT = Measured("floating", "bf16", 33.0, 0.5, 0.0)
ROUNDED = Measured("int8", "int8", 22.0, 2.4, 0.0)
CHOICE = Choice(
    model="net", file="int8", precision="int8", milliseconds=22.0, pixels=2.4, lost=0.0,
    why="measured", reference="f32 of net.onnx (ONNX)", processor=processor(), engine="OpenVINO 1",
    threads=1, size=(1280, 720), at="2026-01-02T03:04+00:00",
)  # fmt: skip


def test_the_fastest_is_taken_that_is_true() -> None:
    """8 bits where they are good enough."""
    assert best_of([EXACT, SHORT, ROUNDED]) == ROUNDED


def test_what_was_measured_is_told_in_a_line() -> None:
    """For the log: every form, what it takes and what it costs."""
    assert "; ".join(map(str, [EXACT, SHORT, ROUNDED])) == (
        "f32 60.0 ms; bf16 33.0 ms, 0.5 px and 0 % of people off;"
        " int8 22.0 ms, 2.4 px and 0 % of people off"
    )


@pytest.mark.parametrize(
    "spoilt", [ROUNDED._replace(pixels=4.2), ROUNDED._replace(lost=0.1)], ids=["far", "lost"]
)
def test_what_is_not_true_is_not_taken_however_fast(spoilt: Measured) -> None:
    """Joints that jump, or people who are not found."""
    chosen = best_of([EXACT, SHORT, spoilt])
    assert chosen is not None
    assert chosen.precision == "bf16"


def test_of_two_about_as_fast_the_more_exact_is_taken() -> None:
    """A millisecond is not worth two pixels."""
    chosen = best_of([EXACT, SHORT, ROUNDED._replace(milliseconds=31.0)])
    assert chosen is not None
    assert chosen.precision == "bf16"
    assert best_of([]) is None


@given(
    st.lists(
        st.builds(
            Measured,
            st.sampled_from(["int8", "floating"]),
            st.sampled_from(["int8", "bf16"]),
            st.floats(1.0, 500.0),
            st.floats(0.0, 10.0),
            st.floats(0.0, 1.0),
        )
    )
)
def test_the_choice_is_always_one_of_the_true(others: list[Measured]) -> None:
    """The exact form is always among them."""
    chosen = best_of([EXACT, *others])
    assert chosen is not None
    of_it = [each for each in [EXACT, *others]
             if (each.file, each.precision) == (chosen.file, chosen.precision)]  # fmt: skip
    assert any(each.pixels <= MOST_PIXELS and each.lost <= MOST_LOST for each in of_it)


def test_a_choice_is_remembered_until_others_push_it_out(tmp_path: Path) -> None:
    """Nothing grows."""
    for number in range(KEPT + 3):
        remember(tmp_path, f"key{number}", CHOICE._replace(why=str(number)))
    assert remembered(tmp_path, "key2") is None
    assert remembered(tmp_path, f"key{KEPT + 2}") == CHOICE._replace(why=str(KEPT + 2))
    assert [path.name for path in tmp_path.iterdir()] == ["precision.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "[" * 100_000, '{"version": 0, "choices": {"key": {}}}',
     '{"version": %d, "choices": []}', '{"version": %d, "choices": {"key": {"file": "int8"}}}'],
)  # fmt: skip
def test_a_corrupt_memory_is_none(tmp_path: Path, content: str) -> None:
    """It is measured anew, and written anew."""
    (tmp_path / "precision.json").write_text(content.replace("%d", str(VERSION)))
    assert remembered(tmp_path, "key") is None
    assert chosen_here(tmp_path) == []
    remember(tmp_path, "key", CHOICE)
    assert remembered(tmp_path, "key") == CHOICE


@pytest.mark.parametrize(
    ("field", "value"),
    [("file", "big"), ("precision", "int3"), ("milliseconds", "NaN"), ("milliseconds", -1),
     ("pixels", None), ("size", [1280]), ("why", 3), ("new", 1)],
)  # fmt: skip
def test_a_damaged_entry_is_none_and_the_others_stay(
    tmp_path: Path, field: str, value: object
) -> None:
    """What is read back is a choice to the last field, or nothing."""
    remember(tmp_path, "sound", CHOICE)
    remember(tmp_path, "key", CHOICE)
    path = tmp_path / "precision.json"
    found = json.loads(path.read_text())
    found["choices"]["key"][field] = value
    path.write_text(json.dumps(found).replace('"NaN"', "NaN"))
    assert remembered(tmp_path, "key") is None
    assert chosen_here(tmp_path) == [CHOICE]


def test_what_was_chosen_here_is_told_newest_first(tmp_path: Path) -> None:
    """The cache may come from another machine: what was true there is not told."""
    remember(tmp_path, "elsewhere", CHOICE._replace(processor="another"))
    remember(tmp_path, "first", CHOICE)
    remember(tmp_path, "second", CHOICE._replace(threads=2))
    assert [each.threads for each in chosen_here(tmp_path)] == [2, 1]


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    """No error: a read-only install is a good install."""
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file" / "cache", "key", CHOICE)
    assert remembered(tmp_path / "file" / "cache", "key") is None


CHILDREN = Path(__file__).resolve().parent.parent / "crowdstream"
"""Where the children of the tests are."""


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Another function for the child that measures."""
    monkeypatch.syspath_prepend(str(CHILDREN))
    return lambda function: monkeypatch.setattr(module, "TARGET", f"children:{function}")


def a_file(folder: Path) -> ModelFile:
    (folder / "net.onnx").write_bytes(b"the weights")
    return find_model(str(folder / "net.onnx"), folder)


async def test_it_is_measured_once(tmp_path: Path, child: Callable[[str], None]) -> None:
    """And again when the bytes, the threads or the picture are others."""
    child("measured")
    context = a_context("pose", folder=tmp_path, offline=False)

    async def choose(threads: int = 1, size: tuple[int, int] = (1280, 720)) -> str:
        found = await choose_form(
            a_file(tmp_path), context, threads=threads, min_score=0.3, size=size
        )
        return found[1]

    assert [await choose() for _ in range(3)] == ["bf16"] * 3
    assert len(list(tmp_path.glob("net.measured-*"))) == 1
    (told,) = chosen_here(context.places.cache)
    assert (told.model, told.precision, told.milliseconds, told.pixels) == (
        str(tmp_path / "net.onnx"), "bf16", 33.0, 0.5,
    )  # fmt: skip
    assert told.why.endswith("off; beside f32 of net.onnx (ONNX)")
    await choose(threads=2)
    await choose(size=(640, 360))
    assert len(list(tmp_path.glob("net.measured-*"))) == 3


async def test_what_cannot_be_measured_is_opened_as_it_is(
    tmp_path: Path, child: Callable[[str], None]
) -> None:
    """A warning, no failed start, and nothing remembered."""
    child("without_network")
    log = SilentLog()
    context = a_context("pose", folder=tmp_path, offline=False, log=log)
    file = a_file(tmp_path)
    assert await choose_form(file, context, threads=1, min_score=0.3, size=(1280, 720)) == (
        file, "auto", "not measured",
    )  # fmt: skip
    assert [event for level, event, _ in log.said if level == "warning"] == ["pose_not_measured"]
    assert not (context.places.cache / "precision.json").exists()


@pytest.mark.assets
@pytest.mark.timeout(90)
async def test_a_real_network_is_measured_in_a_child(assets: Path, tmp_path: Path) -> None:
    """Of an 8-bit file alone the exact form is known too: its rounding is taken out."""
    context = a_context("pose", folder=tmp_path, offline=False)
    file = find_model(str(assets / "pose" / INT8), tmp_path)
    assert forms_of(file).floating is None
    chosen, precision, why = await choose_form(
        file, context, threads=1, min_score=0.3, size=(640, 360)
    )
    assert chosen == file
    assert precision in ("f32", "bf16", "int8")
    assert "f32" in why
    assert "int8" in why
    assert why.endswith(f"beside f32 of {INT8}/yolov8n-pose.xml (OpenVINO), its rounding taken out")
    kept = json.loads((context.places.cache / "precision.json").read_text())["choices"]
    assert [each["precision"] for each in kept.values()] == [precision]
