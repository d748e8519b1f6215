"""What stands inside a page that asks for nothing: sound, numbers and text."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Constant bit rate: a browser then finds a place by arithmetic, within one MP3 frame (26 ms).
# 0.58 is 160 kbit/s for two channels at 44.1 and 48 kHz, the rate at which cymbals stay clean.
MP3_COMPRESSION: Final = 0.58
BLOCK_SAMPLES: Final = 1 << 16


def mp3_of(sound: NDArray[np.float32], rate: int) -> bytes:
    """Sound of the shape (samples, channels) as MP3.

    It says in its first frame how much of it is the coder's own delay, so that players begin at
    the first sample.
    """
    import soundfile

    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", rate, sound.shape[1], "MPEG_LAYER_III", format="MP3",
        compression_level=MP3_COMPRESSION, bitrate_mode="CONSTANT",
    ) as mp3:  # fmt: skip
        for start in range(0, len(sound), BLOCK_SAMPLES):
            mp3.write(sound[start : start + BLOCK_SAMPLES])
    return file.getvalue()


def packed(values: NDArray[np.generic], kind: str) -> str:
    """Whole numbers in little-endian bytes as base64, held within what the kind can say."""
    limits = np.iinfo(kind)
    whole = np.clip(np.round(np.asarray(values, np.float64)), limits.min, limits.max)
    return text_of(whole.astype(kind).tobytes())


def text_of(raw: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(raw).decode("ascii")


def json_of(data: dict[str, object]) -> str:
    """JSON that can stand inside a script element: no end tag and no comment can arise."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")
