"""What models hashed to when they were added or first used, and how a file is written whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import tomllib
from pathlib import Path

from crowdstream.errors import ConfigError


def read_notes(state: Path) -> dict[str, str]:
    """Expected SHA-256 by absolute path."""
    path = state / "noted.toml"
    try:
        entries = tomllib.loads(path.read_text("utf-8")).get("file", [])
        return {str(entry["path"]): str(entry["sha256"]) for entry in entries}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Not taken for empty: that would quietly trust every file anew.
        raise ConfigError(
            f"{path}: cannot be read ({error}); repair it, or remove it to note all models anew"
        ) from error


def note(state: Path, hashes: dict[Path, str]) -> None:
    """Write down what these files hash to, beside what is noted already."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        with (state / "noted.toml.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a command may note while the daemon does
            notes = read_notes(state) | {str(path): found for path, found in hashes.items()}
            lines = ["# SHA-256 of models, as noted when each was added or first used."]
            for path, found in sorted(notes.items()):
                quoted = json.dumps(path, ensure_ascii=False).replace("\x7f", "\\u007f")
                lines += ["", "[[file]]", f"path = {quoted}", f'sha256 = "{found}"']
            write_whole(state / "noted.toml", ("\n".join(lines) + "\n").encode("utf-8"))
    except (OSError, UnicodeEncodeError) as error:
        raise ConfigError(
            f"{state}: the hash of a model cannot be noted there ({error}): make it writable"
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
