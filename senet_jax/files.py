"""Files that a kill at any moment leaves whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields the path of a file to write, which then takes the place of `path`: there is no moment between.

    If the block raises, `path` stays as it was and nothing else is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Makes the file hold this text: at every moment it holds either what it held before or all of the new text."""
    with replaced(path) as temporary:
        temporary.write_text(text)
