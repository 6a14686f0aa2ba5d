"""The program's name: `launch.py`, the console script and `python -m senet_jax` are one main."""

import shlex
import sys
from pathlib import Path


def name() -> str:
    """Returns the name under which the program was called: "launch.py", "senet-jax" or "python -m senet_jax"."""
    called = Path(sys.argv[0]).name
    return "python -m senet_jax" if called == "__main__.py" else called


def command() -> str:
    """Returns how a shell calls the program: "python launch.py", "senet-jax" or "python -m senet_jax"."""
    return f"python {name()}" if name().endswith(".py") else name()


def command_line(command_name: str, workdir: Path) -> str:
    """Returns a command line for the workdir, to be pasted into a shell."""
    return f"{command()} {command_name} {shlex.quote(f'--workdir={workdir}')}"
