"""Find the people in each picture: their joints, and who is who."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import Field

from crowdstream.channel import Inbox, Outbox, WhenFull
from crowdstream.models import ModelFile, ModelMissing, find_model, forms_of
from crowdstream.packets import Frame, People, Tick
from crowdstream.slots import SlotLease, Slots
from crowdstream.stage import Context, Intake, Stage, StageConfig
from crowdstream.vision.choice import can_choose, choose_form
from crowdstream.vision.decode import Detections
from crowdstream.vision.grey import as_bgr
from crowdstream.vision.identity import Identities
from crowdstream.vision.model import ENVIRONMENT, Backend, Device, Precision
from crowdstream.vision.pace import ENOUGH_HZ, Pace
from crowdstream.vision.pose_child import MOST_SLOTS, TARGET, arguments_of
from crowdstream.worker import Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crowdstream.wire import Header, Message

EXPECTED_SIZE: Final = (1280, 720)
"""Width and height that the model is made ready for before the first picture comes."""

_seen_sizes: dict[str, tuple[int, int]] = {}
# The size of the pictures that a stage of this name got last, from one of its lives to the next.

READY_SECONDS: Final = 60.0
"""Opening and compiling a model takes one second here, and ten on a small machine."""

LATE_SECONDS: Final = 2.0
"""A picture takes 20 to 60 ms; a child that needs this long hangs."""

LATE_OFFLINE_SECONDS: Final = 60.0
"""Offline the machine may be busy with anything; only a child that hangs is killed."""


class EstimatePoseConfig(StageConfig):
    """Settings of `estimate_pose`.

    Example:
        [[stage]]
        use = "estimate_pose"
        model = "auto"
        max_rate_hz = 15
    """

    model: str = Field(
        "auto",
        min_length=1,
        description="Name of a model in the models folder, or the path of an .onnx or OpenVINO"
        " file; `auto` takes the first that is there, `none` looks for nobody.",
    )
    threads: int = Field(
        1, ge=1, le=64, description="Processor cores to compute on; the sound needs one too."
    )
    precision: Precision = Field(
        "auto",
        description="How exactly it is computed: `f32`, `bf16` (half a pixel off, twice as fast"
        " where the processor can) or `int8` (two pixels, three times, from an 8-bit file);"
        " `auto` measures once, live, and takes the fastest that is true.",
    )
    device: Device = Field(
        "auto", description="What computes: `cpu`, `gpu` or `npu`; `auto` is the processor."
    )
    backend: Backend = Field(
        "auto",
        description="`openvino`, `onnx` (ONNX Runtime), or `ultralytics` for a .pt, which is a"
        " pickle: it runs code that is in it, so `models add` it first. `auto` is OpenVINO, else"
        " ONNX Runtime.",
    )
    min_score: float = Field(
        0.3, gt=0, lt=1, description="How sure the model must be that something is a person."
    )
    max_rate_hz: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Look at no more pictures a second than this. Live it begins with 15, and"
        " takes more or fewer by itself, as the processor allows.",
    )


class EstimatePose(Stage[Frame, People]):
    """Look for people in the newest picture, in a child that can be killed.

    Without weights it says so once and lets every picture pass: the chain goes on with movement
    alone. A child that dies or hangs fails the stage, which is then started again.
    """

    Config = EstimatePoseConfig
    # The oldest picture goes: by the time the model is free only the newest is still true.
    intake = Intake(1, WhenFull.DROP_OLDEST)

    config: EstimatePoseConfig

    def __init__(self, config: EstimatePoseConfig, context: Context) -> None:
        """Touch nothing yet."""
        super().__init__(config, context)
        self._worker: Worker | None = None
        self._attached: list[int] = []
        """Keys of the memories that the child has, in the order in which it got them."""

        self._own: Slots | None = None
        """One slot for pictures that do not lie in shared memory."""

        self._size: tuple[int, int] = _seen_sizes.get(context.name, EXPECTED_SIZE)
        self._next_look = -math.inf
        self._pace = Pace()
        self._epoch: int | None = None
        # Live, a stage that was started again must not give a number that it gave before.
        self._who = Identities(1 if context.offline else int(context.clock.now() * 1000.0) + 1)

    async def open(self) -> None:
        """Start the child and make the model ready.

        Raises:
            ConfigError: the model has changed, or is of a kind that is not loaded.
            MediaError: it is no pose model.
            WorkerError: the child died or was not ready in time.
        """
        if self.config.model == "none":
            self.context.log.info("pose_off", why="model is none")
            return
        places = self.context.places
        try:
            file = find_model(
                self.config.model, places.models, pickles=self.config.backend == "ultralytics"
            )
        except ModelMissing as missing:
            self.note = "no model: movement alone"
            self.context.log.warning("pose_absent", why=str(missing), goes_on_with="motion alone")
            return
        file, precision, why = await self._form_of(file)
        self._worker = Worker(
            TARGET,
            name=self.context.name,
            log=self.context.log,
            arguments=arguments_of(
                file,
                models=places.models,
                state=places.state,
                threads=self.config.threads,
                precision=precision,
                device=self.config.device,
                backend=self.config.backend,
                min_score=self.config.min_score,
                size=self._size,
            ),
            environment=ENVIRONMENT,
            ready_seconds=READY_SECONDS,
        )
        facts = await self._worker.start()
        self.context.log.info("pose_ready", model=file.name, **facts, why=why)

    async def _form_of(self, file: ModelFile) -> tuple[ModelFile, str, str]:
        """Which file of the network to open, in which precision, and why.

        Offline there is no hurry, and the same must come out anywhere: the file as it is.
        """
        config = self.config
        if config.precision != "auto":
            forms = forms_of(file)
            file = (forms.int8 if config.precision == "int8" else forms.floating) or file
            return file, config.precision, "as configured"
        if config.backend in ("onnx", "ultralytics") or config.device in ("gpu", "npu"):
            return file, "auto", "the engine's own"
        if self.context.offline or not can_choose():
            return file, "auto", "the file as it is"
        return await choose_form(
            file, self.context, threads=config.threads, min_score=config.min_score, size=self._size
        )

    async def run(self, inbox: Inbox[Frame | Tick], outbox: Outbox[People]) -> None:
        """Look at each picture that comes, one after the other."""
        async for frame in inbox:
            if isinstance(frame, Tick) or self._worker is None or not self._is_due(frame):
                continue
            began_at = self.context.clock.now()
            people = await self._look(self._worker, frame)
            self._mind_the_pace(frame.captured_at, began_at)
            if people is None:
                continue
            height, width = frame.picture.shape[:2]
            await outbox.send(
                People(
                    seq=frame.seq,
                    captured_at=frame.captured_at,
                    epoch=frame.epoch,
                    keypoints=people.keypoints,
                    ids=self._who.follow(people, frame.captured_at, frame.epoch),
                    scores=people.scores,
                    aspect=width / height,
                )
            )

    async def close(self) -> None:
        """End the child."""
        if self._worker is not None:
            await self._worker.stop()
        if self._own is not None:
            self._own.close()

    def _is_due(self, frame: Frame) -> bool:
        own = None if self.context.offline else self._pace.rate_hz
        rates = [rate for rate in (self.config.max_rate_hz, own) if rate is not None]
        if not rates:
            return True
        step = 1.0 / min(rates)
        at = frame.captured_at
        # A quarter of a step early still counts: cameras tremble. Over time it evens out.
        early = self._next_look - 2.0 * step < at < self._next_look - 0.25 * step
        if early and frame.epoch == self._epoch:
            return False
        follows = frame.epoch == self._epoch and at < self._next_look + step
        self._next_look = (self._next_look if follows else at) + step
        self._epoch = frame.epoch
        return True

    def _mind_the_pace(self, captured_at: float, began_at: float) -> None:
        """Live, look less often while looks come late or leave the core no rest."""
        if self.context.offline:
            return
        before = self._pace.rate_hz or math.inf
        done_at = self.context.clock.now()
        why = self._pace.looked(captured_at=captured_at, began_at=began_at, done_at=done_at)
        if not why:
            return
        rate = self._pace.rate_hz
        is_short = rate is not None and rate < ENOUGH_HZ
        self.note = f"looks at most {rate:g} times a second: {why}" if is_short else ""
        if (rate or math.inf) < before:
            tell = self.context.log.warning if is_short else self.context.log.info
            tell("pose_slower", at_most_hz=rate, why=why)
        else:
            self.context.log.info("pose_faster", at_most_hz=rate, why=why)

    async def _look(self, worker: Worker, frame: Frame) -> Detections | None:
        """The people in a picture; None if it was taken away meanwhile."""
        picture = as_bgr(frame.picture)
        height, width = picture.shape[:2]
        if (width, height) != self._size:
            # Compiling for a new size takes a second, which is no reason to kill the child.
            # Should the supervisor lose patience first, the next life is made ready for this size.
            _seen_sizes[self.context.name] = (width, height)
            await worker.call({"op": "prepare", "size": [width, height]}, deadline=READY_SECONDS)
            self._size = (width, height)
        lent = _place_of(frame) if picture is frame.picture else None
        lease = lent[0] if lent is not None else self._copied(picture)
        offset = lent[1] if lent is not None else 0
        try:
            await self._attach(worker, lease.slots)
            header: Header = {
                "op": "look",
                "key": lease.slots.key,
                "index": lease.index,
                "generation": lease.generation,
                "shape": list(picture.shape),
                "offset": offset,
            }
            late = LATE_OFFLINE_SECONDS if self.context.offline else LATE_SECONDS
            answer = await worker.call(header, deadline=late)
        finally:
            if lent is None:
                lease.release()
        return None if answer.header["stale"] else _detections(answer)

    async def _attach(self, worker: Worker, slots: Slots) -> None:
        """Hand the memory of the pictures to the child, once."""
        if slots.key in self._attached:
            return
        await worker.call({"op": "slots"}, fds=[slots.fd], deadline=LATE_SECONDS)
        self._attached.append(slots.key)
        del self._attached[:-MOST_SLOTS]

    def _copied(self, picture: NDArray[np.uint8]) -> SlotLease:
        """The picture, in the stage's own slot."""
        if self._own is None or self._own.slot_bytes < picture.nbytes:
            if self._own is not None:
                self._own.close()
            self._own = Slots.create(1, picture.nbytes)
        index = self._own.take()
        assert index is not None  # one picture at a time, and each is given back
        self._own.room(index, picture.shape)[:] = picture
        return self._own.lease(index, self._own.whole(index))


def _place_of(frame: Frame) -> tuple[SlotLease, int] | None:
    """The slot that the picture lies in and how many bytes from its begin; None if in none."""
    lease = frame.lease
    if not isinstance(lease, SlotLease) or not frame.picture.flags.c_contiguous:
        return None
    slot = lease.slots.view(lease.index, (lease.slots.slot_bytes,))
    offset = _address(frame.picture) - _address(slot)
    inside = 0 <= offset <= slot.nbytes - frame.picture.nbytes
    return (lease, offset) if inside else None


def _address(array: NDArray[np.uint8]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _detections(answer: Message) -> Detections:
    # Copied out of the message: compiled kernels take no arrays that are read only.
    arrays = {name: array.copy() for name, array in answer.arrays().items()}
    return Detections(keypoints=arrays["keypoints"], scores=arrays["scores"], boxes=arrays["boxes"])
