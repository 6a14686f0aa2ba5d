"""Where commands read a trained network from and write a file to: --weights and --output."""

from pathlib import Path
from typing import Any

from senet_jax import load
from senet_jax.weights.source import Loaded


def load_source(options: dict[str, Any]) -> Loaded:
    """Loads what --weights, --model and --step name. Raises ValueError or OSError as `senet_jax.load` does."""
    step = options.get("step", "newest")
    return load(options["weights"], model=options.get("model"), step=int(step) if step.isdecimal() else step)


def check_directory(output: Path) -> None:
    """Raises ValueError if the directory of the file does not exist."""
    if not output.parent.is_dir():
        raise ValueError(f"--output is {str(output)!r}, but there is no directory {str(output.parent)!r}")


def check_new(output: Path) -> None:
    """Raises ValueError if the file exists, or its directory does not."""
    if output.exists():
        raise ValueError(f"--output is {str(output)!r}, which exists already; give the name of a new file")
    check_directory(output)
