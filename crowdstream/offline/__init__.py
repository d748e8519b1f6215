"""Work without a clock: videos to reports, the demo, shows to pages."""
