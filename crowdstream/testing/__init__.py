"""Small real parts for tests: ours, and those of whoever writes a stage."""

from crowdstream.testing.check import BrokenPromises, check_stage
from crowdstream.testing.clock import ManualClock
from crowdstream.testing.stages import a_context, run_source, run_stage

__all__ = ["BrokenPromises", "ManualClock", "a_context", "check_stage", "run_source", "run_stage"]
