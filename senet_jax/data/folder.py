"""Images in class folders, `<path>/<split>/<class>/<file>`, as a TFDS dataset."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tqdm import tqdm

from senet_jax.data import images

Classes = dict[str, list[os.DirEntry[str]]]


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """The files of each class of each split, and the channels that they are decoded to."""

    splits: dict[str, Classes] = dataclasses.field(default_factory=dict, repr=False)
    channels: int = 3


class Folder(tfds.core.GeneratorBasedBuilder):
    """The bytes of image files, untouched, and the names of the folders that they lay in."""

    VERSION = tfds.core.Version("1.0.0")
    builder_config: FolderConfig  # pyright: ignore[reportIncompatibleMethodOverride]  # TFDS sets it.

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        names = sorted({name for classes in config.splits.values() for name in classes})
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images in class folders.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, config.channels)),
                    "label": tfds.features.ClassLabel(names=names),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(classes) for split, classes in self.builder_config.splits.items()}

    def _generate_examples(self, classes: Classes) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, files in classes.items():
            for file in files:
                yield f"{name}/{file.name}", {"image": Path(file.path).read_bytes(), "label": name}


def folder_builder(path: str, splits: Iterable[str], data_dir: str | None) -> Folder:
    """The builder of these splits of a directory, prepared already or ready to be.

    A preparation is known by the name of the directory and a fingerprint of its listing (relative paths, sizes and
    times of change), so that a changed folder is prepared anew, beside the old one, and an unchanged one is reused.
    Classes are numbered by their sorted names. Names that begin with a dot are passed over. Before the first
    preparation every file is decoded once; the images have one channel where all of them are grey, else three.

    Raises ValueError, before anything is written, where the directory or a split is missing, where a split holds
    anything but class folders, where a class is empty, nested or not in all of the splits, and where a file is no
    image, is cut short or has more than 8 bits a channel.
    """
    root = Path(path).expanduser().resolve()
    found = _list(root, sorted(set(splits)))
    name = re.sub(r"[^\w.-]", "_", root.name) + "-" + _fingerprint(found)
    config = FolderConfig(name=name, splits=found)
    builder = Folder(config=config, data_dir=data_dir)
    if builder.is_prepared():
        return builder
    return Folder(config=dataclasses.replace(config, channels=_check_images(root, found)), data_dir=data_dir)


def _list(root: Path, splits: list[str]) -> dict[str, Classes]:
    if not root.is_dir():
        problem = "is not a directory" if root.exists() else "does not exist"
        raise ValueError(
            f"config.data.path is {str(root)!r}, which {problem}; give one that holds <split>/<class>/<file>"
        )
    there = [entry.name for entry in _entries(root) if entry.is_dir()]
    for split in splits:
        if split not in there:
            raise ValueError(
                f"{root} has no split directory {split!r}; it has {', '.join(map(repr, there)) or 'none at all'}: name "
                "the one to use with --config.data.train_split or --config.data.test_split"
            )
    found = {split: _list_classes(root / split) for split in splits}
    names = {name for classes in found.values() for name in classes}
    for split, classes in found.items():
        if missing := sorted(names.difference(classes)):
            raise ValueError(
                f"{root / split} has no class {_some(missing)}, which another split has; "
                f"{' and '.join(map(repr, splits))} must have the same class folders"
            )
    return found


def _list_classes(split: Path) -> Classes:
    classes: Classes = {}
    for folder in _entries(split):
        if not folder.is_dir():
            raise ValueError(f"{folder.path} is not a class folder; move it out of {split}")
        if folder.name != folder.name.strip():
            raise ValueError(f"the name of class folder {folder.path!r} begins or ends with a space; rename it")
        files = _entries(folder)
        if not files:
            raise ValueError(f"class folder {folder.path} is empty; put images into it or remove it from every split")
        if nested := [file.path for file in files if file.is_dir()]:
            raise ValueError(
                f"{nested[0]} is a directory inside a class folder; put its images into {folder.path} itself"
            )
        classes[folder.name] = files
    if not classes:
        raise ValueError(f"{split} has no class folders; images belong into {split}/<class>/<file>")
    return classes


def _entries(directory: str | Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _fingerprint(splits: dict[str, Classes]) -> str:
    digest = hashlib.sha256()
    for split, classes in splits.items():
        for name, files in classes.items():
            for file in files:
                status = file.stat()
                digest.update(os.fsencode(f"{split}/{name}/{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:12]


def _check_images(root: Path, splits: dict[str, Classes]) -> int:
    files = [file.path for classes in splits.values() for entries in classes.values() for file in entries]
    with ThreadPool() as pool:
        checked = pool.imap(_check_image, files, chunksize=64)
        bar = tqdm(checked, desc=f"Checking {root.name}", total=len(files), unit=" images", leave=False, disable=None)
        results = list(bar)
    bad = [result for result in results if isinstance(result, str)]
    if bad:
        raise ValueError(
            f"{len(bad)} of the {len(files)} files in {root} cannot be used: {_some(bad)}; repair or remove them"
        )
    return 1 if all(channels == 1 for channels in results) else 3


def _check_image(path: str) -> int | str:
    """Channels of the image in a file, or what is wrong with it."""
    try:
        return images.channels(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        return f"{path} ({error})"


def _some(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
