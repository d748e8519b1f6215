"""What the wheel contains, that nobody else owns our names, and what an author may rely on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, packages_distributions, requires, version
from pathlib import Path
from typing import Final

import pytest

import crowdstream

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("crowdstream", "stages", "pipelines")
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel that was just built."""
    pytest.importorskip("hatchling", reason="needs hatchling (requirements-dev.txt)")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
            "--disable-pip-version-check", "--wheel-dir", folder, ROOT,
        ],
        check=True,
        timeout=100,
        capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert tops == {*PACKAGES, f"crowdstream-{version('crowdstream')}.dist-info"}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_wheel_holds_every_file_of_them(wheel: set[str]) -> None:
    """Modules, recipes, the page's style and script, the mark that says: typed."""
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    ours = set(listed) or {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= wheel
    assert {"pipelines/live.toml", "pipelines/demo.toml", "crowdstream/py.typed"} <= wheel
    assert not {name for name in wheel if name.endswith((".pyc", ".nbi", ".nbc"))}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_licence_travels_with_it(wheel: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


@pytest.mark.parametrize("name", PACKAGES)
def test_each_of_our_names_has_one_owner(name: str) -> None:
    """Another package of the name would overwrite ours without a word. (Of an editable install
    no owner is known.)"""
    assert set(packages_distributions().get(name, ())) <= {"crowdstream"}
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    ours = Path(crowdstream.__file__).parent.parent
    assert Path(spec.origin).parent.parent == ours


def test_the_installed_version_is_this_one() -> None:
    assert version("crowdstream") == crowdstream.__version__ == PROJECT["version"]


def test_every_stage_that_is_listed_is_installed() -> None:
    """The list of an editable install is as old as the install."""
    listed = PROJECT["entry-points"]["crowdstream.stages"]
    found = {p.name: p.value for p in entry_points(group="crowdstream.stages")}
    assert {name: found.get(name) for name in listed} == listed, "run: pip install -e ."
    files = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert set(listed) == files


def test_torch_is_no_runtime_dependency() -> None:
    plain = [line.lower() for line in requires("crowdstream") or () if "extra ==" not in line]
    heavy = ("torch", "ultralytics", "demucs", "librosa", "scipy", "onnxruntime")
    assert not [line for line in plain if line.startswith(heavy)]


@pytest.mark.parametrize("name", crowdstream.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(crowdstream, name) is not None


def test_the_engine_does_not_name_a_name_that_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        _ = crowdstream.Manager


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_an_author_of_a_plugin_writes_is_well_typed() -> None:
    """And what must be refused is refused: an unused `type: ignore` fails it as well."""
    pytest.importorskip("mypy", reason="needs mypy (requirements-dev.txt)")
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases",
            "tests/typing/plugin_author.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
