"""The mathematics of movement, tempo and fades: arrays in, arrays out. No I/O, no async."""
