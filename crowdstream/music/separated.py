"""`stems.toml`: what lies beside stems that a machine made, and tells what they were made of.

    NAME/
        stems.toml
        drums.flac  bass.flac  vocals.flac  other.flac

Each file is exactly as long as the audio, at its rate; together they add up to it.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, get_args

from crowdstream.errors import MediaError
from crowdstream.packets import STEMS

STEMS_FILE: Final = "stems.toml"

Quality = Literal["fast", "high", "best"]
"""`fast`: without a model, and it bleeds (`crowdstream.music.bleed`)."""

QUALITIES: Final[tuple[Quality, ...]] = get_args(Quality)

FILES: Final = {stem: f"{stem}.flac" for stem in STEMS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """What `stems.toml` says."""

    audio: str
    """Absolute path of the file that was separated, when it was."""

    sha256: str
    """Of that file."""

    quality: Quality
    method: str
    """Name and version of what separated it, and the hashes of its weights: equal, so are the
    stems."""

    samples: int
    rate: int
    channels: int
    bits: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples / self.rate


def read_separated(folder: Path) -> Separated | None:
    """What the stems in a folder were made of; None where no `stems.toml` lies there.

    Raises MediaError when it cannot be read as one.
    """
    path = folder / STEMS_FILE
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read: {error}; separate the track again") from error
    kinds = {field.name: int if field.type == "int" else str for field in fields(Separated)}
    wrong = [name for name, kind in kinds.items() if type(said.get(name)) is not kind]
    if wrong or said["quality"] not in QUALITIES or min(said["samples"], said["rate"]) < 1:
        raise MediaError(
            f"{path}: {(wrong or ['quality, samples or rate'])[0]} is not as `crowdstream separate`"
            " writes it; separate the track again"
        )
    return Separated(**{name: said[name] for name in kinds})


def as_toml(separated: Separated) -> str:
    """The text of a `stems.toml`."""

    def value(name: str) -> str:
        # A JSON string is a TOML string, but for one character.
        said = json.dumps(getattr(separated, name), ensure_ascii=False)
        return f"{name} = " + said.replace("\x7f", "\\u007f")

    return "\n".join(
        [
            "# Stems that `crowdstream separate` made. Each is as long as the audio; together they",
            "# add up to it. Those of quality fast bleed: never play one alone.",
            "",
            *(value(field.name) for field in fields(Separated)),
            "",
            "[files]",
            *(f'{stem} = "{name}"' for stem, name in FILES.items()),
            "",
        ]
    )
