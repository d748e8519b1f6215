"""Children can be ended whatever they do, and their end is noticed whatever it was."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdstream.errors import MediaError, WorkerError
from crowdstream.testing.stages import SilentLog
from crowdstream.wire import MESSAGE, Cutter, encode
from crowdstream.worker import Worker, pack_arrays

HERE = Path(__file__).resolve().parent

MakeWorker = Callable[..., Worker]


@pytest.fixture
def log() -> SilentLog:
    """Keeps what is said."""
    return SilentLog()


@pytest.fixture
async def worker(log: SilentLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeWorker]:
    """Makes workers by the name of their function; ends them after the test."""
    monkeypatch.syspath_prepend(str(HERE))
    made: list[Worker] = []

    def make(function: str, **settings: Any) -> Worker:
        made.append(Worker(f"children:{function}", name=function, log=log, **settings))
        return made[-1]

    yield make
    for one in made:
        await one.stop(grace=0.0)


def gone(pid: int) -> bool:
    """The process does not exist, not even as a zombie."""
    return not Path(f"/proc/{pid}").exists()


async def lasts(work: Awaitable[Any]) -> float:
    """Seconds that it takes, whatever comes of it."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.gather(work, return_exceptions=True)
    return loop.time() - begun


async def test_a_call_is_answered_by_the_child(worker: MakeWorker) -> None:
    """Header and bytes come back as they were; the child knows its arguments."""
    child = worker("echo", arguments={"path": "a", "sizes": [1, 2]})

    facts = await child.start()
    replies = [await child.call({"n": n}, bytes([n]) * n, deadline=5.0) for n in range(3)]

    assert facts == {"arguments": {"path": "a", "sizes": [1, 2]}}
    assert [(r.header, r.payload) for r in replies] == [
        ({"n": 0}, b""), ({"n": 1}, b"\1"), ({"n": 2}, b"\2\2"),
    ]  # fmt: skip
    assert child.alive
    assert child.age < 5.0


async def test_a_large_message_passes_in_pieces(worker: MakeWorker) -> None:
    """More than any socket holds goes through, both ways."""
    child = worker("echo")
    await child.start()
    large = np.random.default_rng(1).bytes(5_000_000)

    reply = await child.call({}, large, deadline=5.0)

    assert reply.payload == large


async def test_arrays_travel_with_type_and_shape(worker: MakeWorker) -> None:
    """Plain numbers go and come without pickle."""
    child = worker("doubling")
    await child.start()
    keypoints = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    ids = np.array([7, 9], np.int64)

    header, payload = pack_arrays({"keypoints": keypoints, "ids": ids})
    back = (await child.call(header, payload, deadline=5.0)).arrays()

    assert back["keypoints"].dtype == np.float32
    np.testing.assert_array_equal(back["keypoints"], keypoints * 2)
    np.testing.assert_array_equal(back["ids"], ids * 2)


def test_objects_are_refused() -> None:
    """What would need pickle cannot even be packed."""
    with pytest.raises(TypeError, match="plain numbers"):
        pack_arrays({"anything": np.array([object()])})


async def test_descriptors_travel_both_ways(worker: MakeWorker) -> None:
    """At birth, with a call, and with a reply."""
    reading, writing = os.pipe()
    os.write(writing, b"a gift")
    child = worker("descriptors", fds=[reading])
    facts = await child.start()
    back, into = os.pipe()

    reply = await child.call({}, fds=[into], deadline=5.0)
    os.close(into)

    assert facts["at_birth"] == "a gift"
    assert os.read(back, 100) == b"written by the child"
    assert os.read(reply.fds[0], 100) == b"from the child's pipe"
    assert not os.get_inheritable(reply.fds[0])
    for fd in (reading, writing, back, *reply.fds):
        os.close(fd)


