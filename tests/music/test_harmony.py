"""Facts about keys."""

from __future__ import annotations

import pytest

from crowdstream.music.harmony import fits, shifted, steps_between

WHEEL = [f"{hour}{letter}" for hour in range(1, 13) for letter in "AB"]


def test_what_fits_is_the_same_key_its_neighbours_and_the_other_letter() -> None:
    """Four keys fit to each."""
    assert sorted(key for key in WHEEL if fits("8A", key)) == ["7A", "8A", "8B", "9A"]


def test_the_wheel_is_round() -> None:
    """Twelve is beside one."""
    assert [steps_between("12A", "1A"), steps_between("1B", "12B"), steps_between("1A", "7A")] == [
        1, 1, 6,
    ]  # fmt: skip


def test_it_does_not_matter_which_key_comes_first() -> None:
    """A distance is the same both ways."""
    assert all(steps_between(a, b) == steps_between(b, a) for a in WHEEL for b in WHEEL)


@pytest.mark.parametrize("key", ["", "13A", "0B", "8C", "8a", "Am", "8A "])
def test_what_is_no_key_is_refused(key: str) -> None:
    """With a sentence that says what would be one."""
    with pytest.raises(ValueError, match="1A to 12B"):
        fits(key, "8A")


def test_a_semitone_is_seven_steps_around_the_wheel() -> None:
    """A minor (8A) a semitone up is B flat minor (3A); an octave up it is itself."""
    assert [shifted("8A", n) for n in (0, 1, -1, 12)] == ["8A", "3A", "1A", "8A"]
    assert shifted("12B", 7) == "1B"
