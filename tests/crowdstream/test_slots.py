"""A picture that somebody looks at is never written over, and one that was is recognised."""

from __future__ import annotations

import gc
import mmap
import os

import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from crowdstream.packets import Lease
from crowdstream.slots import SlotLease, Slots

SHAPE = (4, 6, 3)


def a_picture_in(slots: Slots, value: int) -> tuple[int, int]:
    """Write a picture of one value, as the camera's child does; slot and generation."""
    index = slots.take()
    assert index is not None
    slots.room(index, SHAPE)[:] = value
    return index, slots.whole(index)


class Lending(RuleBasedStateMachine):
    """A camera that writes, a daemon that lends, and readers, in any order."""

    told = Bundle("told")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.daemon = Slots.create(3, 4096)
        self.camera = Slots.attach(os.dup(self.daemon.fd), writable=True)
        self.reader = Slots.attach(os.dup(self.daemon.fd))
        self.value = 0
        self.unlent = 0
        self.held: dict[SlotLease, tuple[int, int]] = {}
        """Lease: how many holders, and the value of its picture."""

    @rule(target=told)
    def write(self) -> object:
        """The camera writes if a slot is free, and only then."""
        free = 3 - len(self.held) - self.unlent
        index = self.camera.take()
        assert (index is not None) == (free > 0)
        if index is None:
            return multiple()
        self.value = self.value % 250 + 1
        self.camera.room(index, SHAPE)[:] = self.value
        self.unlent += 1
        return index, self.camera.whole(index), self.value

    @rule(target=leases, picture=consumes(told))
    def lend(self, picture: tuple[int, int, int]) -> SlotLease:
        """The daemon makes a lease of what it was told."""
        index, generation, value = picture
        self.unlent -= 1
        lease = self.daemon.lease(index, generation)
        self.held[lease] = (1, value)
        return lease

    @rule(lease=leases)
    def hold_again(self, lease: SlotLease) -> None:
        """One more holder; too late once it was given back."""
        if lease not in self.held:
            with pytest.raises(RuntimeError):
                lease.retain()
            return
        lease.retain()
        holders, value = self.held[lease]
        self.held[lease] = (holders + 1, value)

    @rule(lease=leases)
    def let_go(self, lease: SlotLease) -> None:
        """One holder less; one too many is an error."""
        if lease not in self.held:
            with pytest.raises(RuntimeError):
                lease.release()
            return
        lease.release()
        holders, value = self.held.pop(lease)
        if holders > 1:
            self.held[lease] = (holders - 1, value)

    @invariant()
    def what_is_held_is_as_it_was(self) -> None:
        """Every lent picture is whole and unchanged, seen from another mapping."""
        for lease, (_, value) in self.held.items():
            assert (self.reader.view(lease.index, SHAPE) == value).all()
            assert self.reader.holds(lease.index, lease.generation)
        assert self.daemon.lent == len(self.held)


Lending.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLending = Lending.TestCase


def test_a_lease_is_what_packets_borrow() -> None:
    """It has the two methods, and says where its picture lies."""
    slots = Slots.create(2, 4096)
    index, generation = a_picture_in(slots, 7)

    lease: Lease = slots.lease(index, generation)

    assert isinstance(lease, SlotLease)
    assert (lease.slots, lease.index, lease.generation) == (slots, index, generation)


def test_a_reader_sees_that_its_picture_was_replaced() -> None:
    """While the new one is written and after: the generation is another."""
    slots = Slots.create(1, 4096)
    index, old = a_picture_in(slots, 1)
    reader = Slots.attach(os.dup(slots.fd))
    assert reader.holds(index, old)
    slots.lease(index, old).release()

    free = reader.holds(index, old)
    slots.take()
    writing = reader.holds(index, old)
    new = slots.whole(index)

    assert (free, writing) == (True, False)
    assert not reader.holds(index, old)
    assert reader.holds(index, new)
    assert new == old + 2


