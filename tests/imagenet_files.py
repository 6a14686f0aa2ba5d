"""A small ImageNet of synthetic photographs, in the files and the layout of the official one."""

import io
import tarfile
from pathlib import Path

import numpy as np
from scipy.io import savemat

from senet_jax.data.photographs import photograph
from senet_jax.data.standard_sets import imagenet_classes, validation_labels


def write(directory: Path, train: int, validation: int, shorter_side: int | None = None, classes: int = 1000) -> None:
    """Writes the tars of training and validation images and the devkit; with fewer classes, the tars of the first ones.

    Each class has `train` images; `validation` is the number of those of the other tar, whose labels are in the devkit.
    """
    directory.mkdir(parents=True, exist_ok=True)
    names = imagenet_classes()
    different = min(40, train * classes)  # They take long to make.
    kinds = [photograph(index, shorter_side=shorter_side, quality=90) for index in range(different)]
    with tarfile.open(directory / "ILSVRC2012_img_train.tar", "w") as outer:
        for number, name in enumerate(names[:classes]):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                for index in range(train):
                    _add(tar, f"{name}_{index}.JPEG", kinds[(number * 7 + index) % len(kinds)])
            _add(outer, f"{name}.tar", inner.getvalue())
    labels = list(validation_labels(directory).items())[:validation]
    with tarfile.open(directory / "ILSVRC2012_img_val.tar", "w") as tar:
        for index, (name, _) in enumerate(labels):
            _add(tar, name, kinds[index % len(kinds)])
    _write_devkit(directory, [label for _, label in labels], names)


def _write_devkit(directory: Path, labels: list[str], names: list[str]) -> None:
    numbers = np.random.default_rng(0).permutation(len(names)) + 1  # The devkit numbers the classes in another order.
    kind = [("ILSVRC2012_ID", object), ("WNID", object)]
    synsets = np.array([(int(number), name) for number, name in zip(numbers, names, strict=True)], kind)
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets.reshape(-1, 1)})
    of_name = dict(zip(names, numbers, strict=True))
    truth = "".join(f"{of_name[label]}\n" for label in labels)
    with tarfile.open(directory / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        _add(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        _add(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    part = tarfile.TarInfo(name)
    part.size = len(data)
    tar.addfile(part, io.BytesIO(data))
