"""Checks of the place of files, before anything is written there; and the number of open ones."""

import contextlib
import shutil
import tempfile
from pathlib import Path


def check_writable(directory: Path, name: str) -> None:
    """Raises ValueError if no file can be written in the directory, or in the nearest one above it that exists.

    The message begins with the name, such as "--workdir=runs/first".
    """
    try:
        tempfile.TemporaryFile(dir=_nearest(directory)).close()
    except OSError as error:
        raise ValueError(f"{name} cannot be written: {error.strerror}; give another directory") from error


def check_renames(directory: Path, name: str) -> None:
    """Raises ValueError if a directory with a file cannot be renamed there, as in some mounted buckets."""
    with tempfile.TemporaryDirectory(dir=_nearest(directory)) as place:
        tried = Path(place, "tried")
        tried.mkdir()
        (tried / "file").touch()
        try:
            tried.rename(tried.with_name("renamed"))
        except OSError as error:
            raise ValueError(
                f"{name} must be on a file system that can rename directories, which saving a checkpoint does: "
                f"{error.strerror}; give another directory"
            ) from error


def check_space(directory: Path, needed: int, other: str) -> None:
    """Raises ValueError, which advises to give the other thing, if a disk has fewer free bytes than needed."""
    free = shutil.disk_usage(_nearest(directory)).free
    if free < needed:
        raise ValueError(
            f"{directory} needs {needed / 2**30:.1f} GiB and its disk has {free / 2**30:.1f}; give {other}"
        )


def _nearest(directory: Path) -> Path:
    """Returns the directory, or the nearest one above it that exists."""
    return next(place for place in (directory, *directory.parents) if place.exists())


def space(directory: Path) -> str:
    """Says how much room a directory has, as in "has 1,024 bytes free"."""
    try:
        return f"has {shutil.disk_usage(directory).free:,} bytes free"
    except FileNotFoundError:
        return "does not exist any more"


def allow_open_files() -> None:
    """Lets this process and those that it starts have as many files open as the system allows, up to 65,536."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit.
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
