"""The examples of one split, read and decoded in any order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from PIL import Image

from senet_jax.data import images
from senet_jax.workdir import RunError

_T = TypeVar("_T")


class LabelError(RunError, ValueError):
    """The class of an example is not among those of its dataset."""


@runtime_checkable
class Source(Protocol):
    """Examples to be read in any order, each {"image": the bytes of a file, "label": its class}.

    Besides, an example can have the text "file_name", and the text "fault", which says what is wrong with its image if
    it is not empty.
    """

    def __len__(self) -> int: ...

    def __getitems__(self, keys: Sequence[int]) -> Sequence[dict[str, Any]]: ...


class Decoded(NamedTuple):
    """All examples of a split in memory, read-only."""

    pixels: np.ndarray
    """Pixels, uint8 (n, size, size, c); zeros if the image cannot be read."""
    labels: np.ndarray
    """Classes, int32 (n,); 0 if the image cannot be read."""
    bad: np.ndarray
    """Whether the image cannot be read, bool (n,)."""


@dataclass(frozen=True, eq=False)
class Split:
    """The encoded examples of one split; decoded pixels are kept after their first use."""

    name: str
    source: Source = field(repr=False)
    num_classes: int
    channels: int
    _decoded: dict[Any, Decoded] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]) -> Iterator[tuple[Image.Image, int] | None]:
        """Yields the decoded image at each index, in its own size, and its class; None if it cannot be read.

        Raises ValueError, naming the example, if its label is none of the classes.
        """
        return self.map(indices, lambda row, data: images.decode(data, self.channels))

    def map(self, indices: Sequence[int], decode: Callable[[int, bytes], _T]) -> Iterator[tuple[_T, int] | None]:
        """Reads examples like `read`, with the result of `decode` for the place in `indices` and the bytes of the file.

        `decode` raises BadImageError if the image cannot be read.
        """
        for row, (example, index) in enumerate(zip(self._examples(indices), indices, strict=True)):
            try:
                data, label = self._encoded(index, example)
                yield decode(row, data), label
            except images.BadImageError:
                yield None

    def first(self) -> Image.Image:
        """Returns the first readable image. Raises ValueError if none of the first eight is."""
        for image, _ in filter(None, self.read(range(min(8, len(self))))):
            return image
        raise ValueError(f"example 0 of split {self.name!r} has {self.fault(0)[1]}")

    def fault(self, index: int) -> tuple[str, str]:
        """Returns the name of an image, "" if the dataset has none, and its fault, "" if it can be read."""
        (example,) = self._examples([index])
        name = _name(example)
        try:
            images.decode(self._encoded(index, example)[0], self.channels)
        except images.BadImageError as error:
            return name, str(error)
        return name, ""

    def names(self, indices: Sequence[int]) -> list[str]:
        """Returns the names of examples, such as those of their files; "" if the dataset has none."""
        return list(map(_name, self._examples(indices)))

    def decoded(self, size: int, center_crop: float, interpolation: str = "bilinear") -> Decoded:
        """Returns all images, cropped by `images.center_crop`, and their labels."""
        key = size, center_crop, interpolation
        if key not in self._decoded:
            pixels = np.zeros((len(self), size, size, self.channels), np.uint8)
            labels, bad = np.zeros(len(self), np.int32), np.zeros(len(self), bool)

            def fill(indices: range) -> None:
                for index, example in zip(indices, self.read(indices), strict=True):
                    bad[index] = example is None
                    if example is not None:
                        pixels[index], labels[index] = images.center_crop(example[0], *key), example[1]

            starts = range(0, len(self), 256)
            with ThreadPool() as pool:
                pool.map(fill, [range(start, min(start + 256, len(self))) for start in starts], chunksize=1)
            for array in (pixels, labels, bad):
                array.setflags(write=False)
            self._decoded[key] = Decoded(pixels, labels, bad)
        return self._decoded[key]

    def _examples(self, indices: Sequence[int]) -> Sequence[dict[str, Any] | Exception]:
        """Returns the encoded examples, with an error in place of each one that cannot be read."""
        try:
            return self.source.__getitems__(indices)
        except Exception as error:  # The reader of the files has no type for its errors.
            return [error] if len(indices) == 1 else [self._examples([index])[0] for index in indices]

    def _encoded(self, index: int, example: dict[str, Any] | Exception) -> tuple[bytes, int]:
        """Returns the bytes of an image and its class. Raises as `read` does, and BadImageError if they are missing."""
        if isinstance(example, Exception):
            raise images.BadImageError(f"a record that cannot be read: {str(example).partition(chr(10))[0]}")
        label = int(example["label"])
        if not 0 <= label < self.num_classes:
            raise LabelError(
                f"example {index} of split {self.name!r} has label {label}, which must be one of 0 to "
                f"{self.num_classes - 1}"
            )
        if fault := example.get("fault"):
            raise images.BadImageError(fault.decode())
        return example["image"], label

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_decoded": {}}  # Worker processes need no copy of decoded images.


def _name(example: dict[str, Any] | Exception) -> str:
    """Returns the name of an example; "" if the dataset has none."""
    named = {} if isinstance(example, Exception) else example
    name = named.get("file_name", named.get("id", ""))
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
