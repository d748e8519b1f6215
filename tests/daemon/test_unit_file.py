"""The unit in systemd/: what it promises, and that systemd understands every line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "crowdstream.service"
INSTALLED = "/opt/crowdstream/bin/crowdstream"


def _settings() -> dict[str, list[str]]:
    """Every assignment of the unit, in order, comments left out."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#;[":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_it_is_watched_and_restarted_for_ever() -> None:
    """Only a wrong configuration ends the restarts."""
    unit = _settings()
    expected = {
        "Type": ["notify"],
        "WatchdogSec": ["10"],
        "Restart": ["always"],
        "StartLimitIntervalSec": ["0"],
        "RestartPreventExitStatus": ["78"],
        "ExecReload": ["/bin/kill -HUP $MAINPID"],
        "KillMode": ["mixed"],
        "LimitCORE": ["0"],
    }
    assert {key: unit.get(key) for key in expected} == expected


def test_a_failed_check_does_not_restart_for_ever() -> None:
    """RestartPreventExitStatus looks at the main program only, so the check may fail."""
    unit = _settings()
    config = "--config /etc/crowdstream/config.toml"
    assert unit["ExecStartPre"] == [f"-{INSTALLED} check {config}"]
    assert unit["ExecStart"] == [f"{INSTALLED} run {config}"]


def test_sound_may_ask_for_real_time() -> None:
    """limits.d does not reach services, and no filter takes the call away."""
    unit = _settings()
    assert {"LimitRTPRIO", "LimitMEMLOCK", "LimitNICE"} <= unit.keys()
    assert "@resources" not in " ".join(unit["SystemCallFilter"])


@pytest.mark.parametrize(
    "key",
    [
        "MemoryDenyWriteExecute",
        "RestrictRealtime",
        "PrivateDevices",
        "PrivateNetwork",
        "PrivateUsers",
        "ProcSubset",
        "CPUSchedulingPolicy",
    ],
)
def test_what_is_left_out_says_why(key: str) -> None:
    """These would silence the sound or blind the eyes; a comment tells the next reader."""
    assert key not in _settings()
    assert f"{key}=" in UNIT.read_text(encoding="utf-8")


def _unit_of_this_machine(folder: Path) -> Path:
    """The unit with a program that exists here, since verify looks for it."""
    program = Path(sys.executable).with_name("crowdstream")
    here = str(program) if program.is_file() else "/bin/true"
    copy = folder / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(INSTALLED, here), encoding="utf-8")
    return copy


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: install the package systemd")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=15, check=False
    )


@pytest.mark.system
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """Unknown keys and wrong values are only warnings there, so silence counts too."""
    result = _analyze("verify", str(_unit_of_this_machine(tmp_path)))
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


@pytest.mark.system
def test_verify_would_notice_a_wrong_line(tmp_path: Path) -> None:
    """The judge of the test above is awake."""
    unit = _unit_of_this_machine(tmp_path)
    unit.write_text(unit.read_text().replace("WatchdogSec=10", "WatchdogSec=soon"))
    assert "soon" in _analyze("verify", str(unit)).stderr


@pytest.mark.system
def test_exposure_stays_below_two(tmp_path: Path) -> None:
    """The bare unit scores above nine of ten."""
    unit = str(_unit_of_this_machine(tmp_path))
    result = _analyze("security", "--offline=true", "--threshold=20", unit)
    assert result.returncode == 0, result.stdout
