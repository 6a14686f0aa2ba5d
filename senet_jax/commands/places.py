"""Checks of --output, to which commands write."""

from pathlib import Path


def check_folder(output: Path) -> None:
    """Raises ValueError if the directory, or one that it is in, is a file; it need not exist."""
    for place in (output, *output.parents):
        if place.is_file():
            said = "which" if place == output else f"and {str(place)!r}"
            raise ValueError(f"--output is {str(output)!r}, {said} is a file; give a directory")


def check_directory(output: Path) -> None:
    """Raises ValueError if the file is a directory, or if its directory does not exist."""
    if output.is_dir():
        raise ValueError(f"--output is {str(output)!r}, which is a directory; give the name of a file")
    if not output.parent.is_dir():
        raise ValueError(f"--output is {str(output)!r}, but there is no directory {str(output.parent)!r}")


def check_new(output: Path) -> None:
    """Raises ValueError if the file exists, or its directory does not."""
    if output.exists():
        raise ValueError(f"--output is {str(output)!r}, which exists already; give the name of a new file")
    check_directory(output)
