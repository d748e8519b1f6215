"""What the commands print and return: right input, wrong input, and no harm done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from crowdstream import registry
from crowdstream.cli import main
from crowdstream.music.library import write_track
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks
from crowdstream.testing.shows import write_a_show


class Output(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Output]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run a command in an empty folder, with a state of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROWDSTREAM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CROWDSTREAM_RUNTIME", str(tmp_path / "runtime"))
    kernels = os.environ.get("NUMBA_CACHE_DIR")

    def call(*argv: str | Path) -> Output:
        try:
            code = main([str(word) for word in argv])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Output(code, out, err)

    yield call
    # A command sets it for the life of its process, which here is that of all tests.
    os.environ.pop("NUMBA_CACHE_DIR", None)
    if kernels is not None:
        os.environ["NUMBA_CACHE_DIR"] = kernels


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def a_clip(name: str, frames: int = 20) -> Path:
    """A square that goes from left to right."""
    writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (160, 90))
    for number in range(frames):
        picture = np.full((90, 160, 3), 40, np.uint8)
        picture[30:60, 4 * number : 4 * number + 30] = 200
        writer.write(picture)
    writer.release()
    return Path(name)


SHORT = 'offline = true\n[[stage]]\nuse = "energy_curve"\n[[stage]]\nuse = "report"\n'


# check


def test_check_says_that_everything_is_right(run: Run) -> None:
    code, out, err = run("check")
    assert (code, out) == (0, "everything is right\n")
    assert err == "configuration: none found, defaults\n"


def test_check_tells_every_mistake_of_both_files_at_once(run: Run) -> None:
    config = write(
        "etc/config.toml",
        'pipeline = "mine"\n[log]\nlevle = "info"\n[speakers]\nrate = 22050\n'
        "[measure_energy]\nattack_seconds = nan\n",
    )
    write(
        "etc/pipelines/mine.toml",
        '[[stage]]\nuse = "energy_curve"\nrate_hz = 1000\n[[stage]]\nuse = "estimate_pose"\n',
    )
    code, out, err = run("check", "--config", config)
    assert (code, out) == (78, "5 mistakes\n")
    assert err.splitlines() == [
        "configuration: etc/config.toml",
        "etc/config.toml, line 3: log.levle: no such setting; did you mean level?",
        (
            "etc/pipelines/mine.toml: stage 1 (energy_curve), line 3: rate_hz: is 1000;"
            " must be at most 100"
        ),
        (
            "etc/pipelines/mine.toml: stage 2 (estimate_pose): takes Frame, but energy_curve"
            " gives Energy"
        ),
        "etc/config.toml: speakers, line 5: rate: is 22050; one of: 44100, 48000",
        (
            "etc/config.toml: measure_energy, line 7: attack_seconds: is nan;"
            " must be a finite number"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "config.toml: is not TOML: "),
        ('pipeline = "liev"', "no pipeline is called liev; did you mean live?"),
        (
            "pipeline = 3",
            'config.toml, line 1: pipeline: is 3; write it as text in quotes, like "3"',
        ),
        ("[camera]\nfps = -1", "config.toml: camera, line 2: fps: is -1; must be more than 0"),
        (
            "[camera]\nfps = inf",
            "config.toml: camera, line 2: fps: is inf; must be a finite number",
        ),
        (
            "[camera]\nfpss = 5",
            "config.toml: camera, line 2: fpss: no such setting; did you mean f",
        ),
        ("[cammera]", "config.toml, line 1: cammera: no such setting; did you mean camera?"),
        ("[wav_file]\nbits = 8", "config.toml: wav_file, line 2: bits: is 8; one of: 16, 24"),
        (
            "[osc_out]\ntargets = [{ host = 'x', port = 0 }]",
            "config.toml: osc_out, line 2: targets",
        ),
    ],
)
def test_each_mistake_is_one_sentence_and_exit_78(run: Run, text: str, said: str) -> None:
    write("config.toml", text)
    code, out, err = run("check")
    mistakes = err.splitlines()[1:]
    assert (code, out, len(mistakes)) == (78, "1 mistake\n", 1)
    assert mistakes[0].startswith(said)


def test_a_config_that_is_not_there_is_told(run: Run) -> None:
    code, _, err = run("check", "--config", "nowhere.toml")
    assert (code, err.splitlines()[1:]) == (78, ["nowhere.toml: no such configuration"])


def test_another_config_in_this_folder_is_told_of(run: Run) -> None:
    write("config.toml", "")
    write("etc/config.toml", "")
    assert "note: " in run("check", "--config", "etc/config.toml").err


def test_check_warns_of_loops_that_no_phrase_fits_into(run: Run) -> None:
    write("config.toml", "[speakers.rules]\nsegment_beats = 40\n")
    code, out, err = run("check")
    assert (code, out) == (0, "everything is right\n")
    assert "speakers.rules: segment_beats is 40" in err
    assert "32 is played" in err
    write("config.toml", "[speakers.rules]\nsegment_beats = 64\n")
    assert "segment_beats" not in run("check").err


STEMS = "drums = [1, 2], bass = [3, 4], vocals = [5, 6]"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("cue_channels = [2, 3]", "1: the whole: channel 2 is in channels and in cue_channels"),
        ("cue_channels = [3]", "2: cue_channels.1: is missing and must be given"),
        ("cue_channels = [3, 3]", "2: cue_channels: two different channels, counted from 1"),
        (
            f"stem_channels = {{ {STEMS}, other = [7, 8] }}\nchannels = [1, 2]",
            "1: the whole: channel 1 is in channels and in stem_channels.drums",
        ),
        (f"stem_channels = {{ {STEMS}, keys = [7, 8] }}", "2: stem_channels.keys: no such setting"),
        (f"stem_channels = {{ {STEMS} }}", "2: stem_channels.other: is missing and must be given"),
        ('start = "armd"', '2: start: is "armd"; one of: playing, armed; did you mean armed?'),
    ],
)
def test_check_names_channels_that_cannot_be(run: Run, lines: str, said: str) -> None:
    """Each with its line, and what would be right."""
    write("config.toml", f"[speakers]\n{lines}\n")
    code, _, err = run("check", "--config", "config.toml")
    assert code == 78
    assert f"speakers, line {said}" in err


def test_check_for_scripts(run: Run) -> None:
    write("config.toml", "[healt]")
    code, out, err = run("check", "--json")
    facts = json.loads(out)
    assert (code, err, facts["ok"], len(facts["mistakes"])) == (78, "", False, 1)


def test_check_effective_tells_where_each_value_comes_from(run: Run) -> None:
    write("config.toml", 'pipeline = "mine"\n[programme]\nbpm = 100\n[energy_curve]\nseconds = 5\n')
    write("pipelines/mine.toml", SHORT + 'path = "x.jsonl"\n')
    code, out, _ = run("check", "--effective")
    assert code == 0
    lines = {line.strip() for line in out.splitlines()}
    assert "pipeline = 'mine'    (config.toml, line 1)" in lines
    assert "bpm = 100.0    (config.toml, line 3)" in lines
    assert "intensity = 0.5    (default)" in lines
    assert "seconds = 5.0    (config.toml, line 5)" in lines
    assert "path = 'pipelines/x.jsonl'    (pipelines/mine.toml, line 6)" in lines
    assert "rate_hz = 20.0    (default)" in lines


def test_check_devices_opens_each_and_leaves_nothing(run: Run) -> None:
    write("pipelines/mine.toml", SHORT)
    code, out, _ = run("check", "--pipeline", "mine", "--pipelines", "pipelines", "--devices")
    assert (code, out) == (0, "everything is right\n")
    assert sorted(path.name for path in Path().rglob("*.jsonl*")) == []


def test_check_devices_tells_what_is_not_there(run: Run) -> None:
    write(
        "pipelines/mine.toml",
        '[[stage]]\nuse = "camera"\ndevice = "/dev/video97"\n[[stage]]\nuse = "estimate_pose"\n',
    )
    code, out, err = run("check", "--pipeline", "mine", "--pipelines", "pipelines", "--devices")
    assert (code, out) == (78, "1 mistake\n")
    *notes, mistake = err.splitlines()[1:]
    assert mistake.startswith("camera: there is no camera /dev/video97")
    assert [note.split(":")[:2] for note in notes] == [["note", " estimate_pose"]]


def test_check_tells_of_a_strangers_stages_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "packages_distributions", lambda: {"stages": ["theatre"]})
    code, _, err = run("check")
    assert code == 78
    assert "several packages bring a folder called stages: crowdstream and theatre" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[speakers]\nlibrary = "music"',
            "config.toml: speakers, line 2: library: there is no folder music",
        ),
        (
            '[speakers]\nlibrary = "etc"',
            "config.toml: speakers, line 2: library: etc holds no track: a folder with a track.toml",
        ),
        ('models_folder = "m"', "config.toml, line 1: models_folder: there is no folder m"),
        (
            '[estimate_pose]\nmodel = "./x.onnx"',
            "config.toml: estimate_pose, line 2: model: no model at x.onnx: check the path",
        ),
        (
            '[estimate_pose]\nmodel = "m/x.pt"',
            "config.toml: estimate_pose, line 2: model: m/x.pt may hold a pickle",
        ),
    ],
)
def test_check_tells_of_folders_and_files_that_are_not_there(
    run: Run, text: str, said: str
) -> None:
    """Before the night, not when the first guests wait for the music."""
    write("config.toml", text)
    Path("etc").mkdir()
    code, _, err = run("check")
    (mistake,) = err.splitlines()[1:]
    assert (code, mistake.startswith(said)) == (78, True), mistake


def test_a_library_with_a_track_is_right(run: Run) -> None:
    write("config.toml", '[speakers]\nlibrary = "music"')
    write("music/one/track.toml", "")
    assert run("check").code == 0


def test_a_folder_of_recipes_that_is_not_there_is_told(run: Run) -> None:
    code, _, err = run("check", "--pipelines", "nowhere")
    assert (code, err.splitlines()[1:]) == (78, ["--pipelines: there is no folder nowhere"])


@pytest.mark.parametrize("more", [(), ("--effective",), ("--json",)])
def test_check_shows_no_password(run: Run, more: tuple[str, ...]) -> None:
    """People paste what it prints into a mail."""
    secret = "http://admin:hunter2@10.0.0.9/x"
    write("config.toml", f'pipeline = "live"\n[camera]\ndevice = "{secret}"\nfps = "{secret}"\n')
    _, out, err = run("check", *more)
    assert "hunter2" not in out + err
    write("config.toml", f'[speakers]\ndevice = "{secret}"\n')
    code, out, err = run("check", *more)
    assert (code, "hunter2" in out + err) == (0, False)
    assert ("http://***@10.0.0.9/x" in out) == (more == ("--effective",))


# stages


def test_stages_are_listed_with_one_line_each(run: Run) -> None:
    code, out, _ = run("stages")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["measure_energy"].endswith("(Motion or People -> Energy)")
    assert list(lines) == sorted(registry.stage_names())


def test_one_stage_is_explained_from_its_class(run: Run) -> None:
    code, out, _ = run("stages", "speakers")
    assert code == 0
    assert out.startswith("speakers: Mix -> Playing\n")
    assert "  rate: Samples a second. (default 44100)\n" in out
    assert "    turn_bars: The tempo turns at most once in so many bars. (default 16)\n" in out
    assert "Example:\n" in out


def test_stages_for_scripts(run: Run) -> None:
    (facts,) = json.loads(run("stages", "video_file", "--json").out)
    assert (facts["takes"], facts["sends"]) == ([], ["Frame"])
    assert facts["what"] == "Read a video as if it were the floor."
    assert facts["settings"]["path"]["required"] is True
    assert len(json.loads(run("stages", "--json").out)) == len(registry.stage_names())


def test_an_unknown_stage_is_wrong_usage(run: Run) -> None:
    code, out, err = run("stages", "map_temp")
    assert (code, out) == (2, "")
    assert err == "crowdstream stages: no stage is called map_temp; did you mean map_tempo?\n"


def test_a_broken_plugin_does_not_spoil_the_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("confetti", "no_such_module_at_all:X", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    code, out, _ = run("stages")
    assert (code, out.startswith("confetti         cannot be used: ")) == (0, True)
    (facts,) = json.loads(run("stages", "--json").out)
    assert "cannot be imported" in facts["error"]
    assert run("stages", "confetti").code == 78


# devices, doctor


def test_devices_and_why_there_are_none(run: Run) -> None:
    code, out, _ = run("devices", "--json")
    facts = json.loads(out)
    assert code == 0
    assert set(facts) == {"cameras", "outputs", "outputs_why"}
    assert bool(facts["outputs"]) == (facts["outputs_why"] is None)
    code, out, _ = run("devices")
    assert (code, out.startswith("cameras:\n"), "audio outputs:\n" in out) == (0, True, True)


def fake_child(stdout: str, code: int = 0, stderr: str = "") -> Callable[..., Any]:
    def child(argv: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, code, stdout, stderr)

    return child


@pytest.mark.parametrize(
    ("child", "outputs", "why"),
    [
        (fake_child('a driver\'s noise\n[{"name": "USB"}]\n'), 1, None),
        (fake_child("[]\n"), 0, "PortAudio knows no output"),
        (fake_child("", 1, "OSError: PortAudio library not found"), 0, "libportaudio2"),
        (fake_child("", -11), 0, "PortAudio could not be asked"),
    ],
)
def test_what_portaudio_does_is_its_childs_business(
    child: Callable[..., Any], outputs: int, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crowdstream.commands import devices

    monkeypatch.setattr("crowdstream.commands.devices.subprocess.run", child)
    found = devices.devices()
    assert len(found["outputs"]) == outputs
    assert (found["outputs_why"] is None) if why is None else (why in found["outputs_why"])


def test_portaudio_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from crowdstream.commands import devices

    def hang(argv: list[str], **kwargs: Any) -> None:
        raise subprocess.TimeoutExpired(argv, 10)

    monkeypatch.setattr("crowdstream.commands.devices.subprocess.run", hang)
    assert devices.devices()["outputs_why"] == "PortAudio did not answer within 10 s"


@pytest.fixture
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    none = {"cameras": [], "outputs": [], "outputs_why": "not asked"}
    monkeypatch.setattr("crowdstream.commands.devices.devices", lambda: none)


@pytest.mark.usefixtures("no_devices")
def test_doctors_page_has_what_a_helper_asks_for(run: Run) -> None:
    write("config.toml", "[camera]\nfps = 25\n")
    code, out, _ = run("doctor", "--json")
    page = json.loads(out)
    assert code == 0
    assert page["config"]["path"] == str(Path("config.toml").absolute())
    assert page["config"]["stages"]["camera"]["fps"] == 25
    assert page["places"]["state"].endswith("state")
    assert page["packages"]["numpy"]
    assert page["running"] is None
    code, out, _ = run("doctor")
    assert (code, "  numpy: " in out) == (0, True)


@pytest.mark.usefixtures("no_devices")
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('separate = "off"', "nothing gives them stems: separate is off"),
        ('separate = "fast"', "the daemon gives them stems in the background, quality fast"),
        ("", "nothing gives them stems: "),
    ],
)
def test_doctor_tells_of_the_music_and_of_what_becomes_of_whole_tracks(
    run: Run, settings: str, told: str
) -> None:
    write_clicks(Path("tracks"), [a_track("four", form=SHORT_FORM[:1])])
    whole, folder = a_track("whole", form=SHORT_FORM[:1]), Path("tracks/whole")
    write("tracks/whole/mix.flac", "sound")
    write_track(replace(whole, folder=folder, files={"mix": "mix.flac"}))
    write("config.toml", f'[speakers]\nlibrary = "tracks"\n{settings}\n')
    music = json.loads(run("doctor", "--json").out)["music"]
    folder = Path("tracks").absolute()
    assert music[0] == f"2 tracks in {folder}, of which 1 have no stems and play whole"
    assert music[1].startswith(told)
    assert len(music) == 2


@pytest.mark.usefixtures("no_devices")
def test_doctor_says_that_a_library_without_tracks_is_not_what_plays(run: Run) -> None:
    """A disk that is not there, say."""
    Path("tracks").mkdir()
    write("config.toml", '[speakers]\nlibrary = "tracks"\n')
    music = json.loads(run("doctor", "--json").out)["music"]
    folder = Path("tracks").absolute()
    assert music == [f"{folder} holds no track that can be played: the built-in tracks"]


@pytest.mark.usefixtures("no_devices")
def test_doctor_tells_of_models_and_of_the_daemon_in_plain_lines(run: Run) -> None:
    """Whoever helps reads it on a telephone."""
    write("models/a.onnx", "x" * 2_000_000)
    write("config.toml", "")
    age = {"count": 3, "p50": 20.04, "p95": 31.0, "largest": 99.0}
    stage = {
        "name": "camera", "state": "restarting", "why": "is gone", "restarts": 2, "taken": 0,
        "sent": 7, "dropped": 1, "latency": {"Frame": age}, "work": age | {"count": 0},
    }  # fmt: skip
    change = {"at": 40.0, "stage": "camera", "state": "restarting", "why": "is gone"}
    status = {
        "pid": os.getpid(), "at": 42.5, "state": "degraded", "stages": [stage],
        "changes": [change], "energy": None, "playing": None,
    }  # fmt: skip
    write("runtime/status.json", json.dumps(status))
    lines = [line.strip() for line in run("doctor").out.splitlines()]
    assert "- a: here, onnx, 2.0 MB, new" in lines
    assert f"path: {Path('config.toml').absolute()}" in lines
    told = lines[lines.index("running:") + 1 :]
    assert told == [
        f"process {os.getpid()}, degraded",
        (
            "camera restarting, is gone, 2 restarts, took 0, sent 7, dropped 1,"
            " Frame 20.0 ms (95 %: 31.0)"
        ),
        "last changes:",
        "2.5 s before: camera restarting: is gone",
    ]


def test_known_weights_are_listed_with_what_they_are_for(run: Run) -> None:
    manifest = Path(__file__).parents[2] / "models" / "manifest.toml"
    write("models/manifest.toml", manifest.read_text())
    write("config.toml", "")
    lines = {line.split()[0]: line for line in run("models", "list").out.splitlines()}
    assert "not here; for stems: " in lines["htdemucs"]
    assert "not here; for pose: " in lines["yolov8n-pose"]


@pytest.mark.parametrize("action", ["list", "add", "pull", "export", "verify"])
def test_each_action_on_models_has_an_example(run: Run, action: str) -> None:
    assert f"example: crowdstream models {action}" in run("models", action, "--help").out


@pytest.mark.parametrize("command", [("run", "--for", "3"), ("analyze", "clip.mp4")])
def test_a_model_that_is_none_is_told_before_anything_starts(
    run: Run, command: tuple[str, ...]
) -> None:
    """However short the run: it does not end well because nobody had opened the model yet."""
    write("half.onnx", "half of it")
    code, out, err = run(*command, "--model", "./half.onnx")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"crowdstream {command[0]}: ./half.onnx is not a whole ONNX file: copy or export it again"
    )


@pytest.mark.parametrize("pixels", [1.5, 4.2])
def test_what_rounding_cost_is_told_after_an_export(
    run: Run, pixels: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one sentence says what to do where it is too much."""
    from crowdstream.models import ModelFile
    from crowdstream.vision import export
    from crowdstream.vision.drift import Drift

    made = export.Exported(
        ModelFile(name="n", form="openvino", paths=(Path("n.xml"), Path("n.bin"))),
        (export.Measured("drawn people", Drift(38, 0.0, pixels)),),
    )
    monkeypatch.setattr(export, "export_model", lambda *args, **kwargs: made)
    asked = ("models", "export", write("n.pt", "x"), "--trust", "--precision", "int8")
    code, out, err = run(*asked)
    assert (code, f"{pixels} px off and 0 % of people lost" in out) == (0, True)
    assert ("too coarse for this network (at most 2.5 px" in err) == (pixels > 2.5)
    (drift,) = json.loads(run(*asked, "--json").out)["drift"]
    assert drift == {"where": "drawn people", "people": 38, "lost": 0.0, "pixels": pixels}


