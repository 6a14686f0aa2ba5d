"""Images that cannot be read: counted, named, and replaced by others that are the same in every run."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from senet_jax.data.split import Split
from senet_jax.files import line_of, read_records, write_records
from senet_jax.workdir import RunError

_TRIES = 20
_NAMED = 5
"""Number of images that are named one by one; the file has the others."""


class TooManyBadImagesError(RunError, ValueError):
    """More images cannot be read than the configuration allows."""


def substitutes(examples: int, seed: int, epoch: int, index: int) -> Iterator[int]:
    """Yields the examples to try, in this order, in place of one that cannot be read."""
    yield from np.random.default_rng((seed, 2, epoch, index)).integers(examples, size=_TRIES).tolist()
    raise TooManyBadImagesError(f"image {index} cannot be read, and none of {_TRIES} others that were tried")


class BadImages:
    """The images of each split that cannot be read, of all processes; a resumed run reads them from the files."""

    def __init__(
        self, share: float, file: Path | None = None, say: Callable[[str], None] | None = None, process: int = 0
    ):
        """Allows that share of bad images in each split.

        They are named by `say`, by default on standard error, and in the file if one is given. Each line of the file is
        a JSON object with split, index, file (as far as the dataset names it) and fault. Process N of several has a
        file of its own, with N at the end of its name, and counts the images in all files.
        """
        self._share, self._file = share, file
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self._known: dict[str, set[int]] = {}
        if file is None:
            return
        self._names = f"{file.stem}*{file.suffix}"
        self._file = file.with_stem(f"{file.stem}_{process}") if process else file
        if self._file.exists():
            write_records(self._file, read_records(self._file))  # Removes a last line that a kill cut short.
        self._read()

    def _files(self) -> list[Path]:
        """Returns the files of all processes."""
        return [] if self._file is None else sorted(self._file.parent.glob(self._names))

    def _read(self) -> None:
        """Reads the images that any process has named."""
        for file in self._files():
            for record in read_records(file):
                self._known.setdefault(record["split"], set()).add(record["index"])

    def count(self, split: Split) -> int:
        """Returns the number of images of the split that are known to be bad."""
        return len(self._known.get(split.name, ()))

    def forget_repaired(self, *splits: Split) -> None:
        """Forgets the images of these splits that can be read again, as after a fault of a disk."""
        repaired = {
            (split.name, index)
            for split in splits
            for index in self._known.get(split.name, ())
            if not split.fault(index)[1]
        }
        for name, index in repaired:
            self._known[name].remove(index)
        if repaired and self._file is not None and self._file.exists():
            records = read_records(self._file)
            write_records(self._file, [each for each in records if (each["split"], each["index"]) not in repaired])

    def note(self, split: Split, indices: Iterable[int]) -> None:
        """Counts and names the images that are not known yet.

        Raises TooManyBadImagesError, a ValueError, if their share is larger than allowed.
        """
        known = self._known.setdefault(split.name, set())
        if set(indices) - known:
            self._read()
        for index in sorted(set(indices) - known):
            known.add(index)
            name, fault = split.fault(index)
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(line_of({"split": split.name, "index": index, "file": name, "fault": fault}))
            if len(known) <= _NAMED or self._file is None:
                named = f" ({name})" if name else ""
                self._say(f"image {index}{named} of split {split.name!r} cannot be read: {fault}")
        if len(known) > self._share * len(split):
            listed = "" if self._file is None else f"; they are named in {', '.join(map(str, self._files()))}"
            raise TooManyBadImagesError(
                f"{len(known):,} of the {len(split):,} images of split {split.name!r} cannot be read, a larger share "
                f"than config.data.bad_images, {self._share:g}{listed}; repair them, or give a larger share"
            )
