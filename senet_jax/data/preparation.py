"""Writes image files as a TFDS dataset of array_record files, in parallel; a killed preparation can be continued."""

import contextlib
import functools
import hashlib
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from senet_jax.children import end_with_parent
from senet_jax.data import images, members
from senet_jax.data.members import Member
from senet_jax.disks import check_space, space
from senet_jax.files import line_of, read_records, replace_text, replaced, write_records
from senet_jax.terminal.progress import progress
from senet_jax.workdir import LOCK, locked

_DONE = "done.jsonl"
UNREADABLE = "unreadable.txt"
"""Names the images that could not be decoded, if there are any."""


@dataclass(frozen=True)
class Options:
    """Processing of the image files."""

    shorter_side: int | None = None
    """Pixels that images are shrunk to; None: their bytes stay as they are, as do those of smaller images."""
    quality: int = 90
    """JPEG quality of shrunk images."""
    check: bool = False
    """Whether every image is decoded."""


@dataclass(frozen=True)
class Preparation:
    """A dataset that is to be written."""

    name: str
    directory: Path
    """Directory of the prepared dataset; its last part is the version."""
    class_names: list[str]
    splits: dict[str, list[Member]]
    options: Options

    @property
    def images(self) -> int:
        """Number of images of all splits."""
        return sum(map(len, self.splits.values()))


@dataclass(frozen=True)
class _Shard:
    """A part of a split, and the file that it becomes."""

    file: Path
    split: str
    members: list[Member]


def write(preparation: Preparation, jobs: int) -> list[str]:
    """Writes the dataset with that many processes, and returns the faults of images that could not be decoded, by name.

    Images are decoded if they are checked or shrunk; one that cannot be decoded is written as it is. Shards are written
    into a directory beside that of the dataset, which gets its name when all are complete. Shards that an earlier
    process finished are kept.

    Raises ValueError if the dataset exists, if the disk has no room for it, or if the unfinished dataset has other
    files or options, BusyError if another process is writing it, and OSError if a file cannot be read or written.
    """
    final = preparation.directory
    check_new(final)
    unfinished = final.with_name(f"{final.name}.unfinished")
    with locked(unfinished, "preparing"):
        return _write(preparation, unfinished, jobs)


def _write(preparation: Preparation, unfinished: Path, jobs: int) -> list[str]:
    _check_same(unfinished / "fingerprint.txt", _fingerprint(preparation))
    for leftover in set(unfinished.glob(".*")) - {unfinished / LOCK}:
        leftover.unlink()
    records = read_records(unfinished / _DONE)
    write_records(unfinished / _DONE, records)  # Without a line that a kill cut short.
    done: dict[str, list[str]] = {record["shard"]: record["unreadable"] for record in records}
    shards = list(_shards(preparation, unfinished))
    left = [shard for shard in shards if shard.file.name not in done or not shard.file.exists()]
    if preparation.options.shorter_side is None:
        needed = sum(member.size for shard in left for member in shard.members)
        check_space(unfinished, needed, "another --data_dir, or --shorter_side=256 for about a third of the bytes")
    written = progress(
        _written(left, preparation, jobs),
        preparation.images,
        f"writing {preparation.name}",
        "images",
        done=preparation.images - sum(len(shard.members) for shard in left),
        size=lambda item: len(item[0].members),
    )
    with (unfinished / _DONE).open("a", encoding="utf-8") as log:
        for shard, faults in written:
            done[shard.file.name] = faults
            log.write(line_of({"shard": shard.file.name, "unreadable": faults}))
            log.flush()
    unreadable = [fault for shard in shards for fault in done[shard.file.name]]
    _finish(preparation, unfinished, shards, unreadable)
    return unreadable


def check_new(directory: Path) -> None:
    """Raises ValueError if the prepared dataset exists."""
    if directory.exists():
        raise ValueError(f"{directory} is there already; remove it to prepare it anew")


def _written(shards: list[_Shard], preparation: Preparation, jobs: int) -> Iterator[tuple[_Shard, list[str]]]:
    """Yields each written shard with the faults of its images that could not be decoded."""
    write_one = functools.partial(_write_shard, preparation.class_names, preparation.options)
    if min(jobs, len(shards)) <= 1:
        yield from zip(shards, map(write_one, shards), strict=True)
        return
    with ProcessPoolExecutor(min(jobs, len(shards)), get_context("spawn"), end_with_parent) as executor:
        try:
            writing = {executor.submit(write_one, shard): shard for shard in shards}
            yield from ((writing[future], future.result()) for future in as_completed(writing))
        except BrokenExecutor as error:
            raise OSError(
                "a process was killed, as by a full memory; the same command goes on, with fewer --jobs if need be"
            ) from error
        finally:
            executor.shutdown(cancel_futures=True)


