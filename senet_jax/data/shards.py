"""The image files inside shards: tars of WebDataset, and Arrow files that Hugging Face's datasets saved to a disk."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from senet_jax.data import members
from senet_jax.data.members import Member
from senet_jax.texts import some

Found = tuple[list[str], dict[str, list[Member]]]
"""Class names in the order of their numbers, and the files of each split."""

_IMAGES = ("bmp", "gif", "jpeg", "jpg", "png", "ppm", "tif", "tiff", "webp")
_CLASSES = "classnames.txt"
_SHARD = re.compile(r"(?:.*?[-_.])?([A-Za-z][A-Za-z0-9]*)[-_.]\d+(?:-of-\d+)?\.tar")


def find_tars(source: Path) -> Found | None:
    """Finds the images of WebDataset's tars, `<split>/*.tar` or `*<split>-<number>.tar`; None if there are no tars.

    After the number can stand `-of-<number>`. A sample has one image and its class in `.cls`, a number or a name.
    `classnames.txt` names the numbers, one a line.

    Raises ValueError if a sample lacks one of them or has one twice, if the split of a tar is not known, if a tar is
    compressed or cannot be read, or if a class has two numbers.
    """
    tars = {path: path.parent.name for path in sorted(source.glob("*/*.tar"))}
    shards = {path: _SHARD.fullmatch(path.name) for path in sorted(source.glob("*.tar"))}
    tars |= {path: match[1] for path, match in shards.items() if match}
    ends = (f"{place}*.{end}" for place in ("", "*/") for end in ("tar.gz", "tgz", "tar.zst"))
    if packed := sorted(path.name for end in ends for path in source.glob(end)):
        raise ValueError(f"--source={source} has {some(packed)}, which is compressed; unpack it to a .tar first")
    if not tars:
        return None
    if others := [path.name for path, match in shards.items() if not match]:
        raise ValueError(f"--source={source} has {some(others)}, which is not named as *<split>-<number>.tar")
    listing = source / _CLASSES
    given = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    if blank := next((number for number, name in enumerate(given, 1) if not name.strip()), None):
        raise ValueError(f"line {blank} of {listing} is blank; it must have the name of class {blank - 1}")
    if twice := [name for name, lines in Counter(given).items() if lines > 1]:
        raise ValueError(f"{listing} has a name twice: {some(twice)}; each class needs its own")
    splits: dict[str, list[Member]] = {}
    for path, split in tars.items():
        splits.setdefault(split, []).extend(_samples(path))
    labels = {member.label for found in splits.values() for member in found}
    if not all(map(str.isdecimal, labels)):
        return given or sorted(labels), _unique(splits)
    count = max(map(int, labels), default=-1) + 1
    if given and len(given) < count:
        raise ValueError(f"{listing} has {len(given)} names; {source} has the class {count - 1}, which needs {count}")
    names = given or [str(number) for number in range(count)]
    return names, _unique(
        {
            split: [replace(member, label=names[int(member.label)]) for member in found]
            for split, found in splits.items()
        }
    )


def _samples(path: Path) -> Iterator[Member]:
    """Yields the image of each sample; its parts have the same name up to the first dot."""
    samples: dict[str, dict[str, Member]] = {}
    for name, offset, size in members.parts(path):
        folder, _, file = name.rpartition("/")
        if file.startswith("."):
            continue
        key, _, extension = file.partition(".")
        sample = samples.setdefault(f"{folder}/{key}", {})
        if extension.lower() in sample:
            raise ValueError(f"{path} has {name!r} twice; each sample needs a name of its own")
        sample[extension.lower()] = Member(str(path), offset, size, file, "")
    images = []
    for key, sample in samples.items():
        found = [part for extension, part in sample.items() if extension in _IMAGES]
        if len(found) != 1 or "cls" not in sample:
            raise ValueError(
                f"{path}: sample {key.lstrip('/')!r} has {', '.join(sorted(sample))}; it must have a .cls and one "
                f"image (.{', .'.join(_IMAGES)})"
            )
        images += found
    labels = members.read(sample["cls"] for sample in samples.values())
    for image, label in zip(images, labels, strict=True):
        words = label.decode().strip()
        if len(words.splitlines()) != 1:
            raise ValueError(f"{path}: the .cls beside {image.name} has {words!r}; it must have one class in one line")
        yield replace(image, label=words)


def find_arrow(source: Path) -> Found | None:
    """Finds the images of a `Dataset` or `DatasetDict` after its `save_to_disk`; None if it is neither.

    The first column of type Image has the images, the first of type ClassLabel their classes. A `Dataset` is the split
    that it says it is, or "train".

    Raises ValueError if a column lacks, if images are not in the files, or if those cannot be read.
    """
    if (listing := source / "dataset_dict.json").is_file():
        folders = {split: source / split for split in _read(listing, "splits")}
    elif (state := source / "state.json").is_file():
        folders = {_read(state, "_split") or "train": source}
    elif parquet := next((path for pattern in ("*.parquet", "*/*.parquet") for path in source.glob(pattern)), None):
        raise ValueError(
            f"--source={source} has {parquet.name}, whose images are compressed a second time; datasets.load_dataset("
            f'"parquet", data_files=..., split="train").save_to_disk(DIRECTORY) writes files that can be prepared'
        )
    else:
        return None
    names: list[str] = []
    splits: dict[str, list[Member]] = {}
    for split, folder in folders.items():
        features = _read(folder / "dataset_info.json", "features")
        image, label = (_column(folder, features, kind) for kind in ("Image", "ClassLabel"))
        if names and names != features[label]["names"]:
            raise ValueError(f"the splits of {source} have different classes; cast their labels to one ClassLabel")
        names = features[label]["names"]
        files = [part["filename"] for part in _read(folder / "state.json", "_data_files")]
        splits[split] = [member for file in files for member in _rows(folder / file, image, label, names)]
    return names, _unique(splits)


def _read(file: Path, key: str) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError) as error:
        raise ValueError(f"{file} cannot be read ({type(error).__name__}: {error}); save the dataset again") from None


def _column(folder: Path, features: dict[str, dict[str, object]], kind: str) -> str:
    for name, feature in features.items():
        if feature.get("_type") == kind:
            return name
    raise ValueError(
        f"{folder} has no column of type {kind}; its columns are {', '.join(features)}; cast_column makes one"
    )


def _rows(path: Path, image: str, label: str, names: list[str]) -> Iterator[Member]:
    """Yields the image of each row. The file is mapped into memory, and not compressed, so that bytes have offsets."""
    import pyarrow as pa

    size = path.stat().st_size
    with pa.memory_map(str(path)) as file:
        start = file.read_buffer(1).address
        file.seek(0)
        try:
            batches = list(pa.ipc.open_stream(file))
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path} cannot be read ({error}); save the dataset again") from None
        for batch in batches:
            images, labels = batch.column(image), batch.column(label).to_pylist()
            contents = images.field("bytes")
            wide = np.int64 if pa.types.is_large_binary(contents.type) else np.int32
            _, offsets, data = contents.buffers()
            ends = np.frombuffer(offsets, wide)[contents.offset : contents.offset + len(contents) + 1]
            place = data.address - start if data is not None else 0
            if contents.null_count or not all(row is not None and 0 <= row < len(names) for row in labels):
                raise ValueError(f"{path} has rows without the bytes of an image, or without a class; filter them out")
            if not 0 <= place <= size:
                raise ValueError(f"{path} is compressed; save the dataset again, without compression")
            paths = images.field("path").to_pylist()
            for row, (begin, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
                name = Path(paths[row]).name if paths[row] else f"{path.stem}-{begin}"
                yield Member(str(path), place + begin, end - begin, name, names[labels[row]])


def _unique(splits: dict[str, list[Member]]) -> dict[str, list[Member]]:
    """Returns the splits with numbers before names in those that have a name twice in a class."""
    for split, found in splits.items():
        names = Counter((member.label, member.name) for member in found)
        if len(names) < len(found):
            splits[split] = [replace(each, name=f"{number:08d}-{each.name}") for number, each in enumerate(found)]
    return splits
