"""Files that a kill at any moment leaves whole."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Makes the file hold this text: at every moment it holds either what it held before or all of the new text."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
