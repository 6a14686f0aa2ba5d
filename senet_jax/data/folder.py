"""Images in class folders, `<path>/<split>/<class>/<file>`, as a TFDS dataset."""

import dataclasses
import functools
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from senet_jax.data import images
from senet_jax.data.local_info import LocalInfo
from senet_jax.data.members import Member, class_files, entries, in_shards, tell_left_out
from senet_jax.files import expanded
from senet_jax.terminal.progress import progress
from senet_jax.texts import some

Classes = dict[str, list[os.DirEntry[str]]]


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """Files of each class of each split, and the number of channels of decoded images."""

    splits: dict[str, Classes] = dataclasses.field(default_factory=dict, repr=False)
    channels: int = 3
    faults: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    """Faults of the files that cannot be used, by their paths."""
    sha256: str = ""
    """SHA-256 of the names and contents of all files."""
    root: Path = dataclasses.field(default=Path(), repr=False)


class Folder(tfds.core.ShardBasedBuilder):
    """A dataset of the unchanged bytes of image files and the names of their folders."""

    VERSION = tfds.core.Version("1.1.0")
    builder_config: FolderConfig  # pyright: ignore[reportIncompatibleMethodOverride]  # TFDS sets it.

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        names = sorted({name for classes in config.splits.values() for name in classes})
        return LocalInfo(
            builder=self,
            description="Images in class folders.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, config.channels)),
                    "label": tfds.features.ClassLabel(names=names),
                    "file_name": tfds.features.Text(),
                    "fault": tfds.features.Text(doc="What is wrong with the image; empty if it can be read."),
                }
            ),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(sha256=config.sha256),
        )

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._shards(split, members) for split, members in self.members().items()}

    def _shards(self, split: str, members: list[Member]) -> list[Callable[[], Iterator[Any]]]:
        """Returns a function for each shard that yields its examples."""
        shown = progress(members[1:], len(members), f"packing {split}", "images")  # The last example ends it.
        parts = in_shards(members, lambda key: hashlib.md5(split.encode() + key, usedforsecurity=False).digest())
        return [functools.partial(self._examples, part, shown) for part in parts]  # In the order of TFDS's shuffling.

    def members(self) -> dict[str, list[Member]]:
        """Returns the files of each split; a link to nothing, whose fault is told, has no bytes."""
        return {
            split: [
                Member(file.path, 0, status.st_size if (status := _status(file)) else 0, file.name, name)
                for name, files in classes.items()
                for file in files
            ]
            for split, classes in self.builder_config.splits.items()
        }

    def _examples(self, part: list[Member], shown: Iterator[Member]) -> Iterator[tuple[bytes, dict[str, str | bytes]]]:
        """Yields the examples of a shard, and advances what is shown of them."""
        for member in part:
            next(shown, None)
            fault = self.builder_config.faults.get(member.path, "")
            image = b"" if fault else Path(member.path).read_bytes()
            yield member.key, {"image": image, "label": member.label, "file_name": member.key, "fault": fault}


def folder_builder(path: str, splits: Iterable[str], data_dir: str | None) -> Folder:
    """Returns the builder of these splits of a directory, prepared or not; before it is prepared, see `checked`.

    A preparation is known by the name of the directory and a fingerprint of its listing (relative paths, sizes and
    times of change), so that a changed folder is prepared anew, beside the old one, and an unchanged one is reused.
    Classes are numbered by their sorted names. Names that begin with a dot are skipped, and so are those that end like
    no image.

    Raises ValueError if the directory or a split is missing, if a split holds anything but class folders, and if a
    class is empty, nested or not in all of the splits.
    """
    root = expanded(path).resolve()
    found = _list(root, sorted(set(splits)))
    name = re.sub(r"[^\w.-]", "_", root.name) + "-" + _fingerprint(found)
    return Folder(config=FolderConfig(name=name, splits=found, root=root), data_dir=data_dir)


def forget_files(builder: Folder) -> None:
    """Forgets the listing of a builder that is prepared: TFDS keeps each builder for good."""
    builder.builder_config.splits.clear()
    _checked.cache_clear()


def checked(builder: Folder, bad_share: float) -> Folder:
    """Returns the builder that prepares the images: every file is decoded once.

    The images have one channel if all of them are grey, else three. Files that end like no image are told. Those that
    cannot be used are named, and become examples with a fault.

    Raises ValueError if a larger share of the files than `bad_share` cannot be used, as `images.read` decides, or if
    one cannot be read from its disk.
    """
    config = builder.builder_config
    config = _checked(config.name, config.root, tuple(config.splits), bad_share)
    builder.builder_config.splits.clear()  # The new builder has a listing of its own.
    return Folder(config=config, data_dir=os.fspath(builder.data_dir_root))


def count(path: str, split: str) -> int | None:
    """Returns the number of files of a split of a directory; None if they cannot be listed, or for a slice."""
    try:
        classes = [entry for entry in entries(expanded(path) / split) if entry.is_dir()]
        return sum(images.has_image_name(file.name) for entry in classes for file in entries(entry))
    except OSError:  # `folder_builder` says what is wrong with it.
        return None


