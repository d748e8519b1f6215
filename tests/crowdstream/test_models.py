"""Weights: found by name or path, and never loaded when a byte of them has changed."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowdstream.errors import ConfigError, CrowdstreamError, DeviceError, MediaError
from crowdstream.models import (
    ModelMissing,
    add_model,
    find_model,
    list_models,
    load_model,
    read_manifest,
    verify_models,
)
from crowdstream.models.outline import read_outline
from crowdstream.models.outline_ir import read_ir_outline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty models folder."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that does not exist yet."""
    return tmp_path / "state"


def a_pose_onnx(
    path: Path, outputs: tuple[int, ...] = (1, 56, 8400), weights_beside: bool = False
) -> Path:
    """A tiny ONNX file with the outside of a pose model: one weight, repeated."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 640, 640))
    people = helper.make_tensor_value_info("output0", TensorProto.FLOAT, outputs)
    weight = numpy_helper.from_array(np.zeros(outputs, np.float32), "weight")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Add", ["weight", "mean"], ["output0"]),
        ],
        "pose", [picture], [people], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if weights_beside:
        onnx.save_model(
            model, str(path), save_as_external_data=True, location="w.data", size_threshold=0
        )
    else:
        onnx.save_model(model, str(path))
    return path


def an_ir(outputs: tuple[int, ...] = (1, 56, 8400), size: int = 0) -> bytes:
    """The outside of an OpenVINO pose model whose numbers end at `size` in the .bin."""
    dims = "".join(f"<dim>{each}</dim>" for each in outputs)
    return (
        '<net name="m" version="11"><layers>'
        '<layer type="Parameter"><data shape="1,3,640,640" element_type="f32"/></layer>'
        f'<layer type="Const"><data offset="0" size="{size}"/></layer>'
        f'<layer type="Result"><input><port>{dims}</port></input></layer>'
        "</layers></net>"
    ).encode()


def flip_a_byte(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# --- finding -------------------------------------------------------------------------------------


def test_name_is_found_in_the_models_folder(folder: Path) -> None:
    """NAME means NAME.onnx in the models folder."""
    (folder / "crowd.onnx").write_bytes(b"x")
    found = find_model("crowd", folder)
    assert (found.form, found.paths) == ("onnx", (folder.resolve() / "crowd.onnx",))


def test_eight_bit_openvino_is_preferred(folder: Path) -> None:
    """Of several forms of one model the fastest is taken."""
    (folder / "crowd.onnx").write_bytes(b"x")
    for name in ("crowd_openvino_model", "crowd_int8_openvino_model"):
        (folder / name).mkdir()
        (folder / name / "crowd.xml").write_bytes(b"x")
        (folder / name / "crowd.bin").write_bytes(b"x")
    assert find_model("crowd", folder).paths[0].parent.name == "crowd_int8_openvino_model"


def test_auto_takes_the_first_known_name(folder: Path) -> None:
    """`auto` prefers yolov8n-pose, and takes yolo11n-pose where only that is there."""
    (folder / "yolo11n-pose.onnx").write_bytes(b"x")
    assert find_model("auto", folder).name == "yolo11n-pose"
    (folder / "yolov8n-pose.onnx").write_bytes(b"x")
    assert find_model("auto", folder).name == "yolov8n-pose"


@pytest.mark.parametrize("name", ["auto", "yolov8n-pose", "/nowhere/at/all.onnx"])
def test_absent_weights_are_recoverable(name: str, folder: Path) -> None:
    """Weights that are not there are a ModelMissing, which says what to do."""
    with pytest.raises(ModelMissing, match="crowdstream models add|check the path") as caught:
        find_model(name, folder)
    assert isinstance(caught.value, DeviceError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.pkl", "W.PT", "w.ckpt"])
def test_no_pickle_is_ever_loaded(name: str, folder: Path) -> None:
    """A file that may hold a pickle is refused before a byte of it is read."""
    (folder / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match="no pickle is ever loaded.*crowdstream models export"):
        find_model(str(folder / name), folder)


def test_unexported_checkpoint_says_that_export_comes_next(folder: Path) -> None:
    """A .pt with the right name is no model yet."""
    (folder / "yolov8n-pose.pt").write_bytes(b"x")
    with pytest.raises(ModelMissing, match="crowdstream models export yolov8n-pose"):
        find_model("auto", folder)
    with pytest.raises(ConfigError, match="crowdstream models export"):
        find_model("yolov8n-pose", folder)


def test_xml_without_its_weights_is_missing(folder: Path) -> None:
    """An OpenVINO model is two files."""
    (folder / "crowd.xml").write_bytes(b"x")
    with pytest.raises(ModelMissing, match=r"crowd\.bin"):
        find_model("crowd", folder)


@pytest.mark.parametrize("name", ["../secret", "a b", "", "-x", "text.txt"])
def test_odd_names_are_refused(name: str, folder: Path) -> None:
    """What is neither name nor path gets one sentence."""
    with pytest.raises(CrowdstreamError):
        find_model(name, folder)


# --- loading -------------------------------------------------------------------------------------


def test_first_use_notes_the_hash_and_later_loads_hold_to_it(folder: Path, state: Path) -> None:
    """A file is noted when first used; the same bytes load again as noted."""
    (folder / "crowd.onnx").write_bytes(b"weights")
    first = load_model(find_model("crowd", folder), folder, state)
    again = load_model(find_model("crowd", folder), folder, state)
    assert (first.trust, again.trust) == ("new", "noted")
    assert first.model == again.model == b"weights"
    assert first.sha256 == (hashlib.sha256(b"weights").hexdigest(),)


@pytest.mark.parametrize("changed", ["crowd.xml", "crowd.bin"])
def test_one_changed_byte_is_refused(changed: str, folder: Path, state: Path) -> None:
    """Either file of a model: the sentence names both hashes and what to run."""
    inside = folder / "crowd_openvino_model"
    inside.mkdir()
    (inside / "crowd.xml").write_bytes(b"<net/>" * 100)
    (inside / "crowd.bin").write_bytes(b"weights" * 100)
    load_model(find_model("crowd", folder), folder, state)
    wanted = hashlib.sha256((inside / changed).read_bytes()).hexdigest()[:12]
    flip_a_byte(inside / changed)
    found = hashlib.sha256((inside / changed).read_bytes()).hexdigest()[:12]
    with pytest.raises(ConfigError) as caught:
        load_model(find_model("crowd", folder), folder, state)
    sentence = str(caught.value)
    assert changed in sentence
    assert wanted in sentence
    assert found in sentence
    assert "crowdstream models verify --accept crowd" in sentence
    assert caught.value.exit_code == 78


def test_accepting_takes_the_change_over(folder: Path, state: Path) -> None:
    """`verify` shows the change, `--accept` ends it."""
    (folder / "crowd.onnx").write_bytes(b"weights")
    load_model(find_model("crowd", folder), folder, state)
    flip_a_byte(folder / "crowd.onnx")
    states = [
        [verdict.state for verdict in verify_models(folder, state)],
        [verdict.state for verdict in verify_models(folder, state, accept="crowd")],
        [verdict.state for verdict in verify_models(folder, state)],
    ]
    assert states == [["changed"], ["accepted"], ["good"]]
    assert load_model(find_model("crowd", folder), folder, state).trust == "noted"


def test_manifest_counts_more_than_notes(folder: Path, state: Path) -> None:
    """A file that the manifest names is held to the manifest, and cannot be accepted otherwise."""
    right = hashlib.sha256(b"right").hexdigest()
    (folder / "manifest.toml").write_text(
        '[[weights]]\nname = "crowd"\nfile = "crowd.onnx"\naddress = ""\nsize = 5\n'
        f'sha256 = "{right}"\nlicence = "MIT"\n'
    )
    (folder / "crowd.onnx").write_bytes(b"right")
    assert load_model(find_model("crowd", folder), folder, state).trust == "manifest"
    (folder / "crowd.onnx").write_bytes(b"wrong")
    verify_models(folder, state, accept="crowd")
    with pytest.raises(ConfigError, match="manifest"):
        load_model(find_model("crowd", folder), folder, state)


def test_broken_notes_are_not_taken_for_none(folder: Path, state: Path) -> None:
    """Otherwise whoever breaks the notes could exchange the weights."""
    (folder / "crowd.onnx").write_bytes(b"weights")
    load_model(find_model("crowd", folder), folder, state)
    (state / "noted.toml").write_text("[[file]\n")
    with pytest.raises(ConfigError, match=r"noted\.toml"):
        load_model(find_model("crowd", folder), folder, state)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(name=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"),
                    min_size=1, max_size=20).filter(lambda n: n not in {".", ".."}))  # fmt: skip
def test_notes_keep_any_path(name: str, tmp_path: Path) -> None:
    """Quotes, newlines and all: what was noted is what is read back."""
    here = tmp_path / hashlib.sha256(name.encode()).hexdigest()
    odd = here / name
    odd.mkdir(parents=True)
    (odd / "m.onnx").write_bytes(name.encode())
    file = find_model(str(odd / "m.onnx"), here)
    trusts = [load_model(file, here, here / "state.d").trust for _ in range(2)]
    assert trusts == ["new", "noted"]


def test_named_pipe_does_not_hang(folder: Path, state: Path) -> None:
    """What is no file is refused at once."""
    os.mkfifo(folder / "crowd.onnx")
    with pytest.raises(MediaError, match="is not a file"):
        load_model(find_model("crowd", folder), folder, state)


def test_empty_file_is_refused(folder: Path, state: Path) -> None:
    """A copy that never began."""
    (folder / "crowd.onnx").touch()
    with pytest.raises(MediaError, match="0 bytes"):
        load_model(find_model("crowd", folder), folder, state)


# --- commands ------------------------------------------------------------------------------------


def test_added_model_is_found_by_name_and_noted(tmp_path: Path, folder: Path, state: Path) -> None:
    """From anywhere on the machine into the models folder, with nothing left beside it."""
    added = add_model(a_pose_onnx(tmp_path / "venue.onnx"), folder, state)
    assert added.name == "venue"
    assert load_model(find_model("venue", folder), folder, state).trust == "noted"
    assert sorted(path.name for path in folder.iterdir()) == ["venue.onnx"]


def test_added_openvino_folder_is_found_by_name(tmp_path: Path, folder: Path, state: Path) -> None:
    """Both files go into a folder of the model's name."""
    source = tmp_path / "venue_int8_openvino_model"
    source.mkdir()
    (source / "v.xml").write_bytes(an_ir())
    (source / "v.bin").write_bytes(b"w")
    assert add_model(source, folder, state).name == "venue_int8"
    found = find_model("venue", folder)
    assert [path.name for path in found.paths] == ["v.xml", "v.bin"]
    assert load_model(found, folder, state).trust == "noted"


