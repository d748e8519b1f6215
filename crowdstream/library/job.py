"""One track at a time, in a process of its own: decode, measure, write.

A decoder that crashes, hangs or eats memory takes this process with it and costs one file. Jobs
come as lines of JSON on standard input, answers leave as lines of JSON on standard output:

    {"step": "decoding"}            what goes on, for who watches
    {"sound": "4f1c…"}              asks whether the library has these samples; a line answers
    {"sound_sha256": …, "notes": …}  the track lies in the working folder, unless it was known
    {"refused": "is empty"}         why not, in one sentence
    {"stop": "no space left"}       nothing more can be made, for any file
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from crowdstream.errors import CrowdstreamError

PR_SET_PDEATHSIG: Final = 1

NICENESS: Final = 5
"""A show may run on this machine."""

Tell = Callable[[dict[str, Any]], None]
Known = Callable[[str], bool]


def main() -> None:
    """Work until there is no more."""
    parent = int(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends us
    os.nice(NICENESS)
    _first_to_go()
    # Libraries print on standard output; what they say goes where errors go.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    def is_known(sound_sha256: str) -> bool:
        tell({"sound": sound_sha256})
        return json.loads(sys.stdin.readline() or '{"known": true}')["known"] is True

    for line in sys.stdin:
        tell(answer_to(json.loads(line), tell, is_known))


def answer_to(job: dict[str, Any], tell: Tell, is_known: Known) -> dict[str, Any]:
    """Do one job; whatever happens, the answer says it in a sentence."""
    from crowdstream.library.make import make

    try:
        return make(job, Path(job["working"]), tell, is_known)
    except CrowdstreamError as refused:
        return {"refused": str(refused).splitlines()[0]}
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return {"stop": f"{error.strerror} in {job['working']}"}
        return {"refused": f"cannot be read: {error.strerror or error}"}
    except MemoryError:
        return {"refused": "does not fit into memory"}
    except Exception as error:  # one odd file costs itself
        return {"refused": f"cannot be taken: {type(error).__name__}: {error} (please report this)"}


def _first_to_go() -> None:
    """When memory runs out, this process is ended and not the player."""
    try:
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    except OSError:  # not everywhere allowed; then the kernel chooses
        return


if __name__ == "__main__":
    main()
