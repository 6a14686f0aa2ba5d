"""Memory and speed of a run before it starts, from its training step compiled for absent hardware."""