def test_adding_what_is_no_pose_model_changes_nothing(
    tmp_path: Path, folder: Path, state: Path
) -> None:
    """Refused with the shape that it has."""
    detector = a_pose_onnx(tmp_path / "d.onnx", (1, 84, 8400))
    with pytest.raises(MediaError, match="1x84x8400"):
        add_model(detector, folder, state)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("xml", "weights", "sentence"),
    [
        (an_ir((1, 84, 8400)), b"w", "gives 1x84x8400"),
        (an_ir(size=100), b"w" * 99, "has 99 bytes and its .xml needs 100"),
        (an_ir()[:-20], b"w", "not a whole OpenVINO network"),
        (b"<a/>", b"w", "not a whole OpenVINO network"),
        (b"no xml", b"w", "not a whole OpenVINO network"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + an_ir(), b"w", "not a whole OpenVINO network"),
        (an_ir().replace(b"f32", b"u8"), b"w", "takes u8: export it with 32-bit float"),
        (an_ir().replace(b'shape="1,3,640,640"', b'shape="?,3,?,?"'), b"w", ""),
        (an_ir((1, 56, -1)), b"w", ""),
    ],
)
def test_openvino_files_are_looked_through_before_they_are_added(
    tmp_path: Path, folder: Path, state: Path, xml: bytes, weights: bytes, sentence: str
) -> None:
    """Another kind of network, half a file, and what would grow while it is read."""
    source = tmp_path / "venue_openvino_model"
    source.mkdir()
    (source / "v.xml").write_bytes(xml)
    (source / "v.bin").write_bytes(weights)
    if not sentence:
        assert add_model(source, folder, state).name == "venue"
        return
    with pytest.raises(MediaError, match=sentence):
        add_model(source, folder, state)
    assert list(folder.iterdir()) == []


