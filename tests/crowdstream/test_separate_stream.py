"""Long sound cut into windows and put together: as if it had been one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.offline.separate_stream import Plan, Sound, stems_of

FOUR = np.array([0.5, 0.25, 0.25, 0.0], np.float32)[:, np.newaxis, np.newaxis]


def shared(window: Sound) -> Sound:
    """Of each sample every stem has its share."""
    return np.asarray(window * FOUR, np.float32)


def cut(sound: Sound, size: int) -> Iterator[Sound]:
    for begin in range(0, len(sound), size):
        yield sound[begin : begin + size]


def a_sound(samples: int) -> Sound:
    return np.random.default_rng(samples).normal(0.0, 1.0, (samples, 2)).astype(np.float32)


def faded(length: int, stride: int, centred: bool) -> Plan:
    rise = np.arange(1, length + 1, dtype=np.float32)
    return Plan(length, stride, 0, np.minimum(rise, rise[::-1]), centred)


def within(context: int, stride: int) -> Plan:
    weights = np.zeros(stride + 2 * context, np.float32)
    weights[context : context + stride] = 1.0
    return Plan(len(weights), stride, -context, weights)


PLANS = st.one_of(
    st.builds(
        lambda stride, more, centred: faded(stride + more, stride, centred),
        st.integers(1, 20), st.integers(0, 30), st.booleans(),
    ),
    st.builds(within, st.integers(0, 20), st.integers(1, 30)),
)  # fmt: skip


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 50), PLANS, st.integers(1, 3))
def test_what_every_window_agrees_on_comes_out(
    samples: int, block: int, plan: Plan, jobs: int
) -> None:
    """Whatever the length, the blocks, the overlap and the number of jobs: exactly as long."""
    sound = a_sound(samples)
    made = list(stems_of(cut(sound, block), samples, plan, shared, jobs, lambda: None))
    assert np.allclose(np.concatenate(made, axis=1), sound * FOUR, atol=1e-5)


def test_a_window_sees_what_lies_around_it_and_silence_outside() -> None:
    seen: list[NDArray[np.float32]] = []

    def look(window: Sound) -> Sound:
        seen.append(window[:, 0].copy())
        return shared(window)

    sound = np.repeat(np.arange(1, 11, dtype=np.float32)[:, np.newaxis], 2, axis=1)
    list(stems_of([sound], 10, within(2, 4), look, 1, lambda: None))
    assert [window.tolist() for window in seen] == [
        [0, 0, 1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8, 9, 10], [7, 8, 9, 10, 0, 0, 0, 0],
    ]  # fmt: skip
    seen.clear()
    list(stems_of([sound], 10, faded(6, 4, centred=True), look, 1, lambda: None))
    assert [window.tolist() for window in seen] == [
        [1, 2, 3, 4, 5, 6], [5, 6, 7, 8, 9, 10], [7, 8, 9, 10, 0, 0],
    ]  # fmt: skip


def test_only_so_much_is_read_ahead() -> None:
    """Memory depends on the window, not on the sound."""
    read = 0

    def endless() -> Iterator[Sound]:
        nonlocal read
        while True:
            read += 10
            yield np.zeros((10, 2), np.float32)

    stems = stems_of(endless(), 1_000_000, within(5, 20), shared, 2, lambda: None)
    for _ in range(20):
        next(stems)
    assert read <= 20 * 20 + 4 * 30
    stems.close()


@pytest.mark.parametrize("early", [KeyboardInterrupt, ValueError])
def test_who_ends_it_early_is_stopped_first(early: type[BaseException]) -> None:
    """Then no thread is left that waits for a job."""
    stopped: list[bool] = []

    def fails(window: Sound) -> Sound:
        raise early

    with pytest.raises(early):
        list(stems_of([a_sound(50)], 50, within(2, 8), fails, 2, lambda: stopped.append(True)))
    assert stopped == [True]
    stems = stems_of([a_sound(50)], 50, within(2, 8), shared, 2, lambda: stopped.append(True))
    next(stems)
    stems.close()
    assert stopped == [True, True]
