"""Seeing: skeletons, pose models, optical flow, and people that are drawn."""
