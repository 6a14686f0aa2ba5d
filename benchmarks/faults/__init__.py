"""A campaign of faults with fixed seeds: `python -m benchmarks.faults`."""
