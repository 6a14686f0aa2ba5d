"""The dataset of an experiment for a plan: its size and the time of reading, even if it is not here."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from senet_jax.config import DataConfig
from senet_jax.data import Dataset, augmentation, crops, images, open_dataset, preview
from senet_jax.data.batches import is_kept
from senet_jax.data.split import Split
from senet_jax.data.standard_sets import IMAGES

_SIDES = 500, 375
"""Width and height of a typical image of ImageNet, in pixels."""


@dataclass(frozen=True)
class _Synthetic:
    """The examples of an absent split, each the same JPEG."""

    number: int
    jpeg: bytes

    def __len__(self) -> int:
        return self.number

    def __getitems__(self, keys: Sequence[int]) -> Sequence[dict[str, Any]]:
        return [{"image": self.jpeg, "label": 0}] * len(keys)


def described(config: DataConfig, train_images: int | None = None) -> Dataset:
    """Returns the dataset if it is prepared here, else as many synthetic images.

    Raises ValueError if the number of its training images is neither given nor published.
    """
    classes, channels, prepared = preview(config)
    if (prepared or config.name == "digits") and train_images is None:  # The digits are part of scikit-learn.
        return open_dataset(config)
    published = IMAGES.get(config.name, {})
    train = train_images or published.get(config.train_split)
    if train is None:
        raise ValueError(
            f"dataset {config.name!r} is not prepared here, and how many images its split {config.train_split!r} has "
            "is not known; give --train_images=N"
        )
    jpeg = _synthetic(channels)
    train_split, test_split = (
        Split(name=name, source=_Synthetic(number, jpeg), num_classes=classes, channels=channels)
        for name, number in ((config.train_split, train), (config.test_split, published.get(config.test_split, 1)))
    )
    return Dataset(config.name, classes, tuple(map(str, range(classes))), channels, train_split, test_split)


def decoding_seconds(dataset: Dataset, config: DataConfig, number: int = 64) -> tuple[float, str] | None:
    """Returns seconds of a core of this machine for a training image, and words for the images; None if they are kept.

    Reads, decodes, crops and resizes that many images: the dataset's own, or synthetic JPEGs of 500 x 375 pixels if it
    is not here.
    """
    if is_kept(dataset.train, config) and not augmentation.is_on(config):
        return None
    split, rng = dataset.train, np.random.default_rng(0)

    def decode(row: int, data: bytes) -> np.ndarray:
        if config.random_resized_crop:
            return crops.random_resized_crop(data, split.channels, config.image_size, rng)
        return images.center_crop(images.decode(data, split.channels), config.image_size, config.center_crop)

    began = time.process_time()
    for _ in split.map(rng.integers(len(split), size=number).tolist(), decode):
        pass
    seconds = (time.process_time() - began) / number
    synthetic = isinstance(split.source, _Synthetic)
    said = f"synthetic JPEGs of {_SIDES[0]} x {_SIDES[1]} pixels" if synthetic else "images of the dataset"
    return seconds, f"{number} {said}"


def _synthetic(channels: int) -> bytes:
    """Returns a JPEG of about the size of ImageNet's files."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (48, 64, 3), np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize(_SIDES, Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    images.of_channels(Image.fromarray(noisy), channels).save(file, "JPEG", quality=90)
    return file.getvalue()
