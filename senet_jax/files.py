"""Files that are complete at every moment, even if the process is killed: JSON, records and CSV."""

import contextlib
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def expanded(path: str | Path) -> Path:
    """Returns the path with the home of "~" or "~name"; unlike pathlib's, a name of no user stays as it is."""
    return Path(os.path.expanduser(path))


@contextlib.contextmanager
def in_turn(directory: Path, waits: str) -> Iterator[None]:
    """Makes the directory, and waits until no other process holds it; prints that it waits, if it does.

    On a file system without locks, and on Windows, it does not wait.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w", encoding="utf-8") as lock:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(waits, file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON to the file in one step."""
    replace_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file. Raises ValueError with the path if it is damaged."""
    return _parsed(path.read_bytes(), f"{path} is damaged")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Returns the JSON objects of a file, one a line; a last line that a kill cut short is left out.

    Returns none if the file does not exist. Raises ValueError with the path and the line if one is damaged.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = enumerate(filter(lambda line: line.endswith(b"\n"), lines), 1)
    return [_parsed(line, f"line {number} of {path} is damaged") for number, line in whole]


def _parsed(text: bytes, fault: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{fault}: {error}") from error


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Writes JSON objects, one a line, into a file in one step."""
    replace_text(path, "".join(map(line_of, records)))


def read_table(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file by the titles of its columns."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as a CSV file in one step. The first row has the titles of all columns; there must be one."""
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def line_of(record: dict[str, Any]) -> str:
    """Returns a JSON object as a line of such a file."""
    return json.dumps(record) + "\n"
