"""The image files of a source: in class folders, in tars, or in tars within a tar."""

import itertools
import os
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from senet_jax.data.images import has_image_name
from senet_jax.texts import some

SHARD_BYTES = 128 * 2**20
"""Bytes of the image files in a shard of a dataset, about; a process that writes holds one shard in memory."""


@dataclass(frozen=True, slots=True)
class Member:
    """An image file, whole or as a part of a tar."""

    path: str
    """Path of the file, or of the tar."""
    offset: int
    """Offset of its first byte there."""
    size: int
    """Number of bytes."""
    name: str
    """Name in its dataset, such as n01440764_18.JPEG."""
    label: str
    """Name of its class."""

    @property
    def key(self) -> bytes:
        """Class and name, which no other member of the split has."""
        return os.fsencode(f"{self.label}/{self.name}")


def in_shards(split: list[Member], digest: Callable[[bytes], bytes]) -> list[list[Member]]:
    """Divides a split into shards, ordered by a digest of keys: every slice of it is a mixture of the classes."""
    ordered = sorted(split, key=lambda member: digest(member.key))
    count = max(1, min(len(ordered), round(sum(member.size for member in split) / SHARD_BYTES)))
    return [ordered[number * len(ordered) // count : (number + 1) * len(ordered) // count] for number in range(count)]


def read(members: Iterable[Member]) -> Iterator[bytes]:
    """Yields the bytes of each member. Raises OSError if a file cannot be read or has become shorter."""
    for path, parts in itertools.groupby(members, key=lambda member: member.path):
        with Path(path).open("rb") as file:
            for member in parts:
                file.seek(member.offset)
                data = file.read(member.size)
                if len(data) != member.size:
                    raise OSError(f"{path} ends before {member.name} does")
                yield data


def in_class_folders(root: Path) -> list[Member]:
    """Lists every file of `root/<class>/<file>`; names that begin with a dot or end like no image are skipped.

    The latter are told. Raises ValueError if something else lies there.
    """
    found, others = [], []
    for folder in entries(root):
        for file in class_files(folder):
            if has_image_name(file.name):
                found.append(Member(file.path, 0, file.stat().st_size, file.name, folder.name))
            else:
                others.append(file.path)
    tell_left_out(others)
    return found


def tell_left_out(files: list[str]) -> None:
    """Prints the paths of files that are not used, if there are any."""
    if files:
        print(f"files that end like no image are left out: {some(files)}", file=sys.stderr, flush=True)


def class_files(folder: os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """Lists every file of a class folder.

    Raises ValueError if it is no directory, if its name cannot be that of a class, or if a directory lies in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder.path} is not a class folder; move it out of {os.path.dirname(folder.path)}")
    name, readable = folder.name, os.fsencode(folder.name).decode(errors="replace")
    if name != readable:
        raise ValueError(f"the name of class folder {folder.path!r} is not UTF-8; rename it")
    if name != name.strip() or name.splitlines() != [name]:
        raise ValueError(
            f"the name of class folder {folder.path!r} begins or ends with a space, or has several lines; rename it"
        )
    files = entries(folder)
    if nested := [file.path for file in files if file.is_dir()]:
        raise ValueError(f"{nested[0]} is a directory inside a class folder; put its images into {folder.path} itself")
    return files


def in_folder(root: Path, labels: dict[str, str]) -> list[Member]:
    """Lists every file of a folder without class folders. `labels` has the class of each by its name.

    Raises ValueError if a file has none.
    """
    return [
        Member(file.path, 0, file.stat().st_size, file.name, _label(labels, file.name, root)) for file in entries(root)
    ]


def in_tar(path: Path, labels: dict[str, str]) -> list[Member]:
    """Lists every file in a tar that is not compressed. `labels` has the class of each by its name.

    Raises ValueError if a file has none, or if the tar cannot be read to its end.
    """
    found = [(os.path.basename(name), offset, size) for name, offset, size in parts(path)]
    return [Member(str(path), offset, size, name, _label(labels, name, path)) for name, offset, size in found]


def listed(root: Path, labels: dict[str, str]) -> list[Member]:
    """Lists those files of `labels` that exist: classes by paths below a folder, or below the only folder of a tar."""
    if root.is_dir():
        paths = {name: root / name for name in labels if (root / name).is_file()}
        found = {name: Member(str(path), 0, path.stat().st_size, name, labels[name]) for name, path in paths.items()}
    else:
        below = ((name.partition("/")[2], offset, size) for name, offset, size in parts(root))
        found = {
            name: Member(str(root), offset, size, name, labels[name]) for name, offset, size in below if name in labels
        }
    return [found[name] for name in labels if name in found]


def in_tars_in_tar(path: Path) -> list[Member]:
    """Lists every file of `<class>.tar/<file>` in a tar. Raises ValueError if one of them cannot be read to its end."""
    found = []
    with path.open("rb") as file:
        for inner in list(_parts(path, file)):
            label, suffix = os.path.splitext(os.path.basename(inner.name))
            if suffix != ".tar":
                raise ValueError(f"{path} has {inner.name}; it must have a tar for each class and nothing else")
            file.seek(inner.offset_data)
            for part in _parts(path, file, inner.name):
                found.append(Member(str(path), part.offset_data, part.size, os.path.basename(part.name), label))
    return found


def parts(path: Path) -> list[tuple[str, int, int]]:
    """Returns name, offset and size of every file in a tar. Raises ValueError if it cannot be read to its end."""
    with path.open("rb") as file:
        return [(part.name, part.offset_data, part.size) for part in _parts(path, file)]


def _parts(path: Path, file: BinaryIO, within: str = "") -> Iterator[tarfile.TarInfo]:
    """Yields the files of the tar at the current position of a file, with offsets in the whole file."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as content:
            for part in content:
                if part.isfile():
                    yield part
    except tarfile.TarError as error:
        raise ValueError(f"{path}{within and ', ' + within} cannot be read ({error}); fetch it again") from error


def _label(labels: dict[str, str], name: str, where: Path) -> str:
    if name not in labels:
        raise ValueError(f"{where} has {name!r}, whose class is not known")
    return labels[name]


def entries(directory: str | Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """Returns the entries of a directory, sorted by name, without names that begin with a dot."""
    with os.scandir(directory) as found:
        return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