@settings(max_examples=100)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_an_openvino_network_or_refused(content: bytes) -> None:
    """A stranger's file never raises anything but MediaError."""
    for each in (content, an_ir()[: len(content)] + content, an_ir().replace(b"640", content)):
        try:
            read_ir_outline("m", each, 0)
        except MediaError:
            pass


def test_list_shows_what_is_here_and_what_is_known(folder: Path, state: Path) -> None:
    """Files of the folder first, then entries of the manifest with their address."""
    repository = Path(__file__).resolve().parents[2]
    (folder / "manifest.toml").write_text((repository / "models/manifest.toml").read_text())
    (folder / "crowd.onnx").write_bytes(b"weights")
    listed = list_models(folder, state)
    assert [(model.name, model.present) for model in listed] == [
        ("crowd", True),
        ("yolov8n-pose", False),
        ("yolo11n-pose", False),
        ("htdemucs", False),
        *((f"htdemucs-ft-{stem}", False) for stem in ("drums", "bass", "other", "vocals")),
    ]
    assert all(model.path.startswith("https://") for model in listed[1:])


def test_shipped_manifest_is_whole() -> None:
    """Sizes and hashes of the weights we know."""
    repository = Path(__file__).resolve().parents[2]
    known = {
        each.file: (each.size, each.sha256[:8]) for each in read_manifest(repository / "models")
    }
    assert known == {
        "yolov8n-pose.pt": (6_832_633, "c6fa93dd"),
        "yolo11n-pose.pt": (6_255_593, "869e83fc"),
        "955717e8-8726e21a.th": (84_141_911, "8726e21a"),
        # Demucs itself ends a file's name with the first eight digits of its hash.
        "f7e0c4bc-ba3fe64a.th": (84_141_271, "ba3fe64a"),
        "d12395a8-e57c48e6.th": (84_141_271, "e57c48e6"),
        "92cfc3b6-ef3bcb9c.th": (84_141_271, "ef3bcb9c"),
        "04573f0d-f3cf25b2.th": (84_141_271, "f3cf25b2"),
    }


