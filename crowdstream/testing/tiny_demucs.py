"""Makes an HTDemucs that has learned nothing, as a file of the kind that real weights come in.

It runs as a program of its own, by its path, in a Python that has demucs and torch:

    python -P tiny_demucs.py tiny|full FILE.th [SEED]

`tiny` is small and quick; `full` is as large as the published network, for what it costs.
"""

from __future__ import annotations

import importlib
import sys
from fractions import Fraction
from typing import Any, Final

SOURCES: Final = ["drums", "bass", "other", "vocals"]

SHAPES: Final[dict[str, dict[str, Any]]] = {
    "tiny": {
        "segment": Fraction(2), "channels": 4, "bottom_channels": 16, "t_layers": 1, "t_heads": 2,
        "dconv_comp": 4,
    },
    "full": {
        "segment": Fraction(39, 5), "channels": 48, "bottom_channels": 512, "t_layers": 5,
        "t_heads": 8,
    },
}  # fmt: skip


def main() -> None:
    """Make one, as the command line says."""
    shape, path, *seed = sys.argv[1:]
    torch: Any = importlib.import_module("torch")
    htdemucs: Any = importlib.import_module("demucs.htdemucs")
    states: Any = importlib.import_module("demucs.states")
    torch.manual_seed(int(seed[0]) if seed else 0)
    model = htdemucs.HTDemucs(sources=SOURCES, audio_channels=2, samplerate=44_100, **SHAPES[shape])
    args, kwargs = model._init_args_kwargs
    state = states.get_state(model, None, half=True)
    package = {"klass": htdemucs.HTDemucs, "args": args, "kwargs": kwargs, "state": state}
    torch.save({**package, "training_args": {}}, path)


if __name__ == "__main__":
    main()