def test_a_bad_picture_does_not_cost_a_slot() -> None:
    """A slot that was taken and never whole cannot be lent; it is written again."""
    slots = Slots.create(1, 4096)
    index = slots.take()
    assert index is not None

    with pytest.raises(ValueError, match="holds no picture"):
        slots.lease(index, 0)
    assert slots.take() is None, "it is still the writer's"


def test_what_cannot_be_is_not_lent() -> None:
    """A child that says what is not true gets no lease."""
    slots = Slots.create(2, 4096)
    index, generation = a_picture_in(slots, 1)
    lease = slots.lease(index, generation)

    for wrong in ((index, generation), (7, 2), (-1, 2), (1, 2)):
        with pytest.raises(ValueError, match=f"slot {wrong[0]}"):
            slots.lease(*wrong)
    lease.release()


def test_a_forgotten_lease_is_counted_and_its_slot_freed() -> None:
    """A packet lost with its task must not blind the camera for ever."""
    slots = Slots.create(1, 4096)
    lease = slots.lease(*a_picture_in(slots, 1))
    assert slots.take() is None

    del lease
    gc.collect()

    assert slots.forgotten == 1
    assert slots.take() == 0


def test_a_picture_outlives_the_slots_object() -> None:
    """Whoever still holds a frame of a camera that was closed can look at it."""
    slots = Slots.create(1, 4096)
    index, generation = a_picture_in(slots, 9)
    lease = slots.lease(index, generation)
    picture = lease.slots.view(index, SHAPE)

    slots.close()
    slots.close()
    del slots, lease
    gc.collect()

    assert (picture == 9).all()


def test_a_reader_cannot_write() -> None:
    """Neither through a view nor through the mapping; and no size can be changed."""
    slots = Slots.create(1, 4096)
    index, _ = a_picture_in(slots, 1)
    reader = Slots.attach(os.dup(slots.fd))

    with pytest.raises(ValueError, match="read-only"):
        slots.view(index, SHAPE)[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        reader.room(index, SHAPE)[:] = 0
    with pytest.raises(PermissionError):
        os.ftruncate(slots.fd, 0)
    with pytest.raises(PermissionError):
        os.ftruncate(slots.fd, 1 << 20)


@pytest.mark.parametrize(
    ("shape", "offset"), [((5000,), 0), ((10, 10, 3), 4000), ((-1, 4), 0), ((4,), -4)]
)
def test_nothing_lies_beyond_its_slot(shape: tuple[int, ...], offset: int) -> None:
    """What a child says of its pictures is checked before it is looked at."""
    slots = Slots.create(2, 4096)

    with pytest.raises(ValueError, match="an array of"):
        slots.view(0, shape, offset=offset)


def test_other_memory_is_not_taken_for_slots() -> None:
    """Attaching checks what it is given."""
    fd = os.memfd_create("other")
    for size in (0, mmap.PAGESIZE):
        os.ftruncate(fd, size)
        with pytest.raises(ValueError, match="no memory of frame slots"):
            Slots.attach(fd)
    os.close(fd)


def test_two_arrays_share_a_slot() -> None:
    """The picture, and behind it the small grey one."""
    slots = Slots.create(1, 4096)
    index = slots.take()
    assert index is not None
    slots.room(index, SHAPE)[:] = 5
    slots.room(index, (2, 3), np.float32, offset=72)[:] = 0.5
    generation = slots.whole(index)

    assert slots.holds(index, generation)
    assert (slots.view(index, SHAPE) == 5).all()
    np.testing.assert_array_equal(slots.view(index, (2, 3), np.float32, offset=72), 0.5)


def test_no_descriptor_is_left() -> None:
    """Memory and descriptors of a closed camera go with its last picture."""
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))

    for _ in range(20):
        slots = Slots.create(2, 4096)
        picture = slots.view(0, SHAPE)
        slots.close()
    del slots, picture
    gc.collect()

    assert sorted(os.listdir("/proc/self/fd")) == before