def test_mistakes_of_a_manifest_are_all_named(folder: Path) -> None:
    """One sentence for each entry that is wrong."""
    (folder / "manifest.toml").write_text(
        '[[weights]]\nname = "a"\n[[weights]]\nname = "b"\nfile = "b"\naddress = ""\nsize = 1\n'
        'sha256 = "x"\nlicence = ""\n'
    )
    with pytest.raises(ConfigError) as caught:
        read_manifest(folder)
    assert len(caught.value.mistakes) == 2


# --- a .pt, which runs when it is opened ----------------------------------------------------------


def an_archive(pickle: bytes, name: str = "net/data.pkl") -> bytes:
    """As torch.save writes one; nobody here opens what is in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), pickle)
    return made.getvalue()


PICKLE = an_archive(b"a pickle")


def a_checkpoint(path: Path, content: bytes = PICKLE) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"a pickle of old", PICKLE[:40], an_archive(b"holiday", "pictures/1.jpg")],
)
def test_what_is_no_checkpoint_is_not_added(
    tmp_path: Path, folder: Path, state: Path, content: bytes
) -> None:
    """Its names are looked at, not what is in it."""
    with pytest.raises((ConfigError, MediaError)):
        add_model(a_checkpoint(tmp_path / "mine.pt", content), folder, state)
    assert not (folder / "mine.pt").exists()


def test_a_checkpoint_is_only_looked_for_when_that_is_asked(folder: Path, tmp_path: Path) -> None:
    """By path, by file name, by name, and the first of the known names."""
    for name in ("mine.pt", "yolo11n-pose.pt"):
        a_checkpoint(folder / name)
    (folder / "mine.onnx").write_bytes(b"x")
    asked = {name: find_model(name, folder, pickles=True) for name in
             (str(folder / "mine.pt"), "mine.pt", "mine", "auto")}  # fmt: skip
    assert {each.form for each in asked.values()} == {"checkpoint"}
    assert [each.paths[0].name for each in asked.values()] == [*["mine.pt"] * 3, "yolo11n-pose.pt"]
    assert find_model("mine", folder).form == "onnx"
    with pytest.raises(ConfigError, match="is no .pt"):
        find_model("mine.onnx", folder, pickles=True)
    with pytest.raises(ModelMissing, match=r"no .*other\.pt: .*crowdstream models add FILE\.pt"):
        find_model("other", folder, pickles=True)


def test_a_checkpoint_that_is_merely_there_is_not_opened(folder: Path, state: Path) -> None:
    """And not noted by having been tried: the second time it is refused as well."""
    path = a_checkpoint(folder / "mine.pt")
    file = find_model(str(path), folder, pickles=True)
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            load_model(file, folder, state)
        assert hashlib.sha256(PICKLE).hexdigest() in str(caught.value)
        assert str(caught.value).endswith(f"run: crowdstream models add {path}")
    assert not state.exists()


def test_whoever_adds_a_checkpoint_vouches_for_its_bytes(
    tmp_path: Path, folder: Path, state: Path
) -> None:
    """In the models folder and where it came from; any other byte is refused."""
    source = a_checkpoint(tmp_path / "mine.pt")
    added = add_model(source, folder, state)
    assert (added.name, added.form) == ("mine", "checkpoint")
    for name in ("mine", str(source)):
        file = find_model(name, folder, pickles=True)
        assert load_model(file, folder, state).model == PICKLE
    flip_a_byte(source)
    with pytest.raises(ConfigError, match=f"has changed.*--accept {source}"):
        load_model(find_model(str(source), folder, pickles=True), folder, state)
    a_checkpoint(tmp_path / "other.pt", an_archive(b"another pickle"))
    with pytest.raises(ConfigError, match="nobody has vouched"):
        load_model(find_model(str(tmp_path / "other.pt"), folder, pickles=True), folder, state)


def test_bytes_that_were_noted_as_another_kind_of_file_vouch_for_nothing(
    folder: Path, state: Path
) -> None:
    """An .onnx is noted unseen: with its bytes, as a .pt, nobody has agreed to run them."""
    a_checkpoint(folder / "crowd.onnx")
    load_model(find_model("crowd", folder), folder, state)
    a_checkpoint(folder / "crowd.pt")
    with pytest.raises(ConfigError, match="nobody has vouched"):
        load_model(find_model("crowd", folder, pickles=True), folder, state)


def test_the_manifest_vouches_for_its_bytes_wherever_they_lie(
    tmp_path: Path, folder: Path, state: Path
) -> None:
    """And nothing else can be added under a name that it knows."""
    found = hashlib.sha256(PICKLE).hexdigest()
    (folder / "manifest.toml").write_text(
        f'[[weights]]\nname = "pose"\nfile = "pose.pt"\naddress = ""\nsize = {len(PICKLE)}\n'
        f'sha256 = "{found}"\nlicence = "MIT"\n'
    )
    copy = find_model(str(a_checkpoint(tmp_path / "copy.pt")), folder, pickles=True)
    assert load_model(copy, folder, state).model == PICKLE
    a_checkpoint(folder / "pose.pt")
    known = find_model("pose", folder, pickles=True)
    assert load_model(known, folder, state).trust == "manifest"
    with pytest.raises(ConfigError, match=r"not the pose\.pt that models/manifest\.toml names"):
        add_model(a_checkpoint(tmp_path / "pose.pt", an_archive(b"another")), folder, state)
    assert load_model(known, folder, state).model == PICKLE


def test_checkpoints_are_listed_verified_and_accepted(folder: Path, state: Path) -> None:
    """One that nobody has vouched for is `new` and stays so until somebody does."""
    a_checkpoint(folder / "mine.pt")
    assert [(model.name, model.form, model.trust) for model in list_models(folder, state)] == [
        ("mine", "checkpoint", "new")
    ]
    assert [verdict.state for verdict in verify_models(folder, state)] == ["new"]
    add_model(folder / "mine.pt", folder, state)
    assert [model.trust for model in list_models(folder, state)] == ["noted"]
    flip_a_byte(folder / "mine.pt")
    assert [verdict.state for verdict in verify_models(folder, state)] == ["changed"]
    for name in ("mine", str(folder / "mine.pt")):
        assert [v.state for v in verify_models(folder, state, accept=name)] == ["accepted"]
    assert load_model(find_model("mine", folder, pickles=True), folder, state).trust == "noted"


# --- ONNX, read without an engine ----------------------------------------------------------------


def test_outline_tells_shapes(tmp_path: Path) -> None:
    """Inputs and outputs; weights are not inputs."""
    content = a_pose_onnx(tmp_path / "m.onnx").read_bytes()
    outline = read_outline("m", content)
    assert (outline.inputs, outline.outputs) == ([(1, 3, 640, 640)], [(1, 56, 8400)])


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    """Nobody would have hashed them."""
    path = a_pose_onnx(tmp_path / "m.onnx", weights_beside=True)
    with pytest.raises(MediaError, match="external data"):
        read_outline("m", path.read_bytes())


def test_truncated_onnx_is_refused(tmp_path: Path) -> None:
    """At any length that cuts the graph."""
    content = a_pose_onnx(tmp_path / "m.onnx").read_bytes()
    for length in (1, 10, 100, len(content) // 2, len(content) - 9):
        with pytest.raises(MediaError):
            read_outline("m", content[:length])


@settings(max_examples=200)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """A stranger's file never raises anything but MediaError."""
    try:
        read_outline("m", content)
    except MediaError:
        pass
