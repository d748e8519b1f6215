"""Music that people bring: found, read, measured and kept as tracks; for jobs beside the daemon."""
