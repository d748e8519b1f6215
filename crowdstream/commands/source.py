"""What `--source` may name, and which stage that is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from crowdstream.errors import UsageError


def source_of(uri: str, *, once: bool) -> tuple[str, dict[str, Any]]:
    """The stage and its settings for a camera, a file, or a drawn crowd.

    Raises:
        UsageError: nothing that can be a source.
    """
    if uri.startswith("crowd:") or uri == "crowd":
        from crowdstream.vision.drawn import parse_crowd

        return "drawn_crowd", dict(parse_crowd(uri))
    if re.match(r"^[a-z]+://", uri, re.IGNORECASE):
        raise UsageError("--source: network streams are not supported yet; use a camera or a file")
    if not uri.strip() or "\0" in uri:
        raise UsageError("--source: is empty; name a camera, a video file, or crowd:n=40")
    if uri.isdigit() or uri.startswith("/dev/"):
        return "camera", {"device": uri}
    return "video_file", {"path": Path(uri), "looped": not once}
