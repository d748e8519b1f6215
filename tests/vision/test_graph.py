"""Rounding is taken out of a network whole, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from openvino import opset13

from crowdstream.vision.graph import is_quantised, take_out_rounding


def rounded(value: Any) -> Any:
    """Eight bits from 0 to 1."""
    low, high = (opset13.constant(np.array(end, np.float32)) for end in (0.0, 1.0))
    return opset13.fake_quantize(value, low, high, low, high, 256)


def a_network(*, whole_numbers: bool) -> Any:
    """Two roundings in a row; behind the second, whole numbers may flow on."""
    given = opset13.parameter([1, 4], np.float32)
    first = opset13.relu(rounded(given))
    second = rounded(first)
    end = opset13.convert(second, "u8") if whole_numbers else opset13.relu(second)
    return openvino.Model([end], [given], "network")


def roundings(model: Any) -> int:
    """How many are left."""
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ordered_ops())


def test_all_rounding_is_taken_out() -> None:
    """Then the network computes with all the digits it can have."""
    model = a_network(whole_numbers=False)
    assert is_quantised(model)
    assert take_out_rounding(model)
    assert not is_quantised(model)


def test_what_cannot_be_taken_out_whole_is_left_whole() -> None:
    """A graph that is half rounded would be neither of the two."""
    model = a_network(whole_numbers=True)
    assert not take_out_rounding(model)
    assert roundings(model) == 2
