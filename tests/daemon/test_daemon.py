"""Facts about the daemon as a process: systemd, signals, faults, and that nothing is left."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from crowdstream.testing.daemon import Daemon, until
from crowdstream.testing.jack import JackServer

Run = Callable[..., Daemon]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SHARED_MEMORY = Path("/dev/shm")


def shared_memory() -> set[str]:
    """What of ours lies in shared memory with a name; a JACK server of another test is not ours."""
    found = {path.name for path in SHARED_MEMORY.glob("*crowdstream*")}
    return {name for name in found if not name.startswith("jack_")}


def nobody_left(daemon: Daemon) -> bool:
    return not daemon.children()


# ---- a daemon that plays -------------------------------------------------------------------------


def test_systemd_hears_that_it_is_ready_and_lives_and_how_it_goes(playing: Daemon) -> None:
    """READY once, WATCHDOG at least three times in its period, a STATUS line with the music."""
    until("WATCHDOG=1", lambda: playing.notified().count("WATCHDOG=1") >= 5)
    status = until(
        "STATUS=", lambda: [s for s in playing.notified() if "BPM" in s and "energy" in s]
    )
    assert playing.notified().count("READY=1") == 1
    assert status[0].startswith("STATUS=")


def test_without_a_sound_card_it_says_so_once_and_keeps_time(playing: Daemon) -> None:
    """No device here: the state is `silent`, the music's clock goes on, one line in the log."""
    first = until("playing", lambda: playing.status().get("playing"))
    until("a second status", lambda: playing.status().get("playing") != first)
    assert playing.status()["playing"]["state"] == "silent"
    assert len(playing.log("sound_silent")) == 1


def test_a_second_daemon_is_refused_and_the_first_does_not_notice(playing: Daemon) -> None:
    """Exit 75 with one sentence that names the first."""
    before = playing.status()["stages"]
    second = subprocess.run(
        [sys.executable, "-m", "crowdstream", "run", "--source", "crowd:n=5"], text=True,
        capture_output=True, timeout=60, check=False, env=psutil.Process(playing.pid).environ(),
    )  # fmt: skip
    assert second.returncode == 75
    assert str(playing.pid) in second.stderr
    assert "Traceback" not in second.stderr
    until("a later status", lambda: playing.status().get("stages") not in (None, before))
    assert [s["restarts"] for s in playing.status()["stages"]] == [s["restarts"] for s in before]


def test_sighup_is_no_end(playing: Daemon) -> None:
    """It reads its configuration anew and goes on."""
    ready = playing.notified().count("READY=1")
    playing.signal(signal.SIGHUP)
    until("READY=1 after RELOADING=1", lambda: playing.notified().count("READY=1") == ready + 1)
    assert "RELOADING=1" in playing.notified()
    assert playing.process.poll() is None


def test_a_player_that_is_killed_is_made_anew(playing: Daemon) -> None:
    """The daemon stays, the stage restarts, and something plays again."""
    player = until("the player", lambda: playing.child("player"))
    player.send_signal(signal.SIGKILL)

    def plays_again() -> bool:
        stages = {stage["name"]: stage for stage in playing.status().get("stages", ())}
        speakers = stages.get("speakers", {"restarts": 0})
        sent = speakers.get("since_sent_seconds")
        return (
            speakers["restarts"] == 1
            and speakers["state"] == "running"
            and (sent is not None and sent < 1.0)
        )

    until("playing again", plays_again, 40.0)
    assert playing.process.poll() is None
    assert "READY=1" in playing.notified()


