"""The program's name: `launch.py`, the console script and `python -m senet_jax` are one main."""

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn


def name() -> str:
    """Returns the name under which the program was called: "launch.py", "senet-jax" or "python -m senet_jax"."""
    called = Path(sys.argv[0]).name
    return "python -m senet_jax" if called == "__main__.py" else called


def command() -> str:
    """Returns how a shell calls the program: "python launch.py", "senet-jax" or "python -m senet_jax"."""
    return f"python {name()}" if name().endswith(".py") else name()


def invocation() -> str:
    """Returns the command line that started this process, to be pasted into a shell, without the path of the program.

    It begins with "senet-jax", "python launch.py" or "python -m senet_jax"; another script keeps its path.
    """
    script, *rest = sys.orig_argv[1:] or [""]
    called = Path(script).name
    if called == "senet-jax":  # Pip installs it as a Python file, which the kernel passes to Python by its path.
        return shlex.join([called, *rest])
    return shlex.join(["python", called if called == "launch.py" else script, *rest])


def end_at_once(status: int) -> NoReturn:
    """Ends the process without its clean-up, which crashes if a thread of XLA still compiles."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def command_line(command_name: str, workdir: Path) -> str:
    """Returns a command line for the workdir, to be pasted into a shell."""
    return f"{command()} {command_name} {shlex.quote(f'--workdir={workdir}')}"
