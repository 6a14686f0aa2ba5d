"""CIFAR-10 and CIFAR-100 as TFDS datasets that are prepared without TensorFlow."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from senet_jax.data.local_info import LocalInfo

_SITE = "https://www.cs.toronto.edu/~kriz"
"""Site of the archives; TFDS checks downloads against checksums.tsv beside this file."""


class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """CIFAR-10 as TFDS has it in this version: the same examples with the same keys.

    TFDS's own class needs TensorFlow to read files.
    """

    VERSION = tfds.core.Version("3.0.2")
    url = f"{_SITE}/cifar-10-binary.tar.gz"
    folder = "cifar-10-batches-bin"
    """Folder of all files in the archive."""
    labels: ClassVar = {"label": "batches.meta.txt"}
    """Files with the class names, by label, in the order of an example's bytes."""
    classes: ClassVar = {"label": 10}
    files: ClassVar = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}

    def _info(self) -> tfds.core.DatasetInfo:
        labels = {name: tfds.features.ClassLabel(num_classes=number) for name, number in self.classes.items()}
        image = tfds.features.Image(shape=(32, 32, 3), encoding_format="png")
        return LocalInfo(
            builder=self,
            description=f"{self.classes['label']} classes of 32x32 colour images.",
            homepage=f"{_SITE}/cifar.html",
            features=tfds.features.FeaturesDict({"id": tfds.features.Text(), "image": image} | labels),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        archive = Path(dl_manager.download(self.url))  # pyright: ignore[reportArgumentType]
        features: Any = self.info.features
        with tarfile.open(archive) as content:
            for label, file in self.labels.items():
                names = self._read(content, file).decode().split("\n")
                features[label].names = [name for name in names if name]
        return {split: self._generate_examples(archive, split) for split in self.files}

    def _generate_examples(self, archive: Path, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields examples: a byte for each label, then the red, the green and the blue plane of 32x32 pixels."""
        labels = list(self.labels)
        with tarfile.open(archive) as content:
            data = b"".join(self._read(content, file) for file in self.files[split])
        for index, example in enumerate(np.frombuffer(data, np.uint8).reshape(-1, len(labels) + 3 * 32 * 32)):
            png = io.BytesIO()
            Image.fromarray(example[len(labels) :].reshape(3, 32, 32).transpose(1, 2, 0)).save(png, "PNG")
            numbers = dict(zip(labels, example[: len(labels)].tolist(), strict=True))
            yield index, {"id": f"{split}_{index:05d}", "image": png.getvalue()} | numbers

    def _read(self, content: tarfile.TarFile, name: str) -> bytes:
        file = content.extractfile(f"{self.folder}/{name}")
        if file is None:
            raise ValueError(f"{name} in {self.url} is not a file")
        return file.read()


class Cifar100(Cifar10, skip_registration=True):
    """CIFAR-100, with 100 classes in 20 coarse classes."""

    url = f"{_SITE}/cifar-100-binary.tar.gz"
    folder = "cifar-100-binary"
    labels: ClassVar = {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"}
    classes: ClassVar = {"label": 100, "coarse_label": 20}
    files: ClassVar = {"train": ["train.bin"], "test": ["test.bin"]}