def test_an_armed_show_begins_at_sigusr1_and_goes_on_after_a_crash(
    run: Run, tmp_path: Path, jack: JackServer
) -> None:
    """Silent until then; the daemon that comes after kill -9 plays. An orderly end forgets it."""
    config = tmp_path / "config.toml"
    config.write_text('[speakers]\nstart = "armed"\nhost_api = "JACK"\n')
    arguments = ("--config", str(config), "--source", "crowd:n=5")

    def state(daemon: Daemon) -> str:
        return str((daemon.status().get("playing") or {}).get("state", ""))

    first = run(*arguments, **jack.environment)
    until("armed", lambda: state(first) == "armed")
    for child in first.children():
        child.send_signal(signal.SIGUSR1)  # as a careless `systemctl kill` would
    first.signal(signal.SIGUSR1)
    until("playing", lambda: state(first) not in ("", "armed"))
    assert len(first.log("show_begun")) == 1
    assert not first.log("stage_restarted")
    until("the note", (first.folder / "state" / "show_begun").exists)
    first.signal(signal.SIGKILL)
    first.ends(3.0)
    until("no child left", lambda: nobody_left(first), 3.0)

    second = run(*arguments, **jack.environment)
    until("playing again", lambda: state(second) not in ("", "silent"))
    assert state(second) != "armed"
    assert len(second.log("show_goes_on")) == 1
    second.signal(signal.SIGTERM)
    assert second.ends(4.0) == 0
    assert not (second.folder / "state" / "show_begun").exists()


# ---- ends ----------------------------------------------------------------------------------------


def test_sigterm_ends_everything_within_three_seconds(run: Run) -> None:
    """Exit 0, STOPPING=1, no child, nothing in shared memory."""
    before = shared_memory()
    daemon = run("--source", "crowd:n=5")
    assert len(daemon.children()) >= 2
    daemon.signal(signal.SIGTERM)
    assert daemon.ends(3.0) == 0
    assert "STOPPING=1" in daemon.notified()
    until("no child left", lambda: nobody_left(daemon), 1.0)
    assert shared_memory() == before
    assert not (daemon.runtime / "status.json").exists()


def test_a_second_sigterm_does_not_wait(run: Run, clip: Path) -> None:
    """Also while a child is stuck: the end comes at once, and takes the children along."""
    daemon = run("--source", str(clip))
    stuck = until("the player", lambda: daemon.child("player"))
    stuck.suspend()
    daemon.signal(signal.SIGTERM)
    until("STOPPING", lambda: daemon.log("stop_asked"))
    daemon.signal(signal.SIGTERM)
    assert daemon.ends(3.0) in (0, 1)
    until("no child left", lambda: nobody_left(daemon), 1.0)


def test_after_kill_9_nothing_is_left(run: Run, clip: Path) -> None:
    """No child a second later, nothing in shared memory, and the next one starts."""
    before = shared_memory()
    daemon = run("--source", str(clip))
    assert len(daemon.children()) >= 2
    daemon.signal(signal.SIGKILL)
    assert daemon.ends(1.0) == -signal.SIGKILL
    until("no child left", lambda: nobody_left(daemon), 1.0)
    assert shared_memory() == before
    again = run(
        "--source", str(clip), "--for", "0.5", ready=False, CROWDSTREAM_RUNTIME=str(daemon.runtime)
    )
    assert again.ends(60.0) == 0


def test_once_ends_with_the_file_and_the_record_is_whole(
    run: Run, clip: Path, tmp_path: Path
) -> None:
    """Exit 0 by itself; a line for each tenth of a second, each of them JSON."""
    show = tmp_path / "show.jsonl"
    daemon = run("--source", str(clip), "--once", "--record", str(show), ready=False)
    assert daemon.ends(60.0) == 0
    lines = [json.loads(line) for line in show.read_text().splitlines()]
    told = [line for line in lines if "energy" in line]
    assert len(told) >= 10
    assert all(0.0 <= line["energy"] <= 1.0 for line in told if line["energy"] is not None)


def test_a_loop_of_the_clip_makes_no_jump_of_energy(run: Run, clip: Path, tmp_path: Path) -> None:
    """The clip ends on one side of the swing and begins on the other; the energy does not step."""
    show = tmp_path / "show.jsonl"
    daemon = run("--source", str(clip), "--record", str(show), "--for", "7", ready=False)
    assert daemon.ends(90.0) == 0
    lines = [json.loads(line) for line in show.read_text().splitlines()]
    energy = [(line["t"], line["energy"]) for line in lines if line.get("energy") is not None]
    steps = [(at, abs(b - a)) for (_, a), (at, b) in itertools.pairwise(energy) if at > 2.6]
    at_loops = [step for at, step in steps if at % 2.0 < 0.5]
    elsewhere = [step for at, step in steps if at % 2.0 >= 0.5]
    assert len(at_loops) >= 8
    assert min(level for at, level in energy if at > 1.0) > 0.0
    assert max(at_loops) < max(1.5 * max(elsewhere), 0.03)


