"""What a run costs before it is paid for: its training step compiled for hardware that is not here, and read."""
