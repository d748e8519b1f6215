"""Who may import whom: the table of the house, and the five rules that stand on it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent

# THE table. Left: a room, or one module of the engine's ground floor. Right: whom it may import
# beside itself. A module that stands in no line fails the test: put it where it belongs.
#
# `children` are the modules that a child process loads; they know the wire and nothing of asyncio.
TABLE: Final[dict[str, str]] = {
    # The contract: values, errors, time.
    "packets": "",
    "errors": "",
    "clock": "",
    "status": "",
    # The hand-over, and what a stage is.
    "channel": "clock errors packets",
    "controls": "errors",
    "stage": "channel clock controls packets",
    "offload": "errors",
    # What is written in files, and what becomes of it.
    "settings": "errors",
    "programme": "",
    "zones": "dsp",
    "registry": "errors packets settings stage",
    "learned": "errors settings",
    "config": "errors learned programme registry settings stage zones",
    "recipe": "channel errors settings",
    "plan": "channel config errors recipe registry settings stage",
    # The machine.
    "observers": "packets status",
    "supervisor": "channel clock controls errors observers offload packets plan stage status",
    "systemd": "",
    "log": "clock",
    "warm": "stage",
    "begun": "clock controls offload",
    "daemon": "begun clock config errors observers offload packets plan stage status supervisor systemd",
    # Children: their life, their words, their memory.
    "wire": "errors",
    "ends": "wire",
    "worker": "ends errors wire",
    "child": "errors wire",
    "slots": "",
    # Pure in the middle.
    "dsp": "",
    "music": "errors packets",
    # The two children with devices or models in them. `models` finds weights, knows their forms and what may be in them.
    "player": "child dsp errors music packets",
    "vision": "child dsp errors models packets settings slots wire worker",
    "models": "errors",
    # Music that people bring, made into tracks by jobs beside the daemon.
    "library": "errors music packets",
    # Whole runs without a clock, and what is made of them.
    "offline": "clock config dsp errors library models music packets plan player recipe registry slots "
    "stage status supervisor testing vision worker",
    # Small real parts, for tests and for whoever writes a stage.
    "testing": "channel clock controls errors music offload packets recipe registry stage worker",
    # The door for people. It may ask everybody.
    "cli": "errors log",  # and each command by its name, when it is asked for
    "commands": "*",
    "__main__": "cli",
    # The public names, loaded when they are asked for.
    "__init__": "channel errors packets stage",
}

# What the files of `stages/` may import of the engine.
FOR_STAGES: Final = (
    "channel controls dsp errors models music packets player programme slots stage vision wire worker"
    " zones"
)

# What of other people's packages a room may import, beside numpy and the standard library.
OF_OTHERS: Final[dict[str, str]] = {
    "stage": "pydantic",
    "settings": "pydantic pydantic_core",
    "programme": "pydantic",
    "zones": "pydantic",
    "config": "pydantic",
    "recipe": "pydantic",
    "plan": "pydantic",
    "log": "structlog",
    "dsp": "numba",
    "music": "pyloudnorm soundfile soxr tomlkit",
    "player": "numba pydantic pylibrb sounddevice",
    "vision": "PIL cv2 numba onnxruntime openvino",
    "library": "av defusedxml mutagen soundfile soxr",
    "offline": "av cv2 matplotlib psutil pyloudnorm soundfile soxr",
    "commands": "pydantic rich",
    "testing": "av jack psutil pydantic soundfile",
}

DEVICE_AND_MODEL_LIBRARIES: Final = (
    "cv2", "sounddevice", "soundfile", "torch", "ultralytics", "onnxruntime", "onnx", "openvino",
    "fastapi", "matplotlib", "librosa", "scipy",
)  # fmt: skip


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, at its top or inside a function or only for types.

    Says whether the import is only for the type checker.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in for_types
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports do not tell where one is"
            assert node.module is not None
            yield node.module, id(node) in for_types
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in for_types


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room_of(path: Path) -> str:
    """The room or ground-floor module that a file of the engine is in."""
    return path.relative_to(ROOT / "crowdstream").with_suffix("").parts[0]


def room_in(module: str) -> str | None:
    """The room that `crowdstream.dsp.ring` or `crowdstream.packets.Frame` is in."""
    parts = module.split(".")
    if parts[0] != "crowdstream" or len(parts) == 1:
        return None
    return parts[1]


def of_the_engine(path: Path) -> set[str]:
    rooms = {room for module, _ in imports_of(path) if (room := room_in(module)) is not None}
    # `from crowdstream import __version__` names no room.
    return {room for room in rooms if not room.startswith("__")}


ENGINE: Final = [path.relative_to(ROOT).as_posix() for path in files_of("crowdstream")]
STAGES: Final = [path.relative_to(ROOT).as_posix() for path in files_of("stages")]


@pytest.mark.parametrize("file", ENGINE)
def test_the_table_of_the_engine_holds(file: str) -> None:
    """Nothing points back up."""
    room = room_of(ROOT / file)
    assert room in TABLE, f"{file}: stands in no line of the table"
    if TABLE[room] != "*":
        may = {*TABLE[room].split(), room}
        assert of_the_engine(ROOT / file) <= may, f"{file}: may import {', '.join(sorted(may))}"


def test_the_table_has_no_line_too_many() -> None:
    """A right that nobody uses, and a room that does not exist, are taken out of the table."""
    used: dict[str, set[str]] = {room_of(path): set() for path in files_of("crowdstream")}
    for path in files_of("crowdstream"):
        used[room_of(path)] |= of_the_engine(path) - {room_of(path)}
    assert set(used) == set(TABLE)
    unused = {
        room: sorted({*may.split()} - used[room]) for room, may in TABLE.items() if may != "*"
    }
    assert {room: rights for room, rights in unused.items() if rights} == {}
    of_stages = set().union(*(of_the_engine(ROOT / file) for file in STAGES))
    assert of_stages == {*FOR_STAGES.split()}


def test_no_two_rooms_need_each_other() -> None:
    edges = {
        (room_of(path), other) for path in files_of("crowdstream") for other in of_the_engine(path)
    }
    both_ways = {frozenset((a, b)) for a, b in edges if a != b and (b, a) in edges}
    assert both_ways == set()


@pytest.mark.parametrize("file", ENGINE)
def test_rule_1_the_engine_never_imports_stages_or_recipes(file: str) -> None:
    """It finds them by name."""
    tops = {module.split(".")[0] for module, _ in imports_of(ROOT / file)}
    assert not tops & {"stages", "pipelines", "tests"}


@pytest.mark.parametrize("file", STAGES)
def test_rule_2_a_stage_knows_the_contract_and_no_other_stage(file: str) -> None:
    """Nor the supervisor, the daemon, or a door."""
    others = {m for m, _ in imports_of(ROOT / file) if m.split(".")[0] in ("stages", "pipelines")}
    assert not others
    assert of_the_engine(ROOT / file) <= {*FOR_STAGES.split()}


@pytest.mark.parametrize("file", [file for file in ENGINE if "/dsp/" in file])
def test_rule_3_signal_mathematics_is_pure(file: str) -> None:
    """No waiting, no log, no settings, no files, nothing of crowdstream but itself."""
    tops = {module.split(".")[0] for module, _ in imports_of(ROOT / file)}
    may = {"__future__", "cmath", "math", "typing", "collections", "numpy", "numba", "crowdstream"}
    assert tops <= may | {"functools", "dataclasses", "itertools"}
    assert of_the_engine(ROOT / file) <= {"dsp"}


@pytest.mark.parametrize("file", ENGINE)
def test_rooms_import_only_the_packages_that_are_theirs(file: str) -> None:
    tops = {module.split(".")[0] for module, _ in imports_of(ROOT / file)}
    others = tops - set(sys.stdlib_module_names) - {"crowdstream", "numpy"}
    assert others <= {*OF_OTHERS.get(room_of(ROOT / file), "").split()}


def test_pipelines_are_data() -> None:
    """Recipes, and one docstring."""
    assert [path.name for path in files_of("pipelines")] == ["__init__.py"]
    assert not list(imports_of(ROOT / "pipelines" / "__init__.py"))


def loaded_by(code: str) -> set[str]:
    """Names of the modules that are loaded in a fresh process after this code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=True,
    )
    return set(done.stdout.split())


