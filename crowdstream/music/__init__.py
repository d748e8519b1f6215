"""Music, pure: the timeline, the conductor, harmony, the library, and the built-in tracks."""
