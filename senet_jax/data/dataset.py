"""Finds a dataset, or prepares it, and opens it for reading in any order."""

import contextlib
import io
import itertools
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grain
import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from senet_jax.config import DataConfig
from senet_jax.data import folder, standard_sets
from senet_jax.data.cifar import Cifar10, Cifar100
from senet_jax.data.digits import Digits
from senet_jax.data.records import Records
from senet_jax.data.split import Source, Split
from senet_jax.disks import allow_open_files, check_space, check_writable, space
from senet_jax.files import in_turn
from senet_jax.schema import did_you_mean
from senet_jax.workdir import RunError

OWN = {"digits": Digits, "cifar10": Cifar10, "cifar100": Cifar100}
"""Datasets that this package prepares itself."""


@dataclass(frozen=True)
class Dataset:
    """An image classification dataset, open for reading."""

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: dict[str, str] = field(default_factory=dict)
    """Identity of the data: name and version, number, shards and packed bytes of the images of each split, and for
    class folders the SHA-256 of all names and contents."""
    shared: int = 0
    """Number of images in both splits."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Channels of the images: 1 (grey) or 3 (RGB)."""
        return self.train.channels


def open_dataset(config: DataConfig) -> Dataset:
    """Opens the dataset of a configuration, and prepares it first as array_record files in config.data_dir if need be.

    Raises ValueError if the dataset is unknown, cannot be prepared, has another file format, is not one of images with
    labels, lacks a split or examples of it, or if mean and std do not fit its channels.
    """
    allow_open_files()  # One for each shard, and ImageNet has more than the usual 1,024.
    with _quiet():
        builder = tfds.builder_from_directory(_prepared(config).data_dir)
    if tfds.core.FileFormat.ARRAY_RECORD not in builder.info.available_file_formats():
        raise ValueError(
            f"dataset {config.name!r} in {builder.data_dir} is not stored as array_record, the one format read here; "
            f"give another --config.data.data_dir to prepare it anew, or, if TensorFlow is installed, run `tfds "
            f"convert_format --dataset_version_dir={builder.data_dir} --out_file_format=array_record`"
        )
    channels, names = _features(config, builder)
    for name in ("mean", "std"):
        values = getattr(config, name)
        if len(values) not in (1, channels):
            raise ValueError(
                f"config.data.{name} is {values}; give one, or one for each channel: {config.name!r} has {channels}"
            )
    train, test = (
        Split(name=split, source=_source(config, builder, split), num_classes=len(names), channels=channels)
        for split in (config.train_split, config.test_split)
    )
    for split in (train, test):
        split.first()
    name = config.name if config.path is None else f"{config.name} {Path(config.path).resolve().name}"
    numbers = {name: split.num_examples for name, split in builder.info.splits.items()}
    shared = _shared(config.train_split, config.test_split, numbers)
    return Dataset(name, names, train, test, _fingerprint(config, builder), shared)


def _fingerprint(config: DataConfig, builder: tfds.core.DatasetBuilder) -> dict[str, str]:
    info = builder.info
    # The full name of class folders has the times of their files, which differ in copies.
    said = {"dataset": f"folder {info.version}" if config.name == "folder" else info.full_name}
    for name, split in sorted(info.splits.items()):
        shards = " + ".join(map(str, split.shard_lengths))
        said[name] = f"{shards} examples of {split.num_bytes:,} bytes"
    contents: Any = info.metadata
    return said | ({"sha256": contents["sha256"]} if config.name == "folder" else {})


def preview(config: DataConfig) -> tuple[int, int, bool]:
    """Returns classes and channels of a dataset, and whether it is prepared; nothing is downloaded or written.

    Raises ValueError if the dataset is unknown, or not one of images with labels.
    """
    with _quiet():
        builder = _builder(config)
        prepared = builder.is_prepared()
        if prepared:  # Its files say the channels of class folders.
            if isinstance(builder, folder.Folder):
                folder.forget_files(builder)
            builder = tfds.builder_from_directory(builder.data_dir)
        elif isinstance(builder, folder.Folder):
            builder = folder.checked(builder, config.bad_images)
        channels, names = _features(config, builder)
        return len(names), channels, prepared


