import sys

import pytest


@pytest.fixture(autouse=True)
def _called_as_launch_py(monkeypatch):
    """Messages name the program that was called."""
    monkeypatch.setattr(sys, "argv", ["launch.py"])
