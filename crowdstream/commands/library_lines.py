"""What is seen while music is taken in: a line for each file, and bars for those under way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from crowdstream.library.names import shown

if TYPE_CHECKING:
    from crowdstream.library.add import Outcome
    from crowdstream.library.again import Again

STEPS: Final = {"decoding": 0.1, "copying": 0.3, "measuring": 0.4, "writing": 0.85}
"""How far a track is when a step begins, for the bar."""


class Lines:
    """On a terminal the files under way stand below; elsewhere there are only the lines."""

    def __init__(self, names: Sequence[str], *, quiet: bool = False) -> None:
        """`names` are of what is worked on, for the bars; `quiet` prints nothing but those."""
        self._names = names
        self._quiet = quiet
        self._rows: dict[int, Any] = {}
        self._progress: Any = None
        self._all: Any = None
        self._done = 0

    def __enter__(self) -> Lines:
        """Draw the bars, where somebody sees them."""
        if sys.stderr.isatty() and self._names:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(20),
                TextColumn("{task.fields[step]}", markup=False),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._all = self._progress.add_task("all", total=len(self._names), step="")
            self._count()
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars away."""
        self.close()

    def close(self) -> None:
        """Take the bars away; may be called again."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def watch(self, index: int, step: str) -> None:
        """A candidate goes on to its next step; "" is its end."""
        if self._progress is None:
            return
        row = self._rows.get(index)
        if step and row is None:
            name = shown(self._names[index])
            row = self._rows[index] = self._progress.add_task(name[:40], total=1.0, step=step)
        if row is not None and step:
            self._progress.update(row, completed=STEPS.get(step, 0.0), step=step)
        elif not step:
            if row is not None:
                self._progress.remove_task(self._rows.pop(index))
            self._done += 1
            self._count()

    def _count(self) -> None:
        step = f"{self._done} of {len(self._names)}"
        self._progress.update(self._all, completed=self._done, step=step)

    def outcome(self, outcome: Outcome) -> None:
        """What became of a candidate."""
        track = outcome.track
        if track is not None:
            kind = "whole" if track.whole else "four stems"
            minutes = f"{int(track.seconds) // 60}:{int(track.seconds) % 60:02d}"
            self._line(
                f"added     {track.id}: {track.bpm:.2f} BPM, {track.key}, {minutes}, {kind}"
                f"   ({near(outcome.candidate.path)})"
            )
            for note in outcome.notes:
                self._line(f"            {note}")
        elif outcome.same_as:
            self._line(f"there     {outcome.same_as}   ({near(outcome.candidate.path)})")
        else:
            self.refused(outcome.candidate.path, outcome.refused)

    def again(self, again: Again) -> None:
        """What measuring a track anew has brought."""
        track = again.track
        if again.refused:
            self._line(f"failed    {track.id}: {again.refused}")
            return
        word = "changed  " if again.changed else "as it was"
        kept = f", set by hand: {', '.join(again.kept)}" if again.kept else ""
        self._line(f"{word} {track.id}: {track.bpm:.2f} BPM, {track.key}{kept}")
        for note in again.notes:
            self._line(f"            {note}")

    def refused(self, path: Path, reason: str) -> None:
        """Why something is not taken."""
        self._line(f"refused   {near(path)}: {reason}")

    def _line(self, text: str) -> None:
        if self._quiet:
            return
        if self._progress is not None and sys.stdout.isatty():
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)


def near(path: Path) -> str:
    """A path as it is shortest from here."""
    here = Path.cwd()
    return shown(path.relative_to(here) if path.is_relative_to(here) else path)