async def test_secrets_do_not_reach_a_child(
    worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the environment nor a descriptor is inherited; arguments are not in `ps`."""
    monkeypatch.setenv("CROWDSTREAM_TOKEN", "hush")
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    child = worker(
        "environment",
        arguments={"address": "rtsp://user:hush@camera"},
        environment={"OPENCV_LOG_LEVEL": "ERROR"},
        nice=3,
        memory_limit_bytes=1 << 31,
    )

    facts: dict[str, Any] = await child.start()
    os.close(secret)

    assert "hush" not in str(facts["environment"]) + str(facts["command_line"])
    assert facts["environment"]["OPENCV_LOG_LEVEL"] == "ERROR"
    assert len(facts["fds"]) == 5, "three for the world, the socket, and the one that lists them"
    assert facts["nice"] == os.nice(0) + 3
    assert facts["memory_limit"] == 1 << 31
    assert facts["core_limit"] == 0


async def test_kill_9_is_noticed_at_once(worker: MakeWorker) -> None:
    """Whoever waits is told, and the child is reaped."""
    child = worker("echo")
    await child.start()
    pid = child.pid
    assert pid is not None
    waiting = asyncio.ensure_future(child.receive(deadline=10.0))
    await asyncio.sleep(0)

    os.kill(pid, signal.SIGKILL)

    assert await lasts(waiting) < 3.0
    with pytest.raises(WorkerError, match="SIGKILL"):
        waiting.result()
    assert gone(pid)
    assert not child.alive


async def test_a_frozen_child_is_killed_at_the_deadline(worker: MakeWorker) -> None:
    """SIGSTOP stands for a read that never returns."""
    child = worker("echo")
    await child.start()
    pid = child.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)

    call = asyncio.ensure_future(child.call({}, deadline=0.2))
    took = await lasts(call)
    await child.stop()

    assert 0.15 < took < 3.0
    with pytest.raises(WorkerError, match=r"echo: the child gave no answer within 0\.2 s"):
        call.result()
    assert gone(pid)


async def test_a_child_that_is_never_ready_is_killed(worker: MakeWorker) -> None:
    """Opening has a deadline too."""
    child = worker("silent", ready_seconds=0.5)

    with pytest.raises(WorkerError, match=r"not ready within 0\.5 s"):
        await child.start()

    assert child.pid is not None
    assert gone(child.pid)


async def test_a_child_that_does_not_listen_is_stopped_anyway(worker: MakeWorker) -> None:
    """Stopping asks first and then does not."""
    child = worker("deaf")
    await child.start()

    took = await lasts(child.stop(grace=0.1))
    await child.stop()

    assert took < 3.0
    assert child.pid is not None
    assert gone(child.pid)


async def test_a_child_that_listens_ends_by_itself(worker: MakeWorker, log: SilentLog) -> None:
    """Its `finally` runs, within the grace, and nobody is alarmed."""
    child = worker("echo")
    await child.start()

    await child.stop(grace=5.0)

    assert child.pid is not None
    assert gone(child.pid)
    assert [level for level, event, _ in log.said if event == "child_ended"] == ["debug"]


async def test_beats_put_the_deadline_off(worker: MakeWorker) -> None:
    """A child that says it is at work is not killed for having nothing to tell."""
    child = worker("beating")
    await child.start()

    message = await child.receive(deadline=0.4)

    assert message.header == {"done": True}


async def test_a_late_reply_is_not_taken_for_the_next(worker: MakeWorker) -> None:
    """A call that was cancelled leaves its reply behind, and that is thrown away."""
    child = worker("echo")
    await child.start()
    first = asyncio.ensure_future(child.call({"n": 1}, deadline=5.0))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    reply = await child.call({"n": 2}, deadline=5.0)

    assert reply.header == {"n": 2}


async def test_a_refusal_does_not_cost_the_child(worker: MakeWorker) -> None:
    """One bad call is an error of that call."""
    child = worker("refusing")
    await child.start()

    with pytest.raises(WorkerError, match="refusing: the picture is too small"):
        await child.call({}, deadline=5.0)

    assert child.alive


async def test_an_error_of_the_project_arrives_as_itself(worker: MakeWorker) -> None:
    """What the child can say in a sentence, the owner hears as that sentence."""
    with pytest.raises(MediaError, match=r"^telling: clip\.mp4 is no video$"):
        await worker("telling").start()


async def test_an_unexpected_error_is_one_sentence_and_a_traceback_in_the_log(
    worker: MakeWorker, log: SilentLog
) -> None:
    """The sentence for the operator, the lines for the developer."""
    with pytest.raises(WorkerError, match="ZeroDivisionError: the middle is empty"):
        await worker("raising").start()

    lines = [facts["line"] for _, event, facts in log.said if event == "child_said"]
    assert any(line.startswith("Traceback") for line in lines)


async def test_a_crash_in_c_is_an_error_with_its_signal(worker: MakeWorker) -> None:
    """SIGSEGV ends the child and nothing else."""
    child = worker("crashing")
    await child.start()

    with pytest.raises(WorkerError, match="SIGSEGV"):
        await child.call({}, deadline=5.0)


async def test_garbage_on_stdout_harms_nothing(worker: MakeWorker, log: SilentLog) -> None:
    """It is heard within limits, counted beyond, and never taken for a message."""
    child = worker("babbling")
    await child.start()
    reply = await child.call({"well": True}, deadline=5.0)
    await child.stop()

    assert reply.header == {"well": True}
    lines = [facts["line"] for _, event, facts in log.said if event == "child_said"]
    more = [facts["lines"] for _, event, facts in log.said if event == "child_said_more"]
    assert 1 <= len(lines) <= 40
    assert all(len(line) <= 500 for line in lines)
    assert sum(more) > 4000


async def test_what_was_sent_before_death_is_delivered(worker: MakeWorker) -> None:
    """Then comes the error, and it comes again."""
    child = worker("last_words")
    await child.start()

    messages = [await child.receive(deadline=5.0) for _ in range(3)]

    assert [m.header["number"] for m in messages] == [0, 1, 2]
    assert messages[2].payload == b"\0\1"
    for _ in range(2):
        with pytest.raises(WorkerError, match="ended by itself"):
            await child.receive(deadline=5.0)


async def test_a_flood_is_held_back(worker: MakeWorker) -> None:
    """A child that sends faster than anybody reads blocks; the daemon's memory does not grow."""
    child = worker("flooding")
    await child.start()
    numbers = []
    for _ in range(300):
        message = await child.receive(deadline=5.0)
        numbers.append(message.header["number"])
        assert len(child._arrived) <= 64 + 64

    assert numbers == list(range(300))


async def test_what_is_no_message_ends_the_child(worker: MakeWorker) -> None:
    """Nothing a broken child writes can confuse the daemon."""
    child = worker("speaking_in_tongues")
    await child.start()

    with pytest.raises(WorkerError, match="no message"):
        await child.receive(deadline=5.0)


async def test_only_the_newest_wish_is_sent_to_a_slow_child(worker: MakeWorker) -> None:
    """`send_nowait` says no when what went before has not been taken."""
    child = worker("deaf")
    await child.start()

    taken = [child.send_nowait({"n": n}, bytes(100_000)) for n in range(20)]

    assert taken[0]
    assert not taken[-1]


@pytest.mark.timeout(60)
async def test_no_descriptor_is_left_after_twenty_lives(worker: MakeWorker) -> None:
    """A camera that fails all night must not use up what a process may open."""
    first = worker("echo")
    await first.start()
    await first.stop()
    before = sorted(os.listdir("/proc/self/fd"))

    for life in range(20):
        child = worker("echo")
        await child.start()
        if life % 2:
            child.kill()
        await child.stop()

    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_a_start_that_is_cancelled_leaves_nothing(worker: MakeWorker) -> None:
    """Wherever in the start the cancellation falls."""
    for pause in (0.0, 0.002, 0.05):
        child = worker("silent")
        starting = asyncio.ensure_future(child.start())
        await asyncio.wait([starting], timeout=pause)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert child.pid is None or gone(child.pid)


def test_children_end_with_the_daemon_even_after_kill_9() -> None:
    """The kernel ends them; nobody else could."""
    program = textwrap.dedent(
        f"""
        import asyncio, sys
        sys.path.insert(0, {str(HERE)!r})
        from crowdstream.testing.stages import SilentLog
        from crowdstream.worker import Worker

        async def main():
            child = Worker("children:deaf", name="deaf", log=SilentLog())
            await child.start()
            print(child.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
        """
    )
    path = os.pathsep.join([str(HERE.parent.parent), *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([child], [], [], 5.0)
        os.close(child)

    assert ended


def test_messages_survive_any_cut() -> None:
    """However the stream is cut into pieces, the same messages come out."""
    stream = b"".join(
        encode(MESSAGE, n, {"n": n}, 3 * n, 0) + bytes([n]) * (3 * n) for n in range(5)
    )
    for size in (1, 2, 7, 16, 40, len(stream)):
        cutter = Cutter()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        messages = [m for piece in pieces for _, m in cutter.cut(piece, [])]
        assert [(m.tag, m.header, len(m.payload)) for m in messages] == [
            (n, {"n": n}, 3 * n) for n in range(5)
        ]


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff" * 32,
        encode(MESSAGE, 0, {}, 0, 1),
        encode(MESSAGE, 0, {}, 0, 0)[:-2] + b"[]",
        encode(MESSAGE, 0, {}, 0, 0)[:-2] + b"{x",
        encode(MESSAGE, 0, {"deep": "x" * 100_000}, 0, 0)[:16] + b"[" * 100_011,
    ],
)
def test_a_broken_stream_is_a_value_error(broken: bytes) -> None:
    """Too large, a missing descriptor, not an object, not JSON: all the same to the caller."""
    with pytest.raises((ValueError, RecursionError)):
        list(Cutter().cut(broken, []))
