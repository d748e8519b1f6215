"""Blocking work on a stage's own thread, which never holds up the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from crowdstream.errors import CrowdstreamError
from crowdstream.offload import Offload


@pytest.fixture
async def offload() -> AsyncIterator[Offload]:
    own = Offload("test")
    yield own
    own.close()


async def test_it_runs_elsewhere_and_the_loop_goes_on(offload: Offload) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work(value: int, *, more: int) -> tuple[int, str, bool]:
        begun.set()
        may_end.wait(5)
        thread = threading.current_thread()
        return value + more, thread.name, thread.daemon

    task = asyncio.create_task(offload(work, 1, more=2))
    while not begun.is_set():
        await asyncio.sleep(0)
    may_end.set()
    assert await task == (3, "test", True)


async def test_one_thread_in_order(offload: Offload) -> None:
    seen: list[int] = []

    def work(number: int) -> int:
        seen.append(number)
        return threading.get_ident()

    names = await asyncio.gather(*(offload(work, number) for number in range(6)))
    assert seen == list(range(6))
    assert len(set(names)) == 1


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
async def test_what_it_raises_is_raised(offload: Offload, error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await offload(work)
    assert caught.value is error


async def test_even_the_one_error_that_a_future_refuses(offload: Offload) -> None:
    """`next()` of something that is empty must not leave the stage waiting for ever."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(offload(next, iter(())), 2)


async def test_a_cancelled_call_is_only_no_longer_waited_for(offload: Offload) -> None:
    """What comes after it on the same thread comes after it in time."""
    may_end, done = threading.Event(), threading.Event()

    def slow() -> None:
        may_end.wait(5)
        done.set()

    task = asyncio.create_task(offload(slow))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not done.is_set()
    may_end.set()
    assert await offload(done.is_set)


async def test_its_list_of_work_is_bounded(offload: Offload) -> None:
    """A thread that hangs is told of; memory is not filled with work for it."""
    may_end = threading.Event()
    tasks = [asyncio.create_task(offload(may_end.wait, 5)) for _ in range(12)]
    done, _ = await asyncio.wait(tasks, timeout=0.2)
    try:
        assert done
        assert all(isinstance(task.exception(), CrowdstreamError) for task in done)
        assert "test: its thread hangs" in str(next(iter(done)).exception())
    finally:
        may_end.set()
        await asyncio.wait(tasks)


async def test_closing_ends_the_thread_and_is_safe_twice() -> None:
    own = Offload("closing")
    thread = await own(threading.current_thread)
    own.close()
    own.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_thread_that_hangs_outlives_the_loop_and_harms_nobody() -> None:
    may_end = threading.Event()

    async def main() -> threading.Thread:
        own = Offload("hanging")
        thread = await own(threading.current_thread)
        task = asyncio.create_task(own(may_end.wait, 5))
        await asyncio.sleep(0)
        task.cancel()
        own.close()
        return thread

    thread = asyncio.run(main())
    may_end.set()
    thread.join(5)
    assert not thread.is_alive()
