"""Files that a kill at any moment leaves whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file, which then replaces `path` in one step.

    If the block raises, `path` stays as it was and the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Writes the text to the file, which at every moment holds either its old content or all of the new."""
    with replaced(path) as temporary:
        temporary.write_text(text)