def train_images(config: DataConfig) -> int | None:
    """Returns the number of training images if it is known before the dataset is prepared or read, else None.

    Known are prepared datasets, class folders, and published numbers. Raises ValueError as `preview` does.
    """
    if config.name == "folder":
        counts = {name: folder.count(config.path or "", name) for name in split_names(config.train_split)}
        known = {name: count for name, count in counts.items() if count is not None}
        with contextlib.suppress(KeyError, ValueError, AssertionError):  # `open_dataset` says what is wrong with it.
            return sum(len(places) for _, places in _ranges(config.train_split, known))
        return None
    with _quiet():
        builder = _builder(config)
        if not builder.is_prepared():
            return standard_sets.IMAGES.get(config.name, {}).get(config.train_split)
        with contextlib.suppress(KeyError, ValueError, AssertionError):
            return builder.info.splits[config.train_split].num_examples
    return None


def _prepared(config: DataConfig) -> tfds.core.DatasetBuilder:
    """Returns a builder of the dataset, and prepares it if need be; one process at a time prepares it."""
    builder = _builder(config)
    _remove_abandoned(standard_sets.data_root(config.data_dir) / config.name)
    if not builder.is_prepared():
        place = Path(builder.data_dir)
        check_writable(place, f"--config.data.data_dir: the place of dataset {config.name!r}, {place},")
        with in_turn(place.parent, f"waits for another process that prepares {place}"):
            if not builder.is_prepared():
                builder = _prepare(config, builder)
    if isinstance(builder, folder.Folder):
        folder.forget_files(builder)
    return builder


def _prepare(config: DataConfig, builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetBuilder:
    if isinstance(builder, folder.Folder):
        needed = sum(member.size for split in builder.members().values() for member in split)
        check_space(Path(builder.data_dir), needed, "another --config.data.data_dir")
        builder = folder.checked(builder, config.bad_images)
    print(f"preparing dataset {builder.info.full_name} in {builder.data_dir}", file=sys.stderr, flush=True)
    try:
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:  # Downloads and other people's builders raise errors of many types.
        if builder.is_prepared():  # Another process was faster.
            return builder
        if config.name in ("digits", "folder"):
            if type(error) is RuntimeError:  # Of the files' writer, as on a full disk.
                place = standard_sets.data_root(config.data_dir)
                raise RunError(f"{builder.data_dir} could not be written: {error}; {place} {space(place)}") from error
            raise
        cause = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"dataset {config.name!r} is not in {builder.data_dir} and could not be prepared there "
            f"({type(error).__name__}: {cause}); on a machine that has network and "
            f"TensorFlow run `tfds build {config.name} --file_format=array_record --data_dir=DIR`, then give "
            "--config.data.data_dir=DIR here"
        ) from error
    return builder


def _remove_abandoned(directory: Path) -> None:
    """Removes the parts that preparations left which were killed: those in which nothing was written for an hour."""
    names = re.compile(r"incomplete\.\w+_\d+\.\d+\.\d+")
    parts: list[Path] = []
    with contextlib.suppress(OSError):  # Its own process can end, and another one can remove it.
        parts.extend(found for found in directory.glob("**/incomplete.*") if names.fullmatch(found.name))
    for part in parts:
        with contextlib.suppress(OSError):
            if time.time() - max(file.stat().st_mtime for file in (part, *part.rglob("*"))) > 3600:
                shutil.rmtree(part)


def _builder(config: DataConfig) -> tfds.core.DatasetBuilder:
    data_dir = config.data_dir and os.path.expanduser(config.data_dir)
    if config.name == "folder":
        if config.path is None:
            raise ValueError("config.data.path is none; give the directory that holds <split>/<class>/<file>")
        splits = split_names(f"{config.train_split}+{config.test_split}")
        return folder.folder_builder(config.path, splits, data_dir)
    if config.name in OWN:
        return OWN[config.name](data_dir=data_dir)
    try:
        return tfds.builder(config.name, data_dir=data_dir)
    except ValueError as error:
        place = standard_sets.data_root(data_dir)
        there = [entry.name for entry in place.iterdir() if entry.is_dir()] if place.is_dir() else []
        known = ["digits", "folder", *there, *tfds.list_builders(with_community_datasets=False)]
        raise ValueError(
            f"config.data.name is {config.name!r}, which TFDS does not know and which is not prepared in {place}"
            f"{did_you_mean(config.name, known)}; --config.data.data_dir is the place of prepared datasets"
        ) from error


