"""Pose models in OpenVINO, in the shape of the picture.

A whole export has its square input baked into the last part of its graph, so a wide picture would
be computed with two fifths of grey. Where that part is recognised it is cut off: the network then
takes the picture's own rectangle and the last part is computed here, for the few anchors that
hold a person. Before the cut is trusted, cut and whole are run on the same picture and compared.

On the processor the heads for boxes and joints are not run either, but computed where the scores
say that somebody may be (`heads`); that too is compared first.
"""

from __future__ import annotations

import copy
import functools
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import openvino
import openvino.properties
import openvino.properties.device
import openvino.properties.hint

from crowdstream.errors import MediaError
from crowdstream.models.outline import CHANNELS, check_output_shape, first_line, read_outline
from crowdstream.models.outline_ir import read_ir_outline
from crowdstream.vision.decode import (
    Detections,
    anchors,
    decode_heads,
    decode_whole,
    detections_of,
    people_of_heads,
    refuse_nonsense,
)
from crowdstream.vision.graph import (
    Split,
    find_heads,
    forget_size,
    is_quantised,
    reshaped,
    sizes_of,
    sparse_heads,
    split_heads,
    take_out_rounding,
    wave_picture,
)
from crowdstream.vision.letterbox import STRIDES, Letterbox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.models import LoadedModel
    from crowdstream.vision.decode import Head
    from crowdstream.vision.heads import SparseHead
    from crowdstream.vision.model import Device, Precision

_SAME_PIXELS: Final = 0.05
_SAME_SHARE: Final = 1e-3
# How far cut and whole may lie apart: what rounding does, a tenth of what bf16 does.

_SAME_BOX_CELLS: Final = 0.4
# Boxes are only used to tell people apart, and 8-bit exports round the last step of theirs.

_SAME_HEAD: Final = 1e-3
# How far a head may lie from its own graph, as a share of the largest that it says.

_KEPT_SIZES: Final = 2
# Compiled inputs that are kept: a source that alternates between two sizes compiles each once.


class _Compiled(NamedTuple):
    letterbox: Letterbox
    canvas: NDArray[np.uint8]
    request: Any
    cells: NDArray[np.float32]
    sparse: tuple[SparseHead, SparseHead] | None

    def heads_of(
        self, answers: list[NDArray[np.float32]]
    ) -> tuple[Head, NDArray[np.float32], Head]:
        """Boxes, scores and joints of what a cut graph or its trunk answers."""
        if self.sparse is None:
            boxes, scores, joints = answers
            return (lambda found: boxes[:, found]), scores, (lambda found: joints[:, found])
        scores, *grids = answers
        # The engine gives bfloat16 out as another kind of 16 bits.
        grids = [each.view(np.uint16) if each.itemsize == 2 else each for each in grids]
        of_boxes, of_joints = (functools.partial(head.at, grids) for head in self.sparse)
        return of_boxes, scores, of_joints


