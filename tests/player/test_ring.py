"""Facts about the ring between the render thread and the card."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.player.ring import CALLBACK_ADDRESS, SoundRing

QUANTUM = 16

PORTAUDIO_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p,
    ctypes.c_ulong, ctypes.c_void_p,
)  # fmt: skip
OUTPUT_UNDERFLOW = 4


def a_ring(samples: int = 4 * QUANTUM) -> SoundRing:
    ring = SoundRing.make(samples, QUANTUM)
    ring.open()
    return ring


@pytest.fixture
def ring() -> Iterator[SoundRing]:
    made = a_ring()
    yield made
    os.close(made.fd)


def write(ring: SoundRing, first: int) -> bool:
    """A quantum that counts up from `first`: left the number, right its negative."""
    room = ring.room()
    if room is None:
        return False
    room[:, 0] = np.arange(first, first + QUANTUM)
    room[:, 1] = -room[:, 0]
    ring.commit()
    return True


def asked(ring: SoundRing, samples: int, width: int = 2, flags: int = 0) -> NDArray[np.float32]:
    """A block as PortAudio would get it, through the C function."""
    out = np.full((samples, width), np.nan, np.float32)
    called = PORTAUDIO_CALLBACK(CALLBACK_ADDRESS)
    assert called(None, out.ctypes.data, samples, None, flags, ring.address) == 0
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.just("write"), st.integers(1, 100)), max_size=60))
def test_what_goes_in_comes_out_once_and_in_order(steps: list[str | int]) -> None:
    """However blocks and quanta lie, the card hears the written samples, and silence for the rest."""
    ring = a_ring()
    written = 0
    expected: list[int] = []
    heard: list[float] = []
    for step in steps:
        if isinstance(step, str):
            written += QUANTUM * write(ring, written + 1)
        else:
            there = min(step, written - len([n for n in expected if n]))
            begin = len([n for n in expected if n])
            expected += [*range(begin + 1, begin + there + 1), *[0] * (step - there)]
            heard += asked(ring, step)[:, 0].tolist()
        assert 0 <= ring.filled <= ring.capacity
    os.close(ring.fd)
    assert heard == expected


def test_a_full_ring_has_no_room(ring: SoundRing) -> None:
    """Nothing that was not heard is written over."""
    while write(ring, ring.written):
        pass
    assert ring.filled == ring.capacity == 4 * QUANTUM
    asked(ring, QUANTUM - 1)
    assert ring.room() is None
    asked(ring, 1)
    assert ring.room() is not None


def test_what_is_missing_is_silence_and_counted(ring: SoundRing) -> None:
    """A block that is not whole counts once; so does one that PortAudio says came too late."""
    write(ring, 1)
    block = asked(ring, 3 * QUANTUM)
    assert block[:QUANTUM, 0].tolist() == list(range(1, QUANTUM + 1))
    assert not block[QUANTUM:].any()
    assert (ring.missing, ring.underruns, ring.read) == (2 * QUANTUM, 1, QUANTUM)
    write(ring, 1)
    asked(ring, QUANTUM, flags=OUTPUT_UNDERFLOW)
    assert ring.underruns == 2


def test_a_closed_ring_gives_silence_and_keeps_what_it_has(ring: SoundRing) -> None:
    """Until it is opened the card is answered, nothing is lost, nothing is an underrun."""
    ring.close()
    write(ring, 1)
    assert not asked(ring, 5 * QUANTUM, flags=OUTPUT_UNDERFLOW).any()
    assert (ring.filled, ring.underruns, ring.calls) == (QUANTUM, 0, 1)
    ring.open()
    assert asked(ring, 1)[0, 0] == 1


def test_silent_time_takes_no_more_than_is_there(ring: SoundRing) -> None:
    """Who keeps time takes whole samples away; the next that is heard is the one after."""
    ring.close()
    write(ring, 1)
    assert ring.skip(5) == 5
    assert ring.skip(10 * QUANTUM) == QUANTUM - 5
    assert ring.skip(1) == 0
    assert ring.filled == 0


@pytest.mark.parametrize("channels", [(3, 4), (4, 1), (2, 1)])
def test_left_and_right_go_to_their_channels_and_nothing_elsewhere(
    ring: SoundRing, channels: tuple[int, int]
) -> None:
    """Counted from 1, in any order; the other channels of the card are silent."""
    ring.route(channels, 5)
    write(ring, 1)
    block = asked(ring, 2 * QUANTUM, width=5)
    left, right = channels[0] - 1, channels[1] - 1
    assert block[:QUANTUM, left].tolist() == list(range(1, QUANTUM + 1))
    assert block[:QUANTUM, right].tolist() == [-n for n in range(1, QUANTUM + 1)]
    others = [channel for channel in range(5) if channel not in (left, right)]
    assert not block[:, others].any()
    assert not block[QUANTUM:].any()


@pytest.mark.parametrize(
    ("channels", "width"),
    [
        ((1, 2, 3, 4), 4),
        ((3, 4, 1, 2), 4),
        ((1, 2, 3, 4, 5, 6, 7, 8), 8),
        ((9, 10, 1, 2, 3, 4, 5, 6, 7, 8), 12),
    ],
)
def test_a_ring_may_be_as_wide_as_all_pairs_together(channels: tuple[int, ...], width: int) -> None:
    """Each column goes to its own channel, over the end of the ring as well."""
    ring = SoundRing.make(4 * QUANTUM, QUANTUM, len(channels) // 2)
    ring.route(channels, width)
    ring.open()
    heard, written = [], []
    for turn in range(7):
        room = ring.room()
        assert room is not None
        assert room.shape == (QUANTUM, len(channels))
        room[:] = np.arange(room.size).reshape(room.shape) + 1000 * turn
        written.append(room.copy())
        ring.commit()
        heard += [asked(ring, 7, width), asked(ring, QUANTUM - 7, width)]
    card = np.concatenate(heard)
    columns = [channel - 1 for channel in channels]
    assert np.array_equal(card[:, columns], np.concatenate(written))
    assert not np.delete(card, columns, axis=1).any()
    assert (ring.missing, ring.underruns) == (0, 0)
    assert not asked(ring, 5, width).any()
    assert SoundRing(ring.fd, QUANTUM).capacity == ring.capacity
    os.close(ring.fd)


def test_what_the_card_has_no_channel_for_is_left_out() -> None:
    """And the rest is where it should be."""
    ring = SoundRing.make(4 * QUANTUM, QUANTUM, 2)
    ring.route((1, 2, 3, 4), 2)
    ring.open()
    room = ring.room()
    assert room is not None
    room[:] = (1.0, 2.0, 3.0, 4.0)
    ring.commit()
    block = asked(ring, 2 * QUANTUM, 2)
    assert np.array_equal(block[:QUANTUM], np.tile([1.0, 2.0], (QUANTUM, 1)))
    assert not block[QUANTUM:].any()
    os.close(ring.fd)


def test_a_ring_has_a_width_and_a_channel_for_each_column(ring: SoundRing) -> None:
    """Anything else is a mistake of ours, said at once."""
    with pytest.raises(ValueError, match="4 channels for a ring of 2 columns"):
        ring.route((1, 2, 3, 4))
    with pytest.raises(ValueError, match="1 to 6 pairs, not 7"):
        SoundRing.make(QUANTUM, QUANTUM, 7)


def test_another_process_sees_the_same_ring(ring: SoundRing) -> None:
    """Mapped a second time by its descriptor, as the process of the card does."""
    other = SoundRing(ring.fd, QUANTUM)
    write(ring, 1)
    assert asked(other, 2)[:, 0].tolist() == [1, 2]
    assert ring.read == 2


def test_a_reader_in_python_hears_the_same(ring: SoundRing) -> None:
    """`take` and the C function are one."""
    write(ring, 1)
    out = np.empty((4, 2), np.float32)
    ring.take(out)
    assert out[:, 0].tolist() == [1, 2, 3, 4]
    assert asked(ring, 1)[0, 0] == 5