def _list(root: Path, splits: list[str]) -> dict[str, Classes]:
    if not root.is_dir():
        problem = "is not a directory" if root.exists() else "does not exist"
        raise ValueError(
            f"config.data.path is {str(root)!r}, which {problem}; give one that holds <split>/<class>/<file>"
        )
    there = [entry.name for entry in entries(root) if entry.is_dir()]
    odd = [name for name in there if not re.fullmatch(r"[\w-]+", name)]
    for split in splits:
        if split not in there:
            if (root.parent / split).is_dir():
                raise ValueError(
                    f"{root} has no split directory {split!r}, but the directory above it has: give "
                    f"--config.data.path={root.parent}"
                )
            parts = "as in --config.data.train_split='train[:80%]' and --config.data.test_split='train[80%:]'"
            if there and all(any(file.is_file() for file in entries(root / name)) for name in there):
                raise ValueError(
                    f"{root} has class folders and no splits; move them into {root / 'train'}, and if there are no "
                    f"others for {root / 'test'}, take parts of it, {parts}"
                )
            raise ValueError(
                f"{root} has no split directory {split!r}; it has {', '.join(map(repr, there)) or 'none at all'}: name "
                f"the one to use with --config.data.train_split or --config.data.test_split, or parts of one, {parts}"
                + (f"; names of splits are letters, digits, _ and -: rename {odd[0]!r}" if odd else "")
            )
    found = {split: _list_classes(root / split) for split in splits}
    names = {name for classes in found.values() for name in classes}
    for split, classes in found.items():
        if missing := sorted(names.difference(classes)):
            raise ValueError(
                f"{root / split} has no class {some(missing)}, which another split has; "
                f"{' and '.join(map(repr, splits))} must have the same class folders"
            )
    return found


def _list_classes(split: Path) -> Classes:
    classes: Classes = {}
    for folder in entries(split):
        classes[folder.name] = [file for file in class_files(folder) if images.has_image_name(file.name)]
        if not classes[folder.name]:
            others = some(sorted({Path(file.name).suffix for file in class_files(folder)} - {""}))
            raise ValueError(
                f"class folder {folder.path} has no image{others and f' that can be read, but files of {others}'}; put "
                "some into it or remove it from every split"
            )
    if not classes:
        raise ValueError(f"{split} has no class folders; images belong into {split}/<class>/<file>")
    return classes


def _fingerprint(splits: dict[str, Classes]) -> str:
    digest = hashlib.sha256()
    for split, classes in splits.items():
        for name, files in classes.items():
            for file in files:
                digest.update(os.fsencode(f"{split}/{name}/{file.name}\0{_version(file)}\n"))
    return digest.hexdigest()[:12]


def _version(file: os.DirEntry[str]) -> str:
    """Returns size and time of change; of a link to nothing, whose fault is told later, that it is missing."""
    status = _status(file)
    return "missing" if status is None else f"{status.st_size}\0{status.st_mtime_ns}"


def _status(file: os.DirEntry[str]) -> os.stat_result | None:
    """Returns the status of a file, which its entry keeps; None for a link to nothing."""
    try:
        return file.stat()
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=1)
def _checked(name: str, root: Path, splits: tuple[str, ...], bad_share: float) -> FolderConfig:
    """Reads every file once for a name, which has the fingerprint; returns the builder's configuration."""
    found = _list(root, list(splits))
    files = [file.path for classes in found.values() for kept in classes.values() for file in kept]
    folders = [root / split / label for split, classes in found.items() for label in classes]
    tell_left_out(sorted({file.path for folder in folders for file in entries(folder)}.difference(files)))
    with ThreadPool() as pool:
        checked = pool.imap(_check_image, files, chunksize=64)
        results = list(progress(checked, len(files), f"checking {root.name}", "images"))
    faults = {path: fault for path, (_, fault, _) in zip(files, results, strict=True) if fault}
    shares, texts = [0.0], []
    for split, classes in found.items():
        own = [file.path for kept in classes.values() for file in kept]
        if bad := [f"{path} ({faults[path]})" for path in own if path in faults]:
            shares.append(len(bad) / len(own))
            texts.append(f"{len(bad)} of the {len(own)} files in {root / split} cannot be used: {some(bad)}")
    said = "; ".join(texts)
    if max(shares) > bad_share:
        raise ValueError(f"{said}; repair or remove them, or allow a larger share with --config.data.bad_images")
    if said:
        print(f"{said}; training takes others, evaluation leaves them out", file=sys.stderr, flush=True)
    digest = hashlib.sha256()
    for path, (_, _, content) in zip(files, results, strict=True):
        digest.update(os.fsencode(os.path.relpath(path, root)) + content)
    grey = all(channels == 1 for channels, fault, _ in results if not fault)
    return FolderConfig(name=name, splits=found, channels=1 if grey else 3, faults=faults, sha256=digest.hexdigest())


def _check_image(path: str) -> tuple[int, str, bytes]:
    """Returns the channels of the image in a file, its fault, and the SHA-256 of its bytes.

    Raises ValueError if the file is there and cannot be read.
    """
    content = b""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # Reading a pipe would wait for ever.
            return 0, "it is no file", hashlib.sha256().digest()
        content = Path(path).read_bytes()
        return len(images.read(content).getbands()), "", hashlib.sha256(content).digest()
    except (FileNotFoundError, images.BadImageError) as error:
        return 0, str(error), hashlib.sha256(content).digest()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); nothing is packed without it") from error