def split_names(text: str) -> set[str]:
    """Returns the names of splits in an expression of TFDS, such as "train[:10%]+test"."""
    return set(re.findall(r"(?:^|\+)\s*([\w-]+)", text))


def overlap(first: str, second: str) -> bool | None:
    """Returns whether two expressions of TFDS have examples in common; None if their number decides it."""
    names = split_names(f"{first}+{second}")
    if first == second or "all" in names:  # TFDS's name of all splits.
        return True
    if not split_names(first) & split_names(second):
        return False
    if re.search(r"[\[:]-?\d+(?![\d%])", first + second):
        return None
    return _shared(first, second, dict.fromkeys(names, 100)) > 0


def _shared(first: str, second: str, numbers: Mapping[str, int]) -> int:
    """Returns the number of examples that two expressions of TFDS have in common, from the numbers in each split."""
    pairs = itertools.product(_ranges(first, numbers), _ranges(second, numbers))
    return sum(
        max(0, min(one.stop, other.stop) - max(one.start, other.start))
        for (own, one), (its, other) in pairs
        if own == its
    )


def _ranges(text: str, numbers: Mapping[str, int]) -> list[tuple[str, range]]:
    """Returns splits and places of the examples of an expression of TFDS, from the numbers in each split."""
    infos = {name: tfds.core.SplitInfo(name=name, shard_lengths=[n], num_bytes=0) for name, n in numbers.items()}
    parts = tfds.core.ReadInstruction.from_spec(text).to_absolute(infos)
    return [(part.splitname, range(numbers[part.splitname])[part.from_ : part.to]) for part in parts]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences TFDS, except for its progress on a terminal."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _features(config: DataConfig, builder: tfds.core.DatasetBuilder) -> tuple[int, tuple[str, ...]]:
    """Returns the channels of the images and the names of the classes."""
    image = _feature(config, builder, "image", tfds.features.Image)
    label = _feature(config, builder, "label", tfds.features.ClassLabel)
    if image.shape[-1] not in (1, 3) or image.np_dtype != np.uint8:
        raise ValueError(
            f"images of dataset {config.name!r} have shape {image.shape} and type {np.dtype(image.np_dtype)}; "
            "they must have 1 or 3 channels of uint8"
        )
    if not label.num_classes:
        raise ValueError(f"dataset {config.name!r} does not say how many classes it has")
    return image.shape[-1], tuple(label.names)


def _feature(config: DataConfig, builder: tfds.core.DatasetBuilder, name: str, kind: type) -> Any:
    features: Any = builder.info.features
    if name in features and isinstance(features[name], kind):
        return features[name]
    there = ", ".join(f"{key!r} ({type(value).__name__})" for key, value in features.items())
    raise ValueError(f"dataset {config.name!r} has no feature {name!r} of type {kind.__name__}; it has {there}")


def _source(config: DataConfig, builder: tfds.core.DatasetBuilder, split: str) -> Source:
    """Returns the examples of a split, with encoded images."""
    try:
        shards = builder.info.splits[split].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        there = ", ".join(
            f"{name!r} ({info.num_examples} examples)" for name, info in sorted(builder.info.splits.items())
        )
        raise ValueError(
            f"dataset {config.name!r} has no split {split!r}; it has {there}, and slices of them"
        ) from error
    if not shards:
        raise ValueError(f"split {split!r} of dataset {config.name!r} has no examples")
    again = "remove that directory, and it is prepared anew"
    promised = {str(shard.filename): shard.examples_in_shard for shard in shards}
    try:
        records: Any = grain.sources.ArrayRecordDataSource(list(promised))
    except Exception as error:
        raise ValueError(f"split {split!r} in {builder.data_dir} cannot be read ({error}); {again}") from error
    if len(records) != sum(promised.values()):
        raise ValueError(
            f"split {split!r} in {builder.data_dir} has {len(records)} readable examples of {sum(promised.values())}; "
            f"{again}"
        )
    sources: Any = builder.as_data_source
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    return Records(sources(split, deserialize_method=raw, file_format="array_record"))
