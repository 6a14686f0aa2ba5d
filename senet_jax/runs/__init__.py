"""Runs of experiments: one from start to end, and many in processes of their own."""
