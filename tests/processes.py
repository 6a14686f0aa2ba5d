"""Python programs in processes of their own."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def run_python(code, *words, directory=REPOSITORY):
    """Runs a program with words as its arguments and returns it when it has ended, with its output as text."""
    program = [sys.executable, "-c", code, *words]
    return subprocess.run(program, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