def _shards(preparation: Preparation, directory: Path) -> Iterator[_Shard]:
    for split, found in preparation.splits.items():
        parts = members.in_shards(found, lambda key: hashlib.blake2b(key, digest_size=8).digest())
        for number, part in enumerate(parts):
            name = f"{preparation.name}-{split}.array_record-{number:05d}-of-{len(parts):05d}"
            yield _Shard(directory / name, split, part)


def _write_shard(class_names: list[str], options: Options, shard: _Shard) -> list[str]:
    """Writes the file of a shard, whole or not at all, and returns the faults of images that could not be decoded."""
    by_place = sorted(range(len(shard.members)), key=lambda row: (shard.members[row].path, shard.members[row].offset))
    contents = [b""] * len(shard.members)
    for row, data in zip(by_place, members.read(shard.members[row] for row in by_place), strict=True):
        contents[row] = data
    features, unreadable = _features(class_names), []
    with replaced(shard.file) as partial, _as_os_errors(shard.file):
        writer = ArrayRecordWriter(str(partial), "group_size:1")
        for row, member in enumerate(shard.members):
            data, contents[row] = contents[row], b""
            try:
                data = convert(data, options)
            except ValueError as error:
                unreadable.append(f"{member.key.decode(errors='replace')}: {error}")
            example = {"image": data, "label": member.label, "file_name": os.fsencode(member.name)}
            writer.write(features.serialize_example(features.encode_example(example)))
        writer.close()
    return unreadable


@contextlib.contextmanager
def _as_os_errors(file: Path) -> Iterator[None]:
    """Names the file in an error of its writer, such as that of a full disk."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(f"{file} could not be written: {error}; its directory {space(file.parent)}") from error


def convert(data: bytes, options: Options) -> bytes:
    """Returns the bytes of a file as they are stored. Raises ValueError if they cannot be decoded, but must be."""
    if options.shorter_side is None and not options.check:
        return data
    image = images.read(data)
    if options.shorter_side is None or min(image.size) <= options.shorter_side:
        return data
    scale = options.shorter_side / min(image.size)
    width, height = (max(options.shorter_side, round(side * scale)) for side in image.size)
    file = io.BytesIO()
    image.resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=options.quality)
    return file.getvalue()


def _features(class_names: list[str]) -> tfds.features.FeaturesDict:
    """Returns the features of TFDS's imagenet2012."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=class_names),
            "file_name": tfds.features.Text(),
        }
    )


def _finish(preparation: Preparation, directory: Path, shards: list[_Shard], unreadable: list[str]) -> None:
    """Writes the metadata of TFDS beside the shards, and gives the directory its name."""
    folder: Any = directory
    template = tfds.core.ShardedFileTemplate(
        dataset_name=preparation.name, data_dir=folder, filetype_suffix="array_record"
    )
    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[len(shard.members) for shard in shards if shard.split == split],
            num_bytes=sum(shard.file.stat().st_size for shard in shards if shard.split == split),
            filename_template=template,
        )
        for split in preparation.splits
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=_features(preparation.class_names),
        split_infos=splits,
        version=preparation.directory.name,
        supervised_keys=("image", "label"),
        description=_description(preparation.options),
        check_data=False,
    )
    if unreadable:
        (directory / UNREADABLE).write_text("".join(f"{fault}\n" for fault in unreadable), encoding="utf-8")
    (directory / _DONE).unlink()
    (directory / "fingerprint.txt").unlink()
    (directory / LOCK).unlink()
    os.replace(directory, preparation.directory)


def _description(options: Options) -> str:
    if options.shorter_side is None:
        return "The bytes of the files, unchanged."
    return f"Shrunk to a shorter side of {options.shorter_side} pixels, as JPEG of quality {options.quality}."


def _fingerprint(preparation: Preparation) -> str:
    digest = hashlib.sha256(json.dumps([preparation.class_names, str(preparation.options)]).encode())
    for split, found in preparation.splits.items():
        for member in found:
            digest.update(b"%b\0%b\0%d\n" % (split.encode(), member.key, member.size))
    return digest.hexdigest()


def _check_same(file: Path, fingerprint: str) -> None:
    if not file.exists():
        replace_text(file, fingerprint)
    elif file.read_text(encoding="utf-8") != fingerprint:
        raise ValueError(
            f"{file.parent} was begun with other files, or with another --shorter_side, --quality or --check; give "
            "those again, or remove it"
        )
