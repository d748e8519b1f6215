"""Fetches the next track ahead of its time, so that whoever renders never waits for a disk.

A process of its own decodes into the cache on disk (`crowdstream.player.decoded`): a broken file
that hangs or crashes a decoder costs that track and nothing else. The player maps what is ready,
touches every page of it once, and the pages to come again and again.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.music.library import Track, load_stems, read_track
from crowdstream.player.decoded import DecodedCache, map_stems
from crowdstream.player.lines import LineProcess, be_spoken_with, tell
from crowdstream.player.measures import Measures, measure, note, noted, remember
from crowdstream.player.peaks import true_peak_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEPT_TRACKS: Final = 3
"""Mapped at a time: two that sound and one that comes."""

DECODE_SECONDS: Final = 120.0
"""A decoder that takes longer for one track hangs."""

NICENESS: Final = 0
"""After the player, which may go before all others, but beside everything else that computes: the
first track is waited for."""

TOUCH_SECONDS: Final = 0.5
AHEAD_SECONDS: Final = 10.0
"""So much of each deck's future is touched every half second: a busy machine may have dropped it
from memory since."""

_PAGE_SAMPLES: Final = 2048
_PIECE_PAGES: Final = 4096
# 16 MiB touched at a time.

Sounding = Callable[[], Iterable[tuple[str, float]]]
"""Of each deck that sounds: its track's id, and where it is in it, in seconds."""


class Loader:
    """The mixer asks it for stems and gets None until they are there. Never waits."""

    def __init__(self, rate: int, cache: Path, budget_bytes: int) -> None:
        """`cache` is the folder for decoded tracks, with at most about `budget_bytes` in it."""
        self._rate = rate
        # To look for what was decoded before takes no process, which takes a second to start.
        self._caches = [DecodedCache(folder, budget_bytes) for folder in (cache, _elsewhere())]
        self._arguments = [str(cache), str(budget_bytes)]
        self._done: dict[tuple[str, bool], NDArray[np.int16]] = {}
        """By `_key`."""

        self._wanted: Track | None = None
        self._broken: set[str] = set()
        self._wake = threading.Event()
        self._failed: deque[tuple[Track, str]] = deque()
        self._process: LineProcess | None = None
        self.sounding: Sounding = tuple
        """Asked for what to touch ahead; set once there is a mixer."""

        self.hurried = False
        """Somebody waits for the first sound: what only the next track asks is measured later."""

        self._first: tuple[Track, NDArray[np.int16], Path | None] | None = None
        """The first track of all, while it is not measured, and where it is decoded."""

        self.news = threading.Event()
        """Set whenever a track has come or failed; whoever waits for it clears it."""

        self.thread = threading.Thread(target=self._work, name="loader", daemon=True)
        """It ends with the process; if it ends before, no track comes any more."""

        self.thread.start()

    def __call__(self, track: Track) -> NDArray[np.int16] | None:
        """The stems, or None while they are on their way."""
        stems = self._done.get(_key(track))
        if stems is None:
            self.want(track)
        return stems

    def want(self, track: Track) -> None:
        """Fetch this one next."""
        if _key(track) not in self._done and track.id not in self._broken:
            self._wanted = track
            self._wake.set()

    def failed(self) -> tuple[Track, str] | None:
        """A track that cannot be decoded, and why; each is told once."""
        return self._failed.popleft() if self._failed else None

    # ---- its thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            if not self._wake.wait(TOUCH_SECONDS):
                if not self.hurried:
                    self._measure_first()
                self._touch_ahead()
                continue
            self._wake.clear()
            track = self._wanted
            if track is None or _key(track) in self._done or track.id in self._broken:
                continue
            self._measure_first()
            try:
                # Whoever waits for the very first track need not wait for what only the next
                # transition asks; no other track comes before that is measured.
                stems = self._fetch(track, soon=not self._done)
            except Exception as error:  # a broken file costs one track, not the show
                self._broken.add(track.id)
                self._failed.append((track, str(error)))
                self.news.set()
                continue
            while len(self._done) >= KEPT_TRACKS:
                del self._done[next(iter(self._done))]
            self._done[_key(track)] = stems
            self.news.set()

    def _measure_first(self) -> None:
        if self._first is None:
            return
        (track, stems, path), self._first = self._first, None
        try:
            known = self._known(track, path, ask=True)
            remember(stems, known or measure(track, stems, self._rate))
        except Exception as error:  # what sounds goes on
            print(f"{track.title} cannot be measured: {error}", flush=True)

    def _known(self, track: Track, path: Path | None, *, ask: bool) -> Measures | None:
        """What stands beside the decoded file, where need be once the decoder was asked for it.

        None if it cannot measure either: that costs time here, and no track.
        """
        if path is None:
            return None
        known = noted(path, track)
        if known is None and ask:
            with contextlib.suppress(CrowdstreamError):
                self._ask(track, measured=True)
            known = noted(path, track)
        return known

    def _fetch(self, track: Track, *, soon: bool) -> NDArray[np.int16]:
        """The stems, mapped, and measured: if they are wanted `soon`, only what is needed now.

        Raises:
            CrowdstreamError: it cannot be decoded, or the decoder died of it, or hung.
        """
        path = next((p for c in self._caches if (p := c.there(track, self._rate))), None)
        is_new = path is None
        if path is None:
            answer = self._ask(track, measured=not soon)
            if answer.get("path") is not None:
                path = Path(str(answer["path"]))
            else:
                # Nowhere to write: it lies in this process's own memory, then.
                print(f"decoded tracks cannot be kept: {answer.get('why')}", flush=True)
        known = self._known(track, path, ask=not soon and not is_new)
        stems = load_stems(track, self._rate) if path is None else map_stems(path)
        if path is not None:
            samples = stems.reshape(-1)
            step = _PAGE_SAMPLES * _PIECE_PAGES
            for begin in range(0, samples.size, step):
                _touch(samples[begin : begin + step])
        if known is not None:
            remember(stems, known)
        elif soon:
            true_peak_of(track, stems)
            self._first = track, stems, path
        else:
            # So that the render thread need not.
            remember(stems, measure(track, stems, self._rate))
        return stems

    def _ask(self, track: Track, *, measured: bool) -> dict[str, Any]:
        """What the process that decodes says of a track; afterwards it is `measured` as well."""
        for attempt in (1, 2):
            if self._process is None:
                try:
                    self._process = LineProcess("crowdstream.player.loader:decode", self._arguments)
                except OSError as error:
                    raise MediaError(f"no process to decode with can be made: {error}") from error
            process = self._process
            try:
                process.say(
                    {"folder": str(track.folder), "rate": self._rate, "measure": measured,
                     "files": track.files, "bpm": track.bpm,
                     "first_beat_seconds": track.first_beat_seconds}
                )  # fmt: skip
                answer = process.listen(DECODE_SECONDS)
            except (EOFError, ValueError):
                answer = None
            if answer is not None:
                if "failed" in answer:
                    raise MediaError(str(answer["failed"]))
                return answer
            process.kill()
            self._process = None
            if attempt == 2:
                break
        raise MediaError(f"{track.folder}: decoding it hangs or crashes the decoder")

    def _touch_ahead(self) -> None:
        for track_id, seconds in self.sounding():
            begin = max(0, int(seconds * self._rate))
            end = begin + int(AHEAD_SECONDS * self._rate)
            for is_whole in (False, True):
                for stem in self._done.get((track_id, is_whole), ()):
                    _touch(stem[begin:end].reshape(-1))


