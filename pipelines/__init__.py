"""Recipes live here: one chain each, as TOML, and no code."""
