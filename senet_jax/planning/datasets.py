"""The dataset of an experiment for a plan: its size and the time of reading, even if it is not here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from senet_jax.config import DataConfig
from senet_jax.data import Dataset, augmentation, open_dataset, preview
from senet_jax.data.batches import is_kept, loader
from senet_jax.data.dataset import train_images as known_images
from senet_jax.data.photographs import photograph
from senet_jax.data.split import Split
from senet_jax.data.standard_sets import IMAGES

_PHOTOGRAPHS = 8
"""Number of synthetic photographs that stand for an absent dataset."""


@dataclass(frozen=True)
class _Synthetic:
    """The examples of an absent split, each one of a few JPEG files."""

    number: int
    jpegs: Sequence[bytes]

    def __len__(self) -> int:
        return self.number

    def __getitems__(self, keys: Sequence[int]) -> Sequence[dict[str, Any]]:
        return [{"image": self.jpegs[key % len(self.jpegs)], "label": 0} for key in keys]


def described(config: DataConfig, train_images: int | None = None) -> Dataset:
    """Returns the dataset if it is prepared here, else as many synthetic images.

    Raises ValueError if the number of its training images is neither given nor published.
    """
    classes, channels, prepared = preview(config)
    if (prepared or config.name == "digits") and train_images is None:  # The digits are part of scikit-learn.
        return open_dataset(config)
    published = IMAGES.get(config.name, {})
    train = train_images or known_images(config)
    if train is None:
        raise ValueError(
            f"dataset {config.name!r} is not prepared here, and how many images its split {config.train_split!r} has "
            "is not known; give --train_images=N"
        )
    jpegs = [photograph(index) for index in range(_PHOTOGRAPHS)]
    train_split, test_split = (
        Split(name=name, source=_Synthetic(number, jpegs), num_classes=classes, channels=channels)
        for name, number in ((config.train_split, train), (config.test_split, published.get(config.test_split, 1)))
    )
    return Dataset(config.name, tuple(map(str, range(classes))), train_split, test_split)


def decoding_seconds(dataset: Dataset, config: DataConfig, number: int = 64) -> tuple[float, str] | None:
    """Returns seconds of a core of this machine for a training image, and words for the images; None if they are kept.

    Makes that many as training does: the dataset's own, or synthetic photographs of ImageNet's sizes if it is not here.
    """
    if is_kept(dataset.train, config) and not augmentation.is_on(config):
        return None
    load, indices = loader(dataset.train, config, 0), np.random.default_rng(0).integers(len(dataset.train), size=number)
    load(indices[:1], np.zeros((1, 2), int))  # The decoder is loaded with the first.
    began = time.process_time()
    load(indices, np.zeros((number, 2), int))
    seconds = (time.process_time() - began) / number
    synthetic = isinstance(dataset.train.source, _Synthetic)
    said = "synthetic photographs of ImageNet's sizes" if synthetic else "images of the dataset"
    return seconds, f"{number} {said}"
