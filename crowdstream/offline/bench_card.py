"""Does the sound ever tear? A daemon that plays into a card in real time, on a busy machine.

The card is JACK's, with its dummy driver, which keeps the machine's time. Beside it the daemon
looks at people, and a Python loop takes what it gets of a core. A heart on each core, before all
others, tells when that core was taken away (by the host of a virtual machine, say): what tears then
need not be the player's.

`CROWDSTREAM_BENCH_CARD_MINUTES=10` is how long, for each length of a block; without it, not at all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from crowdstream.errors import CrowdstreamError, UsageError
from crowdstream.offline.bench import Row, Say, row
from crowdstream.offline.bench_live import a_show, run_daemon
from crowdstream.testing.jack import JackServer

BLOCKS: Final = (512, 256)
MINUTES: Final = "CROWDSTREAM_BENCH_CARD_MINUTES"

_BUSY: Final = """
n = 0
while True:
    n = (n * 31 + 7) % 1000003
"""

_HEART: Final = """
import json, os, select, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))
    first = True
except OSError:
    first = False
def work():
    began, n = time.monotonic(), 0
    for k in range(4000):
        n += k
    return began, time.monotonic() - began
usual = min(work()[1] for _ in range(200))
slips = []
while True:
    began, took = work()
    if took > usual + float(sys.argv[2]):
        slips.append((began, took))
    if select.select([sys.stdin], [], [], 0.01)[0]:
        break
print(json.dumps({"first": first, "slips": slips}))
"""
# One for each core. A hundred times a second it has a little to do, for a core that is taken away
# gives no sign to whoever sleeps; a slip is a beat that takes longer by more than its argument. It
# ends when its stdin does. It does not see all: a beat is short, and may lie beside a loss. And
# where it may not go before all others, a slip means nothing: "first" says whether it may.

_SLIP_SECONDS: Final = 0.003

_TOLD_WITHIN_SECONDS: Final = 2.5
# After it happened an underrun stands in the status.


def card_rows(say: Say) -> list[Row]:
    """Underruns at each length of a block."""
    told = os.environ.get(MINUTES, "0")
    try:
        minutes = float(told)
    except ValueError:
        raise UsageError(f"{MINUTES} is {told!r}: give a number of minutes") from None
    if not minutes > 0.0:
        say(f"left out: a card in real time ({MINUTES}=10)")
        return []
    if missing := JackServer.missing():
        say(f"left out: a card in real time needs {missing}")
        return []
    return [one for samples in BLOCKS for one in _at(samples, minutes, say)]


def _at(samples: int, minutes: float, say: Say) -> list[Row]:
    say(f"a card in real time, {samples} frames, {minutes:g} minutes…")
    with ExitStack() as all_of_them:
        name = f"crowdstream-bench-{os.getpid()}"
        server = all_of_them.enter_context(JackServer(name, block_samples=samples))
        folder = Path(all_of_them.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "config.toml"
        config.write_text(f'[speakers]\nhost_api = "JACK"\nblock_samples = {samples}\n')
        busy = all_of_them.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
        all_of_them.callback(busy.kill)
        hearts = [
            all_of_them.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _HEART, str(core), str(_SLIP_SECONDS)], text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for core in sorted(os.sched_getaffinity(0))
        ]  # fmt: skip
        for heart in hearts:
            all_of_them.callback(heart.kill)
        counted = Underruns()

        def watch(_: int, status: dict[str, Any] | None) -> None:
            playing = status.get("playing") if status is not None else None
            if playing:
                counted.see(time.monotonic(), str(playing["state"]), int(playing["underruns"]))

        show = a_show()
        options = [*show, "--config", str(config)]
        run_daemon(options, 60.0 * minutes, watch=watch, environment=server.environment)
        told = [json.loads(heart.communicate()[0]) for heart in hearts]
    if not counted.was_heard:
        raise CrowdstreamError("the player never played at JACK: nothing was measured")
    slips: list[tuple[float, float]] = [slip for heart in told for slip in heart["slips"]]
    beside = "a model and a busy loop" if "--model" in show else "a busy loop"
    case = f"{samples} frames, {minutes:g} minutes, beside {beside}"
    rows = [row("underruns", case, counted.total, "", goal=0.0, met=counted.total == 0)]
    if all(heart["first"] for heart in told):
        own = counted.apart_from([at for at, _ in slips])
        late = max((late for _, late in slips), default=0.0)
        slipped = f"{len(slips)} beats of the hearts were late by more than 3 ms"
        rows += [
            row("underruns_no_heart_foretold", case, own, "", goal=0.0, met=own == 0),
            row("core_taken_away", f"{case}; {slipped}", 1e3 * late, "ms at most"),
        ]
    return rows


class Underruns:
    """Counted over all lives of a player: one that is started again begins at none."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.was_heard = False
        self._last = 0
        self._seen: list[tuple[float, int]] = []
        """When there were how many new ones."""

    def see(self, at: float, state: str, underruns: int) -> None:
        """What a status says of the player."""
        self.was_heard = self.was_heard or state != "silent"
        new = underruns - self._last if underruns >= self._last else underruns
        self._last = underruns
        if new:
            self._seen.append((at, new))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(new for _, new in self._seen)

    def apart_from(self, slips: Sequence[float]) -> int:
        """Those that stood in the status when no heart had slipped shortly before."""
        return sum(
            new
            for at, new in self._seen
            if not any(0.0 <= at - slipped <= _TOLD_WITHIN_SECONDS for slipped in slips)
        )