def _key(track: Track) -> tuple[str, bool]:
    """What is held of a track: one that was given stems is another from its next start on."""
    return track.id, track.whole


def _touch(samples: NDArray[np.int16]) -> None:
    """Read one value of each page."""
    samples[::_PAGE_SAMPLES].max(initial=0)


# ---- the process that decodes ----------------------------------------------------------------


def decode() -> None:
    """Be the process: a track's folder in, the path of its decoded file out, until stdin ends."""
    import json

    folder, budget = be_spoken_with("decoder")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    caches = [
        DecodedCache(Path(folder), int(budget)),
        DecodedCache(_elsewhere(), int(budget)),
    ]
    for cache in caches:
        cache.tidy()
    for line in sys.stdin:
        asked = json.loads(line)
        tell(_decoded(asked, caches))


def _decoded(asked: dict[str, Any], caches: list[DecodedCache]) -> dict[str, str | None]:
    folder, rate, why = Path(asked["folder"]), int(asked["rate"]), ""
    try:
        # As the player knows it: it may have been given stems since, or another grid.
        known = {name: asked[name] for name in ("files", "bpm", "first_beat_seconds")}
        track = replace(read_track(folder), **known)
        for cache in caches:
            try:
                path = cache.fetch(track, rate)
            except OSError as error:
                why = why or f"{cache.folder}: {error.strerror or error}"
            else:
                if asked["measure"] and noted(path, track) is None:
                    # What cannot be measured here is measured by whoever asks.
                    with contextlib.suppress(CrowdstreamError, MemoryError, ArithmeticError):
                        note(path, track, measure(track, map_stems(path), rate))
                return {"path": str(path)}
    except CrowdstreamError as broken:
        return {"failed": str(broken)}
    except MemoryError:
        return {"failed": f"{folder}: is too long for this machine's memory"}
    return {"path": None, "why": why}


def _elsewhere() -> Path:
    """Where decoded tracks go when the cache cannot be written; gone after a reboot."""
    return Path(tempfile.gettempdir()) / f"crowdstream-{os.getuid()}" / "decoded"
