"""CIFAR-10 and CIFAR-100 as TFDS has them, prepared without TensorFlow."""

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

NAMES = ("cifar10", "cifar100")


def without_tensorflow(builder: Any) -> tfds.core.DatasetBuilder:
    """TFDS's builder of a CIFAR dataset, made to unpack and encode the images by itself.

    The dataset is the same, name, version, examples and all; TFDS's own code needs TensorFlow to read files.
    """
    builder._split_generators = partial(_split_generators, builder)
    return builder


def _split_generators(builder: Any, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    cifar: Any = builder._cifar_info
    archive = Path(dl_manager.download(cifar.url))  # pyright: ignore[reportArgumentType]
    with tarfile.open(archive) as files:
        for label, file in zip(cifar.label_keys, cifar.label_files, strict=True):
            names = _read(files, cifar.prefix + file).decode().split("\n")
            builder.info.features[label].names = [name for name in names if name]
    return {
        "train": _generate_examples(archive, cifar, cifar.train_files, "train_"),
        "test": _generate_examples(archive, cifar, cifar.test_files, "test_"),
    }


def _generate_examples(archive: Path, cifar: Any, names: list[str], split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """An example is a byte for each label, then the red, the green and the blue plane of 32x32 pixels."""
    labels = len(cifar.label_keys)
    with tarfile.open(archive) as files:
        data = b"".join(_read(files, cifar.prefix + name) for name in names)
    for index, example in enumerate(np.frombuffer(data, np.uint8).reshape(-1, labels + 3 * 32 * 32)):
        png = io.BytesIO()
        Image.fromarray(example[labels:].reshape(3, 32, 32).transpose(1, 2, 0)).save(png, "PNG")
        yield (
            index,
            {
                "id": f"{split}{index:05d}",
                "image": png.getvalue(),
                **dict(zip(cifar.label_keys, example[:labels].tolist(), strict=True)),
            },
        )


def _read(files: tarfile.TarFile, name: str) -> bytes:
    file = files.extractfile(name)
    if file is None:
        raise ValueError(f"{name} in the archive of CIFAR is no file")
    return file.read()
