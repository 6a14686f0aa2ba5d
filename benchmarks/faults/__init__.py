"""Faults with fixed seeds, injected into training runs and checkpoints: `python -m benchmarks.faults`."""