def test_a_report_that_fails_leaves_nothing(run: Run) -> None:
    write_a_show(Path("night.jsonl"), seconds=5, people=0)
    code, _, err = run("report", "night.jsonl", "--mix", write("x.wav", "x"), "--out", "there")
    assert (code, "cannot be read as sound" in err) == (1, True)
    assert not Path("there").exists()


@pytest.mark.usefixtures("no_devices")
def test_doctor_tells_what_the_pose_model_is_computed_in(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing where nothing was chosen; and a damaged entry spoils no page."""
    monkeypatch.setenv("CROWDSTREAM_CACHE", str(tmp_path / "cache"))
    from crowdstream.vision.chosen import Choice, processor, remember

    monkeypatch.setenv("CROWDSTREAM_CACHE", str(tmp_path / "cache"))
    write("config.toml", "")
    page = json.loads(run("doctor", "--json").out)
    assert page["pose_precision"] == []
    assert "pose_precision" not in run("doctor").out
    cache = Path(page["places"]["cache"])
    choice = Choice(
        model="net", file="int8", precision="int8", milliseconds=22.04, pixels=2.4, lost=0.025,
        why="", reference="f32 of net.onnx (ONNX)", processor=processor(), engine="OpenVINO 1",
        threads=1, size=(1280, 720), at="2026-01-02T03:04+01:00",
    )  # fmt: skip
    remember(cache, "a", choice)
    remember(cache, "b", choice._replace(precision="f32", threads=2))
    told = (
        "- net: int8, 22.0 ms a picture of 1280x720 with 1 thread, its joints 2.4 px off and 2 % of"
        " people lost beside f32 of net.onnx (ONNX); measured 2026-01-02T03:04+01:00, OpenVINO 1"
    )
    lines = [line.strip() for line in run("doctor").out.splitlines()]
    at = lines.index("pose_precision:")
    assert lines[at + 1].startswith("- net: f32, 22.0 ms a picture of 1280x720 with 2 threads, the")
    assert lines[at + 2] == told
    found = json.loads((cache / "precision.json").read_text())
    found["choices"]["b"] = ["damaged"]
    (cache / "precision.json").write_text(json.dumps(found))
    code, out, _ = run("doctor", "--json")
    assert (code, json.loads(out)["pose_precision"]) == (0, [told[2:]])


@pytest.mark.usefixtures("no_devices")
def test_doctor_prints_its_page_of_a_wrong_configuration_too(run: Run) -> None:
    write("config.toml", "[camera]\nfps = -25\n[lgo]\n")
    code, out, err = run("doctor")
    assert code == 78
    assert "did you mean log?" in out
    assert "fps: is -25" in out
    assert err.endswith("2 mistakes in the configuration\n")


@pytest.mark.usefixtures("no_devices")
def test_doctor_masks_secrets(run: Run) -> None:
    write("config.toml", '[camera]\ndevice = "rtsp://me:hunter2@camera/1"\n')
    assert "hunter2" not in run("doctor").out


@pytest.mark.usefixtures("no_devices")
def test_doctor_shows_a_daemon_that_runs_and_no_dead_one(run: Run) -> None:
    status = {"pid": os.getpid(), "state": "running"}
    write("runtime/status.json", json.dumps(status))
    assert json.loads(run("doctor", "--json").out)["running"]["state"] == "running"
    for text in ('{"pid": 999999999}', "{", '{"pid": null}', "[]", '{"pid": 1}'):
        write("runtime/status.json", text)
        running = json.loads(run("doctor", "--json").out)["running"]
        assert (running is not None) == (text == '{"pid": 1}')


# models


def test_models_of_an_empty_folder(run: Run) -> None:
    write("config.toml", 'models_folder = "weights"\n')
    code, out, err = run("models", "list")
    assert (code, "models folder: weights" in err) == (0, True)
    assert all("not here" in line for line in out.splitlines())
    assert run("models", "verify").code == 0
    assert json.loads(run("models", "verify", "--json").out) == []


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("nowhere.onnx", None, 69), ("text.onnx", "hello", 1), ("weights.pkl", "PK", 78)],
)
def test_what_is_no_model_is_not_added(run: Run, name: str, content: str | None, code: int) -> None:
    write("config.toml", 'models_folder = "weights"\n')
    if content is not None:
        write(name, content)
    found, out, err = run("models", "add", name)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert name in err
    assert not list(Path("weights").glob("*"))


# report


def test_report_makes_page_picture_and_set_list(run: Run) -> None:
    write_a_show(Path("night.jsonl"), seconds=20.0, people=3)
    code, out, _ = run("report", "night.jsonl", "--out", "pages/night")
    assert (code, out) == (0, "")
    made = sorted(path.name for path in Path("pages/night").iterdir())
    assert made == ["report.html", "report.png", "setlist.csv"]


@pytest.mark.parametrize("content", [None, "", "no JSON\n", "[1, 2]\n", '{"event": "show"}\n'])
def test_what_is_no_show_is_one_sentence(run: Run, content: str | None) -> None:
    if content is not None:
        write("night.jsonl", content)
    code, out, err = run("report", "night.jsonl", "--out", "pages")
    assert code in (1, 69)
    assert (out, err.count("\n"), "night.jsonl" in err) == ("", 1, True)
    assert not list(Path("pages").glob("*"))


def test_a_report_that_cannot_be_written_is_one_sentence(run: Run) -> None:
    write_a_show(Path("night.jsonl"), seconds=5.0, people=1)
    write("pages", "a file stands in the way")
    code, _, err = run("report", "night.jsonl", "--out", "pages")
    assert (code, err) == (1, "crowdstream report: pages: File exists\n")


# analyze


def test_analyze_tells_the_movement_of_a_clip(run: Run) -> None:
    a_clip("clip.avi")
    code, out, _ = run("analyze", "clip.avi", "--json", "--model", "none", "--out", "o")
    summary = json.loads(out)
    assert code == 0
    assert set(summary) == {
        "video", "frames", "seconds", "fps", "eyes", "people", "energy", "movement", "groove",
        "synchrony", "tempo", "cost_ms", "frames_per_second",
    }  # fmt: skip
    assert (summary["video"], summary["frames"], summary["fps"]) == ("clip.avi", 20, 30.0)
    assert sorted(path.name for path in Path("o").iterdir()) == [
        "clip.html",
        "clip.jsonl",
        "clip.png",
    ]


def test_analyze_names_two_clips_of_one_name_apart(run: Run) -> None:
    Path("a").mkdir()
    Path("b").mkdir()
    a_clip("a/clip.avi", 5)
    a_clip("b/clip.avi", 5)
    code, out, _ = run(
        "analyze", "a/clip.avi", "b/clip.avi", "--model", "none", "--no-pictures", "--out", "o"
    )
    assert (code, out.count("clip.avi")) == (0, 2)
    assert sorted(path.name for path in Path("o").iterdir()) == ["clip-2.jsonl", "clip.jsonl"]


def test_analyze_goes_on_after_a_clip_that_is_none_and_ends_with_the_worst(run: Run) -> None:
    write("text.mp4", "this is no video\n" * 100)
    a_clip("clip.avi", 5)
    code, out, err = run(
        "analyze", "nowhere.mp4", "text.mp4", "clip.avi", "--no-pictures", "--model", "none"
    )
    assert (code, "clip.avi: " in out) == (69, True)
    lines = [line for line in err.splitlines() if line.startswith("crowdstream analyze: ")]
    assert ["nowhere.mp4" in lines[0], "text.mp4" in lines[1], len(lines)] == [True, True, 2]
    assert sorted(path.name for path in Path("out").iterdir()) == ["clip.jsonl"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["clip.avi", "--fps", "nan"], 2, "--fps: nan is not between 0.5 and 240"),
        (["clip.avi", "--fps", "0"], 2, "--fps: 0.0 is not between 0.5 and 240"),
        (["clip.avi", "--model", "nowhere.onnx"], 69, "nowhere.onnx"),
        (["clip.avi", "--config", "nowhere.toml"], 78, "nowhere.toml: no such configuration"),
        (["empty.mp4"], 1, "empty.mp4"),
        (["."], 1, ""),
        (["clip.avi", "clip.avi", "--overlay", "x.mp4"], 2, "draws one VIDEO, and 2 are named"),
        (["clip.avi", "--overlay", "x.gif"], 2, "a name that ends in .mp4"),
        (["clip.mp4", "--overlay", "./clip.mp4"], 2, "is the VIDEO itself"),
        (["clip.avi", "--with-picture"], 2, "is for --overlay"),
        (["clip.avi", "--overlay", "clip.avi/x.mp4"], 1, "cannot be written"),
    ],
)
def test_wrong_input_to_analyze_is_one_sentence(
    run: Run, argv: list[str], code: int, said: str
) -> None:
    a_clip("clip.avi", 3)
    write("empty.mp4", "")
    found, out, err = run("analyze", *argv, "--out", "o")
    said_by_us = [line for line in err.splitlines() if not line.startswith(("[", "20"))]
    assert (found, out) == (code, "")
    assert said in said_by_us[-1]
    assert not list(Path("o").glob("*"))


def test_analyze_draws_the_movement_of_a_clip_on_black(run: Run) -> None:
    a_clip("clip.avi")
    code, out, err = run(
        "analyze", "clip.avi", "--json", "--model", "none", "--no-pictures", "--out", "o",
        "--overlay", "drawn/o.mp4",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert json.loads(out)["overlay"] == "drawn/o.mp4"
    video = cv2.VideoCapture("drawn/o.mp4")
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (20, 30.0)
    assert [path.name for path in Path("drawn").iterdir()] == ["o.mp4"]


def test_an_output_folder_that_cannot_be_written_is_told(run: Run) -> None:
    a_clip("clip.avi", 3)
    write("o", "a file stands in the way")
    code, _, err = run("analyze", "clip.avi", "--model", "none", "--out", "o")
    assert code == 1
    assert "o/clip.jsonl: cannot be written: " in err
    assert Path("o").read_text() == "a file stands in the way"


# run: what is wrong before anything starts


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--for", "nan"], 2, "--for: nan is not a number of seconds above 0"),
        (["--for", "-1"], 2, "--for: -1.0 is not"),
        (["--source", ""], 2, "--source: is empty"),
        (["--source", "rtsp://camera/1"], 2, "network streams are not supported yet"),
        (["--source", "crowd:n=many"], 2, "n"),
        (["--source", "crowd:m=5"], 2, "m"),
        (["--pipeline", "nowhere"], 78, "no pipeline is called nowhere"),
        (["--model", "nowhere.onnx"], 69, "nowhere.onnx"),
    ],
)
def test_wrong_input_to_run_is_one_sentence(
    run: Run, argv: list[str], code: int, said: str
) -> None:
    found, out, err = run("run", *argv)
    assert (found, out) == (code, "")
    assert said in err.splitlines()[-1]


def test_the_real_program_checks_too(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[camera]\nfps = nan\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("crowdstream"), "check"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (78, "1 mistake\n")
    assert done.stderr.splitlines()[-1] == (
        "config.toml: camera, line 2: fps: is nan; must be a finite number"
    )
