"""The command line: help for everything, one sentence for an error, the right exit code."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crowdstream import __version__, cli
from crowdstream.cli import COMMANDS, exit_code_of, main, parser
from crowdstream.errors import (
    Busy,
    ConfigError,
    CrowdstreamError,
    DeviceError,
    MediaError,
    StageFailed,
    UsageError,
    WorkerError,
)

EXECUTABLE = Path(sys.executable).with_name("crowdstream")


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`crowdstream stages` raises what the test says."""

    def install(error: BaseException) -> None:
        def run(arguments: argparse.Namespace) -> int:
            raise error

        monkeypatch.setattr("crowdstream.commands.stages.run", run)

    return install


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert f"example: crowdstream {name}" in text


def test_help_lists_every_command_and_the_version_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"    {name} " in text for name in COMMANDS)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"crowdstream {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["check", "--devises"],
        ["check", "more"],
        ["check", "--conf", "x"],
        ["analyze"],
        ["analyze", "x.mp4", "--fps", "many"],
        ["models"],
        ["models", "burn"],
        ["report"],
        ["run", "--for", "ever"],
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Options are not abbreviated: a script that works today works tomorrow."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--help" in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("one", "two"), 78, "one\ntwo\n"),
        (UsageError("no"), 2, "crowdstream stages: no\n"),
        (DeviceError("no camera"), 69, "crowdstream stages: no camera\n"),
        (MediaError("no video"), 1, "crowdstream stages: no video\n"),
        (Busy("runs"), 75, "crowdstream stages: runs\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "crowdstream stages: /x: Permission"),
        (OSError("the cable was pulled"), 1, "crowdstream stages: the cable was pulled\n"),
        (ZeroDivisionError("oops"), 1, "crowdstream stages: ZeroDivisionError: oops (this is a"),
        (
            chained(StageFailed("camera", DeviceError("gone")), DeviceError("gone")),
            69,
            "crowdstream stages: camera: gone\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(
    error: BaseException,
    code: int,
    said: str,
    raising: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raising(error)
    assert main(["stages"]) == code
    out, err = capsys.readouterr()
    assert (out, err[: len(said)]) == ("", said)
    assert "Traceback" not in err


@pytest.mark.parametrize("argv", [["--debug", "stages"], ["stages", "--debug"]])
def test_debug_shows_where_it_comes_from_before_or_after_the_command(
    argv: list[str], raising: Any
) -> None:
    raising(MediaError("no video"))
    with pytest.raises(MediaError):
        main(argv)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (chained(StageFailed("a", MediaError("m")), MediaError("m")), 1),
        (
            chained(
                StageFailed("a", ValueError()),
                chained(WorkerError("w"), ConfigError("c")),
            ),
            78,
        ),
        (chained(UsageError("u"), DeviceError("d")), 2),
        (chained(DeviceError("d"), OSError("o")), 69),
        (ValueError("v"), 1),
        (CrowdstreamError("c"), 1),
    ],
)
def test_the_exit_code_is_that_of_the_cause_at_the_bottom(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


def test_whoever_stops_reading_is_no_failure() -> None:
    """`crowdstream stages map_tempo | head -1` ends well and says nothing."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {EXECUTABLE} stages report | head -c 1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("argv", [["check", "--pipeline", "nowhere"], ["nonsense"]])
@pytest.mark.parametrize("start", [[str(EXECUTABLE)], [sys.executable, "-m", "crowdstream"]])
def test_the_real_program_says_the_same_on_stderr(start: list[str], argv: list[str]) -> None:
    done = subprocess.run(
        [*start, *argv], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert done.returncode == (78 if argv[0] == "check" else 2)
    assert "no pipeline is called nowhere" in done.stderr or "invalid choice" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_command_shadows_another() -> None:
    assert len(set(COMMANDS)) == len(COMMANDS)
    assert set(cli.COMMANDS) == set(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]