def test_rule_4_importing_crowdstream_loads_no_device_and_no_model_library() -> None:
    """Nor do its public names, the command line, the plan of a recipe's structure."""
    code = (
        "import crowdstream, crowdstream.cli, crowdstream.plan, crowdstream.daemon;"
        "[getattr(crowdstream, name) for name in crowdstream.__all__];"
        "crowdstream.cli.parser()"
    )
    assert not loaded_by(code) & {*DEVICE_AND_MODEL_LIBRARIES}


def test_listing_the_names_of_stages_loads_none() -> None:
    loaded = loaded_by("from crowdstream.registry import stage_names; assert stage_names()")
    assert not {name for name in loaded if name.split(".")[0] == "stages"}


def test_the_ring_and_the_channel_do_not_pay_for_pydantic() -> None:
    """What a child loads is small."""
    loaded = loaded_by("import crowdstream.child, crowdstream.slots, crowdstream.wire")
    assert not loaded & {"pydantic", "structlog", "asyncio", "numba"}


def test_rule_5_the_player_sees_nothing() -> None:
    """Its process never imports the eyes, the web or the event loop."""
    loaded = loaded_by("import crowdstream.player.process")
    refused = {"cv2", "librosa", "torch", "fastapi", "openvino", "onnxruntime", "pydantic"}
    assert not loaded & refused
    assert "asyncio.base_events" not in loaded


def test_rule_5_the_render_path_is_arrays_and_our_own() -> None:
    """Mixer, deck and ring: numpy, compiled kernels, and nothing that waits; `os` is for memfd."""
    for name in ("mixer", "deck", "ring"):
        tops = {
            module.split(".")[0]
            for module, for_types in imports_of(ROOT / "crowdstream" / "player" / f"{name}.py")
            if not for_types
        }
        others = tops - {"crowdstream", "numpy", "numba", "__future__"}
        assert others <= {"collections", "dataclasses", "math", "mmap", "os", "typing"}, name
