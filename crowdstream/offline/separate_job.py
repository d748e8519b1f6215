"""The job that separates windows of sound with Demucs and torch.

It runs as a program of its own, by its path, in whatever Python has those packages: so it needs
the standard library only, and nothing of crowdstream. It reads one JSON object, a line on stdin:

    {"parent": 4711, "threads": 1, "weights": [{"path": "...", "sha256": "...", "pinned": true}],
     "mixing": [[1, 0, 0, 0], ...] or null}

and answers with JSON lines on stdout, the first of them

    {"ready": {"rate": 44100, "length": 343980, "sources": ["drums", ...], "versions": "..."}}

Then each window is `length` pairs of float32 on stdin, left and right in turn, and is answered by
{"stems": BYTES} and as many bytes: float32, source after source, each as a window is. The end of
stdin is the end. What does not work is {"failed": "...", "absent": true|false}; `absent`: a
package is not installed.

Everything that the libraries print goes to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import io
import json
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

NICENESS: Final = 15
"""A daemon that plays music on the same machine comes first."""

_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """Answer windows until there are no more. Returns the exit status."""
    questions = sys.stdin.buffer
    job: dict[str, Any] = json.loads(questions.readline())
    # Libraries print where they like: what they print is kept apart from what we say.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _go_down_with(job["parent"])
    os.nice(NICENESS)
    try:
        _answer(job, questions, answers)
    except ImportError as error:
        missing = error.name or str(error)
        _say(answers, failed=f"{missing} is not installed", absent=True)
        return 1
    except BrokenPipeError:
        return 0  # nobody asks any more
    except Exception as error:  # torch, pickle and demucs raise whatever they like
        said = " ".join(str(error).split())[:300] or type(error).__name__
        _say(answers, failed=said, absent=False)
        raise  # the whole of it, for stderr
    return 0


def _answer(job: dict[str, Any], questions: BinaryIO, answers: BinaryIO) -> None:
    torch: Any = importlib.import_module("torch")
    apply: Any = importlib.import_module("demucs.apply")
    torch.set_num_threads(job["threads"])
    models = [_open(torch, weights) for weights in job["weights"]]
    model = apply.BagOfModels(models, job["mixing"]) if job["mixing"] else models[0]
    model.eval()
    length = int(min(each.segment for each in models) * model.samplerate)
    if model.audio_channels != 2:
        raise ValueError(f"it takes {model.audio_channels} channels, not two")
    demucs: Any = importlib.import_module("demucs")
    versions = f"demucs {demucs.__version__}, torch {torch.__version__}"
    _say(
        answers,
        ready={
            "rate": int(model.samplerate), "length": length, "sources": list(model.sources),
            "versions": versions,
        },
    )  # fmt: skip
    while len(asked := questions.read(length * 2 * 4)) == length * 2 * 4:
        window = torch.frombuffer(bytearray(asked), dtype=torch.float32).reshape(1, length, 2)
        stems = apply.apply_model(
            model, window.transpose(1, 2), shifts=0, split=False, progress=False
        )
        made = stems[0].transpose(1, 2).contiguous().numpy().tobytes()
        _say(answers, stems=len(made))
        answers.write(made)
        answers.flush()


def _open(torch: Any, weights: dict[str, Any]) -> Any:
    """The network that a file holds: of the very bytes that hash to what they should."""
    path = Path(weights["path"])
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != weights["sha256"]:
        raise ValueError(f"{path} has changed since its hash was compared")
    states: Any = importlib.import_module("demucs.states")
    with _harmless(torch):
        try:
            package = torch.load(io.BytesIO(content), "cpu", weights_only=True)
        except pickle.UnpicklingError:
            # The publisher's own file, byte for byte, may name more than we know of.
            if not weights["pinned"]:
                raise
            package = torch.load(io.BytesIO(content), "cpu", weights_only=False)
    return states.load_model(package).eval()


@contextlib.contextmanager
def _harmless(torch: Any) -> Iterator[None]:
    """Let a checkpoint name these, and nothing else: the network's class, and plain numbers."""
    htdemucs: Any = importlib.import_module("demucs.htdemucs")
    numpy: Any = importlib.import_module("numpy")
    scalar = numpy.float64(0).__reduce__()[0]
    named = [
        htdemucs.HTDemucs, Fraction, numpy.dtype, scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        *{type(numpy.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")},
    ]  # fmt: skip
    with torch.serialization.safe_globals(named):
        yield


def _go_down_with(parent: int) -> None:
    """Whoever started us and dies takes us along, however it dies."""
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit(1)


def _say(answers: BinaryIO, **words: Any) -> None:
    answers.write(json.dumps(words).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
