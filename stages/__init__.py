"""The parts a pipeline can use: one file each, found by entry point."""