# ---- what cannot work ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "config", "status", "said"),
    [
        (["--source", "/no/such/clip.mp4"], "", 69, "clip.mp4"),
        (["--source", "/dev/video99"], "", 69, "video99"),
        (["--source", "TEXT"], "", 69, "text.mp4"),
        (["--source", "crowd:n=5"], "[speakers]\nblok_samples = 3\n", 78, "block_samples"),
        (["--source", "crowd:n=5", "--pipeline", "nowhere"], "", 78, "nowhere"),
    ],
    ids=["no clip", "no camera", "a text", "unknown key", "no recipe"],
)
def test_what_cannot_work_is_one_sentence_and_a_status(
    run: Run, tmp_path: Path, arguments: list[str], config: str, status: int, said: str
) -> None:
    """The right exit status, what it was about, and no traceback.

    A file that is no video cannot be opened as a source: that is 69, as for one that is not there.
    """
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 200)
    file = tmp_path / "config.toml"
    file.write_text(config)
    arguments = [str(text) if argument == "TEXT" else argument for argument in arguments]
    daemon = run(*arguments, "--config", str(file), ready=False)
    assert daemon.ends(60.0) == status
    assert said in daemon.text()
    assert "Traceback" not in daemon.text()
    assert "READY=1" not in daemon.notified()


# ---- with others ---------------------------------------------------------------------------------


@pytest.mark.system
def test_the_music_goes_on_while_the_daemon_hangs(
    run: Run, jack: JackServer, tmp_path: Path
) -> None:
    """SIGSTOP for three seconds, as a loop that hangs: the card hears music all the while."""
    config = tmp_path / "config.toml"
    config.write_text("[speakers]\nrules = { fade_in_seconds = 0.0 }\n")
    with jack.recording(60.0) as recording:
        daemon = run("--source", "crowd:n=5", "--config", str(config), **jack.environment)
        heard = until("sound", lambda: daemon.log("sound_opened"))
        assert heard[0]["device"] == "system"
        until("a second of sound", lambda: recording.seconds() > 1.0)
        daemon.signal(signal.SIGSTOP)
        begin = recording.seconds()
        until("three seconds of sound", lambda: recording.seconds() > begin + 3.0)
        end = recording.seconds()
        daemon.signal(signal.SIGCONT)
        until("it goes on", lambda: daemon.status().get("playing"))
        daemon.signal(signal.SIGTERM)
        assert daemon.ends(5.0) == 0
        sound = np.abs(recording.sound()).max(axis=1)
    meanwhile = sound[int(begin * jack.rate) : int(end * jack.rate)]
    loud = np.flatnonzero(meanwhile > 1e-3)
    assert len(loud)
    assert np.diff(loud, prepend=0, append=len(meanwhile)).max() < 0.05 * jack.rate


@pytest.mark.system
@pytest.mark.skipif(shutil.which("oscdump") is None, reason="needs liblo-tools")
def test_a_real_receiver_hears_energy_and_music(run: Run, tmp_path: Path) -> None:
    """`oscdump` of liblo gets energy, tempo, beats, bars, stems and state."""
    port = _free_port()
    config = tmp_path / "config.toml"
    config.write_text(f'[osc_out]\ntargets = [{{ host = "127.0.0.1", port = {port} }}]\n')
    heard = tmp_path / "heard"
    with heard.open("w") as out:
        receiver = subprocess.Popen(["stdbuf", "-oL", "oscdump", str(port)], stdout=out)
    try:
        daemon = run("--source", "crowd:n=5", "--config", str(config))
        wanted = {"energy", "bpm", "beat", "bar", "stem/drums/gain", "state", "confidence"}

        def addresses() -> set[str]:
            fields = [line.split() for line in heard.read_text().splitlines()]
            return {f[1].removeprefix("/crowdstream/") for f in fields if len(f) > 1}

        until("everything", lambda: wanted <= addresses())
        daemon.signal(signal.SIGTERM)
        assert daemon.ends(5.0) == 0
        assert daemon.log("osc_sending_ended")[0]["motion_age_p95_ms"] > 0.0
    finally:
        receiver.kill()
        receiver.wait()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
