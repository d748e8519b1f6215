"""Frame in, Motion out: the stage around the motion eye."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from pydantic import ValidationError

from crowdstream.packets import Frame, Motion
from crowdstream.testing.stages import SilentLog, a_context, run_stage
from stages.measure_motion import MeasureMotion, MeasureMotionConfig


def a_frame(seq: int, *, epoch: int = 0, shift: int = 0) -> Frame:
    """A patterned picture, shifted to the right by so many pixels in the middle."""
    grey = np.random.default_rng(1).integers(60, 190, (180, 320), dtype=np.uint8)
    grey = np.ascontiguousarray(np.repeat(np.repeat(grey[::6, ::6], 6, 0), 6, 1)[:180, :320])
    grey[60:120, 100:160] = np.roll(grey, (shift, shift), (0, 1))[60:120, 100:160]
    return Frame(
        seq=seq, captured_at=5.0 + seq / 20, epoch=epoch,
        picture=np.zeros((1, 1, 3), np.uint8), grey=grey, source_size=(320, 180),
    )  # fmt: skip


def a_stage(**settings: float) -> MeasureMotion:
    return MeasureMotion(MeasureMotionConfig(**settings), a_context())


async def test_every_frame_gets_its_motion() -> None:
    """One for one, with the frame's own number, moment and epoch."""
    frames = [a_frame(seq, epoch=seq // 3) for seq in range(6)]
    motions = await run_stage(a_stage(), frames)
    assert [(m.seq, m.captured_at, m.epoch) for m in motions] == [
        (f.seq, f.captured_at, f.epoch) for f in frames
    ]
    assert all(isinstance(motion, Motion) for motion in motions)


async def test_movement_is_seen_and_a_jump_is_not() -> None:
    """Within an epoch what moves has a speed; the first frame of the next one has none."""
    frames = [a_frame(seq, shift=2 * seq) for seq in range(6)]
    frames.append(a_frame(6, epoch=1, shift=40))
    motions = [m for m in await run_stage(a_stage(), frames) if isinstance(m, Motion)]
    assert motions[5].speed > 0.1
    assert motions[5].moving_share > 0.01
    assert (motions[6].speed, motions[6].confidence) == (0.0, 0.0)


async def test_the_same_movement_is_more_for_a_smaller_person() -> None:
    """Speed is in body lengths: half the body, at least twice the speed."""
    frames = [a_frame(seq, shift=2 * seq) for seq in range(6)]
    tall, small = [
        [
            m.speed
            for m in await run_stage(a_stage(person_height=h), frames)
            if isinstance(m, Motion)
        ]
        for h in (0.6, 0.3)
    ]
    assert small[-1] >= 2 * tall[-1] > 0


@pytest.mark.parametrize("height", [0.0, -1.0, 3.0, float("nan"), float("inf")])
def test_an_impossible_person_is_refused(height: float) -> None:
    """Neither nothing, nor infinitely tall."""
    with pytest.raises(ValidationError):
        MeasureMotionConfig(person_height=height)


async def test_a_view_that_changed_over_a_reconnect_is_told_of_once() -> None:
    """Live; a film that is looped, or cut, is offline's own affair."""
    here = [a_frame(seq) for seq in range(30)]
    there = [
        dataclasses.replace(
            a_frame(seq, epoch=1), grey=np.ascontiguousarray(here[0].grey[::-1, ::-1])
        )
        for seq in range(30, 90)
    ]
    for offline, expected in ((False, 1), (True, 0)):
        log = SilentLog()
        stage = MeasureMotion(MeasureMotionConfig(), a_context(log=log, offline=offline))
        for frame in here + there:
            stage.process(frame)
        assert [event for _, event, _ in log.said].count("view_changed") == expected


async def test_the_same_view_after_a_reconnect_is_nothing_to_tell() -> None:
    log = SilentLog()
    stage = MeasureMotion(MeasureMotionConfig(), a_context(log=log, offline=False))
    for seq in range(90):
        stage.process(a_frame(seq, epoch=seq // 30))
    assert log.said == []


async def test_whatever_comes_it_goes_on_and_every_number_is_finite() -> None:
    """Time stamps that stand still, go back a little and far, other sizes in mid-stream."""
    rng = np.random.default_rng(2)
    stage, at = a_stage(), 5.0
    for seq in range(120):
        at += float(rng.choice([0.0, 0.01, 0.05, 0.2, 1.5, -0.02, -9.0]))
        rows = (180, 180, 180, 180, 40, 1)[seq % 6]
        grey = rng.integers(0, 256, (rows, (320, 101, 1)[seq % 3]), dtype=np.uint8)
        motion = stage.process(dataclasses.replace(a_frame(seq), captured_at=at, grey=grey))
        assert all(
            math.isfinite(value)
            for value in (motion.speed, motion.moving_share, motion.confidence, *motion.camera)
        )


async def test_after_the_clock_was_set_back_movement_is_seen_again() -> None:
    stage = a_stage()
    for seq in range(10):
        stage.process(a_frame(seq, shift=2 * seq))
    for seq in range(10):
        frame = dataclasses.replace(a_frame(seq, shift=2 * seq), captured_at=1.0 + seq / 20)
        motion = stage.process(frame)
    assert motion.speed > 0.1
