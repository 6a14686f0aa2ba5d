"""Checks of --output, to which commands write."""

from pathlib import Path

from senet_jax.disks import check_writable


def check_output_directory(output: Path) -> None:
    """Raises ValueError if the directory, which need not exist, cannot be made or written."""
    for place in (output, *output.parents):
        if place.is_file():
            said = "which" if place == output else f"and {str(place)!r}"
            raise ValueError(f"--output is {str(output)!r}, {said} is a file; give a directory")
    check_writable(output, f"--output={output}")


def check_output_file(output: Path) -> None:
    """Raises ValueError if the file is a directory, or if its directory does not exist or cannot be written."""
    if output.is_dir():
        raise ValueError(f"--output is {str(output)!r}, which is a directory; give the name of a file")
    if not output.parent.is_dir():
        raise ValueError(f"--output is {str(output)!r}, but there is no directory {str(output.parent)!r}")
    check_writable(output.parent, f"--output={output}")


def check_new(output: Path) -> None:
    """Raises ValueError if the file exists, or as `check_output_file` does."""
    if output.exists():
        raise ValueError(f"--output is {str(output)!r}, which exists already; give the name of a new file")
    check_output_file(output)
