"""What goes into an OpenVINO network and what comes out, told before an engine sees its files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from crowdstream.errors import MediaError
from crowdstream.models.outline import Outline, Shape

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def read_ir_outline(name: str, content: bytes, weights: int) -> Outline:
    """Shapes of the inputs and outputs of an .xml; `weights` is how many bytes its .bin has.

    Raises MediaError if it is no network, or the .bin ends before its numbers do.
    """
    try:
        # An .xml that declares entities could grow without bound while it is read.
        if b"<!" in re.sub(rb"<!--.*?-->", b"", content, flags=re.DOTALL):
            raise ValueError
        root = ElementTree.fromstring(content)  # noqa: S314  declares nothing: see above
        layers = root.find("layers")
        if root.tag != "net" or layers is None:
            raise ValueError
        needed = max((_end_of(data) for data in root.iter("data")), default=0)
        inputs = [each for each in layers if each.get("type") == "Parameter"]
        outputs = [each for each in layers if each.get("type") == "Result"]
        outline = Outline(
            [_shape_of(each) for each in inputs],
            [_dims_of(each) for each in outputs],
            [_data_of(each).get("element_type", "") for each in inputs],
        )
    except (ElementTree.ParseError, ValueError, RecursionError):
        raise MediaError(
            f"{name} is not a whole OpenVINO network: copy or export it again, .xml and .bin"
        ) from None
    if needed > weights:
        raise MediaError(
            f"{name}: its .bin has {weights} bytes and its .xml needs {needed}: copy both again"
        )
    return outline


def _end_of(data: Element) -> int:
    """Where the numbers of a constant end in the .bin; 0 for any other layer."""
    if data.get("offset") is None:
        return 0
    return int(data.get("offset", "")) + int(data.get("size", "0"))


def _data_of(layer: Element) -> Element:
    data = layer.find("data")
    if data is None:
        raise ValueError
    return data


def _shape_of(layer: Element) -> Shape:
    sizes = [word.strip() for word in _data_of(layer).get("shape", "").split(",")]
    return tuple(int(word) if word.isdecimal() else "" for word in sizes)


def _dims_of(layer: Element) -> Shape:
    sizes = [int(dim.text or "") for dim in layer.iterfind("input/port/dim")]
    return tuple(size if size >= 0 else "" for size in sizes)