class OpenVinoPose:
    """A pose model compiled by OpenVINO for this processor."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        threads: int,
        precision: Precision,
        min_score: float,
        device: Device = "cpu",
    ) -> None:
        """Read and check the graph; compiling waits for `prepare`. Raises MediaError.

        A device that is not here is replaced by the processor, and `facts` says so.
        """
        self._name = loaded.name
        self._min_score = min_score
        self._threads = threads
        self._core = openvino.Core()
        self._device, self._instead = self._find_device(device)
        if loaded.form == "onnx":
            read_outline(loaded.name, loaded.model)  # refuses weights in other files
        else:
            read_ir_outline(loaded.name, loaded.model, len(loaded.weights))  # and half a file
        self._whole = self._read(loaded)
        self._make_static()
        self._quantised = is_quantised(self._whole)
        self._rounding = ""
        if self._quantised and precision not in ("auto", "int8"):
            self._quantised = not take_out_rounding(self._whole)
            self._rounding = "still in it" if self._quantised else "taken out"
        self._precision = self._choose(precision)
        self._height, self._width = (int(size) for size in self._whole.inputs[0].shape[2:])
        self._why_whole = ""
        self._cut = self._try_cut()
        self._split = self._try_split()
        self._compiled: dict[tuple[int, int], _Compiled] = {}
        self._newest: _Compiled | None = None

    @property
    def precision(self) -> str:
        """What it computes in: `int8`, `bf16`, `f16` or `f32`."""
        return self._precision

    @property
    def precisions(self) -> tuple[str, ...]:
        """What this very graph can be computed in on its device, the most exact first."""
        if self._quantised:
            return ("int8",)
        capability, short = ("BF16", "bf16") if self._device == "CPU" else ("FP16", "f16")
        return ("f32", short) if capability in self._capabilities() else ("f32",)

    def computing_in(self, precision: str) -> OpenVinoPose:
        """The same checked graph in another of its `precisions`: nothing is read anew."""
        other = copy.copy(self)
        other._precision = precision
        other._compiled, other._newest = {}, None
        return other

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Backend, device, precision, input size and path, for the log and `doctor`."""
        box = self._newest.letterbox if self._newest else None
        return {
            "backend": f"openvino {openvino.__version__.split('-')[0]}",
            "device": self._device.lower(),
            "precision": self._precision,
            "threads": self._threads,
            "input": f"{box.input_width}x{box.input_height}" if box else "",
            "path": "cut" if self._cut else f"whole ({self._why_whole})",
            **({"heads": "sparse" if self._split else "dense"} if self._cut else {}),
            **({"rounding": self._rounding} if self._rounding else {}),
            **({"instead": self._instead} if self._instead else {}),
        }

    def prepare(self, width: int, height: int) -> None:
        """Get ready for pictures of this size: compiles if need be, and runs once."""
        request = self._fit(width, height).request
        request.infer()
        # Numbers in bfloat16 the engine shows as others; what comes of them is in the scores.
        refuse_nonsense(
            self._name, (each.data for each in request.output_tensors if each.data.itemsize == 4)
        )

    def infer(self, picture: NDArray[np.uint8]) -> Detections:
        """Find the people in a picture, shape (height, width, 3), BGR."""
        compiled = self._fit(picture.shape[1], picture.shape[0])
        compiled.letterbox.paint(picture, compiled.canvas)
        compiled.request.infer()
        answers = [each.data[0] for each in compiled.request.output_tensors]
        if len(answers) == 1:
            return detections_of(decode_whole(answers[0], self._min_score), compiled.letterbox)
        boxes, scores, joints = compiled.heads_of(answers)
        return people_of_heads(
            boxes, scores[0], joints, compiled.cells, self._min_score, compiled.letterbox
        )

    def close(self) -> None:
        """Let go of the network."""
        self._compiled.clear()
        self._newest = None

    # --- opening -----------------------------------------------------------------------------

    def _find_device(self, wanted: Device) -> tuple[str, str]:
        """OpenVINO's name of the device, and a sentence if it is not the one that was wanted."""
        here = self._core.available_devices
        name = "CPU" if wanted == "auto" else wanted.upper()
        if any(each.split(".")[0] == name for each in here):
            return name, ""
        return "CPU", f"OpenVINO finds no {name} here, only {', '.join(here)}: computed on the CPU"

    def _capabilities(self) -> list[str]:
        found: list[str] = self._core.get_property(
            self._device, openvino.properties.device.capabilities
        )
        return found

    def _choose(self, precision: Precision) -> str:
        # Always said: left alone, OpenVINO takes bf16 on one machine and f32 on the next.
        exact, *short = self.precisions
        if precision in (exact, *short):
            return precision
        return short[0] if short and precision == "bf16" else exact

    def _read(self, loaded: LoadedModel) -> Any:
        try:
            if loaded.form == "onnx":
                model = self._core.read_model(model=loaded.model, weights=b"")
            else:
                model = self._core.read_model(model=loaded.model, weights=loaded.weights)
        except Exception as error:  # the engine raises bare RuntimeError and more
            raise MediaError(
                f"{loaded.name} cannot be opened by OpenVINO: {first_line(error)}"
            ) from error
        check_output_shape(
            loaded.name,
            [sizes_of(port) for port in model.inputs],
            [sizes_of(port) for port in model.outputs],
        )
        if model.inputs[0].element_type != openvino.Type.f32:
            raise MediaError(
                f"{loaded.name} takes {model.inputs[0].element_type}: export it with 32-bit"
                " float inputs"
            )
        return model

    def _make_static(self) -> None:
        """Give a model whose size is free the square that every such network knows."""
        shape = self._whole.inputs[0].partial_shape
        if shape.is_dynamic:
            sizes = [
                size.get_length() if size.is_static else default
                for size, default in zip(shape, (1, 3, 640, 640), strict=True)
            ]
            try:
                self._whole.reshape(openvino.PartialShape(sizes))
            except RuntimeError as error:
                raise MediaError(
                    f"{self._name} does not take a picture of {sizes[3]}x{sizes[2]}:"
                    f" {first_line(error)}"
                ) from error

    def _try_cut(self) -> Any | None:
        """The graph up to its heads, or None where that is not surely the same network."""
        heads = find_heads(self._whole, self._width, self._height)
        if heads is None:
            self._why_whole = "its last part is not one we know"
            return None
        forget_size(self._whole, (self._height // STRIDES[-1], self._width // STRIDES[-1]))
        try:
            difference = self._compare(heads)
        except (RuntimeError, ValueError) as error:
            self._why_whole = first_line(error)
            return None
        if not difference <= 1.0:
            self._why_whole = f"cut and whole differ by {difference:.3g} times what they may"
            return None
        return openvino.Model(heads, self._whole.get_parameters(), "pose").clone()

    def _compare(self, heads: list[Any]) -> float:
        """Largest difference between cut and whole, as a share of what is allowed."""
        whole = self._whole.outputs[0].get_node().input_value(0)
        both = openvino.Model([whole, *heads], self._whole.get_parameters(), "both")
        letterbox = Letterbox(self._width, self._height, self._width, self._height)
        canvas = letterbox.canvas()
        letterbox.paint(wave_picture(self._width, self._height), canvas)
        # Compared in f32: it is the arithmetic that is in question, not the rounding of bf16.
        request = self._compile(both, canvas, "f32")
        request.infer()
        wanted = request.get_output_tensor(0).data[0]
        boxes, scores, keypoints = (request.get_output_tensor(i).data[0] for i in (1, 2, 3))
        cells = anchors(self._width, self._height)
        found = decode_heads(boxes, scores[0], keypoints, cells)
        if found.shape != wanted.shape or not np.isfinite(wanted).all():
            raise ValueError("cut and whole have different anchors")
        allowed = np.full((CHANNELS, 1), _SAME_PIXELS, np.float32)
        allowed[4] = allowed[7::3] = _SAME_SHARE
        apart = np.abs(found - wanted)
        apart[4:] /= allowed[4:]
        apart[:4] /= _SAME_BOX_CELLS * cells[2]
        return float(apart.max())

    def _try_split(self) -> Split | None:
        """The cut graph in two, or None where its heads are to be run by the engine.

        Another device keeps its grids to itself; and products that do not say what the graph says
        are not its heads.
        """
        if self._cut is None or self._device != "CPU":
            return None
        try:
            split = split_heads(self._cut)
            if split is None or not self._is_same(split):
                return None
        except (RuntimeError, ValueError):
            return None
        return split

    def _is_same(self, split: Split) -> bool:
        """Whether the products say what the graph of the heads says, everywhere, borders too."""
        exact = split.heads.clone()
        if is_quantised(exact) and not take_out_rounding(exact):
            return False
        chance = np.random.default_rng(0)
        grids = [
            chance.standard_normal(tuple(port.shape), np.float32) for port in split.heads.inputs
        ]
        graph = self._core.compile_model(exact, "CPU", self._settings("f32"))
        wanted = [each[0] for each in graph(grids).values()]
        rows = [grid[0].transpose(1, 2, 0) for grid in grids]
        everywhere = np.arange(wanted[0].shape[1])
        heads = sparse_heads(split, self._width, self._height)
        found = [head.at(rows, everywhere) for head in heads]
        return all(
            bool(np.abs(ours - theirs).max() <= _SAME_HEAD * np.abs(theirs).max())
            for ours, theirs in zip(found, wanted, strict=True)
        )

    # --- compiling ---------------------------------------------------------------------------

    def _fit(self, width: int, height: int) -> _Compiled:
        if (compiled := self._compiled.get((width, height))) is None:
            if len(self._compiled) >= _KEPT_SIZES:
                self._compiled.pop(next(iter(self._compiled)))
            compiled = self._compile_for(width, height)
            self._compiled[width, height] = compiled
        self._newest = compiled
        return compiled

    def _compile_for(self, width: int, height: int) -> _Compiled:
        if self._cut is not None:
            box = Letterbox.rectangle(width, height)
            try:
                cut = self._split.trunk if self._split is not None else self._cut
                return self._finish(reshaped(cut, box), box)
            except RuntimeError as error:
                self._why_whole = first_line(error)
                self._cut = self._split = None
        box = Letterbox(width, height, self._width, self._height)
        return self._finish(self._whole, box)

    def _finish(self, model: Any, box: Letterbox) -> _Compiled:
        canvas = box.canvas()
        request = self._compile(model, canvas, self._precision)
        size = box.input_width, box.input_height
        sparse = sparse_heads(self._split, *size) if self._split is not None else None
        return _Compiled(box, canvas, request, anchors(*size), sparse)

    def _compile(self, model: Any, canvas: NDArray[np.uint8], precision: str) -> Any:
        """An inference request that reads `canvas`: bytes, as the picture has them.

        Swapping colours, dividing by 255 and turning the axes become part of the network, which
        does them in one pass.
        """
        steps = openvino.preprocess.PrePostProcessor(model.clone())
        given = steps.input()
        given.tensor().set_element_type(openvino.Type.u8)
        given.tensor().set_layout(openvino.Layout("NHWC"))
        given.tensor().set_color_format(openvino.preprocess.ColorFormat.BGR)
        given.model().set_layout(openvino.Layout("NCHW"))
        given.preprocess().convert_element_type(openvino.Type.f32)
        given.preprocess().convert_color(openvino.preprocess.ColorFormat.RGB)
        given.preprocess().scale(255.0)
        for number, output in enumerate(model.outputs):
            if len(output.shape) == len("NCHW"):  # a grid, which is read cell by cell
                steps.output(number).model().set_layout(openvino.Layout("NCHW"))
                steps.output(number).tensor().set_layout(openvino.Layout("NHWC"))
                if precision == "bf16":  # as it was computed: widened where it is read
                    steps.output(number).tensor().set_element_type(openvino.Type.bf16)
        compiled = self._core.compile_model(steps.build(), self._device, self._settings(precision))
        request = compiled.create_infer_request()
        request.set_input_tensor(openvino.Tensor(canvas, shared_memory=True))
        return request

    def _settings(self, precision: str) -> dict[Any, Any]:
        hint = openvino.properties.hint
        kinds = {"bf16": openvino.Type.bf16, "f16": openvino.Type.f16}
        settings: dict[Any, Any] = {
            hint.performance_mode: hint.PerformanceMode.LATENCY,
            hint.inference_precision: kinds.get(precision, openvino.Type.f32),
            # Left alone it rounds what flows into the last layers of a quantised network to 8
            # bits, whatever precision is asked for: half a per cent of what a head says.
            hint.dynamic_quantization_group_size: 0,
        }
        if self._device == "CPU":
            settings[openvino.properties.inference_num_threads] = self._threads
            # Left alone it binds itself to the first cores, and stays there while another one is
            # idle and the thread that makes the sound, which goes before all, works on those.
            # Where it has all cores there is no other to go to.
            cores = len(os.sched_getaffinity(0))
            settings[hint.enable_cpu_pinning] = self._threads >= cores
        return settings
