"""Separation with Demucs: a job that is a real process, with a torch and a demucs of a few lines.

Where `CROWDSTREAM_STEMS_PYTHON` names a Python with the real packages, or this one has them, the
real code runs on a network that has learned nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from numpy.typing import NDArray

from crowdstream.cli import main
from crowdstream.errors import ConfigError, CrowdstreamError, MediaError, WorkerError
from crowdstream.models import ModelMissing, take_weights
from crowdstream.offline.separate import WithModel, opened, separate
from crowdstream.offline.separate_demucs import Demucs, find_weights, jobs_for
from crowdstream.packets import STEMS
from crowdstream.testing import tiny_demucs

TORCH = """
import contextlib, pickle
import numpy as np

__version__ = "0.0"
float32 = np.float32


class Tensor:
    def __init__(self, array):
        self.array = array

    def reshape(self, *shape):
        return Tensor(self.array.reshape(shape))

    def transpose(self, a, b):
        return Tensor(self.array.swapaxes(a, b))

    def contiguous(self):
        return Tensor(np.ascontiguousarray(self.array))

    def numpy(self):
        return self.array

    def __getitem__(self, place):
        return Tensor(self.array[place])


def frombuffer(content, dtype):
    return Tensor(np.frombuffer(content, dtype))


def set_num_threads(count):
    assert count == 1


def load(file, where, weights_only):
    content = file.read()
    if weights_only and content.startswith(b"odd"):
        raise pickle.UnpicklingError("Unsupported global: os.system")
    return content


class serialization:
    @staticmethod
    @contextlib.contextmanager
    def safe_globals(named):
        yield
"""

DEMUCS = {
    "__init__": '__version__ = "0.0"\nprint("a library that prints")\n',
    "htdemucs": "class HTDemucs:\n    pass\n",
    "states": """
class Model:
    segment, samplerate, audio_channels = 0.5, {rate}, 2
    sources = {sources!r}

    def __init__(self, content):
        self.content = content

    def eval(self):
        return self


load_model = Model
""",
    "apply": """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from torch import Tensor

MANNER = {manner!r}


class BagOfModels:
    def __init__(self, models, weights):
        self.models, self.weights = models, weights
        self.sources, self.samplerate = models[0].sources, models[0].samplerate
        self.audio_channels = 2

    def eval(self):
        return self


