"""Handwritten digits as a TFDS dataset: real images that come with scikit-learn, so nothing is downloaded."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from senet_jax.data.local_info import LocalInfo


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 handwritten digits, 8x8 pixels in grey: 1,438 to train on and every fifth, 359, to test on.

    They are `sklearn.datasets.load_digits`, the test part of the UCI dataset "Optical Recognition of Handwritten
    Digits" (Alpaydin and Kaynak, 1998), with their 17 grey levels spread over 0 to 255.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return LocalInfo(
            builder=self,
            description="1,797 handwritten digits of 8x8 pixels, from scikit-learn.",
            homepage="https://archive.ics.uci.edu/dataset/80",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"train": self._generate_examples(test=False), "test": self._generate_examples(test=True)}

    def _generate_examples(self, test: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        from sklearn.datasets import load_digits  # only to prepare the dataset

        values, labels = load_digits(return_X_y=True)
        pixels = np.rint(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
        for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            if (index % 5 == 4) == test:
                png = io.BytesIO()
                Image.fromarray(image).save(png, "PNG")
                yield index, {"image": png.getvalue(), "label": int(label)}
