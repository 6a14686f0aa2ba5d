"""Checks of --output, to which commands write."""

from pathlib import Path


def check_folder(output: Path) -> None:
    """Raises ValueError if the directory is a file; it need not exist."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output is {str(output)!r}, which is a file; give a directory")


def check_directory(output: Path) -> None:
    """Raises ValueError if the directory of the file does not exist."""
    if not output.parent.is_dir():
        raise ValueError(f"--output is {str(output)!r}, but there is no directory {str(output.parent)!r}")


def check_new(output: Path) -> None:
    """Raises ValueError if the file exists, or its directory does not."""
    if output.exists():
        raise ValueError(f"--output is {str(output)!r}, which exists already; give the name of a new file")
    check_directory(output)
