"""Named live values: declared next to the settings, turned within their limits."""

from __future__ import annotations

import math

import pytest

from crowdstream.controls import Control, Controls, controls_of
from crowdstream.errors import UsageError


class Louder:
    gain = Control(default=1.0, ge=0.0, le=1.5, description="Loudness of everything.")


class LouderAndBrighter(Louder):
    bright = Control(default=0.5, ge=0.0, le=1.0, description="Treble.")
    gain = Control(default=0.8, ge=0.0, le=1.0, description="Loudness, more careful.")


@pytest.fixture
def controls() -> Controls:
    own = Controls()
    own.declare("speakers", controls_of(Louder))
    return own


def test_a_class_declares_and_its_children_may_change() -> None:
    assert {name: c.default for name, c in controls_of(LouderAndBrighter).items()} == {
        "gain": 0.8,
        "bright": 0.5,
    }
    assert controls_of(object) == {}


def test_the_address_is_the_stages_name_and_its_own(controls: Controls) -> None:
    assert [(address, value) for address, _, value in controls] == [("speakers.gain", 1.0)]


def test_a_turned_value_stays_when_its_stage_is_made_anew(controls: Controls) -> None:
    controls.set("speakers.gain", 0.25)
    controls.declare("speakers", controls_of(Louder))
    assert controls.value("speakers.gain") == 0.25


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.01, 1.51])
def test_what_is_out_of_range_is_refused_and_counted(controls: Controls, value: float) -> None:
    with pytest.raises(UsageError, match=r"speakers.gain: .* is not between 0.0 and 1.5"):
        controls.set("speakers.gain", value)
    assert (controls.value("speakers.gain"), controls.refused) == (1.0, 1)


def test_an_unknown_address_is_refused_and_told_what_there_is(controls: Controls) -> None:
    with pytest.raises(UsageError, match=r"no control is called x; there are: speakers\.gain"):
        controls.set("x", 1.0)
    assert controls.refused == 1
    with pytest.raises(UsageError, match="there are: none"):
        Controls().set("x", 1.0)


def test_a_default_out_of_its_own_range_is_a_mistake_of_the_author() -> None:
    with pytest.raises(ValueError, match=r"a default of 2.0 is not between 0.0 and 1.5"):
        Control(default=2.0, ge=0.0, le=1.5, description="")
    with pytest.raises(ValueError, match="nan"):
        Control(default=math.nan, ge=0.0, le=1.5, description="")
