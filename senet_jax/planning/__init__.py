"""Cost of a run in advance, from its training step compiled for absent hardware."""