def apply_model(model, mix, shifts, split, progress):
    assert (shifts, split, progress) == (0, False, False)
    seen = Path({seen!r}) / str(os.getpid())
    bag = [(each.content.decode(), row) for each, row in
           zip(getattr(model, "models", []), getattr(model, "weights", []))]
    seen.write_text(json.dumps({{"nice": os.nice(0), "bag": bag}}))
    if MANNER == "raises":
        raise RuntimeError("no such\\nlayer")
    if MANNER == "is killed":
        print("about to go", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if MANNER == "leaves":
        os._exit(0)
    if MANNER == "waits":
        signal.pause()
    # Half of the sound is drums, an eighth is bass, and of the rest it makes nothing.
    share = np.array([{{"drums": 0.5, "bass": 0.125}}.get(source, 0.0) for source in model.sources])
    return Tensor(mix.array[:, np.newaxis] * share[np.newaxis, :, np.newaxis, np.newaxis]
                  .astype(np.float32))
""",
}


class Library:
    """A torch and a demucs of a few lines, that the job finds first."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        (root / "demucs").mkdir()
        (root / "seen").mkdir()
        (root / "torch.py").write_text(TORCH)
        self.behaves("well")
        monkeypatch.setenv("PYTHONPATH", str(root))
        monkeypatch.delenv("CROWDSTREAM_STEMS_PYTHON", raising=False)

    def behaves(
        self, manner: str, rate: int = 8000,
        sources: tuple[str, ...] = ("drums", "bass", "other", "vocals"),
    ) -> None:  # fmt: skip
        words = {
            "manner": manner, "rate": rate, "sources": list(sources),
            "seen": str(self._root / "seen"),
        }  # fmt: skip
        for name, text in DEMUCS.items():
            (self._root / "demucs" / f"{name}.py").write_text(
                text.format(**words) if "{" in text else text
            )

    @property
    def seen(self) -> dict[int, dict[str, object]]:
        """What each process said that separated something."""
        folder = self._root / "seen"
        return {int(path.name): json.loads(path.read_text()) for path in folder.iterdir()}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    (tmp_path / "library").mkdir()
    return Library(tmp_path / "library", monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A models folder whose manifest names the weights, and has them."""
    made = tmp_path / "models"
    made.mkdir()
    names = ["htdemucs", *(f"htdemucs-ft-{stem}" for stem in ("drums", "bass", "other", "vocals"))]
    text = ""
    for name in names:
        content = f"weights of {name}".encode()
        (made / f"{name}.th").write_bytes(content)
        part = 'part_of = "htdemucs-ft"\n' if "-ft-" in name else ""
        text += (
            f'[[weights]]\nname = "{name}"\nfile = "{name}.th"\n{part}licence = "MIT"\n'
            f'address = "https://example.org/{name}.th"\nsize = {len(content)}\n'
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        )
    (made / "manifest.toml").write_text(text)
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def a_song(path: Path, rate: int = 8000, seconds: float = 2.3) -> Path:
    count = round(seconds * rate)
    time = np.arange(count) / rate
    sound = 0.4 * np.sin(2 * np.pi * np.array([[200.0, 331.0]]) * time[:, np.newaxis])
    soundfile.write(path, sound + 0.01, rate)
    return path


def stems_in(folder: Path) -> NDArray[np.int16]:
    return np.stack([soundfile.read(folder / f"{stem}.flac", dtype="int16")[0] for stem in STEMS])


@pytest.mark.parametrize("rate", [8000, 11_025])
def test_the_model_s_stems_are_written_and_the_rest_is_other(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path, rate: int
) -> None:
    """At the rate of the audio, also where the network has another one."""
    audio = a_song(tmp_path / "song.wav", rate)
    with opened(WithModel("high", find_weights("high", folder, state), 2)) as method:
        made = separate(audio, out, method)
    mix = soundfile.read(audio, dtype="int16")[0].astype(int)
    stems = stems_in(made.folder)
    assert stems.shape == (4, *mix.shape)
    assert (stems.sum(axis=0, dtype=int) == mix).all()
    inside = slice(rate // 4, -rate // 4)  # a resampler sees silence beyond the ends
    steady = mix[inside] - round(0.01 * 32768)
    for stem, share in zip(STEMS, (0.5, 0.125, 0.0), strict=False):
        error = stems[STEMS.index(stem)][inside] - share * steady
        assert np.abs(error).max() < 40, stem
    assert made.moved_db == pytest.approx(20 * np.log10(0.375), abs=0.1)
    assert made.separated.method.startswith("demucs 1, htdemucs ")
    assert len(library.seen) == 2
    assert all(seen["nice"] != os.nice(0) for seen in library.seen.values())


def test_best_is_a_bag_in_which_each_gives_the_stem_it_was_tuned_for(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path
) -> None:
    with opened(WithModel("best", find_weights("best", folder, state), 1)) as method:
        separate(a_song(tmp_path / "song.wav"), out, method)
    (seen,) = library.seen.values()
    assert seen["bag"] == [
        [f"weights of htdemucs-ft-{stem}", [float(stem == other) for other in
                                            ("drums", "bass", "other", "vocals")]]
        for stem in ("drums", "bass", "other", "vocals")
    ]  # fmt: skip


def test_the_same_weights_are_not_asked_twice_and_others_are(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path
) -> None:
    audio = a_song(tmp_path / "song.wav")

    def once(quality: str) -> bool:
        weights = find_weights(quality, folder, state)
        with opened(WithModel(quality, weights, 1)) as method:  # type: ignore[arg-type]
            return separate(audio, out, method).made

    assert [once("high"), once("high"), once("best"), once("best"), once("high")] == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert [path.name for path in out.iterdir()] == ["song"]


def test_several_tracks_have_the_same_jobs(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path
) -> None:
    with opened(WithModel("high", find_weights("high", folder, state), 1)) as method:
        for name in ("a.wav", "b.wav"):
            separate(a_song(tmp_path / name), out, method)
    assert len(library.seen) == 1


def test_a_source_too_many_goes_to_other_and_one_too_few_is_refused(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path
) -> None:
    audio = a_song(tmp_path / "song.wav")
    library.behaves("well", sources=("drums", "bass", "other", "vocals", "guitar"))
    with opened(WithModel("high", find_weights("high", folder, state), 1)) as method:
        assert separate(audio, out, method).made
    library.behaves("well", sources=("drums", "bass"))
    with (
        opened(WithModel("best", find_weights("best", folder, state), 1)) as method,
        pytest.raises(MediaError, match="does not separate vocals"),
    ):
        separate(audio, out, method)


@pytest.mark.parametrize(
    ("manner", "kind", "sentence"),
    [
        ("raises", MediaError, "htdemucs cannot separate: no such layer"),
        ("is killed", WorkerError, "was ended by SIGKILL: about to go"),
        ("leaves", WorkerError, "ended without a result"),
    ],
)
def test_a_job_that_fails_says_why_and_leaves_nothing(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path,
    manner: str, kind: type[CrowdstreamError], sentence: str,
) -> None:  # fmt: skip
    library.behaves(manner)
    audio = a_song(tmp_path / "song.wav")
    with opened(WithModel("high", find_weights("high", folder, state), 1)) as method:
        with pytest.raises(kind, match=sentence) as caught:
            separate(audio, out, method)
        assert "\n" not in str(caught.value)
        assert list(out.iterdir()) == []
        library.behaves("well")
        assert separate(audio, out, method).made  # the next one has jobs of its own


def test_a_cancelled_separation_does_not_wait_for_its_jobs(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path
) -> None:
    """What Ctrl-C does, while both jobs are at work for as long as they like."""
    library.behaves("waits")
    others = {*psutil.Process().children()}
    weights = find_weights("high", folder, state)
    demucs = Demucs(weights, 2)
    window = np.zeros((4000, 2), np.float32)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            demucs.split(window)
        except WorkerError as failed:
            failures.append(failed)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(library.seen) < 2:
        threads[0].join(0.01)
    demucs.stop()
    for thread in threads:
        thread.join()
    assert len(failures) == 2
    assert {*psutil.Process().children()} <= others


def test_without_the_package_one_sentence_says_what_to_install(
    library: Library, folder: Path, state: Path, out: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    alone = tmp_path / "python"  # a Python that sees the standard library only
    alone.write_text('#!/bin/sh\nexec python3 -I -S "$@"\n')
    alone.chmod(0o755)
    weights = find_weights("high", folder, state)
    monkeypatch.setenv("CROWDSTREAM_STEMS_PYTHON", str(alone))
    with pytest.raises(ConfigError, match=r"pip install crowdstream\[stems\].*--quality fast"):
        separate(a_song(tmp_path / "song.wav"), out, WithModel("high", weights, 1))
    monkeypatch.setenv("CROWDSTREAM_STEMS_PYTHON", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be started"):
        Demucs(weights, 1)


def test_weights_are_the_manifest_s_or_noted_by_a_person(folder: Path, state: Path) -> None:
    pinned = take_weights("htdemucs", folder, state, trusted=False)
    assert (pinned.pinned, pinned.path) == (True, folder / "htdemucs.th")
    mine = folder / "mine.th"
    mine.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="does not know it .*add --trust"):
        take_weights(str(mine), folder, state, trusted=False)
    assert not take_weights("mine.th", folder, state, trusted=True).pinned
    assert take_weights(str(mine), folder, state, trusted=False).path == mine  # it was noted
    mine.write_bytes(b"other")
    with pytest.raises(ConfigError, match="has changed: noted"):
        take_weights(str(mine), folder, state, trusted=False)
    (folder / "htdemucs.th").write_bytes(b"other")
    with pytest.raises(ConfigError, match="not the file that models/manifest.toml names"):
        take_weights("htdemucs", folder, state, trusted=True)
    (folder / "htdemucs.th").unlink()
    with pytest.raises(ModelMissing, match="crowdstream models pull htdemucs"):
        take_weights("htdemucs", folder, state, trusted=True)


def test_what_is_more_than_numbers_is_opened_only_where_it_is_the_publisher_s(
    library: Library, folder: Path, state: Path
) -> None:
    odd = folder / "odd.th"
    odd.write_bytes(b"odd")
    weights = take_weights(str(odd), folder, state, trusted=True)
    with pytest.raises(MediaError, match=r"Unsupported global: os\.system"):
        Demucs([weights], 1)
    Demucs([weights._replace(pinned=True)], 1).stop()


def test_weights_that_change_after_they_were_hashed_are_not_opened(
    library: Library, folder: Path, state: Path
) -> None:
    weights = take_weights("htdemucs", folder, state, trusted=False)
    weights.path.write_bytes(b"exchanged")
    with pytest.raises(MediaError, match="has changed since its hash was compared"):
        Demucs([weights], 1)


def test_a_number_of_jobs_fits_the_machine() -> None:
    assert jobs_for(1, 7) == 7
    assert 1 <= jobs_for(4, None) <= len(os.sched_getaffinity(0))
    assert jobs_for(0, None) == len(os.sched_getaffinity(0))


def test_the_command_takes_the_best_that_is_here(
    library: Library, folder: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CROWDSTREAM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CROWDSTREAM_STEMS_PYTHON", sys.executable)
    config = tmp_path / "config.toml"
    config.write_text('models_folder = "models"\n')
    audio = a_song(tmp_path / "song.wav")
    code = main(["separate", str(audio), "--out", str(out), "--config", str(config), "--jobs", "1"])
    said, aside = capsys.readouterr()
    assert (code, aside) == (0, "")
    assert "high stems in" in said and "is in other" in said


REAL = os.environ.get("CROWDSTREAM_STEMS_PYTHON") or (
    sys.executable if importlib.util.find_spec("demucs") else ""
)


def with_the_real_one(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that needs demucs and torch."""
    for mark in (
        pytest.mark.demucs,
        pytest.mark.slow,
        pytest.mark.timeout(180),
        pytest.mark.skipif(
            not REAL,
            reason="needs demucs and torch: pip install crowdstream[stems], or a Python that has"
            " them in CROWDSTREAM_STEMS_PYTHON",
        ),
    ):
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HTDemucs that has learned nothing, in a file as the real ones."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.th"
    subprocess.run(
        [REAL, "-P", str(tiny_demucs.__file__), "tiny", str(path)], check=True, timeout=120
    )
    return path


APPLIED = """
import sys
import numpy as np, torch
from demucs.apply import apply_model
from demucs.htdemucs import HTDemucs
from demucs.states import load_model
torch.set_num_threads(1)
model = load_model(torch.load(sys.argv[1], "cpu", weights_only=False)).eval()
mix = torch.from_numpy(np.load(sys.argv[2])).T[None]
stems = apply_model(model, mix, shifts=0, split=True, overlap=0.25)[0]
np.save(sys.argv[3], stems.numpy().transpose(0, 2, 1))
"""


@with_the_real_one
def test_the_real_demucs_says_the_same_window_by_window_as_at_once(
    tiny: Path, tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our windows and fades are those of `demucs.apply`, without the whole track in memory."""
    from crowdstream.offline.separate_stream import stems_of

    monkeypatch.setenv("CROWDSTREAM_STEMS_PYTHON", REAL)
    mix = np.random.default_rng(1).normal(0.0, 1.0, (44_100 * 5 + 1234, 2)).astype(np.float32)
    np.save(tmp_path / "mix.npy", mix)
    subprocess.run(
        [REAL, "-c", APPLIED, tiny, tmp_path / "mix.npy", tmp_path / "stems.npy"],
        check=True, timeout=120,
    )  # fmt: skip
    expected = np.load(tmp_path / "stems.npy")[[0, 1, 3, 2]]  # vocals before other
    demucs = Demucs([take_weights(str(tiny), tmp_path, state, trusted=True)], 2)
    try:
        blocks = (mix[begin : begin + 10_000] for begin in range(0, len(mix), 10_000))
        made = np.concatenate(
            list(stems_of(blocks, len(mix), demucs.plan(), demucs.split, 2, demucs.stop)), axis=1
        )
    finally:
        demucs.stop()
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() < 1e-4 * np.abs(expected).max()


@with_the_real_one
def test_the_real_demucs_separates_a_file(
    tiny: Path, tmp_path: Path, state: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWDSTREAM_STEMS_PYTHON", REAL)
    audio = a_song(tmp_path / "song.wav", rate=48_000, seconds=5.0)
    weights = find_weights("high", tmp_path, state, model=str(tiny), trusted=True)
    with opened(WithModel("high", weights, 2)) as method:
        made = separate(audio, out, method)
    stems = stems_in(made.folder)
    mix = soundfile.read(audio, dtype="int16")[0].astype(int)
    assert (stems.sum(axis=0, dtype=int) == mix).all()
    assert stems.any(axis=(1, 2)).all()
